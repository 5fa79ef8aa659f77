/*
 * Adoption: from a process to connections. The same for a QEMU that was spawned a moment ago and for one found at
 * daemon start.
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/keeper_launch.h"
#include "vm/parts.h"
#include "vm/pool/space.h"
#include "vm/vm_internal.h"
#include "vm/warm/warm.h"

#define FIRST_STEP_MS 1000
#define QUIT_TIMEOUT_MS 3000
#define KILL_TIMEOUT_MS 10000

static void on_event(Qmp *qmp, const char *event, const json_t *data, int64_t unix_ms, void *user_data)
{
        vm_watch_event(user_data, event, data);
}

/* A closed monitor says nothing that the process's own end (watch.c) does not say better. */
static void on_closed(Qmp *qmp, const GError *reason, void *user_data)
{
}

static char *socket_path(Vm *vm, const char *name)
{
        return g_build_filename(vm->dir, "run", name, NULL);
}

static void set_process(Vm *vm, ProcessId process)
{
        g_mutex_lock(&vm->lock);
        vm->process = process;
        vm->status.pid = process.pid;
        vm->status.accel = vm->runtime.accel;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

ProcessId vm_process(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        ProcessId process = vm->process;
        g_mutex_unlock(&vm->lock);
        return process;
}

/* What QEMU's run state means for a VM. `prelaunch` and `inmigrate` belong to a start that is under way. */
static HostlerPower power_of(const char *run_state)
{
        static const struct {
                const char *state;
                HostlerPower power;
        } table[] = {
            {"running", HOSTLER_POWER_RUNNING},        {"paused", HOSTLER_POWER_PAUSED},
            {"suspended", HOSTLER_POWER_SUSPENDED},    {"prelaunch", HOSTLER_POWER_STARTING},
            {"inmigrate", HOSTLER_POWER_STARTING},     {"postmigrate", HOSTLER_POWER_PAUSED},
            {"finish-migrate", HOSTLER_POWER_PAUSED},  {"save-vm", HOSTLER_POWER_PAUSED},
            {"io-error", HOSTLER_POWER_PAUSED},        {"guest-panicked", HOSTLER_POWER_CRASHED},
            {"internal-error", HOSTLER_POWER_CRASHED}, {"shutdown", HOSTLER_POWER_STOPPING},
        };
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (strcmp(table[i].state, run_state) == 0)
                        return table[i].power;
        return HOSTLER_POWER_PAUSED;
}

static bool read_power(Vm *vm, Qmp *qmp, GError **error)
{
        json_t *status = NULL;
        if (!qmp_call(qmp, "query-status", NULL, &status, error))
                return false;
        const char *state = json_string_value(json_object_get(status, "status"));
        vm_set_power(vm, power_of(state ? state : ""), "adopted");
        if (g_strcmp0(state, "guest-panicked") == 0)
                vm_set_condition(vm, "panicked", VM_PANICKED);
        /* By `werror=enospc`, which is QEMU's own choice, nothing else stops it so. */
        if (g_strcmp0(state, "io-error") == 0)
                space_was_out(vm, qmp);
        json_decref(status);
        return true;
}

typedef struct {
        Vm *vm;
        GMutex lock;
        GCond done;
        bool ready;
        void (*run)(Vm *vm);
} OnLoop;

static gboolean run_on_loop(gpointer data)
{
        OnLoop *call = data;
        call->run(call->vm);
        g_mutex_lock(&call->lock);
        call->ready = true;
        g_cond_signal(&call->done);
        g_mutex_unlock(&call->lock);
        return G_SOURCE_REMOVE;
}

/* Watches and hubs belong to the main loop: have it done there, and wait. */
void vm_on_main_loop(Vm *vm, void (*run)(Vm *vm))
{
        OnLoop call = {.vm = vm, .run = run};
        g_mutex_init(&call.lock);
        g_cond_init(&call.done);
        g_idle_add_full(G_PRIORITY_HIGH, run_on_loop, &call, NULL);
        g_mutex_lock(&call.lock);
        while (!call.ready)
                g_cond_wait(&call.done, &call.lock);
        g_mutex_unlock(&call.lock);
        g_mutex_clear(&call.lock);
        g_cond_clear(&call.done);
}

static void start_watching(Vm *vm)
{
        vm_watch_start(vm);
        console_hub_start(vm);
}

static void publish(Vm *vm, Qmp *qmp_taken, GuestAgent *agent_taken)
{
        g_mutex_lock(&vm->lock);
        vm->qmp = qmp_taken;
        vm->agent = agent_taken;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

void vm_disconnect(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        g_autoptr(Qmp) qmp = g_steal_pointer(&vm->qmp);
        g_autoptr(GuestAgent) agent = g_steal_pointer(&vm->agent);
        vm->agent_open = false;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        vm_watch_stop(vm);
        console_hub_stop(vm, "the VM has ended");
        if (agent)
                guest_agent_close(agent);
        if (qmp)
                qmp_close(qmp);
}

/* What runs in the folder of a VM that was not started only waits for its start (warm/warm.c). */
static bool find_process(Vm *vm, GError **error)
{
        ProcessId qemu;
        if (!vm_has_open_run(vm))
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "the VM was not started");
        if (!keeper_read(vm->dir, NULL, &qemu, error)) {
                vm_record_missed_exit(vm);
                return false;
        }
        if (process_id_alive(&qemu)) {
                set_process(vm, qemu);
                return true;
        }
        /* The end was never recorded: do it now, as if it had just happened. */
        set_process(vm, qemu);
        vm_record_exit(vm);
        return error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "QEMU has ended");
}

