/*
 * Building images from Debian packages with the host's own package sources. Needs no root: tiny images need nothing but
 * apt-get, dpkg-deb, mke2fs, debugfs and qemu-img; debian:12 is made by mmdebstrap (in a user namespace when not root).
 * Blocks for minutes: worker threads only.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "base/record.h"

typedef void (*ImageProgressFunc)(int percent, const char *text, void *data);

typedef struct {
        const char *store_dir;      /* STATE/images */
        const char *cache_dir;      /* downloaded packages, kept between builds; absolute */
        const char *name;           /* one of image_buildable() */
        bool force;                 /* build it anew; the caller has made sure that nothing stands on the old one */
        ImageProgressFunc progress; /* called on the calling thread; may be NULL */
        void *progress_data;
        GCancellable *cancellable;
} ImageBuild;

/* What can be built; ends with name NULL. */
typedef struct {
        const char *name;
        const char *description;
        bool kernel, cloud_init, agent;
} ImageBuildable;
const ImageBuildable *image_buildable(void);

/*
 * Builds an image. One that exists is kept and is success unless @build->force. Nothing is left behind on failure.
 * HOSTLER_ERROR_NOT_FOUND for a name that cannot be built, HOSTLER_ERROR_UNSUPPORTED when a tool is missing on this
 * host, HOSTLER_ERROR_CANCELLED, HOSTLER_ERROR_FAILED with the tool's last words.
 */
bool image_make(const ImageBuild *build, HostlerImage *ret_image, GError **error);
