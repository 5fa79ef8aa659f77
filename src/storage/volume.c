/*
 * Makes and reads the qcow2 files of VMs. New ones are written by hand (docs/interop/qcow2.txt of QEMU, version 3):
 * starting qemu-img takes longer than starting a VM. What is in foreign files is image_inspect.c's business. Called by
 * the VM layer.
 *
 * Layout of a new file, in clusters of 64 KiB: header, refcount table, one refcount block, L1 table; no data. One that
 * is filled goes on with one L2 table and the data.
 */
#include "storage/volume.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/catalogue.h"
#include "storage/volume_tool.h"

#define QCOW2_MAGIC 0x514649fb
#define CLUSTER_BITS 16
#define CLUSTER ((int64_t)1 << CLUSTER_BITS)
#define QCOW2_COPIED ((uint64_t)1 << 63)
#define L2_COVERS (CLUSTER / 8 * CLUSTER) /* bytes of guest disk behind one entry of the L1 table */
#define FIRST_L1_CLUSTER 3
#define BACKING_FORMAT_EXTENSION 0xe2792aca
#define BACKING_NAME_MAX 1023 /* QEMU's limit */
#define GROW_TIMEOUT_MS (5 * 60 * 1000)
#define SPARE_BYTES ((int64_t)64 << 20)

/* On disk, big endian. */
typedef struct __attribute__((packed)) {
        uint32_t magic, version;
        uint64_t backing_offset;
        uint32_t backing_length, cluster_bits;
        uint64_t size;
        uint32_t crypt_method, l1_entries;
        uint64_t l1_offset, refcount_table_offset;
        uint32_t refcount_table_clusters, n_snapshots;
        uint64_t snapshots_offset;
        uint64_t incompatible, compatible, autoclear;
        uint32_t refcount_order, header_length;
} Qcow2Header;

typedef struct __attribute__((packed)) {
        uint32_t type, length;
} Extension;

bool volume_is_raw(const char *file)
{
        return g_str_has_suffix(file, VOLUME_RAW);
}

const char *volume_format(const char *file)
{
        return volume_is_raw(file) ? "raw" : "qcow2";
}

void volume_info_clear(VolumeInfo *info)
{
        g_clear_pointer(&info->backing, g_free);
}

static bool size_check(int64_t size_bytes, GError **error)
{
        if (size_bytes > 0 && size_bytes <= VOLUME_SIZE_MAX && size_bytes % 512 == 0)
                return true;
        return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                         "A disk's size is a multiple of 512 bytes between 512 bytes and 64 TiB");
}

/* "/s/vms/1/disk0.qcow2", "/s/images/tiny/disk.qcow2" → "../../images/tiny/disk.qcow2". */
static char *relative_path(const char *from_file, const char *to)
{
        g_autofree char *from = g_path_get_dirname(from_file);
        g_auto(GStrv) from_parts = g_strsplit(from, "/", -1);
        g_auto(GStrv) to_parts = g_strsplit(to, "/", -1);
        GString *relative = g_string_new(NULL);
        guint common = 0;

        while (from_parts[common] && to_parts[common] && strcmp(from_parts[common], to_parts[common]) == 0)
                common++;
        for (char **part = from_parts + common; *part; part++)
                g_string_append(relative, "../");
        for (char **part = to_parts + common; *part; part++)
                g_string_append_printf(relative, "%s%s", *part, part[1] ? "/" : "");
        return g_string_free(relative, FALSE);
}

static int64_t l1_clusters(int64_t l1_entries)
{
        return (l1_entries * 8 + CLUSTER - 1) / CLUSTER;
}

static Qcow2Header header_new(int64_t size_bytes)
{
        return (Qcow2Header){
            .magic = htobe32(QCOW2_MAGIC),
            .version = htobe32(3),
            .cluster_bits = htobe32(CLUSTER_BITS),
            .size = htobe64((uint64_t)size_bytes),
            .l1_entries = htobe32((uint32_t)((size_bytes + L2_COVERS - 1) / L2_COVERS)),
            .l1_offset = htobe64(FIRST_L1_CLUSTER * CLUSTER),
            .refcount_table_offset = htobe64(CLUSTER),
            .refcount_table_clusters = htobe32(1),
            .refcount_order = htobe32(4),
            .header_length = htobe32(sizeof(Qcow2Header)),
        };
}

