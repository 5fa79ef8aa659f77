/*
 * Housekeeping: what the daemon does by the clock. Old events are forgotten, the trash is emptied after a week or
 * when space is short, snapshots are taken by schedules, QEMUs are kept waiting for VMs, and a state folder that cannot
 * be written is told once when it begins and once when it ends.
 *
 * Timers run on the main loop; what may take time goes to a job or a thread.
 */
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "vm/manager_internal.h"
#include "vm/snapshot/schedule_run.h"
#include "vm/trash.h"

#define HOURLY_S 3600
#define EVENTS_KEPT 100000
#define TRASH_S 20
#define STATE_CHECK_S 5
#define SCHEDULE_S 3

static void remove_for_ever(Vm *vm)
{
        HostlerVmRmArgs args = {.vm = (char *)vm_id(vm), .now = true};
        manager_ask(vm, "vm", "rm", &args, NULL);
}

static bool is_tight(Manager *manager)
{
        struct statvfs info;
        return statvfs(manager->state_dir, &info) == 0 && info.f_blocks > 0 &&
               (double)info.f_bavail / (double)info.f_blocks * 100 < TRASH_TIGHT_PERCENT &&
               (int64_t)(info.f_bavail * info.f_frsize) < TRASH_TIGHT_BYTES;
}

/* One at a time: what it frees shows at the next look. */
static void empty_trash(Manager *manager)
{
        g_autoptr(GPtrArray) trash = manager_vms(manager, true);
        g_autofree TrashItem *items = g_new0(TrashItem, trash->len);
        for (guint i = 0; i < trash->len; i++)
                items[i] = (TrashItem){vm_trashed_ms(trash->pdata[i]), vm_is_pinned(trash->pdata[i])};
        int next = trash_next(items, trash->len, clock_unix_ms(), is_tight(manager));
        if (next >= 0)
                remove_for_ever(trash->pdata[next]);
}

static gpointer keep_house(gpointer data)
{
        Manager *manager = data;
        store_event_prune(manager->store, EVENTS_KEPT, NULL);
        return NULL;
}

static gboolean on_hour(gpointer data)
{
        Manager *manager = data;
        g_clear_pointer(&manager->house, g_thread_join);
        manager->house = g_thread_new("housekeeping", keep_house, manager);
        return G_SOURCE_CONTINUE;
}

static gboolean on_state_check(gpointer data)
{
        Manager *manager = data;
        const char *reason = store_read_only_reason(manager->store);
        if ((reason != NULL) != manager->read_only) {
                manager->read_only = reason != NULL;
                event_emit(manager->events, "state-read-only", "", json_pack("{s:s}", "reason", reason ? reason : ""));
        }
        return G_SOURCE_CONTINUE;
}

static gpointer look_around(gpointer data)
{
        Manager *manager = data;
        schedule_run(manager);
        warm_round(manager);
        if (manager->rounds++ % (TRASH_S / SCHEDULE_S) == 0)
                empty_trash(manager);
        return NULL;
}

static gboolean on_schedule(gpointer data)
{
        Manager *manager = data;
        g_clear_pointer(&manager->scheduling, g_thread_join);
        manager->scheduling = g_thread_new("look-around", look_around, manager);
        return G_SOURCE_CONTINUE;
}

void housekeeping_start(Manager *manager)
{
        manager->schedule = g_timeout_add_seconds(SCHEDULE_S, on_schedule, manager);
        manager->hourly = g_timeout_add_seconds(HOURLY_S, on_hour, manager);
        manager->state_check = g_timeout_add_seconds(STATE_CHECK_S, on_state_check, manager);
        on_hour(manager);
}

void housekeeping_stop(Manager *manager)
{
        g_clear_handle_id(&manager->schedule, g_source_remove);
        g_clear_pointer(&manager->scheduling, g_thread_join);
        g_clear_handle_id(&manager->hourly, g_source_remove);
        g_clear_handle_id(&manager->state_check, g_source_remove);
        g_clear_pointer(&manager->house, g_thread_join);
}
