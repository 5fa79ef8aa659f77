/*
 * The server: puts listener, connections and libsoup together, and takes each complete request through the gates in
 * this order: origin, role, path, method, role for the verb, arguments. What runs behind them is dispatch.c's. The
 * daemon owns the one server.
 *
 * Bodies are limited while they arrive: libsoup would read a refused body to its end, so such a connection is answered
 * directly and ended. A request that is not HTTP at all gets libsoup's bare 400.
 */
#include "api/server.h"

#include <glib-unix.h>
#include <signal.h>
#include <sys/socket.h>

#include "api/bridge.h"
#include "api/dispatch.h"
#include "api/events.h"
#include "api/pages.h"
#include "api/poll.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

#define SWEEP_MS 1000
#define STOP_MS 500 /* for streams' last words */

/* ---- while a request arrives ---- */

/* libsoup takes a message that has a status for answered and calls no handler. */
static void refuse_body(SoupServerMessage *message)
{
        g_autoptr(GError) error = NULL;

        error_set(&error, HOSTLER_ERROR_TOO_LARGE, NULL, "the body is over 1 MiB");
        Reply reply = reply_problem(error, 0);
        soup_server_message_set_status(message, reply.status, NULL);
        soup_message_body_set_accumulate(soup_server_message_get_request_body(message), false);
        connection_refuse(connection_of(soup_server_message_get_remote_address(message)), &reply);
}

static void on_got_headers(SoupServerMessage *message, void *data)
{
        SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);

        /* libsoup would cut any answer into pieces by itself, as many as it is asked for. */
        soup_message_headers_remove(headers, "Range");
        if (soup_message_headers_get_content_length(headers) > REQUEST_BODY_LIMIT)
                refuse_body(message);
}

static void on_got_chunk(SoupServerMessage *message, GBytes *chunk, void *data)
{
        if (soup_server_message_get_status(message) == 0 &&
            soup_server_message_get_request_body(message)->length > REQUEST_BODY_LIMIT)
                refuse_body(message);
}

static void on_wrote_data(SoupServerMessage *message, guint bytes, void *data)
{
        Connection *connection = data;

        connection_progress(connection);
}

static void on_request_started(SoupServer *soup, SoupServerMessage *message, void *data)
{
        Connection *connection = connection_of(soup_server_message_get_remote_address(message));

        connection_enter(connection, CONNECTION_READING);
        g_signal_connect(message, "got-headers", G_CALLBACK(on_got_headers), NULL);
        g_signal_connect(message, "got-chunk", G_CALLBACK(on_got_chunk), NULL);
        g_signal_connect(message, "wrote-body-data", G_CALLBACK(on_wrote_data), connection);
}

/* ---- a complete request ---- */

static bool check_origin(Exchange *exchange, GError **error)
{
        const char *origin = exchange_header(exchange, "Origin");

        if (!origin || g_strcmp0(origin, exchange->server->hooks.origin) == 0)
                return true;
        return error_set(error, HOSTLER_ERROR_DENIED, NULL,
                         "requests of web pages from elsewhere are not answered here");
}

static bool wants_event_stream(Exchange *exchange)
{
        const char *accept = exchange_header(exchange, "Accept");

        return g_str_equal(exchange->route.decl->id, "event.ls") && accept && strstr(accept, "text/event-stream");
}

static bool read_request(Exchange *exchange, GError **error)
{
        SoupMessageBody *body = soup_server_message_get_request_body(exchange->message);
        g_autoptr(GBytes) bytes = soup_message_body_flatten(body);
        RequestText text = {
            .method = exchange->route.decl->method,
            .query = g_uri_get_query(soup_server_message_get_uri(exchange->message)),
            .content_type = exchange_header(exchange, "Content-Type"),
            .if_match = exchange_header(exchange, "If-Match"),
            .idempotency_key = exchange_header(exchange, "Idempotency-Key"),
            .body = g_bytes_get_data(bytes, NULL),
            .body_length = g_bytes_get_size(bytes),
        };

        return request_read(&exchange->route, &text, &exchange->request, error);
}

static bool find_verb(Exchange *exchange, const char *method, const char *path, GError **error)
{
        if (!route_find(hostler_verbs, method, path, &exchange->route, error))
                return false;
        if (wants_event_stream(exchange))
                exchange->route.decl = verb_find("event", "watch");
        return auth_check(&exchange->caller, exchange->route.decl->role, exchange->route.decl->id, error) &&
               read_request(exchange, error);
}

