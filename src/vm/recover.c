/*
 * Recovery at daemon start: adopt every QEMU that runs, record the ends of those that do not, finish or undo jobs,
 * sweep up.
 *
 * Runs on a thread of its own while the API answers already: until a VM is adopted it shows as it was last known, and
 * jobs wait.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "base/units.h"
#include "host/qemu.h"
#include "vm/clone/ready.h"
#include "vm/manager_internal.h"
#include "vm/snapshot/strays.h"
#include "vm/vm_internal.h"
#include "vm/warm/warm.h"

#define ADOPT_TIMEOUT_MS 3000
#define ADOPT_THREADS 16
#define SILENT_PAUSE_US 500000

typedef struct {
        Manager *manager;
        GPtrArray *vms, *trash; /* what a dead daemon left; VMs that are created meanwhile are none of it */
        void (*done)(int adopted, void *data);
        void *data;
        gint adopted;
} Recovery;

bool vm_is_ready(Vm *vm, void *data)
{
        g_mutex_lock(&vm->lock);
        bool ready = !vm->recovering;
        g_mutex_unlock(&vm->lock);
        return ready;
}

static void set_recovering(Vm *vm, bool recovering)
{
        g_mutex_lock(&vm->lock);
        vm->recovering = recovering;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

HostlerPower vm_power_at_rest(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        HostlerPower power = HOSTLER_POWER_OFF;
        if (runtime.saved && !runtime.saved->spent)
                power = HOSTLER_POWER_SUSPENDED;
        else if (runtime.exit && vm_reason_is_crash(runtime.exit->reason))
                power = HOSTLER_POWER_CRASHED;
        record_clear(&hostler_vm_runtime_type, &runtime);
        return power;
}

bool vm_has_open_run(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        bool open = runtime.started != NULL;
        record_clear(&hostler_vm_runtime_type, &runtime);
        return open;
}

static bool was_cut_off(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        bool cut = runtime.exit && g_str_equal(runtime.exit->reason, "host-down");
        record_clear(&hostler_vm_runtime_type, &runtime);
        return cut;
}

static bool runs_in(const char *vm_dir)
{
        ProcessId qemu;
        return keeper_read(vm_dir, NULL, &qemu, NULL) && process_id_alive(&qemu);
}

/* A VM whose QEMU is alive is shown as running from the first answer on; its adoption finds out more. */
void vm_load(Vm *vm, const VmRow *row)
{
        json_auto_t *json = row->runtime ? json_loads(row->runtime, 0, NULL) : NULL;
        json_auto_t *past = row->history ? json_loads(row->history, 0, NULL) : NULL;
        HostlerVmRuntime runtime;
        HostlerVmHistory history;
        if (past && record_from_json(&hostler_vm_history_type, past, "", &history, NULL)) {
                vm_keep_history(vm, &history);
                record_clear(&hostler_vm_history_type, &history);
        }
        g_mutex_lock(&vm->lock);
        vm->wanted.trashed_ms = row->trashed_ms;
        /* A runtime that cannot be read is as good as none: keeper.json and exit.json tell the rest. */
        if (json && record_from_json(&hostler_vm_runtime_type, json, "", &runtime, NULL)) {
                record_clear(&hostler_vm_runtime_type, &vm->runtime);
                vm->runtime = runtime;
        }
        vm->recovering = true;
        g_mutex_unlock(&vm->lock);
        ready_load(vm);
        vm->power = vm_has_open_run(vm) && runs_in(vm_dir(vm)) ? HOSTLER_POWER_RUNNING : vm_power_at_rest(vm);
}

static void autostart(Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerOptionsProps *options = spec_part(&spec->value, "options")->props;
        HostlerVmStartArgs args = {.vm = (char *)vm_id(vm)};
        if (options->autostart && !vm_trashed_ms(vm))
                manager_ask(vm, "vm", "start", &args, NULL);
}

/* QEMU is alive and does not answer: tried again for as long as both of us live. */
static void adopt_silent(gpointer data, gpointer user_data)
{
        Manager *manager = user_data;
        g_autoptr(Vm) vm = data;
        while (!g_cancellable_is_cancelled(manager->cancellable) && vm_is_live(vm)) {
                if (vm_adopt(vm, ADOPT_TIMEOUT_MS, NULL)) {
                        vm_set_unresponsive(vm, false);
                        return;
                }
                g_usleep(SILENT_PAUSE_US);
        }
}

static void leave_silent(Manager *manager, Vm *vm)
{
        vm_set_unresponsive(vm, true);
        g_thread_pool_push(manager->silent, vm_ref(vm), NULL);
}

static void adopt_one(gpointer data, gpointer user_data)
{
        Recovery *recovery = user_data;
        g_autoptr(Vm) vm = data;
        bool ran = vm_has_open_run(vm);
        if (!ran)
                warm_sweep(vm);
        if (vm_adopt(vm, ADOPT_TIMEOUT_MS, NULL))
                g_atomic_int_inc(&recovery->adopted);
        else if (vm_is_live(vm))
                leave_silent(recovery->manager, vm);
        else if (ran && was_cut_off(vm))
                autostart(vm);
        if (!vm_is_live(vm) && vm_power(vm) == HOSTLER_POWER_RUNNING)
                vm_set_power(vm, vm_power_at_rest(vm), "it ended before it was adopted");
        set_recovering(vm, false);
}

static void adopt_all(Recovery *recovery)
{
        GThreadPool *pool = g_thread_pool_new(adopt_one, recovery, ADOPT_THREADS, FALSE, NULL);
        for (guint i = 0; i < recovery->vms->len; i++)
                g_thread_pool_push(pool, vm_ref(g_ptr_array_index(recovery->vms, i)), NULL);
        g_thread_pool_free(pool, FALSE, TRUE);
        for (guint i = 0; i < recovery->trash->len; i++) {
                warm_sweep(g_ptr_array_index(recovery->trash, i));
                set_recovering(g_ptr_array_index(recovery->trash, i), false);
        }
}

/* A start whose daemon died and whose job is not run again leaves a QEMU that never ran. */
static void end_half_starts(Manager *manager, const GPtrArray *vms)
{
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = g_ptr_array_index(vms, i);
                g_autofree char *key = g_strdup_printf("vm/%s", vm_id(vm)),
                                *holder = job_turn_holder(manager->jobs, key);
                if (!holder && vm_is_live(vm) && vm_power(vm) == HOSTLER_POWER_STARTING)
                        vm_kill(vm, "failed-start", NULL);
        }
}

