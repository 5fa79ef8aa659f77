/*
 * Memory: a plain part the guest boots with, and above it a virtio-mem region that grows and shrinks live. Both are
 * QEMU's own, or such that other programs can map, or in huge pages, as the machine was started.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
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
#define HUGE_PAGE_BYTES (2LL * MIB)
#define HUGE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/"
/* What QEMU itself calls the memory that a machine boots with: a saved state knows it by this name. */
#define BOOT_BACKEND "pc.ram"

/* What kind of memory of the host it is. */
typedef struct {
        bool shared, huge;
} Backing;

int64_t memory_boot_bytes(const HostlerMemoryProps *props)
{
        return props->boot != HOSTLER_UNSET ? MIN(props->boot, props->size) : props->size;
}

int64_t memory_max_bytes(const HostlerMemoryProps *props)
{
        return props->max != HOSTLER_UNSET ? props->max : MAX(4 * props->size, 4 * GIB);
}

static Backing backing_of(const DeviceContext *context, const HostlerMemoryProps *props)
{
        return (Backing){props->shared || share_wants_shared_memory(context->spec), props->hugepages};
}

/* @reserve false: room to grow is a promise, not an allocation. */
static json_t *backend(const char *id, int64_t bytes, Backing backing, bool reserve)
{
        bool plain = !backing.shared && !backing.huge;
        json_t *args = json_pack("{s:s, s:s, s:I}", "qom-type", plain ? "memory-backend-ram" : "memory-backend-memfd",
                                 "id", id, "size", (json_int_t)bytes);
        if (!plain)
                json_object_set_new(args, "share", json_boolean(backing.shared));
        if (backing.huge) {
                json_object_set_new(args, "hugetlb", json_true());
                json_object_set_new(args, "hugetlbsize", json_integer(HUGE_PAGE_BYTES));
        }
        if (!reserve)
                json_object_set_new(args, "reserve", json_false());
        return args;
}

/* Many can map it; each has pages of its own for what it writes. */
static json_t *backend_of_file(const DeviceContext *context, int64_t bytes)
{
        return json_pack("{s:s, s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-file", "id", BOOT_BACKEND, "mem-path",
                         context->memory_file, "size", (json_int_t)bytes, "share", context->memory_is_kept);
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
        if (props->reservation != HOSTLER_UNSET && props->reservation > props->size)
                faults_add(faults, "/spec/memory/reservation", "more than memory.size");
        if (props->limit != HOSTLER_UNSET && props->limit <= props->size - memory_boot_bytes(props))
                faults_add(faults, "/spec/memory/limit", "no more than what is plugged, which no balloon takes");
        if (props->limit != HOSTLER_UNSET && props->reservation != HOSTLER_UNSET && props->limit < props->reservation)
                faults_add(faults, "/spec/memory/limit", "less than memory.reservation");
}

/* A number that the kernel says of its huge pages; 0 where it has none. */
static int64_t huge_pages(const char *which)
{
        g_autofree char *path = g_strconcat(HUGE_PAGES, which, NULL), *text = file_read(path, 64, NULL, NULL);
        return text ? g_ascii_strtoll(text, NULL, 10) : 0;
}

/* QEMU would end at its start for want of pages, or be killed when the guest touches them. */
static bool memory_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerMemoryProps *props = part->props;
        int64_t wanted = (props->size + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
        int64_t have = huge_pages("free_hugepages") - huge_pages("resv_hugepages");
        if (!props->hugepages || wanted <= have)
                return true;
        error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL,
                  "the VM wants %" G_GINT64_FORMAT " huge pages of 2 MiB and the host has %" G_GINT64_FORMAT " free",
                  wanted, MAX(have, 0));
        return error_hint(error, "sysctl vm.nr_hugepages=%" G_GINT64_FORMAT "   (as root)",
                          huge_pages("nr_hugepages") + wanted - MAX(have, 0));
}

/* @port: its root port. */
static void plan_device(const DeviceContext *context, const HostlerMemoryProps *props, Backing backing, int port,
                        Plan *plan)
{
        int64_t extra = MAX(props->size - boot_of(context, props), 0);
        g_autofree char *bus = g_strdup_printf("rp%d", port);
        plan_add(plan, STEP_OBJECT, backend("memory-room", region_of(context, props), backing, false));
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
        Backing backing = backing_of(context, props);
        plan_argument(plan, "-m", size);
        if (context->memory_file || backing.shared || backing.huge) {
                plan_add(plan, STEP_OBJECT,
                         context->memory_file ? backend_of_file(context, boot)
                                              : backend(BOOT_BACKEND, boot, backing, true));
                plan_argument(plan, "-machine", "memory-backend=" BOOT_BACKEND);
        }
        if (port >= 0 && region > 0)
                plan_device(context, props, backing, port, plan);
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

static bool backend_is(Qmp *qmp, const char *property)
{
        json_auto_t *value = NULL;
        json_t *args = json_pack("{s:s, s:s}", "path", "/objects/" BOOT_BACKEND, "property", property);
        return qmp_call(qmp, "qom-get", args, &value, NULL) && json_is_true(value);
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
        /* Of the kind that the machine was started with, whatever the spec says by now. */
        Backing backing = {backend_is(change->qmp, "share"), backend_is(change->qmp, "hugetlb")};
        plan_device(context, change->new_part->props, backing, port, plan);
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
        if (!balloon_leaves(change->context, wanted, error) || !need_device(change, wanted, &there, error))
                return false;
        if (there && (!request(change->qmp, wanted, error) || !settle(change, wanted, &plugged, error)))
                return false;
        if (!balloon_follow(change->context, change->qmp, error))
                return false;
        change->change->device = size_format(boot + plugged);
        report_guest(change);
        if (plugged != wanted)
                change->change->detail =
                    g_strdup_printf("the guest has %s so far and goes on in its own time", change->change->device);
        return true;
}

static const DeviceSetter memory_setters[] = {{"size", set_size},
                                              {"shares", device_set_allocation},
                                              {"reservation", device_set_allocation},
                                              {"limit", device_set_allocation},
                                              {NULL, NULL}};

const DeviceType memory_device = {
    .kind = "memory",
    .seats = memory_seats,
    .check = memory_check,
    .acquire = memory_acquire,
    .plan = memory_plan,
    .setters = memory_setters,
};
