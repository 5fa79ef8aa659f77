/*
 * The image library: one folder per image under STATE/images, with image.json (HostlerImage), disk.qcow2 and, for
 * images that are booted by their own kernel, vmlinuz and initrd. An image appears as a whole and never changes,
 * because disks of VMs stand on it. All functions read the folder afresh; any thread. @store_dir is STATE/images.
 * HostlerImage.used_by is left empty: the VM layer knows.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

#define IMAGE_DISK "disk.qcow2"
#define IMAGE_KERNEL "vmlinuz"
#define IMAGE_INITRD "initrd"

/* [a-z0-9][a-z0-9.:-]{0,63} */
bool image_name_valid(const char *name);
/* Folder of image @name: "debian:12" → STORE/debian_12 ("_" cannot be in a name). Caller frees; the name must be valid.
 */
char *image_folder(const char *store_dir, const char *name);

/* All images, by name. @ret_images is filled and freed with record_clear() of each item and free(). */
bool image_list(const char *store_dir, HostlerImageList *ret_images, GError **error);
/* HOSTLER_ERROR_NOT_FOUND with near names as causes, and a hint to build it if it can be built. */
bool image_find(const char *store_dir, const char *name, HostlerImage *ret_image, GError **error);
/* Removes it, at once for everybody else. The caller has made sure that nothing stands on it. HOSTLER_ERROR_NOT_FOUND.
 */
bool image_remove(const char *store_dir, const char *name, GError **error);

/* What a VM needs of an image. Absolute paths; kernel and initrd are NULL when the boot loader on the disk starts it.
 */
typedef struct {
        char *disk, *kernel, *initrd, *cmdline;
        int64_t size_bytes; /* virtual size of the disk */
        bool cloud_init, agent;
} ImagePaths;
bool image_paths(const char *store_dir, const char *name, ImagePaths *ret_paths, GError **error);
void image_paths_clear(ImagePaths *paths);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImagePaths, image_paths_clear)

/* ---- for those that make images ---- */
/* A new private folder in @store_dir in which an image is put together. Caller frees the path, and removes the folder
 * on failure. */
char *image_stage(const char *store_dir, GError **error);
/*
 * Turns staged folder @stage into @image->name: fills in size, allocated and created, writes image.json and moves it
 * into place. With
 * @replace one of the same name is removed, else it is HOSTLER_ERROR_EXISTS. Everything is on the disk when this
 * returns.
 */
bool image_commit(const char *store_dir, const char *stage, HostlerImage *image, bool replace, GError **error);
/* Removes what a daemon that was killed left half made. Call once at start. */
void image_sweep(const char *store_dir);
