/*
 * PCI Express ports: root ports of the board with windows to choose, and switches. Both are there from the start; what
 * is plugged into them comes and goes.
 *
 * Guests tell ports apart by chassis and slot, so each gets a chassis of its own, made of its seat.
 */
#include <string.h>

#include "device/device.h"

/* The VM's own ports have 1 to 16. */
#define ROOT_CHASSIS 0x20
#define SWITCH_CHASSIS 0x40
#define SWITCH_BELOW_CHASSIS 0x60
#define SWITCH_PORTS 4

static bool is_switch(const HostlerPart *part)
{
        return ((const HostlerPcieProps *)part->props)->model == HOSTLER_PCIE_MODEL_X3130;
}

static int ports_of(const HostlerPart *part)
{
        const HostlerPcieProps *props = part->props;
        if (!is_switch(part))
                return 1;
        return props->ports == HOSTLER_UNSET ? SWITCH_PORTS : (int)props->ports;
}

static bool pcie_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const HostlerPart *above = device_controller(context, part);
        if (above)
                *ret_seats = (Seats){.bus = above->name, .count = ports_of(above)};
        else if (is_switch(part))
                *ret_seats = (Seats){BUS_PORTS, 0, DEVICE_PORTS};
        else
                *ret_seats = (Seats){BUS_BOARD, BOARD_FIRST, BOARD_COUNT};
        return true;
}

static void pcie_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->count = ports_of(part);
}

static char *port_name(const HostlerPart *part, int port)
{
        return is_switch(part) ? g_strdup_printf("%s.%d", part->name, port) : g_strdup(part->name);
}

static void pcie_place(const DeviceContext *context, const HostlerPart *controller, int seat, json_t *args)
{
        g_autofree char *bus = port_name(controller, seat);
        json_object_set_new(args, "bus", json_string(bus));
}

/* ---- faults ---- */

static void refuse(const HostlerPart *part, const char *property, bool wrong, const char *why, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        if (wrong)
                faults_add(faults, pointer, "%s", why);
}

static void pcie_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerPcieProps *props = part->props;
        const HostlerPart *above = device_controller(context, part);
        static const char passes_on[] = "a switch has no windows of its own: it passes on those of the port above it";
        bool fits = !above || (is_switch(part) && strcmp(above->kind, "pcie") == 0 && !is_switch(above));
        refuse(part, "controller", !fits, "a switch is plugged into a root port, and a root port into nothing", faults);
        refuse(part, "ports", !is_switch(part) && props->ports != HOSTLER_UNSET, "a root port is one port", faults);
        refuse(part, "memory", is_switch(part) && props->memory != HOSTLER_UNSET, passes_on, faults);
        refuse(part, "memory_low", is_switch(part) && props->memory_low != HOSTLER_UNSET, passes_on, faults);
        refuse(part, "io", is_switch(part) && props->io != HOSTLER_UNSET, passes_on, faults);
}

/* ---- plan ---- */

static void set_window(json_t *args, const char *member, int64_t bytes)
{
        if (bytes != HOSTLER_UNSET)
                json_object_set_new(args, member, json_integer(bytes));
}

static void plan_root_port(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerPcieProps *props = part->props;
        json_t *args = device_args(context, part);
        json_object_set_new(args, "chassis", json_integer(ROOT_CHASSIS + seats_find(context->slots, part->name)));
        set_window(args, "pref64-reserve", props->memory);
        set_window(args, "mem-reserve", props->memory_low);
        set_window(args, "io-reserve", props->io);
        plan_add(plan, STEP_DEVICE, args);
}

static void plan_switch(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerPart *above = device_controller(context, part);
        int chassis = above ? SWITCH_BELOW_CHASSIS + seats_find(context->slots, above->name)
                            : SWITCH_CHASSIS + seats_find(context->slots, part->name);
        plan_add(plan, STEP_DEVICE, device_args(context, part));
        for (int i = 0; i < ports_of(part); i++) {
                g_autofree char *id = port_name(part, i), *slot = g_strdup_printf("0x%x", i);
                plan_add(plan, STEP_DEVICE,
                         json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "driver", "xio3130-downstream", "id", id, "bus",
                                   part->name, "addr", slot, "chassis", chassis, "slot", i));
        }
}

static void pcie_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        if (is_switch(part))
                plan_switch(context, part, plan);
        else
                plan_root_port(context, part, plan);
}

const DeviceType pcie_device = {
    .kind = "pcie",
    .seats = pcie_seats,
    .carries = BUS_PCI,
    .offers = pcie_offers,
    .place = pcie_place,
    .check = pcie_check,
    .plan = pcie_plan,
};
