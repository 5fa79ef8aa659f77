/*
 * Memory: a plain part the guest boots with, and above it a virtio-mem region that grows and shrinks live.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "device/device.h"

#define MIB (1024 * 1024)
#define GIB (1024LL * MIB)
/* A Linux guest plugs memory in blocks of 128 MiB at least; a region must be a multiple for all of it to be usable. */
#define GUEST_BLOCK_BYTES (128LL * MIB)
#define DEVICE_BLOCK_BYTES (2LL * MIB)
/* A loaded guest under emulation took 8 s to give back 448 MiB. */
#define SETTLE_MS 30000
#define STALL_MS 8000

int64_t memory_boot_bytes(const HostlerMemoryProps *props)
{
        return props->boot != HOSTLER_UNSET ? MIN(props->boot, props->size) : props->size;
}

int64_t memory_max_bytes(const HostlerMemoryProps *props)
{
        return props->max != HOSTLER_UNSET ? props->max : MAX(4 * props->size, 4 * GIB);
}

static int64_t boot_of(const DeviceContext *context, const HostlerMemoryProps *props)
{
        return context->memory_boot_bytes != HOSTLER_UNSET ? context->memory_boot_bytes : memory_boot_bytes(props);
}

/* Room above the boot memory, in whole blocks of the guest. */
static int64_t region_of(const DeviceContext *context, const HostlerMemoryProps *props)
{
        int64_t max = context->memory_max_bytes != HOSTLER_UNSET ? context->memory_max_bytes : memory_max_bytes(props);
        return (max - boot_of(context, props) + GUEST_BLOCK_BYTES - 1) / GUEST_BLOCK_BYTES * GUEST_BLOCK_BYTES;
}

/*
 * The device comes with the first byte above the boot memory, cold or live, and then stays: until then the guest can
 * sleep (S3), which Linux refuses with a virtio-mem device of QEMU 7.2 present.
 */
static bool memory_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const HostlerMemoryProps *props = part->props;
        *ret_seats = (Seats){BUS_PORTS, 0, DEVICE_PORTS};
        return props->size > boot_of(context, props);
}

static void memory_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerMemoryProps *props = part->props;
        if (props->size > memory_max_bytes(props))
                faults_add(faults, "/spec/memory/size", "more than memory.max");
        if (props->boot != HOSTLER_UNSET && props->boot > props->size)
                faults_add(faults, "/spec/memory/boot", "more than memory.size");
}

/* @port: its root port. */
static void plan_device(const DeviceContext *context, const HostlerMemoryProps *props, int port, Plan *plan)
{
        int64_t extra = MAX(props->size - boot_of(context, props), 0);
        g_autofree char *bus = g_strdup_printf("rp%d", port);
        /* reserve=off: room to grow is a promise, not an allocation. */
        plan_add(plan, STEP_OBJECT,
                 json_pack("{s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-ram", "id", "memory-room", "size",
                           (json_int_t)region_of(context, props), "reserve", 0));
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "driver", "virtio-mem-pci", "id", "memory", "bus", bus,
                           "memdev", "memory-room", "requested-size", (json_int_t)extra, "block-size",
                           (json_int_t)DEVICE_BLOCK_BYTES));
}

static void memory_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerMemoryProps *props = part->props;
        int64_t boot = boot_of(context, props), region = region_of(context, props);
        int port = seats_find(context->slots, part->name);
        g_autofree char *size =
            region > 0 ? g_strdup_printf("size=%" G_GINT64_FORMAT "B,maxmem=%" G_GINT64_FORMAT "B", boot, boot + region)
                       : g_strdup_printf("size=%" G_GINT64_FORMAT "B", boot);
        plan_argument(plan, "-m", size);
        if (port >= 0 && region > 0)
                plan_device(context, props, port, plan);
}

