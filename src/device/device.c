/*
 * The table of device kinds, and what concerns a spec as a whole. Each kind lives in its own file.
 */
#include "device/device.h"

#include <string.h>

#include "base/error.h"

/* QEMU's node names end at 31 characters, and ".base.file" is added to a part's name. */
#define PART_NAME_MAX 20

static const DeviceType *const device_types[] = {
    &boot_device, &cpu_device, &disk_device, &memory_device, &nic_device, &seed_device,
};

const DeviceType *device_type(const char *kind)
{
        for (size_t i = 0; i < G_N_ELEMENTS(device_types); i++)
                if (strcmp(device_types[i]->kind, kind) == 0)
                        return device_types[i];
        return NULL;
}

bool device_needs_port(const DeviceContext *context, const HostlerPart *part)
{
        return true;
}

bool device_wants_port(const DeviceContext *context, const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        return type && type->needs_port && type->needs_port(context, part);
}

static void check_name(const HostlerPart *part, const char *pointer, GPtrArray *faults)
{
        if (!g_ascii_islower(part->name[0]) || strlen(part->name) > PART_NAME_MAX)
                faults_add(faults, pointer, "the name of a part begins with a letter and has at most %d characters",
                           PART_NAME_MAX);
}

void device_check_spec(const DeviceContext *context, GPtrArray *faults)
{
        size_t ports = 0;
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const DeviceType *type = device_type(part->kind);
                g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
                check_name(part, pointer, faults);
                if (type && type->check)
                        type->check(context, part, faults);
                ports += device_wants_port(context, part);
        }
        if (ports > DEVICE_PORTS)
                faults_add(faults, "/spec",
                           "%zu disks, adapters and other PCI devices are more than the %d ports a VM has", ports,
                           DEVICE_PORTS);
}

void device_plan_all(const DeviceContext *context, Plan *plan)
{
        chassis_plan(context, plan);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const DeviceType *type = device_type(part->kind);
                if (type)
                        type->plan(context, part, plan);
        }
}
