/*
 * Builds an image without a daemon: build-image STORE CACHE NAME. For tests and for trying a recipe; prints the
 * progress.
 */
#include <stdio.h>

#include "hostler-records.h"
#include "storage/image.h"
#include "storage/image_build.h"

static void show_progress(int percent, const char *text, void *data)
{
        printf("%3d %s\n", percent, text);
        fflush(stdout);
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;
        HostlerImage image = {0};

        if (argc != 4) {
                fprintf(stderr, "usage: build-image STORE CACHE NAME\n");
                return 2;
        }
        if (!image_make(&(ImageBuild){.store_dir = argv[1],
                                      .cache_dir = argv[2],
                                      .name = argv[3],
                                      .force = true,
                                      .progress = show_progress},
                        &image, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return 1;
        }
        record_clear(&hostler_image_type, &image);
        return 0;
}
