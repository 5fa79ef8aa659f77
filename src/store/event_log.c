/*
 * The event log: numbers and stores each event, then hands it to the listeners on their main context. On a full disk
 * events go on in memory, in order, until they can be written. Knows nothing of HTTP: the event stream of src/api is
 * one listener. Called from everywhere above the store.
 */
#include "store/event_log.h"

#include "base/clock.h"
#include "base/declare.h"
#include "base/units.h"

#include <string.h>

/* Kept in the store; the oldest beyond are forgotten, looked at once per PRUNE_INTERVAL events. */
#define KEPT 100000
#define PRUNE_INTERVAL 1000
/* Events that a full disk may leave in memory (some 3 MB); beyond, the oldest of them never reach the store. */
#define UNWRITTEN_LIMIT 10000

struct EventLog {
        Store *store;
        GMainContext *context;
        GMutex lock;        /* around everything below */
        GQueue unwritten;   /* EventRow, numbered, waiting for space */
        GQueue undelivered; /* EventRow, for the listeners */
        GArray *listeners;  /* Listener */
        guint last_handle;
        guint until_prune;
        GSource *delivery; /* scheduled while there is something undelivered */
};

typedef struct {
        guint handle;
        int64_t after; /* hears only events with a higher number */
        EventFunc func;
        void *data;
} Listener;

static EventRow *row_new(const char *kind, const char *object, json_t *data_taken);
static EventRow *row_copy(const EventRow *row);
static void row_free(EventRow *row);
static bool kind_is_declared(const char *kind);
static void write_or_keep(EventLog *log, EventRow *row);
static bool write_unwritten(EventLog *log);
static void prune(EventLog *log);
static int64_t newest(EventLog *log);
static void schedule(EventLog *log);
static gboolean deliver(void *data);
static void deliver_one(EventLog *log, const EventRow *row);

EventLog *event_log_new(Store *store, GMainContext *context)
{
        EventLog *log = g_new0(EventLog, 1);
        log->store = store;
        log->context = g_main_context_ref(context ? context : g_main_context_default());
        g_mutex_init(&log->lock);
        log->listeners = g_array_new(false, false, sizeof(Listener));
        return log;
}

void event_log_free(EventLog *log)
{
        if (!log)
                return;
        write_unwritten(log);
        if (log->delivery)
                g_source_destroy(log->delivery);
        g_clear_pointer(&log->delivery, g_source_unref);
        g_queue_clear_full(&log->unwritten, (GDestroyNotify)row_free);
        g_queue_clear_full(&log->undelivered, (GDestroyNotify)row_free);
        g_array_free(log->listeners, true);
        g_main_context_unref(log->context);
        g_mutex_clear(&log->lock);
        g_free(log);
}

void event_emit(EventLog *log, const char *kind, const char *object, json_t *data_taken)
{
        g_assert(kind_is_declared(kind));
        EventRow *row = row_new(kind, object, data_taken);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
        EventRow *copy = log->listeners->len > 0 ? row_copy(row) : NULL;
        write_or_keep(log, row);
        if (copy) {
                copy->seq = newest(log);
                g_queue_push_tail(&log->undelivered, copy);
                schedule(log);
        }
}

guint event_listen(EventLog *log, EventFunc func, void *data)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
        Listener listener = {.handle = ++log->last_handle, .after = newest(log), .func = func, .data = data};
        g_array_append_val(log->listeners, listener);
        return listener.handle;
}

void event_unlisten(EventLog *log, guint handle)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&log->lock);
        for (guint i = 0; i < log->listeners->len; i++)
                if (g_array_index(log->listeners, Listener, i).handle == handle) {
                        g_array_remove_index(log->listeners, i);
                        return;
                }
}

json_t *event_to_json(const EventRow *event)
{
        g_autofree char *time = time_format(event->time_ms);
        json_t *data = json_loads(event->data, JSON_DECODE_ANY, NULL);
        return json_pack("{s:I, s:s, s:s, s:s, s:o}", "seq", (json_int_t)event->seq, "time", time, "kind", event->kind,
                         "object", event->object ? event->object : "", "data", data ? data : json_object());
}

