/*
 * Further screens: monitors on spare heads of a virtio card, which come and go by telling QEMU that a viewer has such a
 * size (or none), and small cards with one screen each.
 */
#include <string.h>
#include <unistd.h>

#include "device/display.h"

static bool is_head(const HostlerPart *part)
{
        return ((const HostlerOutputProps *)part->props)->model == HOSTLER_OUTPUT_MODEL_HEAD;
}

static bool is_spare_card(const HostlerPart *part)
{
        return strcmp(part->kind, "video") == 0 && ((const HostlerVideoProps *)part->props)->heads > 1;
}

/* The card that a head is of; NULL: there is none. */
static const HostlerPart *card_of(const DeviceContext *context, const HostlerPart *part)
{
        const char *name = ((const HostlerOutputProps *)part->props)->card;
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *other = &context->spec->items[i];
                if (name ? strcmp(other->name, name) == 0 && strcmp(other->kind, "video") == 0 : is_spare_card(other))
                        return other;
        }
        return NULL;
}

bool display_head(const DeviceContext *context, const HostlerPart *part, DisplayHead *ret_head)
{
        bool is_output = strcmp(part->kind, "output") == 0, of_card = is_output && is_head(part);
        if (!is_output && strcmp(part->kind, "video") != 0)
                return false;
        const HostlerPart *card = of_card ? card_of(context, part) : part;
        int number = of_card ? seats_find(context->slots, part->name) : 0;
        *ret_head = (DisplayHead){card ? card->name : NULL, number};
        return card && number >= 0;
}

/* Head 0 has the card's own monitor. */
static bool output_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const HostlerPart *card = card_of(context, part);
        if (!is_head(part))
                return display_seats(context, part, ret_seats);
        if (!card)
                return false;
        *ret_seats = (Seats){card->name, 1, (int)((const HostlerVideoProps *)card->props)->heads - 1};
        return true;
}

/* Cards come before outputs, or one of these would be the screen that firmware writes on. */
static void output_needs(const DeviceContext *context, const HostlerPart *part, GPtrArray *names)
{
        const HostlerPart *card = is_head(part) ? card_of(context, part) : NULL;
        if (card)
                g_ptr_array_add(names, card->name);
        for (size_t i = 0; !is_head(part) && !context->hot && i < context->spec->count; i++)
                if (strcmp(context->spec->items[i].kind, "video") == 0)
                        g_ptr_array_add(names, context->spec->items[i].name);
}

/* A card that was started with fewer heads than the spec has now gets them at its next start. */
static bool output_hot_plug(const DeviceContext *context, const HostlerPart *part)
{
        DisplayHead head;
        if (!is_head(part) || !context->hot || !display_head(context, part, &head))
                return true;
        g_autofree char *name = display_socket(&head), *path = g_build_filename(context->vm_dir, "run", name, NULL);
        return access(path, F_OK) == 0;
}

static void check_head(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerOutputProps *props = part->props;
        const HostlerPart *card = card_of(context, part);
        if (props->memory != HOSTLER_UNSET)
                display_fault(part, "memory", faults,
                              "a head has no memory of its own: its picture is in its card's, %s.memory",
                              card ? card->name : "video0");
        if (props->resolution)
                display_check_resolution(part, props->resolution, faults);
        if (!card && props->card)
                display_fault(part, "card", faults, "there is no video card called %s", props->card);
        else if (!card)
                display_fault(part, "model", faults,
                              "it needs a video card of model virtio-vga or virtio-gpu-pci with `heads` to spare");
        else if (!is_spare_card(card))
                display_fault(part, "card", faults, "%s has one head, and that has its own monitor: %s.heads=2",
                              card->name, card->name);
}

static void output_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerOutputProps *props = part->props;
        if (is_head(part)) {
                check_head(context, part, faults);
                return;
        }
        if (props->card)
                display_fault(part, "card", faults, "only a head is of another card; a %s has its own",
                              part_model(part)->name);
        display_check(context, part, faults);
}

static void output_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        if (!is_head(part))
                display_plan(context, part, plan);
}

static bool output_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        const HostlerOutputProps *props = part->props;
        DisplayHead head;
        return !is_head(part) || !display_head(context, part, &head) ||
               display_resize(context, &head, props->resolution, error);
}

static bool output_leaving(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        DisplayHead head;
        return !is_head(part) || !display_head(context, part, &head) || display_resize(context, &head, "0x0", error);
}

static void output_release(const DeviceContext *context, const HostlerPart *part)
{
        if (!is_head(part))
                display_release(context, part);
}

static bool set_resolution(const DeviceChange *change, GError **error)
{
        const HostlerOutputProps *new = change->new_part->props;
        if (!is_head(change->old_part))
                return display_set_pending(change);
        DisplayHead head;
        /* A new `card` is for the next start: here it is still the old one's. */
        if (!display_head(change->context, change->old_part, &head) ||
            !display_resize(change->context, &head, new->resolution, error))
                return false;
        change->change->device =
            new->resolution ? g_strdup(new->resolution) : g_strdup_printf("%dx%d", DISPLAY_WIDTH, DISPLAY_HEIGHT);
        return true;
}

static const DeviceSetter output_setters[] = {{"resolution", set_resolution}, {NULL, NULL}};

/* A head's is the connector that comes as many after its card's first as its number says. */
#define HEAD_GUEST                                                                                                     \
        "p=/sys/bus/pci/devices/$3; cd $p/drm 2>/dev/null || cd $p/virtio*/drm || exit 0; f=;"                         \
        "for c in card*/card*-Virtual-*; do n=${c##*-}; [ -z \"$f\" ] || [ $n -lt $f ] && f=$n; done; n=$((f+$4));"    \
        "for c in card*/card*-Virtual-$n; do read s < $c/status; read r < $c/modes; echo Virtual-$n $s $r; done"

const DeviceType output_device = {
    .kind = "output",
    .seats = output_seats,
    .hot_plug = output_hot_plug,
    .needs = output_needs,
    .check = output_check,
    .release = output_release,
    .plan = output_plan,
    .launched = output_launched,
    .leaving = output_leaving,
    .setters = output_setters,
    .guest = "[ $2 = head ] || { " DISPLAY_GUEST "; exit; };" HEAD_GUEST,
};
