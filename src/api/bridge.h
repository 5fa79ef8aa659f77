/*
 * Streams of bytes (a serial console, a screen's viewer) over WebSockets (RFC 6455). Private to src/api.
 *
 * GET /v1/vms/{vm}/console or …/vnc with an upgrade. Binary or text messages carry bytes to the guest, binary ones from
 * it. The close frame always says why. A reader that is behind makes a stream wait that can; where others listen too
 * it is cut off once it is BRIDGE_QUEUE_LIMIT behind (the console's log has it all).
 */
#pragma once

#include "api/exchange.h"

#define BRIDGE_QUEUE_LIMIT (1024 * 1024) /* bytes from the guest not yet written */
#define BRIDGE_MESSAGE_LIMIT (64 * 1024) /* bytes of one message from the client */

Bridges *bridges_new(ApiServer *server);
/* Says to every client that the daemon is stopping; they are gone once the context has run a little. */
void bridges_stop(Bridges *bridges);
bool bridges_are_idle(Bridges *bridges);
void bridges_free(Bridges *bridges);
/* Takes the exchange of a verb that is a stream. */
void bridge_start(Exchange *exchange);
