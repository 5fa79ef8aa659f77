/*
 * Sound cards. An HD Audio controller and its codec are one part: the codec's bus takes nothing live, so both come with
 * the start. Where a card plays is audio.h's.
 */
#include <string.h>

#include "device/audio.h"

static HostlerSoundModel model_of(const HostlerPart *part)
{
        return ((const HostlerSoundProps *)part->props)->model;
}

static bool is_hda(const HostlerPart *part)
{
        return model_of(part) == HOSTLER_SOUND_MODEL_INTEL_HDA || model_of(part) == HOSTLER_SOUND_MODEL_ICH9_INTEL_HDA;
}

static void sound_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerSoundProps *props = part->props;
        bool usb = props->model == HOSTLER_SOUND_MODEL_USB_AUDIO;
        g_autofree char *codec = g_strdup_printf("/spec/%s/codec", part->name);
        g_autofree char *memory = g_strdup_printf("/spec/%s/memory", part->name);
        audio_check_card(context, part, faults);
        if (props->codec != HOSTLER_HDA_CODEC_ABSENT && !is_hda(part))
                faults_add(faults, codec, "only HD Audio has one to choose");
        if (props->memory != HOSTLER_UNSET && !usb)
                faults_add(faults, memory,
                           "%s plays out of the guest's memory; the buffer on the host is its audio part's",
                           part_model(part)->name);
}

static void plan_codec(const HostlerPart *part, Plan *plan)
{
        static const char *const drivers[] = {
            [HOSTLER_HDA_CODEC_ABSENT] = "hda-duplex",
            [HOSTLER_HDA_CODEC_DUPLEX] = "hda-duplex",
            [HOSTLER_HDA_CODEC_OUTPUT] = "hda-output",
            [HOSTLER_HDA_CODEC_MICRO] = "hda-micro",
        };
        const HostlerSoundProps *props = part->props;
        g_autofree char *id = g_strdup_printf("%s.codec", part->name), *bus = g_strdup_printf("%s.0", part->name);
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s, s:s}", "driver", drivers[props->codec], "id", id, "bus", bus, "audiodev",
                           audio_backend(part)));
}

static void sound_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerSoundProps *props = part->props;
        json_t *args = device_args(context, part);
        if (!is_hda(part))
                json_object_set_new(args, "audiodev", json_string(audio_backend(part)));
        if (props->model == HOSTLER_SOUND_MODEL_USB_AUDIO)
                json_object_set_new(args, "serial", json_string(part->name));
        if (props->memory != HOSTLER_UNSET)
                json_object_set_new(args, "buffer", json_integer(props->memory));
        plan_add(plan, STEP_DEVICE, args);
        if (is_hda(part))
                plan_codec(part, plan);
}

/* "card1: AC97 - Intel 82801AA-ICH". A USB card is known by its serial number. */
static const char sound_guest[] = "d=/sys/bus/pci/devices/$1; [ $1 = - ] && for s in /sys/bus/usb/devices/*/serial; do"
                                  " [ \"$(cat $s)\" = $0 ] && d=${s%/serial}/*; done;"
                                  " for c in $d/sound/card*; do c=${c##*/card};"
                                  " sed -n \"s/^ *$c \\[.*\\]: */card$c: /p\" /proc/asound/cards; done";

const DeviceType sound_device = {
    .kind = "sound",
    .settle = audio_settle,
    .needs = audio_needs,
    .check = sound_check,
    .plan = sound_plan,
    .guest = sound_guest,
};
