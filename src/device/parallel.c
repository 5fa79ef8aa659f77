/*
 * Parallel ports, under two names: `parallel` for programs that drive the port itself, `lpt` for printing, where what
 * is printed lands in a file. They share the three places that a PC has for them. What their host's end is, is
 * port.c's.
 */
#include <string.h>

#include "device/port.h"

/*
 * The third is not at 0x3bc, as tradition has it: QEMU finds its registers by the last three bits of an address, so a
 * port there answers to nobody. Guests learn the address from ACPI.
 */
static const int addresses[] = {0x378, 0x278, 0x268};
#define LOG_BYTES (1024 * 1024)
#define JOB_BYTES (16 * 1024 * 1024)

static Port port_of(const HostlerPart *part)
{
        if (strcmp(part->kind, "lpt") == 0) {
                const HostlerLptProps *props = part->props;
                return (Port){props->backend, props->memory, props->limit, JOB_BYTES};
        }
        const HostlerParallelProps *props = part->props;
        return (Port){props->backend, props->memory, props->limit, LOG_BYTES};
}

static bool parallel_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        *ret_seats = (Seats){BUS_ISA_PARALLEL, 0, G_N_ELEMENTS(addresses)};
        return true;
}

static void parallel_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const Port port = port_of(part);
        port_check(context, part, &port, faults);
}

static void parallel_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const Port port = port_of(part);
        int seat = MAX(seats_find(context->slots, part->name), 0); /* without one the spec has been refused */
        json_t *args = device_args(context, part);
        json_object_set_new(args, "chardev", json_string(part->name));
        json_object_set_new(args, "index", json_integer(seat));
        json_object_set_new(args, "iobase", json_integer(addresses[seat]));
        port_plan_chardev(context, part, &port, plan);
        plan_add(plan, STEP_DEVICE, args);
}

static void parallel_host_end(const DeviceContext *context, const HostlerPart *part, HostEnd *ret_end)
{
        const Port port = port_of(part);
        port_host_end(part, &port, ret_end);
}

/* A printer is known by its port's resources. */
static const char guest_printer[] = "set -- 0x378 0x278 0x268 $4; shift $4; for p in /sys/class/printer/lp*; do"
                                    " grep -q \"^io $1-\" $p/device/resources && echo ${p##*/}; done";

/* The port is known by its address, the first number in its file. */
static const char guest_port[] = "set -- 888 632 616 $4; shift $4; for p in /proc/sys/dev/parport/parport*; do"
                                 " base=$(cat $p/base-addr); [ \"${base%%[!0-9]*}\" = $1 ] && echo ${p##*/}; done";

const DeviceType parallel_device = {
    .kind = "parallel",
    .seats = parallel_seats,
    .check = parallel_check,
    .remove = port_remove,
    .plan = parallel_plan,
    .host_end = parallel_host_end,
    .guest = guest_port,
};

const DeviceType lpt_device = {
    .kind = "lpt",
    .seats = parallel_seats,
    .check = parallel_check,
    .remove = port_remove,
    .plan = parallel_plan,
    .host_end = parallel_host_end,
    .guest = guest_printer,
};
