/* Schedules of snapshots: when the next one is due, and which are too many. The clock is whatever the test says. */
#include <glib.h>

#include "base/units.h"
#include "vm/snapshot/schedule.h"

#define HOUR_MS 3600000LL
#define BEGIN_MS (500000LL * HOUR_MS)

static void add(HostlerVmHistory *history, const char *name, int64_t created_ms, bool scheduled)
{
        HostlerSnapshotList *list = &history->snapshots;
        list->items = g_renew(HostlerSnapshot, list->items, list->count + 1);
        record_init(&hostler_snapshot_type, &list->items[list->count]);
        list->items[list->count].name = g_strdup(name);
        list->items[list->count].created = time_format(created_ms);
        list->items[list->count++].scheduled = scheduled;
}

static void begin(HostlerVmHistory *history, int64_t keep)
{
        record_init(&hostler_vm_history_type, history);
        history->schedule = g_new0(HostlerSnapshotSchedule, 1);
        record_init(&hostler_snapshot_schedule_type, history->schedule);
        history->schedule->every = HOUR_MS;
        history->schedule->keep = keep;
        history->schedule->since = time_format(BEGIN_MS);
}

static void test_due(void)
{
        HostlerVmHistory history;
        begin(&history, 3);
        g_assert_cmpint(schedule_due_ms(&history), ==, BEGIN_MS + HOUR_MS);
        add(&history, "by-hand", BEGIN_MS + HOUR_MS / 2, false);
        g_assert_cmpint(schedule_due_ms(&history), ==, BEGIN_MS + HOUR_MS);
        /* The host was off for a day: one is taken, and the next an hour after that. */
        add(&history, "late", BEGIN_MS + 25 * HOUR_MS, true);
        g_assert_cmpint(schedule_due_ms(&history), ==, BEGIN_MS + 26 * HOUR_MS);
        record_clear(&hostler_snapshot_schedule_type, history.schedule);
        g_clear_pointer(&history.schedule, g_free);
        g_assert_cmpint(schedule_due_ms(&history), ==, INT64_MAX);
        record_clear(&hostler_vm_history_type, &history);
}

static void test_surplus(void)
{
        HostlerVmHistory history;
        static const char *const names[] = {"a", "b", "c", "d", "e"};
        begin(&history, 3);
        for (int i = 0; i < 5; i++) {
                g_autoptr(GPtrArray) before = schedule_surplus(&history);
                g_assert_cmpuint(before->len, ==, MAX(i - 3, 0));
                add(&history, names[i], BEGIN_MS + i * HOUR_MS, true);
                add(&history, "by-hand", BEGIN_MS + i * HOUR_MS, false);
        }
        g_autoptr(GPtrArray) surplus = schedule_surplus(&history);
        g_assert_cmpuint(surplus->len, ==, 2);
        g_assert_cmpstr(surplus->pdata[0], ==, "a");
        g_assert_cmpstr(surplus->pdata[1], ==, "b");
        record_clear(&hostler_vm_history_type, &history);
}

static void test_name(void)
{
        g_autofree char *name = schedule_name(0), *later = schedule_name(1893456000999);
        g_assert_cmpstr(name, ==, "auto-19700101-000000");
        g_assert_cmpstr(later, ==, "auto-20300101-000000");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/schedule/due", test_due);
        g_test_add_func("/schedule/surplus", test_surplus);
        g_test_add_func("/schedule/name", test_name);
        return g_test_run();
}
