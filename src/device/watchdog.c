/*
 * Watchdogs. What QEMU does when one fires is a setting of QEMU's own, told to it once it runs; what the VM layer makes
 * of the event is watch.c's.
 */
#include "device/device.h"

static const char *action_word(const HostlerPart *part)
{
        return hostler_watchdog_action_enum.values[((const HostlerWatchdogProps *)part->props)->action];
}

static void watchdog_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        plan_add(plan, STEP_DEVICE, device_args(context, part));
}

static bool watchdog_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "set-action", json_pack("{s:s}", "watchdog", action_word(part)), NULL, error);
}

static bool set_action(const DeviceChange *change, GError **error)
{
        if (!watchdog_launched(change->context, change->new_part, change->qmp, error))
                return false;
        change->change->device = g_strdup(action_word(change->new_part));
        return true;
}

static const DeviceSetter watchdog_setters[] = {{"action", set_action}, {NULL, NULL}};

const DeviceType watchdog_device = {
    .kind = "watchdog",
    .plan = watchdog_plan,
    .launched = watchdog_launched,
    .setters = watchdog_setters,
};
