/*
 * Verbs on volumes that no VM has: create, grow, rm, import, export. What is made has its name only when it is whole;
 * until the point of no return the journal removes it. The turn of all of them is their pool's.
 */
#include "vm/pool/volume_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "storage/image_import.h"
#include "storage/volume.h"
#include "storage/volume_copy.h"
#include "storage/volume_tool.h"
#include "vm/pool/unattached.h"

#define PARTIAL ".hostler-partial"
#define EXPORT_TIMEOUT_MS ((int64_t)6 * 60 * 60 * 1000)
#define SIZE_MIN (1 << 20)

/* ---- making ---- */

/* A volume to be: where it will be, and where it is until it is whole. */
typedef struct {
        Job *job;
        const char *pool;
        char *file, *path, *partial;
} Making;

static void making_clear(Making *making)
{
        g_free(making->file);
        g_free(making->path);
        g_free(making->partial);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, making_clear)

static bool check_name(const char *name, const char *file, GError **error)
{
        g_autofree char *was = unattached_was(file);
        return !was ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is what a kept disk of a VM would be called", name);
}

static bool begin(Making *making, Job *job, const char *pool, const char *name, HostlerDiskFormat format,
                  GError **error)
{
        Manager *manager = job_manager(job);
        making->job = job;
        making->pool = pool;
        making->file = g_strconcat(name, format == HOSTLER_DISK_FORMAT_RAW ? VOLUME_RAW : VOLUME_QCOW2, NULL);
        if (!check_name(name, making->file, error) || !unattached_check_free(manager, pool, name, error) ||
            !(making->path = pools_kept(manager, pool, making->file, error)))
                return false;
        g_autofree char *folder = g_path_get_dirname(making->path);
        /* Its ending says the format to whoever writes it. */
        making->partial = g_strdup_printf("%s/.%s", folder, making->file);
        return true;
}

static bool journal(const Making *making, GError **error)
{
        return job_undo(making->job, "volume-remove",
                        json_pack("{s:s, s:s}", "pool", making->pool, "file", making->file), error);
}

/* Beside the pool's folder: "/s/pools/fast/volumes/data.qcow2" → "/s/pools/fast.data.qcow2". */
static char *stage_of(const char *path)
{
        g_autofree char *folder = g_path_get_dirname(path), *pool = g_path_get_dirname(folder);
        g_autofree char *file = g_path_get_basename(path);
        return g_strdup_printf("%s.%s", pool, file);
}

bool operation_volume_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *file = json_string_value(json_object_get(args, "file"));
        const char *pool = json_string_value(json_object_get(args, "pool"));
        g_autofree char *path = file && pool ? pools_kept(manager, pool, file, error) : NULL;
        if (!path)
                return false;
        g_autofree char *folder = g_path_get_dirname(path), *partial = g_strdup_printf("%s/.%s", folder, file);
        g_autofree char *stage = stage_of(path);
        json_auto_t *node = volume_node(path);
        return (!node || volume_delete(stage, error)) && volume_delete(partial, error) && volume_delete(path, error);
}

static bool complete(const Making *making, HostlerVolume *ret_volume, GError **error)
{
        Manager *manager = job_manager(making->job);
        g_autofree char *object = g_strdup_printf("pool/%s", making->pool);
        if (!file_sync(making->partial, error) || !unattached_move(making->partial, making->path, error) ||
            !file_sync(making->path, error) || !job_commit(making->job, error))
                return false;
        event_emit(manager_events(manager), "volume-created", object, json_pack("{s:s}", "name", making->file));
        record_clear(&hostler_volume_type, ret_volume);
        return volume_describe(making->pool, making->path, ret_volume, error);
}

bool volume_create(Job *job, const HostlerVolumeCreateArgs *args, HostlerVolume *ret_result, GError **error)
{
        g_auto(Making) making = {0};
        record_init(&hostler_volume_type, ret_result);
        if (!begin(&making, job, args->pool, args->volume, args->format, error))
                return false;
        if (!job_step(job, "create", "create %s", making.file))
                return true;
        if (!journal(&making, error) || !volume_create_empty(making.partial, args->size, error))
                return false;
        return !job_step(job, "place", "give it its name") || complete(&making, ret_result, error);
}

static void tell_progress(int percent, const char *text, void *data)
{
        job_progress(data, percent, "%s", text);
}

/* Disks have a least size; what is added reads as zeros. */
static bool grow_to_least(Job *job, const char *path, GError **error)
{
        g_auto(VolumeInfo) info = {0};
        if (!volume_info(path, &info, error))
                return false;
        return info.size_bytes >= SIZE_MIN || volume_grow(path, SIZE_MIN, job_cancellable(job), error);
}

/* A tool that reads foreign bytes is given nothing to write to but a file, so where volumes are none it goes in two
 * steps. */
static bool copy_in(const Making *making, const ImageImport *import, GError **error)
{
        g_autofree char *stage = stage_of(making->path);
        json_auto_t *node = volume_node(making->partial);
        if (!node)
                return image_import_copy(import, making->partial, volume_format(making->file), error);
        bool ok = volume_delete(stage, error) && image_import_copy(import, stage, volume_format(making->file), error) &&
                  volume_copy(stage, making->partial, NULL, NULL, import->cancellable, error);
        volume_delete(stage, NULL);
        return ok;
}

