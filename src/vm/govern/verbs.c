/*
 * Verbs that show what was measured, and what came of it: metrics, top, explain. From the monitor's memory and the
 * store; QEMU is never asked.
 */
#include <math.h>

#include "base/clock.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "vm/govern/govern.h"
#include "vm/manager.h"
#include "vm/network/ports.h"

static int64_t whole(float value)
{
        return isnan(value) ? HOSTLER_UNSET : (int64_t)value;
}

/* To a thousandth; more was not measured. */
static double rounded(float value)
{
        return isnan(value) ? NAN : round((double)value * 1000) / 1000;
}

static void fill_sample(const SeriesPoint *point, HostlerMetricSample *sample)
{
        record_init(&hostler_metric_sample_type, sample);
        sample->time = time_format(point->time_ms);
        sample->cpu = rounded(point->values[METRIC_CPU]);
        sample->vcpu = rounded(point->values[METRIC_VCPU]);
        sample->wait = rounded(point->values[METRIC_WAIT]);
        sample->memory = whole(point->values[METRIC_MEMORY]);
        sample->guest_used = whole(point->values[METRIC_GUEST_USED]);
        sample->ballooned = whole(point->values[METRIC_BALLOONED]);
        sample->disk_read = whole(point->values[METRIC_DISK_READ]);
        sample->disk_write = whole(point->values[METRIC_DISK_WRITE]);
        sample->disk_ops = rounded(point->values[METRIC_DISK_OPS]);
        sample->net_in = whole(point->values[METRIC_NET_IN]);
        sample->net_out = whole(point->values[METRIC_NET_OUT]);
        sample->net_frames = rounded(point->values[METRIC_NET_FRAMES]);
        sample->net_dropped = rounded(point->values[METRIC_NET_DROPPED]);
}

static bool read_metrics(Manager *manager, const char *object, char *name_taken, int64_t since_ms, int64_t points,
                         HostlerMetrics *ret_result, GError **error)
{
        g_autofree char *name = name_taken;
        int64_t now_ms = clock_unix_ms(), step_ms;
        g_autoptr(GArray) found = monitor_read(manager_monitor(manager), object, now_ms - since_ms, now_ms, now_ms,
                                               (unsigned)points, &step_ms, error);
        if (!found)
                return false;
        record_init(&hostler_metrics_type, ret_result);
        ret_result->object = g_steal_pointer(&name);
        ret_result->since = time_format(now_ms - since_ms);
        ret_result->until = time_format(now_ms);
        ret_result->step = step_ms;
        ret_result->samples.items = g_new0(HostlerMetricSample, found->len);
        ret_result->samples.count = found->len;
        for (guint i = 0; i < found->len; i++)
                fill_sample(&g_array_index(found, SeriesPoint, i), &ret_result->samples.items[i]);
        return true;
}

bool vm_metrics(const Call *call, const HostlerVmMetricsArgs *args, HostlerMetrics *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        return vm &&
               read_metrics(call->manager, vm_id(vm), vm_object(vm), args->since, args->points, ret_result, error);
}

bool nic_metrics(const Call *call, const HostlerNicMetricsArgs *args, HostlerMetrics *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm || !ports_nic(vm, args->nic, error))
                return false;
        g_autofree char *object = g_strdup_printf("%s/%s", vm_id(vm), args->nic), *of_vm = vm_object(vm);
        return read_metrics(call->manager, object, g_strdup_printf("%s/%s", of_vm, args->nic), args->since,
                            args->points, ret_result, error);
}

bool host_metrics(const Call *call, const HostlerHostMetricsArgs *args, HostlerMetrics *ret_result, GError **error)
{
        return read_metrics(call->manager, MONITOR_HOST, g_strdup("host"), args->since, args->points, ret_result,
                            error);
}

bool vm_explain(const Call *call, const HostlerVmExplainArgs *args, HostlerAllocationList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        return vm && govern_explain(vm, ret_result, error);
}

/* ---- top ---- */

static double percent(float value)
{
        return isnan(value) ? NAN : round((double)value * 1000) / 10;
}

static bool fill_row(Manager *manager, const char *object, HostlerTopRow *row)
{
        float sample[METRICS];
        if (!monitor_latest(manager_monitor(manager), object, sample))
                return false;
        record_init(&hostler_top_row_type, row);
        row->cpu = percent(sample[METRIC_CPU]);
        row->wait = percent(sample[METRIC_WAIT]);
        row->memory = whole(sample[METRIC_MEMORY]);
        row->guest_used = whole(sample[METRIC_GUEST_USED]);
        row->disk_read = whole(sample[METRIC_DISK_READ]);
        row->disk_write = whole(sample[METRIC_DISK_WRITE]);
        row->net_in = whole(sample[METRIC_NET_IN]);
        row->net_out = whole(sample[METRIC_NET_OUT]);
        return true;
}

static double sort_key(const HostlerTopRow *row, HostlerTopSort by)
{
        switch (by) {
        case HOSTLER_TOP_SORT_WAIT:
                return row->wait;
        case HOSTLER_TOP_SORT_MEMORY:
                return (double)row->memory;
        case HOSTLER_TOP_SORT_DISK:
                return (double)(MAX(row->disk_read, 0) + MAX(row->disk_write, 0));
        case HOSTLER_TOP_SORT_NET:
                return (double)(MAX(row->net_in, 0) + MAX(row->net_out, 0));
        default:
                return row->cpu;
        }
}

/* Most first; what is not known last; the rows come sorted by name and stay so among equals. */
static int compare_rows(gconstpointer a, gconstpointer b, gpointer data)
{
        HostlerTopSort by = *(const HostlerTopSort *)data;
        double first = sort_key(a, by), second = sort_key(b, by);
        if (isnan(first) || isnan(second))
                return isnan(first) - isnan(second);
        return (first < second) - (first > second);
}

bool vm_top(const Call *call, const HostlerVmTopArgs *args, HostlerTopRowList *ret_result, GError **error)
{
        g_autoptr(GPtrArray) vms = manager_vms(call->manager, false);
        HostlerTopSort by = args->sort;
        *ret_result = (HostlerTopRowList){.items = g_new0(HostlerTopRow, vms->len + 1)};
        HostlerTopRow *first = ret_result->items;
        if (fill_row(call->manager, MONITOR_HOST, first)) {
                first->name = g_strdup("(host)");
                ret_result->count = 1;
        }
        size_t hosts = ret_result->count;
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = g_ptr_array_index(vms, i);
                HostlerTopRow *row = &ret_result->items[ret_result->count];
                if (!vm_is_live(vm) || !fill_row(call->manager, vm_id(vm), row))
                        continue;
                row->name = vm_name(vm);
                row->power = vm_power(vm);
                ret_result->count++;
        }
        if (by != HOSTLER_TOP_SORT_NAME)
                g_qsort_with_data(ret_result->items + hosts, (int)(ret_result->count - hosts), sizeof(HostlerTopRow),
                                  compare_rows, &by);
        return true;
}
