/* The pure parts of hostler-usb: MIDI bytes and packets, frames in a stream, what a camera says and sends. */
#include <glib.h>
#include <string.h>

#include "usb/frames.h"
#include "usb/midi_packet.h"
#include "usb/queue.h"
#include "usb/usb.h"
#include "usb/uvc.h"

static GByteArray *bytes_of(const char *hex)
{
        GByteArray *bytes = g_byte_array_new();

        for (const char *next = hex; *next; next++) {
                if (!g_ascii_isxdigit(*next))
                        continue;
                guint8 byte = (guint8)(g_ascii_xdigit_value(next[0]) << 4 | g_ascii_xdigit_value(next[1]));
                g_byte_array_append(bytes, &byte, 1);
                next++;
        }
        return bytes;
}

static void assert_bytes(const GByteArray *bytes, const char *hex)
{
        g_autoptr(GByteArray) wanted = bytes_of(hex);

        g_assert_cmpmem(bytes->data, bytes->len, wanted->data, wanted->len);
}

/* ---- MIDI ---- */

static GByteArray *encode(const char *hex)
{
        g_autoptr(GByteArray) stream = bytes_of(hex);
        GByteArray *result = g_byte_array_new();
        MidiEncoder encoder = {0};

        for (guint i = 0; i < stream->len; i++) {
                uint8_t packets[MIDI_PUT_MAX][MIDI_PACKET_BYTES];
                int count = midi_encode(&encoder, stream->data[i], packets);
                g_byte_array_append(result, packets[0], (guint)count * MIDI_PACKET_BYTES);
        }
        return result;
}

static void test_encode(void)
{
        static const struct {
                const char *stream, *packets;
        } cases[] = {
            {"90 3c 7f", "09 90 3c 7f"},
            {"90 3c 7f 3c 00", "09 90 3c 7f  09 90 3c 00"},              /* running status */
            {"c3 05 06 d0 40", "0c c3 05 00  0c c3 06 00  0d d0 40 00"}, /* the short ones */
            {"e0 00 40 b1 07 7f", "0e e0 00 40  0b b1 07 7f"},
            {"f1 20 f3 05 f2 01 02 f6", "02 f1 20 00  02 f3 05 00  03 f2 01 02  05 f6 00 00"},
            {"f0 f7", "06 f0 f7 00"},
            {"f0 01 f7", "07 f0 01 f7"},
            {"f0 01 02 f7", "04 f0 01 02  05 f7 00 00"},
            {"f0 01 02 03 f7", "04 f0 01 02  06 03 f7 00"},
            {"f0 01 02 03 04 f7", "04 f0 01 02  07 03 04 f7"},
            {"90 f8 3c fe 7f", "0f f8 00 00  0f fe 00 00  09 90 3c 7f"}, /* real time goes between */
            {"f0 01 f8 02 f7", "0f f8 00 00  04 f0 01 02  05 f7 00 00"},
            {"f0 01 02 03 90 3c 7f", "04 f0 01 02  06 03 f7 00  09 90 3c 7f"}, /* cut short: closed */
            {"f0 f0 01 f7", "06 f0 f7 00  07 f0 01 f7"},
            {"3c 7f f7 90 3c 7f", "09 90 3c 7f"},              /* what belongs to nothing */
            {"90 3c 7f f6 3c 7f", "09 90 3c 7f  05 f6 00 00"}, /* no running status after system messages */
            {"90 3c f4 7f f5 01 80 3c 00", "08 80 3c 00"},
            {"90 3c 91 40 41", "09 91 40 41"},
        };
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GByteArray) packets = encode(cases[i].stream);
                g_test_message("%s", cases[i].stream);
                assert_bytes(packets, cases[i].packets);
        }
}

static void test_decode(void)
{
        g_autoptr(GByteArray) packets = encode("90 3c 7f f0 01 02 03 04 05 f7 c0 05 f1 01 f6 f8 fe");
        g_autoptr(GByteArray) stream = g_byte_array_new();

        for (guint i = 0; i < packets->len; i += MIDI_PACKET_BYTES)
                g_byte_array_append(stream, packets->data + i + 1, (guint)midi_decode(packets->data + i));
        assert_bytes(stream, "90 3c 7f f0 01 02 03 04 05 f7 c0 05 f1 01 f6 f8 fe");
        for (unsigned first = 0; first < 256; first++) {
                const uint8_t packet[MIDI_PACKET_BYTES] = {(uint8_t)first};
                g_assert_cmpint(midi_decode(packet), <, MIDI_PACKET_BYTES);
        }
        g_assert_cmpint(midi_decode((const uint8_t[]){0x00, 1, 2, 3}), ==, 0);
}

