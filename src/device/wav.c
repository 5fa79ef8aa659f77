/*
 * WAV headers: made, and found in what QEMU recorded. See wav.h. Called by what reads a recording (vm).
 */
#include "device/wav.h"

#include <string.h>

#define RIFF_LENGTH_AT 4
#define DATA_LENGTH_AT 40

static void store(guint8 *at, guint32 value, int bytes)
{
        for (int i = 0; i < bytes; i++)
                at[i] = (guint8)(value >> 8 * i);
}

/* All but the two lengths. */
static void blank_header(guint8 ret_header[WAV_HEADER_BYTES])
{
        enum { PCM = 1, FORMAT_BYTES = 16, BITS = 16 };
        memcpy(ret_header, "RIFF\0\0\0\0WAVEfmt ", 16);
        store(ret_header + 16, FORMAT_BYTES, 4);
        store(ret_header + 20, PCM, 2);
        store(ret_header + 22, WAV_CHANNELS, 2);
        store(ret_header + 24, WAV_FRAMES_A_SECOND, 4);
        store(ret_header + 28, WAV_BYTES_A_SECOND, 4);
        store(ret_header + 32, WAV_FRAME_BYTES, 2);
        store(ret_header + 34, BITS, 2);
        memcpy(ret_header + 36, "data\0\0\0\0", 8);
}

void wav_header(guint32 data_bytes, guint8 ret_header[WAV_HEADER_BYTES])
{
        blank_header(ret_header);
        store(ret_header + RIFF_LENGTH_AT, data_bytes + WAV_HEADER_BYTES - 8, 4);
        store(ret_header + DATA_LENGTH_AT, data_bytes, 4);
}

void wav_quiet_headers(guint8 *bytes, gsize length)
{
        guint8 header[WAV_HEADER_BYTES];
        blank_header(header);
        for (gsize at = 0; at + WAV_HEADER_BYTES <= length; at += WAV_FRAME_BYTES)
                if (memcmp(bytes + at, header, WAV_HEADER_BYTES) == 0)
                        memset(bytes + at, 0, WAV_HEADER_BYTES);
}
