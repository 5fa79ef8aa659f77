/*
 * Keyboards, mice and tablets. Paravirtual and USB ones are devices; PS/2 is the board's own controller, which the
 * chassis leaves out unless a part asks for it here.
 */
#include <string.h>

#include "device/device.h"

static HostlerInputModel model_of(const HostlerPart *part)
{
        return ((const HostlerInputProps *)part->props)->model;
}

static bool is_of_board(const HostlerPart *part)
{
        return strcmp(part->kind, "input") == 0 &&
               (model_of(part) == HOSTLER_INPUT_MODEL_PS2 || model_of(part) == HOSTLER_INPUT_MODEL_VMMOUSE);
}

InputOfBoard input_of_board(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (is_of_board(&spec->items[i]))
                        return model_of(&spec->items[i]) == HOSTLER_INPUT_MODEL_PS2 ? INPUT_PS2 : INPUT_VMMOUSE;
        return INPUT_NONE;
}

static bool is_keyboard_alone(const HostlerPart *part)
{
        return model_of(part) == HOSTLER_INPUT_MODEL_VIRTIO_KEYBOARD_PCI ||
               model_of(part) == HOSTLER_INPUT_MODEL_USB_KBD;
}

bool input_is_keyboard(const HostlerPart *part)
{
        return is_of_board(part) || (strcmp(part->kind, "input") == 0 && is_keyboard_alone(part));
}

bool input_is_pointer(const HostlerPart *part)
{
        return strcmp(part->kind, "input") == 0 && !is_keyboard_alone(part);
}

static void check_board(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/model", part->name);
        for (const HostlerPart *other = context->spec->items; is_of_board(part) && other < part; other++)
                if (is_of_board(other))
                        faults_add(faults, pointer, "the board has one keyboard controller, and %s is on it",
                                   other->name);
}

static void input_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerInputProps *props = part->props;
        g_autofree char *memory = g_strdup_printf("/spec/%s/memory", part->name);
        check_board(context, part, faults);
        if (props->memory != HOSTLER_UNSET)
                faults_add(faults, memory, "an input device has no memory that could be set");
}

static void input_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        if (is_of_board(part))
                return;
        json_t *args = device_args(context, part);
        json_object_set_new(args, "serial", json_string(part->name));
        plan_add(plan, STEP_DEVICE, args);
}

/* A device of ours has its part's name as serial number; the board's have none, and are all that is on their bus. */
static const char input_guest[] =
    "case $2 in ps2|vmmouse) cat /sys/bus/serio/devices/*/input/input*/name | paste -sd, ;; *)"
    " for i in /sys/class/input/input*; do [ \"$(cat $i/uniq)\" = \"$0\" ] && exec cat $i/name; done ;; esac";

const DeviceType input_device = {
    .kind = "input",
    .check = input_check,
    .plan = input_plan,
    .guest = input_guest,
};
