/*
 * A socket that carries JSON values: reads on its main context, writes at once from any thread and queues what the peer
 * does not take. Knows nothing of commands and answers; framing is json_splitter.c's. Called by qmp.c and
 * guest_agent.c.
 */
#include "wire/json_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "wire/json_text.h"

#define READ_BYTES 65536   /* one turn of the main loop: a flooding peer leaves room for the others */
#define LARGE_BYTES 262144 /* some 6 ms of parsing: more is not done in the main loop */
#define QUEUE_LIMIT_BYTES (4 << 20)

/* Bytes the peer has not taken yet, and the descriptor that goes with the first of them. */
typedef struct {
        char *bytes;
        gsize length;
        gsize sent;
        int fd; /* -1: none; owned */
} Chunk;

struct JsonStream {
        GMainContext *context;
        GSource *reader;
        JsonSplitter *splitter;
        JsonStreamValueFunc value;
        JsonStreamClosedFunc closed;
        void *data;
        bool in_callback; /* the context's thread only, like what follows */
        bool freed;
        bool paused;
        JsonParse *parse;     /* a large value, on another thread; what came behind it waits */
        GByteArray *leftover; /* NULL: nothing */

        GMutex mutex; /* guards what follows */
        int fd;       /* -1 once closed */
        GSource *writer;
        GQueue chunks;
        gsize queued_bytes;
        int64_t read_ms;
        GError *reason; /* set once, by whoever first sees that it is over */
};

static void drop_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static void chunk_free(Chunk *chunk)
{
        drop_fd(&chunk->fd);
        g_free(chunk->bytes);
        g_free(chunk);
}

/*
 * Ends the stream from any thread, mutex held. The shut-down socket wakes the reader, which still passes on what had
 * come (QEMU's last words) and then closes on the context.
 */
static void give_up(JsonStream *stream, GError *reason_taken)
{
        if (stream->reason)
                g_error_free(reason_taken);
        else
                stream->reason = reason_taken;
        shutdown(stream->fd, SHUT_RDWR);
}

static ssize_t send_chunk(int socket, const Chunk *chunk)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
        struct iovec piece = {chunk->bytes + chunk->sent, chunk->length - chunk->sent};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        if (chunk->fd >= 0) {
                memcpy(CMSG_DATA(&control.header), &chunk->fd, sizeof chunk->fd);
                message.msg_control = &control;
                message.msg_controllen = sizeof control.bytes;
        }
        return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes what the peer takes now; mutex held. False when the socket is broken. */
static bool flush(JsonStream *stream, GError **error)
{
        for (Chunk *chunk; (chunk = g_queue_peek_head(&stream->chunks));) {
                ssize_t count = send_chunk(stream->fd, chunk);
                if (count < 0 && errno == EINTR)
                        continue;
                if (count < 0 && errno == EAGAIN)
                        return true;
                if (count < 0)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "write: %s", g_strerror(errno));
                drop_fd(&chunk->fd);
                chunk->sent += (gsize)count;
                stream->queued_bytes -= (gsize)count;
                if (chunk->sent == chunk->length)
                        chunk_free(g_queue_pop_head(&stream->chunks));
        }
        return true;
}

static gboolean write_ready(gint fd, GIOCondition condition, gpointer data)
{
        JsonStream *stream = data;
        GError *error = NULL;
        g_mutex_lock(&stream->mutex);
        if (!flush(stream, &error))
                give_up(stream, error);
        bool more = !error && !g_queue_is_empty(&stream->chunks);
        if (!more)
                g_clear_pointer(&stream->writer, g_source_unref);
        g_mutex_unlock(&stream->mutex);
        return more;
}

static void watch_for_room(JsonStream *stream)
{
        if (stream->writer || g_queue_is_empty(&stream->chunks))
                return;
        stream->writer = g_unix_fd_source_new(stream->fd, G_IO_OUT);
        g_source_set_callback(stream->writer, G_SOURCE_FUNC(write_ready), stream, NULL);
        g_source_attach(stream->writer, stream->context);
}