static void answer(Exchange *exchange, const char *method, const char *path)
{
        g_autoptr(GError) error = NULL;

        if (!check_origin(exchange, &error) || !auth_check(&exchange->caller, ROLE_VIEWER, "this daemon", &error)) {
                exchange_fail(exchange, error);
                return;
        }
        const Page *page = g_str_equal(method, "GET") ? page_find(path) : NULL;
        if (page) {
                page->show(exchange);
                return;
        }
        if (find_verb(exchange, method, path, &error)) {
                dispatch(exchange);
                return;
        }
        exchange->reply = reply_problem(error, exchange->route.allow ? SOUP_STATUS_METHOD_NOT_ALLOWED : 0);
        exchange->reply.allow = g_strdup(exchange->route.allow);
        exchange_reply(exchange);
}

static void on_request(SoupServer *soup, SoupServerMessage *message, const char *path, GHashTable *query, void *data)
{
        ApiServer *server = data;
        Exchange *exchange = exchange_new(server, message);
        g_autoptr(GError) error = NULL;

        connection_enter(exchange->connection, CONNECTION_SERVING);
        if (!server->stopping) {
                answer(exchange, soup_server_message_get_method(message), path);
                return;
        }
        error_set(&error, HOSTLER_ERROR_UNREACHABLE, NULL, "the daemon is stopping");
        exchange_fail(exchange, error);
}

/* ---- the server ---- */

static void on_accepted(int fd_taken, void *data)
{
        ApiServer *server = data;

        connections_accept(server->connections, fd_taken);
}

static void on_full(void *data)
{
        ApiServer *server = data;

        connections_evict(server->connections);
}

static void on_ready(GIOStream *stream, GSocketAddress *address, void *data)
{
        ApiServer *server = data;

        soup_server_accept_iostream(server->soup, stream, address, address, NULL);
}

static gboolean on_sweep(void *data)
{
        ApiServer *server = data;

        connections_sweep(server->connections);
        return G_SOURCE_CONTINUE;
}

static GSource *sweep_new(ApiServer *server)
{
        GSource *sweep = g_timeout_source_new(SWEEP_MS);

        g_source_set_callback(sweep, on_sweep, server, NULL);
        g_source_attach(sweep, server->context);
        return sweep;
}

ApiServer *api_server_new(const ApiHooks *hooks, const char *socket_path, GError **error)
{
        ApiServer *server = g_new0(ApiServer, 1);
        bool shared = hooks->auth.system_mode && hooks->auth.operators != AUTH_NO_GROUP;

        signal(SIGPIPE, SIG_IGN);
        server->hooks = *hooks;
        server->context = g_main_context_ref_thread_default();
        server->soup = soup_server_new("raw-paths", true, NULL);
        server->connections = connections_new(&hooks->auth, server->context, on_ready, server);
        server->workers = g_thread_pool_new(exchange_work, NULL, API_CALLS, false, NULL);
        server->sweep = sweep_new(server);
        server->polls = polls_new(server);
        server->streams = event_streams_new(server);
        server->bridges = bridges_new(server);
        g_signal_connect(server->soup, "request-started", G_CALLBACK(on_request_started), NULL);
        soup_server_add_handler(server->soup, NULL, on_request, server, NULL);

        server->listener =
            listener_open(socket_path, shared ? 0660 : 0600, shared ? hooks->auth.operators : AUTH_NO_GROUP,
                          server->context, on_accepted, on_full, server, error);
        if (!server->listener)
                g_clear_pointer(&server, api_server_free);
        return server;
}

/* Ends calls and streams in the way they expect, letting the context run meanwhile. */
static void wind_down(ApiServer *server)
{
        int64_t deadline_ms = clock_monotonic_ms() + STOP_MS;

        server->stopping = true;
        for (GList *item = server->exchanges.head; item; item = item->next)
                g_cancellable_cancel(((Exchange *)item->data)->cancellable);
        bridges_stop(server->bridges);
        while (server->running > 0 || (!bridges_are_idle(server->bridges) && clock_monotonic_ms() < deadline_ms))
                g_main_context_iteration(server->context, true);
}

void api_server_free(ApiServer *server)
{
        if (!server)
                return;
        listener_close(server->listener);
        wind_down(server);
        polls_free(server->polls);
        event_streams_free(server->streams);
        bridges_free(server->bridges);
        g_thread_pool_free(server->workers, false, true);
        g_source_destroy(server->sweep);
        g_source_unref(server->sweep);
        soup_server_disconnect(server->soup);
        g_object_unref(server->soup);
        connections_free(server->connections);
        g_main_context_unref(server->context);
        g_free(server);
}
