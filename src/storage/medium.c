/*
 * Looking at media before QEMU does, so that what is wrong is said in a sentence and before anything is touched. See
 * medium.h. Called by the vm layer.
 */
#include "storage/medium.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/image_inspect.h"

/* QEMU's lock bytes for writing, and for not letting others write. */
#define LOCK_WRITES 101
#define LOCK_KEEPS_WRITERS_OUT 201

/* A FIFO is not waited for; it is refused by the caller. -1 and error. */
static int open_medium(const char *path, int flags, GError **error)
{
        int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                error_set_errno(error, errno, NULL, "cannot open %s", path);
        return fd;
}

static bool check_kind(const char *path, const struct stat *status, GError **error)
{
        if (S_ISBLK(status->st_mode) && !path_names_device(path))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "%s is a block device: give it by its name below /dev", path);
        if (!S_ISBLK(status->st_mode) && (!S_ISREG(status->st_mode) || path_names_device(path)))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is neither a file nor a block device", path);
        return true;
}

static bool inspect_qcow2(int fd, const char *path, int64_t *ret_bytes, GError **error)
{
        ImageFacts facts;
        if (!image_inspect_file(fd, HOSTLER_IMAGE_FORMAT_QCOW2, &facts, error))
                return error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s", path);
        *ret_bytes = facts.size_bytes;
        return true;
}

bool medium_inspect_file(const char *path, bool qcow2, bool writable, int64_t *ret_bytes, GError **error)
{
        struct stat status;
        autoclose int fd = open_medium(path, writable ? O_RDWR : O_RDONLY, error);
        if (fd < 0)
                return false;
        if (fstat(fd, &status) < 0)
                return error_set_errno(error, errno, NULL, "cannot look at %s", path);
        if (!check_kind(path, &status, error))
                return false;
        if (qcow2)
                return inspect_qcow2(fd, path, ret_bytes, error);
        *ret_bytes = lseek(fd, 0, SEEK_END);
        return *ret_bytes > 0 || error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is empty", path);
}

static bool is_locked(int fd, off_t byte)
{
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool medium_is_free(const char *path, bool writable, GError **error)
{
        autoclose int fd = open_medium(path, O_RDONLY, error);
        if (fd < 0)
                return false;
        if (is_locked(fd, LOCK_WRITES))
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "another VM (or a tool) has %s open and may write it",
                                 path);
        if (writable && is_locked(fd, LOCK_KEEPS_WRITERS_OUT))
                return error_set(error, HOSTLER_ERROR_BUSY, NULL,
                                 "another VM (or a tool) has %s open, so it can be had read-only at most", path);
        return true;
}
