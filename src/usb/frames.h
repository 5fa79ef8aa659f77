/*
 * Cuts a stream of bytes into JPEG frames: JPEG files one after the other (ITU-T T.81, annex B), or an AVI file of
 * Motion JPEG (RIFF, with or without the OpenDML extension). Pure; the bytes may come in pieces of any size, and be
 * anything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { FRAMES_UNKNOWN, FRAMES_JPEG, FRAMES_AVI } FramesFormat;

/* Where in the stream we are. All zero at its beginning. */
typedef struct {
        FramesFormat format;
        uint32_t interval_us; /* between frames, as an AVI says; 0: unknown */
        unsigned n_dropped;   /* frames that were too large or broken */
        /* frames.c's own */
        int state;
        bool dropping;   /* what is being looked at will be no frame */
        size_t seen;     /* bytes at the front of the window that have been looked at */
        uint64_t skip;   /* bytes to pass over, in or after the window */
        uint8_t marker;  /* whose segment it is */
        unsigned length; /* of that segment, as far as it was read */
} FrameScan;

/* What frames_find() says of the bytes that it was shown, the window. */
typedef struct {
        size_t start;  /* bytes at its front that are of no use any more */
        size_t length; /* of the frame that begins there; 0: none is complete yet */
} FrameFound;

/*
 * @window: the bytes of the stream that have not been thrown away. The caller throws away @start bytes and the frame,
 * the frame when it is done with it, and then calls again with what is left and what has come. @room: how large the
 * window can ever be; a frame that does not fit is left out.
 */
FrameFound frames_find(FrameScan *scan, const uint8_t *window, size_t length, size_t room);
/* Width and height, as a frame says itself; false when it does not. */
bool frames_size(const uint8_t *frame, size_t length, uint16_t *ret_width, uint16_t *ret_height);