/* Folders of VMs that no row knows: a create that was cut off before it was journalled, or a restored older database.
 */
static void sweep_folders(Manager *manager)
{
        g_autofree char *vms = g_build_filename(manager->state_dir, "vms", NULL);
        g_autoptr(GDir) dir = g_dir_open(vms, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(vms, name, NULL);
                g_mutex_lock(&manager->lock);
                bool known = g_hash_table_contains(manager->vms, name);
                g_mutex_unlock(&manager->lock);
                if (!known)
                        warm_sweep_spare(path);
                if (!known && !runs_in(path) && g_uuid_string_is_valid(name))
                        dir_remove(path, NULL);
        }
}

static gpointer probe_thread(gpointer data)
{
        Manager *manager = data;
        g_autofree char *qemu = qemu_find(NULL);
        g_auto(AccelVerdict) verdict = {0};
        manager_set_kvm(manager, accel_probe(qemu, manager->store, false, manager->cancellable, &verdict));
        return NULL;
}

static gboolean tell_done(gpointer data)
{
        Recovery *recovery = data;
        event_emit(recovery->manager->events, "daemon-started", "",
                   json_pack("{s:s, s:i}", "version", HOSTLER_VERSION, "adopted", recovery->adopted));
        housekeeping_start(recovery->manager);
        observe_start(recovery->manager);
        if (recovery->done)
                recovery->done(recovery->adopted, recovery->data);
        recovery->manager->recovering = false;
        g_ptr_array_unref(recovery->vms);
        g_ptr_array_unref(recovery->trash);
        g_free(recovery);
        return G_SOURCE_REMOVE;
}

static gpointer recover_thread(gpointer data)
{
        Recovery *recovery = data;
        Manager *manager = recovery->manager;
        adopt_all(recovery);
        job_queue_recover(manager->jobs, NULL);
        strays_remove_soon(recovery->vms);
        end_half_starts(manager, recovery->vms);
        network_recovered(manager->network);
        g_idle_add(tell_done, recovery);
        return NULL;
}

void manager_recover(Manager *manager, void (*done)(int adopted, void *data), void *data)
{
        Recovery *recovery = g_new0(Recovery, 1);
        recovery->manager = manager;
        recovery->vms = manager_vms(manager, false);
        recovery->trash = manager_vms(manager, true);
        recovery->done = done;
        recovery->data = data;
        /* Before the first request: what jobs make from now on looks like something half made, too. */
        image_sweep(manager->image_dir);
        sweep_folders(manager);
        manager->silent = g_thread_pool_new(adopt_silent, manager, -1, FALSE, NULL);
        manager->probe = g_thread_new("accel-probe", probe_thread, manager);
        manager->recovering = true;
        manager->recovery = g_thread_new("recovery", recover_thread, recovery);
}