static void test_queue(void)
{
        Queue queue;
        uint8_t bytes[8];

        g_assert_true(queue_init(&queue, 5));
        g_assert_cmpint(queue_write(&queue, (const uint8_t *)"abc", 3), ==, 3);
        g_assert_cmpint(queue_read(&queue, bytes, 2), ==, 2);
        g_assert_cmpint(queue_write(&queue, (const uint8_t *)"defghi", 6), ==, 4); /* around the end, and full */
        g_assert_cmpint(queue_room(&queue), ==, 0);
        g_assert_cmpint(queue_read(&queue, bytes, sizeof bytes), ==, 5);
        g_assert_cmpmem(bytes, 5, "cdefg", 5);
        g_assert_cmpint(queue_read(&queue, bytes, sizeof bytes), ==, 0);
        queue_clear(&queue);
}

/* ---- frames ---- */

static void add_segment(GByteArray *bytes, guint8 marker, const void *data, guint length)
{
        const guint8 head[] = {0xff, marker, (guint8)((length + 2) >> 8), (guint8)(length + 2)};

        g_byte_array_append(bytes, head, sizeof head);
        g_byte_array_append(bytes, data, length);
}

/* A JPEG picture of 320 x 240 as its markers go: with a preview inside, stuffing and restarts; @n bytes of picture. */
static GByteArray *picture(guint n)
{
        static const guint8 preview[] = {'p', 0xff, 0xd8, 0xff, 0xd9}, frame[] = {8, 0, 240, 1, 64, 1, 1, 0x11, 0};
        static const guint8 scan[] = {1, 1, 0, 0, 0x3f, 0}, data[] = {0x12, 0xff, 0x00, 0x34, 0xff, 0xd3, 0x56};
        GByteArray *bytes = g_byte_array_new();

        g_byte_array_append(bytes, (const guint8 *)"\xff\xd8", 2);
        add_segment(bytes, 0xe1, preview, sizeof preview);
        add_segment(bytes, 0xc0, frame, sizeof frame);
        g_byte_array_append(bytes, (const guint8 *)"\xff", 1); /* markers may be filled up */
        add_segment(bytes, 0xda, scan, sizeof scan);
        for (guint i = 0; i < n; i++)
                g_byte_array_append(bytes, data + i % sizeof data, 1);
        if (n % sizeof data == 2 || n % sizeof data == 5)
                g_byte_array_append(bytes, (const guint8 *)"\xd0", 1); /* no prefix is left open */
        g_byte_array_append(bytes, (const guint8 *)"\xff\xd9", 2);
        return bytes;
}

/* What frames_find() makes of @stream when it comes @step bytes at a time: the frames, each after its length. */
static GByteArray *cut(const GByteArray *stream, gsize step, gsize room, FrameScan *scan)
{
        g_autofree guint8 *window = g_malloc(room);
        GByteArray *result = g_byte_array_new();
        gsize length = 0, taken = 0;

        *scan = (FrameScan){0};
        do {
                gsize count = MIN(MIN(step, stream->len - taken), room - length);
                memcpy(window + length, stream->data + taken, count);
                taken += count;
                length += count;
                for (FrameFound found = {.length = 1}; found.length > 0 && length > 0;) {
                        g_autofree guint8 *exact = g_memdup2(window, length); /* reading past it shows */
                        found = frames_find(scan, exact, length, room);
                        g_assert_cmpint(found.start + found.length, <=, length);
                        if (found.length > 0) {
                                guint32 size = (guint32)found.length;
                                g_byte_array_append(result, (guint8 *)&size, sizeof size);
                                g_byte_array_append(result, exact + found.start, size);
                        }
                        length -= found.start + found.length;
                        memmove(window, window + found.start + found.length, length);
                }
                g_assert_cmpint(length, <, room);
        } while (taken < stream->len);
        return result;
}

static void add_wanted(GByteArray *wanted, const GByteArray *frame)
{
        guint32 size = frame->len;

        g_byte_array_append(wanted, (guint8 *)&size, sizeof size);
        g_byte_array_append(wanted, frame->data, frame->len);
}

