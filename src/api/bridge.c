/*
 * Bridges between WebSockets and streams of bytes. libsoup queues without limit, so bytes wait here and are handed over
 * a piece at a time, only while the socket can take more. What is at the other end of a stream, the hooks know.
 * dispatch.c hands the exchanges over.
 */
#include "api/bridge.h"

#include "base/error.h"

#define PIECE (32 * 1024)
#define HOLD_ABOVE (256 * 1024) /* bytes queued; a stream that can wait waits then */
#define KEEPALIVE_S 30
#define REASON_LIMIT 120 /* bytes; a close frame holds 123 */

typedef struct {
        ApiServer *server;
        Exchange *exchange; /* until the upgrade is done */
        ByteStream *stream;
        bool held;                       /* the stream waits until the queue is empty */
        SoupWebsocketConnection *socket; /* NULL until then */
        GSocketAddress *address;         /* keeps the connection in the account */
        GByteArray *queue;               /* from the stream */
        GSource *writable;               /* while there is a queue */
        char *ending;                    /* why to close once the queue is empty */
        GList link;
} Bridge;

struct Bridges {
        GQueue all; /* Bridge */
};

static void bridge_free(Bridge *bridge)
{
        g_queue_unlink(&bridge->server->bridges->all, &bridge->link);
        if (bridge->stream)
                bridge->stream->ops->detach(bridge->stream);
        if (bridge->writable)
                g_source_destroy(bridge->writable);
        g_clear_pointer(&bridge->writable, g_source_unref);
        if (bridge->socket)
                g_signal_handlers_disconnect_by_data(bridge->socket, bridge);
        g_clear_object(&bridge->socket);
        g_byte_array_unref(bridge->queue);
        g_object_unref(bridge->address);
        g_free(bridge->ending);
        g_free(bridge);
}

static Connection *bridge_connection(Bridge *bridge)
{
        return connection_of(bridge->address);
}

static void close_socket(Bridge *bridge, gushort code, const char *reason)
{
        g_autofree char *text = g_utf8_make_valid(reason ? reason : "the other end has closed", -1);
        g_autofree char *cut = g_strndup(text, REASON_LIMIT);
        g_autofree char *valid = g_str_to_ascii(cut, "C");

        if (soup_websocket_connection_get_state(bridge->socket) == SOUP_WEBSOCKET_STATE_OPEN)
                soup_websocket_connection_close(bridge->socket, code, valid);
}

static void hold(Bridge *bridge, bool on)
{
        bridge->held = on;
        bridge->stream->ops->hold(bridge->stream, on);
}

static gboolean send_piece(GSocket *socket, GIOCondition condition, void *data)
{
        Bridge *bridge = data;
        guint length = MIN(bridge->queue->len, PIECE);

        if (length > 0 && soup_websocket_connection_get_state(bridge->socket) == SOUP_WEBSOCKET_STATE_OPEN)
                soup_websocket_connection_send_binary(bridge->socket, bridge->queue->data, length);
        g_byte_array_remove_range(bridge->queue, 0, length);
        if (bridge->queue->len > 0)
                return G_SOURCE_CONTINUE;
        g_clear_pointer(&bridge->writable, g_source_unref);
        if (bridge->ending)
                close_socket(bridge, SOUP_WEBSOCKET_CLOSE_NORMAL, bridge->ending);
        else if (bridge->held)
                hold(bridge, false);
        return G_SOURCE_REMOVE;
}

static void write_soon(Bridge *bridge)
{
        if (bridge->writable || !bridge->socket)
                return;
        bridge->writable = g_socket_create_source(connection_socket(bridge_connection(bridge)), G_IO_OUT, NULL);
        g_source_set_callback(bridge->writable, G_SOURCE_FUNC(send_piece), bridge, NULL);
        g_source_attach(bridge->writable, bridge->server->context);
}

static void on_stream_bytes(const void *bytes, gsize length, void *data)
{
        Bridge *bridge = data;

        if (bridge->queue->len + length > BRIDGE_QUEUE_LIMIT) {
                connection_cut(bridge_connection(bridge));
                return;
        }
        g_byte_array_append(bridge->queue, bytes, (guint)length);
        write_soon(bridge);
        if (bridge->queue->len >= HOLD_ABOVE && bridge->stream && bridge->stream->ops->hold && !bridge->held)
                hold(bridge, true);
}

static void on_stream_closed(const char *reason, void *data)
{
        Bridge *bridge = data;

        g_free(bridge->ending);
        bridge->ending = g_strdup(reason ? reason : "the other end has closed");
        write_soon(bridge);
}

