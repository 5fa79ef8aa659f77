/*
 * Descriptors, negotiation and payloads of a USB Video Class camera (Universal Serial Bus Device Class Definition for
 * Video Devices 1.0). See uvc.h.
 *
 * Bulk transfers: without alternate settings, the driver's commit is all that starts a stream. Used by video.c.
 */
#include "usb/uvc.h"

#include <string.h>

enum { SET_CUR = 0x01, GET_CUR = 0x81, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF };
enum { CONTROL_PROBE = 1, CONTROL_COMMIT = 2, INTERFACE_STREAMING = 1, RECIPIENT_INTERFACE = 1, RECIPIENT_MASK = 0x1f };
enum { HEADER_ODD = 0x01, HEADER_FRAME_END = 0x02, HEADER_END = 0x80, CAN_GET_AND_SET = 0x03 };

#define SECOND_100NS 10000000

/* ---- descriptors ---- */

/* Where it belongs, unless it is there. */
static void add_interval(Uvc *uvc, uint32_t interval_100ns)
{
        int at = 0;

        while (at < uvc->n_intervals && uvc->intervals_100ns[at] < interval_100ns)
                at++;
        if (at < uvc->n_intervals && uvc->intervals_100ns[at] == interval_100ns)
                return;
        memmove(uvc->intervals_100ns + at + 1, uvc->intervals_100ns + at,
                (size_t)(uvc->n_intervals - at) * sizeof *uvc->intervals_100ns);
        uvc->intervals_100ns[at] = interval_100ns;
        uvc->n_intervals++;
}

/* The usual ones, and the one of the source. */
static void add_intervals(Uvc *uvc)
{
        static const uint8_t frames_a_second[] = {60, 30, 25, 15, 10, 5, 1};

        _Static_assert(sizeof frames_a_second < UVC_INTERVALS_MAX, "there is room for one more");
        for (size_t i = 0; i < sizeof frames_a_second; i++)
                add_interval(uvc, SECOND_100NS / frames_a_second[i]);
        add_interval(uvc, uvc->format.interval_100ns);
}

/* Interface 0: a camera (1) that is wired to the stream (2). */
static void add_control_interface(Uvc *uvc)
{
        USB_ADD(&uvc->configuration, 9, 4, 0, 0, 0, 0x0e, 1, 0, 2);
        USB_ADD(&uvc->configuration, 13, 0x24, 1, USB_16(0x0100), USB_16(13 + 18 + 9), USB_32(48000000), 1,
                INTERFACE_STREAMING);
        USB_ADD(&uvc->configuration, 18, 0x24, 2, 1, USB_16(0x0201), 0, 0, USB_16(0), USB_16(0), USB_16(0), 3, 0, 0, 0);
        USB_ADD(&uvc->configuration, 9, 0x24, 3, 2, USB_16(0x0101), 0, 1, 0);
}

static int frame_descriptor_bytes(const Uvc *uvc)
{
        return 26 + 4 * uvc->n_intervals;
}

/* Bits a second, as far as 32 bits can say. */
static uint32_t bit_rate(const Uvc *uvc, uint32_t interval_100ns)
{
        uint64_t rate = (uint64_t)uvc->format.frame_max_bytes * 8 * SECOND_100NS / interval_100ns;

        return rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
}

static void add_frame(Uvc *uvc)
{
        const UvcFormat *format = &uvc->format;
        uint32_t least = bit_rate(uvc, uvc->intervals_100ns[uvc->n_intervals - 1]);
        uint32_t most = bit_rate(uvc, uvc->intervals_100ns[0]);

        USB_ADD(&uvc->configuration, (uint8_t)frame_descriptor_bytes(uvc), 0x24, 7, 1, 0, USB_16(format->width),
                USB_16(format->height));
        USB_ADD(&uvc->configuration, USB_32(least), USB_32(most), USB_32(format->frame_max_bytes),
                USB_32(format->interval_100ns));
        USB_ADD(&uvc->configuration, (uint8_t)uvc->n_intervals);
        for (int i = 0; i < uvc->n_intervals; i++)
                USB_ADD(&uvc->configuration, USB_32(uvc->intervals_100ns[i]));
}

/* Interface 1: one format, of one size, on one bulk endpoint. */
static void add_streaming_interface(Uvc *uvc)
{
        USB_ADD(&uvc->configuration, 9, 4, INTERFACE_STREAMING, 0, 1, 0x0e, 2, 0, 0);
        USB_ADD(&uvc->configuration, 14, 0x24, 1, 1, USB_16(14 + 11 + frame_descriptor_bytes(uvc) + 6), UVC_ENDPOINT, 0,
                2, 0, 0, 0, 1, 0);
        USB_ADD(&uvc->configuration, 11, 0x24, 6, 1, 1, 0, 1, 0, 0, 0, 0);
        add_frame(uvc);
        USB_ADD(&uvc->configuration, 6, 0x24, 0x0d, 1, 1, 4); /* colours as JFIF has them */
        USB_ADD(&uvc->configuration, 7, 5, UVC_ENDPOINT, 2, USB_16(USB_BULK_PACKET_BYTES), 0);
}

