/*
 * The serial console over a WebSocket (RFC 6455). Private to src/api.
 *
 * GET /v1/vms/{vm}/console with an upgrade. Binary or text messages carry bytes to the guest, binary ones from it. The
 * close frame always says why. A reader more than CONSOLE_QUEUE_LIMIT behind is cut off (the log has it all).
 */
#pragma once

#include "api/exchange.h"

#define CONSOLE_QUEUE_LIMIT (1024 * 1024) /* bytes from the guest not yet written */
#define CONSOLE_MESSAGE_LIMIT (64 * 1024) /* bytes of one message from the client */

Consoles *consoles_new(ApiServer *server);
/* Says to every client that the daemon is stopping; they are gone once the context has run a little. */
void consoles_stop(Consoles *consoles);
bool consoles_are_idle(Consoles *consoles);
void consoles_free(Consoles *consoles);
/* Takes the exchange of vm.console. */
void console_start(Exchange *exchange);
