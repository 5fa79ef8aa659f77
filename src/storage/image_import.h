/*
 * Importing foreign disk images into the library: inspected (image_inspect.h), then copied into a qcow2 file of our own
 * by qemu-img under limits of memory, CPU time and file size. Blocks for minutes: worker threads only.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "storage/image_build.h"

typedef struct {
        const char *store_dir;     /* STATE/images */
        const char *name;          /* of the new image */
        const char *file;          /* absolute path */
        HostlerImageFormat format; /* absent: found from the header; raw must be said */
        bool cloud_init;
        const char *description; /* or NULL */
        ImageProgressFunc progress;
        void *progress_data;
        GCancellable *cancellable;
} ImageImport;

/*
 * Only the inspected copy, of @import->file in @to (absolute) as "qcow2" or "raw"; its name, store and description do
 * not count. The same errors; what it has written of @to is the caller's to remove.
 */
bool image_import_copy(const ImageImport *import, const char *to, const char *to_format, GError **error);
/* HOSTLER_ERROR_EXISTS, _INVALID (the check that refused), _NO_CAPACITY, _TIMEOUT, _CANCELLED. Nothing is left behind
 * on failure. */
bool image_import_file(const ImageImport *import, HostlerImage *ret_image, GError **error);
