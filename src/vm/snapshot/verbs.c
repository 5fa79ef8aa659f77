/*
 * Listing and removing snapshots. Removing is forgetting, and then tidying up: layers that others stand on are merged
 * into them.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/info.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/snapshot.h"
#include "vm/snapshot/strays.h"

bool snapshot_ls(const Call *call, const HostlerSnapshotLsArgs *args, HostlerSnapshotInfoList *ret_result,
                 GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm)
                return false;
        snapshot_info_list(vm, ret_result);
        return true;
}

static bool forget(Vm *vm, const char *name, GError **error)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        layers_forget(&history, name);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* Also after a run that was cut off: nobody knows the snapshot any more, and its files may still be there. */
static bool remove_files(Vm *vm, const char *name, GError **error)
{
        g_autofree char *memory_file = snapshot_memory_file(name), *memory = vm_path(vm, memory_file);
        g_autofree char *kept = snapshot_keepsakes(name), *keepsakes = vm_path(vm, kept);
        return dir_remove_durably(memory, error) && dir_remove_durably(keepsakes, error);
}

static bool is_there(Vm *vm, const char *name)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        bool there = layers_snapshot(&history, name) != NULL;
        record_clear(&hostler_vm_history_type, &history);
        return there;
}

bool snapshot_rm(Job *job, const HostlerSnapshotRmArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        g_autofree char *object = vm_object(vm);
        bool again = job_recall(job, "removing") != NULL, there = is_there(vm, args->snapshot);
        if (!there && !again) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no snapshot called %s", args->snapshot);
                return error_hint(error, "hostler snapshot ls %s", object + strlen("vm/"));
        }
        if (!vm_check_places(vm, error))
                return false;
        if (!job_step(job, "forget", "forget the snapshot"))
                return true;
        if (!job_remember(job, "removing", json_true(), error) || (there && !forget(vm, args->snapshot, error)) ||
            !remove_files(vm, args->snapshot, error) || !layers_tidy(job, vm, error))
                return false;
        event_emit(manager_events(job_manager(job)), "snapshot-removed", object,
                   json_pack("{s:s}", "snapshot", args->snapshot));
        return true;
}

bool snapshot_tidy(Job *job, const HostlerSnapshotTidyArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        return vm && vm_check_places(vm, error) && strays_remove(job, vm, error) && layers_tidy(job, vm, error);
}
