/*
 * Settings of the host that make it forward. See forward.h.
 *
 * A host that forwards IPv6 does not listen to router advertisements any more, and forgets its way out that it has from
 * them, unless each of its devices was told to go on before.
 *
 * The file: this boot's name, then "PATH VALUE" a line, in the order in which they were set. One without such lines is
 * an older daemon's, and means the first of them.
 */
#include "network/forward.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "network/namespace.h"

#define FORWARD "/proc/sys/net/ipv4/ip_forward"
#define SETTINGS6 "/proc/sys/net/ipv6/conf"
#define FORWARD6 SETTINGS6 "/all/forwarding"
#define FILE_LIMIT (1 << 20)

bool forward_has_v6(GError **error)
{
        return g_file_test(SETTINGS6, G_FILE_TEST_IS_DIR) ||
               error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "this host's kernel has no IPv6");
}

/* A setting that is @from is to be @to; what is done is noted. */
static void want(GPtrArray *lines, const char *path, const char *from, const char *to)
{
        g_autofree char *is = file_read(path, 16, NULL, NULL);
        if (is && strcmp(g_strstrip(is), from) == 0)
                g_ptr_array_add(lines, g_strdup_printf("%s %s %s", path, from, to));
}

static void want_v6(GPtrArray *lines)
{
        g_autofree char *is = file_read(FORWARD6, 16, NULL, NULL);
        g_autoptr(GDir) dir = g_dir_open(SETTINGS6, 0, NULL);
        const char *name;
        if (is && *is != '0')
                return;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(SETTINGS6, name, "accept_ra", NULL);
                if (strcmp(name, "all") != 0 && strcmp(name, "lo") != 0)
                        want(lines, path, "1", "2");
        }
        want(lines, FORWARD6, "0", "1");
}

/* What the file says of this boot; NULL: nothing. Caller frees. */
static char *read_file(const char *path)
{
        g_autofree char *text = file_read(path, FILE_LIMIT, NULL, NULL);
        const char *boot = host_boot_id();
        return text && g_str_has_prefix(text, boot) ? g_steal_pointer(&text) : NULL;
}

bool forward_begin(const char *path, bool v6, GError **error)
{
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *before = read_file(path);
        want(lines, FORWARD, "0", "1");
        if (v6)
                want_v6(lines);
        if (lines->len == 0)
                return true;
        GString *text = g_string_new(before ? before : host_boot_id());
        if (before && !strchr(before, ' '))
                g_string_append(text, "\n" FORWARD " 0 1");
        for (guint i = 0; i < lines->len; i++)
                g_string_append_printf(text, "\n%s", (char *)lines->pdata[i]);
        bool noted = file_write_atomic(path, text->str, text->len, 0600, true, error);
        g_string_free(text, TRUE);
        for (guint i = 0; noted && i < lines->len; i++) {
                g_auto(GStrv) words = g_strsplit(lines->pdata[i], " ", 3);
                namespace_set(words[0], words[2]);
        }
        return noted;
}

void forward_end(const char *path)
{
        g_autofree char *text = read_file(path);
        g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
        guint n_lines = g_strv_length(lines);
        if (n_lines == 1)
                namespace_set(FORWARD, "0");
        for (guint i = n_lines; i > 1; i--) {
                g_auto(GStrv) words = g_strsplit(lines[i - 1], " ", 3);
                /* Its device may be gone. */
                if (g_strv_length(words) == 3 && g_file_test(words[0], G_FILE_TEST_EXISTS))
                        namespace_set(words[0], words[1]);
        }
        unlink(path);
}
