/*
 * The state folder's lock. flock(2) rather than a pid file that says who claims to run: the kernel drops it with its
 * holder, also after SIGKILL, and a reused pid cannot hold it. The pid inside is for the error's sentence, and tells a
 * holder that is only about to go. The lock file is never removed, so two daemons can never hold locks on two files of
 * the same name. Called by the daemon before it opens the store.
 */
#include "store/state_lock.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define DEAD_HOLDER_WAIT_MS 2000
#define DEAD_HOLDER_ROUND_US 2000

struct StateLock {
        int fd;
};

static bool lock_file(int fd);
static int holder_of(int fd);
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
        if (!lock_file(fd)) {
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

/*
 * False with errno. A daemon that was killed as it forked leaves a child that has the lock until it executes its
 * program: that is waited for, a daemon that lives is not.
 */
static bool lock_file(int fd)
{
        int64_t end = clock_monotonic_ms() + DEAD_HOLDER_WAIT_MS;
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                int saved_errno = errno, pid = errno == EWOULDBLOCK ? holder_of(fd) : 0;
                bool is_dead = pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
                if (!is_dead || clock_monotonic_ms() >= end) {
                        errno = saved_errno;
                        return false;
                }
                g_usleep(DEAD_HOLDER_ROUND_US);
        }
        return true;
}

/* 0: not known. */
static int holder_of(int fd)
{
        char text[16] = "";
        ssize_t length = pread(fd, text, sizeof text - 1, 0);
        return length > 0 ? (int)CLAMP(g_ascii_strtoll(text, NULL, 10), 0, G_MAXINT) : 0;
}

static bool refuse(int fd, int saved_errno, const char *dir, GError **error)
{
        if (saved_errno != EWOULDBLOCK)
                return error_set_errno(error, saved_errno, NULL, "lock the state folder %s", dir);

        int pid = holder_of(fd);
        if (pid > 0)
                error_set(error, HOSTLER_ERROR_BUSY, NULL, "the state folder %s is in use by process %d", dir, pid);
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
