/*
 * Connections and their limits, so that no client can take the API from the others.
 *
 * At most API_CONNECTIONS in all, and API_CONNECTIONS_PER_UID for each user who is not an admin. When one of these is
 * reached, the connection that has been idle or half-sent for longest gives way; if all are being served the new one
 * gets 429. A request must be complete API_REQUEST_MS after its first byte; an idle connection is cut off after
 * API_IDLE_MS; a client that reads nothing of its answer for API_IDLE_MS too. All on the context of the server, time by
 * base/clock.h.
 *
 * A connection serves one request. libsoup 3.2 never lets go of one that was handed to it, was kept alive and whose
 * client then went away: each costs a descriptor for ever. On a Unix socket a new one costs 50 us.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "api/auth.h"
#include "api/reply.h"

#define API_CONNECTIONS 1000
#define API_CONNECTIONS_PER_UID 256
#define API_REQUEST_MS 10000
#define API_IDLE_MS 60000

typedef enum {
        CONNECTION_IDLE,    /* silent so far */
        CONNECTION_READING, /* a request has begun */
        CONNECTION_SERVING, /* it is complete; the daemon's turn: no time limit here */
        CONNECTION_WRITING, /* the answer is on its way */
} ConnectionState;

typedef struct Connections Connections;
typedef struct Connection Connection;

/* The first byte has come: hand @stream (borrowed) to the HTTP library with @address (borrowed), from which
 * connection_of() leads back. */
typedef void (*ConnectionReadyFunc)(GIOStream *stream, GSocketAddress *address, void *data);

Connections *connections_new(const AuthRule *rule, GMainContext *context, ConnectionReadyFunc ready, void *data);
/* Cuts all off; those that the HTTP library still holds must have been dropped before. */
void connections_free(Connections *connections);
guint connections_count(Connections *connections);

/* Takes a connected socket. */
void connections_accept(Connections *connections, int fd_taken);
/* Cuts off the connection that matters least; false if all are being served. */
bool connections_evict(Connections *connections);
/* Cuts off what is over its time; called by a timer, and by tests under a fake clock. */
void connections_sweep(Connections *connections);

Connection *connection_of(GSocketAddress *address);
const Caller *connection_caller(Connection *connection);
GSocket *connection_socket(Connection *connection);
/* Notes the state and when it began. */
void connection_enter(Connection *connection, ConnectionState state);
/* Notes that the client has taken some of its answer. */
void connection_progress(Connection *connection);
/* Ends it for both directions; the HTTP library notices by itself. */
void connection_cut(Connection *connection);
/* Answers at once, whatever is being read, and ends it. Only before an answer has begun. Clears @reply. */
void connection_refuse(Connection *connection, Reply *reply);
