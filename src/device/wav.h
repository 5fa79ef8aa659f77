/*
 * WAV files of the one format that all sound has here: 48,000 frames a second, 16 bits, stereo, little-endian. The form
 * is Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, fmt of 16 bytes, data). Pure;
 * any thread.
 */
#pragma once

#include <glib.h>

#define WAV_FRAMES_A_SECOND 48000
#define WAV_CHANNELS 2
#define WAV_FRAME_BYTES 4
#define WAV_BYTES_A_SECOND (WAV_FRAMES_A_SECOND * WAV_FRAME_BYTES)
#define WAV_HEADER_BYTES 44
/* So that the length of the file still fits its field. */
#define WAV_DATA_MAX_BYTES (G_MAXUINT32 - WAV_HEADER_BYTES)

/* The beginning of a file with @data_bytes (at most WAV_DATA_MAX_BYTES) of sound. */
void wav_header(guint32 data_bytes, guint8 ret_header[WAV_HEADER_BYTES]);
/*
 * QEMU's wav driver begins each time anew that the guest opens its card: in what has come out of it, headers stand
 * among the frames. Those that are whole in @bytes, which begin with a frame, become silence (11 frames, a quarter of a
 * millisecond).
 */
void wav_quiet_headers(guint8 *bytes, gsize length);
