/*
 * Requests as they come from the network, behind HTTP: a line "METHOD PATH[?QUERY]", a line of headers' values (content
 * type, If-Match, Idempotency-Key, separated by tabs), and the body. Whatever is accepted must be printable and free
 * cleanly.
 */
#include <string.h>

#include "api/request.h"
#include "base/error.h"
#include "base/record.h"
#include "fuzz.h"

static void read_one(char *line, char *headers, const char *body, size_t length)
{
        g_auto(GStrv) words = g_strsplit(line, " ", 2);
        g_auto(GStrv) values = g_strsplit(headers, "\t", 3);
        g_autoptr(GError) error = NULL;
        Route route = {0};
        Request request;

        if (g_strv_length(words) < 2 || g_strv_length(values) < 3)
                return;
        char *query = strchr(words[1], '?');
        if (query)
                *query++ = '\0';
        RequestText text = {
            .method = words[0],
            .query = query,
            .content_type = *values[0] ? values[0] : "application/json",
            .if_match = *values[1] ? values[1] : NULL,
            .idempotency_key = *values[2] ? values[2] : NULL,
            .body = body,
            .body_length = length,
        };
        if (route_find(hostler_verbs, words[0], words[1], &route, &error) &&
            request_read(&route, &text, &request, &error)) {
                g_autoptr(GString) out = g_string_new(NULL);
                if (request.args)
                        record_print(route.decl->args, request.args, out);
                request_clear(route.decl, &request);
        }
        json_t *problem = error ? error_to_json(error) : NULL;
        json_decref(problem);
        route_clear(&route);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *text = g_strndup((const char *)data, size);
        char *headers = strchr(text, '\n');
        char *body = headers ? strchr(headers + 1, '\n') : NULL;

        if (!body)
                return 0;
        *headers++ = '\0';
        *body++ = '\0';
        read_one(text, headers, body, size - (size_t)(body - text));
        return 0;
}
