/*
 * `hostler device read VM DEVICE [-w FILE]`: what a device has put out on the host, as it is, to standard output or a
 * file. Piece by piece, like cp.c; a ring is empty after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/bytes.h"
#include "cli/cli.h"

enum {
        PIECE_BYTES = 262144,
        PIECE_MS = 60000,
};

/* @before: the last piece, NULL for the first. NULL and error, or the next one, a tree of the caller's. */
static json_t *next_piece(Cli *cli, const json_t *args, const json_t *before, int64_t offset, GError **error)
{
        json_t *version = json_object_get(before, "version"), *piece = NULL;
        json_t *request = json_pack("{s:O, s:O, s:I, s:i, s:O*}", "vm", json_object_get(args, "vm"), "device",
                                    json_object_get(args, "device"), "offset", (json_int_t)offset, "bytes", PIECE_BYTES,
                                    "version", version);

        return cli_call(cli, "device", "read", request, PIECE_MS, &piece, error) ? piece : NULL;
}

/* The file is touched only once there is something to be had. */
static bool write_piece(const char *path, int *fd, const void *bytes, gsize length, GError **error)
{
        if (*fd < 0)
                *fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : dup(STDOUT_FILENO);
        if (*fd < 0)
                return error_set_errno(error, errno, NULL, "cannot write %s", path ? path : "standard output");
        return bytes_write(*fd, bytes, length, error);
}

bool command_device_read(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *path = json_string_value(json_object_get(invocation->local, "write"));
        json_auto_t *piece = NULL;
        int fd = -1;
        bool done = true, eof = false;
        gsize length = 0;

        for (int64_t offset = 0; done && !eof; offset += (int64_t)length) {
                json_t *next = next_piece(cli, invocation->args, piece, offset, error);
                const char *data = json_string_value(json_object_get(next, "data"));
                g_autofree guchar *bytes = data && *data ? g_base64_decode(data, &length) : NULL;

                if (!bytes)
                        length = 0;
                eof = json_is_true(json_object_get(next, "eof")) || !length;
                json_decref(piece);
                piece = next;
                done = piece && write_piece(path, &fd, bytes, length, error);
        }
        if (fd >= 0 && close(fd) < 0 && done)
                return error_set_errno(error, errno, NULL, "cannot write %s", path ? path : "standard output");
        return done;
}
