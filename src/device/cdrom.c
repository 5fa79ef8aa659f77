/*
 * CD and DVD drives. What is in them is medium.c's; here is the drive.
 */
#include "device/guest_disk.h"
#include "device/medium.h"

static json_t *drive(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = block_device(context, part, part->name, plan);
        if (medium_of(context, part).path)
                json_object_set_new(args, "drive", json_string(part->name));
        return args;
}

static void cdrom_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        medium_plan(context, part, plan);
        plan_add(plan, STEP_DEVICE, drive(context, part, plan));
}

static void cdrom_check_host(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/medium", part->name);
        g_autoptr(GError) error = NULL;
        if (!medium_inspect(context, part, NULL, &error))
                faults_add(faults, pointer, "%s", error->message);
}

static const DeviceSetter cdrom_setters[] = {
    {"medium", medium_set}, {"format", medium_set}, {"memory", medium_set_memory}, {NULL, NULL}};

const DeviceType cdrom_device = {
    .kind = "cdrom",
    .hot_plug = block_device_hot_plug,
    .check = medium_check,
    .check_host = cdrom_check_host,
    .acquire = medium_acquire,
    .plan = cdrom_plan,
    .launched = block_device_launched,
    .guest_find = guest_disk_find,
    .guest_leave = guest_disk_leave,
    .setters = cdrom_setters,
    .guest = guest_disk_line,
};
