/*
 * The two files by which a keeper is known: keeper.json (who runs) and exit.json (how it ended).
 *
 * Reads no JSON; base/keeper_launch.c does. Called by vm.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum { EXIT_BYTES = 128 };

static const char exit_name[] = "exit.json", exit_reserved_name[] = ".exit.json";
static const char keeper_name[] = "keeper.json", keeper_new_name[] = ".keeper.json";

/* At most @size - 1 bytes, as a string without its last newline. */
static void read_text(const char *path, char *text, size_t size)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
        if (fd >= 0)
                close(fd);
        text[length > 0 ? length : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
}

unsigned long long start_ticks_of(pid_t pid)
{
        char path[64], text[1024];
        unsigned long long ticks = 0;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        read_text(path, text, sizeof text);
        /* proc(5): field 2 is a name in parentheses that may hold anything; all that follows the last ")" is the
         * kernel's. */
        const char *rest = strrchr(text, ')');
        if (!rest || sscanf(rest, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                            &ticks) != 1)
                return 0;
        return ticks;
}

int record_running(pid_t qemu)
{
        char boot_id[64], text[512];

        read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
        int length =
            snprintf(text, sizeof text,
                     "{\"keeper\":{\"pid\":%d,\"start_ticks\":%llu},\"qemu\":{\"pid\":%d,\"start_ticks\":%llu},"
                     "\"boot_id\":\"%s\"}\n",
                     (int)getpid(), start_ticks_of(getpid()), (int)qemu, start_ticks_of(qemu), boot_id);

        unlink(keeper_new_name);
        int fd = open(keeper_new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno;
        ssize_t written = write(fd, text, length);
        close(fd);
        if (written != length)
                return ENOSPC;
        return rename(keeper_new_name, keeper_name) < 0 ? errno : 0;
}

void record_not_running(void)
{
        unlink(keeper_name);
}

/* Blanks, to be overwritten in place: that takes no more space than the file has. */
int exit_reserve(int dir_fd)
{
        char blanks[EXIT_BYTES];

        memset(blanks, ' ', sizeof blanks);
        unlinkat(dir_fd, exit_reserved_name, 0);
        int fd = openat(dir_fd, exit_reserved_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                fail(errno, "Cannot write %s", exit_name);
        if (write(fd, blanks, sizeof blanks) != (ssize_t)sizeof blanks)
                fail(ENOSPC, "Cannot write %s", exit_name);
        return fd;
}

void exit_record(int dir_fd, int reserved_fd, int status)
{
        char text[EXIT_BYTES];
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        int length = snprintf(
            text, sizeof text, "{\"time_ms\":%lld,\"%s\":%d}\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
            WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (pwrite(reserved_fd, text, length, 0) == length && ftruncate(reserved_fd, length) == 0)
                renameat(dir_fd, exit_reserved_name, dir_fd, exit_name);
}

void exit_forget(int dir_fd)
{
        unlinkat(dir_fd, exit_name, 0);
}

void exit_release(int dir_fd)
{
        unlinkat(dir_fd, exit_reserved_name, 0);
}
