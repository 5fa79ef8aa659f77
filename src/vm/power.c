/*
 * The verbs of power: start, stop, pause, resume, restart. One linear function each; where a QEMU comes from is
 * launch.c.
 *
 * All of them may be run again after the daemon was killed in the middle (recover = rerun): each looks at what is
 * before it acts.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "vm/clone/template.h"
#include "vm/manager.h"
#include "vm/parts.h"
#include "vm/power.h"
#include "vm/prepare.h"
#include "vm/snapshot/saved_state.h"
#include "vm/wake.h"

/* A guest that missed the power button (still booting, nobody listening yet) gets it again this often. */
#define BUTTON_AGAIN_MS 10000
#define CONT_TIMEOUT_MS 10000
#define SETTLE_MS 5000
#define WAKE_MS 15000

/* ---- conditions to wait for ---- */

static bool is_not_live(Vm *vm, void *data)
{
        return !vm_is_live(vm);
}

static bool is_power(Vm *vm, void *data)
{
        return vm_power(vm) == *(const HostlerPower *)data;
}

static bool wait_power(Vm *vm, HostlerPower power, int64_t timeout_ms, Job *job)
{
        return vm_wait(vm, is_power, &power, clock_monotonic_ms() + timeout_ms, job_cancellable(job));
}

static const char *power_word(Vm *vm)
{
        return hostler_power_enum.values[vm_power(vm)];
}

static bool refuse_state(Vm *vm, const char *what, GError **error)
{
        g_autofree char *object = vm_object(vm);
        return error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot %s: the VM is %s", what, power_word(vm));
}

/* ---- start ---- */

/* QEMU's `cont` on a VM whose state came from disk or that was stopped before its first instruction. */
bool power_let_run(Job *job, Vm *vm, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp && qmp_call_full(qmp, "cont", NULL, CONT_TIMEOUT_MS, job_cancellable(job), NULL, error) &&
               (wait_power(vm, HOSTLER_POWER_RUNNING, SETTLE_MS, job) || refuse_state(vm, "start", error));
}

bool power_boot(Job *job, Vm *vm, GError **error)
{
        if (job_step(job, "spawn", "start QEMU, stopped before its first instruction") && !vm_launch(vm, false, error))
                return false;
        if (job_step(job, "settings", "set what only a started QEMU can be told") && !prepare_launched(vm, error))
                return false;
        return !job_step(job, "run", "let the guest run") || power_let_run(job, vm, error);
}

static bool start_cold(Job *job, Vm *vm, GError **error)
{
        return prepare_run(job, vm, error) && power_boot(job, vm, error);
}

