/*
 * The state folder's lock. flock(2) rather than a pid file that says who claims to run: the kernel drops it with its
 * holder, also after SIGKILL, and a reused pid cannot hold it. The pid inside is only for the error's sentence. The
 * lock file is never removed, so two daemons can never hold locks on two files of the same name. Called by the daemon
 * before it opens the store.
 */
#include "store/state_lock.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

struct StateLock {
        int fd;
};

static bool refuse(int fd, int saved_errno, const char *dir, GError **error);
static void write_pid(int fd);

StateLock *state_lock_take(const char *dir, GError **error)
{
        g_autofree char *path = g_build_filename(dir, "lock", NULL);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                error_set_errno(error, errno, NULL, "open %s", path);
                return NULL;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                refuse(fd, errno, dir, error);
                close(fd);
                return NULL;
        }
        write_pid(fd);

        StateLock *lock = g_new0(StateLock, 1);
        lock->fd = fd;
        return lock;
}

void state_lock_free(StateLock *lock)
{
        if (!lock)
                return;
        close(lock->fd);
        g_free(lock);
}

static bool refuse(int fd, int saved_errno, const char *dir, GError **error)
{
        if (saved_errno != EWOULDBLOCK)
                return error_set_errno(error, saved_errno, NULL, "lock the state folder %s", dir);

        char text[16] = "";
        ssize_t length = pread(fd, text, sizeof text - 1, 0);
        gint64 pid = length > 0 ? g_ascii_strtoll(text, NULL, 10) : 0;
        if (pid > 0)
                error_set(error, HOSTLER_ERROR_BUSY, NULL, "the state folder %s is in use by process %" G_GINT64_FORMAT,
                          dir, pid);
        else
                error_set(error, HOSTLER_ERROR_BUSY, NULL, "the state folder %s is in use by another process", dir);
        return error_hint(error, "stop that daemon, or give this one another folder: hostlerd --state DIR");
}

/* On a full disk the pid is missing from the file, which costs only a number in another daemon's error. */
static void write_pid(int fd)
{
        char text[16];
        int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
        if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) != length)
                (void)!ftruncate(fd, 0);
}
