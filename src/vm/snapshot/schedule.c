/*
 * Schedules of snapshots, computed. See schedule.h; who takes and removes them is schedule_run.c. The next one is due a
 * whole interval after the last: those that were missed are not made up for.
 */
#include "vm/snapshot/schedule.h"

#include "base/units.h"

static int64_t time_of(const char *text)
{
        int64_t ms;
        return text && time_parse(text, &ms) ? ms : 0;
}

int64_t schedule_due_ms(const HostlerVmHistory *history)
{
        const HostlerSnapshotSchedule *schedule = history->schedule;
        if (!schedule)
                return INT64_MAX;
        int64_t last = time_of(schedule->since);
        for (size_t i = 0; i < history->snapshots.count; i++)
                if (history->snapshots.items[i].scheduled)
                        last = MAX(last, time_of(history->snapshots.items[i].created));
        return last + schedule->every;
}

GPtrArray *schedule_surplus(const HostlerVmHistory *history)
{
        GPtrArray *names = g_ptr_array_new();
        for (size_t i = 0; history->schedule && i < history->snapshots.count; i++)
                if (history->snapshots.items[i].scheduled)
                        g_ptr_array_add(names, history->snapshots.items[i].name);
        /* In the order they were taken: what is left of the list when the newest are off is too much. */
        guint keep = history->schedule ? (guint)history->schedule->keep : 0;
        g_ptr_array_set_size(names, names->len > keep ? (int)(names->len - keep) : 0);
        return names;
}

char *schedule_name(int64_t now_ms)
{
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(now_ms / 1000);
        return g_date_time_format(time, "auto-%Y%m%d-%H%M%S");
}
