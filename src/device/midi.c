/*
 * MIDI ports: a USB MIDI device of our own, and on the host the socket VMDIR/run/NAME.midi.
 */
#include "device/own_usb.h"

static char *socket_of(const HostlerPart *part)
{
        return g_strdup_printf("%s.midi", part->name);
}

static bool midi_connect(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerMidiProps *props = part->props;
        g_autofree char *socket = socket_of(part);
        OwnUsb own = {.mode = "midi", .option = "--socket", .value = socket, .queue_bytes = props->memory};

        return own_usb_connect(context, part, &own, error);
}

static void midi_host_end(const DeviceContext *context, const HostlerPart *part, HostEnd *ret_end)
{
        *ret_end = (HostEnd){.kind = HOST_END_SOCKET, .name = socket_of(part)};
}

static const DeviceSetter midi_setters[] = {{"memory", own_usb_set}, {NULL, NULL}};

const DeviceType midi_device = {
    .kind = "midi",
    .check = own_usb_check,
    .plan = own_usb_plan,
    .connect = midi_connect,
    .release = own_usb_release,
    .remove = own_usb_remove,
    .setters = midi_setters,
    .host_end = midi_host_end,
    .guest = "for d in /sys/bus/usb/devices/*; do [ \"$(cat $d/serial 2>/dev/null)\" = \"$0\" ] || continue; "
             "for m in $d/*/sound/card*/midiC*; do [ -e \"$m\" ] && echo /dev/snd/${m##*/}; done; done",
};
