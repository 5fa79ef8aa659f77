/*
 * One device, plugged into QEMU: the connection to the character device behind its `usb-redir`, and the transfers that
 * are under way. Speaks usbredir (gitlab.freedesktop.org/spice/usbredir, docs/usb-redirection-protocol.md) as the side
 * that has the device. QEMU listens, so a helper that was started again is plugged at once, and one whose QEMU is not
 * there tries again until it is.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "usb/usb.h"

struct usbredirparser;

enum {
        LINK_REQUESTS_MAX = 64,          /* transfers that QEMU may have under way; more fail */
        LINK_TRANSFER_MAX = 1024 * 1024, /* bytes of one from the guest; more end the connection */
        LINK_IN_MAX = 64 * 1024,         /* bytes of one to the guest; such a transfer is just shorter than asked */
};

/* A bulk transfer that waits for the device. */
typedef struct {
        uint64_t id;
        uint8_t endpoint;
        uint8_t *data; /* from the guest; NULL: to it */
        uint32_t length, done;
} LinkRequest;

typedef struct {
        const UsbDevice *device;
        const char *path;   /* of QEMU's socket */
        int fd;             /* -1: not connected */
        int64_t missing_us; /* since when nobody listens there, by CLOCK_MONOTONIC; 0: somebody does */
        struct usbredirparser *parser;
        bool greeted, plugged;
        LinkRequest requests[LINK_REQUESTS_MAX]; /* in the order of their arrival */
        int n_requests;
} Link;

void link_init(Link *link, const UsbDevice *device, const char *path);
/* What it waits for. */
void link_prepare(Link *link, struct pollfd *poll, int *timeout_ms);
/* How long nobody has been there to connect to. */
int64_t link_missing_ms(const Link *link);
/* Reads what came, asks the device, writes what it answered. To be called after every poll(). */
void link_work(Link *link, const struct pollfd *poll);
void link_close(Link *link);
