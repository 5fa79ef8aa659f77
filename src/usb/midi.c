/*
 * A USB-MIDI device with one input and one output jack. On this side it is a Unix socket: MIDI bytes, as they go over a
 * cable, both ways, for one connection at a time.
 *
 * Towards the guest nothing is lost: what the guest has not fetched waits in a queue, then in the socket. From the
 * guest nothing is lost as long as somebody is connected; a cable that is not plugged in leads nowhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "usb/device.h"
#include "usb/midi_packet.h"
#include "usb/queue.h"

enum { POLL_LISTENER, POLL_PEER };
enum { ENDPOINT_OUT = 0x01, ENDPOINT_IN = USB_IN | 0x01 };

typedef struct {
        UsbDevice usb;
        UsbConfiguration configuration;
        const char *path;
        int listen_fd, peer_fd; /* peer -1: nobody */
        bool peer_listens;      /* false: it has hung up, but what it sent is not all read */
        Queue to_guest, from_guest;
        MidiEncoder encoder;
} Midi;

/* ---- what the guest is told ---- */

/* Vendor and product are those of Linux's own MIDI gadget, which is the same thing in software. */
static const uint8_t device_descriptor[] = {
    18, 1, USB_16(0x0200), 0, 0, 0, 64, USB_16(0x17b3), USB_16(0x0004), USB_16(0x0100), 1, 2, 3, 1};

/*
 * An audio control interface, which the class demands, and a MIDI streaming one with four jacks: 1 and 3 are inside, at
 * the endpoints, 2 and 4 outside, where the cables are. As in appendix B of the class definition.
 */
static void describe(UsbConfiguration *configuration)
{
        USB_ADD(configuration, 9, 2, USB_16(0), 2, 1, 0, 0xc0, 0);
        USB_ADD(configuration, 9, 4, 0, 0, 0, 1, 1, 0, 0);
        USB_ADD(configuration, 9, 0x24, 1, USB_16(0x0100), USB_16(9), 1, 1);
        USB_ADD(configuration, 9, 4, 1, 0, 2, 1, 3, 0, 0);
        USB_ADD(configuration, 7, 0x24, 1, USB_16(0x0100), USB_16(7 + 2 * (6 + 9) + 2 * (9 + 5)));
        USB_ADD(configuration, 6, 0x24, 2, 1, 1, 0);
        USB_ADD(configuration, 6, 0x24, 2, 2, 2, 0);
        USB_ADD(configuration, 9, 0x24, 3, 1, 3, 1, 2, 1, 0);
        USB_ADD(configuration, 9, 0x24, 3, 2, 4, 1, 1, 1, 0);
        USB_ADD(configuration, 9, 5, ENDPOINT_OUT, 2, USB_16(USB_BULK_PACKET_BYTES), 0, 0, 0);
        USB_ADD(configuration, 5, 0x25, 1, 1, 1);
        USB_ADD(configuration, 9, 5, ENDPOINT_IN, 2, USB_16(USB_BULK_PACKET_BYTES), 0, 0, 0);
        USB_ADD(configuration, 5, 0x25, 1, 1, 3);
}

static int midi_control(void *self, const UsbSetup *setup, uint8_t *data)
{
        return USB_STALL; /* the class has requests, but none that a device must know */
}

/* ---- transfers ---- */

/* What is on its way to the guest stays: it is played when the guest fetches it. */
static void midi_restart(void *self)
{
}

static int midi_in(void *self, uint8_t *data, size_t room)
{
        Midi *midi = self;
        uint8_t packets[MIDI_PUT_MAX][MIDI_PACKET_BYTES], byte;
        size_t length = 0;

        if (room < sizeof packets)
                return USB_STALL;
        while (length + sizeof packets <= room && queue_read(&midi->to_guest, &byte, 1) == 1) {
                size_t added = (size_t)midi_encode(&midi->encoder, byte, packets) * MIDI_PACKET_BYTES;
                memcpy(data + length, packets, added);
                length += added;
        }
        return length > 0 ? (int)length : USB_NOTHING_YET;
}

