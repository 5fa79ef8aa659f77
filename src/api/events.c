/*
 * Event streams. A stream first replays pages from the store (on a worker thread, no faster than the reader reads),
 * meanwhile keeping what happens in a short queue; at the first short page it sends that queue and is live. If the
 * queue did not hold it all, the store does, and replay goes on. Sequence numbers decide what has been sent. dispatch.c
 * hands the exchanges over.
 */
#include "api/events.h"

#include "base/error.h"

#define PAGE 500                       /* events read at once */
#define REPLAY_QUEUE_LIMIT (64 * 1024) /* bytes not yet written beyond which replay waits for the reader */
#define PENDING_LIMIT 256              /* events kept during replay */

typedef struct {
        Exchange *exchange;
        char *object;     /* only this one's; NULL: all */
        int64_t sent_seq; /* the last one sent, or the one to start after */
        bool live;        /* replay is over */
        bool reading;     /* a worker reads a page */
        bool gone;        /* the message has ended meanwhile */
        gsize queued;     /* bytes given to libsoup and not written yet */
        GQueue pending;   /* EventRow * */
        bool overflowed;  /* pending lost some */
        GString *page;    /* what the worker has read */
        int64_t page_seq; /* up to here */
        unsigned page_rows;
        GError *page_error;
        gulong on_written, on_finished;
        GList link;
} EventStream;

struct EventStreams {
        ApiServer *server;
        guint listener;
        GSource *heartbeat;
        GQueue all;
};

static void read_on(EventStream *stream);

static void event_row_free(void *row)
{
        event_row_clear(row);
        g_free(row);
}

static void stream_free(EventStream *stream)
{
        Exchange *exchange = stream->exchange;

        g_queue_unlink(&exchange->server->streams->all, &stream->link);
        g_signal_handler_disconnect(exchange->message, stream->on_written);
        g_signal_handler_disconnect(exchange->message, stream->on_finished);
        g_queue_clear_full(&stream->pending, event_row_free);
        g_string_free(stream->page, true);
        g_clear_error(&stream->page_error);
        g_free(stream->object);
        g_free(stream);
        exchange_release(exchange);
}

static void print_event(const EventRow *event, GString *out)
{
        json_t *json = event_to_json(event);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);

        g_string_append_printf(out, "id: %" G_GINT64_FORMAT "\nevent: %s\ndata: %s\n\n", event->seq, event->kind, text);
        json_decref(json);
}

static void send_text(EventStream *stream, const char *text, gsize length)
{
        SoupServerMessage *message = stream->exchange->message;

        if (stream->live && stream->queued + length > EVENTS_QUEUE_LIMIT)
                connection_cut(stream->exchange->connection);
        stream->queued += length;
        soup_message_body_append(soup_server_message_get_response_body(message), SOUP_MEMORY_COPY, text, length);
        soup_server_message_unpause(message);
}

static void send_event(EventStream *stream, const EventRow *event)
{
        g_autoptr(GString) text = g_string_new(NULL);

        if (event->seq <= stream->sent_seq)
                return;
        print_event(event, text);
        stream->sent_seq = event->seq;
        send_text(stream, text->str, text->len);
}

/* The connection is shut down; libsoup notices when it writes. */
static void client_has_gone(Exchange *exchange)
{
        connection_cut(exchange->connection);
        send_text(exchange->data, ":\n\n", 3);
}

/* ---- replay ---- */

static void add_to_page(const EventRow *event, void *data)
{
        EventStream *stream = data;

        print_event(event, stream->page);
        stream->page_seq = event->seq;
        stream->page_rows++;
}

/* Worker thread. */
static void read_page(Exchange *exchange)
{
        EventStream *stream = exchange->data;

        stream->page_rows = 0;
        g_string_truncate(stream->page, 0);
        store_event_each(exchange->server->hooks.store, stream->page_seq, stream->object, PAGE, add_to_page, stream,
                         &stream->page_error);
}

static void send_pending(EventStream *stream)
{
        EventRow *event;

        while ((event = g_queue_pop_head(&stream->pending))) {
                send_event(stream, event);
                event_row_free(event);
        }
}

static void page_is_read(Exchange *exchange)
{
        EventStream *stream = exchange->data;

        stream->reading = false;
        if (stream->gone) {
                stream_free(stream);
                return;
        }
        if (stream->page_error) {
                client_has_gone(exchange); /* the reader comes back with the last number it has seen */
                return;
        }
        if (stream->page_rows > 0) {
                stream->sent_seq = stream->page_seq;
                send_text(stream, stream->page->str, stream->page->len);
        }
        if (stream->page_rows == PAGE || stream->overflowed) {
                read_on(stream);
                return;
        }
        stream->live = true;
        send_pending(stream);
}

static void read_on(EventStream *stream)
{
        g_autoptr(GError) error = NULL;

        if (stream->live || stream->reading || stream->queued > REPLAY_QUEUE_LIMIT)
                return;
        if (stream->overflowed) {
                g_queue_clear_full(&stream->pending, event_row_free);
                stream->overflowed = false;
        }
        stream->page_seq = stream->sent_seq;
        stream->reading = exchange_run(stream->exchange, read_page, page_is_read, &error);
        if (!stream->reading)
                client_has_gone(stream->exchange);
}

