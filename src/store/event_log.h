/*
 * Events: what happened, in order, numbered without gaps, kept across restarts; and who listens.
 *
 * An event is stored before anyone sees it. Kinds and their fields are declared (`[event.vm-started]` …).
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "store/store.h"

typedef struct EventLog EventLog;

EventLog *event_log_new(Store *store, GMainContext *context); /* @store borrowed, must outlive */
void event_log_free(EventLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EventLog, event_log_free)
/*
 * Any thread. @kind must be declared (asserted); @data_taken: object or NULL. When the store cannot be written the
 * event is still delivered to listeners, with the next number, and written when there is space again.
 */
void event_emit(EventLog *log, const char *kind, const char *object, json_t *data_taken);
/* Runs on the context, in order of seq. Returns a handle for event_unlisten. */
typedef void (*EventFunc)(const EventRow *event, void *data);
guint event_listen(EventLog *log, EventFunc func, void *data);
void event_unlisten(EventLog *log, guint handle);
/* {"seq","time","kind","object","data"} as the API shows it. Owned by the caller. */
json_t *event_to_json(const EventRow *event);
