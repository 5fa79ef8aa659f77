/*
 * The end of a run: how QEMU ended is written down, its run folder emptied, the power state set. Called by watch.c when
 * the process has gone, by adopt.c when it finds none alive, and by vm_kill; whoever comes first does it, the others
 * find it done.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "base/units.h"
#include "vm/parts.h"
#include "vm/snapshot/saved_state.h"
#include "vm/vm_internal.h"

/* The keeper writes exit.json within milliseconds of the end. */
#define EXIT_FILE_WAIT_MS 3000
#define LOG_TAIL_BYTES 65536
#define LOG_TAIL_LINES 5

/* The last lines QEMU wrote in this run: what follows the separator its keeper puts at each start. */
static char *last_words(Vm *vm)
{
        g_autofree char *path = vm_path(vm, "qemu.log");
        g_autofree char *text = file_read_tail(path, LOG_TAIL_BYTES, NULL);
        if (!text)
                return NULL;
        g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
        guint count = g_strv_length(lines), first = count;
        while (first > 0 && count - first < LOG_TAIL_LINES && !g_str_has_prefix(lines[first - 1], "---"))
                first--;
        g_autofree char *tail = g_strjoinv("; ", lines + first);
        return *tail ? g_utf8_make_valid(tail, -1) : NULL;
}

static bool read_exit(Vm *vm, KeeperExit *ret_exit)
{
        int64_t end = clock_monotonic_ms() + EXIT_FILE_WAIT_MS;
        ProcessId keeper = {0};
        for (;;) {
                bool keeper_lives = keeper_read(vm->dir, &keeper, NULL, NULL) && process_id_alive(&keeper);
                if (keeper_exit_read(vm->dir, ret_exit, NULL))
                        return true;
                if (!keeper_lives || clock_monotonic_ms() >= end)
                        return false;
                g_usleep(1000);
        }
}

/* @how NULL: nobody saw the end, because the keeper was killed. */
static const char *exit_reason(const HostlerVmRuntime *runtime, const char *said, const KeeperExit *how)
{
        if (runtime->stopping)
                return runtime->stopping;
        if (how && !how->signalled && how->code == 0)
                return said ? said : "guest-shutdown";
        if (how && how->signalled && how->code == SIGKILL)
                return "killed";
        return "crashed";
}

static HostlerVmExit *exit_record(Vm *vm, const HostlerVmRuntime *runtime, const char *said)
{
        KeeperExit how;
        bool known = read_exit(vm, &how);
        HostlerVmExit *record = g_new0(HostlerVmExit, 1);
        record_init(&hostler_vm_exit_type, record);
        record->time = time_format(known ? how.time_ms : clock_unix_ms());
        record->reason = g_strdup(exit_reason(runtime, said, known ? &how : NULL));
        record->code = known && !how.signalled ? how.code : HOSTLER_UNSET;
        record->signal = known && how.signalled ? how.code : HOSTLER_UNSET;
        if (g_str_equal(record->reason, "crashed") || g_str_equal(record->reason, "failed-start"))
                record->detail = known ? last_words(vm) : g_strdup("nobody saw the end: its keeper was killed");
        return record;
}

bool vm_reason_is_crash(const char *reason)
{
        return g_strcmp0(reason, "crashed") == 0 || g_strcmp0(reason, "killed") == 0 ||
               g_strcmp0(reason, "guest-panic") == 0;
}

/* A state on disk outlives a QEMU that was to load it. */
static HostlerPower power_after(Vm *vm, const char *reason)
{
        if (saved_state_is_there(vm))
                return HOSTLER_POWER_SUSPENDED;
        return vm_reason_is_crash(reason) ? HOSTLER_POWER_CRASHED : HOSTLER_POWER_OFF;
}

/* True for the one caller that may record this run's end. */
static bool claim_end(Vm *vm, char **ret_said)
{
        g_mutex_lock(&vm->lock);
        bool mine = vm->process.pid != 0;
        vm->process = (ProcessId){0};
        vm->status.pid = HOSTLER_UNSET;
        vm->ending = vm->ending || mine;
        *ret_said = g_steal_pointer(&vm->exit_reason);
        g_mutex_unlock(&vm->lock);
        return mine;
}

