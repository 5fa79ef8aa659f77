/*
 * Processors. QEMU boots with one and the rest are cold-added with ids, so that every one but the first can be
 * unplugged again (under KVM; see leave_idle() for TCG).
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "device/device.h"

#define DEFAULT_MAX 8
#define UNPLUG_TIMEOUT_MS 15000
#define GUEST_TIMEOUT_MS 10000

int64_t cpu_max(const HostlerCpuProps *props)
{
        return props->max != HOSTLER_UNSET ? props->max : MAX(props->count, DEFAULT_MAX);
}

static const char *cpu_model(const DeviceContext *context, const HostlerCpuProps *props)
{
        /* Under TCG `max` is slower and has corrupted guests in migration. */
        return props->model ? props->model : context->kvm ? "host" : "qemu64";
}

static void check_allocation(const HostlerCpuProps *props, GPtrArray *faults)
{
        if (props->reservation != HOSTLER_UNSET && props->reservation > props->count * 100)
                faults_add(faults, "/spec/cpu/reservation",
                           "%" G_GINT64_FORMAT " %% is more than its %" G_GINT64_FORMAT " processors can use",
                           props->reservation, props->count);
        if (props->reservation != HOSTLER_UNSET && props->limit != HOSTLER_UNSET && props->limit < props->reservation)
                faults_add(faults, "/spec/cpu/limit",
                           "%" G_GINT64_FORMAT " %% is less than cpu.reservation (%" G_GINT64_FORMAT " %%)",
                           props->limit, props->reservation);
}

static void cpu_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerCpuProps *props = part->props;
        if (props->count > cpu_max(props))
                faults_add(faults, "/spec/cpu/count",
                           "%" G_GINT64_FORMAT " processors are more than cpu.max (%" G_GINT64_FORMAT ")", props->count,
                           cpu_max(props));
        check_allocation(props, faults);
}

static void plan_one(const DeviceContext *context, const HostlerCpuProps *props, int64_t index, Plan *plan)
{
        g_autofree char *driver = g_strdup_printf("%s-x86_64-cpu", cpu_model(context, props));
        g_autofree char *id = g_strdup_printf("cpu%" G_GINT64_FORMAT, index);
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:i, s:i, s:I, s:i}", "driver", driver, "id", id, "socket-id", 0, "die-id", 0,
                           "core-id", (json_int_t)index, "thread-id", 0));
}

static void cpu_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerCpuProps *props = part->props;
        int64_t max = cpu_max(props);
        g_autofree char *smp = g_strdup_printf(
            "cpus=1,maxcpus=%" G_GINT64_FORMAT ",sockets=1,dies=1,cores=%" G_GINT64_FORMAT ",threads=1", max, max);
        plan_argument(plan, "-cpu", cpu_model(context, props));
        plan_argument(plan, "-smp", smp);
        for (int64_t i = 1; i < props->count; i++)
                plan_one(context, props, i, plan);
}

static int64_t plugged_count(Qmp *qmp, GError **error)
{
        json_t *cpus = NULL;
        if (!qmp_call(qmp, "query-cpus-fast", NULL, &cpus, error))
                return -1;
        int64_t count = (int64_t)json_array_size(cpus);
        json_decref(cpus);
        return count;
}

/* The guest is to use its processors with ids below @wanted and no others. How many it uses; -1: cannot tell. */
static int64_t guest_uses(const DeviceChange *change, int64_t wanted)
{
        json_t *cpus = NULL, *cpu, *changes = json_array();
        size_t index;
        int64_t online = 0;
        if (!guest_agent_call(change->agent, "guest-get-vcpus", NULL, GUEST_AGENT_TIMEOUT_MS, change->cancellable,
                              &cpus, NULL)) {
                json_decref(changes);
                return -1;
        }
        json_array_foreach (cpus, index, cpu) {
                json_t *id = json_object_get(cpu, "logical-id");
                bool is = json_is_true(json_object_get(cpu, "online")), shall = json_integer_value(id) < wanted;
                online += is;
                if (is != shall)
                        json_array_append_new(changes, json_pack("{s:O, s:b}", "logical-id", id, "online", shall));
        }
        json_decref(cpus);
        /* What became of it is seen when it is asked again. */
        if (json_array_size(changes) > 0)
                guest_agent_call(change->agent, "guest-set-vcpus", json_pack("{s:O}", "vcpus", changes),
                                 GUEST_AGENT_TIMEOUT_MS, change->cancellable, NULL, NULL);
        json_decref(changes);
        return online;
}

