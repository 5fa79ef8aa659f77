/*
 * PCI addresses of devices, as the firmware and the guest have given them out. See address.h. Called for what is shown
 * of devices, and by kinds that ask the guest.
 */
#include "device/address.h"

static void read_bus(const json_t *devices, GHashTable *addresses)
{
        json_t *device;
        size_t i;
        json_array_foreach ((json_t *)devices, i, device) {
                const char *id = json_string_value(json_object_get(device, "qdev_id"));
                const json_t *below = json_object_get(json_object_get(device, "pci_bridge"), "devices");
                if (id && *id)
                        g_hash_table_insert(
                            addresses, g_strdup(id),
                            g_strdup_printf("0000:%02x:%02x.%x",
                                            (int)json_integer_value(json_object_get(device, "bus")),
                                            (int)json_integer_value(json_object_get(device, "slot")),
                                            (int)json_integer_value(json_object_get(device, "function"))));
                if (below)
                        read_bus(below, addresses);
        }
}

GHashTable *device_addresses(Qmp *qmp)
{
        GHashTable *addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        json_auto_t *buses = NULL;
        json_t *bus;
        size_t i;
        if (!qmp_call(qmp, "query-pci", NULL, &buses, NULL))
                return addresses;
        json_array_foreach (buses, i, bus)
                read_bus(json_object_get(bus, "devices"), addresses);
        return addresses;
}

GuestPlace device_guest_place(const DeviceContext *context, const HostlerPart *part, GHashTable *addresses,
                              char seat_text[DEVICE_SEAT_TEXT])
{
        g_autoptr(GPtrArray) needs = device_needs(context, part);
        int seat = seats_find(context->slots, part->name);
        g_snprintf(seat_text, DEVICE_SEAT_TEXT, "%d", seat);
        return (GuestPlace){
            .address = g_hash_table_lookup(addresses, part->name),
            .beneath = needs->len > 0 ? g_hash_table_lookup(addresses, needs->pdata[0]) : NULL,
            .seat = seat < 0 ? NULL : seat_text,
        };
}
