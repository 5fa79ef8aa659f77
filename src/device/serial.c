/*
 * Serial ports: the legacy ones beside the console's, PCI and USB ones, and virtio's consoles and channels. What their
 * host's end is, is port.c's.
 */
#include <string.h>

#include "device/port.h"

/* Index 0 is the console. */
#define ISA_FIRST 1
#define ISA_COUNT 3
#define LOG_BYTES (1024 * 1024)

static HostlerSerialModel model_of(const HostlerPart *part)
{
        return ((const HostlerSerialProps *)part->props)->model;
}

static bool is_virtio(const HostlerPart *part)
{
        return model_of(part) == HOSTLER_SERIAL_MODEL_VIRTCONSOLE ||
               model_of(part) == HOSTLER_SERIAL_MODEL_VIRTSERIALPORT;
}

static Port port_of(const HostlerPart *part)
{
        const HostlerSerialProps *props = part->props;
        return (Port){
            .backend = props->backend, .memory = props->memory, .limit = props->limit, .usual_limit = LOG_BYTES};
}

static bool serial_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        if (model_of(part) != HOSTLER_SERIAL_MODEL_ISA_SERIAL)
                return seats_by_model(context, part, ret_seats);
        *ret_seats = (Seats){BUS_ISA_SERIAL, ISA_FIRST, ISA_COUNT};
        return true;
}

/* A log is opened by the keeper, before QEMU starts. */
static bool serial_hot_plug(const DeviceContext *context, const HostlerPart *part)
{
        return part_model(part)->hot_plug && port_of(part).backend != HOSTLER_PORT_BACKEND_LOG;
}

static const char *label_of(const HostlerPart *part)
{
        const HostlerSerialProps *props = part->props;
        return props->label ? props->label : part->name;
}

/* The guest agent has its channel, and QEMU takes each name once. */
static void check_label(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/label", part->name);
        if (!is_virtio(part)) {
                if (((const HostlerSerialProps *)part->props)->label)
                        faults_add(faults, pointer, "only virtio ports have a name in the guest; it is %s",
                                   part_model(part)->name);
                return;
        }
        if (strcmp(label_of(part), CHASSIS_AGENT_LABEL) == 0)
                faults_add(faults, pointer, "the guest agent's channel, which every VM has, is called so");
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "serial") == 0 && is_virtio(other) &&
                    strcmp(label_of(other), label_of(part)) == 0)
                        faults_add(faults, pointer, "%s is called %s in the guest too", other->name, label_of(part));
}

/* A channel is either open at the host's end or holds up who writes to it in the guest, and this one never opens. */
static void check_null(const HostlerPart *part, const Port *port, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/backend", part->name);
        if (model_of(part) == HOSTLER_SERIAL_MODEL_VIRTSERIALPORT && port->backend == HOSTLER_PORT_BACKEND_NULL)
                faults_add(faults, pointer,
                           "a virtio channel to nobody would hold its guest up; ring drops what is old");
}

static void serial_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const Port port = port_of(part);
        port_check(context, part, &port, faults);
        check_null(part, &port, faults);
        check_label(context, part, faults);
}

static void serial_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const Port port = port_of(part);
        json_t *args = device_args(context, part);
        json_object_set_new(args, "chardev", json_string(part->name));
        if (model_of(part) == HOSTLER_SERIAL_MODEL_ISA_SERIAL)
                json_object_set_new(args, "index", json_integer(seats_find(context->slots, part->name)));
        if (is_virtio(part))
                json_object_set_new(args, "name", json_string(label_of(part)));
        if (model_of(part) == HOSTLER_SERIAL_MODEL_USB_SERIAL) {
                json_object_set_new(args, "serial", json_string(part->name));
                /* Else the guest would see it only while somebody is connected to a socket or terminal. */
                json_object_set_new(args, "always-plugged", json_true());
        }
        port_plan_chardev(context, part, &port, plan);
        plan_add(plan, STEP_DEVICE, args);
}

static void serial_host_end(const DeviceContext *context, const HostlerPart *part, HostEnd *ret_end)
{
        const Port port = port_of(part);
        port_host_end(part, &port, ret_end);
}

/* The legacy ports are known by their address, USB adapters by their serial number. */
static const char guest[] =
    "case $2 in"
    " isa-serial) set -- 0x3F8 0x2F8 0x3E8 0x2E8 $4; shift $5; for t in /sys/class/tty/ttyS*; do"
    " [ \"$(cat $t/port)\" = $1 ] && [ \"$(cat $t/type)\" != 0 ] && echo ${t##*/}; done ;;"
    " pci-serial) ls /sys/bus/pci/devices/$1/tty ;;"
    " usb-serial) for d in /sys/bus/usb/devices/*; do"
    " [ \"$(cat $d/serial 2> /dev/null)\" = \"$0\" ] && ls -d $d/*/ttyUSB* | sed 's,.*/,,'; done ;;"
    " *) echo vport0p$4 $(cat /sys/class/virtio-ports/vport0p$4/name) ;; esac";

const DeviceType serial_device = {
    .kind = "serial",
    .seats = serial_seats,
    .hot_plug = serial_hot_plug,
    .check = serial_check,
    .remove = port_remove,
    .plan = serial_plan,
    .host_end = serial_host_end,
    .guest = guest,
};
