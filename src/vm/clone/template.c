/*
 * Templates. One never runs and never changes, so clones stand on its disks as they are, in no time and however many;
 * it cannot be removed by mistake. Becoming an ordinary VM again, its disks go on in new layers if clones stand on
 * them.
 */
#include "vm/clone/template.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "vm/clone/ready.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/snapshot.h"

#define KEEPSAKES "template.kept"

bool template_is(Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        return ((const HostlerOptionsProps *)spec_part(&spec->value, "options")->props)->template_;
}

bool template_check_not(Vm *vm, const char *what, GError **error)
{
        g_autofree char *object = vm_object(vm);
        if (!template_is(vm))
                return true;
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot %s it: it is a template", what);
        return error_hint(error, "clone it, or make it an ordinary VM again: hostler template %s --off",
                          object + strlen("vm/"));
}

bool template_mark(Vm *vm, bool on, GError **error)
{
        g_autoptr(Spec) before = vm_spec(vm);
        HostlerSpec spec;
        record_copy(&hostler_spec_type, &before->value, &spec);
        ((HostlerOptionsProps *)spec_part(&spec, "options")->props)->template_ = on;
        g_autoptr(Spec) after = spec_new(&spec);
        return vm_store(vm, NULL, after, -1, -1, error);
}

static bool check_off(Vm *vm, GError **error)
{
        HostlerPower power = vm_power(vm);
        g_autofree char *object = vm_object(vm);
        if (!vm_is_live(vm) && power != HOSTLER_POWER_SUSPENDED)
                return true;
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "only a VM that is off becomes a template, and it is %s",
                  hostler_power_enum.values[power]);
        return error_hint(error, "hostler stop %s; or make the template of a copy: hostler clone %s NEW",
                          object + strlen("vm/"), object + strlen("vm/"));
}

bool template_write_layers(Vm *vm, GError **error)
{
        HostlerVmHistory history;
        layers_history(vm, &history);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* The clones keep the ground they stand on. */
static bool make_ordinary(Job *job, Vm *vm, GError **error)
{
        g_autofree char *keepsakes = vm_path(vm, KEEPSAKES);
        if (!ready_check_not(vm, "change", error) || !ready_drop(job, vm, error))
                return false;
        if (vm_is_pinned(vm) && (!snapshot_freeze(job, vm, KEEPSAKES, NULL, error) ||
                                 (!job_is_dry_run(job) && !dir_remove(keepsakes, error))))
                return false;
        return !job_step(job, "ordinary", "make it an ordinary VM") || template_mark(vm, false, error);
}

bool vm_template(Job *job, const HostlerVmTemplateArgs *args, HostlerVm *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        bool is = template_is(vm), ok = true;
        if (args->off && is)
                ok = make_ordinary(job, vm, error);
        else if (!args->off && !is)
                ok = check_off(vm, error) && (!job_step(job, "template", "make it a template") ||
                                              (template_write_layers(vm, error) && template_mark(vm, true, error)));
        if (ok)
                vm_info(vm, ret_result);
        return ok;
}
