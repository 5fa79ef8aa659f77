/*
 * The device core: what a USB device of ours is, whichever it is. A device says what it consists of (UsbDevice) and
 * what it does (UsbDeviceType); control.c answers what every device is asked; link.c carries all of it to QEMU.
 *
 * Every device runs at high speed, has one configuration, no alternate settings, and bulk endpoints only.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
        USB_INTERFACES_MAX = 2,
        USB_ENDPOINTS_MAX = 2,
        USB_STRINGS_MAX = 4,
        USB_POLLS_MAX = 2,
        USB_BULK_PACKET_BYTES = 512, /* of high speed: USB 2.0, 5.8.3 */
        USB_CONTROL_MAX_BYTES = 1024,
        USB_CONFIGURATION_MAX_BYTES = 256,
        USB_IN = 0x80, /* in endpoint addresses and request types: towards the host */
};

enum { USB_STALL = -1, USB_NOTHING_YET = -2 };

/* The eight bytes that open a control transfer: USB 2.0, 9.3. */
typedef struct {
        uint8_t type, request;
        uint16_t value, index, length;
} UsbSetup;

typedef struct {
        uint8_t class_code, subclass, protocol;
} UsbInterface;

typedef struct {
        uint8_t address; /* with USB_IN */
        uint8_t interface;
} UsbEndpoint;

typedef struct {
        /*
         * A request of a class. @data holds the @setup->length bytes that came with it, or has room for
         * USB_CONTROL_MAX_BYTES. How many bytes the answer has (0 for what brings data), or USB_STALL.
         */
        int (*control)(void *self, const UsbSetup *setup, uint8_t *data);
        /* Bytes of the next transfer towards the guest, at most @room; USB_NOTHING_YET, or USB_STALL. */
        int (*in)(void *self, uint8_t *data, size_t room);
        /* How many bytes of a transfer from the guest were taken; the rest is offered again. NULL: has none. */
        size_t (*out)(void *self, const uint8_t *data, size_t length);
        /* The guest starts over: it was plugged, reset, configured, or a halt was cleared. */
        void (*restart)(void *self);
        /* False as long as it cannot be plugged yet. NULL: it always can. */
        bool (*ready)(void *self);
        /* What it waits for: fills @polls, all of them (fd -1: none), and lowers *@timeout_ms. */
        void (*prepare)(void *self, struct pollfd polls[USB_POLLS_MAX], int *timeout_ms);
        void (*work)(void *self, const struct pollfd polls[USB_POLLS_MAX]);
} UsbDeviceType;

/* A configuration descriptor and all that belong to it. */
typedef struct {
        uint8_t bytes[USB_CONFIGURATION_MAX_BYTES];
        size_t length;
} UsbConfiguration;

typedef struct {
        const UsbDeviceType *type;
        void *self;
        const uint8_t *device; /* descriptor, 18 bytes */
        const UsbConfiguration *configuration;
        const char *strings[USB_STRINGS_MAX]; /* by number, ASCII; 0 is not used */
        UsbInterface interfaces[USB_INTERFACES_MAX];
        int n_interfaces;
        UsbEndpoint endpoints[USB_ENDPOINTS_MAX];
        int n_endpoints;
} UsbDevice;

/* As UsbDeviceType.control(), for any request; also tells the device of those that it need not answer itself. */
int usb_control(const UsbDevice *device, const UsbSetup *setup, uint8_t data[USB_CONTROL_MAX_BYTES]);

/* One more descriptor, at most what there is room for; the total length, in the first one, follows. */
void usb_configuration_add(UsbConfiguration *configuration, const uint8_t *bytes, size_t length);
#define USB_ADD(configuration, ...)                                                                                    \
        usb_configuration_add(configuration, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* CLOCK_MONOTONIC. */
static inline int64_t usb_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* Lowers *@timeout_ms (-1: none) to @wanted_ms. */
static inline void usb_wait_at_most(int *timeout_ms, int wanted_ms)
{
        if (*timeout_ms < 0 || wanted_ms < *timeout_ms)
                *timeout_ms = wanted_ms;
}

/* The two ways in which descriptors write numbers of several bytes. */
#define USB_16(number) (uint8_t)((number)&0xff), (uint8_t)((number) >> 8 & 0xff)
#define USB_32(number) USB_16((number)&0xffff), USB_16((uint32_t)(number) >> 16)
