/*
 * Events as a server-sent event stream (WHATWG HTML, "Server-sent events"). Private to src/api.
 *
 * GET /v1/events/stream, or GET /v1/events with `Accept: text/event-stream`. `since`, or the header Last-Event-ID,
 * which wins, replays what is kept after that number; without either only new events come. Each is `id: SEQ`, `event:
 * KIND`, `data: {…}`; none is left out and none comes twice. A comment every EVENTS_HEARTBEAT_MS shows that the daemon
 * lives. A reader that is more than EVENTS_QUEUE_LIMIT behind is cut off; it can come back with Last-Event-ID.
 */
#pragma once

#include "api/exchange.h"

#define EVENTS_QUEUE_LIMIT (1024 * 1024) /* bytes */
#define EVENTS_HEARTBEAT_MS 15000

EventStreams *event_streams_new(ApiServer *server);
/* Ends every stream. */
void event_streams_free(EventStreams *streams);
/* Takes the exchange of event.watch. */
void events_start(Exchange *exchange);
