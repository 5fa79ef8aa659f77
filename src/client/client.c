/*
 * One client: finding the daemon, one HTTP exchange over its Unix socket, errors of both kinds. What a verb means is in
 * request.c; streams are in events.c and console.c. Called by public.c and by the command line.
 */
#include "client/transport.h"

#include <unistd.h>

#include "base/error.h"

enum {
        REQUEST_TIMEOUT_MS = 60000,
        REPLY_LIMIT_BYTES = 512 << 20,
        READ_BYTES = 256 << 10,
};

static bool choose_daemon(Locations *locations, bool start, GError **error);
static bool exchange(HostlerClient *client, const VerbDecl *verb, const ClientRequest *request,
                     const ClientOptions *options, char **ret_body, gsize *ret_length, GError **error);
static bool daemon_is_back(HostlerClient *client, const GError *problem);
static bool read_reply(GInputStream *stream, GCancellable *cancellable, GString *reply, GError **error);
static SoupMessage *message_for(HostlerClient *client, const VerbDecl *verb, const ClientRequest *request,
                                const ClientOptions *options);

HostlerClient *client_open(const char *state, const char *socket, bool start, GError **error)
{
        g_autoptr(HostlerClient) client = g_new0(HostlerClient, 1);

        client->directory_fd = -1;
        client->start = start;
        locations_for_client(state, socket, &client->locations);
        if (!choose_daemon(&client->locations, start, error))
                return NULL;
        client->address = socket_address_for_path(client->locations.socket, &client->directory_fd, error);
        return client->address ? g_steal_pointer(&client) : NULL;
}

void client_close(HostlerClient *client)
{
        client_reset(client);
        g_clear_object(&client->address);
        if (client->directory_fd >= 0)
                close(client->directory_fd);
        locations_clear(&client->locations);
        g_free(client);
}

void client_reset(HostlerClient *client)
{
        if (client->session)
                soup_session_abort(client->session);
        g_clear_object(&client->session);
}