/* ---- live ---- */

static EventRow *event_row_copy(const EventRow *event)
{
        EventRow *copy = g_new(EventRow, 1);

        *copy = (EventRow){
            .seq = event->seq,
            .time_ms = event->time_ms,
            .kind = g_strdup(event->kind),
            .object = g_strdup(event->object),
            .data = g_strdup(event->data),
        };
        return copy;
}

static void keep_pending(EventStream *stream, const EventRow *event)
{
        if (stream->pending.length >= PENDING_LIMIT)
                stream->overflowed = true;
        else
                g_queue_push_tail(&stream->pending, event_row_copy(event));
}

static void on_event(const EventRow *event, void *data)
{
        EventStreams *streams = data;

        for (GList *item = streams->all.head; item; item = item->next) {
                EventStream *stream = item->data;
                if (stream->gone || (stream->object && g_strcmp0(stream->object, event->object) != 0))
                        continue;
                if (stream->live)
                        send_event(stream, event);
                else
                        keep_pending(stream, event);
        }
}

static gboolean on_heartbeat(void *data)
{
        EventStreams *streams = data;

        for (GList *item = streams->all.head; item; item = item->next) {
                EventStream *stream = item->data;
                if (!stream->gone)
                        send_text(stream, ":\n\n", 3);
        }
        return G_SOURCE_CONTINUE;
}

static void on_written(SoupServerMessage *message, guint bytes, void *data)
{
        EventStream *stream = data;

        stream->queued -= MIN(bytes, stream->queued);
        read_on(stream);
}

static void on_finished(SoupServerMessage *message, void *data)
{
        EventStream *stream = data;

        stream->gone = true;
        if (!stream->reading)
                stream_free(stream);
}

/* ---- begin and end ---- */

EventStreams *event_streams_new(ApiServer *server)
{
        EventStreams *streams = g_new0(EventStreams, 1);

        streams->server = server;
        streams->listener = event_listen(server->hooks.events, on_event, streams);
        streams->heartbeat = g_timeout_source_new(EVENTS_HEARTBEAT_MS);
        g_source_set_callback(streams->heartbeat, on_heartbeat, streams, NULL);
        g_source_attach(streams->heartbeat, server->context);
        return streams;
}

void event_streams_free(EventStreams *streams)
{
        event_unlisten(streams->server->hooks.events, streams->listener);
        g_source_destroy(streams->heartbeat);
        g_source_unref(streams->heartbeat);
        while (streams->all.head)
                stream_free(streams->all.head->data);
        g_free(streams);
}

/* The number to start after: -1 for only what is new. */
static bool starting_point(Exchange *exchange, int64_t *ret_seq, GError **error)
{
        const HostlerEventWatchArgs *args = exchange->request.args;
        const char *last_id = exchange_header(exchange, "Last-Event-ID");
        guint64 seq = 0;

        *ret_seq = args->since == HOSTLER_UNSET ? -1 : args->since;
        if (!last_id)
                return true;
        if (!g_ascii_string_to_unsigned(last_id, 10, 0, G_MAXINT64, &seq, NULL))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "Last-Event-ID is not the number of an event");
        *ret_seq = (int64_t)seq;
        return true;
}

static void send_headers(SoupServerMessage *message)
{
        SoupMessageHeaders *headers = soup_server_message_get_response_headers(message);
        bool old = soup_server_message_get_http_version(message) == SOUP_HTTP_1_0;

        soup_server_message_set_status(message, SOUP_STATUS_OK, NULL);
        soup_message_headers_set_content_type(headers, "text/event-stream", NULL);
        soup_message_headers_replace(headers, "Cache-Control", "no-store");
        soup_message_headers_set_encoding(headers, old ? SOUP_ENCODING_EOF : SOUP_ENCODING_CHUNKED);
        soup_message_body_set_accumulate(soup_server_message_get_response_body(message), false);
}

void events_start(Exchange *exchange)
{
        const HostlerEventWatchArgs *args = exchange->request.args;
        g_autoptr(GError) error = NULL;
        int64_t seq;

        if (!starting_point(exchange, &seq, &error)) {
                exchange_fail(exchange, error);
                return;
        }
        EventStream *stream = g_new(EventStream, 1);
        *stream = (EventStream){
            .exchange = exchange,
            .object = g_strdup(args->object),
            .sent_seq = seq >= 0 ? seq : store_event_last(exchange->server->hooks.store),
            .live = seq < 0,
            .page = g_string_new(NULL),
            .on_written = g_signal_connect(exchange->message, "wrote-body-data", G_CALLBACK(on_written), stream),
            .on_finished = g_signal_connect(exchange->message, "finished", G_CALLBACK(on_finished), stream),
            .link = {.data = stream},
        };
        g_queue_push_tail_link(&exchange->server->streams->all, &stream->link);
        exchange->data = stream;
        exchange->gone = client_has_gone;
        send_headers(exchange->message);
        send_text(stream, ": hostler events\n\n", strlen(": hostler events\n\n"));
        read_on(stream);
}
