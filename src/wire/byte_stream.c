/*
 * A stream of bytes that is one connection to a Unix socket: what comes is handed over as it comes, what is written
 * waits until the socket takes it. Called by src/vm.
 */
#include "wire/byte_stream.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/json_stream.h"

#define PIECE (32 * 1024)
#define WRITE_LIMIT (1024 * 1024) /* bytes not yet taken by the other end */

typedef struct {
        ByteStream stream;
        ByteSink sink;
        int fd;
        bool closed;
        guint readable, writable;
        GByteArray *out;
} SocketStream;

static void socket_closed(SocketStream *stream, const char *reason)
{
        if (stream->closed)
                return;
        stream->closed = true;
        g_clear_handle_id(&stream->readable, g_source_remove);
        g_clear_handle_id(&stream->writable, g_source_remove);
        stream->sink.closed(reason, stream->sink.data);
}

/* The sink may detach: nothing of the stream is touched after it. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
        SocketStream *stream = data;
        char bytes[PIECE];
        ssize_t length = read(fd, bytes, sizeof bytes);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
                return G_SOURCE_CONTINUE;
        if (length <= 0)
                socket_closed(stream, "the other end has closed");
        else
                stream->sink.bytes(bytes, (gsize)length, stream->sink.data);
        return length > 0;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
        SocketStream *stream = data;
        ssize_t length = send(fd, stream->out->data, stream->out->len, MSG_NOSIGNAL);
        if (length < 0 && errno != EAGAIN && errno != EINTR) {
                socket_closed(stream, "the other end has closed");
                return G_SOURCE_REMOVE;
        }
        if (length > 0)
                g_byte_array_remove_range(stream->out, 0, (guint)length);
        if (stream->out->len > 0)
                return G_SOURCE_CONTINUE;
        stream->writable = 0;
        return G_SOURCE_REMOVE;
}

static void socket_write(ByteStream *base, const void *bytes, gsize length)
{
        SocketStream *stream = (SocketStream *)base;
        if (stream->closed)
                return;
        if (stream->out->len + length > WRITE_LIMIT) {
                socket_closed(stream, "the other end takes nothing");
                return;
        }
        g_byte_array_append(stream->out, bytes, (guint)length);
        if (!stream->writable)
                stream->writable = g_unix_fd_add(stream->fd, G_IO_OUT, on_writable, stream);
}

static void socket_hold(ByteStream *base, bool hold)
{
        SocketStream *stream = (SocketStream *)base;
        if (hold)
                g_clear_handle_id(&stream->readable, g_source_remove);
        else if (!stream->closed && !stream->readable)
                stream->readable = g_unix_fd_add(stream->fd, G_IO_IN | G_IO_HUP, on_readable, stream);
}

static void socket_detach(ByteStream *base)
{
        SocketStream *stream = (SocketStream *)base;
        g_clear_handle_id(&stream->readable, g_source_remove);
        g_clear_handle_id(&stream->writable, g_source_remove);
        close(stream->fd);
        g_byte_array_unref(stream->out);
        g_free(stream);
}

bool byte_stream_connect(const char *path, const ByteSink *sink, ByteStream **ret_stream, GError **error)
{
        static const ByteStreamOps ops = {.write = socket_write, .hold = socket_hold, .detach = socket_detach};
        int fd = unix_connect(path, error);
        if (fd < 0)
                return false;
        SocketStream *stream = g_new0(SocketStream, 1);
        stream->stream.ops = &ops;
        stream->sink = *sink;
        stream->fd = fd;
        stream->out = g_byte_array_new();
        socket_hold(&stream->stream, false);
        *ret_stream = &stream->stream;
        return true;
}
