/*
 * Verbs on images: the work is in src/storage; here are names of users, events, and what is undone.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/image_build.h"
#include "storage/image_import.h"
#include "vm/manager.h"

bool image_ls(const Call *call, const HostlerImageLsArgs *args, HostlerImageList *ret_result, GError **error)
{
        return image_list(manager_image_dir(call->manager), ret_result, error);
}

static bool show(Manager *manager, const char *name, HostlerImage *ret_image, GError **error)
{
        if (!image_find(manager_image_dir(manager), name, ret_image, error))
                return false;
        ret_image->used_by = manager_image_users(manager, name);
        return true;
}

bool image_show(const Call *call, const HostlerImageShowArgs *args, HostlerImage *ret_result, GError **error)
{
        return show(call->manager, args->image, ret_result, error);
}

static bool refuse_used(Manager *manager, const char *name, GError **error)
{
        g_auto(GStrv) users = manager_image_users(manager, name);
        if (!users[0])
                return true;
        g_autofree char *list = g_strjoinv(", ", users), *object = g_strdup_printf("image/%s", name);
        error_set(error, HOSTLER_ERROR_BUSY, object, "disks of these VMs stand on it: %s", list);
        return error_hint(error, "remove them for ever first: hostler rm --now %s", users[0]);
}

static void tell_progress(int percent, const char *text, void *data)
{
        job_progress(data, percent, "%s", text);
}

static void tell_created(Job *job, const char *name)
{
        g_autofree char *object = g_strdup_printf("image/%s", name);
        event_emit(manager_events(job_manager(job)), "image-created", object, NULL);
}

bool image_build(Job *job, const HostlerImageBuildArgs *args, HostlerImage *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *cache = g_build_filename(manager_state_dir(manager), "cache", NULL);
        ImageBuild build = {
            .store_dir = manager_image_dir(manager),
            .cache_dir = cache,
            .name = args->image,
            .force = args->force,
            .progress = tell_progress,
            .progress_data = job,
            .cancellable = job_cancellable(job),
        };
        if (!args->force && show(manager, args->image, ret_result, NULL))
                return true;
        if (args->force && !refuse_used(manager, args->image, error))
                return false;
        record_init(&hostler_image_type, ret_result);
        if (!job_step(job, "build", "build %s from Debian packages", args->image))
                return true;
        if (!dir_ensure(cache, error) || !image_make(&build, ret_result, error))
                return false;
        tell_created(job, args->image);
        return true;
}

bool image_import(Job *job, const HostlerImageImportArgs *args, HostlerImage *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        ImageImport import = {
            .store_dir = manager_image_dir(manager),
            .name = args->image,
            .file = args->file,
            .format = args->format,
            .cloud_init = args->cloud_init,
            .description = args->description,
            .progress = tell_progress,
            .progress_data = job,
            .cancellable = job_cancellable(job),
        };
        record_init(&hostler_image_type, ret_result);
        if (!job_step(job, "import", "inspect %s and copy it in", args->file))
                return true;
        if (!image_import_file(&import, ret_result, error))
                return false;
        tell_created(job, args->image);
        return true;
}

bool image_rm(Job *job, const HostlerImageRmArgs *args, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *object = g_strdup_printf("image/%s", args->image);
        HostlerImage image;
        /* Run again after a crash: it is gone. */
        if (job_recall(job, "removing") && !image_find(manager_image_dir(manager), args->image, &image, NULL))
                return true;
        if (!image_find(manager_image_dir(manager), args->image, &image, error))
                return false;
        record_clear(&hostler_image_type, &image);
        if (!refuse_used(manager, args->image, error))
                return false;
        if (!job_step(job, "remove", "remove it"))
                return true;
        if (!job_remember(job, "removing", json_true(), error) ||
            !image_remove(manager_image_dir(manager), args->image, error))
                return false;
        event_emit(manager_events(manager), "image-removed", object, NULL);
        return true;
}
