/*
 * The serial console: a WebSocket (RFC 6455) to the daemon, shown to the caller as one end of a socket pair. A thread
 * of its own carries the bytes, so that the caller may block as it likes. Called by hostler_console_attach() and
 * `hostler console`.
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

struct HostlerConsole {
        HostlerClient *client;
        char *target;
        GThread *thread;
        GMainContext *context;
        GMainLoop *loop;
        SoupWebsocketConnection *socket;
        GSource *input;
        int fd;                /* the thread's end of the pair */
        GAsyncQueue *attached; /* one GError, or the console itself when all is well */
        char *reason;
};

static gpointer console_thread(gpointer data);
static void on_connected(GObject *source, GAsyncResult *result, gpointer data);
static GError *refusal(HostlerConsole *console, SoupSession *session, GError *error_taken);
static void on_message(SoupWebsocketConnection *socket, int type, GBytes *message, HostlerConsole *console);
static void on_closed(SoupWebsocketConnection *socket, HostlerConsole *console);
static gboolean on_input(int fd, GIOCondition condition, gpointer data);
static gboolean on_detach(gpointer data);
static void console_free(HostlerConsole *console);

static HostlerConsole *console_new(HostlerClient *client, const char *vm, int *ret_fd, GError **error)
{
        const VerbDecl *verb = verb_find("vm", "console");
        json_auto_t *args = json_pack("{s:s}", "vm", vm);
        g_auto(ClientRequest) request = {0};
        int pair[2];

        if (!client_request_build(verb, args, false, &request, error))
                return NULL;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "cannot make a socket: %s", g_strerror(errno));
                return NULL;
        }
        HostlerConsole *console = g_new0(HostlerConsole, 1);
        console->client = client;
        console->target = g_steal_pointer(&request.target);
        console->context = g_main_context_new();
        console->loop = g_main_loop_new(console->context, false);
        console->attached = g_async_queue_new();
        console->fd = pair[0];
        *ret_fd = pair[1];
        return console;
}

HostlerConsole *client_console_attach(HostlerClient *client, const char *vm, int *ret_fd, GError **error)
{
        HostlerConsole *console = console_new(client, vm, ret_fd, error);

        if (!console)
                return NULL;
        console->thread = g_thread_new("console", console_thread, console);
        gpointer outcome = g_async_queue_pop(console->attached);
        if (outcome == console)
                return console;

        g_propagate_error(error, outcome);
        close(*ret_fd);
        console_free(console);
        return NULL;
}

void client_console_close(HostlerConsole *console, char **ret_reason)
{
        /* Wakes a thread that waits for a reader who will not come. */
        shutdown(console->fd, SHUT_RDWR);
        g_main_context_invoke_full(console->context, G_PRIORITY_DEFAULT, on_detach, console, NULL);
        g_thread_join(g_steal_pointer(&console->thread));
        if (ret_reason)
                *ret_reason = g_steal_pointer(&console->reason);
        console_free(console);
}

static void console_free(HostlerConsole *console)
{
        if (console->thread)
                g_thread_join(console->thread);
        g_main_loop_unref(console->loop);
        g_main_context_unref(console->context);
        g_async_queue_unref(console->attached);
        close(console->fd);
        g_free(console->reason);
        g_free(console->target);
        g_free(console);
}

static gpointer console_thread(gpointer data)
{
        HostlerConsole *console = data;
        g_autofree char *uri = g_strconcat("ws://localhost", console->target, NULL);

        g_main_context_push_thread_default(console->context);
        SoupSession *session =
            soup_session_new_with_options("remote-connectable", console->client->address, "proxy-resolver", NULL,
                                          "timeout", 0, "idle-timeout", 0, NULL);
        SoupMessage *message = soup_message_new("GET", uri);
        soup_session_websocket_connect_async(session, message, NULL, NULL, G_PRIORITY_DEFAULT, NULL, on_connected,
                                             console);
        g_main_loop_run(console->loop);

        if (console->input) {
                g_source_destroy(console->input);
                g_clear_pointer(&console->input, g_source_unref);
        }
        g_clear_object(&console->socket);
        g_object_unref(message);
        soup_session_abort(session);
        g_object_unref(session);
        g_main_context_pop_thread_default(console->context);
        return NULL;
}

