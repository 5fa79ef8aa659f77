/*
 * The image library: reads and changes the folder of images. Making what is in them is image_build.c's and
 * image_import.c's business. Called by the image verbs and by the VM layer when it makes a VM's disks.
 */
#include "storage/image.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "hostler-records.h"
#include "storage/image_build.h"
#include "storage/volume.h"

#define RECORD_FILE "image.json"
#define RECORD_LIMIT 65536
#define STAGE_PREFIX ".stage-"
#define NAME_MAX_LENGTH 64

bool image_name_valid(const char *name)
{
        gsize length = strlen(name);

        if (length == 0 || length > NAME_MAX_LENGTH || !(g_ascii_islower(*name) || g_ascii_isdigit(*name)))
                return false;
        return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.:-") == length;
}

static char *folder_name(const char *name)
{
        return g_strdelimit(g_strdup(name), ":", '_');
}

char *image_folder(const char *store_dir, const char *name)
{
        g_autofree char *folder = folder_name(name);

        return g_build_filename(store_dir, folder, NULL);
}

/* ---- reading ---- */

static bool record_load(const char *folder, HostlerImage *ret_image, GError **error)
{
        g_autofree char *path = g_build_filename(folder, RECORD_FILE, NULL);
        gsize length = 0;
        g_autofree char *text = file_read(path, RECORD_LIMIT, &length, error);
        json_t *json = text ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
        bool read = json && record_from_json(&hostler_image_type, json, "", ret_image, error);

        if (text && !json)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s is not JSON", path);
        json_decref(json);
        return read;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(((const HostlerImage *)a)->name, ((const HostlerImage *)b)->name);
}

bool image_list(const char *store_dir, HostlerImageList *ret_images, GError **error)
{
        g_autoptr(GDir) dir = NULL;
        const char *entry;

        *ret_images = (HostlerImageList){0};
        if (!dir_ensure(store_dir, error))
                return false;
        dir = g_dir_open(store_dir, 0, error);
        if (!dir)
                return false;
        while ((entry = g_dir_read_name(dir))) {
                g_autofree char *folder = g_build_filename(store_dir, entry, NULL);
                HostlerImage image = {0};

                /* A folder being put together, or something that is not ours: not an image. */
                if (*entry == '.' || !record_load(folder, &image, NULL))
                        continue;
                ret_images->items = g_realloc_n(ret_images->items, ret_images->count + 1, sizeof image);
                ret_images->items[ret_images->count++] = image;
        }
        if (ret_images->count > 0)
                qsort(ret_images->items, ret_images->count, sizeof *ret_images->items, by_name);
        return true;
}

static bool known_names(const char *store_dir, GStrv *ret_names)
{
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        HostlerImageList images;

        if (!image_list(store_dir, &images, NULL))
                return false;
        for (size_t i = 0; i < images.count; i++) {
                g_strv_builder_add(names, images.items[i].name);
                record_clear(&hostler_image_type, &images.items[i]);
        }
        g_free(images.items);
        for (const ImageBuildable *kind = image_buildable(); kind->name; kind++)
                g_strv_builder_add(names, kind->name);
        *ret_names = g_strv_builder_end(names);
        return true;
}

static bool not_found(const char *store_dir, const char *name, GError **error)
{
        g_autofree char *object = g_strconcat("image/", name, NULL);
        g_auto(GStrv) known = NULL;
        g_auto(GStrv) near = NULL;

        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "There is no image \"%s\"", name);
        if (known_names(store_dir, &known))
                near = names_near(name, (const char *const *)known);
        for (char **other = near; other && *other; other++)
                error_cause(error, NULL, "there is \"%s\"", *other);
        for (const ImageBuildable *kind = image_buildable(); kind->name; kind++)
                if (strcmp(kind->name, name) == 0)
                        error_hint(error, "hostler image build %s", name);
        return false;
}

bool image_find(const char *store_dir, const char *name, HostlerImage *ret_image, GError **error)
{
        g_autofree char *folder = image_folder(store_dir, name);

        if (!image_name_valid(name) || !g_file_test(folder, G_FILE_TEST_IS_DIR))
                return not_found(store_dir, name, error);
        return record_load(folder, ret_image, error);
}

bool image_paths(const char *store_dir, const char *name, ImagePaths *ret_paths, GError **error)
{
        g_autofree char *folder = image_folder(store_dir, name);
        HostlerImage image;

        *ret_paths = (ImagePaths){0};
        if (!image_find(store_dir, name, &image, error))
                return false;
        ret_paths->disk = g_build_filename(folder, IMAGE_DISK, NULL);
        if (image.kernel) {
                ret_paths->kernel = g_build_filename(folder, IMAGE_KERNEL, NULL);
                ret_paths->initrd = g_build_filename(folder, IMAGE_INITRD, NULL);
        }
        ret_paths->cmdline = g_strdup(image.cmdline);
        ret_paths->size_bytes = image.size;
        ret_paths->cloud_init = image.cloud_init;
        ret_paths->agent = image.agent;
        record_clear(&hostler_image_type, &image);
        return true;
}

