/*
 * A USB camera that shows what is in a file or comes through a FIFO: JPEG pictures one after the other, or an AVI of
 * Motion JPEG. A file is shown again and again.
 *
 * Frames reach the guest as they are in the source, none left out, one in each interval that the guest has chosen. What
 * comes faster waits, at first in the queue, then in the FIFO. The camera is plugged in once the size of a picture is
 * known.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "usb/device.h"
#include "usb/frames.h"
#include "usb/uvc.h"

enum { POLL_SOURCE, POLL_NONE };
enum { READ_BYTES = 64 * 1024, RETRY_US = 1000 * 1000 };
enum { INTERVAL_MIN_US = 1000, INTERVAL_MAX_US = 60 * 1000 * 1000, DEFAULT_INTERVAL_100NS = 333333 };

typedef struct {
        UsbDevice usb;
        Uvc uvc;
        bool known; /* the size of a picture is, and so what the guest is told */

        const char *path;
        int fd; /* -1: not open */
        bool is_file, ended, any_found;
        int64_t retry_us; /* when it is opened again */
        unsigned n_told;  /* of the frames that were left out */

        uint8_t *buffer;
        size_t room, first, length; /* what of @buffer is not used up: the queue */
        FrameScan scan;
        bool found; /* a whole frame is at its front: */
        UvcSend send;
        int64_t next_us; /* when a frame may begin */
} Video;

/* ---- the queue ---- */

static void use_up(Video *video, size_t length)
{
        video->first += length;
        video->length -= length;
        if (video->length == 0)
                video->first = 0;
}

/* Moving the rest to the front is put off until it is worth it. */
static size_t make_room(Video *video)
{
        size_t behind = video->room - video->first - video->length;

        if (behind == 0 && (!video->found || video->first >= video->room / 4)) {
                memmove(video->buffer, video->buffer + video->first, video->length);
                video->first = 0;
                behind = video->room - video->length;
        }
        return behind;
}

/* ---- what the guest is told ---- */

/* False when the first frame does not say what size it is. */
static bool get_to_know(Video *video, const uint8_t *frame, size_t length)
{
        uint32_t interval_us = video->scan.interval_us;
        UvcFormat format = {.frame_max_bytes = (uint32_t)video->room};

        if (!frames_size(frame, length, &format.width, &format.height))
                return false;
        format.interval_100ns = DEFAULT_INTERVAL_100NS;
        if (interval_us >= INTERVAL_MIN_US && interval_us <= INTERVAL_MAX_US)
                format.interval_100ns = interval_us * 10;
        uvc_init(&video->uvc, &format);
        video->usb.device = video->uvc.device;
        video->usb.configuration = &video->uvc.configuration;
        video->known = true;
        return true;
}

/* ---- the source ---- */

/* A new descriptor before the old one is closed: a writer of a FIFO would else find it without a reader. */
static void open_source(Video *video)
{
        struct stat st;
        int fd = open(video->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd >= 0 && (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)))) {
                close(fd);
                fd = -1;
        }
        if (video->fd >= 0)
                close(video->fd);
        video->fd = fd;
        video->is_file = fd >= 0 && S_ISREG(st.st_mode);
        video->ended = video->any_found = false;
        video->retry_us = usb_now_us() + RETRY_US;
        video->scan = (FrameScan){.n_dropped = video->scan.n_dropped};
        use_up(video, video->length);
}

/* Starts over. A file in which there is no frame can wait. */
static void end_source(Video *video)
{
        if (!video->is_file || video->any_found) {
                open_source(video);
                return;
        }
        close(video->fd);
        video->fd = -1;
}

static void tell_dropped(Video *video)
{
        if (video->scan.n_dropped == video->n_told)
                return;
        video->n_told = video->scan.n_dropped;
        fprintf(stderr, "hostler-usb: %u frames of %s were cut short, or larger than %zu bytes, and left out\n",
                video->n_told, video->path, video->room);
}

/* Finds the next frame in what is there; without one, at its end, the source starts over. */
static void look_for_frame(Video *video)
{
        FrameFound found = {0};

        while (!video->found && video->length > 0) {
                found = frames_find(&video->scan, video->buffer + video->first, video->length, video->room);
                use_up(video, found.start);
                if (found.length == 0)
                        break;
                if (!video->known && !get_to_know(video, video->buffer + video->first, found.length)) {
                        video->scan.n_dropped++;
                        use_up(video, found.length);
                        continue;
                }
                video->found = video->any_found = true;
                video->send = (UvcSend){.length = found.length, .odd = !video->send.odd};
        }
        tell_dropped(video);
        if (!video->found && video->ended)
                end_source(video);
}

