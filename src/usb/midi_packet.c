/*
 * MIDI bytes to USB packets and back. See midi_packet.h.
 *
 * One cable, number 0; packets of other cables count as the same. Used by midi.c.
 */
#include "usb/midi_packet.h"

#include <string.h>

enum {
        STATUS = 0x80, /* set in status bytes, clear in data bytes */
        EXCLUSIVE = 0xf0,
        QUARTER_FRAME = 0xf1,
        SONG_POSITION = 0xf2,
        SONG_SELECT = 0xf3,
        TUNE_REQUEST = 0xf6,
        EXCLUSIVE_END = 0xf7,
        REAL_TIME = 0xf8, /* and above */
};

/* "Code index numbers": what a packet says of itself in the low half of its first byte. */
enum {
        CODE_COMMON_2 = 0x2,
        CODE_COMMON_3 = 0x3,
        CODE_EXCLUSIVE = 0x4, /* three bytes, and more to come */
        CODE_END_1 = 0x5,     /* its last byte, or the last two, three; also a common message of one byte */
        CODE_BYTE = 0xf,
};

static int put(uint8_t packet[MIDI_PACKET_BYTES], uint8_t code, const uint8_t *bytes, int length)
{
        memset(packet, 0, MIDI_PACKET_BYTES);
        packet[0] = code;
        memcpy(packet + 1, bytes, (size_t)length);
        return 1;
}

/* Bytes of a message with this status, its own included; 0: it has no meaning, or no fixed length. */
static int message_length(uint8_t status)
{
        if (status < EXCLUSIVE)
                return (status & 0xe0) == 0xc0 ? 2 : 3; /* program change and channel pressure are the short ones */
        if (status == QUARTER_FRAME || status == SONG_SELECT)
                return 2;
        if (status == SONG_POSITION)
                return 3;
        return status == TUNE_REQUEST ? 1 : 0;
}

static uint8_t message_code(uint8_t status)
{
        static const uint8_t common[] = {0, CODE_END_1, CODE_COMMON_2, CODE_COMMON_3};

        return status < EXCLUSIVE ? status >> 4 : common[message_length(status)];
}

static int end_exclusive(MidiEncoder *encoder, uint8_t packet[MIDI_PACKET_BYTES])
{
        encoder->message[encoder->length++] = EXCLUSIVE_END;
        int count = put(packet, (uint8_t)(CODE_END_1 + encoder->length - 1), encoder->message, encoder->length);
        encoder->status = 0;
        encoder->length = 0;
        return count;
}

static int complete(MidiEncoder *encoder, uint8_t packet[MIDI_PACKET_BYTES])
{
        int count = put(packet, message_code(encoder->status), encoder->message, encoder->length);

        encoder->length = 0;
        if (encoder->status >= EXCLUSIVE)
                encoder->status = 0; /* there is no running status of system messages */
        return count;
}

static int begin(MidiEncoder *encoder, uint8_t status, uint8_t packet[MIDI_PACKET_BYTES])
{
        encoder->status = status;
        encoder->message[0] = status;
        encoder->length = 1;
        if (message_length(status) == 1)
                return complete(encoder, packet);
        if (message_length(status) == 0 && status != EXCLUSIVE)
                encoder->status = encoder->length = 0;
        return 0;
}

static int add_data(MidiEncoder *encoder, uint8_t byte, uint8_t packet[MIDI_PACKET_BYTES])
{
        if (!encoder->status)
                return 0;
        if (encoder->length == 0 && encoder->status != EXCLUSIVE)
                encoder->message[encoder->length++] = encoder->status;
        encoder->message[encoder->length++] = byte;
        if (encoder->status != EXCLUSIVE)
                return encoder->length == message_length(encoder->status) ? complete(encoder, packet) : 0;
        if (encoder->length < MIDI_MESSAGE_MAX)
                return 0;
        encoder->length = 0;
        return put(packet, CODE_EXCLUSIVE, encoder->message, MIDI_MESSAGE_MAX);
}

int midi_encode(MidiEncoder *encoder, uint8_t byte, uint8_t packets[MIDI_PUT_MAX][MIDI_PACKET_BYTES])
{
        if (byte >= REAL_TIME)
                return put(packets[0], CODE_BYTE, &byte, 1);
        if (byte < STATUS)
                return add_data(encoder, byte, packets[0]);
        int count = encoder->status == EXCLUSIVE ? end_exclusive(encoder, packets[0]) : 0;
        return byte == EXCLUSIVE_END ? count : count + begin(encoder, byte, packets[count]);
}

int midi_decode(const uint8_t packet[MIDI_PACKET_BYTES])
{
        /* Table 4-1; the first two numbers are reserved. */
        static const uint8_t lengths[16] = {0, 0, 2, 3, 3, 1, 2, 3, 3, 3, 3, 3, 2, 2, 3, 1};

        return lengths[packet[0] & 0x0f];
}
