/*
 * USB hubs: devices on a USB controller that carry others. Five in a row at most, as the bus allows.
 */
#include <string.h>

#include "device/device.h"

#define CHAIN_MAX 5

static void hub_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->first = 1;
        ret_seats->count = (int)((const HostlerHubProps *)part->props)->ports;
}

/* Port 3 of a hub on port 2 is port 2.3 of the controller. */
static void hub_place(const DeviceContext *context, const HostlerPart *hub, int seat, json_t *args)
{
        const HostlerPart *above = device_controller(context, hub);
        device_type(above->kind)->place(context, above, seats_find(context->slots, hub->name), args);
        g_autofree char *port = g_strdup_printf("%s.%d", json_string_value(json_object_get(args, "port")), seat);
        json_object_set_new(args, "port", json_string(port));
}

static void hub_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        const HostlerPart *above = device_controller(context, part);
        int chain = 1;
        for (; above && above != part && strcmp(above->kind, "hub") == 0 && chain <= CHAIN_MAX; chain++)
                above = device_controller(context, above);
        if (chain > CHAIN_MAX)
                faults_add(faults, pointer, "USB allows %d hubs in a row", CHAIN_MAX);
}

static void hub_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerHubProps *props = part->props;
        json_t *args = device_args(context, part);
        json_object_set_new(args, "ports", json_integer(props->ports));
        json_object_set_new(args, "serial", json_string(part->name));
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType hub_device = {
    .kind = "hub",
    .carries = BUS_USB,
    .offers = hub_offers,
    .place = hub_place,
    .check = hub_check,
    .plan = hub_plan,
};