static void read_source(Video *video)
{
        size_t room = make_room(video);
        ssize_t length =
            read(video->fd, video->buffer + video->first + video->length, room < READ_BYTES ? room : READ_BYTES);

        if (length > 0)
                video->length += (size_t)length;
        else if (room > 0 && length == 0)
                video->ended = true;
}

/* A file need not be read ahead. */
static bool wants_source(Video *video)
{
        return video->fd >= 0 && !video->ended && !(video->is_file && video->found) && make_room(video) > 0;
}

static void wait_until(int *timeout_ms, int64_t time_us, int64_t at_us)
{
        usb_wait_at_most(timeout_ms, time_us > at_us ? (int)((time_us - at_us + 999) / 1000) : 0);
}

static void video_prepare(void *self, struct pollfd polls[USB_POLLS_MAX], int *timeout_ms)
{
        Video *video = self;
        int64_t now = usb_now_us();

        polls[POLL_SOURCE] = (struct pollfd){.fd = wants_source(video) ? video->fd : -1, .events = POLLIN};
        polls[POLL_NONE] = (struct pollfd){.fd = -1};
        if (video->fd < 0)
                wait_until(timeout_ms, video->retry_us, now);
        if (video->found && video->next_us > now)
                wait_until(timeout_ms, video->next_us, now);
}

static void video_work(void *self, const struct pollfd polls[USB_POLLS_MAX])
{
        Video *video = self;

        if (video->fd < 0 && !video->found && usb_now_us() >= video->retry_us)
                open_source(video);
        else if (polls[POLL_SOURCE].fd >= 0 && polls[POLL_SOURCE].revents)
                read_source(video);
        look_for_frame(video);
}

/* ---- transfers ---- */

static bool video_ready(void *self)
{
        const Video *video = self;
        return video->known;
}

/* A frame of which a part is sent is sent again, as another one. */
static void video_restart(void *self)
{
        Video *video = self;

        video->send.sent = video->send.payload_sent = 0;
        video->send.odd = !video->send.odd;
        video->next_us = usb_now_us();
}

static int video_control(void *self, const UsbSetup *setup, uint8_t *data)
{
        Video *video = self;
        bool committed;
        int result = uvc_control(&video->uvc, setup, data, &committed);

        if (committed)
                video_restart(video);
        return result;
}

/* Intervals are counted from frame to frame; one that came late does not hurry the next. */
static bool may_begin(Video *video)
{
        int64_t now = usb_now_us();

        if (now < video->next_us)
                return false;
        video->next_us += video->uvc.committed_100ns / 10;
        if (video->next_us < now)
                video->next_us = now;
        return true;
}

static int video_in(void *self, uint8_t *data, size_t room)
{
        Video *video = self;
        UvcSend *send = &video->send;

        if (room <= UVC_HEADER_BYTES)
                return USB_STALL;
        if (!video->found || (send->sent == 0 && !may_begin(video)))
                return USB_NOTHING_YET;
        send->frame = video->buffer + video->first;
        size_t length = uvc_send(send, data, room);
        if (send->sent == send->length && send->payload_sent == 0) {
                video->found = false;
                use_up(video, send->length);
                look_for_frame(video);
        }
        return (int)length;
}

/* ---- making and ending ---- */

const UsbDevice *video_new(const DeviceOptions *options)
{
        static const UsbDeviceType type = {
            .control = video_control,
            .in = video_in,
            .restart = video_restart,
            .ready = video_ready,
            .prepare = video_prepare,
            .work = video_work,
        };
        static Video video = {.fd = -1};

        video.path = options->source;
        video.room = options->queue_bytes;
        video.buffer = malloc(video.room);
        if (!video.buffer)
                return NULL;
        video.usb = (UsbDevice){
            .type = &type,
            .self = &video,
            .strings = {NULL, "Hostler", "Hostler Camera", options->name},
            .interfaces = {{0x0e, 1, 0}, {0x0e, 2, 0}},
            .n_interfaces = 2,
            .endpoints = {{UVC_ENDPOINT, 1}},
            .n_endpoints = 1,
        };
        open_source(&video);
        return &video.usb;
}

void video_end(const UsbDevice *device)
{
        Video *video = device->self;

        if (video->fd >= 0)
                close(video->fd);
        free(video->buffer);
}
