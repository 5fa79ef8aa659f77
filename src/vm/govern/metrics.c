/*
 * OpenMetrics text (https://openmetrics.io) from what is in memory; QEMU is never asked inside the request.
 */
#include <math.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "vm/manager.h"
#include "vm/network/ports.h"

static void family(GString *out, const char *name, const char *type, const char *help)
{
        g_string_append_printf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static void print_powers(GString *out, GPtrArray *vms)
{
        g_autofree int *counts = NULL;
        int n = 0;
        while (hostler_power_enum.values[n])
                n++;
        counts = g_new0(int, n);
        for (guint i = 0; i < vms->len; i++)
                counts[vm_power(g_ptr_array_index(vms, i))]++;
        family(out, "hostler_vms", "gauge", "VMs by power state.");
        for (int i = 1; i < n; i++)
                g_string_append_printf(out, "hostler_vms{power=\"%s\"} %d\n", hostler_power_enum.values[i], counts[i]);
}

/* Names have passed the gate of [a-z0-9.-], so nothing in them needs escaping. */
static void print_vms(GString *out, GPtrArray *vms)
{
        family(out, "hostler_vm_running", "gauge", "1 while the guest runs.");
        for (guint i = 0; i < vms->len; i++) {
                g_autofree char *name = vm_name(g_ptr_array_index(vms, i));
                g_string_append_printf(out, "hostler_vm_running{vm=\"%s\"} %d\n", name,
                                       vm_power(g_ptr_array_index(vms, i)) == HOSTLER_POWER_RUNNING);
        }
}

static void print_size(GString *out, Vm *vm, const char *family_name, int64_t bytes)
{
        g_autofree char *name = vm_name(vm);
        if (bytes != HOSTLER_UNSET)
                g_string_append_printf(out, "%s{vm=\"%s\"} %" G_GINT64_FORMAT "\n", family_name, name, bytes);
}

static void print_guest_memory(GString *out, GPtrArray *vms, const char *name, const char *help, size_t offset)
{
        family(out, name, "gauge", help);
        for (guint i = 0; i < vms->len; i++) {
                HostlerGuestMemory memory;
                if (!vm_guest_memory(g_ptr_array_index(vms, i), &memory))
                        continue;
                print_size(out, g_ptr_array_index(vms, i), name, *(int64_t *)((char *)&memory + offset));
                record_clear(&hostler_guest_memory_type, &memory);
        }
}

/* What the monitor measured last, by its own names. */
static const struct {
        Metric metric;
        const char *name, *help;
} measured[] = {
    {METRIC_CPU, "cpu_processors", "Processors in use."},
    {METRIC_WAIT, "cpu_wait_processors", "Processors wanted and not to be had."},
    {METRIC_MEMORY, "memory_bytes", "Memory of the host in use."},
    {METRIC_DISK_READ, "disk_read_bytes_per_second", "Bytes read from disks."},
    {METRIC_DISK_WRITE, "disk_written_bytes_per_second", "Bytes written to disks."},
    {METRIC_DISK_OPS, "disk_requests_per_second", "Requests to disks."},
    {METRIC_NET_IN, "net_received_bytes_per_second", "Bytes received."},
    {METRIC_NET_OUT, "net_sent_bytes_per_second", "Bytes sent."},
};

static void print_sample(GString *out, Monitor *monitor, const char *family_name, const char *labels,
                         const char *object, Metric metric)
{
        float sample[METRICS];
        if (monitor_latest(monitor, object, sample) && !isnan(sample[metric]))
                g_string_append_printf(out, "%s%s %.9g\n", family_name, labels, (double)sample[metric]);
}

static void print_measured(GString *out, Monitor *monitor, GPtrArray *vms)
{
        for (size_t i = 0; i < G_N_ELEMENTS(measured); i++) {
                g_autofree char *of_vm = g_strdup_printf("hostler_vm_%s", measured[i].name);
                g_autofree char *of_host = g_strdup_printf("hostler_host_%s", measured[i].name);
                family(out, of_vm, "gauge", measured[i].help);
                for (guint k = 0; k < vms->len; k++) {
                        g_autofree char *name = vm_name(g_ptr_array_index(vms, k));
                        g_autofree char *labels = g_strdup_printf("{vm=\"%s\"}", name);
                        print_sample(out, monitor, of_vm, labels, vm_id(g_ptr_array_index(vms, k)), measured[i].metric);
                }
                family(out, of_host, "gauge", measured[i].help);
                print_sample(out, monitor, of_host, "", MONITOR_HOST, measured[i].metric);
        }
        family(out, "hostler_samples_dropped", "counter", "Samples that made no sense.");
        g_string_append_printf(out, "hostler_samples_dropped_total %" G_GUINT64_FORMAT "\n", monitor_dropped(monitor));
}

static int64_t resident_bytes(void)
{
        long long pages = 0;
        g_autofree char *text = file_read("/proc/self/statm", 256, NULL, NULL);
        if (text)
                sscanf(text, "%*s %lld", &pages);
        return pages * sysconf(_SC_PAGESIZE);
}

char *manager_metrics(Manager *manager)
{
        GString *out = g_string_new(NULL);
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        print_powers(out, vms);
        print_vms(out, vms);
        print_guest_memory(out, vms, "hostler_vm_guest_memory_total_bytes", "Memory that the guest can use.",
                           offsetof(HostlerGuestMemory, total));
        print_guest_memory(out, vms, "hostler_vm_guest_memory_available_bytes",
                           "Memory that new programs in the guest could have.",
                           offsetof(HostlerGuestMemory, available));
        print_guest_memory(out, vms, "hostler_vm_guest_memory_ballooned_bytes", "Memory that the balloon has taken.",
                           offsetof(HostlerGuestMemory, ballooned));
        print_measured(out, manager_monitor(manager), vms);
        ports_metrics(manager, out);
        family(out, "hostler_events", "counter", "Events so far.");
        g_string_append_printf(out, "hostler_events_total %" G_GINT64_FORMAT "\n",
                               store_event_last(manager_store(manager)));
        family(out, "hostler_store_writable", "gauge", "1 while the state folder can be written.");
        g_string_append_printf(out, "hostler_store_writable %d\n",
                               store_read_only_reason(manager_store(manager)) == NULL);
        family(out, "hostler_process_resident_memory_bytes", "gauge", "Resident memory of the daemon.");
        g_string_append_printf(out, "hostler_process_resident_memory_bytes %" G_GINT64_FORMAT "\n", resident_bytes());
        family(out, "hostler_process_start_time_seconds", "gauge", "When the daemon was started.");
        g_string_append_printf(out, "hostler_process_start_time_seconds %.3f\n",
                               (double)manager_started_ms(manager) / 1000.0);
        g_string_append(out, "# EOF\n");
        return g_string_free(out, FALSE);
}
