/*
 * The stamp of a QEMU that waits. See stamp.h.
 */
#include "vm/warm/stamp.h"

#include <sys/stat.h>

#include "vm/prepare.h"
#include "vm/vm_internal.h"

char *warm_stamp(Vm *vm, char *const *argv)
{
        g_autoptr(GString) text = g_string_new(NULL);
        g_autofree char *seed = vm_path(vm, SEED_FILE_NAME);
        gsize length;
        struct stat st;
        for (char *const *word = argv; *word; word++)
                if (**word == '/' && stat(*word, &st) == 0)
                        g_string_append_printf(text, "%ju %jd %jd.%ld\n", (uintmax_t)st.st_ino, (intmax_t)st.st_size,
                                               (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        /* Written anew for each start; what counts is what is in it. */
        g_autofree char *bytes = NULL;
        if (g_file_get_contents(seed, &bytes, &length, NULL)) {
                g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, length);
                g_string_append(text, sum);
        }
        return g_string_free(g_steal_pointer(&text), FALSE);
}
