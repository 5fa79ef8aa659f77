/*
 * Captures as streams: frames of an adapter, written as a pcap file (draft-ietf-opsawg-pcap) while they pass. Main
 * loop; nothing here blocks. The capture ends with its stream. Called by the daemon when a client asks for one.
 *
 * Whoever reads slowly loses frames, as with any capture: they wait in the device, and that holds some hundred. How
 * many were lost is said at the end. A client that wants the end sends a byte, whatever it is, and waits for it.
 */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "vm/network/ports.h"

#define LOOK_MS 5         /* between looks whether copies are made yet */
#define PATIENCE_MS 30000 /* until they are */
#define LOT_BYTES 65536   /* about what is read between two other things of the loop */
#define FRAME_MAX 65536
#define WHOLE 262144 /* what tcpdump takes for "all of it" */

typedef struct {
        ByteStream stream;
        ByteSink sink;
        Network *network;
        char *name; /* of the capture */
        int fd;     /* -1: not yet */
        gint64 asked_us;
        int64_t left, duration_ms; /* HOSTLER_UNSET: no end */
        guint32 snaplen;
        guint looking, readable, ending;
        bool closed;
} CaptureStream;

static void stop(CaptureStream *stream)
{
        g_clear_handle_id(&stream->looking, g_source_remove);
        g_clear_handle_id(&stream->readable, g_source_remove);
        g_clear_handle_id(&stream->ending, g_source_remove);
        fd_close(&stream->fd);
        stream->fd = -1;
        if (stream->name)
                network_capture_end(stream->network, stream->name);
        g_clear_pointer(&stream->name, g_free);
}

static void end(CaptureStream *stream, const char *reason)
{
        stop(stream);
        if (!stream->closed)
                stream->sink.closed(reason, stream->sink.data);
        stream->closed = true;
}

/* ---- frames ---- */

static void add_numbers(GByteArray *bytes, const guint32 *numbers, gsize count)
{
        g_byte_array_append(bytes, (const guint8 *)numbers, (guint)(count * sizeof *numbers));
}

/* In this machine's byte order, which the first number tells. */
static void send_head(CaptureStream *stream)
{
        const guint32 ethernet = 1, head[] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, stream->snaplen, ethernet};
        stream->sink.bytes(head, sizeof head, stream->sink.data);
}

static void add_frame(GByteArray *bytes, const guint8 *frame, gsize length)
{
        gint64 now_us = g_get_real_time();
        const guint32 head[] = {(guint32)(now_us / G_USEC_PER_SEC), (guint32)(now_us % G_USEC_PER_SEC), (guint32)length,
                                (guint32)length};
        add_numbers(bytes, head, G_N_ELEMENTS(head));
        g_byte_array_append(bytes, frame, (guint)length);
}

/* What still waits in the device of one that is held came before the end, and will not be read. */
static guint64 count_waiting(const CaptureStream *stream)
{
        guint8 byte;
        guint64 count = 0;
        if (stream->fd < 0 || stream->readable || stream->left == 0)
                return 0;
        while (read(stream->fd, &byte, sizeof byte) > 0)
                count++;
        return count;
}

/* How many were lost goes into the reason, for pcap has no place for it. */
static void complete(CaptureStream *stream)
{
        guint64 lost = network_capture_lost(stream->network, stream->name) + count_waiting(stream);
        g_autofree char *reason = g_strdup_printf("complete, %" G_GUINT64_FORMAT " frames lost", lost);
        end(stream, lost > 0 ? reason : "complete");
}

static gboolean on_end(gpointer data)
{
        CaptureStream *stream = data;
        stream->ending = 0;
        complete(stream);
        return G_SOURCE_REMOVE;
}

/* The sink may detach: nothing of the stream is touched after it. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
        CaptureStream *stream = data;
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        guint8 frame[FRAME_MAX];
        while (bytes->len < LOT_BYTES && stream->left != 0) {
                ssize_t length = read(fd, frame, sizeof frame);
                if (length <= 0)
                        break;
                if (stream->left != HOSTLER_UNSET)
                        stream->left--;
                add_frame(bytes, frame, (gsize)length);
        }
        bool complete = stream->left == 0;
        if (complete) {
                stream->readable = 0;
                g_clear_handle_id(&stream->ending, g_source_remove);
                stream->ending = g_idle_add(on_end, stream);
        }
        if (bytes->len > 0)
                stream->sink.bytes(bytes->data, bytes->len, stream->sink.data);
        return !complete;
}

static void hold(ByteStream *base, bool on)
{
        CaptureStream *stream = (CaptureStream *)base;
        if (on)
                g_clear_handle_id(&stream->readable, g_source_remove);
        else if (!stream->readable && stream->fd >= 0 && stream->left != 0)
                stream->readable = g_unix_fd_add(stream->fd, G_IO_IN, on_readable, stream);
}

/* ---- beginning and end ---- */

static gboolean on_look(gpointer data)
{
        CaptureStream *stream = data;
        g_autoptr(GError) error = NULL;
        bool ok = network_capture_ready(stream->network, stream->name, &stream->fd, &error);
        bool late = g_get_monotonic_time() - stream->asked_us > PATIENCE_MS * 1000;
        if (ok && stream->fd < 0 && !late)
                return G_SOURCE_CONTINUE;
        stream->looking = 0;
        if (stream->fd < 0) {
                end(stream, error ? error->message : "Open vSwitch does not answer");
                return G_SOURCE_REMOVE;
        }
        if (stream->duration_ms != HOSTLER_UNSET)
                stream->ending = g_timeout_add((guint)stream->duration_ms, on_end, stream);
        hold(&stream->stream, false);
        send_head(stream);
        return G_SOURCE_REMOVE;
}

static void take_end(ByteStream *base, const void *bytes, gsize length)
{
        CaptureStream *stream = (CaptureStream *)base;
        if (stream->name)
                complete(stream);
}

static void detach(ByteStream *base)
{
        CaptureStream *stream = (CaptureStream *)base;
        stop(stream);
        g_free(stream);
}

bool capture_attach(Vm *vm, const HostlerVmCaptureArgs *args, const ByteSink *sink, ByteStream **ret_stream,
                    GError **error)
{
        static const ByteStreamOps ops = {.write = take_end, .hold = hold, .detach = detach};
        Network *network = manager_network(vm_manager(vm));
        int snaplen = args->snaplen == HOSTLER_UNSET ? 0 : (int)args->snaplen;
        char *name =
            ports_nic(vm, args->nic, error) ? network_capture(network, vm_id(vm), args->nic, snaplen, error) : NULL;
        if (!name)
                return false;
        CaptureStream *stream = g_new0(CaptureStream, 1);
        *stream = (CaptureStream){.stream.ops = &ops,
                                  .sink = *sink,
                                  .network = network,
                                  .name = name,
                                  .fd = -1,
                                  .asked_us = g_get_monotonic_time(),
                                  .left = args->count,
                                  .duration_ms = args->duration,
                                  .snaplen = snaplen ? (guint32)snaplen : WHOLE};
        stream->looking = g_timeout_add(LOOK_MS, on_look, stream);
        *ret_stream = &stream->stream;
        return true;
}
