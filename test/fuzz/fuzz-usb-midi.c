/* Any bytes as MIDI. What the packets stand for, read again, gives the same packets. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "usb/midi_packet.h"

static GByteArray *encode(const uint8_t *data, size_t size)
{
        GByteArray *result = g_byte_array_new();
        MidiEncoder encoder = {0};

        for (size_t i = 0; i < size; i++) {
                uint8_t packets[MIDI_PUT_MAX][MIDI_PACKET_BYTES];
                int count = midi_encode(&encoder, data[i], packets);
                if (count < 0 || count > MIDI_PUT_MAX)
                        abort();
                g_byte_array_append(result, packets[0], (guint)count * MIDI_PACKET_BYTES);
        }
        return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autoptr(GByteArray) packets = encode(data, size);
        g_autoptr(GByteArray) stream = g_byte_array_new();

        for (guint i = 0; i < packets->len; i += MIDI_PACKET_BYTES) {
                int length = midi_decode(packets->data + i);
                if (length < 1 || length >= MIDI_PACKET_BYTES)
                        abort();
                g_byte_array_append(stream, packets->data + i + 1, (guint)length);
        }
        g_autoptr(GByteArray) again = encode(stream->data, stream->len);
        if (again->len != packets->len || (again->len && memcmp(again->data, packets->data, again->len) != 0))
                abort();
        return 0;
}
