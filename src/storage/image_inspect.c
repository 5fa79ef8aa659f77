/*
 * Reads headers of qcow2, vmdk, vhdx and vdi files, refusing whatever an import should not follow or trust. Never
 * writes, never reads guest data, never opens a second file. Called by image_import.c and by the fuzzer.
 */
#include "storage/image_inspect.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

/* A view of the file's beginning: all reads are checked against it. */
typedef struct {
        const uint8_t *bytes;
        size_t length;
        int64_t file_size;
} View;

static bool refuse(GError **error, const char *format, const char *check)
{
        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "Refused %s image: %s", format, check);
}

static bool has(const View *view, size_t offset, size_t length)
{
        return offset <= view->length && length <= view->length - offset;
}

/* Unchecked: the caller has asked has(). */
static uint64_t big(const View *view, size_t offset, size_t width)
{
        uint64_t value = 0;

        for (size_t i = 0; i < width; i++)
                value = value << 8 | view->bytes[offset + i];
        return value;
}

static uint64_t little(const View *view, size_t offset, size_t width)
{
        uint64_t value = 0;

        for (size_t i = width; i-- > 0;)
                value = value << 8 | view->bytes[offset + i];
        return value;
}

static bool starts_with(const View *view, size_t offset, const void *magic, size_t length)
{
        return has(view, offset, length) && memcmp(view->bytes + offset, magic, length) == 0;
}

static bool in_file(const View *view, uint64_t offset, uint64_t length)
{
        uint64_t size = (uint64_t)view->file_size;

        return offset <= size && length <= size - offset;
}

static bool size_fits(uint64_t size)
{
        return size > 0 && size <= (uint64_t)INSPECT_SIZE_MAX;
}

/* ---- qcow2 ---- */

enum {
        QCOW2_VERSION = 4,
        QCOW2_BACKING_OFFSET = 8,
        QCOW2_CLUSTER_BITS = 20,
        QCOW2_SIZE = 24,
        QCOW2_CRYPT = 32,
        QCOW2_L1_ENTRIES = 36,
        QCOW2_L1_OFFSET = 40,
        QCOW2_REFCOUNT_OFFSET = 48,
        QCOW2_REFCOUNT_CLUSTERS = 56,
        QCOW2_SNAPSHOTS = 60,
        QCOW2_SNAPSHOTS_OFFSET = 64,
        QCOW2_V2_LENGTH = 72,
        QCOW2_INCOMPATIBLE = 72,
        QCOW2_REFCOUNT_ORDER = 96,
        QCOW2_HEADER_LENGTH = 100,
        QCOW2_V3_LENGTH = 104,
        QCOW2_COMPRESSION = 104,
};

#define QCOW2_DIRTY (1u << 0)
#define QCOW2_CORRUPT (1u << 1)
#define QCOW2_DATA_FILE (1u << 2)
#define QCOW2_COMPRESSION_TYPE (1u << 3)
#define QCOW2_EXTENDED_L2 (1u << 4)
#define QCOW2_L1_MAX_BYTES (32u << 20) /* QEMU's own limit */
#define QCOW2_REFCOUNT_MAX_BYTES (8u << 20)
#define QCOW2_SNAPSHOTS_MAX 65536
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXTENSION_DATA_FILE 0x44415441u
#define QCOW2_EXTENSION_CRYPTO 0x0537be77u

/* *ret_reason stays NULL when all is well, as in the functions below. */
static const char *qcow2_features(const View *view)
{
        uint64_t features = big(view, QCOW2_INCOMPATIBLE, 8);
        uint64_t header_length = big(view, QCOW2_HEADER_LENGTH, 4);

        if (features & QCOW2_DATA_FILE)
                return "it keeps its data in another file";
        if (features & QCOW2_CORRUPT)
                return "it is marked corrupt";
        if (features & ~(uint64_t)(QCOW2_DIRTY | QCOW2_COMPRESSION_TYPE | QCOW2_EXTENDED_L2))
                return "it needs features that are not known";
        if (header_length < QCOW2_V3_LENGTH || header_length > 4096 || header_length % 8 != 0 ||
            !has(view, 0, (size_t)header_length))
                return "its header's length is absurd";
        if (big(view, QCOW2_REFCOUNT_ORDER, 4) > 6)
                return "its reference counts' width is absurd";
        if ((features & QCOW2_COMPRESSION_TYPE) &&
            (header_length <= QCOW2_COMPRESSION || view->bytes[QCOW2_COMPRESSION] > 1))
                return "its compression is not known";
        return NULL;
}