void image_paths_clear(ImagePaths *paths)
{
        g_clear_pointer(&paths->disk, g_free);
        g_clear_pointer(&paths->kernel, g_free);
        g_clear_pointer(&paths->initrd, g_free);
        g_clear_pointer(&paths->cmdline, g_free);
}

/* ---- changing ---- */

char *image_stage(const char *store_dir, GError **error)
{
        g_autofree char *template = g_build_filename(store_dir, STAGE_PREFIX "XXXXXX", NULL);

        if (!dir_ensure(store_dir, error))
                return NULL;
        if (g_mkdtemp(template))
                return g_steal_pointer(&template);
        error_set_errno(error, errno, NULL, "Making a folder in %s", store_dir);
        return NULL;
}

bool image_remove(const char *store_dir, const char *name, GError **error)
{
        g_autofree char *folder = image_folder(store_dir, name);
        g_autofree char *stage = NULL;
        g_autofree char *aside = NULL;

        if (!image_name_valid(name) || !g_file_test(folder, G_FILE_TEST_IS_DIR))
                return not_found(store_dir, name, error);
        /* Moved out of sight first: gone as a whole, even if the power fails half-way through the files. */
        stage = image_stage(store_dir, error);
        if (!stage)
                return false;
        aside = g_build_filename(stage, "removed", NULL);
        if (rename(folder, aside) < 0)
                return error_set_errno(error, errno, NULL, "Removing image %s", name);
        return dir_remove(stage, error);
}

/* Makes the files read-only and counts what they take. */
static bool seal_entry(const char *stage, const char *entry, int64_t *allocated, GError **error)
{
        g_autofree char *path = g_build_filename(stage, entry, NULL);
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat status;

        if (fd < 0 || fstat(fd, &status) < 0 || fchmod(fd, 0400) < 0 || fsync(fd) < 0)
                return error_set_errno(error, errno, NULL, "Sealing %s", path);
        *allocated += (int64_t)status.st_blocks * 512;
        return true;
}

static bool record_fill(const char *stage, HostlerImage *image, GError **error)
{
        g_autofree char *disk = g_build_filename(stage, IMAGE_DISK, NULL);
        g_autoptr(GDir) dir = g_dir_open(stage, 0, error);
        g_auto(VolumeInfo) info = {0};
        const char *entry;

        if (!dir || !volume_info(disk, &info, error))
                return false;
        image->size = info.size_bytes;
        image->allocated = 0;
        image->created = time_format(clock_unix_ms());
        while ((entry = g_dir_read_name(dir)))
                if (!seal_entry(stage, entry, &image->allocated, error))
                        return false;
        return true;
}

static bool record_save(const char *stage, const HostlerImage *image, GError **error)
{
        g_autofree char *path = g_build_filename(stage, RECORD_FILE, NULL);
        json_t *json = record_to_json(&hostler_image_type, image, RECORD_STORED);
        char *text = json_dumps(json, JSON_INDENT(2));
        bool saved = file_write_atomic(path, text, strlen(text), 0600, true, error);

        free(text);
        json_decref(json);
        return saved;
}

bool image_commit(const char *store_dir, const char *stage, HostlerImage *image, bool replace, GError **error)
{
        g_autofree char *folder = image_folder(store_dir, image->name);
        g_autofree char *object = g_strconcat("image/", image->name, NULL);
        autoclose int store = -1;

        if (!image_name_valid(image->name))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "\"%s\" cannot be the name of an image",
                                 image->name);
        if (!record_fill(stage, image, error) || !record_save(stage, image, error))
                return false;
        if (replace && g_file_test(folder, G_FILE_TEST_IS_DIR) && !image_remove(store_dir, image->name, error))
                return false;
        /* Fails with ENOTEMPTY if another has put one there meanwhile: rename() replaces only an empty folder. */
        if (rename(stage, folder) < 0)
                return errno == ENOTEMPTY || errno == EEXIST
                           ? error_set(error, HOSTLER_ERROR_EXISTS, object, "Image %s exists", image->name)
                           : error_set_errno(error, errno, object, "Putting image %s into the library", image->name);
        store = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (store < 0 || fsync(store) < 0)
                return error_set_errno(error, errno, object, "Syncing %s", store_dir);
        return true;
}

void image_sweep(const char *store_dir)
{
        g_autoptr(GDir) dir = g_dir_open(store_dir, 0, NULL);
        const char *entry;

        while (dir && (entry = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(store_dir, entry, NULL);

                if (g_str_has_prefix(entry, STAGE_PREFIX))
                        dir_remove(path, NULL);
        }
}