static void on_message(SoupWebsocketConnection *socket, gint type, GBytes *message, void *data)
{
        Bridge *bridge = data;
        gsize length;
        const void *bytes = g_bytes_get_data(message, &length);

        if (length > 0 && !bridge->ending)
                bridge->stream->ops->write(bridge->stream, bytes, length);
}

static void on_socket_closed(SoupWebsocketConnection *socket, void *data)
{
        bridge_free(data);
}

/* 101 has been written: from here on the connection carries frames. */
static void on_upgraded(SoupServerMessage *message, void *data)
{
        Bridge *bridge = data;
        g_autoptr(GIOStream) stream = soup_server_message_steal_connection(message);
        Exchange *exchange = g_steal_pointer(&bridge->exchange);

        bridge->socket = soup_websocket_connection_new(stream, soup_server_message_get_uri(message),
                                                       SOUP_WEBSOCKET_CONNECTION_SERVER, NULL, NULL, NULL);
        soup_websocket_connection_set_max_incoming_payload_size(bridge->socket, BRIDGE_MESSAGE_LIMIT);
        soup_websocket_connection_set_keepalive_interval(bridge->socket, KEEPALIVE_S);
        g_signal_connect(bridge->socket, "message", G_CALLBACK(on_message), bridge);
        g_signal_connect(bridge->socket, "closed", G_CALLBACK(on_socket_closed), bridge);
        exchange_release(exchange);
        if (bridge->queue->len > 0 || bridge->ending)
                write_soon(bridge);
}

/* The client has gone before the upgrade was done. */
static void on_finished(SoupServerMessage *message, void *data)
{
        Bridge *bridge = data;
        Exchange *exchange = g_steal_pointer(&bridge->exchange);

        if (!exchange)
                return;
        bridge_free(bridge);
        exchange_release(exchange);
}

static bool check_upgrade(const Exchange *exchange, GError **error)
{
        if (soup_websocket_server_check_handshake(exchange->message, NULL, NULL, NULL, NULL))
                return true;
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "this is a WebSocket, and the request does not ask for one");
        return error_hint(error, "Use `hostler %s`, or a WebSocket client.", exchange->route.decl->name);
}

static Bridge *bridge_new(Exchange *exchange)
{
        Bridge *bridge = g_new(Bridge, 1);

        *bridge = (Bridge){
            .server = exchange->server,
            .exchange = exchange,
            .address = g_object_ref(soup_server_message_get_remote_address(exchange->message)),
            .queue = g_byte_array_new(),
            .link = {.data = bridge},
        };
        g_queue_push_tail_link(&exchange->server->bridges->all, &bridge->link);
        return bridge;
}

/* A client whose upgrade was refused asks again plainly to learn why (libsoup gives it no body), so the VM is looked at
 * first. */
static bool attach(Bridge *bridge, GError **error)
{
        const ApiHooks *hooks = &bridge->server->hooks;
        const Exchange *exchange = bridge->exchange;
        ByteSink sink = {.bytes = on_stream_bytes, .closed = on_stream_closed, .data = bridge};

        return hooks->stream_attach(hooks->manager, exchange->route.decl, exchange->request.args, &sink,
                                    &bridge->stream, error) &&
               check_upgrade(exchange, error);
}

void bridge_start(Exchange *exchange)
{
        Bridge *bridge = bridge_new(exchange);
        g_autoptr(GError) error = NULL;

        if (!attach(bridge, &error)) {
                bridge_free(bridge);
                exchange_fail(exchange, error);
                return;
        }
        soup_websocket_server_process_handshake(exchange->message, NULL, NULL, NULL, NULL);
        g_signal_connect(exchange->message, "wrote-informational", G_CALLBACK(on_upgraded), bridge);
        g_signal_connect(exchange->message, "finished", G_CALLBACK(on_finished), bridge);
        soup_server_message_unpause(exchange->message);
}

Bridges *bridges_new(ApiServer *server)
{
        return g_new0(Bridges, 1);
}

void bridges_stop(Bridges *bridges)
{
        for (GList *item = bridges->all.head; item; item = item->next) {
                Bridge *bridge = item->data;
                if (bridge->socket)
                        close_socket(bridge, SOUP_WEBSOCKET_CLOSE_GOING_AWAY, "the daemon is stopping");
        }
}

bool bridges_are_idle(Bridges *bridges)
{
        return bridges->all.length == 0;
}

void bridges_free(Bridges *bridges)
{
        while (bridges->all.head) {
                Bridge *bridge = bridges->all.head->data;
                Exchange *exchange = bridge->exchange;
                if (exchange)
                        g_signal_handlers_disconnect_by_data(exchange->message, bridge);
                bridge_free(bridge);
                if (exchange)
                        exchange_release(exchange);
        }
        g_free(bridges);
}
