/*
 * Streams of bytes, a serial console's or a screen's: a WebSocket (RFC 6455) to the daemon, shown to the caller as one
 * end of a socket pair. A thread of its own carries the bytes, so that the caller may block as it likes. Called by
 * hostler_console_attach(), hostler_vnc_attach(), `hostler console` and `hostler vnc`.
 */
#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "client/transport.h"

enum {
        PIECE_BYTES = 16384,
        PAYLOAD_LIMIT_BYTES = 1 << 20,
};

struct HostlerStream {
        HostlerClient *client;
        char *target;
        GThread *thread;
        GMainContext *context;
        GMainLoop *loop;
        SoupWebsocketConnection *socket;
        GSource *input;
        int fd;                /* the thread's end of the pair */
        GAsyncQueue *attached; /* one GError, or the stream itself when all is well */
        char *reason;
};

static gpointer stream_thread(gpointer data);
static void on_connected(GObject *source, GAsyncResult *result, gpointer data);
static GError *refusal(HostlerStream *stream, SoupSession *session, GError *error_taken);
static void on_message(SoupWebsocketConnection *socket, int type, GBytes *message, HostlerStream *stream);
static void on_closed(SoupWebsocketConnection *socket, HostlerStream *stream);
static gboolean on_input(int fd, GIOCondition condition, gpointer data);
static gboolean on_detach(gpointer data);
static void stream_free(HostlerStream *stream);

static HostlerStream *stream_new(HostlerClient *client, const VerbDecl *verb, const json_t *args, int *ret_fd,
                                 GError **error)
{
        g_auto(ClientRequest) request = {0};
        int pair[2];

        if (!client_request_build(verb, args, false, &request, error))
                return NULL;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "cannot make a socket: %s", g_strerror(errno));
                return NULL;
        }
        HostlerStream *stream = g_new0(HostlerStream, 1);
        stream->client = client;
        stream->target = g_steal_pointer(&request.target);
        stream->context = g_main_context_new();
        stream->loop = g_main_loop_new(stream->context, false);
        stream->attached = g_async_queue_new();
        stream->fd = pair[0];
        *ret_fd = pair[1];
        return stream;
}

HostlerStream *client_stream_attach(HostlerClient *client, const VerbDecl *verb, const json_t *args, int *ret_fd,
                                    GError **error)
{
        HostlerStream *stream = stream_new(client, verb, args, ret_fd, error);

        if (!stream)
                return NULL;
        stream->thread = g_thread_new("stream", stream_thread, stream);
        gpointer outcome = g_async_queue_pop(stream->attached);
        if (outcome == stream)
                return stream;

        g_propagate_error(error, outcome);
        close(*ret_fd);
        stream_free(stream);
        return NULL;
}

void client_stream_close(HostlerStream *stream, char **ret_reason)
{
        /* Wakes a thread that waits for a reader who will not come. */
        shutdown(stream->fd, SHUT_RDWR);
        g_main_context_invoke_full(stream->context, G_PRIORITY_DEFAULT, on_detach, stream, NULL);
        g_thread_join(g_steal_pointer(&stream->thread));
        if (ret_reason)
                *ret_reason = g_steal_pointer(&stream->reason);
        stream_free(stream);
}

static void stream_free(HostlerStream *stream)
{
        if (stream->thread)
                g_thread_join(stream->thread);
        g_main_loop_unref(stream->loop);
        g_main_context_unref(stream->context);
        g_async_queue_unref(stream->attached);
        close(stream->fd);
        g_free(stream->reason);
        g_free(stream->target);
        g_free(stream);
}

static gpointer stream_thread(gpointer data)
{
        HostlerStream *stream = data;
        g_autofree char *uri = g_strconcat("ws://localhost", stream->target, NULL);

        g_main_context_push_thread_default(stream->context);
        SoupSession *session =
            soup_session_new_with_options("remote-connectable", stream->client->address, "proxy-resolver", NULL,
                                          "timeout", 0, "idle-timeout", 0, NULL);
        SoupMessage *message = soup_message_new("GET", uri);
        soup_session_websocket_connect_async(session, message, NULL, NULL, G_PRIORITY_DEFAULT, NULL, on_connected,
                                             stream);
        g_main_loop_run(stream->loop);

        if (stream->input) {
                g_source_destroy(stream->input);
                g_clear_pointer(&stream->input, g_source_unref);
        }
        g_clear_object(&stream->socket);
        g_object_unref(message);
        soup_session_abort(session);
        g_object_unref(session);
        g_main_context_pop_thread_default(stream->context);
        return NULL;
}

