/*
 * USB devices of the host, through libusb in QEMU. By its numbers a device is found wherever it is plugged in; by its
 * place, whatever is plugged in there.
 */
#include <string.h>

#include "device/device.h"

/* QEMU's isobsize: packets in a buffer; a full speed packet has at most 1023 bytes, a high speed one 1024. */
#define BUFFER_BYTES (32 * 1024)

static const HostlerHostusbProps *props_of(const HostlerPart *part)
{
        return part->props;
}

static void hostusb_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/host", part->name);
        if (!props_of(part)->host)
                faults_add(faults, pointer, "it needs to say which device; `hostler host devices` lists them");
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "hostusb") == 0 && props_of(part)->host &&
                    g_strcmp0(props_of(other)->host, props_of(part)->host) == 0)
                        faults_add(faults, pointer, "%s is the same device", other->name);
}

static bool hostusb_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        return context->host_device(props_of(part)->host, false, context->data, error);
}

/* "046d:c31c" are its numbers, "1-2.3" is bus 1 and port 2.3. */
static void set_host(json_t *args, const char *host)
{
        const char *separator = strpbrk(host, ":-");
        bool by_numbers = *separator == ':';
        gint64 first = g_ascii_strtoll(host, NULL, by_numbers ? 16 : 10);
        json_object_set_new(args, by_numbers ? "vendorid" : "hostbus", json_integer(first));
        if (by_numbers)
                json_object_set_new(args, "productid", json_integer(g_ascii_strtoll(separator + 1, NULL, 16)));
        else
                json_object_set_new(args, "hostport", json_string(separator + 1));
}

static void hostusb_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = device_args(context, part);
        set_host(args, props_of(part)->host);
        if (props_of(part)->memory != HOSTLER_UNSET)
                json_object_set_new(args, "isobufs", json_integer(props_of(part)->memory / BUFFER_BYTES));
        plan_add(plan, STEP_DEVICE, args);
}

/* What is plugged into the very port of its controller; behind a hub it is not looked for. */
static const char hostusb_guest[] = "cd /sys/bus/pci/devices/$3 && cat usb*/*-$4/product";

const DeviceType hostusb_device = {
    .kind = "hostusb",
    .check = hostusb_check,
    .acquire = hostusb_acquire,
    .plan = hostusb_plan,
    .guest = hostusb_guest,
};
