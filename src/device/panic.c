/*
 * The panic notifier that every VM has. What QEMU does when it is used is a setting of QEMU's own, told to it once it
 * runs; what the VM layer makes of the event is watch.c's.
 */
#include "device/device.h"

static void panic_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        plan_add(plan, STEP_DEVICE, chassis_device(part, "pvpanic-pci", CHASSIS_SLOT_PANIC));
}

static const char *action_word(const HostlerPart *part)
{
        /* QEMU calls powering off "shutdown". */
        static const char *const words[] = {
            [HOSTLER_PANIC_ACTION_PAUSE] = "pause",
            [HOSTLER_PANIC_ACTION_POWEROFF] = "shutdown",
            [HOSTLER_PANIC_ACTION_NONE] = "none",
        };
        return words[((const HostlerPanicProps *)part->props)->action];
}

static bool panic_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "set-action", json_pack("{s:s}", "panic", action_word(part)), NULL, error);
}

static bool set_action(const DeviceChange *change, GError **error)
{
        if (!panic_launched(change->context, change->new_part, change->qmp, error))
                return false;
        change->change->device = g_strdup(action_word(change->new_part));
        return true;
}

static const DeviceSetter panic_setters[] = {{"action", set_action}, {NULL, NULL}};

const DeviceType panic_device = {
    .kind = "panic",
    .plan = panic_plan,
    .launched = panic_launched,
    .setters = panic_setters,
};