/* The header's cluster: header, extensions, and the backing file's name where the header says. */
static GByteArray *header_cluster(Qcow2Header *header, const char *backing, const char *format)
{
        static const uint8_t zeros[8];
        GByteArray *bytes = g_byte_array_new();
        gsize format_length = backing ? strlen(format) : 0;
        Extension extension = {htobe32(BACKING_FORMAT_EXTENSION), htobe32((uint32_t)format_length)};
        Extension end = {0, 0};

        if (backing) {
                gsize padded = (format_length + 7) & ~(gsize)7;

                header->backing_offset = htobe64(sizeof *header + sizeof extension + padded + sizeof end);
                header->backing_length = htobe32((uint32_t)strlen(backing));
        }
        g_byte_array_append(bytes, (const uint8_t *)header, sizeof *header);
        if (backing) {
                g_byte_array_append(bytes, (const uint8_t *)&extension, sizeof extension);
                g_byte_array_append(bytes, (const uint8_t *)format, (guint)format_length);
                g_byte_array_append(bytes, zeros, (guint)(-format_length & 7));
        }
        g_byte_array_append(bytes, (const uint8_t *)&end, sizeof end);
        if (backing)
                g_byte_array_append(bytes, (const uint8_t *)backing, (guint)strlen(backing));
        return bytes;
}

static bool write_at(int fd, const void *data, gsize length, int64_t offset)
{
        ssize_t written = pwrite(fd, data, length, offset);

        if (written >= 0 && (gsize)written != length)
                errno = ENOSPC;
        return written == (ssize_t)length;
}

/* Everything but the header is zeros, except these. */
static bool write_refcounts(int fd, int64_t n_clusters)
{
        g_autofree uint16_t *counts = g_new(uint16_t, (gsize)n_clusters);
        uint64_t block_offset = htobe64(2 * CLUSTER);

        for (int64_t i = 0; i < n_clusters; i++)
                counts[i] = htobe16(1);
        return write_at(fd, &block_offset, sizeof block_offset, CLUSTER) &&
               write_at(fd, counts, (gsize)n_clusters * sizeof *counts, 2 * CLUSTER);
}

static bool create_file(const char *path, int64_t size_bytes, const char *backing, const char *format, GError **error)
{
        Qcow2Header header = header_new(size_bytes);
        g_autoptr(GByteArray) first = header_cluster(&header, backing, format);
        int64_t n_clusters = FIRST_L1_CLUSTER + l1_clusters(be32toh(header.l1_entries));
        autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return error_set_errno(error, errno, NULL, "Making disk %s", path);
        if (ftruncate(fd, n_clusters * CLUSTER) == 0 && write_at(fd, first->data, first->len, 0) &&
            write_refcounts(fd, n_clusters))
                return true;
        error_set_errno(error, errno, NULL, "Writing disk %s", path);
        unlink(path);
        return false;
}

/* Tables are one part in 5,000, and a QEMU that is killed may leave clusters that nobody uses. */
int64_t volume_room(int64_t size_bytes)
{
        return size_bytes + size_bytes / 1000 / CLUSTER * CLUSTER + SPARE_BYTES;
}

static bool create_entry(const CatalogueEntry *entry, const char *path, int64_t size_bytes, const char *backing,
                         const char *format, GError **error)
{
        g_autofree char *content = g_strconcat(path, ".new", NULL);
        unlink(content);
        bool ok = create_file(content, size_bytes, backing, format, error) &&
                  entry->volumes->put(&entry->pool, path, volume_room(size_bytes), content, error);
        unlink(content);
        return ok;
}

