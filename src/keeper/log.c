/*
 * Logs of a limited size, and one old one of the same size beside them: what a guest or QEMU writes can neither fill
 * the disk nor, when the disk is full already, hold them up.
 *
 * Adds nothing to the bytes and never syncs. Called by vm.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum { LOG_NAME_MAX = 255, LOG_LINE_MAX = 1024 };

void log_open(Log *log, int dir_fd, const char *name, off_t max_bytes)
{
        struct stat st;

        log->name = name;
        log->max_bytes = max_bytes;
        log->dir_fd = dir_fd;
        log->fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? st.st_size : 0;
}

/* Should the rename fail, the log starts over in place: losing old lines is better than growing on. */
static void rotate(Log *log)
{
        char old_name[LOG_NAME_MAX + 3];

        snprintf(old_name, sizeof old_name, "%s.1", log->name);
        if (renameat(log->dir_fd, log->name, log->dir_fd, old_name) < 0 && ftruncate(log->fd, 0) < 0)
                return;
        close(log->fd);
        log_open(log, log->dir_fd, log->name, log->max_bytes);
}

void log_write(Log *log, const char *data, size_t length)
{
        if (log->fd >= 0 && log->size + (off_t)length > log->max_bytes)
                rotate(log);
        if (log->fd < 0)
                log_open(log, log->dir_fd, log->name, log->max_bytes);
        if (log->fd < 0 || log->size + (off_t)length > log->max_bytes)
                return;
        ssize_t written = write(log->fd, data, length); /* a full disk loses these bytes, by intent */
        if (written > 0)
                log->size += written;
}

void log_printf(Log *log, const char *format, ...)
{
        char line[LOG_LINE_MAX];
        va_list arguments;

        va_start(arguments, format);
        int length = vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        log_write(log, line, length < LOG_LINE_MAX ? length : LOG_LINE_MAX - 1);
}

bool log_pump(Log *log, int *pipe_fd)
{
        static char buffer[LOG_CHUNK_BYTES];
        ssize_t length = *pipe_fd < 0 ? -1 : read(*pipe_fd, buffer, sizeof buffer);

        if (length > 0)
                log_write(log, buffer, length);
        if (length == 0) {
                close(*pipe_fd);
                *pipe_fd = -1;
        }
        return length > 0;
}
