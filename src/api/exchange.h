/*
 * One request being answered, and the server it came to. Private to src/api.
 *
 * An Exchange begins when a request is complete and ends with exchange_reply() or, for a stream, with
 * exchange_release(). Between the two the message is paused and the connection is watched: when the client goes away,
 * @cancellable is cancelled (on the main loop). Work that may block goes to a worker thread by exchange_run(); nothing
 * else may touch the exchange meanwhile.
 */
#pragma once

#include "api/connection.h"
#include "api/listen.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/server.h"

#define API_CALLS 256 /* under way on worker threads at once; more get 429 */

typedef struct Polls Polls;
typedef struct EventStreams EventStreams;
typedef struct Bridges Bridges;

struct ApiServer {
        ApiHooks hooks;
        GMainContext *context;
        SoupServer *soup;
        Listener *listener;
        Connections *connections;
        GThreadPool *workers;
        GQueue exchanges; /* Exchange, all that are not answered yet */
        guint running;    /* of these, on a worker thread */
        GSource *sweep;
        Polls *polls;
        EventStreams *streams;
        Bridges *bridges;
        bool stopping;
};

typedef struct Exchange Exchange;
typedef void (*ExchangeFunc)(Exchange *exchange);

struct Exchange {
        ApiServer *server;
        SoupServerMessage *message; /* a reference */
        Connection *connection;     /* lives as long as the message */
        Caller caller;
        Route route;
        Request request;
        GCancellable *cancellable; /* cancelled when the client has gone */
        Reply reply;               /* status 0: none yet */
        ExchangeFunc gone;         /* told on the main loop that the client has gone; NULL: not wanted */
        void *data;                /* of whoever holds the exchange */
        /* private to exchange.c */
        GSource *hangup;
        ExchangeFunc work, done;
        GList link;
};

/* Pauses @message until the answer. */
Exchange *exchange_new(ApiServer *server, SoupServerMessage *message);
/* Runs @work on a worker thread, then @done on the main loop; or neither, with HOSTLER_ERROR_TOO_MANY over API_CALLS.
 */
bool exchange_run(Exchange *exchange, ExchangeFunc work, ExchangeFunc done, GError **error);
/* The function of the server's thread pool. */
void exchange_work(void *exchange, void *unused);
/* Sends exchange->reply and ends the exchange. Fits as `done`. */
void exchange_reply(Exchange *exchange);
/* Sends a problem document and ends the exchange. */
void exchange_fail(Exchange *exchange, const GError *error);
/* Ends the exchange without an answer: its message has a new owner. */
void exchange_release(Exchange *exchange);

/* A header of the request, or NULL. Borrowed. */
const char *exchange_header(Exchange *exchange, const char *name);
