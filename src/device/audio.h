/*
 * The host's sides of sound cards. A card is a part whose kind has a property `audio`: the name of the audio part that
 * it plays into, one card each. QEMU takes audiodevs only on its command line, so each VM has a silent one for cards
 * that are plugged later. audio.c; pure.
 */
#pragma once

#include "device/device.h"

/* The audiodev of @part, a card: borrowed. */
const char *audio_backend(const HostlerPart *part);
/* DeviceType's settle(), needs() and part of check() for cards. */
void audio_settle(const HostlerSpec *spec, HostlerPart *part);
void audio_needs(const DeviceContext *context, const HostlerPart *part, GPtrArray *names);
void audio_check_card(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
/* The silent audiodev of every VM. */
void audio_plan_silence(Plan *plan);
/* Whether QEMU must be able to start programs: ALSA's own mixer (dmix) forks. */
bool audio_forks(const HostlerSpec *spec);
