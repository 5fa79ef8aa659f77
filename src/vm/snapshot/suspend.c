/*
 * Suspend: to disk (memory and devices in a file, QEMU gone) and to RAM (S3 in the guest).
 *
 * To disk is all or nothing: until the point of no return a failure, a cancel or a crash lets the guest go on as if
 * nothing had happened; after it, the saved state is what counts and QEMU is ended, now or at the next start of the
 * daemon.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/operations.h"
#include "vm/snapshot/saved_state.h"

#define SLEEP_TIMEOUT_MS 30000

static bool has_left_running(Vm *vm, void *data)
{
        return vm_power(vm) != HOSTLER_POWER_RUNNING;
}

/* Linux 6.1 refuses to sleep with a virtio-mem device, and QEMU 7.2 has not the feature that newer kernels need. */
static bool check_sleep(Vm *vm, GError **error)
{
        HostlerVmRuntime runtime;
        g_autofree char *object = vm_object(vm);
        bool plugged = false;
        vm_runtime(vm, &runtime);
        for (size_t i = 0; i < runtime.slots.count; i++)
                plugged = plugged || strcmp(runtime.slots.items[i].part, "memory") == 0;
        bool sleeps = firmware_sleeps(spec_part(&runtime.launched, "firmware"));
        record_clear(&hostler_vm_runtime_type, &runtime);
        if (!sleeps) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, object, "with Secure Boot a guest cannot sleep to RAM");
                return error_hint(error, "suspend it to disk: hostler suspend %s", object + strlen("vm/"));
        }
        if (!plugged)
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, object,
                  "a guest with plugged memory (virtio-mem) cannot sleep to RAM");
        return error_hint(
            error, "suspend it to disk: hostler suspend %s; or restart it, which makes all its memory boot memory",
            object + strlen("vm/"));
}

static bool suspend_to_ram(Job *job, Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm);
        g_autoptr(GuestAgent) agent = vm_require_agent(vm, error);
        if (!agent || !check_sleep(vm, error))
                return false;
        if (!job_step(job, "sleep", "ask the guest to sleep"))
                return true;
        if (!guest_agent_order(agent, "guest-suspend-ram", NULL, 1000, error))
                return false;
        vm_wait(vm, has_left_running, NULL, clock_monotonic_ms() + SLEEP_TIMEOUT_MS, job_cancellable(job));
        return vm_power(vm) == HOSTLER_POWER_SUSPENDED ||
               error_set(error, HOSTLER_ERROR_TIMEOUT, object, "the guest was asked to sleep and did not");
}

static bool stand_still(Vm *vm, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp && qmp_call(qmp, "stop", NULL, NULL, error);
}

static json_t *finish_args(Vm *vm, const HostlerSavedState *saved)
{
        return json_pack("{s:s, s:o}", "vm", vm_id(vm), "saved",
                         record_to_json(&hostler_saved_state_type, saved, RECORD_STORED));
}

static bool suspend_to_disk(Job *job, Vm *vm, GError **error)
{
        HostlerSavedState saved = {0};
        g_autofree char *path = vm_path(vm, SAVED_STATE_FILE);
        bool runs = vm_power(vm) == HOSTLER_POWER_RUNNING;
        if (!saved_state_check_room(vm, error) || (!job_is_dry_run(job) && !saved_state_check_free(vm, error)))
                return false;
        if (job_step(job, "pause", "stop the guest's processors") &&
            (!job_undo(job, "file-remove", json_pack("{s:s}", "path", path), error) ||
             !job_undo(job, "vm-continue", json_pack("{s:s, s:b}", "vm", vm_id(vm), "run", runs), error) ||
             !stand_still(vm, error)))
                return false;
        if (job_step(job, "save", "write memory and devices to disk") &&
            !saved_state_write(vm, job, SAVED_STATE_FILE, &saved, error))
                return false;
        if (!job_step(job, "end", "end QEMU, freeing its memory"))
                return true;
        json_auto_t *args = finish_args(vm, &saved);
        record_clear(&hostler_saved_state_type, &saved);
        return job_finish(job, "vm-suspended", json_incref(args), error) && job_commit(job, error) &&
               operation_vm_suspended(job_manager(job), args, error);
}

bool vm_suspend(Job *job, const HostlerVmSuspendArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        g_autofree char *object = vm_object(vm);
        HostlerPower power = vm_power(vm);
        if (power == HOSTLER_POWER_SUSPENDED && (args->to_ram || !vm_is_live(vm)))
                return true;
        if (power != HOSTLER_POWER_RUNNING && (args->to_ram || power != HOSTLER_POWER_PAUSED))
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot suspend: the VM is %s",
                                 hostler_power_enum.values[power]);
        if (args->to_ram)
                return suspend_to_ram(job, vm, error);
        return vm_check_savable(vm, error) && suspend_to_disk(job, vm, error);
}
