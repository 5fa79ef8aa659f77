/*
 * Moves a request between the main loop and the worker threads, and ends it in exactly one way. It does not know what
 * the work is; dispatch.c, poll.c, events.c and bridge.c do.
 */
#include "api/exchange.h"

#include "base/error.h"

static gboolean on_hangup(GSocket *socket, GIOCondition condition, void *data)
{
        Exchange *exchange = data;

        g_cancellable_cancel(exchange->cancellable);
        if (exchange->gone)
                exchange->gone(exchange);
        return G_SOURCE_REMOVE;
}

Exchange *exchange_new(ApiServer *server, SoupServerMessage *message)
{
        Exchange *exchange = g_new(Exchange, 1);
        Connection *connection = connection_of(soup_server_message_get_remote_address(message));

        *exchange = (Exchange){
            .server = server,
            .message = g_object_ref(message),
            .connection = connection,
            .caller = *connection_caller(connection),
            .cancellable = g_cancellable_new(),
            .hangup = g_socket_create_source(connection_socket(connection), G_IO_HUP, NULL),
        };
        exchange->link.data = exchange;
        g_queue_push_tail_link(&server->exchanges, &exchange->link);
        g_source_set_callback(exchange->hangup, G_SOURCE_FUNC(on_hangup), exchange, NULL);
        g_source_attach(exchange->hangup, server->context);
        soup_server_message_pause(message);
        return exchange;
}

void exchange_release(Exchange *exchange)
{
        g_queue_unlink(&exchange->server->exchanges, &exchange->link);
        g_source_destroy(exchange->hangup);
        g_source_unref(exchange->hangup);
        if (exchange->route.decl)
                request_clear(exchange->route.decl, &exchange->request);
        route_clear(&exchange->route);
        reply_clear(&exchange->reply);
        g_object_unref(exchange->cancellable);
        g_object_unref(exchange->message);
        g_free(exchange);
}

void exchange_reply(Exchange *exchange)
{
        reply_send(&exchange->reply, exchange->message);
        connection_enter(exchange->connection, CONNECTION_WRITING);
        soup_server_message_unpause(exchange->message);
        exchange_release(exchange);
}

void exchange_fail(Exchange *exchange, const GError *error)
{
        reply_clear(&exchange->reply);
        exchange->reply = reply_problem(error, 0);
        exchange_reply(exchange);
}

static gboolean on_done(void *data)
{
        Exchange *exchange = data;

        exchange->server->running--;
        exchange->done(exchange);
        return G_SOURCE_REMOVE;
}

/* The idle source, unlike g_main_context_invoke(), never runs on the worker itself. */
void exchange_work(void *data, void *user_data)
{
        Exchange *exchange = data;
        g_autoptr(GSource) source = g_idle_source_new();

        exchange->work(exchange);
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        g_source_set_callback(source, on_done, exchange, NULL);
        g_source_attach(source, exchange->server->context);
}

bool exchange_run(Exchange *exchange, ExchangeFunc work, ExchangeFunc done, GError **error)
{
        ApiServer *server = exchange->server;

        if (server->running >= API_CALLS)
                return error_set(error, HOSTLER_ERROR_TOO_MANY, NULL, "%d calls are under way", API_CALLS);
        exchange->work = work;
        exchange->done = done;
        server->running++;
        return g_thread_pool_push(server->workers, exchange, error);
}

const char *exchange_header(Exchange *exchange, const char *name)
{
        return soup_message_headers_get_list(soup_server_message_get_request_headers(exchange->message), name);
}