static int append_text(const char *text, size_t length, void *data)
{
        g_string_append_len(data, text, (gssize)length);
        return 0;
}

static void drop_source(GSource **source)
{
        if (*source)
                g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
}

static void close_socket(JsonStream *stream)
{
        drop_source(&stream->reader);
        g_mutex_lock(&stream->mutex);
        drop_source(&stream->writer);
        g_queue_clear_full(&stream->chunks, (GDestroyNotify)chunk_free);
        drop_fd(&stream->fd);
        g_mutex_unlock(&stream->mutex);
}

static void drop_parse(JsonStream *stream)
{
        if (stream->parse)
                json_parse_abandon(stream->parse);
        stream->parse = NULL;
        g_clear_pointer(&stream->leftover, g_byte_array_unref);
}

static void destroy(JsonStream *stream)
{
        close_socket(stream);
        drop_parse(stream);
        json_splitter_free(stream->splitter);
        g_clear_error(&stream->reason);
        g_main_context_unref(stream->context);
        g_mutex_clear(&stream->mutex);
        g_free(stream);
}

static void on_parsed(json_t *value, const GError *error, void *data);

static bool pass_small(JsonStream *stream, const GString *text, GError **error)
{
        json_t *value = json_text_parse(text, error);
        if (!value)
                return false;
        stream->value(stream, value, stream->data);
        json_decref(value);
        return true;
}

/* Passes on the values in @bytes, up to a large one: that is parsed elsewhere first. */
static bool work_off(JsonStream *stream, const char *bytes, gsize length, GError **error)
{
        for (const char *at = bytes, *end = bytes + length; at < end && !stream->freed;) {
                g_autoptr(GString) text = NULL;
                if (!json_splitter_cut(stream->splitter, &at, end, &text, error))
                        return false;
                if (text && text->len > LARGE_BYTES) {
                        stream->leftover = g_byte_array_new();
                        g_byte_array_append(stream->leftover, (const guint8 *)at, (guint)(end - at));
                        stream->parse = json_parse_start(g_steal_pointer(&text), stream->context, on_parsed, stream);
                        return true;
                }
                if (text && !pass_small(stream, text, error))
                        return false;
        }
        return true;
}

