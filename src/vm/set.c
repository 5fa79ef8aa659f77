/*
 * The verbs that change what a VM is: set and rename.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/change.h"
#include "vm/govern/govern.h"
#include "vm/network/ports.h"

bool vm_set(Job *job, const HostlerVmSetArgs *args, HostlerPropertyChangeList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        json_auto_t *patch = json_loads(args->spec, 0, NULL);
        g_autoptr(Spec) before = vm_spec(vm);
        HostlerSpec wanted;
        if (!spec_merge(&before->value, patch, "/spec", &wanted, error))
                return false;
        if (vm_is_live(vm) && !govern_admit(vm, &wanted, error)) {
                record_clear(&hostler_spec_type, &wanted);
                return false;
        }
        ChangeOptions options = *CHANGE_USUALLY;
        options.expected = args->generation == HOSTLER_UNSET ? -1 : args->generation;
        if (!change_spec(job, vm, &wanted, &options, ret_result, error))
                return false;
        g_autoptr(Spec) after = vm_spec(vm);
        change_list_add_unchanged(&after->value, patch, ret_result);
        return true;
}

bool vm_rename(Job *job, const HostlerVmRenameArgs *args, HostlerVm *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        /* Run again after a crash: it may bear the new name already. */
        g_autoptr(Vm) vm = manager_vm_ready(manager, args->vm, NULL);
        if (!vm && job_recall(job, "vm"))
                vm = manager_vm_ready(manager, json_string_value(job_recall(job, "vm")), error);
        else if (!vm)
                vm = manager_vm_ready(manager, args->vm, error);
        if (!vm || !manager_name_is_free(manager, args->name, vm, error))
                return false;
        g_autofree char *name = vm_name(vm);
        bool renamed = job_recall(job, "vm") && strcmp(name, args->name) == 0;
        if (!renamed && job_step(job, "rename", "rename it to %s", args->name)) {
                int64_t expected = args->generation == HOSTLER_UNSET ? -1 : args->generation;
                if (!job_remember(job, "vm", json_string(vm_id(vm)), error) ||
                    !vm_store(vm, args->name, NULL, -1, expected, error))
                        return false;
                manager_renamed(manager, vm);
                g_autofree char *object = vm_object(vm);
                event_emit(manager_events(manager), "vm-changed", object,
                           json_pack("{s:I}", "generation", (json_int_t)vm_generation(vm)));
        }
        if (!job_is_dry_run(job))
                ports_renamed(manager, vm);
        vm_info(vm, ret_result);
        return true;
}