void uvc_init(Uvc *uvc, const UvcFormat *format)
{
        /* Vendor and product are those of Linux's own webcam gadget, which is the same thing in software. */
        static const uint8_t device[UVC_DEVICE_BYTES] = {
            18, 1, USB_16(0x0200), 0xef, 2, 1, 64, USB_16(0x1d6b), USB_16(0x0102), USB_16(0x0100), 1, 2, 3, 1,
        };
        *uvc = (Uvc){.format = *format};
        uvc->probed_100ns = uvc->committed_100ns = format->interval_100ns;
        add_intervals(uvc);
        memcpy(uvc->device, device, sizeof device);
        USB_ADD(&uvc->configuration, 9, 2, USB_16(0), 2, 1, 0, 0xc0, 0);
        USB_ADD(&uvc->configuration, 8, 11, 0, 2, 0x0e, 3, 0, 2); /* both interfaces are one function */
        add_control_interface(uvc);
        add_streaming_interface(uvc);
}

/* ---- negotiation ---- */

static int write_probe(const Uvc *uvc, uint32_t interval_100ns, uint8_t *data, size_t wanted)
{
        const uint8_t probe[UVC_PROBE_BYTES] = {
            USB_16(1), /* the interval is the driver's choice */
            1,
            1,
            USB_32(interval_100ns),
            USB_16(0),
            USB_16(0),
            USB_16(0),
            USB_16(0),
            USB_16(0),
            USB_32(uvc->format.frame_max_bytes),
            USB_32(UVC_PAYLOAD_MAX),
        };
        size_t length = wanted < sizeof probe ? wanted : sizeof probe;

        memcpy(data, probe, length);
        return (int)length;
}

static uint32_t distance(uint32_t a, uint32_t b)
{
        return a > b ? a - b : b - a;
}

/* Format, size and lengths are ours alone; of what the driver asks for only the interval counts: the nearest there is.
 */
static uint32_t read_probe(const Uvc *uvc, const uint8_t *data)
{
        uint32_t wanted = data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
        uint32_t best = uvc->intervals_100ns[0];

        for (int i = 1; i < uvc->n_intervals; i++)
                if (distance(uvc->intervals_100ns[i], wanted) < distance(best, wanted))
                        best = uvc->intervals_100ns[i];
        return best;
}

static int get(const Uvc *uvc, const UsbSetup *setup, unsigned control, uint8_t *data)
{
        uint32_t current_100ns = control == CONTROL_PROBE ? uvc->probed_100ns : uvc->committed_100ns;

        switch (setup->request) {
        case GET_CUR:
                return write_probe(uvc, current_100ns, data, setup->length);
        case GET_MIN:
                return write_probe(uvc, uvc->intervals_100ns[0], data, setup->length);
        case GET_MAX:
                return write_probe(uvc, uvc->intervals_100ns[uvc->n_intervals - 1], data, setup->length);
        case GET_DEF:
                return write_probe(uvc, uvc->format.interval_100ns, data, setup->length);
        case GET_LEN:
                data[0] = UVC_PROBE_BYTES;
                data[1] = 0;
                return setup->length < 2 ? setup->length : 2;
        case GET_INFO:
                data[0] = CAN_GET_AND_SET;
                return setup->length < 1 ? 0 : 1;
        default:
                return USB_STALL;
        }
}

int uvc_control(Uvc *uvc, const UsbSetup *setup, uint8_t *data, bool *ret_committed)
{
        unsigned control = setup->value >> 8;

        *ret_committed = false;
        if ((setup->type & RECIPIENT_MASK) != RECIPIENT_INTERFACE || setup->index != INTERFACE_STREAMING ||
            (control != CONTROL_PROBE && control != CONTROL_COMMIT))
                return USB_STALL;
        if (setup->type & USB_IN)
                return get(uvc, setup, control, data);
        if (setup->request != SET_CUR || setup->length < UVC_PROBE_BYTES)
                return USB_STALL;
        uvc->probed_100ns = read_probe(uvc, data);
        if (control == CONTROL_COMMIT) {
                uvc->committed_100ns = uvc->probed_100ns;
                *ret_committed = true;
        }
        return 0;
}

/* ---- payloads ---- */

static size_t least(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* A payload ends with a transfer that is shorter than it could be, or by its own full length. */
size_t uvc_send(UvcSend *send, uint8_t *data, size_t room)
{
        size_t left = send->length - send->sent, head = 0;

        if (send->payload_sent == 0) {
                bool last = left <= UVC_PAYLOAD_MAX - UVC_HEADER_BYTES;
                data[0] = head = UVC_HEADER_BYTES;
                data[1] = (uint8_t)(HEADER_END | (last ? HEADER_FRAME_END : 0) | (send->odd ? HEADER_ODD : 0));
        }
        room = least(room, UVC_PAYLOAD_MAX - send->payload_sent);
        size_t piece = least(room - head, left);
        memcpy(data + head, send->frame + send->sent, piece);
        send->sent += piece;
        send->payload_sent += head + piece;
        if (head + piece < room || send->payload_sent == UVC_PAYLOAD_MAX)
                send->payload_sent = 0;
        return head + piece;
}
