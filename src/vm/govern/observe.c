/*
 * The thread that measures and allocates: every two seconds all VMs that run, their adapters on switches, and the host
 * are read into src/monitor, and govern.c acts on it. It reads /proc and what the watches keep, and waits for no QEMU,
 * so a silent one stops nobody.
 *
 * Begun when the daemon has found its VMs, ended before they are let go; both on the main loop.
 */
#include "base/clock.h"
#include "vm/manager_internal.h"
#include "vm/pool/space.h"

static void measure(Vm *vm, Monitor *monitor)
{
        ProcessId process = vm_process(vm);
        int64_t now_ms = clock_monotonic_ms();
        Reading reading;
        if (!process.pid)
                return;
        vm_measured(vm, now_ms, &reading);
        monitor_add_vm(monitor, vm_id(vm), process, &reading, now_ms, clock_unix_ms());
}

/* An adapter on a switch whose frames are counted. */
static void measure_adapter(const char *vm_id, const char *part, const AdapterCounts *counts, void *monitor)
{
        g_autofree char *object = g_strdup_printf("%s/%s", vm_id, part);
        int64_t now_ms = clock_monotonic_ms();
        uint64_t refused = counts->forged + counts->spoofed + counts->addresses + counts->services + counts->vlan +
                           counts->mac_changes + counts->isolated + counts->blocked;
        Reading reading;
        reading_init(&reading, now_ms);
        reading.value[METRIC_NET_IN] = (double)counts->rx_bytes;
        reading.value[METRIC_NET_OUT] = (double)counts->tx_bytes;
        reading.value[METRIC_NET_FRAMES] = (double)(counts->rx_packets + counts->tx_packets);
        reading.value[METRIC_NET_DROPPED] = (double)(refused + counts->rx_dropped + counts->tx_dropped);
        monitor_add_part(monitor, object, &reading, now_ms, clock_unix_ms());
}

void observe_round(Manager *manager)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        network_sample(manager->network);
        monitor_round_begin(manager->monitor);
        monitor_add_host(manager->monitor, clock_monotonic_ms(), clock_unix_ms());
        for (guint i = 0; i < vms->len; i++)
                measure(g_ptr_array_index(vms, i), manager->monitor);
        network_each_counts(manager->network, measure_adapter, manager->monitor);
        monitor_round_end(manager->monitor, clock_unix_ms());
        govern_round(manager->governor, vms);
        foresee_round(manager, &manager->outlook);
        for (guint i = 0; i < vms->len; i++)
                space_look(g_ptr_array_index(vms, i));
        space_look_at_pools(manager);
}

/* A round that took too long is not made up for. */
static gint64 next_round_us(gint64 last_us)
{
        gint64 period_us = MONITOR_PERIOD_MS * 1000, now_us = g_get_monotonic_time();
        return MAX(last_us + period_us, now_us - (now_us - last_us) % period_us);
}

static gpointer observe(gpointer data)
{
        Manager *manager = data;
        gint64 due_us = g_get_monotonic_time();
        g_mutex_lock(&manager->lock);
        while (!manager->observed) {
                if (g_cond_wait_until(&manager->observe_end, &manager->lock, due_us))
                        continue;
                g_mutex_unlock(&manager->lock);
                observe_round(manager);
                due_us = next_round_us(due_us);
                g_mutex_lock(&manager->lock);
        }
        g_mutex_unlock(&manager->lock);
        return NULL;
}

void observe_start(Manager *manager)
{
        manager->observer = g_thread_new("monitor", observe, manager);
}

void observe_stop(Manager *manager)
{
        g_mutex_lock(&manager->lock);
        manager->observed = true;
        g_cond_signal(&manager->observe_end);
        g_mutex_unlock(&manager->lock);
        g_clear_pointer(&manager->observer, g_thread_join);
}
