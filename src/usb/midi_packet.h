/*
 * MIDI bytes as they go over a cable, and the packets of four bytes that USB makes of them (USB Device Class Definition
 * for MIDI Devices 1.0, chapter 4; MIDI 1.0). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MIDI_PACKET_BYTES = 4, MIDI_MESSAGE_MAX = 3, MIDI_PUT_MAX = 2 };

/* Where in a stream of bytes we are. All zero at its beginning. */
typedef struct {
        uint8_t status;                    /* of the message that is being read, or last was (running status) */
        uint8_t message[MIDI_MESSAGE_MAX]; /* what of it, or of a piece of a system exclusive one, is there */
        int length;                        /* of @message; the status of a message counts, once it is there */
} MidiEncoder;

/*
 * The next byte of the stream. Returns how many packets it completed (0 to MIDI_PUT_MAX: an exclusive message that is
 * cut short by another status is closed first), which are in @packets. Data bytes that belong to nothing, and status
 * bytes without a meaning, are left out.
 */
int midi_encode(MidiEncoder *encoder, uint8_t byte, uint8_t packets[MIDI_PUT_MAX][MIDI_PACKET_BYTES]);
/* How many bytes of the stream a packet stands for (0 to 3); they begin at its second byte. */
int midi_decode(const uint8_t packet[MIDI_PACKET_BYTES]);
