/* Between image_build.c and the recipes it calls. */
#pragma once

#include "storage/image_build.h"

typedef struct {
        const ImageBuild *build;
        const char *scratch; /* folder that is removed afterwards */
        const char *output;  /* folder that becomes the image */
} ImageWork;

void image_progress(const ImageWork *work, int percent, const char *text);
/* File or folder of the recipes (image/ in the source tree), from $HOSTLER_DATA_DIR, beside the running binary's build
 * folder, or where they were installed. Caller frees; NULL and error if there is none. */
char *image_data(const char *relative, GError **error);
/* Converts raw file @raw to the image's disk. */
bool image_disk_convert(const ImageWork *work, const char *raw, GError **error);

/* The recipes: fill the output folder and, of @image, cmdline. */
bool image_make_tiny(const ImageWork *work, HostlerImage *image, GError **error);
bool image_make_tiny_full(const ImageWork *work, HostlerImage *image, GError **error);
bool image_make_debian12(const ImageWork *work, HostlerImage *image, GError **error);
