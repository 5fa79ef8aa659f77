/*
 * insert and eject: what is in a drive, as verbs. Both are changes of its part's `medium` (change.c); how the tray of a
 * running drive is moved is src/device/medium.c's.
 */
#include <string.h>

#include "base/error.h"
#include "device/medium.h"
#include "hostler-handlers.h"
#include "vm/change.h"
#include "vm/device/info.h"

static const HostlerPart *drive_of(Vm *vm, const HostlerSpec *spec, const char *name, GError **error)
{
        g_autofree char *object = vm_object(vm);
        const HostlerPart *part = device_part(vm, spec, name, error);
        if (part && !record_field(kind_find(part->kind)->props, "medium")) {
                error_set(error, HOSTLER_ERROR_INVALID, object, "%s is no drive", name);
                return NULL;
        }
        return part;
}

/* What was said of the tables of a qcow2 medium goes with it. */
static void forget_memory(const HostlerPart *drive, json_t *props)
{
        const Field *field = record_field(kind_find(drive->kind)->props, "memory");
        bool set = *(const int64_t *)((const char *)drive->props + field->offset) != HOSTLER_UNSET;
        const char *format = json_string_value(json_object_get(props, "format"));
        if (set && g_strcmp0(format, "qcow2") != 0)
                json_object_set_new(props, "memory", json_null());
}

static bool change_medium(Job *job, Vm *vm, const char *device, json_t *props_taken, const ChangeOptions *options,
                          HostlerPropertyChangeList *ret_rows, GError **error)
{
        HostlerSpec wanted;
        g_autoptr(Spec) before = vm_spec(vm);
        json_auto_t *patch = json_pack("{s:o}", device, props_taken);
        const HostlerPart *drive = drive_of(vm, &before->value, device, error);
        if (!drive)
                return false;
        forget_memory(drive, props_taken);
        if (!spec_merge(&before->value, patch, "/spec", &wanted, error) ||
            !change_spec(job, vm, &wanted, options, ret_rows, error))
                return false;
        g_autoptr(Spec) after = vm_spec(vm);
        change_list_add_unchanged(&after->value, patch, ret_rows);
        return true;
}

/* The same medium again: a guest that has put it out wants it back in. */
static bool shut_tray(Vm *vm, const char *device, GError **error)
{
        HostlerVmRuntime runtime;
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        vm_runtime(vm, &runtime);
        const HostlerPart *part = spec_part(&runtime.launched, device);
        bool ok = !qmp || !part || medium_shut(part, qmp, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

bool device_insert(Job *job, const HostlerDeviceInsertArgs *args, HostlerPropertyChangeList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        ChangeOptions options = {.expected = -1, .patience_ms = args->timeout};
        if (!vm)
                return false;
        json_t *props =
            json_pack("{s:s, s:s}", "medium", args->file, "format", hostler_medium_format_enum.values[args->format]);
        return change_medium(job, vm, args->device, props, &options, ret_result, error) &&
               (job_is_dry_run(job) || shut_tray(vm, args->device, error));
}

bool device_eject(Job *job, const HostlerDeviceEjectArgs *args, HostlerPropertyChangeList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        ChangeOptions options = {.expected = -1, .patience_ms = args->timeout, .force = args->force};
        return vm && change_medium(job, vm, args->device, json_pack("{s:n}", "medium"), &options, ret_result, error);
}