static EventRow *row_new(const char *kind, const char *object, json_t *data_taken)
{
        g_autofree char *text = data_taken ? json_dumps(data_taken, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        json_decref(data_taken);
        EventRow *row = g_new0(EventRow, 1);
        row->time_ms = clock_unix_ms();
        row->kind = g_strdup(kind);
        row->object = g_strdup(object ? object : "");
        row->data = g_strdup(text ? text : "{}");
        return row;
}

static EventRow *row_copy(const EventRow *row)
{
        EventRow *copy = g_new0(EventRow, 1);
        *copy = (EventRow){row->seq, row->time_ms, g_strdup(row->kind), g_strdup(row->object), g_strdup(row->data)};
        return copy;
}

static void row_free(EventRow *row)
{
        event_row_clear(row);
        g_free(row);
}

static bool kind_is_declared(const char *kind)
{
        for (const EventDecl *decl = hostler_event_decls; decl->kind; decl++)
                if (strcmp(decl->kind, kind) == 0)
                        return true;
        return false;
}

/* What could not be written earlier goes first, so the store has the events in order and without gaps. */
static void write_or_keep(EventLog *log, EventRow *row)
{
        if (write_unwritten(log) && store_event_append(log->store, row, NULL)) {
                row_free(row);
                prune(log);
                return;
        }
        row->seq = newest(log) + 1;
        g_queue_push_tail(&log->unwritten, row);
        if (g_queue_get_length(&log->unwritten) > UNWRITTEN_LIMIT)
                row_free(g_queue_pop_head(&log->unwritten));
}

/* True when nothing is left unwritten. */
static bool write_unwritten(EventLog *log)
{
        EventRow *row;
        while ((row = g_queue_peek_head(&log->unwritten))) {
                if (!store_event_append(log->store, row, NULL))
                        return false;
                row_free(g_queue_pop_head(&log->unwritten));
        }
        return true;
}

/* A prune that fails is tried again after the next interval: nothing else hangs on it. */
static void prune(EventLog *log)
{
        if (log->until_prune-- > 0)
                return;
        log->until_prune = PRUNE_INTERVAL;
        store_event_prune(log->store, KEPT, NULL);
}

static int64_t newest(EventLog *log)
{
        const EventRow *row = g_queue_peek_tail(&log->unwritten);
        return row ? row->seq : store_event_last(log->store);
}

static void schedule(EventLog *log)
{
        if (log->delivery)
                return;
        log->delivery = g_idle_source_new();
        g_source_set_priority(log->delivery, G_PRIORITY_DEFAULT);
        g_source_set_callback(log->delivery, deliver, log, NULL);
        g_source_attach(log->delivery, log->context);
}

static gboolean deliver(void *data)
{
        EventLog *log = data;
        for (;;) {
                g_mutex_lock(&log->lock);
                EventRow *row = g_queue_pop_head(&log->undelivered);
                if (!row)
                        g_clear_pointer(&log->delivery, g_source_unref);
                g_mutex_unlock(&log->lock);
                if (!row)
                        return G_SOURCE_REMOVE;
                deliver_one(log, row);
                row_free(row);
        }
}

/* Goes by handle and not by index: a listener may take itself or another one off while it runs, and the lock is not
 * held. */
static void deliver_one(EventLog *log, const EventRow *row)
{
        guint last = 0;
        for (;;) {
                Listener next = {0};
                g_mutex_lock(&log->lock);
                for (guint i = 0; i < log->listeners->len && !next.handle; i++) {
                        const Listener *listener = &g_array_index(log->listeners, Listener, i);
                        if (listener->handle > last && listener->after < row->seq)
                                next = *listener;
                }
                g_mutex_unlock(&log->lock);
                if (!next.handle)
                        return;
                last = next.handle;
                next.func(row, next.data);
        }
}
