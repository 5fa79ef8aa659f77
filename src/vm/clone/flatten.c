/*
 * Flattening: a linked clone's disks get what they have from the VM it was made from, and it needs that one no more. An
 * image that they stand on stays. While the guest runs, its QEMU copies; else qemu-img does. The disk reads the same
 * bytes at each moment, so it can be cut off and begun again.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/volume_tool.h"
#include "vm/snapshot/layers_work.h"

typedef struct {
        Job *job;
        Vm *vm;
        const char *part;
        char **files; /* of the disk, head first: its own, then those of other VMs */
        guint own;    /* how many are its own */
        char *image;  /* the file below all of them; NULL: none */
} Flattening;

static void flattening_clear(Flattening *disk)
{
        g_strfreev(disk->files);
        g_free(disk->image);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Flattening, flattening_clear)

static bool look_at_disk(Flattening *disk, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(disk->vm);
        const HostlerPart *part = spec_part(&spec->value, disk->part);
        const char *name = part ? ((const HostlerDiskProps *)part->props)->image : NULL;
        g_auto(ImagePaths) image = {0};
        disk->files = vm_disk_files(disk->vm, disk->part);
        while (disk->files[disk->own] && disk_file_is_of(vm_dir(disk->vm), vm_id(disk->vm), disk->files[disk->own]))
                disk->own++;
        if (name && !image_paths(manager_image_dir(job_manager(disk->job)), name, &image, error))
                return false;
        disk->image = g_strdup(image.disk);
        return true;
}

/* ---- while it is off ---- */

static bool copy_offline(const Flattening *disk, GError **error)
{
        const VolumeTool tool = {.cancellable = job_cancellable(disk->job)};
        return volume_tool_rebase(&tool, disk->files[disk->own - 1], disk->image, error);
}

/* ---- while it runs ---- */

static bool drop_node(Qmp *qmp, const char *node, GError **error)
{
        g_autofree char *file = g_strdup_printf("%s.file", node);
        return qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, error) &&
               qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", file), NULL, error);
}

/* The nodes of files of other VMs are numbered from the bottom (device/disk.c). */
static char *foreign_node(const Flattening *disk, guint index)
{
        return g_strdup_printf("%s.o%u", disk->part, g_strv_length(disk->files) - 1 - index);
}

static bool copy_live(const Flattening *disk, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(disk->vm, error);
        g_autofree char *id = g_strdup_printf("flatten-%s", disk->part), *base = g_strdup_printf("%s.base", disk->part);
        g_autofree char *bottom = disk_layer_node(disk->files[disk->own - 1]), *top = foreign_node(disk, disk->own);
        LayersStream stream = {
            .id = id, .node = bottom, .base = disk->image ? base : NULL, .path = disk->files[disk->own - 1]};
        bool open;
        /* An earlier daemon may have come that far that it is not. */
        if (!qmp || !layers_is_node(qmp, top, &open, error))
                return false;
        if (!open)
                return true;
        if (!layers_stream(disk->job, qmp, &stream, error))
                return false;
        for (guint i = disk->own; disk->files[i]; i++) {
                g_autofree char *node = foreign_node(disk, i);
                if (!drop_node(qmp, node, error))
                        return false;
        }
        return true;
}

/* ---- the verb ---- */

static bool flatten_disk(Job *job, Vm *vm, const char *part, GError **error)
{
        g_auto(Flattening) disk = {.job = job, .vm = vm, .part = part};
        HostlerVmHistory history;
        if (!look_at_disk(&disk, error) || !disk.files[disk.own])
                return disk.files && !disk.files[disk.own];
        if (!(vm_is_live(vm) ? copy_live(&disk, error) : copy_offline(&disk, error)))
                return false;
        vm_history(vm, &history);
        layers_forget_origin(&history, part);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

static bool flatten_disks(Job *job, Vm *vm, const HostlerVmHistory *history, GError **error)
{
        for (size_t i = 0; i < history->origins.count; i++) {
                const char *part = history->origins.items[i].part;
                if (job_step(job, "flatten", "copy what %s has from another VM", part) &&
                    !flatten_disk(job, vm, part, error))
                        return false;
        }
        return true;
}

/* Also for a run that goes on after the daemon has died, when its disks may stand on nobody any more. */
static bool remember_sources(Job *job, const HostlerVmHistory *history, GError **error)
{
        json_t *names = json_array();
        g_auto(GStrv) sources = layers_sources(history);
        for (char **source = sources; *source; source++)
                json_array_append_new(names, json_string(*source));
        if (!job_is_dry_run(job) && !job_recall(job, "sources"))
                return job_remember(job, "sources", names, error);
        json_decref(names);
        return true;
}

static void tidy_sources(Job *job)
{
        json_t *entry;
        size_t i;
        json_array_foreach ((json_t *)job_recall(job, "sources"), i, entry)
                layers_tidy_soon(job_manager(job), json_string_value(entry));
}

bool vm_flatten(Job *job, const HostlerVmFlattenArgs *args, HostlerVm *ret_result, GError **error)
{
        HostlerVmHistory history;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        if (vm_power(vm) == HOSTLER_POWER_STARTING || vm_power(vm) == HOSTLER_POWER_STOPPING) {
                g_autofree char *object = vm_object(vm);
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot flatten: the VM is %s",
                                 hostler_power_enum.values[vm_power(vm)]);
        }
        vm_history(vm, &history);
        bool ok = remember_sources(job, &history, error) && flatten_disks(job, vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        if (!ok)
                return false;
        tidy_sources(job);
        vm_info(vm, ret_result);
        return true;
}