/* Refused by QEMU, the guest has not run and its state is as good as before. */
static bool run_from_saved(Job *job, Vm *vm, GError **error)
{
        g_autoptr(GError) local = NULL;
        if (!saved_state_set_spent(vm, true, error))
                return false;
        if (power_let_run(job, vm, &local))
                return saved_state_forget(vm, error);
        if (qmp_error_class(local))
                saved_state_set_spent(vm, false, NULL);
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

/* Loaded and not let go: the guest stands still in QEMU now, and the file is needed no more. */
static bool hold_loaded(Vm *vm, GError **error)
{
        if (!saved_state_forget(vm, error))
                return false;
        vm_set_power(vm, HOSTLER_POWER_PAUSED, "loaded");
        return true;
}

static bool load_saved(Job *job, Vm *vm, GError **error)
{
        if (!prepare_capacity(job, vm, error))
                return false;
        if (job_step(job, "spawn", "start QEMU, waiting for the saved state") && !vm_launch(vm, true, error))
                return false;
        if (job_step(job, "load", "load memory and devices") &&
            (!saved_state_load(vm, job_cancellable(job), error) || !vm_connect_parts(vm, error)))
                return false;
        return !job_step(job, "settings", "set what only a started QEMU can be told") || prepare_launched(vm, error);
}

typedef struct {
        Vm *vm;
        GError *problem;
} Check;

static gpointer check_saved(gpointer data)
{
        Check *check = data;
        return GINT_TO_POINTER(saved_state_check(check->vm, &check->problem));
}

/*
 * A QEMU can be given a damaged state as long as its guest does not run: it is checked while it is loaded, and what the
 * check finds says more than what QEMU made of it. After a revert all of it has been read already.
 */
static bool load_checked(Job *job, Vm *vm, GError **error)
{
        g_autoptr(GError) local = NULL;
        Check check = {.vm = vm};
        if (job_recall(job, SAVED_STATE_CHECKED) || !job_step(job, "check", "check the saved state"))
                return load_saved(job, vm, error);
        GThread *thread = g_thread_new("check", check_saved, &check);
        bool loaded = load_saved(job, vm, &local);
        if (!g_thread_join(thread)) {
                g_propagate_error(error, check.problem);
                return false;
        }
        if (!loaded)
                g_propagate_error(error, g_steal_pointer(&local));
        return loaded;
}

static bool start_saved(Job *job, Vm *vm, bool run, GError **error)
{
        if (!load_checked(job, vm, error))
                return false;
        if (!run)
                return !job_step(job, "hold", "leave it paused") || hold_loaded(vm, error);
        return !job_step(job, "run", "let the guest run") || run_from_saved(job, vm, error);
}

/* A start that an earlier daemon began: QEMU is there and has not run yet. It is cheaper and surer to begin anew. */
static bool clear_half_start(Vm *vm, GError **error)
{
        return !vm_is_live(vm) || vm_kill(vm, "host-stop", error);
}

/* The daemon was killed as it let a guest go on from its saved state, which must not be loaded again now. */
static bool is_resumed_half(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        bool half = runtime.saved && runtime.saved->spent && vm_is_live(vm);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return half;
}

static bool undo_is_kill(Job *job, Vm *vm, GError **error)
{
        return job_undo(job, "vm-kill", json_pack("{s:s, s:s}", "vm", vm_id(vm), "reason", "failed-start"), error);
}

bool power_start(Job *job, Vm *vm, bool run, GError **error)
{
        bool saved = saved_state_is_there(vm);
        if (!template_check_not(vm, "start", error))
                return false;
        if (!run && !saved && vm_power(vm) == HOSTLER_POWER_PAUSED)
                return true;
        /* Run again after a crash of the daemon: the guest came back from disk and runs; only the file was left. */
        if (vm_power(vm) == HOSTLER_POWER_RUNNING)
                return saved_state_forget(vm, error);
        if (is_resumed_half(vm))
                return run_from_saved(job, vm, error);
        if (vm_is_live(vm) && !saved && vm_power(vm) != HOSTLER_POWER_STARTING && vm_power(vm) != HOSTLER_POWER_CRASHED)
                return refuse_state(vm, "start", error);
        if (!job_is_dry_run(job) && (!undo_is_kill(job, vm, error) || !clear_half_start(vm, error)))
                return false;
        bool ok = saved ? start_saved(job, vm, run, error) : start_cold(job, vm, error);
        return ok && (job_is_dry_run(job) || job_commit(job, error));
}

bool vm_start(Job *job, const HostlerVmStartArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        return vm && power_start(job, vm, true, error);
}

/* ---- waking from S3 ---- */

static bool agent_is_open(Vm *vm, void *data)
{
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        return agent || !vm_is_live(vm);
}

/*
 * Waking has ended when the agent, if the guest has one, answers again: what comes next finds a guest that can hear it.
 */
static void let_settle(Job *job, Vm *vm)
{
        int64_t end = clock_monotonic_ms() + WAKE_MS;
        if (vm_phase(vm) < HOSTLER_BOOT_PHASE_AGENT || !vm_wait(vm, agent_is_open, NULL, end, job_cancellable(job)))
                return;
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        if (agent)
                guest_agent_call(agent, "guest-ping", NULL, WAKE_MS, job_cancellable(job), NULL, NULL);
}

static bool wake(Job *job, Vm *vm, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        if (!qmp || !job_step(job, "wake", "wake the guest from its sleep"))
                return qmp != NULL;
        if (!wake_guest(qmp, error))
                return false;
        if (!wait_power(vm, HOSTLER_POWER_RUNNING, SETTLE_MS, job))
                return refuse_state(vm, "wake", error);
        let_settle(job, vm);
        return true;
}

/* ---- stop ---- */

static void press_button(Vm *vm)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        if (agent)
                guest_agent_order(agent, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"), 500, NULL);
        if (qmp)
                qmp_call(qmp, "system_powerdown", NULL, NULL, NULL);
}

static bool say_still_running(Vm *vm, int64_t timeout_ms, GError **error)
{
        g_autofree char *object = vm_object(vm);
        g_autofree char *time = duration_format(timeout_ms);
        error_set(error, HOSTLER_ERROR_TIMEOUT, object, "the guest has not shut down within %s and is still running",
                  time);
        return error_hint(error, "give it more time with --timeout, or power it off: hostler stop %s --hard",
                          object + strlen("vm/"));
}

static bool stop_politely(Job *job, Vm *vm, int64_t timeout_ms, GError **error)
{
        int64_t begin = clock_monotonic_ms(), end = begin + timeout_ms;
        while (vm_is_live(vm)) {
                int64_t now = clock_monotonic_ms();
                if (!job_check_cancelled(job, error))
                        return false;
                if (now >= end)
                        return say_still_running(vm, timeout_ms, error);
                press_button(vm);
                job_progress(job, 100.0 * (double)(now - begin) / (double)timeout_ms,
                             "waiting for the guest to shut down");
                vm_wait(vm, is_not_live, NULL, MIN(now + BUTTON_AGAIN_MS, end), job_cancellable(job));
        }
        return true;
}

/* A VM that never ran, or sleeps on disk, is off when its saved state is thrown away. */
static bool drop_saved_state(Vm *vm, bool hard, GError **error)
{
        g_autofree char *object = vm_object(vm);
        if (!saved_state_is_there(vm))
                return true;
        if (!hard) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is suspended to disk");
                return error_hint(error, "resume it first, or throw its memory away: hostler stop %s --hard",
                                  object + strlen("vm/"));
        }
        if (!saved_state_forget(vm, error))
                return false;
        vm_set_power(vm, HOSTLER_POWER_OFF, "host-stop");
        return true;
}

