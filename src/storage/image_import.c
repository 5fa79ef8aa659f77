/*
 * Copies a foreign image into the library. The file is opened once; what was inspected is what qemu-img reads, through
 * that descriptor's path in /proc, so that nobody can swap it between the two. Called by the image.import verb.
 */
#include "storage/image_import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "hostler-records.h"
#include "storage/image.h"
#include "storage/image_inspect.h"

#define CONVERT_TIMEOUT_MS ((int64_t)4 * 60 * 60 * 1000)
#define CONVERT_MEMORY_BYTES ((int64_t)2 << 30)
#define CONVERT_CPU_SECONDS (2 * 60 * 60)
#define SPARE_BYTES ((int64_t)256 << 20)

/* qemu-img -p writes "    (12.34/100%)". */
static void follow(const char *line, void *data)
{
        const ImageImport *import = data;
        const char *open = strchr(line, '(');

        if (import->progress && open && strstr(open, "/100%"))
                import->progress(5 + (int)(g_ascii_strtod(open + 1, NULL) * 0.9), "copying", import->progress_data);
}

/* A copy is at most the file's own size and its tables, unless it is compressed: then the guest's size bounds it. */
static int64_t copy_limit(const ImageFacts *facts)
{
        return facts->size_bytes + facts->size_bytes / 512 + SPARE_BYTES;
}

/* @format: "qcow2" or "raw". */
static bool convert(const ImageImport *import, int fd, const ImageFacts *facts, const char *disk, const char *to_format,
                    GError **error)
{
        g_autofree char *source = g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), fd);
        g_autofree char *file_size = g_strdup_printf("--fsize=%" G_GINT64_FORMAT, copy_limit(facts));
        g_autofree char *memory = g_strdup_printf("--as=%" G_GINT64_FORMAT, CONVERT_MEMORY_BYTES);
        g_autofree char *cpu = g_strdup_printf("--cpu=%d", CONVERT_CPU_SECONDS);
        const char *format = hostler_image_format_enum.values[facts->format];
        const char *const argv[] = {"prlimit", memory, cpu,    file_size, "--core=0", "qemu-img", "convert", "-p",
                                    "-U",      "-f",   format, "-O",      to_format,  source,     disk,      NULL};
        ProcessOptions options = {.argv = argv,
                                  .timeout_ms = CONVERT_TIMEOUT_MS,
                                  .cancellable = import->cancellable,
                                  .line = follow,
                                  .line_data = (void *)import};

        return process_run(&options, NULL, error);
}

/* In @folder. */
static bool space_check(const ImageImport *import, int fd, const char *folder, GError **error)
{
        int64_t free_bytes = dir_free_bytes(folder);
        struct stat status;

        if (fstat(fd, &status) < 0)
                return error_set_errno(error, errno, NULL, "Reading %s", import->file);
        if (free_bytes < 0 || (int64_t)status.st_blocks * 512 + SPARE_BYTES <= free_bytes)
                return true;
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "There is not enough space for a copy of %s",
                         import->file);
}

static void describe(const ImageImport *import, HostlerImage *image)
{
        memset(image, 0, sizeof *image);
        image->name = g_strdup(import->name);
        image->source = g_strdup(import->file);
        image->cloud_init = import->cloud_init;
        image->description = g_strdup(import->description);
}

static bool copy_in(const ImageImport *import, int fd, const ImageFacts *facts, const char *stage, HostlerImage *image,
                    GError **error)
{
        g_autofree char *folder = g_build_filename(stage, "image", NULL);
        g_autofree char *disk = g_build_filename(folder, IMAGE_DISK, NULL);

        return dir_ensure(folder, error) && convert(import, fd, facts, disk, "qcow2", error) &&
               image_commit(import->store_dir, folder, image, false, error);
}

static bool name_check(const ImageImport *import, GError **error)
{
        g_autofree char *object = g_strconcat("image/", import->name, NULL);
        g_autofree char *folder = NULL;

        if (!image_name_valid(import->name))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "\"%s\" cannot be the name of an image",
                                 import->name);
        folder = image_folder(import->store_dir, import->name);
        if (g_file_test(folder, G_FILE_TEST_EXISTS))
                return error_set(error, HOSTLER_ERROR_EXISTS, object, "Image %s exists", import->name);
        return true;
}

bool image_import_copy(const ImageImport *import, const char *to, const char *to_format, GError **error)
{
        autoclose int fd = open(import->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        g_autofree char *folder = g_path_get_dirname(to);
        ImageFacts facts;
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "Opening %s", import->file);
        if (image_inspect_file(fd, import->format, &facts, error) && space_check(import, fd, folder, error) &&
            convert(import, fd, &facts, to, to_format, error))
                return true;
        g_prefix_error(error, "Importing %s: ", import->file);
        return false;
}

bool image_import_file(const ImageImport *import, HostlerImage *ret_image, GError **error)
{
        autoclose int fd = open(import->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        g_autofree char *stage = NULL;
        ImageFacts facts;
        bool done;

        if (fd < 0)
                return error_set_errno(error, errno, NULL, "Opening %s", import->file);
        if (!name_check(import, error) || !image_inspect_file(fd, import->format, &facts, error) ||
            !space_check(import, fd, import->store_dir, error))
                return false;
        stage = image_stage(import->store_dir, error);
        if (!stage)
                return false;
        describe(import, ret_image);
        done = copy_in(import, fd, &facts, stage, ret_image, error);
        dir_remove(stage, NULL);
        if (!done) {
                record_clear(&hostler_image_type, ret_image);
                g_prefix_error(error, "Importing %s: ", import->file);
        }
        return done;
}