static const char *qcow2_extensions(const View *view, size_t offset, size_t end)
{
        for (int i = 0; i < 64; i++) {
                uint64_t type, length;

                if (offset + 8 > end || !has(view, offset, 8))
                        return NULL;
                type = big(view, offset, 4);
                length = big(view, offset + 4, 4);
                offset += 8;
                if (type == 0)
                        return NULL;
                if (type == QCOW2_EXTENSION_DATA_FILE)
                        return "it names a data file";
                if (type == QCOW2_EXTENSION_CRYPTO)
                        return "it is encrypted";
                if (type == QCOW2_EXTENSION_BACKING_FORMAT)
                        return "it names a backing format";
                if (length > end - offset)
                        return "a header extension leaves the header";
                offset += (size_t)((length + 7) & ~(uint64_t)7);
        }
        return "it has too many header extensions";
}

static const char *qcow2_tables(const View *view, uint64_t cluster)
{
        uint64_t size = big(view, QCOW2_SIZE, 8), l1_bytes = big(view, QCOW2_L1_ENTRIES, 4) * 8;
        bool extended = big(view, QCOW2_VERSION, 4) == 3 && (big(view, QCOW2_INCOMPATIBLE, 8) & QCOW2_EXTENDED_L2);
        uint64_t covers = cluster / (extended ? 16 : 8) * cluster;
        uint64_t refcount_bytes = big(view, QCOW2_REFCOUNT_CLUSTERS, 4) * cluster;
        uint64_t l1_offset = big(view, QCOW2_L1_OFFSET, 8), refcount_offset = big(view, QCOW2_REFCOUNT_OFFSET, 8);

        if (!size_fits(size))
                return "its virtual size is zero or over 64 TiB";
        if (l1_bytes > QCOW2_L1_MAX_BYTES || l1_bytes / 8 < (size + covers - 1) / covers)
                return "its L1 table does not fit its size";
        if (l1_offset % cluster != 0 || !in_file(view, l1_offset, l1_bytes))
                return "its L1 table is not in the file";
        if (refcount_bytes == 0 || refcount_bytes > QCOW2_REFCOUNT_MAX_BYTES || refcount_offset == 0 ||
            refcount_offset % cluster != 0 || !in_file(view, refcount_offset, refcount_bytes))
                return "its reference counts are not in the file";
        if (big(view, QCOW2_SNAPSHOTS, 4) > QCOW2_SNAPSHOTS_MAX ||
            !in_file(view, big(view, QCOW2_SNAPSHOTS_OFFSET, 8), big(view, QCOW2_SNAPSHOTS, 4) * 40))
                return "its snapshots are not in the file";
        return NULL;
}

static const char *qcow2_check(const View *view, int64_t *ret_size)
{
        uint64_t version, cluster_bits;
        const char *reason = NULL;

        if (!has(view, 0, QCOW2_V2_LENGTH))
                return "its header is cut off";
        version = big(view, QCOW2_VERSION, 4);
        cluster_bits = big(view, QCOW2_CLUSTER_BITS, 4);
        if (version != 2 && version != 3)
                return "its version is not 2 or 3";
        if (big(view, QCOW2_BACKING_OFFSET, 8) != 0)
                return "it has a backing file";
        if (big(view, QCOW2_CRYPT, 4) != 0)
                return "it is encrypted";
        if (cluster_bits < 9 || cluster_bits > 21)
                return "its cluster size is absurd";
        if (version == 3)
                reason = has(view, 0, QCOW2_V3_LENGTH) ? qcow2_features(view) : "its header is cut off";
        if (!reason)
                reason =
                    qcow2_extensions(view, version == 3 ? (size_t)big(view, QCOW2_HEADER_LENGTH, 4) : QCOW2_V2_LENGTH,
                                     (size_t)1 << cluster_bits);
        *ret_size = (int64_t)big(view, QCOW2_SIZE, 8);
        return reason ? reason : qcow2_tables(view, (uint64_t)1 << cluster_bits);
}

/* ---- vmdk ---- */

#define VMDK_DESCRIPTOR_MAX (64 << 10)
#define SECTOR 512