/* Reads and passes on what is there. False with the reason when nothing more will come. */
static bool read_some(JsonStream *stream, GError **error)
{
        char bytes[READ_BYTES];
        ssize_t count = recv(stream->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
                return true;
        if (count < 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "read: %s", g_strerror(errno));
        if (count == 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the other end closed the connection");
        g_mutex_lock(&stream->mutex);
        stream->read_ms = clock_monotonic_ms();
        g_mutex_unlock(&stream->mutex);
        return work_off(stream, bytes, (gsize)count, error);
}

static void report_closed(JsonStream *stream, GError *reason_taken)
{
        g_mutex_lock(&stream->mutex);
        give_up(stream, reason_taken);
        g_mutex_unlock(&stream->mutex);
        close_socket(stream);
        stream->closed(stream, stream->reason, stream->data);
}

static gboolean read_ready(gint fd, GIOCondition condition, gpointer data);

/* Reads on, unless paused or closed or while a parse is under way. */
static void watch_for_input(JsonStream *stream)
{
        bool wanted = !stream->paused && !stream->parse && stream->fd >= 0;
        if (!wanted)
                drop_source(&stream->reader);
        if (!wanted || stream->reader)
                return;
        stream->reader = g_unix_fd_source_new(stream->fd, G_IO_IN);
        g_source_set_callback(stream->reader, G_SOURCE_FUNC(read_ready), stream, NULL);
        g_source_attach(stream->reader, stream->context);
}

/* After a turn of reading and calling back: closes, frees or reads on, as they left it. @reason_taken: NULL, it goes
 * on. */
static void end_turn(JsonStream *stream, GError *reason_taken)
{
        if (reason_taken && !stream->freed)
                report_closed(stream, g_steal_pointer(&reason_taken));
        g_clear_error(&reason_taken);
        stream->in_callback = false;
        if (stream->freed)
                destroy(stream);
        else
                watch_for_input(stream);
}

static gboolean read_ready(gint fd, GIOCondition condition, gpointer data)
{
        JsonStream *stream = data;
        GError *reason = NULL;
        stream->in_callback = true;
        read_some(stream, &reason);
        end_turn(stream, reason);
        return G_SOURCE_CONTINUE;
}

static void on_parsed(json_t *value, const GError *error, void *data)
{
        JsonStream *stream = data;
        g_autoptr(GByteArray) leftover = g_steal_pointer(&stream->leftover);
        GError *reason = error ? g_error_copy(error) : NULL;
        stream->parse = NULL;
        stream->in_callback = true;
        if (value)
                stream->value(stream, value, stream->data);
        if (value && !stream->freed)
                work_off(stream, (const char *)leftover->data, leftover->len, &reason);
        end_turn(stream, reason);
}

JsonStream *json_stream_new(int fd_taken, gsize limit_bytes, GMainContext *context, JsonStreamValueFunc value,
                            JsonStreamClosedFunc closed, void *data)
{
        JsonStream *stream = g_new0(JsonStream, 1);
        stream->context = g_main_context_ref(context ? context : g_main_context_default());
        stream->splitter = json_splitter_new(limit_bytes);
        stream->value = value;
        stream->closed = closed;
        stream->data = data;
        stream->fd = fd_taken;
        stream->read_ms = clock_monotonic_ms();
        g_mutex_init(&stream->mutex);
        g_queue_init(&stream->chunks);
        watch_for_input(stream);
        return stream;
}

/* Mutex held. */
static bool enqueue(JsonStream *stream, Chunk *chunk_taken, GError **error)
{
        if (stream->reason) {
                chunk_free(chunk_taken);
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the connection is closed: %s",
                                 stream->reason->message);
        }
        g_queue_push_tail(&stream->chunks, chunk_taken);
        stream->queued_bytes += chunk_taken->length;
        GError *fault = NULL;
        bool sent = flush(stream, &fault);
        if (sent && stream->queued_bytes > QUEUE_LIMIT_BYTES)
                sent = error_set(&fault, HOSTLER_ERROR_UNRESPONSIVE, NULL,
                                 "the other end reads nothing: over %d bytes wait for it", QUEUE_LIMIT_BYTES);
        if (!sent) {
                g_propagate_error(error, g_error_copy(fault));
                give_up(stream, fault);
                return false;
        }
        watch_for_room(stream);
        return true;
}

bool json_stream_send(JsonStream *stream, const json_t *value, const char *prefix, int fd, GError **error)
{
        g_autoptr(GString) line = g_string_new(prefix);
        json_dump_callback(value, append_text, line, JSON_COMPACT);
        g_string_append_c(line, '\n');
        Chunk *chunk = g_new0(Chunk, 1);
        chunk->length = line->len;
        chunk->bytes = g_string_free(g_steal_pointer(&line), FALSE);
        chunk->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
        g_mutex_lock(&stream->mutex);
        bool sent = enqueue(stream, chunk, error);
        g_mutex_unlock(&stream->mutex);
        return sent;
}

void json_stream_skip_to_sentinel(JsonStream *stream)
{
        json_splitter_skip_to_sentinel(stream->splitter);
        drop_parse(stream);
        watch_for_input(stream);
}

void json_stream_pause(JsonStream *stream, bool paused)
{
        stream->paused = paused;
        watch_for_input(stream);
}

int64_t json_stream_idle_ms(JsonStream *stream)
{
        g_mutex_lock(&stream->mutex);
        int64_t idle_ms = clock_monotonic_ms() - stream->read_ms;
        g_mutex_unlock(&stream->mutex);
        return idle_ms;
}

void json_stream_free(JsonStream *stream)
{
        if (!stream)
                return;
        stream->freed = true;
        if (stream->in_callback)
                close_socket(stream); /* read_ready() above us destroys the rest */
        else
                destroy(stream);
}