static void report_guest(const DeviceChange *change, int64_t wanted)
{
        int64_t end = clock_monotonic_ms() + GUEST_TIMEOUT_MS, online;
        if (!change->agent)
                return;
        while ((online = guest_uses(change, wanted)) >= 0 && online != wanted && clock_monotonic_ms() < end)
                g_usleep(100000);
        if (online >= 0)
                change->change->guest = g_strdup_printf("%" G_GINT64_FORMAT, online);
}

/* A running VM takes processors of the model it was started with only, whatever is wanted at its next start. */
static bool plug(const DeviceChange *change, int64_t have, int64_t wanted, GError **error)
{
        g_autoptr(Plan) plan = plan_new();
        for (int64_t i = have; i < wanted; i++)
                plan_one(change->context, change->old_part->props, i, plan);
        return plan_run(plan, change->qmp, error);
}

static bool unplug(const DeviceChange *change, int64_t have, int64_t wanted, GError **error)
{
        g_autoptr(Plan) plan = plan_new();
        for (int64_t i = wanted; i < have; i++)
                plan_one(change->context, change->old_part->props, i, plan);
        return plan_unplug(plan, change->qmp, UNPLUG_TIMEOUT_MS, error);
}

static bool pending(const DeviceChange *change, char *detail_taken)
{
        change->change->state = g_strdup("pending");
        change->change->detail = detail_taken;
        return true;
}

/*
 * Under TCG, QEMU 7.2 keeps a memory listener of each processor that was unplugged, and the next change of its memory
 * map (another device, a reset, a suspend) writes through it into freed memory and kills the VM. So there the guest
 * leaves the processors idle, and they go at the next start.
 */
static bool leave_idle(const DeviceChange *change, int64_t have, int64_t wanted)
{
        change->change->device = g_strdup_printf("%" G_GINT64_FORMAT, have);
        report_guest(change, wanted);
        return pending(
            change,
            g_strdup("emulated processors go at the next start; a guest with an agent leaves them idle until then"));
}

static bool set_count(const DeviceChange *change, GError **error)
{
        const HostlerCpuProps *old = change->old_part->props, *new = change->new_part->props;
        int64_t have = plugged_count(change->qmp, error);
        if (have < 0)
                return false;
        if (new->count > cpu_max(old))
                return pending(change,
                               g_strdup_printf("QEMU was started with room for %" G_GINT64_FORMAT, cpu_max(old)));
        if (new->count < have && !change->context->kvm)
                return leave_idle(change, have, new->count);
        bool ok = new->count >= have ? plug(change, have, new->count, error) : unplug(change, have, new->count, error);
        int64_t now = plugged_count(change->qmp, ok ? error : NULL);
        if (!ok || now < 0)
                return false;
        change->change->device = g_strdup_printf("%" G_GINT64_FORMAT, now);
        report_guest(change, now);
        return true;
}

static const DeviceSetter cpu_setters[] = {{"count", set_count},
                                           {"shares", device_set_allocation},
                                           {"reservation", device_set_allocation},
                                           {"limit", device_set_allocation},
                                           {NULL, NULL}};

const DeviceType cpu_device = {
    .kind = "cpu",
    .check = cpu_check,
    .plan = cpu_plan,
    .setters = cpu_setters,
};
