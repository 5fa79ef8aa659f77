/*
 * USB controllers. Each offers its ports to the parts that sit on it. ICH9's EHCI comes with the companions that serve
 * slow devices on its ports, all of them functions of one slot, as on the chip.
 */
#include <string.h>

#include "device/device.h"

#define XHCI_PORTS 15
#define OHCI_PORTS 3
#define EHCI_PORTS 6
#define UHCI_PORTS 2
#define COMPANIONS 3

static HostlerUsbModel model_of(const HostlerPart *part)
{
        return ((const HostlerUsbProps *)part->props)->model;
}

static bool is_xhci(const HostlerPart *part)
{
        return model_of(part) == HOSTLER_USB_MODEL_QEMU_XHCI || model_of(part) == HOSTLER_USB_MODEL_NEC_USB_XHCI;
}

static int ports_of(const HostlerPart *part)
{
        const HostlerUsbProps *props = part->props;
        switch (props->model) {
        case HOSTLER_USB_MODEL_QEMU_XHCI:
        case HOSTLER_USB_MODEL_NEC_USB_XHCI:
                return props->ports == HOSTLER_UNSET ? XHCI_PORTS : (int)props->ports;
        case HOSTLER_USB_MODEL_PCI_OHCI:
                return props->ports == HOSTLER_UNSET ? OHCI_PORTS : (int)props->ports;
        case HOSTLER_USB_MODEL_USB_EHCI:
        case HOSTLER_USB_MODEL_ICH9_USB_EHCI:
                return EHCI_PORTS;
        case HOSTLER_USB_MODEL_PIIX3_USB_UHCI:
        case HOSTLER_USB_MODEL_ICH9_USB_UHCI:
        case HOSTLER_USB_MODEL_ABSENT:
                break;
        }
        return UHCI_PORTS;
}

static void usb_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->first = 1;
        ret_seats->count = ports_of(part);
}

static void usb_place(const DeviceContext *context, const HostlerPart *controller, int seat, json_t *args)
{
        g_autofree char *bus = g_strdup_printf("%s.0", controller->name), *port = g_strdup_printf("%d", seat);
        json_object_set_new(args, "bus", json_string(bus));
        json_object_set_new(args, "port", json_string(port));
}

/* QEMU's devices that are full speed only, which an EHCI without companions cannot carry. */
static bool is_slow(const HostlerPart *part)
{
        static const char *const drivers[] = {"usb-audio", "usb-braille", "usb-ccid",         "usb-hub",
                                              "usb-net",   "usb-serial",  "usb-wacom-tablet", NULL};
        const ModelDecl *model = part_model(part);
        return model && g_strv_contains(drivers, model->driver);
}

static void check_speeds(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *device = &context->spec->items[i];
                g_autofree char *pointer = g_strdup_printf("/spec/%s/controller", device->name);
                if (is_slow(device) && device_controller(context, device) == part)
                        faults_add(faults, pointer, "%s is a full speed device, and %s has high speed only",
                                   part_model(device)->name, part->name);
        }
}

static void usb_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerUsbProps *props = part->props;
        g_autofree char *ports = g_strdup_printf("/spec/%s/ports", part->name);
        g_autofree char *controller = g_strdup_printf("/spec/%s/controller", part->name);
        g_autofree char *memory = g_strdup_printf("/spec/%s/memory", part->name);
        if (props->ports != HOSTLER_UNSET && !is_xhci(part) && props->model != HOSTLER_USB_MODEL_PCI_OHCI)
                faults_add(faults, ports, "%s has %d ports, no more and no less", part_model(part)->name,
                           ports_of(part));
        if (props->controller && props->model == HOSTLER_USB_MODEL_ICH9_USB_EHCI)
                faults_add(faults, controller, "its four functions sit in one slot of the board");
        if (props->memory != HOSTLER_UNSET)
                faults_add(faults, memory, "a USB controller has no memory: it works in the guest's");
        if (props->model == HOSTLER_USB_MODEL_USB_EHCI)
                check_speeds(context, part, faults);
}

/* The functions of one slot: the companions first, which serve the EHCI's ports two by two for slow devices. */
static void plan_companions(const HostlerPart *part, json_t *master, Plan *plan)
{
        g_autofree char *slot = g_strdup(json_string_value(json_object_get(master, "addr")));
        g_autofree char *bus = g_strdup_printf("%s.0", part->name), *addr = g_strdup_printf("%s.7", slot);
        json_object_set_new(master, "addr", json_string(addr));
        json_object_set_new(master, "multifunction", json_true());
        plan_add(plan, STEP_DEVICE, master);
        for (int i = 0; i < COMPANIONS; i++) {
                g_autofree char *driver = g_strdup_printf("ich9-usb-uhci%d", i + 1);
                g_autofree char *id = g_strdup_printf("%s.uhci%d", part->name, i + 1);
                g_autofree char *function = g_strdup_printf("%s.%d", slot, i);
                plan_add(plan, STEP_DEVICE,
                         json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b}", "driver", driver, "id", id, "bus", "pcie.0",
                                   "addr", function, "masterbus", bus, "firstport", 2 * i, "multifunction", i == 0));
        }
}

static void usb_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = device_args(context, part);
        if (is_xhci(part)) {
                json_object_set_new(args, "p2", json_integer(ports_of(part)));
                json_object_set_new(args, "p3", json_integer(ports_of(part)));
        }
        if (model_of(part) == HOSTLER_USB_MODEL_PCI_OHCI)
                json_object_set_new(args, "num-ports", json_integer(ports_of(part)));
        if (model_of(part) == HOSTLER_USB_MODEL_ICH9_USB_EHCI)
                plan_companions(part, args, plan);
        else
                plan_add(plan, STEP_DEVICE, args);
}

const DeviceType usb_device = {
    .kind = "usb",
    .offers = usb_offers,
    .place = usb_place,
    .check = usb_check,
    .plan = usb_plan,
};
