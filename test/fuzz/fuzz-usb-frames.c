/* Any bytes as a camera's source, in pieces of any size. However they are cut, the frames are the same. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "usb/frames.h"

enum { ROOM_MIN = 256, ROOM_MAX = 8192 };

/* A sum over all frames, by which two ways of reading are compared. */
static guint64 read_all(const uint8_t *data, size_t size, size_t step, size_t room)
{
        g_autofree uint8_t *window = g_malloc(room);
        size_t length = 0, taken = 0;
        FrameScan scan = {0};
        guint64 sum = 0;

        while (taken < size) {
                size_t count = MIN(MIN(step, size - taken), room - length);
                if (count == 0)
                        abort(); /* a full window without a frame would wait for ever */
                memcpy(window + length, data + taken, count);
                taken += count;
                length += count;
                for (FrameFound found = {.length = 1}; found.length > 0 && length > 0;) {
                        uint16_t width, height;
                        found = frames_find(&scan, window, length, room);
                        if (found.start > length || found.length > length - found.start)
                                abort();
                        for (size_t i = 0; i < found.length; i++)
                                sum = sum * 31 + window[found.start + i];
                        if (found.length > 0)
                                sum = sum * 31 + found.length;
                        frames_size(window + found.start, found.length, &width, &height);
                        length -= found.start + found.length;
                        memmove(window, window + found.start + found.length, length);
                }
        }
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 3)
                return 0;
        size_t room = ROOM_MIN + (data[0] | (size_t)data[1] << 8) % (ROOM_MAX - ROOM_MIN), step = 1 + data[2];
        if (read_all(data + 3, size - 3, step, room) != read_all(data + 3, size - 3, ROOM_MAX, room))
                abort();
        return 0;
}