static void append(GByteArray *bytes, const GByteArray *more)
{
        g_byte_array_append(bytes, more->data, more->len);
}

/* However the stream is cut, the frames are the same. */
static void assert_frames(const GByteArray *stream, const GByteArray *wanted, gsize room, unsigned n_dropped)
{
        static const gsize steps[] = {1, 2, 3, 7, 64, 100000};

        for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
                FrameScan scan;
                g_autoptr(GByteArray) frames = cut(stream, steps[i], room, &scan);
                g_assert_cmpmem(frames->data, frames->len, wanted->data, wanted->len);
                g_assert_cmpint(scan.n_dropped, ==, n_dropped);
        }
}

static void test_frames_jpeg(void)
{
        g_autoptr(GByteArray) stream = g_byte_array_new();
        g_autoptr(GByteArray) wanted = g_byte_array_new();

        g_byte_array_append(stream, (const guint8 *)"junk\xff\xff", 6);
        for (guint n = 0; n < 30; n++) {
                g_autoptr(GByteArray) frame = picture(n);
                append(stream, frame);
                add_wanted(wanted, frame);
                g_byte_array_append(stream, (const guint8 *)"--\xff", n % 4);
        }
        assert_frames(stream, wanted, 512, 0);
}

static void test_frames_broken(void)
{
        g_autoptr(GByteArray) good = picture(20);
        g_autoptr(GByteArray) large = picture(1000);
        g_autoptr(GByteArray) stream = g_byte_array_new();
        g_autoptr(GByteArray) wanted = g_byte_array_new();

        append(stream, large);
        append(stream, good);
        g_byte_array_append(stream, good->data, good->len - 7); /* cut short */
        append(stream, good);
        g_byte_array_append(stream, (const guint8 *)"\xff\xd8\xff\xe1\x00\x01",
                            6); /* a segment shorter than its length */
        append(stream, good);
        g_byte_array_append(stream, (const guint8 *)"\xff\xd8zz", 4); /* no marker after the start */
        append(stream, good);
        for (int i = 0; i < 4; i++)
                add_wanted(wanted, good);
        assert_frames(stream, wanted, 300, 4);
}

static void add_chunk(GByteArray *bytes, const char *id, const void *data, guint32 size)
{
        guint32 little = GUINT32_TO_LE(size);

        g_byte_array_append(bytes, (const guint8 *)id, 4);
        g_byte_array_append(bytes, (const guint8 *)&little, 4);
        g_byte_array_append(bytes, data, size);
        g_byte_array_append(bytes, (const guint8 *)"", size & 1);
}

static void add_list(GByteArray *bytes, const char *id, const char *type)
{
        g_byte_array_append(bytes, (const guint8 *)id, 4);
        g_byte_array_append(bytes, (const guint8 *)"\xff\xff\xff\x7f", 4);
        g_byte_array_append(bytes, (const guint8 *)type, 4);
}

static void test_frames_avi(void)
{
        g_autoptr(GByteArray) stream = g_byte_array_new();
        g_autoptr(GByteArray) wanted = g_byte_array_new();
        const guint32 header[] = {GUINT32_TO_LE(40000), 0, 0};
        FrameScan scan;

        add_list(stream, "RIFF", "AVI ");
        add_list(stream, "LIST", "hdrl");
        add_chunk(stream, "avih", header, sizeof header);
        add_chunk(stream, "JUNK", "\xff\xd8\xff\xd9 a chunk of nothing", 23);
        add_list(stream, "LIST", "movi");
        for (guint n = 0; n < 9; n++) {
                g_autoptr(GByteArray) frame = picture(n);
                add_chunk(stream, n == 4 ? "00db" : "00dc", frame->data, frame->len);
                add_wanted(wanted, frame);
                add_chunk(stream, "01wb", frame->data, frame->len); /* sound, whatever it looks like */
                add_chunk(stream, "00dc", "", 0);                   /* "as the one before" */
                add_chunk(stream, "00dc", "no picture", 10);
                if (n == 6)
                        add_list(stream, "RIFF", "AVIX");
        }
        g_autoptr(GByteArray) large = picture(1000);
        add_chunk(stream, "00dc", large->data, large->len);
        add_chunk(stream, "idx1", large->data, large->len);
        assert_frames(stream, wanted, 300, 1);
        g_byte_array_unref(cut(stream, 64, 300, &scan));
        g_assert_cmpint(scan.interval_us, ==, 40000);
}

