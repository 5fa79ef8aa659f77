/*
 * What jobs undo and finish. See operations.h and job/job.h.
 */
#include "vm/operations.h"

#include <string.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/error.h"
#include "base/file.h"
#include "storage/volume.h"
#include "vm/change.h"
#include "vm/parts.h"
#include "vm/pool/disk_volume.h"
#include "vm/pool/move.h"
#include "vm/pool/pools.h"
#include "vm/pool/volume_verbs.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/saved_state.h"
#include "vm/snapshot/snapshot.h"
#include "vm/warm/warm.h"

/* NULL when the VM is not there (any more): then there is nothing to undo. */
static Vm *vm_of(Manager *manager, const json_t *args)
{
        const char *id = json_string_value(json_object_get(args, "vm"));
        Vm *vm = manager_vm(manager, id ? id : "", NULL);
        return vm ? vm : manager_trashed_vm(manager, id ? id : "", NULL);
}

static bool operation_vm_kill(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        const char *reason = json_string_value(json_object_get(args, "reason"));
        if (!vm)
                return true;
        bool ok = vm_kill(vm, reason ? reason : "host-stop", error);
        /* A start that failed before there was a process leaves the VM as it was. */
        if (ok && vm_power(vm) == HOSTLER_POWER_STARTING)
                vm_set_power(vm, vm_power_at_rest(vm), "failed-start");
        return ok;
}

/* After a suspend was given up: the guest goes on, if it ran (`run`). */
static bool operation_vm_continue(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        g_autoptr(Qmp) qmp = vm ? vm_qmp(vm) : NULL;
        if (!qmp)
                return true;
        g_autoptr(GError) problem = NULL;
        qmp_call(qmp, "migrate_cancel", NULL, NULL, NULL);
        if (!json_is_true(json_object_get(args, "run")) ? saved_state_let_go(qmp, &problem)
                                                        : qmp_call(qmp, "cont", NULL, NULL, &problem))
                return true;
        if (vm_died(vm))
                return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

static void keep_saved(HostlerVmRuntime *runtime, void *data)
{
        if (runtime->saved)
                record_clear(&hostler_saved_state_type, runtime->saved);
        else
                runtime->saved = g_new0(HostlerSavedState, 1);
        record_copy(&hostler_saved_state_type, data, runtime->saved);
}

bool operation_vm_suspended(Manager *manager, const json_t *args, GError **error)
{
        HostlerSavedState saved;
        g_autoptr(Vm) vm = vm_of(manager, args);
        if (!vm)
                return true;
        if (!record_from_json(&hostler_saved_state_type, json_object_get(args, "saved"), "/saved", &saved, error))
                return false;
        bool ok = vm_update_runtime(vm, keep_saved, &saved, error) && vm_kill(vm, "suspended", error);
        record_clear(&hostler_saved_state_type, &saved);
        if (ok && vm_power(vm) != HOSTLER_POWER_SUSPENDED)
                vm_set_power(vm, HOSTLER_POWER_SUSPENDED, "suspended");
        return ok;
}

/* A disk that was made by a change that then failed. */
static bool operation_disk_forget(Manager *manager, const json_t *args, GError **error)
{
        const char *part = json_string_value(json_object_get(args, "part"));
        const char *file = json_string_value(json_object_get(args, "layer"));
        g_autoptr(Vm) vm = vm_of(manager, args);
        HostlerVmHistory history;
        if (!vm || !part || !file)
                return true;
        g_autofree char *path = vm_layer_path(vm, file);
        vm_history(vm, &history);
        bool known = g_strcmp0(layers_head(&history, part), file) == 0, ok = true;
        if (known) {
                layers_drop(&history, part);
                layers_gone(&history, file);
                ok = vm_set_history(vm, &history, error);
        }
        record_clear(&hostler_vm_history_type, &history);
        return ok && volume_delete(path, error);
}

static char **vm_sources(Vm *vm)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        char **sources = layers_sources(&history);
        record_clear(&hostler_vm_history_type, &history);
        return sources;
}

bool operation_vm_forget(Manager *manager, const json_t *args, GError **error)
{
        const char *id = json_string_value(json_object_get(args, "vm"));
        g_autoptr(Vm) vm = vm_of(manager, args);
        if (!id || !g_uuid_string_is_valid(id))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the journal names no VM");
        g_autofree char *dir = g_build_filename(manager_state_dir(manager), "vms", id, NULL);
        g_auto(GStrv) sources = vm ? vm_sources(vm) : NULL;
        if (vm && !vm_kill(vm, "host-stop", error))
                return false;
        if (!store_vm_delete(manager_store(manager), id, error))
                return false;
        if (vm)
                manager_remove(manager, vm);
        warm_forget(manager, id);
        for (char **source = sources; source && *source; source++)
                layers_tidy_soon(manager, *source);
        return pools_forget_vm(manager, id, json_object_get(args, "pools"), error) && dir_remove_durably(dir, error);
}

static bool operation_file_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *path = json_string_value(json_object_get(args, "path"));
        g_autofree char *prefix = g_strdup_printf("%s/", manager_state_dir(manager));
        if (!path || !g_str_has_prefix(path, prefix) || strstr(path, "/../"))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL,
                                 "the journal names a file outside the state folder");
        return aside_remove(path, error);
}

static bool operation_dir_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *path = json_string_value(json_object_get(args, "path"));
        g_autofree char *prefix = g_strdup_printf("%s/", manager_state_dir(manager));
        if (!path || !g_str_has_prefix(path, prefix) || strstr(path, "/../"))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL,
                                 "the journal names a folder outside the state folder");
        return dir_remove_durably(path, error);
}

/* A part that was plugged into a running VM by a change that then failed. */
static bool operation_part_unplug(Manager *manager, const json_t *args, GError **error)
{
        const char *part = json_string_value(json_object_get(args, "part"));
        g_autoptr(Vm) vm = vm_of(manager, args);
        return !vm || !part || change_unplug(vm, part, CHANGE_PATIENCE_MS, error);
}

static bool operation_part_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *part = json_string_value(json_object_get(args, "part"));
        g_autoptr(Vm) vm = vm_of(manager, args);
        HostlerSpec known;
        if (!vm || !part)
                return true;
        if (!record_from_json(&hostler_spec_type, json_object_get(args, "spec"), "/spec", &known, error))
                return false;
        vm_remove_part(vm, &known, part);
        record_clear(&hostler_spec_type, &known);
        return true;
}

const JobOperation manager_operations[] = {
    {"vm-kill", operation_vm_kill},
    {"vm-continue", operation_vm_continue},
    {"vm-suspended", operation_vm_suspended},
    {"vm-forget", operation_vm_forget},
    {"file-remove", operation_file_remove},
    {"disk-forget", operation_disk_forget},
    {"dir-remove", operation_dir_remove},
    {"part-unplug", operation_part_unplug},
    {"snapshot-undo", operation_snapshot_undo},
    {"snapshot-keep", operation_snapshot_keep},
    {"layers-remove", operation_layers_remove},
    {"layer-gone", operation_layer_gone},
    {"part-remove", operation_part_remove},
    {"move-undo", operation_move_undo},
    {"move-finish", operation_move_finish},
    {"volume-return", operation_volume_return},
    {"volume-remove", operation_volume_remove},
    {"export-place", operation_export_place},
    {"export-remove", operation_export_remove},
    {NULL, NULL},
};