static bool stop_live(Job *job, Vm *vm, const HostlerVmStopArgs *args, GError **error)
{
        /* A kernel that has panicked hears nothing more. */
        if (args->hard || vm_power(vm) == HOSTLER_POWER_CRASHED)
                return !job_step(job, "power-off", "power off") || vm_kill(vm, "host-stop", error);
        if (vm_power(vm) == HOSTLER_POWER_SUSPENDED && !wake(job, vm, error))
                return false;
        if (vm_power(vm) == HOSTLER_POWER_PAUSED &&
            job_step(job, "wake", "let the paused guest run, so that it can shut down") &&
            !power_let_run(job, vm, error))
                return false;
        return !job_step(job, "ask", "ask the guest to shut down") || stop_politely(job, vm, args->timeout, error);
}

bool vm_stop(Job *job, const HostlerVmStopArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        if (vm_is_live(vm))
                return stop_live(job, vm, args, error);
        return job_is_dry_run(job) || drop_saved_state(vm, args->hard, error);
}

/* ---- pause and resume ---- */

bool vm_pause(Job *job, const HostlerVmPauseArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        /* One that stands still for lack of space stays so from now on. */
        if (vm_power(vm) == HOSTLER_POWER_PAUSED && !job_is_dry_run(job))
                vm_set_condition(vm, "pool-full", NULL);
        if (vm_power(vm) == HOSTLER_POWER_PAUSED)
                return true;
        if (vm_power(vm) != HOSTLER_POWER_RUNNING)
                return refuse_state(vm, "pause", error);
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        if (!qmp || !job_step(job, "stop", "stop the guest's processors"))
                return qmp != NULL;
        return qmp_call(qmp, "stop", NULL, NULL, error) &&
               (wait_power(vm, HOSTLER_POWER_PAUSED, SETTLE_MS, job) || refuse_state(vm, "pause", error));
}

bool vm_resume(Job *job, const HostlerVmResumeArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        if (saved_state_is_there(vm) || is_resumed_half(vm) || vm_power(vm) == HOSTLER_POWER_STARTING)
                return power_start(job, vm, true, error);
        if (vm_power(vm) == HOSTLER_POWER_SUSPENDED)
                return wake(job, vm, error);
        if (vm_power(vm) == HOSTLER_POWER_RUNNING)
                return true;
        if (vm_power(vm) != HOSTLER_POWER_PAUSED)
                return refuse_state(vm, "resume", error);
        return !job_step(job, "run", "let the guest run") || power_let_run(job, vm, error);
}

