/*
 * See process_memory.h. What is protected hangs on a descriptor of that process, and is lifted through a copy of it
 * (pidfd_getfd(2)), as the process would do it itself: range by range.
 */
#include "base/process_memory.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/file.h"

bool process_memory_can_unprotect(const ProcessId *id)
{
        autoclose int process = process_id_open(id);
        autoclose int copy = process < 0 ? -1 : pidfd_getfd(process, STDIN_FILENO, 0);
        return copy >= 0 || (process >= 0 && errno == EBADF);
}

/* Ranges that are not protected are refused, which changes nothing. */
static void unprotect(const ProcessId *id, int faults)
{
        g_autofree char *path = g_strdup_printf("/proc/%d/maps", (int)id->pid);
        char line[512];
        FILE *maps = fopen(path, "re");
        while (maps && fgets(line, sizeof line, maps)) {
                uint64_t start, end;
                char mode[5];
                if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, mode) != 3 || mode[1] != 'w')
                        continue;
                struct uffdio_range range = {.start = start, .len = end - start};
                struct uffdio_writeprotect open = {.range = range};
                /* The first wakes who waits; some kernels do not on the second. */
                ioctl(faults, UFFDIO_WRITEPROTECT, &open);
                ioctl(faults, UFFDIO_UNREGISTER, &range);
        }
        if (maps)
                fclose(maps);
}

/* Calls @found for each of its descriptors of this kind; false when there is none. */
static bool each_faults(const ProcessId *id, void (*found)(const ProcessId *id, int process, int number))
{
        g_autofree char *folder = g_strdup_printf("/proc/%d/fd", (int)id->pid);
        autoclose int process = process_id_open(id);
        g_autoptr(GDir) descriptors = process < 0 ? NULL : g_dir_open(folder, 0, NULL);
        const char *name;
        bool any = false;
        while (descriptors && (name = g_dir_read_name(descriptors))) {
                g_autofree char *path = g_build_filename(folder, name, NULL), *what = g_file_read_link(path, NULL);
                if (g_strcmp0(what, "anon_inode:[userfaultfd]") != 0)
                        continue;
                any = true;
                if (found)
                        found(id, process, atoi(name));
        }
        return any;
}

bool process_memory_may_be_protected(const ProcessId *id)
{
        return each_faults(id, NULL);
}

static void unprotect_by(const ProcessId *id, int process, int number)
{
        autoclose int faults = pidfd_getfd(process, number, 0);
        if (faults >= 0)
                unprotect(id, faults);
}

void process_memory_unprotect(const ProcessId *id)
{
        each_faults(id, unprotect_by);
}