/* A QEMU that died during the adoption has its end recorded, so that the caller sees why. */
static bool fail_adoption(Vm *vm)
{
        ProcessId process = vm_process(vm);
        if (process.pid && !process_id_alive(&process))
                vm_record_exit(vm);
        else
                vm_on_main_loop(vm, vm_disconnect);
        return false;
}

/* A QEMU that has ended will never listen: it is looked for in between, in growing steps. */
static Qmp *connect_monitor(Vm *vm, int64_t timeout_ms, GError **error)
{
        g_autofree char *path = socket_path(vm, CHASSIS_QMP_SOCKET);
        int64_t end = clock_monotonic_ms() + timeout_ms;
        ProcessId process = vm_process(vm);
        for (int64_t step_ms = FIRST_STEP_MS;; step_ms *= 2) {
                g_autoptr(GError) local = NULL;
                int64_t left_ms = end - clock_monotonic_ms();
                Qmp *qmp =
                    qmp_connect(path, true, MIN(step_ms, MAX(left_ms, 1)), NULL, on_event, on_closed, vm, &local);
                if (qmp)
                        return qmp;
                if (left_ms <= step_ms || !process_id_alive(&process)) {
                        g_propagate_error(error, g_steal_pointer(&local));
                        return NULL;
                }
        }
}

/*
 * What lives beside a QEMU that has run may have been killed with the daemon. One that has not is the business of the
 * job that starts it. That a part cannot be had back is no reason to give up the VM.
 */
static void find_parts(Vm *vm)
{
        if (vm_power(vm) == HOSTLER_POWER_STARTING)
                return;
        vm_end_strays(vm);
        vm_connect_parts(vm, NULL);
}

bool vm_adopt(Vm *vm, int64_t timeout_ms, GError **error)
{
        g_autofree char *agent_path = socket_path(vm, CHASSIS_AGENT_SOCKET);
        if (vm_is_live(vm) && vm->qmp)
                return true;
        if (!find_process(vm, error))
                return false;
        g_autoptr(Qmp) qmp = connect_monitor(vm, timeout_ms, error);
        g_autoptr(GuestAgent) agent = qmp ? guest_agent_connect(agent_path, NULL, error) : NULL;
        if (!agent)
                return fail_adoption(vm);
        publish(vm, qmp_ref(qmp), guest_agent_ref(agent));
        vm_on_main_loop(vm, start_watching);
        if (!read_power(vm, qmp, error))
                return fail_adoption(vm);
        find_parts(vm);
        return true;
}

static void note_stopping(HostlerVmRuntime *runtime, void *data)
{
        g_free(runtime->stopping);
        runtime->stopping = g_strdup(data);
}

static bool gone(const ProcessId *process, int64_t timeout_ms)
{
        int fd = process_id_open(process);
        if (fd < 0)
                return true;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        bool ended = poll(&wait, 1, (int)timeout_ms) > 0;
        close(fd);
        return ended;
}

bool vm_kill(Vm *vm, const char *reason, GError **error)
{
        ProcessId process = vm_process(vm);
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        g_autofree char *object = vm_object(vm);
        if (!process.pid && !find_process(vm, NULL)) {
                /* Another thread may still be writing its end down; that is waited for. */
                vm_record_exit(vm);
                warm_end(vm);
                return true;
        }
        process = vm_process(vm);
        if (!vm_update_runtime(vm, note_stopping, (void *)reason, error))
                return false;
        if (qmp)
                qmp_call_full(qmp, "quit", NULL, QUIT_TIMEOUT_MS, NULL, NULL, NULL);
        if (!qmp || !gone(&process, QUIT_TIMEOUT_MS))
                process_id_kill(&process, SIGKILL);
        if (!gone(&process, KILL_TIMEOUT_MS))
                return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, object,
                                 "QEMU (pid %d) does not end, not even by SIGKILL", process.pid);
        vm_record_exit(vm);
        return true;
}
