/*
 * Whole copies of volumes' files. See volume_copy.h. Called by the vm layer for clones and moves of disks that no QEMU
 * has open; those that one has open, it copies itself.
 */
#include "storage/volume_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/catalogue.h"
#include "storage/volume.h"
#include "storage/volume_tool.h"

#define PIECE ((size_t)4 << 20)

typedef struct {
        int from, to;
        int64_t size_bytes;
        bool plain; /* copy_file_range() does not do it here */
        char *buffer;
        VolumeProgressFunc progress;
        void *data;
        GCancellable *cancellable;
} Copying;

/* How much was copied; -1 and errno. */
static ssize_t copy_plainly(Copying *copying, int64_t offset, size_t length)
{
        copying->buffer = copying->buffer ? copying->buffer : g_malloc(PIECE);
        ssize_t got = pread(copying->from, copying->buffer, length, offset);
        ssize_t put = got > 0 ? pwrite(copying->to, copying->buffer, (size_t)got, offset) : got;
        if (got == 0)
                errno = EIO; /* the file has become shorter */
        return put > 0 ? put : -1;
}

static ssize_t copy_piece(Copying *copying, int64_t offset, size_t length)
{
        loff_t in = offset, out = offset;
        ssize_t done = copying->plain ? -1 : copy_file_range(copying->from, &in, copying->to, &out, length, 0);
        if (done > 0)
                return done;
        /* Between file systems, or where the kernel cannot: it is tried once. */
        copying->plain = true;
        return copy_plainly(copying, offset, length);
}

static bool copy_data(Copying *copying, int64_t offset, int64_t end, GError **error)
{
        while (offset < end) {
                if (g_cancellable_is_cancelled(copying->cancellable))
                        return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "the copy was cancelled");
                ssize_t done = copy_piece(copying, offset, MIN((size_t)(end - offset), PIECE));
                if (done < 0)
                        return error_set_errno(error, errno, NULL, "cannot copy a disk");
                offset += done;
                if (copying->progress)
                        copying->progress(100.0 * (double)offset / (double)copying->size_bytes, copying->data);
        }
        return true;
}

static bool copy_all(Copying *copying, GError **error)
{
        if (ftruncate(copying->to, copying->size_bytes) < 0)
                return error_set_errno(error, errno, NULL, "cannot make the copy of a disk");
        for (int64_t offset = 0; offset < copying->size_bytes;) {
                off_t data = lseek(copying->from, offset, SEEK_DATA);
                if (data < 0 && errno == ENXIO)
                        return true; /* only a hole is left */
                off_t hole = data < 0 ? copying->size_bytes : lseek(copying->from, data, SEEK_HOLE);
                /* A file system that knows no holes: all is data. */
                int64_t begin = data < 0 ? offset : data, end = hole < 0 ? copying->size_bytes : hole;
                if (!copy_data(copying, begin, MIN(end, copying->size_bytes), error))
                        return false;
                offset = end;
        }
        return true;
}

static bool copy(Copying *copying, GError **error)
{
        struct stat status;
        if (fstat(copying->from, &status) < 0)
                return error_set_errno(error, errno, NULL, "cannot look at a disk");
        copying->size_bytes = status.st_size;
        bool ok = ioctl(copying->to, FICLONE, copying->from) == 0 || copy_all(copying, error);
        g_free(copying->buffer);
        return ok && (fsync(copying->to) == 0 || error_set_errno(error, errno, NULL, "cannot write a disk"));
}

static bool copy_file(const char *from, const char *to, VolumeProgressFunc progress, void *data,
                      GCancellable *cancellable, GError **error)
{
        autoclose int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        autoclose int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (in < 0 || out < 0)
                return error_set_errno(error, errno, NULL, "cannot open %s", in < 0 ? from : to);
        Copying copying = {.from = in, .to = out, .progress = progress, .data = data, .cancellable = cancellable};
        if (copy(&copying, error) && file_sync(to, error))
                return true;
        unlink(to);
        return false;
}

/* How much the copy has to hold: what is there as bytes, whatever they mean. */
static int64_t bytes_of(const char *path, const CatalogueEntry *entry, GError **error)
{
        struct stat status;
        if (entry->volumes)
                return entry->volumes->room(&entry->pool, path, error);
        if (stat(path, &status) == 0)
                return status.st_size;
        error_set_errno(error, errno, NULL, "cannot look at %s", path);
        return -1;
}

static bool put_target(const char *from, const CatalogueEntry *source, const char *to, const CatalogueEntry *target,
                       GError **error)
{
        g_auto(VolumeInfo) info = {0};
        int64_t bytes = bytes_of(from, source, error);
        return bytes >= 0 && volume_info(from, &info, error) &&
               target->volumes->put(&target->pool, to, MAX(bytes, volume_room(info.size_bytes)), NULL, error);
}

bool volume_copy(const char *from, const char *to, VolumeProgressFunc progress, void *data, GCancellable *cancellable,
                 GError **error)
{
        g_auto(CatalogueEntry) source = {0}, target = {0};
        bool is_entry = catalogue_find(from, &source), to_entry = catalogue_find(to, &target);
        if (!is_entry && !to_entry)
                return copy_file(from, to, progress, data, cancellable, error);
        if (to_entry && !put_target(from, &source, to, &target, error))
                return false;
        const VolumeTool tool = {.progress = progress, .data = data, .cancellable = cancellable};
        if (volume_tool_copy(&tool, from, to, to_entry, error))
                return true;
        volume_delete(to, NULL);
        return false;
}
