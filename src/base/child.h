/*
 * The one place that starts a child process: process_run() and keeper_launch() use it, and nothing else does.
 *
 * vfork-like (posix_spawn), so that its cost does not grow with the caller. The child gets all signals unblocked and at
 * their defaults, three stdio descriptors and those it is given, and nothing else that is not already inheritable. Any
 * thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct {
        char *const *argv;              /* argv[0]: full path */
        const char *const *environment; /* NULL: PATH, HOME and LC_ALL=C.UTF-8 */
        const char *directory;
        int stdio[3];
        const int *fds; /* kept open in the child under the same numbers, > 2 */
        gsize n_fds;
} ChildStart;

/* The child is the caller's to reap. Errors by errno (error_set_errno), about argv[0]. */
bool child_start(const ChildStart *start, pid_t *ret_pid, GError **error);
/* This process's PATH with the administrator's folders added. Caller frees. */
char *child_search_path(void);
