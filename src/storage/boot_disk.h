/* A disk that a PC BIOS can start: MBR with one partition, GRUB in front of it. Blocks: worker threads only. */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#define BOOT_DISK_PARTITION_OFFSET ((int64_t)1 << 20)

/*
 * Writes GRUB and the partition table into raw file @path, whose partition of @partition_bytes begins at
 * BOOT_DISK_PARTITION_OFFSET.
 * @config is GRUB's first configuration file, built into it. @scratch is a folder for what is made on the way.
 */
bool boot_disk_install(const char *path, int64_t partition_bytes, const char *config, const char *scratch,
                       GCancellable *cancellable, GError **error);