static void on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
        HostlerStream *stream = data;
        GError *error = NULL;

        stream->socket = soup_session_websocket_connect_finish(SOUP_SESSION(source), result, &error);
        if (!stream->socket) {
                g_async_queue_push(stream->attached, refusal(stream, SOUP_SESSION(source), error));
                g_main_loop_quit(stream->loop);
                return;
        }
        soup_websocket_connection_set_max_incoming_payload_size(stream->socket, PAYLOAD_LIMIT_BYTES);
        g_signal_connect(stream->socket, "message", G_CALLBACK(on_message), stream);
        g_signal_connect(stream->socket, "closed", G_CALLBACK(on_closed), stream);
        stream->input = g_unix_fd_source_new(stream->fd, G_IO_IN | G_IO_HUP);
        g_source_set_callback(stream->input, G_SOURCE_FUNC(on_input), stream, NULL);
        g_source_attach(stream->input, stream->context);
        g_async_queue_push(stream->attached, stream);
}

/* libsoup throws away what a refused handshake carries, so the same address is asked once more without one. */
static GError *refusal(HostlerStream *stream, SoupSession *session, GError *error_taken)
{
        g_autoptr(SoupMessage) message = client_message(stream->client, "GET", stream->target);
        g_autoptr(GBytes) body = soup_session_send_and_read(session, message, NULL, NULL);
        GError *error = NULL;

        if (body && soup_message_get_status(message) >= 400) {
                g_autofree char *text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));

                g_error_free(error_taken);
                client_problem(soup_message_get_status(message), text, &error);
                return error;
        }
        error = error_taken;
        client_transport_error(stream->client, &error);
        return error;
}

/* Blocks while nobody reads: then the WebSocket is not read either, and the daemon holds back. */
static void on_message(SoupWebsocketConnection *socket, int type, GBytes *message, HostlerStream *stream)
{
        gsize length;
        const char *bytes = g_bytes_get_data(message, &length);

        while (length > 0) {
                ssize_t sent = send(stream->fd, bytes, length, MSG_NOSIGNAL);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent <= 0)
                        return;
                bytes += sent;
                length -= (gsize)sent;
        }
}

static void on_closed(SoupWebsocketConnection *socket, HostlerStream *stream)
{
        const char *text = soup_websocket_connection_get_close_data(socket);
        unsigned code = soup_websocket_connection_get_close_code(socket);

        if (text && *text)
                stream->reason = g_strdup(text);
        else if (code != SOUP_WEBSOCKET_CLOSE_NORMAL)
                stream->reason = g_strdup(code ? "the other end has closed" : "the connection to the daemon broke");
        shutdown(stream->fd, SHUT_RDWR);
        g_main_loop_quit(stream->loop);
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
        HostlerStream *stream = data;
        char piece[PIECE_BYTES];
        ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return G_SOURCE_CONTINUE;
        if (got <= 0)
                return G_SOURCE_REMOVE;
        if (soup_websocket_connection_get_state(stream->socket) == SOUP_WEBSOCKET_STATE_OPEN)
                soup_websocket_connection_send_binary(stream->socket, piece, (gsize)got);
        return G_SOURCE_CONTINUE;
}

static gboolean on_give_up(gpointer data)
{
        g_main_loop_quit(((HostlerStream *)data)->loop);
        return G_SOURCE_REMOVE;
}

/* A closing handshake is polite; a daemon that does not answer it is left after a moment. */
static gboolean on_detach(gpointer data)
{
        HostlerStream *stream = data;

        if (!stream->socket || soup_websocket_connection_get_state(stream->socket) != SOUP_WEBSOCKET_STATE_OPEN) {
                g_main_loop_quit(stream->loop);
                return G_SOURCE_REMOVE;
        }
        soup_websocket_connection_close(stream->socket, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
        g_autoptr(GSource) limit = g_timeout_source_new(1000);
        g_source_set_callback(limit, on_give_up, stream, NULL);
        g_source_attach(limit, stream->context);
        return G_SOURCE_REMOVE;
}