/* Also the space that a keeper reserves for exit.json, which one that was killed leaves behind. */
static void empty_run_folder(Vm *vm)
{
        g_autofree char *run = vm_path(vm, "run"), *reserved = vm_path(vm, ".exit.json");
        dir_remove(run, NULL);
        unlink(reserved);
}

/* exit.json is there for as long as the end is not in the store: after a full disk the next daemon finds it again. */
static void store_exit(Vm *vm, HostlerVmRuntime *runtime, HostlerVmExit *record_taken)
{
        g_autofree char *path = vm_path(vm, "exit.json");
        if (runtime->exit)
                record_clear(&hostler_vm_exit_type, runtime->exit);
        g_free(runtime->exit);
        runtime->exit = record_taken;
        g_clear_pointer(&runtime->stopping, g_free);
        g_clear_pointer(&runtime->started, g_free);
        if (vm_set_runtime(vm, runtime, NULL))
                unlink(path);
        else
                vm_keep_runtime(vm, runtime);
        empty_run_folder(vm);
}

static void write_down(Vm *vm, HostlerVmRuntime *runtime, HostlerVmExit *record_taken)
{
        g_autofree char *reason = g_strdup(record_taken->reason);
        vm_release_parts(vm);
        bool spent = runtime->saved && runtime->saved->spent;
        store_exit(vm, runtime, record_taken);
        if (spent)
                saved_state_forget(vm, NULL);
        HostlerAddressList none = {0};
        vm_set_addresses(vm, &none);
        vm_set_guest_memory(vm, NULL);
        vm_set_condition(vm, "helper-ended", NULL);
        vm_set_unresponsive(vm, false);
        vm_set_phase(vm, HOSTLER_BOOT_PHASE_ABSENT);
        vm_set_power(vm, power_after(vm, reason), reason);
}

static bool ended(Vm *vm, void *data)
{
        g_mutex_lock(&vm->lock);
        bool done = !vm->ending;
        g_mutex_unlock(&vm->lock);
        return done;
}

void vm_record_exit(Vm *vm)
{
        g_autofree char *said = NULL;
        if (!claim_end(vm, &said)) {
                vm_wait(vm, ended, NULL, clock_monotonic_ms() + 2 * EXIT_FILE_WAIT_MS, NULL);
                return;
        }
        vm_on_main_loop(vm, vm_disconnect);
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        write_down(vm, &runtime, exit_record(vm, &runtime, said));
        record_clear(&hostler_vm_runtime_type, &runtime);
        g_mutex_lock(&vm->lock);
        vm->ending = false;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

/* What its keeper wrote may have been lost with the host, or be half there. */
static bool ran_before_boot(Vm *vm, const HostlerVmRuntime *runtime)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *keeper = vm_path(vm, "run/keeper.json");
        if (runtime->boot && !g_str_equal(runtime->boot, host_boot_id()))
                return true;
        /* There, and yet not found: it speaks of processes of before the host was started. */
        return access(keeper, F_OK) == 0 && !keeper_read(vm->dir, NULL, NULL, &error) &&
               error_is(error, HOSTLER_ERROR_NOT_FOUND);
}

/* What its keeper left says of a run nobody was connected to; NULL: no QEMU was executed. */
static HostlerVmExit *missed_exit_record(Vm *vm, const HostlerVmRuntime *runtime)
{
        KeeperExit how;
        if (keeper_exit_read(vm->dir, &how, NULL))
                return exit_record(vm, runtime, NULL);
        if (!ran_before_boot(vm, runtime))
                return NULL;
        HostlerVmExit *record = g_new0(HostlerVmExit, 1);
        record_init(&hostler_vm_exit_type, record);
        record->time = time_format(clock_unix_ms());
        record->reason = g_strdup("host-down");
        record->detail = g_strdup("the host went down while it ran");
        return record;
}

void vm_record_missed_exit(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        HostlerVmExit *record = runtime.started ? missed_exit_record(vm, &runtime) : NULL;
        if (record)
                write_down(vm, &runtime, record);
        record_clear(&hostler_vm_runtime_type, &runtime);
}
