/*
 * What only QEMU and the guest can tell of a VM's use: its disks' counters (asked with each heartbeat, watch.c), its
 * NICs' as the guest agent has them. Main loop only, but for vm_measured(); answers are kept, so nobody else asks.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "vm/vm_internal.h"

/* A sum over what is there: NAN until something is. */
static void add(double *sum, const json_t *object, const char *name)
{
        const json_t *value = json_object_get(object, name);
        if (json_is_integer(value) && json_integer_value(value) >= 0)
                *sum = (isnan(*sum) ? 0 : *sum) + (double)json_integer_value(value);
}

static void keep(Vm *vm, Metric metric, double value)
{
        g_mutex_lock(&vm->lock);
        vm->measured.value[metric] = value;
        vm->measured.at_ms[metric] = clock_monotonic_ms();
        g_mutex_unlock(&vm->lock);
}

/* ---- each disk ---- */

#define PERIPHERAL "/machine/peripheral/"
#define STALE_MS 10000

typedef struct {
        double requests, bytes; /* so far */
        double request_rate, byte_rate;
        int64_t at_ms;
} DiskUse;

/* The part whose device it is: QEMU says "disk0", or its path "/machine/peripheral/disk0/virtio-backend". */
static char *part_of(const json_t *entry)
{
        const char *device = json_string_value(json_object_get(entry, "qdev"));
        if (!device || !g_str_has_prefix(device, PERIPHERAL))
                return g_strdup(device);
        const char *name = device + strlen(PERIPHERAL);
        return g_strndup(name, strcspn(name, "/"));
}

/* A counter that fell belongs to another run of the device. */
void counters_note_disk(Vm *vm, const char *part, double requests, double bytes)
{
        int64_t now_ms = clock_monotonic_ms();
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vm->lock);
        DiskUse *use = vm->disk_uses ? g_hash_table_lookup(vm->disk_uses, part) : NULL;
        if (!vm->disk_uses)
                vm->disk_uses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        if (!use) {
                use = g_new(DiskUse, 1);
                g_hash_table_insert(vm->disk_uses, g_strdup(part), use);
                *use = (DiskUse){requests, bytes, NAN, NAN, now_ms};
                return;
        }
        double seconds = (double)(now_ms - use->at_ms) / 1000;
        bool sane = seconds > 0 && requests >= use->requests && bytes >= use->bytes;
        *use = (DiskUse){requests, bytes, sane ? (requests - use->requests) / seconds : NAN,
                         sane ? (bytes - use->bytes) / seconds : NAN, now_ms};
}

static void note_disk(Vm *vm, const json_t *entry, const json_t *stats)
{
        g_autofree char *part = part_of(entry);
        double requests = NAN, bytes = NAN;
        add(&requests, stats, "rd_operations");
        add(&requests, stats, "wr_operations");
        add(&bytes, stats, "rd_bytes");
        add(&bytes, stats, "wr_bytes");
        if (part && !isnan(requests) && !isnan(bytes))
                counters_note_disk(vm, part, requests, bytes);
}

bool vm_disk_use(Vm *vm, const char *part, double *ret_requests, double *ret_bytes)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vm->lock);
        const DiskUse *use = vm->disk_uses ? g_hash_table_lookup(vm->disk_uses, part) : NULL;
        if (!use || isnan(use->request_rate) || clock_monotonic_ms() - use->at_ms > STALE_MS)
                return false;
        *ret_requests = use->request_rate;
        *ret_bytes = use->byte_rate;
        return true;
}

/* ---- all of them ---- */

static void on_block_statistics(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        double read = NAN, written = NAN, requests = NAN;
        size_t i;
        json_t *entry;
        json_array_foreach (result, i, entry) {
                const json_t *stats = json_object_get(entry, "stats");
                add(&read, stats, "rd_bytes");
                add(&written, stats, "wr_bytes");
                add(&requests, stats, "rd_operations");
                add(&requests, stats, "wr_operations");
                note_disk(data, entry, stats);
        }
        keep(data, METRIC_DISK_READ, read);
        keep(data, METRIC_DISK_WRITE, written);
        keep(data, METRIC_DISK_OPS, requests);
}

void counters_start(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        reading_init(&vm->measured, clock_monotonic_ms());
        g_clear_pointer(&vm->disk_uses, g_hash_table_unref);
        g_mutex_unlock(&vm->lock);
}

void counters_ask(Vm *vm, Qmp *qmp)
{
        qmp_send(qmp, "query-blockstats", NULL, QMP_TIMEOUT_MS, on_block_statistics, vm);
}

void counters_note_interfaces(Vm *vm, const json_t *interfaces)
{
        double in = NAN, out = NAN;
        size_t i;
        json_t *interface;
        json_array_foreach (interfaces, i, interface) {
                const json_t *statistics = json_object_get(interface, "statistics");
                if (g_strcmp0(json_string_value(json_object_get(interface, "name")), "lo") == 0)
                        continue;
                add(&in, statistics, "rx-bytes");
                add(&out, statistics, "tx-bytes");
        }
        keep(vm, METRIC_NET_IN, in);
        keep(vm, METRIC_NET_OUT, out);
}

static void put(Reading *reading, Metric metric, int64_t bytes, int64_t now_ms)
{
        reading->value[metric] = bytes == HOSTLER_UNSET ? NAN : (double)bytes;
        reading->at_ms[metric] = now_ms;
}

void vm_measured(Vm *vm, int64_t now_ms, Reading *ret_reading)
{
        HostlerGuestMemory memory;
        g_mutex_lock(&vm->lock);
        *ret_reading = vm->measured;
        g_mutex_unlock(&vm->lock);
        for (Metric metric = METRIC_CPU; metric <= METRIC_BALLOONED; metric++)
                put(ret_reading, metric, HOSTLER_UNSET, now_ms);
        if (!vm_guest_memory(vm, &memory))
                return;
        if (memory.total != HOSTLER_UNSET && memory.available != HOSTLER_UNSET)
                put(ret_reading, METRIC_GUEST_USED, MAX(memory.total - memory.available - MAX(memory.ballooned, 0), 0),
                    now_ms);
        put(ret_reading, METRIC_BALLOONED, memory.ballooned, now_ms);
        record_clear(&hostler_guest_memory_type, &memory);
}
