/* The devices there are: each is made by its own file, lives as long as the program, and is given to link.c. */
#pragma once

#include "usb/usb.h"

enum { DEVICE_NAME_MAX = 64 };

typedef struct {
        const char *name;   /* its serial number in the guest */
        const char *socket; /* midi: path of the Unix socket for MIDI bytes */
        const char *source; /* video: path of a file or FIFO */
        size_t queue_bytes;
} DeviceOptions;

/* NULL, and said on stderr why. */
const UsbDevice *midi_new(const DeviceOptions *options);
void midi_end(const UsbDevice *device);
const UsbDevice *video_new(const DeviceOptions *options);
void video_end(const UsbDevice *device);
