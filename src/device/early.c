/*
 * What a QEMU can be given before anybody knows when its VM will start, and what only then. See early.h.
 */
#include "device/early.h"

#include <string.h>

/* Files and descriptors of the host that may be others, or another's, by the time of the start. */
static bool holds_host(const HostlerPart *part)
{
        return strcmp(part->kind, "disk") == 0 || strcmp(part->kind, "nic") == 0;
}

static bool is_late(const DeviceContext *context, const HostlerPart *part)
{
        return holds_host(part) && seats_is_port(context, part) && device_hot_plug(context, part);
}

/* Their acquire() only looks whether the host has what they want, or has nothing to do. */
static bool only_looks(const HostlerPart *part)
{
        return strcmp(part->kind, "rng") == 0 ||
               (strcmp(part->kind, "firmware") == 0 &&
                ((const HostlerFirmwareProps *)part->props)->model == HOSTLER_FIRMWARE_MODEL_BIOS) ||
               (strcmp(part->kind, "memory") == 0 && !((const HostlerMemoryProps *)part->props)->hugepages);
}

static bool is_early(const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        if (!type)
                return true;
        return !holds_host(part) && (!type->acquire || only_looks(part)) && !type->helpers && !type->folder &&
               !(type->keepsake && type->keepsake(part)) && !type->connect;
}

const HostlerPart *early_hindrance(const DeviceContext *context)
{
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                if (!is_early(part) && !is_late(context, part))
                        return part;
        }
        return NULL;
}

void early_plan(const DeviceContext *context, Plan *plan)
{
        g_autoptr(GPtrArray) order = device_order(context);
        chassis_plan(context, plan);
        for (guint i = 0; i < order->len; i++) {
                const HostlerPart *part = order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type && !is_late(context, part))
                        type->plan(context, part, plan);
        }
}

GPtrArray *early_left(const DeviceContext *context)
{
        GPtrArray *order = device_order(context);
        for (guint i = order->len; i > 0; i--)
                if (!is_late(context, order->pdata[i - 1]))
                        g_ptr_array_remove_index(order, i - 1);
        return order;
}