static void test_frames_size(void)
{
        g_autoptr(GByteArray) frame = picture(20);
        uint16_t width = 0, height = 0;

        g_assert_true(frames_size(frame->data, frame->len, &width, &height));
        g_assert_cmpint(width, ==, 320);
        g_assert_cmpint(height, ==, 240);
        for (guint length = 0; length < 20; length++) {
                g_autofree guint8 *cut_short = g_memdup2(frame->data, length);
                g_assert_false(frames_size(cut_short, length, &width, &height));
        }
}

/* ---- the camera ---- */

static const UvcFormat format = {.width = 640, .height = 480, .frame_max_bytes = 1 << 20, .interval_100ns = 400001};

/* Interfaces, endpoints and lengths are what they say of each other. */
static void test_uvc_descriptors(void)
{
        Uvc uvc;
        gsize at = 0;
        guint n_interfaces = 0, n_endpoints = 0;

        uvc_init(&uvc, &format);
        g_assert_cmpint(uvc.device[0], ==, sizeof uvc.device);
        g_assert_cmpint(uvc.configuration.bytes[2] | uvc.configuration.bytes[3] << 8, ==, uvc.configuration.length);
        for (; at < uvc.configuration.length; at += uvc.configuration.bytes[at]) {
                g_assert_cmpint(uvc.configuration.bytes[at], >=, 2);
                n_interfaces += uvc.configuration.bytes[at + 1] == 4;
                n_endpoints += uvc.configuration.bytes[at + 1] == 5;
        }
        g_assert_cmpint(at, ==, uvc.configuration.length);
        g_assert_cmpint(n_interfaces, ==, 2);
        g_assert_cmpint(n_endpoints, ==, 1);
        g_assert_cmpint(uvc.n_intervals, ==, UVC_INTERVALS_MAX);
        for (int i = 1; i < uvc.n_intervals; i++)
                g_assert_cmpint(uvc.intervals_100ns[i - 1], <, uvc.intervals_100ns[i]);
}

static uint32_t number_at(const uint8_t *bytes)
{
        return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Whatever a driver asks for, it gets our one format, and the interval that is nearest. */
static void test_uvc_negotiation(void)
{
        UsbSetup set = {0x21, 0x01, 0x0100, 1, UVC_PROBE_BYTES}, get = {0xa1, 0x81, 0x0100, 1, UVC_PROBE_BYTES};
        uint8_t data[USB_CONTROL_MAX_BYTES];
        bool committed;
        Uvc uvc;

        uvc_init(&uvc, &format);
        memset(data, 0xff, sizeof data);
        memcpy(data + 4, (const uint8_t[]){USB_32(2100000)}, 4);
        g_assert_cmpint(uvc_control(&uvc, &set, data, &committed), ==, 0);
        g_assert_false(committed);
        g_assert_cmpint(uvc_control(&uvc, &get, data, &committed), ==, UVC_PROBE_BYTES);
        g_assert_cmpint(data[2], ==, 1);
        g_assert_cmpint(data[3], ==, 1);
        g_assert_cmpint(number_at(data + 4), ==, 2000000);
        g_assert_cmpint(number_at(data + 18), ==, format.frame_max_bytes);
        g_assert_cmpint(number_at(data + 22), ==, UVC_PAYLOAD_MAX);
        g_assert_cmpint(uvc.committed_100ns, ==, format.interval_100ns);
        set.value = 0x0200;
        g_assert_cmpint(uvc_control(&uvc, &set, data, &committed), ==, 0);
        g_assert_true(committed);
        g_assert_cmpint(uvc.committed_100ns, ==, 2000000);
        set.length = UVC_PROBE_BYTES - 1;
        g_assert_cmpint(uvc_control(&uvc, &set, data, &committed), ==, USB_STALL);
        get.index = 0;
        g_assert_cmpint(uvc_control(&uvc, &get, data, &committed), ==, USB_STALL);
}

/* Puts a frame together as a driver with transfers of @room bytes does: a payload ends with a short transfer. */
static void assert_sent(gsize frame_length, gsize room)
{
        g_autofree uint8_t *frame = g_malloc(frame_length + 1), *transfer = g_malloc(room);
        UvcSend send = {.frame = frame, .length = frame_length, .odd = true};
        g_autoptr(GByteArray) got = g_byte_array_new();
        gsize payload = 0;
        bool end = false;

        for (gsize i = 0; i < frame_length; i++)
                frame[i] = (uint8_t)(i * 7);
        do {
                gsize length = uvc_send(&send, transfer, room), head = payload == 0 ? UVC_HEADER_BYTES : 0;
                g_assert_cmpint(length, <=, room);
                if (payload == 0) {
                        g_assert_cmpint(length, >=, UVC_HEADER_BYTES);
                        g_assert_cmpint(transfer[0], ==, UVC_HEADER_BYTES);
                        g_assert_cmpint(transfer[1] & 0x81, ==, 0x81);
                        g_assert_false(end);
                        end = transfer[1] & 0x02;
                }
                g_byte_array_append(got, transfer + head, (guint)(length - head));
                payload += length;
                g_assert_cmpint(payload, <=, UVC_PAYLOAD_MAX);
                if (length < room || payload == UVC_PAYLOAD_MAX)
                        payload = 0;
        } while (send.sent < send.length || send.payload_sent > 0);
        g_assert_true(end);
        g_assert_cmpint(payload, ==, 0);
        g_assert_cmpmem(got->data, got->len, frame, frame_length);
}

static void test_uvc_payloads(void)
{
        static const gsize lengths[] = {1, 510, 511, 1022, 16381, 16382, 16383, 32764, 32765, 50000};
        static const gsize rooms[] = {3, 512, 4096, 16384, 65536};

        for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++)
                for (gsize j = 0; j < G_N_ELEMENTS(rooms); j++)
                        assert_sent(lengths[i], rooms[j]);
}

