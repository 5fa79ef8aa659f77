/*
 * Keeps account of who is connected, in what state, since when. A connection is given to libsoup at its first byte, so
 * a thousand silent ones cost a descriptor each and no parser. It is ended by shutting its socket down, which libsoup
 * sees as the other side's doing; the account ends with the last reference to the address that libsoup holds. server.c
 * owns the one account.
 */
#include "api/connection.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"

struct Connections {
        AuthRule rule;
        GMainContext *context;
        ConnectionReadyFunc ready;
        void *data;
        GHashTable *all; /* Connection, none owned */
};

struct Connection {
        Connections *owner; /* NULL once it is cut off */
        GSocket *socket;
        GSocketAddress *address; /* borrowed: it owns this */
        GSource *first_byte;     /* owns a reference to the address while it waits */
        Caller caller;
        ConnectionState state;
        int64_t since_ms;
};

static GQuark connection_quark(void)
{
        return g_quark_from_static_string("hostler-connection");
}

Connections *connections_new(const AuthRule *rule, GMainContext *context, ConnectionReadyFunc ready, void *data)
{
        Connections *connections = g_new(Connections, 1);

        *connections = (Connections){
            .rule = *rule,
            .context = g_main_context_ref(context),
            .ready = ready,
            .data = data,
            .all = g_hash_table_new(NULL, NULL),
        };
        return connections;
}

static void stop_waiting(Connection *connection)
{
        if (!connection->first_byte)
                return;
        g_autoptr(GSource) source = g_steal_pointer(&connection->first_byte);
        g_source_destroy(source);
}

void connections_free(Connections *connections)
{
        g_autoptr(GList) all = g_hash_table_get_keys(connections->all);

        for (GList *item = all; item; item = item->next)
                connection_cut(item->data);
        g_hash_table_unref(connections->all);
        g_main_context_unref(connections->context);
        g_free(connections);
}

guint connections_count(Connections *connections)
{
        return g_hash_table_size(connections->all);
}

static void leave(Connection *connection)
{
        if (!connection->owner)
                return;
        g_hash_table_remove(connection->owner->all, connection);
        connection->owner = NULL;
}

static void connection_free(void *data)
{
        Connection *connection = data;

        leave(connection);
        g_object_unref(connection->socket);
        g_free(connection);
}

static gboolean on_first_byte(GSocket *socket, GIOCondition condition, void *data)
{
        Connection *connection = data;
        Connections *owner = connection->owner;
        g_autoptr(GSocketAddress) address = g_object_ref(connection->address);
        g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(connection->socket);

        connection_enter(connection, CONNECTION_READING);
        g_clear_pointer(&connection->first_byte, g_source_unref);
        owner->ready(G_IO_STREAM(stream), address, owner->data);
        return G_SOURCE_REMOVE;
}

static void release_address(void *data)
{
        Connection *connection = data;

        g_object_unref(connection->address);
}

/* libsoup asks the address of a client without Host header for its number, so it is an internet one, of nobody. */
static Connection *connection_new(Connections *owner, GSocket *socket_taken, const Caller *caller)
{
        Connection *connection = g_new(Connection, 1);

        *connection = (Connection){
            .owner = owner,
            .socket = socket_taken,
            .address = g_inet_socket_address_new_from_string("127.0.0.1", 0),
            .first_byte = g_socket_create_source(socket_taken, G_IO_IN, NULL),
            .caller = *caller,
            .since_ms = clock_monotonic_ms(),
        };
        g_object_set_qdata_full(G_OBJECT(connection->address), connection_quark(), connection, connection_free);
        g_hash_table_add(owner->all, connection);
        g_source_set_callback(connection->first_byte, G_SOURCE_FUNC(on_first_byte), connection, release_address);
        g_source_attach(connection->first_byte, owner->context);
        return connection;
}