/* Whole packets, as many as the queue has room for. An odd rest at the end of a transfer means nothing. */
static size_t midi_out(void *self, const uint8_t *data, size_t length)
{
        Midi *midi = self;
        size_t taken = 0;

        for (; length - taken >= MIDI_PACKET_BYTES; taken += MIDI_PACKET_BYTES) {
                const uint8_t *packet = data + taken;
                if (!midi->peer_listens)
                        continue;
                if (queue_room(&midi->from_guest) < MIDI_MESSAGE_MAX)
                        return taken;
                queue_write(&midi->from_guest, packet + 1, (size_t)midi_decode(packet));
        }
        return length;
}

/* ---- the socket ---- */

/* With nothing wanted of it the peer is left alone: poll() would tell of its hanging up again and again. */
static void midi_prepare(void *self, struct pollfd polls[USB_POLLS_MAX], int *timeout_ms)
{
        Midi *midi = self;
        short wanted = queue_room(&midi->to_guest) > 0 ? POLLIN : 0;

        if (midi->from_guest.length > 0)
                wanted |= POLLOUT;
        polls[POLL_LISTENER] = (struct pollfd){.fd = midi->listen_fd, .events = POLLIN};
        polls[POLL_PEER] = (struct pollfd){.fd = wanted ? midi->peer_fd : -1, .events = wanted};
}

/* Whoever comes second finds the cable taken. */
static void accept_peer(Midi *midi)
{
        int fd = accept4(midi->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0 && midi->peer_fd >= 0) {
                close(fd);
        } else if (fd >= 0) {
                midi->peer_fd = fd;
                midi->peer_listens = true;
        }
}

static void forget_listener(Midi *midi)
{
        midi->peer_listens = false;
        queue_empty(&midi->from_guest);
}

/* A peer that hung up is gone when all that it sent has been read. */
static void serve_peer(Midi *midi, short events)
{
        if (!(events & (POLLIN | POLLOUT)) || (events & POLLOUT && !queue_drain_to(&midi->from_guest, midi->peer_fd)))
                forget_listener(midi);
        if (events & POLLIN && !queue_fill_from(&midi->to_guest, midi->peer_fd)) {
                forget_listener(midi);
                close(midi->peer_fd);
                midi->peer_fd = -1;
        }
}

static void midi_work(void *self, const struct pollfd polls[USB_POLLS_MAX])
{
        Midi *midi = self;

        if (midi->peer_fd >= 0 && polls[POLL_PEER].revents)
                serve_peer(midi, polls[POLL_PEER].revents);
        if (polls[POLL_LISTENER].revents)
                accept_peer(midi);
}

/* ---- making and ending ---- */

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof address.sun_path)
                errno = ENAMETOOLONG;
        else if (fd >= 0) {
                strcpy(address.sun_path, path);
                unlink(path); /* of one that was killed */
                if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0)
                        return fd;
        }
        fprintf(stderr, "hostler-usb: cannot listen at %s: %s\n", path, strerror(errno));
        return -1;
}

const UsbDevice *midi_new(const DeviceOptions *options)
{
        static const UsbDeviceType type = {
            .control = midi_control,
            .in = midi_in,
            .out = midi_out,
            .restart = midi_restart,
            .prepare = midi_prepare,
            .work = midi_work,
        };
        static Midi midi = {.peer_fd = -1};

        midi.path = options->socket;
        midi.listen_fd = listen_at(options->socket);
        if (midi.listen_fd < 0 || !queue_init(&midi.to_guest, options->queue_bytes) ||
            !queue_init(&midi.from_guest, options->queue_bytes))
                return NULL;
        describe(&midi.configuration);
        midi.usb = (UsbDevice){
            .type = &type,
            .self = &midi,
            .device = device_descriptor,
            .configuration = &midi.configuration,
            .strings = {NULL, "Hostler", "Hostler MIDI", options->name},
            .interfaces = {{1, 1, 0}, {1, 3, 0}},
            .n_interfaces = 2,
            .endpoints = {{ENDPOINT_OUT, 1}, {ENDPOINT_IN, 1}},
            .n_endpoints = 2,
        };
        return &midi.usb;
}

void midi_end(const UsbDevice *device)
{
        Midi *midi = device->self;

        unlink(midi->path);
        if (midi->peer_fd >= 0)
                close(midi->peer_fd);
        close(midi->listen_fd);
        queue_clear(&midi->to_guest);
        queue_clear(&midi->from_guest);
}