static bool create(const char *path, int64_t size_bytes, const char *backing, const char *format, GError **error)
{
        g_auto(CatalogueEntry) entry = {0};
        return catalogue_find(path, &entry) ? create_entry(&entry, path, size_bytes, backing, format, error)
                                            : create_file(path, size_bytes, backing, format, error);
}

/* Where a volume is no file, QEMU knows no folder that a name were relative to. */
char *volume_name_below(const char *path, const char *base_path)
{
        if (volume_is_opaque(base_path))
                return volume_argument(base_path);
        return volume_is_opaque(path) ? g_strdup(base_path) : relative_path(path, base_path);
}

bool volume_create_overlay(const char *path, const char *base_path, const char *base_format, int64_t size_bytes,
                           GError **error)
{
        g_autofree char *backing = volume_name_below(path, base_path);

        if (!size_check(size_bytes, error))
                return false;
        if (strcmp(base_format, "qcow2") != 0 && strcmp(base_format, "raw") != 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "A disk stands on qcow2 or raw, not on %s",
                                 base_format);
        if (strlen(backing) > BACKING_NAME_MAX)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "The path of %s is too long for a base",
                                 base_path);
        return create(path, size_bytes, backing, base_format, error);
}

/* Bytes as the guest sees them, and holes where it has written none. */
static bool create_raw(const char *path, int64_t size_bytes, GError **error)
{
        g_auto(CatalogueEntry) entry = {0};
        if (catalogue_find(path, &entry))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "pool %s keeps qcow2 volumes only",
                                 entry.pool.name);
        autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "Making disk %s", path);
        if (ftruncate(fd, size_bytes) == 0)
                return true;
        error_set_errno(error, errno, NULL, "Writing disk %s", path);
        unlink(path);
        return false;
}

bool volume_create_empty(const char *path, int64_t size_bytes, GError **error)
{
        return size_check(size_bytes, error) && (volume_is_raw(path) ? create_raw(path, size_bytes, error)
                                                                     : create(path, size_bytes, NULL, NULL, error));
}

/* The one L2 table, and the data behind it; the file was just created. */
static bool fill(int fd, const void *bytes, gsize length)
{
        int64_t l2 = FIRST_L1_CLUSTER + 1, n_data = ((int64_t)length + CLUSTER - 1) / CLUSTER;
        uint64_t l1_entry = htobe64(QCOW2_COPIED | (uint64_t)(l2 * CLUSTER));
        g_autofree uint64_t *entries = g_new(uint64_t, (gsize)n_data);

        for (int64_t i = 0; i < n_data; i++)
                entries[i] = htobe64(QCOW2_COPIED | (uint64_t)((l2 + 1 + i) * CLUSTER));
        return ftruncate(fd, (l2 + 1 + n_data) * CLUSTER) == 0 && write_refcounts(fd, l2 + 1 + n_data) &&
               write_at(fd, &l1_entry, sizeof l1_entry, FIRST_L1_CLUSTER * CLUSTER) &&
               write_at(fd, entries, (gsize)n_data * sizeof *entries, l2 * CLUSTER) &&
               write_at(fd, bytes, length, (l2 + 1) * CLUSTER);
}

static bool create_filled(const char *path, const void *bytes, gsize length, GError **error)
{
        if (!volume_create_empty(path, (int64_t)length, error))
                return false;
        autoclose int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        return (fd >= 0 && fill(fd, bytes, length)) || error_set_errno(error, errno, NULL, "Writing disk %s", path);
}

bool volume_create_filled(const char *path, const void *bytes, gsize length, GError **error)
{
        g_autofree char *half = g_strconcat(path, ".new", NULL);

        if (length > VOLUME_FILLED_MAX)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "A filled disk has at most 512 MiB");
        unlink(half);
        if (create_filled(half, bytes, length, error) && file_sync(half, error)) {
                if (rename(half, path) == 0)
                        return file_sync(path, error);
                error_set_errno(error, errno, NULL, "Making disk %s", path);
        }
        unlink(half);
        return false;
}

