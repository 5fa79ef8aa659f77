/*
 * What the API answers beside the declared verbs. Private to src/api.
 *
 *     GET /                  where to look
 *     GET /v1/version        {"name","version","mode"}
 *     GET /v1/openapi.json   the API's description
 *     GET /metrics           OpenMetrics text
 *
 * Everybody with a role may read them.
 */
#pragma once

#include "api/exchange.h"

typedef struct {
        const char *path;
        ExchangeFunc show; /* takes the exchange */
} Page;

/* The page at @path, or NULL. */
const Page *page_find(const char *path);
