/*
 * Builds an image in a folder of its own and puts it into the library as a whole; what is in it is the recipes'
 * business (image_tiny.c, image_debian.c). Called by the image.build verb.
 */
#include "storage/image_build.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "hostler-records.h"
#include "storage/image.h"
#include "storage/image_recipe.h"

#define CONVERT_TIMEOUT_MS (20 * 60 * 1000)

static const ImageBuildable buildable[] = {
    {"tiny", "Debian's cloud kernel, busybox and the guest agent; boots in seconds", true, false, true},
    {"tiny-full", "Like tiny, with Debian's full kernel and all its drivers", true, false, true},
    {"debian:12", "Debian 12 with cloud-init and the guest agent", false, true, true},
    {NULL},
};

typedef bool (*RecipeFunc)(const ImageWork *work, HostlerImage *image, GError **error);
static const RecipeFunc recipes[] = {image_make_tiny, image_make_tiny_full, image_make_debian12};

const ImageBuildable *image_buildable(void)
{
        return buildable;
}

void image_progress(const ImageWork *work, int percent, const char *text)
{
        if (work->build->progress)
                work->build->progress(percent, text, work->build->progress_data);
}

char *image_data(const char *relative, GError **error)
{
        const char *chosen = g_getenv("HOSTLER_DATA_DIR");
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
        g_autofree char *binary_dir = self ? g_path_get_dirname(self) : g_strdup("/");
        g_autofree char *beside = g_build_filename(binary_dir, "..", "image", NULL);
        const char *const places[] = {chosen ? chosen : beside, chosen ? NULL : HOSTLER_DATA_DIR "/image", NULL};

        for (guint i = 0; places[i]; i++) {
                char *path = g_build_filename(places[i], relative, NULL);

                if (g_file_test(path, G_FILE_TEST_EXISTS))
                        return path;
                g_free(path);
        }
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "The image recipe file %s is not installed", relative);
        return NULL;
}

bool image_disk_convert(const ImageWork *work, const char *raw, GError **error)
{
        g_autofree char *disk = g_build_filename(work->output, IMAGE_DISK, NULL);
        const char *const argv[] = {"qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk, NULL};
        ProcessOptions options = {
            .argv = argv, .timeout_ms = CONVERT_TIMEOUT_MS, .cancellable = work->build->cancellable};

        return process_run(&options, NULL, error);
}

static const ImageBuildable *buildable_find(const char *name, RecipeFunc *ret_recipe)
{
        for (guint i = 0; buildable[i].name; i++) {
                *ret_recipe = recipes[i];
                if (strcmp(buildable[i].name, name) == 0)
                        return &buildable[i];
        }
        return NULL;
}

static void image_describe(HostlerImage *image, const ImageBuildable *kind)
{
        memset(image, 0, sizeof *image);
        image->name = g_strdup(kind->name);
        image->source = g_strdup("built");
        image->kernel = kind->kernel;
        image->cloud_init = kind->cloud_init;
        image->agent = kind->agent;
        image->description = g_strdup(kind->description);
}

/* Runs the recipe in @stage, which has the image in "image" and everything else in "scratch". */
static bool stage_fill(const ImageBuild *build, RecipeFunc recipe, const char *stage, HostlerImage *image,
                       GError **error)
{
        g_autofree char *scratch = g_build_filename(stage, "scratch", NULL);
        g_autofree char *output = g_build_filename(stage, "image", NULL);
        ImageWork work = {build, scratch, output};

        if (!dir_ensure(scratch, error) || !dir_ensure(output, error) || !recipe(&work, image, error))
                return false;
        image_progress(&work, 99, "putting it into the library");
        return image_commit(build->store_dir, output, image, build->force, error);
}

bool image_make(const ImageBuild *build, HostlerImage *ret_image, GError **error)
{
        RecipeFunc recipe = NULL;
        const ImageBuildable *kind = buildable_find(build->name, &recipe);
        g_autofree char *stage = NULL;
        bool done;

        if (!kind) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "There is no recipe for an image \"%s\"", build->name);
                return error_hint(error, "hostler image build tiny|tiny-full|debian:12");
        }
        if (!build->force && image_find(build->store_dir, build->name, ret_image, NULL))
                return true;
        stage = image_stage(build->store_dir, error);
        if (!stage)
                return false;
        image_describe(ret_image, kind);
        done = stage_fill(build, recipe, stage, ret_image, error);
        dir_remove(stage, NULL);
        if (!done) {
                record_clear(&hostler_image_type, ret_image);
                g_prefix_error(error, "Building image %s: ", build->name);
        }
        return done;
}
