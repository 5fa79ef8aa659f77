/*
 * Volumes: the disk files of VMs, qcow2 or raw. Which of the two is in the file's name, whatever its first sector says:
 * what a guest writes there is the guest's. Nothing here waits for the disk
 * (fsync) but volume_create_filled(); the caller syncs once before it answers. Any thread; volume_grow() runs qemu-img
 * and blocks.
 *
 * A path may be an entry in a pool that keeps its volumes not as files (catalogue.h): all functions here see to that,
 * run programs of the pool's for it and so block; such a volume is qcow2. What QEMU's tools are given for a path is in
 * volume_tool.h.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define VOLUME_SIZE_MAX ((int64_t)64 << 40) /* 64 TiB */
#define VOLUME_QCOW2 ".qcow2"
#define VOLUME_RAW ".raw"

/* By the end of a file's name or path. Pure. */
bool volume_is_raw(const char *file);
/* "raw" or "qcow2", as QEMU calls it. Borrowed. */
const char *volume_format(const char *file);

typedef struct {
        int64_t size_bytes; /* what the guest sees */
        char *backing;      /* as it stands in the header (relative to the volume's folder), or NULL */
} VolumeInfo;
void volume_info_clear(VolumeInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VolumeInfo, volume_info_clear)

/*
 * Makes @path a qcow2 overlay of @size_bytes on @base_path (both absolute, normalised; the base's name goes in relative
 * to the overlay's folder, so that a state folder can be moved whole). @base_format is "qcow2" or "raw". Takes well
 * under a millisecond. HOSTLER_ERROR_EXISTS if @path exists, HOSTLER_ERROR_INVALID for a size that is no multiple of
 * 512, 0 or over VOLUME_SIZE_MAX.
 */
bool volume_create_overlay(const char *path, const char *base_path, const char *base_format, int64_t size_bytes,
                           GError **error);
/* What a header of @path says when it stands on @base_path: the way from one to the other or, where only QEMU reads
 * them, what their pool calls it. Caller frees. */
char *volume_name_below(const char *path, const char *base_path);
/* In the format that @path's name says. */
bool volume_create_empty(const char *path, int64_t size_bytes, GError **error);
/* The same, holding @length bytes (a multiple of 512, at most VOLUME_FILLED_MAX). Whole and on the disk, or not there.
 */
bool volume_create_filled(const char *path, const void *bytes, gsize length, GError **error);
#define VOLUME_FILLED_MAX ((gsize)512 << 20)
/* Reads the header of a qcow2 file with our own reader, of a raw one its length; never the data. HOSTLER_ERROR_INVALID
 * if what is called qcow2 is not. */
bool volume_info(const char *path, VolumeInfo *ret_info, GError **error);
/* Grows a volume no VM has open. HOSTLER_ERROR_INVALID when it would shrink. */
bool volume_grow(const char *path, int64_t size_bytes, GCancellable *cancellable, GError **error);
/* How much a qcow2 volume for a disk of @size_bytes may come to take, at the most. Pure. */
int64_t volume_room(int64_t size_bytes);
/* There is to be room for a disk of @size_bytes where its volume has a limit of its own, also while QEMU has it open.
 */
bool volume_make_room(const char *path, int64_t size_bytes, GError **error);
/* What it takes on the host; 0 when that cannot be known. */
int64_t volume_allocated(const char *path);
/* Whether there is a volume, which is not opened for it. */
bool volume_exists(const char *path);
/* Whether only QEMU can read it: no name of the host's leads to what is in it. */
bool volume_is_opaque(const char *path);
/* How QEMU opens what is not a file: arguments of blockdev-add; NULL for a file. The caller owns it. */
json_t *volume_node(const char *path);
/* Absent is success. */
bool volume_delete(const char *path, GError **error);
