/*
 * PCI devices of the host. Whether the host can give one away is asked right before QEMU is told: drivers and users of
 * a device come and go while a VM is off.
 */
#include <string.h>

#include "device/device.h"

static const HostlerHostpciProps *props_of(const HostlerPart *part)
{
        return part->props;
}

static char *full_address(const char *host)
{
        return strlen(host) == strlen("01:00.0") ? g_strconcat("0000:", host, NULL) : g_strdup(host);
}

static bool is_same(const HostlerPart *a, const HostlerPart *b)
{
        if (strcmp(b->kind, "hostpci") != 0 || !props_of(a)->host || !props_of(b)->host)
                return false;
        g_autofree char *mine = full_address(props_of(a)->host), *theirs = full_address(props_of(b)->host);
        return strcmp(mine, theirs) == 0;
}

static void hostpci_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/host", part->name);
        if (!props_of(part)->host)
                faults_add(faults, pointer, "it needs an address; `hostler host devices` lists them");
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (is_same(part, other))
                        faults_add(faults, pointer, "%s is the same device", other->name);
}

static bool hostpci_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        return context->host_device(props_of(part)->host, !props_of(part)->reset, context->data, error);
}

static void hostpci_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        g_autofree char *address = full_address(props_of(part)->host);
        json_t *args = device_args(context, part);
        json_object_set_new(args, "host", json_string(address));
        if (!props_of(part)->rom)
                json_object_set_new(args, "rombar", json_integer(0));
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType hostpci_device = {
    .kind = "hostpci",
    .check = hostpci_check,
    .acquire = hostpci_acquire,
    .plan = hostpci_plan,
};
