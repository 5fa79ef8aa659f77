/*
 * Files and folders: atomic writes, bounded reads, opening below a folder without following tricks, removing trees; and
 * the one table from errno to error codes.
 *
 * Knows no file format and no folder of Hostler's. Called by every module that touches the disk, on any thread.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/openat2.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

enum { TREE_DEPTH_MAX = 128 }; /* each level holds a descriptor open while a tree is removed */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, closedir)

/* 0 or an errno. */
static int write_all(int fd, const char *data, gsize length)
{
        while (length > 0) {
                ssize_t n = write(fd, data, length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno;
                data += n;
                length -= n;
        }
        return 0;
}

/* A rename is only there after a power cut once its folder was synced too. 0 or an errno. */
static int sync_folder_of(const char *path)
{
        g_autofree char *folder = g_path_get_dirname(path);
        autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && fsync(fd) == 0 ? 0 : errno;
}

static int write_new(const char *path, const void *data, gsize length, mode_t mode, bool durable)
{
        autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno;
        int saved_errno = write_all(fd, data, length);
        if (saved_errno)
                return saved_errno;
        if (fchmod(fd, mode) < 0 || (durable && fsync(fd) < 0))
                return errno;
        return 0;
}

bool file_write_atomic(const char *path, const void *data, gsize length, mode_t mode, bool durable, GError **error)
{
        g_autofree char *temporary = g_strdup_printf("%s.%08x%08x.tmp", path, g_random_int(), g_random_int());
        int saved_errno = write_new(temporary, data, length, mode, durable);
        if (!saved_errno && rename(temporary, path) < 0)
                saved_errno = errno;
        if (saved_errno) {
                if (saved_errno != EEXIST) /* else the name was somebody else's */
                        unlink(temporary);
                return error_set_errno(error, saved_errno, NULL, "Cannot write %s", path);
        }
        if (durable && (saved_errno = sync_folder_of(path)))
                return error_set_errno(error, saved_errno, NULL, "Cannot sync the folder of %s", path);
        return true;
}

/* Grows with what is there, never with what a file claims: files in /proc claim nothing at all. */
static char *read_up_to(int fd, const char *path, gsize limit, gsize *ret_length, GError **error)
{
        g_autoptr(GByteArray) data = g_byte_array_new();
        guint8 chunk[8192];

        for (;;) {
                ssize_t n = read(fd, chunk, sizeof chunk);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        error_set_errno(error, errno, NULL, "Cannot read %s", path);
                        return NULL;
                }
                if (n == 0)
                        break;
                if ((gsize)n > limit - data->len) {
                        error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "%s is larger than %" G_GSIZE_FORMAT " bytes",
                                  path, limit);
                        return NULL;
                }
                g_byte_array_append(data, chunk, n);
        }
        if (ret_length)
                *ret_length = data->len;
        g_byte_array_append(data, (const guint8 *)"", 1);
        return (char *)g_byte_array_free(g_steal_pointer(&data), FALSE);
}

char *file_read(const char *path, gsize limit, gsize *ret_length, GError **error)
{
        /* O_NONBLOCK: a FIFO put there must not hold the caller up. */
        autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                error_set_errno(error, errno, NULL, "Cannot read %s", path);
                return NULL;
        }
        if (!S_ISREG(st.st_mode)) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not a regular file", path);
                return NULL;
        }
        return read_up_to(fd, path, limit, ret_length, error);
}

char *file_read_tail(const char *path, gsize limit, gsize *ret_length)
{
        autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        gsize wanted = MIN((gsize)st.st_size, limit);
        char *tail = g_malloc(wanted + 1);
        ssize_t length = pread(fd, tail, wanted, st.st_size - (off_t)wanted);
        gsize got = length > 0 ? (gsize)length : 0;
        tail[got] = '\0';
        if (ret_length)
                *ret_length = got;
        return tail;
}

int file_open_beneath(const char *dir, const char *relative, int flags, mode_t mode, GError **error)
{
        bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
        struct open_how how = {
            .flags = flags | O_CLOEXEC,
            .mode = creates ? mode : 0, /* openat2 refuses a mode that would mean nothing */
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        autoclose int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd = -1;

        /* EAGAIN: something in the tree was renamed meanwhile, and the kernel could not tell whether ".." still stays
         * beneath. */
        for (int tries = 0; dir_fd >= 0 && tries < 100; tries++) {
                fd = syscall(SYS_openat2, dir_fd, relative, &how, sizeof how);
                if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
                        break;
        }
        if (fd < 0)
                error_set_errno(error, errno, NULL, "Cannot open %s in %s", relative, dir);
        return fd;
}

bool file_sync(const char *path, GError **error)
{
        g_autofree char *folder = g_path_get_dirname(path);
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        autoclose int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || folder_fd < 0 || fsync(fd) < 0 || fsync(folder_fd) < 0)
                return error_set_errno(error, errno, NULL, "Cannot sync %s", path);
        return true;
}

