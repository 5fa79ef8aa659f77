/*
 * Who a process is, in a way that survives the reuse of its pid; and where this program's sibling binaries are.
 *
 * Starts nothing (process_run.c, keeper_launch.c). Called by adoption, keepers' readers and everything that signals;
 * any thread.
 */
#include "base/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/file.h"

enum { STAT_LIMIT_BYTES = 4096, BOOT_ID_LENGTH = 36 };

/*
 * proc(5): "PID (NAME) STATE PPID …", starttime is field 22. NAME is the process's own choice and may hold spaces,
 * parentheses and newlines; everything after the last ")" is the kernel's.
 */
bool process_id_of(pid_t pid, ProcessId *ret_id)
{
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
        g_autofree char *text = pid > 0 ? file_read(path, STAT_LIMIT_BYTES, NULL, NULL) : NULL;
        const char *rest = text ? strrchr(text, ')') : NULL;
        unsigned long long start_ticks;
        char state;

        if (!rest || sscanf(rest, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                            &state, &start_ticks) != 2)
                return false;
        if (state == 'Z' || state == 'X')
                return false;
        *ret_id = (ProcessId){.pid = pid, .start_ticks = start_ticks};
        return true;
}

bool process_id_alive(const ProcessId *id)
{
        ProcessId now;
        return process_id_of(id->pid, &now) && now.start_ticks == id->start_ticks;
}

int process_id_open(const ProcessId *id)
{
        autoclose int fd = id->pid > 0 ? pidfd_open(id->pid, 0) : -1;

        /* In this order: if the pid was reused before the open, the start time tells; afterwards the pidfd no longer
         * cares. */
        return fd >= 0 && process_id_alive(id) ? fd_steal(&fd) : -1;
}

bool process_id_kill(const ProcessId *id, int signal)
{
        autoclose int fd = process_id_open(id);
        return fd >= 0 && pidfd_send_signal(fd, signal, NULL, 0) == 0;
}

const char *host_boot_id(void)
{
        static char boot_id[BOOT_ID_LENGTH + 1];
        static gsize once;

        if (g_once_init_enter(&once)) {
                g_autofree char *text = file_read("/proc/sys/kernel/random/boot_id", STAT_LIMIT_BYTES, NULL, NULL);
                g_strlcpy(boot_id, text ? g_strstrip(text) : "", sizeof boot_id);
                g_once_init_leave(&once, 1);
        }
        return boot_id;
}

/* Relative to the folder of the running binary: beside it; installed; and above, for tests, which lie two folders below
 * the rest. */
static const char *const sibling_folders[] = {".", "../libexec/hostler", "../.."};

char *process_sibling(const char *name)
{
        char self[4096];
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        self[MAX(length, 0)] = '\0';
        g_autofree char *folder = g_path_get_dirname(self);

        for (gsize i = 0; i < G_N_ELEMENTS(sibling_folders); i++) {
                g_autofree char *relative = g_build_filename(folder, sibling_folders[i], name, NULL);
                char *path = g_canonicalize_filename(relative, "/");
                if (access(path, X_OK) == 0)
                        return path;
                g_free(path);
        }
        return g_build_filename(folder, name, NULL);
}
