/*
 * What a camera of the USB Video Class 1.0 with one Motion JPEG format of one size says of itself, and agrees on with
 * the guest's driver. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usb/usb.h"

enum {
        UVC_DEVICE_BYTES = 18,
        UVC_PROBE_BYTES = 26,
        UVC_PAYLOAD_MAX = 16 * 1024, /* Linux fetches no more in one transfer, so one transfer is one payload */
        UVC_HEADER_BYTES = 2,
        UVC_INTERVALS_MAX = 8,
        UVC_ENDPOINT = USB_IN | 0x01,
};

typedef struct {
        uint16_t width, height;
        uint32_t frame_max_bytes;
        uint32_t interval_100ns; /* the one that is offered first */
} UvcFormat;

typedef struct {
        UvcFormat format;
        uint32_t intervals_100ns[UVC_INTERVALS_MAX]; /* what is offered, rising */
        int n_intervals;
        uint32_t probed_100ns, committed_100ns; /* what driver and camera talk of, and have agreed on */
        uint8_t device[UVC_DEVICE_BYTES];
        UsbConfiguration configuration;
} Uvc;

void uvc_init(Uvc *uvc, const UvcFormat *format);
/* As UsbDeviceType.control(). *@ret_committed: streaming begins anew. */
int uvc_control(Uvc *uvc, const UsbSetup *setup, uint8_t *data, bool *ret_committed);

/* How far a frame is sent. */
typedef struct {
        const uint8_t *frame;
        size_t length, sent;
        size_t payload_sent; /* of a payload that the last transfer did not end; its header counts */
        bool odd;            /* changes with each frame */
} UvcSend;

/*
 * The next transfer of a frame, at most @room bytes (more than a header's), of payloads with headers. Returns its
 * length. The frame is sent when sent == length and payload_sent == 0.
 */
size_t uvc_send(UvcSend *send, uint8_t *data, size_t room);
