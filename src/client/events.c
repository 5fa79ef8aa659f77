/*
 * The event stream: server-sent events (WHATWG HTML, section 9.2) read line by line. Reconnecting is the caller's, who
 * knows the last number it saw. Called by public.c and `hostler event watch`.
 */
#include "base/error.h"
#include "client/transport.h"

enum {
        LINE_LIMIT_BYTES = 1 << 20,
        SILENCE_LIMIT_MS = 60000, /* the daemon says something every fifteen seconds */
};

static GDataInputStream *stream_open(HostlerClient *client, int64_t since, const char *object,
                                     GCancellable *cancellable, GError **error);
static bool stream_opened(GInputStream *stream, guint status, GError **error);
static bool take_line(GString *data, const char *line, ClientEventFunc event, void *event_data);

bool client_events(HostlerClient *client, int64_t since, const char *object, ClientEventFunc event, void *data,
                   GCancellable *cancellable, GError **error)
{
        g_autoptr(GDataInputStream) lines = stream_open(client, since, object, cancellable, error);
        g_autoptr(GString) text = g_string_new(NULL);
        g_autoptr(GError) failure = NULL;

        if (!lines)
                return false;
        for (;;) {
                g_autofree char *line = g_data_input_stream_read_line(lines, NULL, cancellable, &failure);

                if (failure) {
                        g_propagate_error(error, g_steal_pointer(&failure));
                        return client_transport_error(client, error);
                }
                if (!line)
                        return error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL, "the daemon on %s went away",
                                         client->locations.socket);
                if (text->len + strlen(line) > LINE_LIMIT_BYTES)
                        return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "an event is larger than 1 MiB");
                if (!take_line(text, line, event, data))
                        return true;
        }
}

static GDataInputStream *stream_open(HostlerClient *client, int64_t since, const char *object,
                                     GCancellable *cancellable, GError **error)
{
        json_auto_t *args = json_object();
        g_auto(ClientRequest) request = {0};

        if (since >= 0)
                json_object_set_new(args, "since", json_integer(since));
        if (object)
                json_object_set_new(args, "object", json_string(object));
        if (!client_request_build(verb_find("event", "watch"), args, false, &request, error))
                return NULL;

        g_autoptr(SoupMessage) message = client_message(client, "GET", request.target);
        soup_message_headers_replace(soup_message_get_request_headers(message), "Accept", "text/event-stream");
        SoupSession *session = client_session(client, SILENCE_LIMIT_MS);
        g_autoptr(GInputStream) stream = soup_session_send(session, message, cancellable, error);
        if (!stream) {
                client_transport_error(client, error);
                return NULL;
        }
        if (!stream_opened(stream, soup_message_get_status(message), error))
                return NULL;
        return g_data_input_stream_new(stream);
}

static bool stream_opened(GInputStream *stream, guint status, GError **error)
{
        char body[65536] = "";
        gsize got = 0;

        if (status < 400)
                return true;
        g_input_stream_read_all(stream, body, sizeof(body) - 1, &got, NULL, NULL);
        return client_problem(status, body, error);
}

/* Fields other than `data` repeat what the event itself says. False when the listener has had enough. */
static bool take_line(GString *data, const char *line, ClientEventFunc event, void *event_data)
{
        bool go_on = true;

        if (g_str_has_prefix(line, "data:")) {
                const char *value = line + strlen("data:");

                if (data->len)
                        g_string_append_c(data, '\n');
                g_string_append(data, *value == ' ' ? value + 1 : value);
        } else if (!*line && data->len) {
                go_on = event(data->str, event_data);
                g_string_truncate(data, 0);
        }
        return go_on;
}
