/*
 * Who sits where. See seat.h. Which bus a part's device belongs on is its model's row, or its kind's own word (seats);
 * what a controller has to offer is the controller's (offers).
 */
#include "device/seat.h"

#include <string.h>

#include "device/device.h"

static bool seats_of_controller(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const HostlerPart *controller = device_controller(context, part);
        const DeviceType *type = controller ? device_type(controller->kind) : NULL;
        if (!type || !type->offers)
                return false;
        *ret_seats = (Seats){.bus = controller->name};
        type->offers(context, controller, ret_seats);
        return true;
}

bool seats_by_model(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const ModelDecl *model = part_model(part);
        switch (model ? model->bus : BUS_NONE) {
        case BUS_PCI:
                if (device_controller(context, part))
                        return seats_of_controller(context, part, ret_seats);
                *ret_seats = model->hot_plug ? (Seats){BUS_PORTS, 0, DEVICE_PORTS}
                                             : (Seats){BUS_BOARD, BOARD_FIRST, BOARD_COUNT};
                return true;
        case BUS_USB:
        case BUS_SCSI:
        case BUS_IDE:
                return seats_of_controller(context, part, ret_seats);
        case BUS_SERIAL:
                /* Number 0 is for a console of the first port alone, 1 the guest agent's. */
                *ret_seats = (Seats){BUS_CHANNELS, 2, 29};
                return true;
        case BUS_ISA:
        case BUS_NONE:
                break;
        }
        return false;
}

bool seats_of(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const DeviceType *type = device_type(part->kind);
        if (!type)
                return false;
        return type->seats ? type->seats(context, part, ret_seats) : seats_by_model(context, part, ret_seats);
}

bool seats_is_port(const DeviceContext *context, const HostlerPart *part)
{
        Seats seats;
        return seats_of(context, part, &seats) && strcmp(seats.bus, BUS_PORTS) == 0;
}

static const HostlerSlot *find_slot(const HostlerSlotList *slots, const char *part)
{
        for (size_t i = 0; i < slots->count; i++)
                if (strcmp(slots->items[i].part, part) == 0)
                        return &slots->items[i];
        return NULL;
}

int seats_find(const HostlerSlotList *slots, const char *part)
{
        const HostlerSlot *slot = find_slot(slots, part);
        return slot ? (int)slot->seat : -1;
}

const char *seats_bus(const HostlerSlotList *slots, const char *part)
{
        const HostlerSlot *slot = find_slot(slots, part);
        return slot ? slot->bus : NULL;
}

static bool is_taken(const HostlerSlotList *slots, const char *bus, int seat)
{
        for (size_t i = 0; i < slots->count; i++)
                if (slots->items[i].seat == seat && strcmp(slots->items[i].bus, bus) == 0)
                        return true;
        return false;
}

static void give_one(const Seats *seats, const char *part, HostlerSlotList *slots)
{
        int seat = seats->first;
        while (seat < seats->first + seats->count && is_taken(slots, seats->bus, seat))
                seat++;
        if (seat == seats->first + seats->count)
                return;
        slots->items = g_renew(HostlerSlot, slots->items, slots->count + 1);
        HostlerSlot *slot = &slots->items[slots->count++];
        record_init(&hostler_slot_type, slot);
        slot->part = g_strdup(part);
        slot->bus = g_strdup(seats->bus);
        slot->seat = seat;
}

void seats_give(const DeviceContext *context, HostlerSlotList *slots)
{
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                Seats seats;
                if (seats_find(slots, part->name) < 0 && seats_of(context, part, &seats))
                        give_one(&seats, part->name, slots);
        }
}

void seats_forget(HostlerSlotList *slots, const char *part)
{
        for (size_t i = 0; i < slots->count; i++) {
                if (strcmp(slots->items[i].part, part) != 0)
                        continue;
                record_clear(&hostler_slot_type, &slots->items[i]);
                slots->count--;
                memmove(&slots->items[i], &slots->items[i + 1], (slots->count - i) * sizeof slots->items[0]);
                return;
        }
}

/* A seat that is spent belongs to nobody's name: no part's begins like this. */
#define SPENT '-'

void seats_spend(HostlerSlotList *slots, const char *part)
{
        for (size_t i = 0; i < slots->count; i++) {
                HostlerSlot *slot = &slots->items[i];
                if (strcmp(slot->part, part) != 0)
                        continue;
                g_free(slot->part);
                slot->part = g_strdup_printf("%c%s", SPENT, part);
                return;
        }
}

const char *seats_spent_by(const HostlerSlot *slot)
{
        return slot->part[0] == SPENT ? slot->part + 1 : NULL;
}

/* What people call the seats of a bus. */
static char *bus_text(const Seats *seats)
{
        if (strcmp(seats->bus, BUS_PORTS) == 0)
                return g_strdup("hot-plug ports of the VM");
        if (strcmp(seats->bus, BUS_BOARD) == 0)
                return g_strdup("slots of its board");
        return g_strdup_printf("places on %s", seats->bus);
}

void seats_check(const DeviceContext *context, GPtrArray *faults)
{
        g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                Seats seats;
                if (!seats_of(context, part, &seats))
                        continue;
                int count = GPOINTER_TO_INT(g_hash_table_lookup(used, seats.bus)) + 1;
                g_hash_table_insert(used, (void *)seats.bus, GINT_TO_POINTER(count));
                if (count <= seats.count)
                        continue;
                g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name), *bus = bus_text(&seats);
                if (seats.count == 1)
                        faults_add(faults, pointer, "the one place on %s is taken", seats.bus);
                else
                        faults_add(faults, pointer, "the %d %s are taken", seats.count, bus);
        }
}
