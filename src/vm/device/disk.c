/*
 * Disks of a VM: add, rm, ls. Adding and removing are changes of the spec (change.c); here are the names and the
 * volumes' ends.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "vm/change.h"
#include "vm/device/new_part.h"
#include "vm/pool/disk_volume.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers_work.h"

static void disk_info(Vm *vm, const HostlerPart *part, bool live, HostlerDiskInfo *ret_info)
{
        const HostlerDiskProps *props = part->props;
        g_autofree char *path = vm_disk_head(vm, part->name);
        g_auto(VolumeInfo) volume = {0};
        record_init(&hostler_disk_info_type, ret_info);
        ret_info->name = g_strdup(part->name);
        ret_info->size = props->size;
        ret_info->pool = g_strdup(props->pool ? props->pool : POOL_DEFAULT);
        ret_info->image = g_strdup(props->image);
        ret_info->model = g_strdup(hostler_disk_model_enum.values[props->model]);
        ret_info->state = g_strdup(live ? "attached" : "stored");
        if (volume_info(path, &volume, NULL)) {
                ret_info->size = volume.size_bytes;
                ret_info->allocated = volume_allocated(path);
        }
}

static bool is_attached(Vm *vm, const char *disk)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        bool attached = vm_is_live(vm) && spec_part(&runtime.launched, disk);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return attached;
}

bool vm_disk_info(Vm *vm, const char *name, HostlerDiskInfo *ret_info)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerPart *part = spec_part(&spec->value, name);
        if (part)
                disk_info(vm, part, is_attached(vm, name), ret_info);
        return part != NULL;
}

bool disk_ls(const Call *call, const HostlerDiskLsArgs *args, HostlerDiskInfoList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm)
                return false;
        g_autoptr(Spec) spec = vm_spec(vm);
        *ret_result = (HostlerDiskInfoList){.items = g_new0(HostlerDiskInfo, spec->value.count)};
        for (size_t i = 0; i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                if (strcmp(part->kind, "disk") == 0)
                        disk_info(vm, part, is_attached(vm, part->name), &ret_result->items[ret_result->count++]);
        }
        return true;
}

/* What the new part is to be; the caller owns it. */
static json_t *new_disk(Job *job, const HostlerDiskAddArgs *args, GError **error)
{
        if ((args->size != HOSTLER_UNSET) == (args->volume != NULL)) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL,
                          "say either the --size of a new disk, or the --volume that it is to be");
                return NULL;
        }
        if (args->volume && args->pool) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "a volume stays in its pool; give the pool in its name");
                return NULL;
        }
        json_t *props = args->volume ? disk_volume_choose(job, args->volume, error)
                                     : json_pack("{s:I, s:s}", "size", (json_int_t)args->size, "format",
                                                 hostler_disk_format_enum.values[args->format]);
        if (!props)
                return NULL;
        if (args->pool)
                json_object_set_new(props, "pool", json_string(args->pool));
        json_object_set_new(props, "kind", json_string("disk"));
        json_object_set_new(props, "model", json_string(hostler_disk_model_enum.values[args->model]));
        return props;
}

bool disk_add(Job *job, const HostlerDiskAddArgs *args, HostlerDiskInfo *ret_result, GError **error)
{
        HostlerPropertyChangeList rows;
        HostlerSpec wanted;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_autoptr(Spec) before = vm ? vm_spec(vm) : NULL;
        g_autofree char *name = vm ? new_part_name(job, &before->value, kind_find("disk"), args->name, error) : NULL;
        if (!name)
                return false;
        json_t *props = new_disk(job, args, error);
        if (!props)
                return false;
        json_auto_t *patch = json_pack("{s:o}", name, props);
        if (!new_part_spec(&before->value, name, patch, &wanted, error))
                return false;
        if (!change_spec(job, vm, &wanted, CHANGE_USUALLY, &rows, error))
                return false;
        change_list_clear(&rows);
        record_init(&hostler_disk_info_type, ret_result);
        vm_disk_info(vm, name, ret_result);
        return true;
}

static bool check_disk(Vm *vm, const HostlerSpec *spec, const char *disk, GError **error)
{
        const HostlerPart *part = spec_part(spec, disk);
        g_autofree char *object = vm_object(vm);
        if (!part || strcmp(part->kind, "disk") != 0)
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no disk called %s", disk);
        return true;
}

/* A volume that QEMU goes on using until the VM stops is not deleted, or given away, under it. */
static bool check_goes_now(Vm *vm, const HostlerDiskRmArgs *args, GError **error)
{
        HostlerVmRuntime runtime;
        g_autofree char *object = vm_object(vm);
        vm_runtime(vm, &runtime);
        DeviceContext context = {.spec = &runtime.launched, .slots = &runtime.slots};
        const HostlerPart *part = vm_is_live(vm) ? spec_part(&runtime.launched, args->disk) : NULL;
        bool stays = part && !device_hot_plug(&context, part);
        if (stays) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object,
                          "the running VM keeps %s until it stops: its kind of disk cannot be unplugged", args->disk);
                error_hint(error, "hostler stop %s", object + strlen("vm/"));
        }
        record_clear(&hostler_vm_runtime_type, &runtime);
        return !stays;
}

/*
 * Deleting comes after the point of no return; a run that was cut short before it deletes when it is run again. Then
 * the history does not know the disk any more, but may know a file of its name: a snapshot's.
 */
static bool delete_volume(Job *job, Vm *vm, const char *disk, const char *path, GError **error)
{
        g_autofree char *file = disk_file_name(disk);
        if (!job_step(job, "delete", "delete what no snapshot holds of it"))
                return true;
        if (!layers_know(vm, disk) && !layers_hold(vm, file) && !volume_delete(path, error))
                return false;
        return layers_let_go(job, vm, disk, error);
}

bool disk_rm(Job *job, const HostlerDiskRmArgs *args, GError **error)
{
        HostlerPropertyChangeList rows;
        HostlerSpec wanted;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        g_autoptr(Spec) before = vm_spec(vm);
        g_autofree char *path = vm_disk_head(vm, args->disk);
        bool again = job_recall(job, "removing") && !spec_part(&before->value, args->disk);
        if (!again) {
                json_auto_t *patch = json_pack("{s:n}", args->disk);
                ChangeOptions options = {.expected = -1, .patience_ms = args->timeout, .force = args->force};
                if (!check_disk(vm, &before->value, args->disk, error) || !check_goes_now(vm, args, error) ||
                    (args->keep && !disk_volume_prepare_keep(job, vm, args->disk, error)) ||
                    (!job_is_dry_run(job) && !job_remember(job, "removing", json_true(), error)) ||
                    !spec_merge(&before->value, patch, "/spec", &wanted, error) ||
                    !change_spec(job, vm, &wanted, &options, &rows, error))
                        return false;
                change_list_clear(&rows);
        }
        if (!args->keep)
                return delete_volume(job, vm, args->disk, path, error);
        return disk_volume_keep(job, vm, args->disk, error) &&
               (job_is_dry_run(job) || layers_let_go(job, vm, args->disk, error));
}
