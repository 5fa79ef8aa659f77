/*
 * A stream of bytes to JPEG frames. See frames.h.
 *
 * JPEG is followed marker by marker, because segments may hold pictures of their own (previews); nothing is decoded. Of
 * an AVI, chunks of video are taken as they are; the index and all else is passed over. Used by video.c.
 */
#include "usb/frames.h"

#include <string.h>

enum { PREFIX = 0xff, START = 0xd8, END = 0xd9, SCAN = 0xda, TEMPORARY = 0x01, RESTART = 0xd0, RESTART_MASK = 0xf8 };

/* What the next byte of a JPEG stream is. */
enum {
        OUTSIDE,      /* nothing that counts */
        OUTSIDE_CODE, /* perhaps the second byte of a start */
        MARKER,
        MARKER_CODE,
        LENGTH_HIGH,
        LENGTH_LOW,
        PICTURE, /* compressed data */
        PICTURE_CODE,
};

enum { CHUNK_HEAD = 8, LIST_HEAD = 12 };

/* ---- JPEG ---- */

static void jpeg_break(FrameScan *scan)
{
        scan->n_dropped += !scan->dropping;
        scan->dropping = false;
        scan->state = OUTSIDE;
}

/* A start at @at; a picture that it is inside of was cut short. */
static void jpeg_begin(FrameScan *scan, size_t at, FrameFound *found)
{
        if (scan->state != OUTSIDE_CODE)
                jpeg_break(scan);
        found->start = at;
        scan->state = MARKER;
}

/* The second byte of a marker. True when it ends the picture. */
static bool jpeg_code(FrameScan *scan, uint8_t code, size_t at, FrameFound *found)
{
        if (code == END)
                return true;
        if (code == START) {
                jpeg_begin(scan, at - 1, found);
        } else if (code == 0) {
                jpeg_break(scan);
        } else if (code == TEMPORARY || (code & RESTART_MASK) == RESTART) {
                scan->state = MARKER; /* these have no segment */
        } else if (code != PREFIX) {
                scan->marker = code;
                scan->state = LENGTH_HIGH;
        }
        return false;
}

static void jpeg_segment(FrameScan *scan)
{
        if (scan->length < 2) {
                jpeg_break(scan);
                return;
        }
        scan->skip = scan->length - 2;
        scan->state = scan->marker == SCAN ? PICTURE : MARKER;
}

static void outside_code(FrameScan *scan, uint8_t byte, size_t at, FrameFound *found)
{
        if (byte == START)
                jpeg_begin(scan, at - 1, found);
        else if (byte != PREFIX)
                scan->state = OUTSIDE;
}

/* The byte at @at. True when a picture ends with it. */
static bool jpeg_byte(FrameScan *scan, uint8_t byte, size_t at, FrameFound *found)
{
        switch (scan->state) {
        case OUTSIDE:
        case MARKER:
        case PICTURE:
                if (byte == PREFIX)
                        scan->state++;
                else if (scan->state == MARKER)
                        jpeg_break(scan);
                return false;
        case OUTSIDE_CODE:
                outside_code(scan, byte, at, found);
                return false;
        case LENGTH_HIGH:
                scan->length = (unsigned)byte << 8;
                scan->state = LENGTH_LOW;
                return false;
        case LENGTH_LOW:
                scan->length |= byte;
                jpeg_segment(scan);
                return false;
        default:
                if (scan->state == MARKER_CODE || (byte != 0 && (byte & RESTART_MASK) != RESTART))
                        return jpeg_code(scan, byte, at, found);
                scan->state = PICTURE; /* a byte of data, written as two, or a restart between data */
                return false;
        }
}

/* The next byte at or after @at that means something; @length: none. */
static size_t jpeg_next(FrameScan *scan, const uint8_t *window, size_t at, size_t length)
{
        size_t step = scan->skip < length - at ? (size_t)scan->skip : length - at;

        scan->skip -= step;
        at += step;
        if (at < length && (scan->state == OUTSIDE || scan->state == PICTURE)) {
                const uint8_t *next = memchr(window + at, PREFIX, length - at);
                at = next ? (size_t)(next - window) : length;
        }
        return at;
}

/* Nothing was completed: what must be kept of the window. A prefix always is, for a frame may begin with it. */
static void jpeg_keep(FrameScan *scan, size_t length, size_t room, FrameFound *found)
{
        bool prefix = scan->state == OUTSIDE_CODE || scan->state == MARKER_CODE || scan->state == PICTURE_CODE;
        bool inside = scan->state > OUTSIDE_CODE && !scan->dropping;

        if (inside && length - found->start >= room) {
                scan->n_dropped++;
                scan->dropping = true;
                inside = false;
        }
        if (!inside)
                found->start = length - prefix;
        scan->seen = length - found->start;
}

