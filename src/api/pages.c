/*
 * The few fixed pages. server.c looks here first.
 */
#include "api/pages.h"

#include "base/error.h"

static void show_hint(Exchange *exchange)
{
        exchange->reply =
            reply_text(SOUP_STATUS_OK, "text/plain; charset=utf-8",
                       g_strdup("Hostler's API. Its description is at /v1/openapi.json, metrics are at /metrics.\n"));
        exchange_reply(exchange);
}

static void show_version(Exchange *exchange)
{
        const ApiHooks *hooks = &exchange->server->hooks;

        exchange->reply =
            reply_json(SOUP_STATUS_OK, json_pack("{s:s, s:s, s:s}", "name", "hostler", "version", hooks->version,
                                                 "mode", hooks->auth.system_mode ? "system" : "session"));
        exchange_reply(exchange);
}

static void show_openapi(Exchange *exchange)
{
        exchange->reply = reply_text(SOUP_STATUS_OK, "application/json", g_strdup(exchange->server->hooks.openapi));
        exchange_reply(exchange);
}

/* Worker thread: counting takes locks. */
static void collect_metrics(Exchange *exchange)
{
        const ApiHooks *hooks = &exchange->server->hooks;

        exchange->reply = reply_text(SOUP_STATUS_OK, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                                     hooks->metrics(hooks->manager));
}

static void show_metrics(Exchange *exchange)
{
        g_autoptr(GError) error = NULL;

        if (!exchange_run(exchange, collect_metrics, exchange_reply, &error))
                exchange_fail(exchange, error);
}

const Page *page_find(const char *path)
{
        static const Page pages[] = {
            {"/", show_hint},
            {"/metrics", show_metrics},
            {"/v1/version", show_version},
            {"/v1/openapi.json", show_openapi},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(pages); i++)
                if (g_str_equal(pages[i].path, path))
                        return &pages[i];
        return NULL;
}
