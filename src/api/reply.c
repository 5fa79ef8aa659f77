/*
 * Turns results and errors into responses. Lists are printed record by record straight into text: ten thousand VMs
 * never exist as a JSON tree. Built on worker threads by dispatch.c and poll.c; sent by exchange.c.
 */
#include "api/reply.h"

#include <string.h>

#include "base/error.h"
#include "base/record.h"

#define TYPE_JSON "application/json"
#define TYPE_PROBLEM "application/problem+json"

Reply reply_text(guint status, const char *type, char *body_taken)
{
        return (Reply){.status = status, .type = type, .body = body_taken, .length = strlen(body_taken)};
}

/* jansson's text comes from its own allocator's malloc, as g_free() expects since GLib 2.46. */
Reply reply_json(guint status, json_t *json_taken)
{
        Reply reply = reply_text(status, TYPE_JSON, json_dumps(json_taken, JSON_COMPACT));

        json_decref(json_taken);
        return reply;
}

static char *etag_of(const RecordType *type, const void *record)
{
        const Field *field = record_field(type, "generation");

        if (!field || field->type != FIELD_INT)
                return NULL;
        int64_t generation = *(const int64_t *)((const char *)record + field->offset);
        return generation == HOSTLER_UNSET ? NULL : g_strdup_printf("\"%" G_GINT64_FORMAT "\"", generation);
}

Reply reply_result(const VerbDecl *decl, const void *result)
{
        if (decl->result_shape == RESULT_NONE)
                return (Reply){.status = SOUP_STATUS_NO_CONTENT};

        GString *out = g_string_new(NULL);
        Reply reply = {.status = SOUP_STATUS_OK, .type = TYPE_JSON};
        if (decl->result_shape == RESULT_LIST) {
                record_list_print(decl->result, result, out);
        } else {
                record_print(decl->result, result, out);
                reply.etag = etag_of(decl->result, result);
        }
        reply.length = out->len;
        reply.body = g_string_free(out, false);
        return reply;
}

Reply reply_problem(const GError *error, guint status)
{
        json_t *problem = error_to_json(error);

        if (status != 0)
                json_object_set_new(problem, "status", json_integer(status));
        Reply reply = reply_json(status != 0 ? status : (guint)error_decl_of(error)->http_status, problem);
        reply.type = TYPE_PROBLEM;
        return reply;
}

void reply_send(Reply *reply, SoupServerMessage *message)
{
        SoupMessageHeaders *headers = soup_server_message_get_response_headers(message);

        soup_server_message_set_status(message, reply->status, NULL);
        if (reply->etag)
                soup_message_headers_replace(headers, "ETag", reply->etag);
        if (reply->location)
                soup_message_headers_replace(headers, "Location", reply->location);
        if (reply->allow)
                soup_message_headers_replace(headers, "Allow", reply->allow);
        soup_message_headers_replace(headers, "Cache-Control", "no-store");
        soup_message_headers_replace(headers, "Connection", "close"); /* see connection.h */
        soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
        if (reply->body)
                soup_server_message_set_response(message, reply->type, SOUP_MEMORY_TAKE, g_steal_pointer(&reply->body),
                                                 reply->length);
        reply_clear(reply);
}

char *reply_raw(const Reply *reply)
{
        return g_strdup_printf(
            "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", reply->status,
            soup_status_get_phrase(reply->status), reply->type, reply->length, reply->body);
}

void reply_clear(Reply *reply)
{
        g_free(reply->body);
        g_free(reply->etag);
        g_free(reply->location);
        g_free(reply->allow);
        *reply = (Reply){0};
}

/* Every generated list is a pointer and a count. */
size_t result_size(const VerbDecl *decl)
{
        if (decl->result_shape == RESULT_NONE)
                return 0;
        return decl->result_shape == RESULT_LIST ? sizeof(HostlerJobList) : decl->result->size;
}

void result_clear(const VerbDecl *decl, void *result)
{
        if (decl->result_shape == RESULT_ONE)
                record_clear(decl->result, result);
        if (decl->result_shape == RESULT_LIST)
                record_list_clear(decl->result, result);
}