static FrameFound jpeg_find(FrameScan *scan, const uint8_t *window, size_t length, size_t room)
{
        FrameFound found = {0};

        for (size_t at = scan->seen; (at = jpeg_next(scan, window, at, length)) < length; at++) {
                if (!jpeg_byte(scan, window[at], at, &found))
                        continue;
                bool dropped = scan->dropping;
                scan->state = OUTSIDE;
                scan->dropping = false;
                scan->seen = 0;
                if (dropped)
                        continue;
                found.length = at + 1 - found.start;
                return found;
        }
        jpeg_keep(scan, length, room, &found);
        return found;
}

/* ---- AVI ---- */

static uint32_t little_endian_32(const uint8_t *bytes)
{
        return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static bool is_id(const uint8_t *chunk, const char *id)
{
        return memcmp(chunk, id, 4) == 0;
}

/* "00dc" is a frame of stream 0; "00db" is one too, by programs that think of it as uncompressed. */
static bool is_video(const uint8_t *chunk)
{
        return chunk[0] >= '0' && chunk[0] <= '9' && chunk[2] == 'd' && (chunk[3] == 'c' || chunk[3] == 'b');
}

/* Bytes of the frame that @chunk is, of which the first LIST_HEAD are there; 0: it is none, or does not fit. */
static size_t avi_frame(FrameScan *scan, const uint8_t *chunk, size_t room)
{
        uint32_t size = little_endian_32(chunk + 4);

        if (!is_video(chunk) || size < 2 || chunk[CHUNK_HEAD] != PREFIX || chunk[CHUNK_HEAD + 1] != START)
                return 0;
        if (size <= room - CHUNK_HEAD)
                return size;
        scan->n_dropped++;
        return 0;
}

/* How far the next chunk is from this one. Lists are gone into: only their heads are passed over. */
static uint64_t avi_step(FrameScan *scan, const uint8_t *chunk)
{
        uint32_t size = little_endian_32(chunk + 4);

        if (is_id(chunk, "RIFF") || is_id(chunk, "LIST"))
                return LIST_HEAD;
        if (is_id(chunk, "avih"))
                scan->interval_us = little_endian_32(chunk + CHUNK_HEAD);
        return CHUNK_HEAD + (uint64_t)size + (size & 1);
}

static FrameFound avi_find(FrameScan *scan, const uint8_t *window, size_t length, size_t room)
{
        FrameFound found = {0};

        for (;;) {
                size_t step = scan->skip < length - found.start ? (size_t)scan->skip : length - found.start;
                scan->skip -= step;
                found.start += step;
                if (length - found.start < LIST_HEAD)
                        return found;
                const uint8_t *chunk = window + found.start;
                size_t frame = avi_frame(scan, chunk, room);
                if (frame == 0) {
                        scan->skip = avi_step(scan, chunk);
                        continue;
                }
                if (length - found.start >= CHUNK_HEAD + frame) {
                        found.start += CHUNK_HEAD;
                        found.length = frame;
                        scan->skip = frame & 1;
                }
                return found;
        }
}

/* ---- either ---- */

/* Unknown as long as too little is there to say. */
static FramesFormat format_of(const uint8_t *window, size_t length)
{
        if (length > 0 && window[0] != 'R')
                return FRAMES_JPEG;
        if (length < LIST_HEAD)
                return FRAMES_UNKNOWN;
        return is_id(window, "RIFF") && is_id(window + 8, "AVI ") ? FRAMES_AVI : FRAMES_JPEG;
}

FrameFound frames_find(FrameScan *scan, const uint8_t *window, size_t length, size_t room)
{
        if (scan->format == FRAMES_UNKNOWN)
                scan->format = format_of(window, length);
        if (scan->format == FRAMES_UNKNOWN)
                return (FrameFound){0};
        return scan->format == FRAMES_AVI ? avi_find(scan, window, length, room)
                                          : jpeg_find(scan, window, length, room);
}

/* Start of frame: C0 to CF, but for the three that are tables and an extension. */
static bool is_frame_header(uint8_t marker)
{
        return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

bool frames_size(const uint8_t *frame, size_t length, uint16_t *ret_width, uint16_t *ret_height)
{
        size_t at = 2;

        while (at + 4 <= length && frame[at] == PREFIX) {
                uint8_t marker = frame[at + 1];
                if (marker == PREFIX) {
                        at++;
                        continue;
                }
                if (is_frame_header(marker) && at + 9 <= length) {
                        *ret_height = (uint16_t)(frame[at + 5] << 8 | frame[at + 6]);
                        *ret_width = (uint16_t)(frame[at + 7] << 8 | frame[at + 8]);
                        return *ret_width > 0 && *ret_height > 0;
                }
                if (marker == SCAN || marker == END)
                        return false;
                at += 2;
                if (marker != TEMPORARY && (marker & RESTART_MASK) != RESTART)
                        at += (size_t)(frame[at] << 8 | frame[at + 1]);
        }
        return false;
}
