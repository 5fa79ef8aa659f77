/*
 * Child processes: run to the end with limits, and identity that survives pid reuse. No shell, ever.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Called on the calling thread for each line the child writes (stdout and stderr), without the newline. "\r" ends a
 * line too (progress displays), empty lines are left out, over-long ones come in pieces; always valid UTF-8 without
 * control characters.
 */
typedef void (*ProcessLineFunc)(const char *line, void *data);

typedef struct {
        const char *const *argv;        /* NULL-terminated; argv[0] is looked up in PATH plus /usr/sbin:/sbin */
        const char *const *environment; /* NULL: a clean one (PATH, HOME, LC_ALL=C.UTF-8) */
        const char *directory;          /* NULL: / */
        const char *input;              /* text for stdin or NULL (/dev/null) */
        int64_t timeout_ms;             /* 0: none */
        gsize output_limit_bytes;       /* of stdout kept; more is HOSTLER_ERROR_TOO_LARGE. 0: 1 MiB */
        GCancellable *cancellable;      /* cancel kills the whole process group */
        ProcessLineFunc line;
        void *line_data;
} ProcessOptions;

/*
 * Runs a child in its own process group to its end; blocks the caller. The whole group is killed on cancel, time limit,
 * and when the calling process dies (the child runs under `hostler-keeper run`, found beside the running binary, which
 * watches its parent). True on exit code 0. Otherwise HOSTLER_ERROR_FAILED (message: the command's name and the last
 * lines of stderr), _TIMEOUT or _CANCELLED.
 * @ret_stdout (NULL: not wanted) is owned by the caller.
 */
bool process_run(const ProcessOptions *options, char **ret_stdout, GError **error);
/* The same for a command that answers in JSON, an empty answer being []. The caller owns it; NULL with @error set. */
json_t *process_run_json(const ProcessOptions *options, GError **error);

/* Who a process is: pid plus start time (clock ticks since boot, field 22 of /proc/PID/stat). */
typedef struct {
        pid_t pid;
        uint64_t start_ticks;
} ProcessId;
bool process_id_of(pid_t pid, ProcessId *ret_id); /* false if there is none or it is a zombie */
bool process_id_alive(const ProcessId *id);
/* A pidfd, its identity checked after opening, so a reused pid is never signalled; -1 if it is gone. Caller closes. */
int process_id_open(const ProcessId *id);
bool process_id_kill(const ProcessId *id, int signal);
/* "/proc/sys/kernel/random/boot_id", without newline. Owned by the function. */
const char *host_boot_id(void);
/* Full path of a sibling binary of the running one ("hostler-keeper"), in the build folder or libexec. Caller frees. */
char *process_sibling(const char *name);