static void on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
        HostlerConsole *console = data;
        GError *error = NULL;

        console->socket = soup_session_websocket_connect_finish(SOUP_SESSION(source), result, &error);
        if (!console->socket) {
                g_async_queue_push(console->attached, refusal(console, SOUP_SESSION(source), error));
                g_main_loop_quit(console->loop);
                return;
        }
        soup_websocket_connection_set_max_incoming_payload_size(console->socket, PAYLOAD_LIMIT_BYTES);
        g_signal_connect(console->socket, "message", G_CALLBACK(on_message), console);
        g_signal_connect(console->socket, "closed", G_CALLBACK(on_closed), console);
        console->input = g_unix_fd_source_new(console->fd, G_IO_IN | G_IO_HUP);
        g_source_set_callback(console->input, G_SOURCE_FUNC(on_input), console, NULL);
        g_source_attach(console->input, console->context);
        g_async_queue_push(console->attached, console);
}

/* libsoup throws away what a refused handshake carries, so the same address is asked once more without one. */
static GError *refusal(HostlerConsole *console, SoupSession *session, GError *error_taken)
{
        g_autoptr(SoupMessage) message = client_message(console->client, "GET", console->target);
        g_autoptr(GBytes) body = soup_session_send_and_read(session, message, NULL, NULL);
        GError *error = NULL;

        if (body && soup_message_get_status(message) >= 400) {
                g_autofree char *text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));

                g_error_free(error_taken);
                client_problem(soup_message_get_status(message), text, &error);
                return error;
        }
        error = error_taken;
        client_transport_error(console->client, &error);
        return error;
}

/* Blocks while nobody reads: then the WebSocket is not read either, and the daemon holds back. */
static void on_message(SoupWebsocketConnection *socket, int type, GBytes *message, HostlerConsole *console)
{
        gsize length;
        const char *bytes = g_bytes_get_data(message, &length);

        while (length > 0) {
                ssize_t sent = send(console->fd, bytes, length, MSG_NOSIGNAL);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent <= 0)
                        return;
                bytes += sent;
                length -= (gsize)sent;
        }
}

static void on_closed(SoupWebsocketConnection *socket, HostlerConsole *console)
{
        const char *text = soup_websocket_connection_get_close_data(socket);
        unsigned code = soup_websocket_connection_get_close_code(socket);

        if (text && *text)
                console->reason = g_strdup(text);
        else if (code != SOUP_WEBSOCKET_CLOSE_NORMAL)
                console->reason = g_strdup(code ? "the console was closed" : "the connection to the daemon broke");
        shutdown(console->fd, SHUT_RDWR);
        g_main_loop_quit(console->loop);
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
        HostlerConsole *console = data;
        char piece[PIECE_BYTES];
        ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return G_SOURCE_CONTINUE;
        if (got <= 0)
                return G_SOURCE_REMOVE;
        if (soup_websocket_connection_get_state(console->socket) == SOUP_WEBSOCKET_STATE_OPEN)
                soup_websocket_connection_send_binary(console->socket, piece, (gsize)got);
        return G_SOURCE_CONTINUE;
}

static gboolean on_give_up(gpointer data)
{
        g_main_loop_quit(((HostlerConsole *)data)->loop);
        return G_SOURCE_REMOVE;
}

/* A closing handshake is polite; a daemon that does not answer it is left after a moment. */
static gboolean on_detach(gpointer data)
{
        HostlerConsole *console = data;

        if (!console->socket || soup_websocket_connection_get_state(console->socket) != SOUP_WEBSOCKET_STATE_OPEN) {
                g_main_loop_quit(console->loop);
                return G_SOURCE_REMOVE;
        }
        soup_websocket_connection_close(console->socket, SOUP_WEBSOCKET_CLOSE_NORMAL, NULL);
        g_autoptr(GSource) limit = g_timeout_source_new(1000);
        g_source_set_callback(limit, on_give_up, console, NULL);
        g_source_attach(limit, console->context);
        return G_SOURCE_REMOVE;
}