/* ---- what every device answers ---- */

static int n_restarts;

static void restart(void *self)
{
        n_restarts++;
}

static void test_control(void)
{
        static const UsbDeviceType type = {.restart = restart};
        static const uint8_t descriptor[18] = {18, 1}, head[] = {9, 2, 0, 0};
        UsbConfiguration configuration = {0};
        UsbDevice device = {.type = &type,
                            .device = descriptor,
                            .configuration = &configuration,
                            .strings = {NULL, "Ab"},
                            .endpoints = {{0x81, 0}},
                            .n_endpoints = 1};
        uint8_t data[USB_CONTROL_MAX_BYTES];

        usb_configuration_add(&configuration, head, sizeof head);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0100, 0, 8}, data), ==, 8);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0100, 0, 0xffff}, data), ==, 18);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0200, 0, 0xffff}, data), ==, 4);
        g_assert_cmpmem(data, 4, "\x9\2\4\0", 4);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0201, 0, 0xffff}, data), ==, USB_STALL);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0301, 0x409, 255}, data), ==, 6);
        g_assert_cmpmem(data, 6, "\6\3A\0b\0", 6);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0302, 0x409, 255}, data), ==, USB_STALL);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x03ff, 0x409, 255}, data), ==, USB_STALL);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x80, 6, 0x0600, 0, 10}, data), ==, USB_STALL);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x82, 0, 0, 0x81, 2}, data), ==, 2);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x02, 1, 0, 0x02, 0}, data), ==, USB_STALL);
        g_assert_cmpint(n_restarts, ==, 0);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x02, 1, 0, 0x81, 0}, data), ==, 0);
        g_assert_cmpint(n_restarts, ==, 1);
        g_assert_cmpint(usb_control(&device, &(UsbSetup){0x40, 1, 0, 0, 0}, data), ==, USB_STALL);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/usb/midi/encode", test_encode);
        g_test_add_func("/usb/midi/decode", test_decode);
        g_test_add_func("/usb/queue", test_queue);
        g_test_add_func("/usb/frames/jpeg", test_frames_jpeg);
        g_test_add_func("/usb/frames/broken", test_frames_broken);
        g_test_add_func("/usb/frames/avi", test_frames_avi);
        g_test_add_func("/usb/frames/size", test_frames_size);
        g_test_add_func("/usb/camera/descriptors", test_uvc_descriptors);
        g_test_add_func("/usb/camera/negotiation", test_uvc_negotiation);
        g_test_add_func("/usb/camera/payloads", test_uvc_payloads);
        g_test_add_func("/usb/control", test_control);
        return g_test_run();
}
