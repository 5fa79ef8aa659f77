/*
 * The VM that instant clones of a template are made from. See ready.h.
 *
 * Its guest boots with its memory in a shared file. So QEMU can leave memory out of what it writes, and the file is the
 * mould itself. A template never changes, so neither does what was made of it.
 */
#include "vm/clone/ready.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "vm/clone/clone.h"
#include "vm/clone/instant.h"
#include "vm/clone/template.h"
#include "vm/operations.h"
#include "vm/power.h"
#include "vm/prepare.h"
#include "vm/snapshot/saved_state.h"

#define SUFFIX ".ready"
#define BOOT_MS (10 * 60 * 1000)
#define PAUSE_MS 5000

/* Of a ready VM, the id of its template; NULL: it is none. Caller frees. */
static char *template_of(Vm *vm)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        char *id = g_steal_pointer(&history.ready_for);
        record_clear(&hostler_vm_history_type, &history);
        return id;
}

static bool set_template(Vm *vm, const char *id, GError **error)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        g_free(history.ready_for);
        history.ready_for = g_strdup(id);
        /* What it has of its template is what its clones have to renew. */
        g_clear_pointer(&history.identity_of, g_free);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

static Vm *find(Vm *template)
{
        g_autoptr(GPtrArray) vms = manager_vms(vm_manager(template), false);
        for (guint i = 0; i < vms->len; i++) {
                g_autofree char *id = template_of(vms->pdata[i]);
                if (g_strcmp0(id, vm_id(template)) == 0)
                        return vm_ref(vms->pdata[i]);
        }
        return NULL;
}

void ready_load(Vm *vm)
{
        g_autofree char *memory = vm_path(vm, INSTANT_MEMORY), *id = template_of(vm);
        struct stat st;
        vm_set_mould(vm, id && stat(memory, &st) == 0 ? (int64_t)st.st_blocks * 512 : HOSTLER_UNSET);
}

bool ready_is(Vm *vm)
{
        g_autofree char *id = template_of(vm);
        return id && template_is(vm);
}

bool ready_check_not(Vm *vm, const char *what, GError **error)
{
        g_autofree char *id = template_of(vm), *object = vm_object(vm);
        g_autoptr(Vm) template = id ? manager_any_vm(vm_manager(vm), id) : NULL;
        if (!template)
                return true;
        g_autofree char *name = vm_name(template);
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot %s it: instant clones of %s are made from it", what,
                  name);
        return error_hint(error, "hostler %s %s", strcmp(what, "clone") == 0 ? "clone" : "template --off", name);
}

/* ---- made ---- */

static void note_memory(HostlerVmRuntime *runtime, void *data)
{
        g_free(runtime->memory_file);
        runtime->memory_file = g_strdup(data);
        runtime->memory_kept = data != NULL;
}

static bool agent_answers(Vm *vm, void *data)
{
        return vm_phase(vm) >= HOSTLER_BOOT_PHASE_AGENT || !vm_is_live(vm);
}

static bool is_paused(Vm *vm, void *data)
{
        return vm_power(vm) == HOSTLER_POWER_PAUSED || !vm_is_live(vm);
}

static bool wait_ready(Job *job, Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm);
        vm_wait(vm, agent_answers, NULL, clock_monotonic_ms() + BOOT_MS, job_cancellable(job));
        if (!job_check_cancelled(job, error))
                return false;
        if (!vm_is_live(vm))
                return error_set(error, HOSTLER_ERROR_FAILED, object, "its guest ended instead of getting ready");
        return vm_phase(vm) >= HOSTLER_BOOT_PHASE_AGENT ||
               error_set(error, HOSTLER_ERROR_TIMEOUT, object, "no agent has answered in its guest within 10 minutes");
}

static bool boot(Job *job, Vm *vm, GError **error)
{
        g_autofree char *folder = vm_path(vm, INSTANT_MOULD), *memory = vm_path(vm, INSTANT_MEMORY);
        return prepare_run(job, vm, error) && dir_ensure(folder, error) &&
               vm_update_runtime(vm, note_memory, memory, error) && power_boot(job, vm, error) &&
               wait_ready(job, vm, error);
}

/* Nothing is written to its disks or its memory after this. */
static bool keep(Job *job, Vm *vm, GError **error)
{
        g_autofree char *devices = vm_path(vm, INSTANT_DEVICES), *memory = vm_path(vm, INSTANT_MEMORY);
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp && qmp_call(qmp, "stop", NULL, NULL, error) &&
               vm_wait(vm, is_paused, NULL, clock_monotonic_ms() + PAUSE_MS, job_cancellable(job)) &&
               saved_state_write_devices(vm, job, devices, error) && vm_kill(vm, "host-stop", error) &&
               vm_update_runtime(vm, note_memory, NULL, error) && file_sync(memory, error) &&
               file_sync(devices, error) && template_write_layers(vm, error) && template_mark(vm, true, error);
}

static Vm *make(Job *job, Vm *template, GError **error)
{
        g_autofree char *of = vm_name(template), *name = g_strconcat(of, SUFFIX, NULL);
        if (!manager_name_is_free(job_manager(job), name, NULL, error)) {
                error_hint(error, "the VM that instant clones of %s are made from is to be called so", of);
                return NULL;
        }
        if (!job_step(job, "ready", "boot a clone of it once, and keep it as it is when its agent answers"))
                return vm_ref(template);
        g_autoptr(Vm) vm = clone_of_template(job, template, name, error);
        if (!vm || !set_template(vm, vm_id(template), error) ||
            !job_undo(job, "vm-kill", json_pack("{s:s, s:s}", "vm", vm_id(vm), "reason", "host-stop"), error) ||
            !boot(job, vm, error) || !job_step(job, "keep", "keep its memory") || !keep(job, vm, error))
                return NULL;
        ready_load(vm);
        return g_steal_pointer(&vm);
}

Vm *ready_vm(Job *job, Vm *template, GError **error)
{
        Vm *vm = find(template);
        return vm ? vm : make(job, template, error);
}

/* ---- dropped ---- */

static bool let_go(Vm *vm, GError **error)
{
        g_autofree char *mould = vm_path(vm, INSTANT_MOULD);
        if (!set_template(vm, NULL, error) || !dir_remove(mould, error))
                return false;
        vm_set_mould(vm, HOSTLER_UNSET);
        return true;
}

bool ready_drop(Job *job, Vm *template, GError **error)
{
        g_autoptr(Vm) vm = find(template);
        if (!vm || !job_step(job, "ready", "remove what instant clones are made from"))
                return true;
        json_auto_t *args = json_pack("{s:s}", "vm", vm_id(vm));
        return vm_is_pinned(vm) ? let_go(vm, error) : operation_vm_forget(job_manager(job), args, error);
}
