/*
 * Bytes as they are. Called by exec, cp, console and device_read.
 */
#include "cli/bytes.h"

#include <errno.h>
#include <unistd.h>

#include "base/file.h"

bool bytes_write(int fd, const void *bytes, gsize length, GError **error)
{
        const char *at = bytes;

        while (length > 0) {
                ssize_t written = write(fd, at, length);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return error_set_errno(error, errno, NULL, "cannot write");
                at += written;
                length -= (gsize)written;
        }
        return true;
}

bool bytes_write_base64(int fd, const char *base64, GError **error)
{
        gsize length;
        g_autofree guchar *bytes = base64 && *base64 ? g_base64_decode(base64, &length) : NULL;

        return !bytes || bytes_write(fd, bytes, length, error);
}

guchar *bytes_read(int fd, gsize limit, gsize *ret_length, GError **error)
{
        g_autofree guchar *bytes = g_malloc(limit);
        gsize length = 0;

        while (length < limit) {
                ssize_t got = read(fd, bytes + length, limit - length);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0) {
                        error_set_errno(error, errno, NULL, "cannot read");
                        return NULL;
                }
                if (got == 0)
                        break;
                length += (gsize)got;
        }
        *ret_length = length;
        return g_steal_pointer(&bytes);
}