enum {
        VMDK_VERSION = 4,
        VMDK_FLAGS = 8,
        VMDK_CAPACITY = 12, /* sectors */
        VMDK_GRAIN = 20,
        VMDK_DESCRIPTOR_OFFSET = 28,
        VMDK_DESCRIPTOR_SIZE = 36,
        VMDK_TABLE_ENTRIES = 44,
        VMDK_LENGTH = 79,
};

/* The lines that say where data is: one extent, sparse, in this very file. */
static const char *vmdk_extents(char **lines)
{
        int n_extents = 0;

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(g_strstrip(*line), " ", 5);

                if (g_strv_length(words) < 4 ||
                    (g_ascii_strcasecmp(words[0], "RW") != 0 && g_ascii_strcasecmp(words[0], "RDONLY") != 0 &&
                     g_ascii_strcasecmp(words[0], "NOACCESS") != 0))
                        continue;
                if (g_ascii_strcasecmp(words[2], "SPARSE") != 0)
                        return "an extent is not sparse";
                if (strchr(words[3], '/') || strchr(words[3], '\\'))
                        return "an extent names a path";
                n_extents++;
        }
        return n_extents == 1 ? NULL : "it does not have exactly one extent";
}

/* createType and parentCID of the descriptor; keys may have blanks around "=". */
static const char *vmdk_settings(char **lines)
{
        bool type_ok = false;

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) pair = g_strsplit(*line, "=", 2);

                if (g_strv_length(pair) != 2)
                        continue;
                g_strdelimit(pair[1], "\"", ' ');
                g_strstrip(pair[0]);
                g_strstrip(pair[1]);
                if (g_ascii_strcasecmp(pair[0], "parentFileNameHint") == 0)
                        return "it has a parent";
                if (g_ascii_strcasecmp(pair[0], "parentCID") == 0 && g_ascii_strcasecmp(pair[1], "ffffffff") != 0)
                        return "it has a parent";
                if (g_ascii_strcasecmp(pair[0], "createType") == 0) {
                        if (g_ascii_strcasecmp(pair[1], "monolithicSparse") != 0 &&
                            g_ascii_strcasecmp(pair[1], "streamOptimized") != 0)
                                return "it is neither monolithicSparse nor streamOptimized";
                        type_ok = true;
                }
        }
        return type_ok ? NULL : "its descriptor does not say what it is";
}

static const char *vmdk_descriptor(const View *view, uint64_t offset, uint64_t length)
{
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        const char *reason;

        if (offset == 0 || length == 0 || length > VMDK_DESCRIPTOR_MAX || offset > INSPECT_HEAD_BYTES ||
            !has(view, (size_t)offset, (size_t)length))
                return "it has no embedded descriptor";
        text = g_strndup((const char *)view->bytes + offset, (gsize)length);
        lines = g_strsplit_set(text, "\r\n", 4096);
        reason = vmdk_settings(lines);
        return reason ? reason : vmdk_extents(lines);
}

static const char *vmdk_check(const View *view, int64_t *ret_size)
{
        uint64_t capacity, version, grain, entries;

        if (!has(view, 0, VMDK_LENGTH))
                return "its header is cut off";
        version = little(view, VMDK_VERSION, 4);
        capacity = little(view, VMDK_CAPACITY, 8);
        grain = little(view, VMDK_GRAIN, 8);
        entries = little(view, VMDK_TABLE_ENTRIES, 4);
        if (version < 1 || version > 3)
                return "its version is not known";
        if (capacity > (uint64_t)INSPECT_SIZE_MAX / SECTOR || capacity == 0)
                return "its virtual size is zero or over 64 TiB";
        if (grain < 8 || grain > 2048 || (grain & (grain - 1)) != 0)
                return "its grain size is absurd";
        if (entries == 0 || entries > 512 * 4)
                return "its grain tables are absurd";
        *ret_size = (int64_t)(capacity * SECTOR);
        if (little(view, VMDK_DESCRIPTOR_OFFSET, 8) > INSPECT_HEAD_BYTES ||
            little(view, VMDK_DESCRIPTOR_SIZE, 8) > VMDK_DESCRIPTOR_MAX)
                return "its descriptor is too far in or too long";
        return vmdk_descriptor(view, little(view, VMDK_DESCRIPTOR_OFFSET, 8) * SECTOR,
                               little(view, VMDK_DESCRIPTOR_SIZE, 8) * SECTOR);
}