static guint count_of_uid(Connections *connections, uid_t uid)
{
        GHashTableIter iter;
        Connection *connection;
        guint count = 0;

        g_hash_table_iter_init(&iter, connections->all);
        while (g_hash_table_iter_next(&iter, (void **)&connection, NULL))
                count += connection->caller.uid == uid;
        return count;
}

/* The longest idle or half-sent one; of @uid only, unless it is NULL. */
static bool evict(Connections *connections, const uid_t *uid)
{
        GHashTableIter iter;
        Connection *connection, *oldest = NULL;

        g_hash_table_iter_init(&iter, connections->all);
        while (g_hash_table_iter_next(&iter, (void **)&connection, NULL)) {
                if (connection->state > CONNECTION_READING || (uid && connection->caller.uid != *uid))
                        continue;
                if (!oldest || connection->since_ms < oldest->since_ms)
                        oldest = connection;
        }
        if (oldest)
                connection_cut(oldest);
        return oldest;
}

bool connections_evict(Connections *connections)
{
        return evict(connections, NULL);
}

static bool make_room(Connections *connections, const Caller *caller)
{
        bool limited = caller->role < ROLE_ADMIN;

        if (limited && count_of_uid(connections, caller->uid) >= API_CONNECTIONS_PER_UID)
                return evict(connections, &caller->uid);
        return g_hash_table_size(connections->all) < API_CONNECTIONS || evict(connections, NULL);
}

static void send_and_close(GSocket *socket, Reply *reply)
{
        g_autofree char *text = reply_raw(reply);

        g_socket_send(socket, text, strlen(text), NULL, NULL);
        g_socket_shutdown(socket, true, true, NULL);
        reply_clear(reply);
}

void connections_accept(Connections *connections, int fd_taken)
{
        g_autoptr(GError) error = NULL;
        Caller caller;
        g_autoptr(GSocket) socket = g_socket_new_from_fd(fd_taken, NULL);

        if (!socket) {
                close(fd_taken);
                return;
        }
        g_socket_set_blocking(socket, false);
        bool good = auth_caller_of(fd_taken, &connections->rule, &caller, &error);
        if (good && !make_room(connections, &caller))
                good = error_set(&error, HOSTLER_ERROR_TOO_MANY, NULL, "too many connections are being served");
        if (!good) {
                Reply reply = reply_problem(error, 0);
                send_and_close(socket, &reply);
                return;
        }
        connection_new(connections, g_steal_pointer(&socket), &caller);
}

static bool is_over_time(const Connection *connection, int64_t now_ms)
{
        int64_t age_ms = now_ms - connection->since_ms;

        switch (connection->state) {
        case CONNECTION_IDLE:
        case CONNECTION_WRITING:
                return age_ms >= API_IDLE_MS;
        case CONNECTION_READING:
                return age_ms >= API_REQUEST_MS;
        case CONNECTION_SERVING:
                return false;
        }
        return false;
}

void connections_sweep(Connections *connections)
{
        g_autoptr(GList) all = g_hash_table_get_keys(connections->all);
        int64_t now_ms = clock_monotonic_ms();

        for (GList *item = all; item; item = item->next)
                if (is_over_time(item->data, now_ms))
                        connection_cut(item->data);
}

Connection *connection_of(GSocketAddress *address)
{
        return g_object_get_qdata(G_OBJECT(address), connection_quark());
}

const Caller *connection_caller(Connection *connection)
{
        return &connection->caller;
}

GSocket *connection_socket(Connection *connection)
{
        return connection->socket;
}

void connection_enter(Connection *connection, ConnectionState state)
{
        connection->state = state;
        connection->since_ms = clock_monotonic_ms();
}

void connection_progress(Connection *connection)
{
        connection_enter(connection, connection->state);
}

void connection_cut(Connection *connection)
{
        g_socket_shutdown(connection->socket, true, true, NULL);
        leave(connection);
        stop_waiting(connection); /* the last use: it may own the last reference */
}

void connection_refuse(Connection *connection, Reply *reply)
{
        send_and_close(connection->socket, reply);
        connection_cut(connection);
}
