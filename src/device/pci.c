/*
 * Bridges to conventional PCI. They are cold: a guest's driver never lets go of one; cards in their slots come and go.
 */
#include <string.h>

#include "base/units.h"
#include "device/device.h"

#define GIB (1LL << 30)
/* Slot 0 is the bridge's own hot-plug controller. */
#define FIRST_SLOT 1
#define SLOTS 31
/* The processor models addresses of 40 bits; below the hole lie 4 GiB, the memory, and its rounding. */
#define ADDRESSES (1024 * GIB)
#define BELOW_MEMORY (6 * GIB)

static void pci_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->first = FIRST_SLOT;
        ret_seats->count = SLOTS;
}

static void pci_place(const DeviceContext *context, const HostlerPart *bridge, int seat, json_t *args)
{
        g_autofree char *slot = g_strdup_printf("0x%x", seat);
        json_object_set_new(args, "bus", json_string(bridge->name));
        json_object_set_new(args, "addr", json_string(slot));
}

static int64_t memory_of_vm(const HostlerSpec *spec)
{
        const HostlerPart *memory = spec_part(spec, "memory");
        return memory ? memory_max_bytes(memory->props) : 0;
}

static void check_hole(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        int64_t room = ADDRESSES - BELOW_MEMORY - memory_of_vm(context->spec);
        int64_t hole = ((const HostlerPciProps *)part->props)->memory;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/memory", part->name);
        g_autofree char *most = size_format(room / GIB * GIB);
        if (hole == HOSTLER_UNSET)
                return;
        if (hole > room)
                faults_add(faults, pointer, "a processor of 40 address bits has room for %s beside memory.max", most);
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "pci") == 0 && ((const HostlerPciProps *)other->props)->memory != HOSTLER_UNSET)
                        faults_add(faults, pointer, "the machine has one such window, and %s sets it", other->name);
}

/* What can speak PCI Express only. */
static bool is_express(const HostlerPart *part)
{
        static const char *const drivers[] = {
            "e1000e", "nvme", "megasas-gen2", "pcie-pci-bridge", "pcie-root-port", "x3130-upstream", NULL};
        const ModelDecl *model = part_model(part);
        return model && g_strv_contains(drivers, model->driver);
}

static void pci_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        check_hole(context, part, faults);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *card = &context->spec->items[i];
                g_autofree char *pointer = g_strdup_printf("/spec/%s/controller", card->name);
                if (device_controller(context, card) == part && is_express(card))
                        faults_add(faults, pointer, "%s is a PCI Express device and does not fit a conventional slot",
                                   part_model(card)->name);
        }
}

static void pci_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerPciProps *props = part->props;
        g_autofree char *hole = g_strdup_printf("q35-pcihost.pci-hole64-size=%" G_GINT64_FORMAT, props->memory);
        if (props->memory != HOSTLER_UNSET)
                plan_argument(plan, "-global", hole);
        plan_add(plan, STEP_DEVICE, device_args(context, part));
}

const DeviceType pci_device = {
    .kind = "pci",
    .carries = BUS_PCI,
    .offers = pci_offers,
    .place = pci_place,
    .check = pci_check,
    .plan = pci_plan,
};