/* ---- vhdx ---- */

/* GUIDs as they lie in the file. */
static const uint8_t vhdx_metadata_region[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                                 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t vhdx_bat_region[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                            0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t vhdx_file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t vhdx_disk_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                           0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const uint8_t vhdx_parent_locator[16] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                                0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

#define VHDX_REGION_TABLE (192 << 10)
#define VHDX_HEADERS (64 << 10)
#define VHDX_REGIONS_MAX 16
#define VHDX_ITEMS_MAX 64
#define VHDX_HAS_PARENT 2u

static const char *vhdx_items(const View *view, size_t table, int64_t *ret_size)
{
        uint64_t n_items = has(view, table, 32) ? little(view, table + 10, 2) : 0;
        bool has_parameters = false, has_size = false;

        if (!starts_with(view, table, "metadata", 8) || n_items > VHDX_ITEMS_MAX ||
            !has(view, table, 32 + 32 * n_items))
                return "its metadata table is damaged";
        for (size_t i = 0; i < n_items; i++) {
                size_t item = table + 32 + 32 * i;
                uint64_t offset = little(view, item + 16, 4);

                if (starts_with(view, item, vhdx_parent_locator, 16))
                        return "it has a parent";
                if (offset > (1 << 20) || !has(view, table + (size_t)offset, 8))
                        return "a metadata item is out of reach";
                if (starts_with(view, item, vhdx_file_parameters, 16)) {
                        has_parameters = true;
                        if (little(view, table + (size_t)offset + 4, 4) & VHDX_HAS_PARENT)
                                return "it has a parent";
                } else if (starts_with(view, item, vhdx_disk_size, 16)) {
                        uint64_t size = little(view, table + (size_t)offset, 8);

                        if (!size_fits(size))
                                return "its virtual size is zero or over 64 TiB";
                        has_size = true;
                        *ret_size = (int64_t)size;
                }
        }
        return has_parameters && has_size ? NULL : "its metadata is incomplete";
}

static const char *vhdx_check(const View *view, int64_t *ret_size)
{
        uint64_t n_regions, metadata = 0;

        if (!starts_with(view, VHDX_HEADERS, "head", 4) || !starts_with(view, VHDX_REGION_TABLE, "regi", 4) ||
            !has(view, VHDX_REGION_TABLE, 16))
                return "its headers are cut off";
        n_regions = little(view, VHDX_REGION_TABLE + 8, 4);
        if (n_regions > VHDX_REGIONS_MAX || !has(view, VHDX_REGION_TABLE, 16 + 32 * n_regions))
                return "its region table is damaged";
        for (size_t i = 0; i < n_regions; i++) {
                size_t region = VHDX_REGION_TABLE + 16 + 32 * i;
                uint64_t offset = little(view, region + 16, 8), length = little(view, region + 24, 4);

                if (!in_file(view, offset, length))
                        return "a region is not in the file";
                if (starts_with(view, region, vhdx_metadata_region, 16))
                        metadata = offset;
                else if (!starts_with(view, region, vhdx_bat_region, 16))
                        return "it has a region that is not known";
        }
        if (metadata == 0 || metadata > SIZE_MAX / 2)
                return "it has no metadata";
        return vhdx_items(view, (size_t)metadata, ret_size);
}

/* ---- vdi ---- */

enum {
        VDI_SIGNATURE = 64,
        VDI_VERSION = 68,
        VDI_TYPE = 76,
        VDI_MAP_OFFSET = 340,
        VDI_DATA_OFFSET = 344,
        VDI_DISK_SIZE = 368,
        VDI_BLOCK_SIZE = 376,
        VDI_BLOCKS = 384,
        VDI_LINK = 424, /* UUID of what it stands on, and of its parent */
        VDI_LENGTH = 456,
};

static const char *vdi_check(const View *view, int64_t *ret_size)
{
        static const uint8_t no_link[32];
        uint64_t type, size, blocks, block_size;

        if (!has(view, 0, VDI_LENGTH))
                return "its header is cut off";
        type = little(view, VDI_TYPE, 4);
        size = little(view, VDI_DISK_SIZE, 8);
        block_size = little(view, VDI_BLOCK_SIZE, 4);
        blocks = little(view, VDI_BLOCKS, 4);
        if (little(view, VDI_VERSION, 4) != 0x00010001)
                return "its version is not 1.1";
        if (type != 1 && type != 2)
                return "it is neither dynamic nor static";
        if (memcmp(view->bytes + VDI_LINK, no_link, sizeof no_link) != 0)
                return "it has a parent";
        if (!size_fits(size))
                return "its virtual size is zero or over 64 TiB";
        if (block_size != 1 << 20 || blocks < (size + block_size - 1) / block_size || blocks > INSPECT_SIZE_MAX >> 20)
                return "its block map does not fit its size";
        if (little(view, VDI_MAP_OFFSET, 4) % SECTOR != 0 ||
            !in_file(view, little(view, VDI_MAP_OFFSET, 4), blocks * 4) ||
            !in_file(view, little(view, VDI_DATA_OFFSET, 4), 0))
                return "its block map is not in the file";
        *ret_size = (int64_t)size;
        return NULL;
}

/* ---- raw, and all of them ---- */

static const char *raw_check(const View *view, int64_t *ret_size)
{
        *ret_size = view->file_size;
        return size_fits((uint64_t)view->file_size) && view->file_size % SECTOR == 0
                   ? NULL
                   : "its size is zero, over 64 TiB or no multiple of 512";
}

static const struct {
        HostlerImageFormat format;
        const char *name;
        size_t magic_offset;
        const char *magic;
        size_t magic_length;
        const char *(*check)(const View *view, int64_t *ret_size);
} kinds[] = {
    {HOSTLER_IMAGE_FORMAT_QCOW2, "qcow2", 0, "QFI\xfb", 4, qcow2_check},
    {HOSTLER_IMAGE_FORMAT_VMDK, "vmdk", 0, "KDMV", 4, vmdk_check},
    {HOSTLER_IMAGE_FORMAT_VHDX, "vhdx", 0, "vhdxfile", 8, vhdx_check},
    {HOSTLER_IMAGE_FORMAT_VDI, "vdi", VDI_SIGNATURE, "\x7f\x10\xda\xbe", 4, vdi_check},
    {HOSTLER_IMAGE_FORMAT_RAW, "raw", 0, "", 0, raw_check},
};

static bool unknown(const View *view, GError **error)
{
        if (starts_with(view, 0, "# Disk DescriptorFile", 21))
                return refuse(error, "vmdk", "it is only a descriptor of other files");
        error_set(error, HOSTLER_ERROR_INVALID, NULL, "The file is none of qcow2, vmdk, vhdx, vdi by its header");
        return error_hint(error, "A raw disk image has no header: say --format raw.");
}

bool image_inspect_bytes(const uint8_t *bytes, size_t length, int64_t file_size, HostlerImageFormat format,
                         ImageFacts *ret_facts, GError **error)
{
        View view = {bytes, length, file_size};

        *ret_facts = (ImageFacts){0};
        for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
                bool is_magic = starts_with(&view, kinds[i].magic_offset, kinds[i].magic, kinds[i].magic_length);
                const char *reason;

                if (format ? kinds[i].format != format : !is_magic || kinds[i].format == HOSTLER_IMAGE_FORMAT_RAW)
                        continue;
                reason =
                    is_magic ? kinds[i].check(&view, &ret_facts->size_bytes) : "its header is not one of this format";
                if (reason)
                        return refuse(error, kinds[i].name, reason);
                ret_facts->format = kinds[i].format;
                return true;
        }
        return unknown(&view, error);
}

bool image_inspect_file(int fd, HostlerImageFormat format, ImageFacts *ret_facts, GError **error)
{
        g_autofree uint8_t *bytes = g_malloc(INSPECT_HEAD_BYTES);
        size_t length = 0;
        struct stat status;
        ssize_t n = 1;

        if (fstat(fd, &status) < 0)
                return error_set_errno(error, errno, NULL, "Reading the image");
        if (!S_ISREG(status.st_mode))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "An image to import is a regular file");
        while (length < INSPECT_HEAD_BYTES && n > 0) {
                n = pread(fd, bytes + length, INSPECT_HEAD_BYTES - length, (off_t)length);
                length += n > 0 ? (size_t)n : 0;
        }
        if (n < 0)
                return error_set_errno(error, errno, NULL, "Reading the image");
        return image_inspect_bytes(bytes, length, status.st_size, format, ret_facts, error);
}
