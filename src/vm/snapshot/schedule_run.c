/*
 * Carrying schedules of snapshots out, and the verb that sets them. A snapshot is a job like any other; one that fails
 * is tried again after as long as the schedule's interval. A VM that is off does not change, so nothing is taken of it.
 */
#include "vm/snapshot/schedule_run.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "vm/manager_internal.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/schedule.h"
#include "vm/vm_internal.h"

static void take(Vm *vm, const HostlerSnapshotSchedule *schedule, int64_t now_ms)
{
        g_autofree char *name = schedule_name(now_ms);
        HostlerSnapshotCreateArgs args = {
            .vm = (char *)vm_id(vm), .name = name, .disk_only = schedule->disks, .scheduled = true};
        manager_ask(vm, "snapshot", "create", &args, NULL);
}

/* Each is asked for once in an hour, whatever becomes of it. */
static void remove_surplus(Vm *vm, const HostlerVmHistory *history, int64_t now_ms)
{
        g_autoptr(GPtrArray) names = schedule_surplus(history);
        for (guint i = 0; i < names->len; i++) {
                g_autofree char *key = g_strdup_printf("surplus/%s/%s/%" G_GINT64_FORMAT, vm_id(vm),
                                                       (char *)names->pdata[i], now_ms / 3600000);
                HostlerSnapshotRmArgs args = {.vm = (char *)vm_id(vm), .snapshot = names->pdata[i]};
                manager_ask(vm, "snapshot", "rm", &args, key);
        }
}

static bool may_try(Vm *vm, int64_t now_ms, int64_t every_ms)
{
        HostlerPower power = vm_power(vm);
        bool due = (power == HOSTLER_POWER_RUNNING || power == HOSTLER_POWER_PAUSED) &&
                   now_ms >= vm->schedule_tried_ms + every_ms;
        if (due)
                vm->schedule_tried_ms = now_ms;
        return due;
}

static void look_at(Vm *vm, int64_t now_ms)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        if (history.schedule && schedule_due_ms(&history) <= now_ms && may_try(vm, now_ms, history.schedule->every))
                take(vm, history.schedule, now_ms);
        remove_surplus(vm, &history, now_ms);
        record_clear(&hostler_vm_history_type, &history);
}

void schedule_run(Manager *manager)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = vms->pdata[i];
                g_mutex_lock(&vm->lock);
                bool scheduled = vm->history.schedule != NULL;
                g_mutex_unlock(&vm->lock);
                if (scheduled)
                        look_at(vm, clock_unix_ms());
        }
}

/* ---- the verb ---- */

static void set_schedule(HostlerVmHistory *history, const HostlerSnapshotScheduleArgs *args)
{
        if (history->schedule)
                record_clear(&hostler_snapshot_schedule_type, history->schedule);
        g_clear_pointer(&history->schedule, g_free);
        if (args->off)
                return;
        history->schedule = g_new0(HostlerSnapshotSchedule, 1);
        record_init(&hostler_snapshot_schedule_type, history->schedule);
        history->schedule->every = args->every;
        history->schedule->keep = args->keep;
        history->schedule->disks = args->disk_only;
        history->schedule->since = time_format(clock_unix_ms());
}

static void describe(const HostlerVmHistory *history, HostlerScheduleInfo *ret_info)
{
        if (!history->schedule)
                return;
        ret_info->every = history->schedule->every;
        ret_info->keep = history->schedule->keep;
        ret_info->disk_only = history->schedule->disks;
        ret_info->next = time_format(schedule_due_ms(history));
}

bool snapshot_schedule(Job *job, const HostlerSnapshotScheduleArgs *args, HostlerScheduleInfo *ret_result,
                       GError **error)
{
        HostlerVmHistory history;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        record_init(&hostler_schedule_info_type, ret_result);
        if (!vm)
                return false;
        if (!args->off && args->every == HOSTLER_UNSET)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "say how often (--every 1h), or --off");
        vm_history(vm, &history);
        set_schedule(&history, args);
        bool ok = !job_step(job, "schedule", args->off ? "take no more by the clock" : "take snapshots by the clock") ||
                  vm_set_history(vm, &history, error);
        ret_result->name = vm_name(vm);
        describe(&history, ret_result);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}
