/*
 * Puts GRUB for BIOS onto a raw disk without being root and without a loop device: what grub-install does is copying a
 * boot sector and a core image to fixed places. Called by the Debian image's recipe.
 *
 * boot.img loads the sector at the address in its bytes 0x5c-0x63; core.img, made by grub-mkimage, expects the rest of
 * itself in the sectors after that (grub-core/boot/i386/pc/{boot,diskboot}.S).
 */
#include "storage/boot_disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define SECTOR 512
#define GRUB_DIR "/usr/lib/grub/i386-pc"
#define KERNEL_SECTOR_OFFSET 0x5c
#define DRIVE_CHECK_OFFSET 0x66
#define PARTITION_TABLE_OFFSET 446
#define MKIMAGE_TIMEOUT_MS 60000

typedef struct __attribute__((packed)) {
        uint8_t active, first_chs[3], type, last_chs[3];
        uint32_t first_sector, n_sectors; /* little endian */
} Partition;

static bool write_at(int fd, const void *data, gsize length, int64_t offset, const char *path, GError **error)
{
        ssize_t written = pwrite(fd, data, length, offset);

        if (written == (ssize_t)length)
                return true;
        return error_set_errno(error, written < 0 ? errno : ENOSPC, NULL, "Writing %s", path);
}

static char *core_make(const char *config, const char *scratch, gsize *ret_length, GCancellable *cancellable,
                       GError **error)
{
        g_autofree char *core = g_build_filename(scratch, "core.img", NULL);
        const char *const argv[] = {
            "grub-mkimage", "-O",           "i386-pc", "-d",         GRUB_DIR,   "-p",         "(hd0,msdos1)/boot/grub",
            "-c",           config,         "-o",      core,         "biosdisk", "part_msdos", "ext2",
            "search",       "search_label", "normal",  "configfile", "linux",    "serial",     "terminal",
            "echo",         "test",         NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = MKIMAGE_TIMEOUT_MS, .cancellable = cancellable};

        if (!process_run(&options, NULL, error))
                return NULL;
        return file_read(core, BOOT_DISK_PARTITION_OFFSET - SECTOR, ret_length, error);
}

static bool boot_sector_write(int fd, const char *path, int64_t partition_bytes, GError **error)
{
        Partition partition = {
            .active = 0x80,
            .first_chs = {0xfe, 0xff, 0xff}, /* "see the sector numbers" */
            .type = 0x83,
            .last_chs = {0xfe, 0xff, 0xff},
            .first_sector = htole32((uint32_t)(BOOT_DISK_PARTITION_OFFSET / SECTOR)),
            .n_sectors = htole32((uint32_t)(partition_bytes / SECTOR)),
        };
        uint64_t kernel_sector = htole64(1);
        uint32_t signature = g_random_int();
        gsize length = 0;
        g_autofree char *sector = file_read(GRUB_DIR "/boot.img", SECTOR, &length, error);

        if (!sector)
                return false;
        if (length != SECTOR)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "GRUB's boot.img is not one sector");
        memcpy(sector + KERNEL_SECTOR_OFFSET, &kernel_sector, sizeof kernel_sector);
        /* Over the jump with which boot.img takes any drive for a floppy that the BIOS calls so. */
        memset(sector + DRIVE_CHECK_OFFSET, 0x90, 2);
        memcpy(sector + PARTITION_TABLE_OFFSET - 6, &signature, sizeof signature);
        memset(sector + PARTITION_TABLE_OFFSET, 0, 4 * sizeof partition);
        memcpy(sector + PARTITION_TABLE_OFFSET, &partition, sizeof partition);
        return write_at(fd, sector, SECTOR, 0, path, error);
}

bool boot_disk_install(const char *path, int64_t partition_bytes, const char *config, const char *scratch,
                       GCancellable *cancellable, GError **error)
{
        gsize length = 0;
        g_autofree char *core = core_make(config, scratch, &length, cancellable, error);
        autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (!core)
                return false;
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "Opening %s", path);
        return boot_sector_write(fd, path, partition_bytes, error) && write_at(fd, core, length, SECTOR, path, error);
}