static bool backing_read(int fd, const Qcow2Header *header, VolumeInfo *info)
{
        uint32_t length = be32toh(header->backing_length);

        if (header->backing_offset == 0 || length == 0)
                return true;
        if (length > BACKING_NAME_MAX || be64toh(header->backing_offset) > (uint64_t)CLUSTER * 32)
                return false;
        info->backing = g_malloc0(length + 1);
        return pread(fd, info->backing, length, (off_t)be64toh(header->backing_offset)) == (ssize_t)length;
}

bool volume_info(const char *path, VolumeInfo *ret_info, GError **error)
{
        Qcow2Header header = {0};
        struct stat status;
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

        *ret_info = (VolumeInfo){0};
        if (fd >= 0 && volume_is_opaque(path))
                return volume_tool_info(path, ret_info, error);
        if (fd < 0 || fstat(fd, &status) < 0)
                return error_set_errno(error, errno, NULL, "Reading disk %s", path);
        if (volume_is_raw(path)) {
                ret_info->size_bytes = status.st_size;
                return true;
        }
        if (pread(fd, &header, sizeof header, 0) < 72 || be32toh(header.magic) != QCOW2_MAGIC ||
            be64toh(header.size) > (uint64_t)VOLUME_SIZE_MAX || !backing_read(fd, &header, ret_info)) {
                volume_info_clear(ret_info);
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not a qcow2 disk", path);
        }
        ret_info->size_bytes = (int64_t)be64toh(header.size);
        return true;
}

bool volume_make_room(const char *path, int64_t size_bytes, GError **error)
{
        g_auto(CatalogueEntry) entry = {0};
        return !catalogue_find(path, &entry) ||
               entry.volumes->make_room(&entry.pool, path, volume_room(size_bytes), error);
}

bool volume_grow(const char *path, int64_t size_bytes, GCancellable *cancellable, GError **error)
{
        g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, size_bytes), *argument = volume_argument(path);
        const char *const argv[] = {"qemu-img", "resize", "-q", "-f", volume_format(path), argument, size, NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = GROW_TIMEOUT_MS, .cancellable = cancellable};
        g_auto(VolumeInfo) info = {0};

        if (!size_check(size_bytes, error) || !volume_info(path, &info, error))
                return false;
        if (size_bytes < info.size_bytes)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "A disk cannot shrink: it has %" G_GINT64_FORMAT " bytes", info.size_bytes);
        return size_bytes == info.size_bytes ||
               (volume_make_room(path, size_bytes, error) && process_run(&options, NULL, error));
}

int64_t volume_allocated(const char *path)
{
        g_auto(CatalogueEntry) entry = {0};
        struct stat status;
        if (catalogue_find(path, &entry))
                return entry.volumes->allocated(&entry.pool, path);
        return stat(path, &status) == 0 ? (int64_t)status.st_blocks * 512 : 0;
}

bool volume_exists(const char *path)
{
        g_auto(CatalogueEntry) entry = {0};
        struct stat status;
        return lstat(path, &status) == 0 && (S_ISREG(status.st_mode) || catalogue_find(path, &entry));
}

bool volume_is_opaque(const char *path)
{
        g_auto(CatalogueEntry) entry = {0};
        return catalogue_find(path, &entry) && entry.volumes->name;
}

json_t *volume_node(const char *path)
{
        g_auto(CatalogueEntry) entry = {0};
        return catalogue_find(path, &entry) ? entry.volumes->node(&entry.pool, path) : NULL;
}

bool volume_delete(const char *path, GError **error)
{
        g_auto(CatalogueEntry) entry = {0};
        if (catalogue_find(path, &entry))
                return entry.volumes->remove(&entry.pool, path, error);
        g_autofree char *folder = g_path_get_dirname(path);
        if (unlink(path) < 0)
                return errno == ENOENT || error_set_errno(error, errno, NULL, "Deleting disk %s", path);
        /* Else it might be there again after a power failure, when nobody knows of it any more. */
        return file_sync_alone(folder, error);
}
