/*
 * The memory balloon that every VM has: it takes memory from the guest and gives it back, hands pages that the guest
 * has no use for to the host by itself (free page reporting), and is asked by watch.c what the guest uses.
 *
 * QEMU's balloon knows of the memory that the VM booted with alone; what virtio-mem plugged is added here.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "device/device.h"

#define STATISTICS_PERIOD_S 10
#define POLL_US 50000
/* The guest goes at its own pace, and an emulated one gave 340 MiB in 4.5 s. */
#define SETTLE_MS 30000
#define STALL_MS 5000

static const HostlerMemoryProps *memory_of(const DeviceContext *context)
{
        return spec_part(context->spec, "memory")->props;
}

static int64_t target_of(const DeviceContext *context)
{
        return ((const HostlerBalloonProps *)spec_part(context->spec, "balloon")->props)->target;
}

static void balloon_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerMemoryProps *memory = memory_of(context);
        int64_t target = target_of(context), plugged = memory->size - memory_boot_bytes(memory);
        g_autofree char *size = size_format(memory->size), *least = size_format(plugged);
        if (target != HOSTLER_UNSET && target >= memory->size)
                faults_add(faults, "/spec/balloon/target", "must be less than memory.size (%s)", size);
        else if (target != HOSTLER_UNSET && target <= plugged)
                faults_add(faults, "/spec/balloon/target",
                           "must be more than %s: a balloon takes no memory that was plugged", least);
}

static void balloon_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = chassis_device(part, "virtio-balloon-pci", CHASSIS_SLOT_BALLOON);
        json_object_set_new(args, "deflate-on-oom", json_true());
        json_object_set_new(args, "free-page-reporting", json_true());
        json_object_set_new(args, "guest-stats-polling-interval", json_integer(STATISTICS_PERIOD_S));
        plan_add(plan, STEP_DEVICE, args);
}

/* What a running VM has: @ret_boot in the balloon's reach, @ret_plugged out of it. */
static bool read_memory(Qmp *qmp, int64_t *ret_boot, int64_t *ret_plugged, GError **error)
{
        json_t *memory = NULL;
        if (!qmp_call(qmp, "query-memory-size-summary", NULL, &memory, error))
                return false;
        *ret_boot = json_integer_value(json_object_get(memory, "base-memory"));
        *ret_plugged = json_integer_value(json_object_get(memory, "plugged-memory"));
        json_decref(memory);
        return true;
}

bool balloon_leaves(const DeviceContext *context, int64_t plugged_bytes, GError **error)
{
        return target_of(context) == HOSTLER_UNSET || target_of(context) > plugged_bytes ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL,
                         "with so much plugged memory, which a balloon does not take, balloon.target is too little");
}

/* @ret_left: what the balloon was told to leave, and what is plugged, which it cannot take. */
static bool tell(const DeviceContext *context, Qmp *qmp, int64_t *ret_left, int64_t *ret_plugged, GError **error)
{
        int64_t boot;
        if (!read_memory(qmp, &boot, ret_plugged, error))
                return false;
        if (!balloon_leaves(context, *ret_plugged, error))
                return false;
        /* More than there is QEMU would clamp without a word. */
        *ret_left = target_of(context) == HOSTLER_UNSET ? boot : MIN(target_of(context) - *ret_plugged, boot);
        return qmp_call(qmp, "balloon", json_pack("{s:I}", "value", (json_int_t)*ret_left), NULL, error);
}

bool balloon_follow(const DeviceContext *context, Qmp *qmp, GError **error)
{
        int64_t left, plugged;
        return target_of(context) == HOSTLER_UNSET || tell(context, qmp, &left, &plugged, error);
}

static bool balloon_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        return balloon_follow(context, qmp, error);
}

static bool read_left(Qmp *qmp, int64_t *ret_bytes, GError **error)
{
        json_t *balloon = NULL;
        if (!qmp_call(qmp, "query-balloon", NULL, &balloon, error))
                return false;
        *ret_bytes = json_integer_value(json_object_get(balloon, "actual"));
        json_decref(balloon);
        return true;
}

/* Until the guest has given, or taken back, what it was asked for, or has stood still for STALL_MS. */
static bool settle(const DeviceChange *change, int64_t wanted, int64_t *ret_left, GError **error)
{
        int64_t now = clock_monotonic_ms(), end = now + SETTLE_MS, moved = now, last = -1;
        for (;;) {
                if (!read_left(change->qmp, ret_left, error) ||
                    g_cancellable_set_error_if_cancelled(change->cancellable, error))
                        return false;
                now = clock_monotonic_ms();
                if (*ret_left != last)
                        moved = now;
                last = *ret_left;
                if (last == wanted || now >= end || now - moved >= STALL_MS)
                        return true;
                g_usleep(POLL_US);
        }
}

static void report_guest(const DeviceChange *change)
{
        static const char *const argv[] = {"cat", "/proc/meminfo", NULL};
        g_autofree char *text = device_ask_guest(change, argv);
        const char *available = text ? strstr(text, "MemAvailable:") : NULL;
        if (!available)
                return;
        g_autofree char *size = size_format(g_ascii_strtoll(available + strlen("MemAvailable:"), NULL, 10) * 1024);
        change->change->guest = g_strdup_printf("%s available", size);
}

static bool set_target(const DeviceChange *change, GError **error)
{
        int64_t wanted, plugged, left;
        if (!tell(change->context, change->qmp, &wanted, &plugged, error) || !settle(change, wanted, &left, error))
                return false;
        change->change->device = size_format(left + plugged);
        report_guest(change);
        if (left != wanted)
                change->change->detail = g_strdup_printf(
                    "the guest has %s so far; it goes on in its own time, if it has a driver for the balloon",
                    change->change->device);
        return true;
}

static const DeviceSetter balloon_setters[] = {{"target", set_target}, {NULL, NULL}};

const DeviceType balloon_device = {
    .kind = "balloon",
    .check = balloon_check,
    .plan = balloon_plan,
    .launched = balloon_launched,
    .setters = balloon_setters,
    .guest = "d=$(readlink /sys/bus/pci/devices/$1/virtio*/driver) && echo ${d##*/}",
};