bool file_sync_alone(const char *path, GError **error)
{
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        return (fd >= 0 && fsync(fd) == 0) || error_set_errno(error, errno, NULL, "Cannot sync %s", path);
}

bool dir_ensure(const char *path, GError **error)
{
        if (g_mkdir_with_parents(path, 0700) < 0)
                return error_set_errno(error, errno, NULL, "Cannot make the folder %s", path);
        return true;
}

/* Like open(2), but neither a symlink nor another file system: a forgotten mount inside is left alone. */
static int open_subfolder(int parent_fd, const char *name)
{
        struct open_how how = {
            .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
            .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
        };
        return syscall(SYS_openat2, parent_fd, name, &how, sizeof how);
}

static int remove_below(DIR *dir, int depth);

/* 0 or an errno. Something that vanished meanwhile is success. */
static int remove_entry(int parent_fd, const char *name, int depth)
{
        if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return errno;
        if (depth >= TREE_DEPTH_MAX)
                return ENAMETOOLONG;

        int fd = open_subfolder(parent_fd, name);
        if (fd < 0)
                return errno == ENOENT ? 0 : errno;
        g_autoptr(DIR) dir = fdopendir(fd);
        if (!dir)
                return close(fd), ENOMEM;
        int saved_errno = remove_below(dir, depth + 1);
        if (saved_errno)
                return saved_errno;
        return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

static int remove_below(DIR *dir, int depth)
{
        const struct dirent *entry;

        while ((errno = 0, entry = readdir(dir))) {
                if (g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, ".."))
                        continue;
                int saved_errno = remove_entry(dirfd(dir), entry->d_name, depth);
                if (saved_errno)
                        return saved_errno;
        }
        return errno;
}

bool dir_remove(const char *path, GError **error)
{
        g_autofree char *parent = g_path_get_dirname(path);
        g_autofree char *name = g_path_get_basename(path);
        autoclose int parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);

        int saved_errno = parent_fd < 0 ? errno : remove_entry(parent_fd, name, 0);
        if (saved_errno && saved_errno != ENOENT)
                return error_set_errno(error, saved_errno, NULL, "Cannot remove %s", path);
        return true;
}

bool dir_remove_durably(const char *path, GError **error)
{
        g_autofree char *parent = g_path_get_dirname(path);
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return true;
        return dir_remove(path, error) && file_sync_alone(parent, error);
}

bool path_names_device(const char *path)
{
        return g_str_has_prefix(path, "/dev/") && !g_str_has_prefix(path, "/dev/shm/");
}

int64_t dir_free_bytes(const char *path)
{
        struct statvfs st;
        if (statvfs(path, &st) < 0)
                return -1;
        return (int64_t)MIN((uint64_t)st.f_bavail * st.f_frsize, (uint64_t)INT64_MAX);
}

static const struct {
        int number;
        HostlerErrorCode code;
} errno_codes[] = {
    {ENOENT, HOSTLER_ERROR_NOT_FOUND},
    {ENOTDIR, HOSTLER_ERROR_NOT_FOUND},
    {EEXIST, HOSTLER_ERROR_EXISTS},
    {EACCES, HOSTLER_ERROR_DENIED},
    {EPERM, HOSTLER_ERROR_DENIED},
    {ELOOP, HOSTLER_ERROR_DENIED},
    {EXDEV, HOSTLER_ERROR_DENIED},
    {ENOSPC, HOSTLER_ERROR_READ_ONLY},
    {EROFS, HOSTLER_ERROR_READ_ONLY},
    {EDQUOT, HOSTLER_ERROR_READ_ONLY},
    {EBUSY, HOSTLER_ERROR_BUSY},
    {ETXTBSY, HOSTLER_ERROR_BUSY},
    {ENOMEM, HOSTLER_ERROR_NO_CAPACITY},
    {EMFILE, HOSTLER_ERROR_TOO_MANY},
    {ENFILE, HOSTLER_ERROR_TOO_MANY},
    {ETIMEDOUT, HOSTLER_ERROR_TIMEOUT},
    {EOPNOTSUPP, HOSTLER_ERROR_UNSUPPORTED},
    {ENOSYS, HOSTLER_ERROR_UNSUPPORTED},
    {EFBIG, HOSTLER_ERROR_TOO_LARGE},
    {ENAMETOOLONG, HOSTLER_ERROR_TOO_LARGE},
};

bool error_set_errno(GError **error, int saved_errno, const char *object, const char *format, ...)
{
        HostlerErrorCode code = HOSTLER_ERROR_FAILED;
        for (gsize i = 0; i < G_N_ELEMENTS(errno_codes); i++) {
                if (errno_codes[i].number == saved_errno)
                        code = errno_codes[i].code;
        }

        va_list arguments;
        va_start(arguments, format);
        g_autofree char *text = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        return error_set(error, code, object, "%s: %s", text, g_strerror(saved_errno));
}