bool volume_import(Job *job, const HostlerVolumeImportArgs *args, HostlerVolume *ret_result, GError **error)
{
        g_auto(Making) making = {0};
        const ImageImport import = {.file = args->file,
                                    .format = args->from,
                                    .progress = tell_progress,
                                    .progress_data = job,
                                    .cancellable = job_cancellable(job)};
        record_init(&hostler_volume_type, ret_result);
        if (!begin(&making, job, args->pool, args->volume, args->format, error))
                return false;
        if (!job_step(job, "import", "inspect %s and copy it in", args->file))
                return true;
        if (!journal(&making, error) || !copy_in(&making, &import, error) || !grow_to_least(job, making.partial, error))
                return false;
        return !job_step(job, "place", "give it its name") || complete(&making, ret_result, error);
}

/* ---- grow, rm ---- */

bool volume_grow_unattached(Job *job, const HostlerVolumeGrowArgs *args, HostlerVolume *ret_result, GError **error)
{
        g_auto(Unattached) volume = {0};
        record_init(&hostler_volume_type, ret_result);
        if (!unattached_find(job_manager(job), args->pool, args->volume, &volume, error))
                return false;
        if (job_step(job, "grow", "grow %s", volume.file) &&
            (!volume_grow(volume.path, args->size, job_cancellable(job), error) || !file_sync(volume.path, error)))
                return false;
        record_clear(&hostler_volume_type, ret_result);
        return volume_describe(volume.pool, volume.path, ret_result, error);
}

bool volume_rm(Job *job, const HostlerVolumeRmArgs *args, GError **error)
{
        Manager *manager = job_manager(job);
        g_auto(Unattached) volume = {0};
        g_autofree char *object = g_strdup_printf("pool/%s", args->pool);
        bool again = job_recall(job, "removing") != NULL;
        if (!unattached_find(manager, args->pool, args->volume, &volume, again ? NULL : error))
                return again;
        if (!job_step(job, "delete", "delete %s", volume.file))
                return true;
        if (!job_remember(job, "removing", json_true(), error) || !volume_delete(volume.path, error))
                return false;
        event_emit(manager_events(manager), "volume-removed", object, json_pack("{s:s}", "name", volume.file));
        return true;
}

/* ---- export ---- */

static char *partial_of(const char *path)
{
        return g_strconcat(path, PARTIAL, NULL);
}

static const char *path_of(const json_t *args, GError **error)
{
        const char *path = json_string_value(json_object_get(args, "path"));
        if (!path || !g_path_is_absolute(path))
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "the journal names no file");
        return path;
}

bool operation_export_place(Manager *manager, const json_t *args, GError **error)
{
        const char *path = path_of(args, error);
        if (!path)
                return false;
        g_autofree char *partial = partial_of(path);
        return !g_file_test(partial, G_FILE_TEST_EXISTS) ||
               (unattached_move(partial, path, error) && file_sync(path, error));
}

bool operation_export_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *path = path_of(args, error);
        if (!path)
                return false;
        g_autofree char *partial = partial_of(path);
        return volume_delete(partial, error);
}

static void follow(const char *line, void *data)
{
        const char *open = strchr(line, '(');
        if (open && strstr(open, "/100%"))
                job_progress(data, g_ascii_strtod(open + 1, NULL), "copying");
}

/* Into a file that we have made ourselves, by its descriptor: whatever its name leads to meanwhile. */
static bool convert(Job *job, const Unattached *volume, int fd, const char *format, GError **error)
{
        g_autofree char *to = g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), fd);
        g_autofree char *from = volume_argument(volume->path);
        const char *const argv[] = {"qemu-img", "convert", "-p", "-f", volume_format(volume->file),
                                    "-O",       format,    from, to,   NULL};
        ProcessOptions options = {.argv = argv,
                                  .timeout_ms = EXPORT_TIMEOUT_MS,
                                  .cancellable = job_cancellable(job),
                                  .line = follow,
                                  .line_data = job};
        return process_run(&options, NULL, error) &&
               (fsync(fd) == 0 || error_set_errno(error, errno, NULL, "cannot write %s", volume->file));
}

static bool check_target(const Unattached *volume, const char *path, GError **error)
{
        g_autofree char *folder = g_path_get_dirname(path), *partial = partial_of(path);
        if (g_file_test(path, G_FILE_TEST_EXISTS) || g_file_test(partial, G_FILE_TEST_EXISTS))
                return error_set(error, HOSTLER_ERROR_EXISTS, NULL, "%s is there already, or is being written", path);
        if (path_names_device(path) || !g_file_test(folder, G_FILE_TEST_IS_DIR))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s cannot be made: %s is no folder for files",
                                 path, folder);
        int64_t free_bytes = dir_free_bytes(folder), wanted_bytes = volume_allocated(volume->path);
        if (free_bytes < 0 || free_bytes > wanted_bytes)
                return true;
        g_autofree char *have = size_format(free_bytes), *want = size_format(wanted_bytes);
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "%s has %s left and the volume takes %s", folder, have,
                         want);
}

static bool write_file(Job *job, const Unattached *volume, const HostlerVolumeExportArgs *args, GError **error)
{
        g_autofree char *partial = partial_of(args->file);
        json_auto_t *where = json_pack("{s:s}", "path", args->file);
        if (!job_undo(job, "export-remove", json_incref(where), error))
                return false;
        autoclose int fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "cannot make %s", partial);
        if (!convert(job, volume, fd, hostler_image_format_enum.values[args->format], error))
                return false;
        if (!job_step(job, "place", "give it its name"))
                return true;
        return job_finish(job, "export-place", json_incref(where), error) && job_commit(job, error) &&
               operation_export_place(job_manager(job), where, error);
}

bool volume_export(Job *job, const HostlerVolumeExportArgs *args, GError **error)
{
        g_auto(Unattached) volume = {0};
        if (!unattached_find(job_manager(job), args->pool, args->volume, &volume, error) ||
            !check_target(&volume, args->file, error))
                return false;
        return !job_step(job, "export", "write %s", args->file) || write_file(job, &volume, args, error);
}
