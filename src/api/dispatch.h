/*
 * Runs the verb of an exchange whose request has been read and allowed. Private to src/api.
 */
#pragma once

#include "api/exchange.h"

/*
 * Takes the exchange. A call is answered with its result, or 204 without one; a job with 202, its place in Location and
 * the job as body, or as dry run with {"steps": […]}; a verb that waits or streams by poll.h, events.h or bridge.h.
 */
void dispatch(Exchange *exchange);
