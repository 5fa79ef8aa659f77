/*
 * Graphics cards. What each model can do is display.c's; here is what concerns several cards of a VM, and what of a
 * card can change while the guest runs.
 */
#include <string.h>

#include "device/display.h"

static const char *driver_of(const HostlerPart *part)
{
        return part_model(part)->driver;
}

/* A card of this driver before @part in the spec; NULL: none. */
static const HostlerPart *one_before(const DeviceContext *context, const HostlerPart *part, const char *driver)
{
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "video") == 0 && strcmp(driver_of(other), driver) == 0)
                        return other;
        return NULL;
}

static bool wants_management_mode(const HostlerSpec *spec)
{
        const HostlerPart *firmware = spec_part(spec, "firmware");
        return firmware && !firmware_sleeps(firmware);
}

static void video_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const char *driver = driver_of(part), *name = part_model(part)->name;
        bool only_once = strcmp(driver, "isa-vga") == 0 || strcmp(driver, "ramfb") == 0;
        const HostlerPart *other = only_once ? one_before(context, part, driver) : NULL;
        if (other)
                display_fault(part, "model", faults, "there is one %s in a VM, and that is %s", name, other->name);
        if (strcmp(driver, "isa-vga") == 0 && wants_management_mode(context->spec))
                display_fault(part, "model", faults, "%s lies over the memory that Secure Boot needs", name);
        if (strcmp(driver, "qxl-vga") == 0 && display_first(context->spec) != part)
                display_fault(part, "model", faults, "%s is only for the first card; qxl is for further ones", name);
        display_check(context, part, faults);
}

static bool set_resolution(const DeviceChange *change, GError **error)
{
        const HostlerVideoProps *new = change->new_part->props;
        DisplayHead head = {change->new_part->name, 0};
        if (display_heads_max(change->old_part) == 0)
                return display_set_pending(change);
        if (!display_resize(change->context, &head, new->resolution, error))
                return false;
        change->change->device =
            new->resolution ? g_strdup(new->resolution) : g_strdup_printf("%dx%d", DISPLAY_WIDTH, DISPLAY_HEIGHT);
        return true;
}

bool video_has_card(const HostlerSpec *spec)
{
        const HostlerPart *first = display_first(spec);
        return first && strcmp(first->kind, "video") == 0;
}

bool video_hides_smram(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "video") == 0 && strcmp(driver_of(&spec->items[i]), "isa-vga") == 0)
                        return true;
        return false;
}

static const DeviceSetter video_setters[] = {{"resolution", set_resolution}, {NULL, NULL}};

const DeviceType video_device = {
    .kind = "video",
    .seats = display_seats,
    .check = video_check,
    .release = display_release,
    .plan = display_plan,
    .setters = video_setters,
    .guest = DISPLAY_GUEST,
};