bool client_call(HostlerClient *client, const VerbDecl *verb, const json_t *args, const ClientOptions *options,
                 char **ret_body, gsize *ret_length, GError **error)
{
        g_auto(ClientRequest) request = {0};
        g_autoptr(GError) local = NULL;
        bool job = verb->kind == VERB_JOB && !options->dry_run;
        g_autofree char *key = job ? g_uuid_string_random() : NULL;
        ClientOptions with_key = *options;

        if (!client_request_build(verb, args, options->dry_run, &request, error))
                return false;
        with_key.idempotency_key = options->idempotency_key ? options->idempotency_key : key;
        if (exchange(client, verb, &request, &with_key, ret_body, ret_length, &local))
                return true;
        bool repeatable = job || g_str_equal(verb->method, "GET");
        if (repeatable && daemon_is_back(client, local))
                return exchange(client, verb, &request, &with_key, ret_body, ret_length, error);
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

SoupMessage *client_message(HostlerClient *client, const char *method, const char *target)
{
        g_autofree char *uri = g_strconcat("http://localhost", target, NULL);

        return soup_message_new(method, uri);
}

SoupSession *client_session(HostlerClient *client, int64_t timeout_ms)
{
        guint wanted_s = (guint)(((timeout_ms ? timeout_ms : REQUEST_TIMEOUT_MS) + 999) / 1000);

        /* libsoup reads the limit when it connects, so a longer one takes a new session. */
        if (client->session && wanted_s > client->timeout_s)
                client_reset(client);
        if (!client->session) {
                client->session = soup_session_new_with_options("remote-connectable", client->address, "proxy-resolver",
                                                                NULL, "timeout", wanted_s, "idle-timeout", 0, NULL);
                soup_session_remove_feature_by_type(client->session, SOUP_TYPE_CONTENT_DECODER);
                client->timeout_s = wanted_s;
        }
        return client->session;
}

bool client_transport_error(HostlerClient *client, GError **error)
{
        const char *socket = client->locations.socket;

        if (!error || !*error || (*error)->domain == HOSTLER_ERROR)
                return false;
        if (g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
                return error_wrap(error, HOSTLER_ERROR_CANCELLED, NULL, "the request was given up");
        if (g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
                return error_wrap(error, HOSTLER_ERROR_TIMEOUT, NULL, "the daemon on %s does not answer in time",
                                  socket);
        return error_wrap(error, HOSTLER_ERROR_UNREACHABLE, NULL, "the connection to the daemon on %s broke", socket);
}

bool client_problem(guint status, const char *body, GError **error)
{
        json_auto_t *problem = json_loads(body, JSON_REJECT_DUPLICATES, NULL);

        if (json_is_object(problem) && json_is_string(json_object_get(problem, "code")))
                g_propagate_error(error, error_from_json(problem));
        else
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon answered %u without saying why", status);
        return false;
}

static bool exchange(HostlerClient *client, const VerbDecl *verb, const ClientRequest *request,
                     const ClientOptions *options, char **ret_body, gsize *ret_length, GError **error)
{
        g_autoptr(SoupMessage) message = message_for(client, verb, request, options);
        SoupSession *session = client_session(client, options->timeout_ms);
        g_autoptr(GInputStream) stream = soup_session_send(session, message, options->cancellable, error);
        g_autoptr(GString) reply = g_string_new(NULL);
        if (!stream || !read_reply(stream, options->cancellable, reply, error))
                return client_transport_error(client, error);
        if (soup_message_get_status(message) >= 400)
                return client_problem(soup_message_get_status(message), reply->str, error);

        if (ret_length)
                *ret_length = reply->len;
        *ret_body = g_string_free(g_steal_pointer(&reply), false);
        return true;
}

/* A daemon that died under the request is started again, by whoever may start one at all. Its key makes a job's request
 * one. */
static bool daemon_is_back(HostlerClient *client, const GError *problem)
{
        if (!client->start || !error_is(problem, HOSTLER_ERROR_UNREACHABLE))
                return false;
        client_reset(client);
        return choose_daemon(&client->locations, true, NULL);
}

/* Nothing said: the session's daemon, else (for root, or when none may be started) the system's that runs, else a new
 * session. */
static bool choose_daemon(Locations *locations, bool start, GError **error)
{
        if (daemon_answers(locations->socket))
                return true;
        if (!locations->chosen && (geteuid() == 0 || !start)) {
                g_auto(Locations) system = {0};

                locations_for_daemon(true, NULL, NULL, &system);
                if (daemon_answers(system.socket)) {
                        locations_clear(locations);
                        *locations = system;
                        system = (Locations){0};
                        return true;
                }
        }
        if (start && locations->state)
                return daemon_start(locations, error);
        error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL, "no daemon answers on %s", locations->socket);
        return error_hint(error, "hostlerd --state DIR --socket %s", locations->socket);
}

static SoupMessage *message_for(HostlerClient *client, const VerbDecl *verb, const ClientRequest *request,
                                const ClientOptions *options)
{
        SoupMessage *message = client_message(client, verb->method, request->target);
        SoupMessageHeaders *headers = soup_message_get_request_headers(message);

        if (request->body) {
                g_autoptr(GBytes) bytes = g_bytes_new(request->body, strlen(request->body));
                bool patch = g_str_equal(verb->method, "PATCH");

                soup_message_set_request_body_from_bytes(
                    message, patch ? "application/merge-patch+json" : "application/json", bytes);
        }
        if (request->if_match)
                soup_message_headers_replace(headers, "If-Match", request->if_match);
        if (options->idempotency_key)
                soup_message_headers_replace(headers, "Idempotency-Key", options->idempotency_key);
        return message;
}

static bool read_reply(GInputStream *stream, GCancellable *cancellable, GString *reply, GError **error)
{
        g_autofree char *piece = g_malloc(READ_BYTES);
        gssize got;

        while ((got = g_input_stream_read(stream, piece, READ_BYTES, cancellable, error)) > 0) {
                if (reply->len + (gsize)got > REPLY_LIMIT_BYTES)
                        return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL,
                                         "the daemon's reply is larger than 512 MiB");
                g_string_append_len(reply, piece, got);
        }
        return got == 0;
}
