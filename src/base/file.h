/* Files: written whole or not at all, read with a limit, opened without following tricks. Any thread. */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/* "autoclose int fd = open(…)" is closed at the end of its scope unless it is negative or was stolen. */
static inline void fd_close(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}
#define autoclose __attribute__((cleanup(fd_close)))

/* Hands the descriptor over: what it was, and @fd is -1 after. */
static inline int fd_steal(int *fd)
{
        int stolen = *fd;
        *fd = -1;
        return stolen;
}

/* Writes a temporary file beside @path, fsyncs if @durable, renames. HOSTLER_ERROR_READ_ONLY on ENOSPC, EROFS, EDQUOT.
 */
bool file_write_atomic(const char *path, const void *data, gsize length, mode_t mode, bool durable, GError **error);
/* At most @limit bytes, NUL-terminated. HOSTLER_ERROR_TOO_LARGE beyond. Caller frees. */
char *file_read(const char *path, gsize limit, gsize *ret_length, GError **error);
/* The last @limit bytes of a file (logs), NUL-terminated; NULL when it cannot be read. @ret_length may be NULL. Caller
 * frees. */
char *file_read_tail(const char *path, gsize limit, gsize *ret_length);
/* openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS below @dir; -1 and error. Caller closes. */
int file_open_beneath(const char *dir, const char *relative, int flags, mode_t mode, GError **error);
/* Waits until file @path and its name in its folder are on the disk. */
bool file_sync(const char *path, GError **error);
/* The same but for the name in its folder, which the caller syncs (file_sync() of the folder does). */
bool file_sync_alone(const char *path, GError **error);
/* mkdir -p with 0700. */
bool dir_ensure(const char *path, GError **error);
/* Removes a tree without following symlinks; absent is success. */
bool dir_remove(const char *path, GError **error);
/* The same, and it stays removed should the power fail: without that it may be there again when what was written down
 * afterwards is. */
bool dir_remove_durably(const char *path, GError **error);
/* Whether an absolute path is of a device: it is below /dev, but not in /dev/shm. Pure: nothing is looked at. */
bool path_names_device(const char *path);
int64_t dir_free_bytes(const char *path); /* for an unprivileged writer; -1 if unknown */
/* Maps errno to a code (ENOENT, EACCES, ENOSPC, EEXIST …) with "@format: strerror". Returns false. */
bool error_set_errno(GError **error, int saved_errno, const char *object, const char *format, ...) G_GNUC_PRINTF(4, 5);
