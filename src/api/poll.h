/*
 * Long polls: requests that are answered when something has happened, without a thread of their own. Private to
 * src/api.
 *
 *     GET /v1/jobs/{job}?wait=30s            the job at its end, or as it is then
 *     GET /v1/jobs/{job}/wait?timeout=10m    the job at its end, or HOSTLER_ERROR_TIMEOUT
 *     GET /v1/vms/{vm}/wait?for=ip           the VM when it has come to that, or HOSTLER_ERROR_TIMEOUT
 *
 * A look (on a worker thread) is taken at the start, at each event about the object, and when the time is up.
 */
#pragma once

#include "api/exchange.h"

Polls *polls_new(ApiServer *server);
/* Ends every poll without an answer. */
void polls_free(Polls *polls);
/* True for job.show with `wait`. */
bool poll_wanted(Exchange *exchange);
/* Takes the exchange of one of the verbs above. */
void poll_start(Exchange *exchange);