static bool plugged_bytes(Qmp *qmp, int64_t *ret_bytes, GError **error)
{
        json_t *size = NULL;
        if (!qmp_call(qmp, "qom-get", json_pack("{s:s, s:s}", "path", "/machine/peripheral/memory", "property", "size"),
                      &size, error))
                return false;
        *ret_bytes = json_integer_value(size);
        json_decref(size);
        return true;
}

/* The device moves at the guest's pace: wait until it is there or has stood still for STALL_MS. */
static bool settle(const DeviceChange *change, int64_t wanted, int64_t *ret_bytes, GError **error)
{
        int64_t now = clock_monotonic_ms(), end = now + SETTLE_MS, moved = now, last = -1;
        for (;;) {
                if (!plugged_bytes(change->qmp, ret_bytes, error) ||
                    g_cancellable_set_error_if_cancelled(change->cancellable, error))
                        return false;
                now = clock_monotonic_ms();
                if (*ret_bytes != last)
                        moved = now;
                last = *ret_bytes;
                if (last == wanted || now >= end || now - moved >= STALL_MS)
                        return true;
                g_usleep(50000);
        }
}

static void report_guest(const DeviceChange *change)
{
        static const char *const argv[] = {"cat", "/proc/meminfo", NULL};
        g_autofree char *text = device_ask_guest(change, argv);
        const char *total = text ? strstr(text, "MemTotal:") : NULL;
        if (total)
                change->change->guest = size_format(g_ascii_strtoll(total + strlen("MemTotal:"), NULL, 10) * 1024);
}

static bool pending(const DeviceChange *change, const char *detail)
{
        change->change->state = g_strdup("pending");
        change->change->detail = g_strdup(detail);
        return true;
}

static bool device_is_there(Qmp *qmp)
{
        int64_t bytes;
        return plugged_bytes(qmp, &bytes, NULL);
}

/* @ret_there: false when there is no device and none is needed for @wanted bytes. */
static bool need_device(const DeviceChange *change, int64_t wanted, bool *ret_there, GError **error)
{
        const DeviceContext *context = change->context;
        int port = seats_find(context->slots, change->new_part->name);
        *ret_there = device_is_there(change->qmp);
        if (*ret_there || wanted == 0)
                return true;
        if (port < 0)
                return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "no port is left to plug memory into");
        g_autoptr(Plan) plan = plan_new();
        plan_device(context, change->new_part->props, port, plan);
        *ret_there = plan_run(plan, change->qmp, error);
        return *ret_there;
}

static bool request(Qmp *qmp, int64_t bytes, GError **error)
{
        json_t *args = json_pack("{s:s, s:s, s:I}", "path", "/machine/peripheral/memory", "property", "requested-size",
                                 "value", (json_int_t)bytes);
        return qmp_call(qmp, "qom-set", args, NULL, error);
}

static bool set_size(const DeviceChange *change, GError **error)
{
        const HostlerMemoryProps *old = change->old_part->props, *new = change->new_part->props;
        int64_t boot = boot_of(change->context, old), wanted = new->size - boot, plugged = 0;
        bool there;
        if (wanted < 0)
                return pending(change,
                               "it booted with more; that part can only go at the next start (see memory.boot)");
        if (wanted > region_of(change->context, old))
                return pending(change, "QEMU was started with less room (memory.max)");
        if (!need_device(change, wanted, &there, error))
                return false;
        if (there && (!request(change->qmp, wanted, error) || !settle(change, wanted, &plugged, error)))
                return false;
        change->change->device = size_format(boot + plugged);
        report_guest(change);
        if (plugged != wanted)
                change->change->detail =
                    g_strdup_printf("the guest has %s so far and goes on in its own time", change->change->device);
        return true;
}

static const DeviceSetter memory_setters[] = {{"size", set_size}, {NULL, NULL}};

const DeviceType memory_device = {
    .kind = "memory",
    .seats = memory_seats,
    .check = memory_check,
    .plan = memory_plan,
    .setters = memory_setters,
};