/* ---- restart ---- */

static bool was_reset(Vm *vm, void *data)
{
        /* A guest that reboots goes through its firmware again; one that powers off instead is noticed as well. */
        return vm_resets(vm) != *(const uint64_t *)data || !vm_is_live(vm);
}

/* Off and on again, at once. */
static bool start_anew(Job *job, Vm *vm, GError **error)
{
        if (!job_is_dry_run(job) && !job_remember(job, "stopped", json_true(), error))
                return false;
        if (job_step(job, "power-off", "power off") && !vm_kill(vm, "host-stop", error))
                return false;
        return power_start(job, vm, true, error);
}

static bool reset_hard(Job *job, Vm *vm, GError **error)
{
        /* QEMU ends when it is reset and cannot reach its TPM. */
        if (vm_has_condition(vm, "helper-ended"))
                return start_anew(job, vm, error);
        uint64_t before = vm_resets(vm);
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        if (!qmp || !job_step(job, "reset", "press the reset button"))
                return qmp != NULL;
        if (!qmp_call(qmp, "system_reset", NULL, NULL, error))
                return false;
        vm_wait(vm, was_reset, &before, clock_monotonic_ms() + SETTLE_MS, job_cancellable(job));
        return vm_power(vm) == HOSTLER_POWER_RUNNING || power_let_run(job, vm, error);
}

static bool reboot_by_agent(Job *job, Vm *vm, GuestAgent *agent, int64_t timeout_ms, GError **error)
{
        uint64_t before = vm_resets(vm);
        int64_t end = clock_monotonic_ms() + timeout_ms;
        if (!job_step(job, "ask", "ask the guest to reboot"))
                return true;
        if (!guest_agent_order(agent, "guest-shutdown", json_pack("{s:s}", "mode", "reboot"), 500, error))
                return false;
        if (vm_wait(vm, was_reset, &before, end, job_cancellable(job)))
                return true;
        return job_check_cancelled(job, error) && say_still_running(vm, timeout_ms, error);
}

/* Through off: for guests without an agent, and when something waits for a new QEMU. */
static bool restart_through_off(Job *job, Vm *vm, int64_t timeout_ms, GError **error)
{
        if (job_step(job, "ask", "ask the guest to shut down") && !stop_politely(job, vm, timeout_ms, error))
                return false;
        if (!job_is_dry_run(job) && !job_remember(job, "stopped", json_true(), error))
                return false;
        return power_start(job, vm, true, error);
}

static bool has_pending(Vm *vm)
{
        HostlerVm info;
        vm_info(vm, &info);
        bool pending = info.status->pending && info.status->pending[0];
        record_clear(&hostler_vm_type, &info);
        return pending;
}

/* An agent that does not answer, because the guest is still booting or on its way down, is as good as none. */
static bool restart_politely(Job *job, Vm *vm, int64_t timeout_ms, GError **error)
{
        g_autoptr(GError) local = NULL;
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        if (!agent || has_pending(vm) || vm_has_condition(vm, "helper-ended"))
                return restart_through_off(job, vm, timeout_ms, error);
        if (reboot_by_agent(job, vm, agent, timeout_ms, &local))
                return true;
        if (error_is(local, HOSTLER_ERROR_NO_AGENT))
                return restart_through_off(job, vm, timeout_ms, error);
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

bool vm_restart(Job *job, const HostlerVmRestartArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        if (!vm)
                return false;
        /* Run again after a crash of the daemon: the guest was stopped already, so only the start is left. */
        if (!vm_is_live(vm) && job_recall(job, "stopped"))
                return power_start(job, vm, true, error);
        if (!vm_is_live(vm))
                return refuse_state(vm, "restart", error);
        if (args->hard || vm_power(vm) == HOSTLER_POWER_CRASHED)
                return reset_hard(job, vm, error);
        return restart_politely(job, vm, args->timeout, error);
}
