/*
 * rm and undelete: the trash, and the end of a VM.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "vm/clone/template.h"
#include "vm/operations.h"
#include "vm/pool/disk_volume.h"
#include "vm/pool/pools.h"

static bool check_protection(Vm *vm, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *object = vm_object(vm);
        const HostlerOptionsProps *options = spec_part(&spec->value, "options")->props;
        if (!template_check_not(vm, "remove", error))
                return false;
        if (!options->protect)
                return true;
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is protected against removal");
        return error_hint(error, "hostler set %s options.protect=off", object + strlen("vm/"));
}

static bool check_confirmed(Vm *vm, const HostlerVmRmArgs *args, GError **error)
{
        g_autofree char *object = vm_object(vm);
        if (!vm_is_live(vm) || args->yes)
                return true;
        error_set(error, HOSTLER_ERROR_UNCONFIRMED, object, "the VM is %s and would be powered off",
                  hostler_power_enum.values[vm_power(vm)]);
        return error_hint(error, "confirm with -y, or stop it first: hostler stop %s", object + strlen("vm/"));
}

static bool to_trash(Job *job, Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm);
        if (vm_trashed_ms(vm) || !job_step(job, "trash", "move it to the trash"))
                return true;
        if (!vm_store(vm, NULL, NULL, clock_unix_ms(), -1, error))
                return false;
        manager_renamed(job_manager(job), vm);
        event_emit(manager_events(job_manager(job)), "vm-trashed", object, NULL);
        return true;
}

static bool keep_disks(Job *job, Vm *vm, GError **error)
{
        HostlerVmHistory history;
        g_autofree char *object = vm_object(vm);
        vm_history(vm, &history);
        size_t snapshots = history.snapshots.count;
        record_clear(&hostler_vm_history_type, &history);
        if (snapshots > 0) {
                error_set(error, HOSTLER_ERROR_BUSY, object, "its disks are held by %zu snapshots", snapshots);
                return error_hint(error, "hostler snapshot rm %s NAME, for each of them", object + strlen("vm/"));
        }
        g_autoptr(Spec) spec = vm_spec(vm);
        for (size_t i = 0; i < spec->value.count; i++)
                if (strcmp(spec->value.items[i].kind, "disk") == 0 &&
                    !disk_volume_keep(job, vm, spec->value.items[i].name, error))
                        return false;
        return true;
}

/* Names the clones that stand on its disks. */
static bool check_clones(Job *job, Vm *vm, GError **error)
{
        HostlerVmHistory history;
        g_autofree char *object = vm_object(vm);
        g_autoptr(GString) names = g_string_new(NULL);
        record_init(&hostler_vm_history_type, &history);
        vm_pins(vm, &history);
        for (size_t i = 0; i < history.pins.count; i++) {
                g_autoptr(Vm) clone = manager_any_vm(job_manager(job), history.pins.items[i].vm);
                g_autofree char *name = clone ? vm_name(clone) : NULL;
                if (name && !strstr(names->str, name))
                        g_string_append_printf(names, "%s%s", names->len ? ", " : "", name);
        }
        record_clear(&hostler_vm_history_type, &history);
        if (names->len == 0)
                return true;
        error_set(error, HOSTLER_ERROR_BUSY, object, "linked clones stand on its disks: %s", names->str);
        return error_hint(error,
                          "make them independent with hostler flatten, remove them, or leave this one in the trash");
}

static bool purge(Job *job, Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm);
        json_auto_t *args = pools_forget_args(vm);
        if (!job_step(job, "remove", "remove it for ever"))
                return true;
        if (!job_finish(job, "vm-forget", json_incref(args), error) || !job_commit(job, error) ||
            !operation_vm_forget(job_manager(job), args, error))
                return false;
        event_emit(manager_events(job_manager(job)), "vm-removed", object, NULL);
        return true;
}

/* In the table or in the trash: what is in the trash can be removed for ever. */
static Vm *find_any(Job *job, const char *name, GError **error)
{
        g_autoptr(GError) local = NULL;
        Vm *vm = manager_vm_ready(job_manager(job), name, &local);
        if (!vm)
                vm = manager_trashed_vm(job_manager(job), name, NULL);
        if (!vm)
                g_propagate_error(error, g_steal_pointer(&local));
        return vm;
}

bool vm_rm(Job *job, const HostlerVmRmArgs *args, GError **error)
{
        const json_t *known = job_recall(job, "vm");
        g_autoptr(Vm) vm = find_any(job, known ? json_string_value(known) : args->vm, known ? NULL : error);
        if (!vm)
                return known != NULL; /* run again: it is gone */
        if (!check_protection(vm, error) || !check_confirmed(vm, args, error) ||
            ((args->now || args->keep_disks) && (!check_clones(job, vm, error) || !vm_check_places(vm, error))))
                return false;
        if (!job_is_dry_run(job) && !job_remember(job, "vm", json_string(vm_id(vm)), error))
                return false;
        if (vm_is_live(vm) && job_step(job, "power-off", "power it off") && !vm_kill(vm, "host-stop", error))
                return false;
        if (!args->now && !args->keep_disks)
                return to_trash(job, vm, error);
        if (args->keep_disks && !keep_disks(job, vm, error))
                return false;
        return purge(job, vm, error);
}

bool vm_undelete(Job *job, const HostlerVmUndeleteArgs *args, HostlerVm *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        const json_t *known = job_recall(job, "vm");
        g_autoptr(Vm) vm = known ? manager_vm(manager, json_string_value(known), NULL) : NULL;
        if (!vm)
                vm = manager_trashed_vm(manager, known ? json_string_value(known) : args->vm, error);
        if (!vm)
                return false;
        g_autofree char *name = args->name ? g_strdup(args->name) : vm_name(vm);
        if (!manager_name_is_free(manager, name, vm, error))
                return error_hint(error, "give it another name: hostler undelete %s --name NEW", args->vm);
        if (vm_trashed_ms(vm) && job_step(job, "restore", "bring it back as %s", name)) {
                if (!job_remember(job, "vm", json_string(vm_id(vm)), error) || !vm_store(vm, name, NULL, 0, -1, error))
                        return false;
                manager_renamed(manager, vm);
                g_autofree char *object = vm_object(vm);
                event_emit(manager_events(manager), "vm-undeleted", object, NULL);
        }
        vm_info(vm, ret_result);
        return true;
}
