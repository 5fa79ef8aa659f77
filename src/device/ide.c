/*
 * Controllers for IDE and SATA disks and drives. AHCI has a bus for each of its ports; the old ones have two channels
 * with two drives each, at I/O ports that a PC has once.
 */
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "device/block.h"

#define AHCI_PORTS 6
#define CHANNELS 2

static bool is_ahci(const HostlerPart *part)
{
        return ((const HostlerIdeProps *)part->props)->model == HOSTLER_IDE_MODEL_ICH9_AHCI;
}

static void ide_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->first = 0;
        ret_seats->count = is_ahci(part) ? AHCI_PORTS : 2 * CHANNELS;
}

static void ide_place(const DeviceContext *context, const HostlerPart *controller, int seat, json_t *args)
{
        bool ahci = is_ahci(controller);
        g_autofree char *bus = g_strdup_printf("%s.%d", controller->name, ahci ? seat : seat / 2);
        json_object_set_new(args, "bus", json_string(bus));
        json_object_set_new(args, "unit", json_integer(ahci ? 0 : seat % 2));
}

/* Whether @part has a qcow2 file behind it, on this controller, and no memory of its own. */
static bool takes_memory_of(const DeviceContext *context, const HostlerPart *controller, const HostlerPart *part)
{
        if (device_controller(context, part) != controller)
                return false;
        if (strcmp(part->kind, "disk") == 0)
                return ((const HostlerDiskProps *)part->props)->memory == HOSTLER_UNSET;
        const HostlerCdromProps *drive = part->props;
        return strcmp(part->kind, "cdrom") == 0 && drive->memory == HOSTLER_UNSET && drive->medium &&
               drive->format == HOSTLER_MEDIUM_FORMAT_QCOW2;
}

static int count_takers(const DeviceContext *context, const HostlerPart *controller)
{
        int count = 0;
        for (size_t i = 0; i < context->spec->count; i++)
                count += takes_memory_of(context, controller, &context->spec->items[i]);
        return count;
}

static void ide_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerIdeProps *props = part->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        g_autofree char *memory = g_strdup_printf("/spec/%s/memory", part->name);
        for (const HostlerPart *other = context->spec->items; !is_ahci(part) && other < part; other++)
                if (strcmp(other->kind, "ide") == 0 && !is_ahci(other))
                        faults_add(faults, pointer, "a PC has the ports of one such controller, and %s is at them",
                                   other->name);
        if (props->memory != HOSTLER_UNSET && count_takers(context, part) == 0)
                faults_add(faults, memory,
                           "the controller has no memory; it would be the host cache of qcow2 disks and media without "
                           "`memory` of their own on it, and there is none");
}

static void ide_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        plan_add(plan, STEP_DEVICE, device_args(context, part));
}

/* Each disk and medium that takes it is told anew. One that waits for the next start gets it then. */
static bool set_memory(const DeviceChange *change, GError **error)
{
        const DeviceContext *context = change->context;
        const HostlerIdeProps *props = change->new_part->props;
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                if (!takes_memory_of(context, change->new_part, part))
                        continue;
                if (!(strcmp(part->kind, "disk") == 0 ? disk_follow(change, part, error)
                                                      : medium_follow(change, part, error)))
                        return false;
        }
        change->change->device =
            props->memory != HOSTLER_UNSET ? size_format(props->memory) : g_strdup("QEMU's choice");
        return true;
}

static const DeviceSetter ide_setters[] = {{"memory", set_memory}, {NULL, NULL}};

const DeviceType ide_device = {
    .kind = "ide",
    .offers = ide_offers,
    .place = ide_place,
    .check = ide_check,
    .plan = ide_plan,
    .setters = ide_setters,
};
