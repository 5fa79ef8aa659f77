/*
 * Keepers: how a VM's QEMU is started so that it outlives the daemon, and what is left to read afterwards.
 *
 * `hostler-keeper vm` (src/keeper, hostler-keeper(8)) owns the VM's folder while QEMU runs:
 *
 *   VMDIR/run/            QEMU's working directory: sockets are named relative to it ("qmp.sock"), so sun_path never
 * overflows VMDIR/run/keeper.json who runs here; written before QEMU is executed, gone once exit.json is there
 *   VMDIR/exit.json       how the last QEMU ended; absent while one runs, and for ever if its keeper was killed
 *   VMDIR/qemu.log        what QEMU and the helpers wrote (qemu.log.1: what came before), 1 MiB each
 *   VMDIR/lock            locked (flock) while a keeper or its QEMU lives: two never run in one folder
 *
 * A keeper that is killed takes nothing with it: QEMU goes on, its log output is lost, and whoever holds a pidfd
 * (process_id_open) still learns of its end, without an exit code. Any thread.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/process.h"

/* A program that runs as long as QEMU does and is ended after it (swtpm, virtiofsd). Reach it by socketpairs given as
 * descriptors. */
typedef struct {
        const char *const *argv; /* NULL-terminated; argv[0] an absolute path; no argument may be "--" */
        const int *fds;          /* descriptors it gets under the same numbers, > 2 */
        gsize n_fds;
} KeeperHelper;

/*
 * What a character device of QEMU writes, kept in a file that cannot grow without bound: at @max_bytes it is renamed to
 * NAME.1, in place of an older one. The keeper adds `-add-fd set=<fd_set>,fd=…` itself; QEMU's arguments hold a chardev
 * with `logfile=/dev/fdset/<fd_set>,logappend=on`, or one of type file with `path=/dev/fdset/<fd_set>,append=on`
 * (without appending QEMU truncates the file first, which a pipe refuses). Or, with a link, what QEMU writes to a file
 * that it opens by its name, as often as it does.
 */
typedef struct {
        const char *name;  /* in vm_dir, no folders */
        int fd_set;        /* its own among all logs */
        int64_t max_bytes; /* KEEPER_LOG_MIN_BYTES to KEEPER_LOG_MAX_BYTES */
        const char *link;  /* name of that file in vm_dir/run; NULL: it is a set */
} KeeperLog;
#define KEEPER_LOGS_MAX 64
#define KEEPER_LOG_MIN_BYTES 8192
#define KEEPER_LOG_MAX_BYTES (1024 * 1024 * 1024)

/* Everything is borrowed for the call. */
typedef struct {
        const char *vm_dir;      /* absolute; it and vm_dir/run exist */
        const char *const *argv; /* QEMU's: NULL-terminated, argv[0] an absolute path */
        const int *fds; /* descriptors QEMU gets under the same numbers, > 2; the caller still closes its own */
        gsize n_fds;
        const KeeperHelper *helpers; /* started in this order before QEMU */
        gsize n_helpers;
        const KeeperLog *logs;
        gsize n_logs;
        uid_t uid; /* QEMU's user and group; 0: the caller's own */
        gid_t gid;
        /*
         * @argv is no QEMU but a program beside one, with a folder of its own: when it fails, or is killed, it is
         * started again. Its exit code 0 ends the keeper.
         */
        bool again;
        /*
         * Reading end of a pipe, > 2: @argv and all beside it end when the pipe's other end is closed, as it is with
         * the daemon, unless keeper_untie() came before. 0: they outlive everybody.
         */
        int tie_fd;
} KeeperLaunch;

/*
 * Starts keeper, helpers and QEMU; returns when QEMU was executed (it has not opened its monitor yet). The keeper is
 * nobody's child.
 * HOSTLER_ERROR_BUSY: a QEMU still runs in this folder (the end of an earlier one is waited for, up to 3 s).
 * _READ_ONLY: no space for its files. _NOT_FOUND, _DENIED: QEMU or a helper cannot be executed.
 * _TIMEOUT: no answer in 10 s; the VM may still come up, look with keeper_read().
 * _FAILED: anything else, such as an argument that breaks a rule above. But for _TIMEOUT, nothing is left running.
 */
bool keeper_launch(const KeeperLaunch *launch, ProcessId *ret_qemu, GError **error);

/* By the writing end of the pipe: what is tied to it ends with it no more. False when it has ended already. */
bool keeper_untie(int write_fd);

/*
 * Who runs in @vm_dir, by its keeper.json; both may be dead by now (process_id_alive). @ret_keeper or @ret_qemu may be
 * NULL. HOSTLER_ERROR_NOT_FOUND: nobody, or it was written before the host's last boot. _FAILED: it is damaged.
 * _DENIED: it is not ours.
 */
bool keeper_read(const char *vm_dir, ProcessId *ret_keeper, ProcessId *ret_qemu, GError **error);

/*
 * Ends the keeper of @vm_dir and what it runs, politely at first; nobody there is fine. For programs started with
 * `again`: a QEMU is ended by its monitor. Blocks, until they are gone, for some seconds at most.
 */
void keeper_end(const char *vm_dir);

typedef struct {
        int64_t time_ms; /* unix time */
        bool signalled;
        int code; /* exit code or signal number */
} KeeperExit;

/*
 * How the last QEMU of @vm_dir ended. HOSTLER_ERROR_NOT_FOUND: it runs, its keeper has not written it yet (within
 * milliseconds of the end; ask again as long as the keeper is alive), or the keeper was killed. _FAILED: it is damaged.
 * _DENIED: it is not ours.
 */
bool keeper_exit_read(const char *vm_dir, KeeperExit *ret_exit, GError **error);
