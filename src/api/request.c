/*
 * Reads bodies, queries and the three headers that verbs know into argument structs. Every limit on what a request may
 * contain is enforced here, except its size while it arrives (server.c). dispatch.c calls request_read() for each verb;
 * the fuzzer too.
 */
#include "api/request.h"

#include <string.h>

#include "base/error.h"
#include "base/record.h"

/* jansson's own depth limit is 2048 and costs stack; bytes inside strings do not count. */
static bool depth_is_within(const char *text, gsize length, unsigned limit)
{
        unsigned depth = 0;
        bool quoted = false;

        for (gsize i = 0; i < length; i++) {
                char c = text[i];
                if (quoted && c == '\\')
                        i++;
                else if (c == '"')
                        quoted = !quoted;
                else if (!quoted && (c == '{' || c == '['))
                        depth++;
                else if (!quoted && (c == '}' || c == ']') && depth > 0)
                        depth--;
                if (depth > limit)
                        return false;
        }
        return true;
}

json_t *request_body(const char *body, gsize length, GError **error)
{
        json_error_t fault;

        if (length == 0)
                return json_object();
        if (length > REQUEST_BODY_LIMIT) {
                error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "the body is over 1 MiB");
                return NULL;
        }
        if (!depth_is_within(body, length, REQUEST_DEPTH_LIMIT)) {
                error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "the body nests deeper than %d", REQUEST_DEPTH_LIMIT);
                return NULL;
        }
        json_t *json = json_loadb(body, length, JSON_REJECT_DUPLICATES, &fault);
        if (!json) {
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "the body is not JSON: %s (line %d, column %d)", fault.text,
                          fault.line, fault.column);
                return NULL;
        }
        if (!json_is_object(json)) {
                json_decref(json);
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "the body is not a JSON object");
                return NULL;
        }
        return json;
}

static bool body_is_json(const char *content_type, GError **error)
{
        g_autofree char *type = g_strdup(content_type ? content_type : "");

        g_strstrip(strtok(type, ";") ? type : strcpy(type, ""));
        if (!g_ascii_strcasecmp(type, "application/json") || !g_ascii_strcasecmp(type, "application/merge-patch+json"))
                return true;
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "the body's type is not JSON");
        return error_hint(error, "Send `Content-Type: application/json`.");
}

/* Puts @text into @args as JSON of @field's type; what is no field is left for the record to complain about. */
static bool put_text(json_t *args, const Field *field, const char *name, const char *text, GError **error)
{
        if (!field) {
                json_object_set_new(args, name, json_string(text));
                return true;
        }
        if (field->type == FIELD_LIST_STRING) {
                json_t *list = json_object_get(args, name);
                if (!list)
                        json_object_set_new(args, name, list = json_array());
                json_array_append_new(list, json_string(text));
                return true;
        }
        if (json_object_get(args, name))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "`%s` is given twice", name);
        json_t *value = field_parse_text(field, text, error);
        if (!value) {
                g_autofree char *pointer = g_strconcat("/", name, NULL);
                error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "`%s`", name);
                error_cause(error, pointer, "cannot be `%s`", text);
                return false;
        }
        json_object_set_new(args, name, value);
        return true;
}

static bool read_dry_run(const VerbDecl *decl, const char *value, Request *request, GError **error)
{
        if (decl->kind != VERB_JOB)
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s is not a job: there is nothing to plan",
                                 decl->id);
        if (!g_str_equal(value, "true") && !g_str_equal(value, "false"))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "dryRun is `true` or `false`");
        request->dry_run = value[0] == 't';
        return true;
}

static bool takes_body(const char *method)
{
        return !g_str_equal(method, "GET") && !g_str_equal(method, "DELETE");
}

static bool read_query(const VerbDecl *decl, const RequestText *text, json_t *args, Request *request, GError **error)
{
        GUriParamsIter iter;
        g_autoptr(GError) fault = NULL;
        unsigned count = 0;

        g_uri_params_iter_init(&iter, text->query ? text->query : "", -1, "&", G_URI_PARAMS_WWW_FORM);
        while (true) {
                g_autofree char *name = NULL, *value = NULL;
                if (!g_uri_params_iter_next(&iter, &name, &value, &fault))
                        break;
                if (++count > REQUEST_QUERY_LIMIT)
                        return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "over %d query parameters",
                                         REQUEST_QUERY_LIMIT);
                bool good;
                if (g_str_equal(name, "dryRun"))
                        good = read_dry_run(decl, value, request, error);
                else if (takes_body(text->method))
                        good = error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                         "%s takes its arguments in the body, not in the query", text->method);
                else
                        good = put_text(args, decl->args ? record_field(decl->args, name) : NULL, name, value, error);
                if (!good)
                        return false;
        }
        return !fault || error_set(error, HOSTLER_ERROR_USAGE, NULL, "the query is malformed: %s", fault->message);
}

static bool read_path(const Route *route, json_t *args, GError **error)
{
        g_autoptr(GPtrArray) faults = faults_new();

        for (size_t i = 0; route->names && route->names[i]; i++) {
                const char *name = route->names[i];
                if (json_object_get(args, name)) {
                        g_autofree char *pointer = g_strconcat("/", name, NULL);
                        faults_add(faults, pointer, "comes from the path");
                }
                json_object_set_new(args, name, json_string(route->values[i]));
        }
        return faults_check(faults, NULL, error);
}

/* A strong entity tag around a generation: "5". */
static bool read_if_match(const VerbDecl *decl, const char *tag, json_t *args, GError **error)
{
        guint64 generation = 0;

        if (!tag)
                return true;
        if (!decl->args || !record_field(decl->args, "generation"))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s does not honour If-Match", decl->id);
        if (json_object_get(args, "generation"))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                 "the generation is given twice: by If-Match and by the argument");
        if (g_str_equal(tag, "*"))
                return true;
        size_t length = strlen(tag);
        bool quoted = length > 2 && tag[0] == '"' && tag[length - 1] == '"';
        g_autofree char *digits = quoted ? g_strndup(tag + 1, length - 2) : NULL;
        if (!digits || !g_ascii_string_to_unsigned(digits, 10, 1, G_MAXINT64, &generation, NULL))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                 "If-Match is not one strong entity tag such as \"5\"");
        json_object_set_new(args, "generation", json_integer((json_int_t)generation));
        return true;
}

static bool read_key(const VerbDecl *decl, const char *key, Request *request, GError **error)
{
        if (!key)
                return true;
        if (decl->kind != VERB_JOB)
                return error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                 "%s is not a job: it cannot be remembered by an Idempotency-Key", decl->id);
        size_t length = strlen(key);
        bool good = length >= 1 && length <= REQUEST_KEY_LIMIT;
        for (const char *c = key; good && *c; c++)
                good = g_ascii_isgraph(*c);
        if (!good)
                return error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                 "Idempotency-Key is not 1 to %d printable ASCII characters", REQUEST_KEY_LIMIT);
        request->key = g_strdup(key);
        return true;
}

static json_t *read_body(const RequestText *text, GError **error)
{
        if (text->body_length == 0)
                return json_object();
        if (!takes_body(text->method)) {
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s takes its arguments in the query, not in a body",
                          text->method);
                return NULL;
        }
        return body_is_json(text->content_type, error) ? request_body(text->body, text->body_length, error) : NULL;
}

static bool read_args(const Route *route, json_t *args, Request *request, GError **error)
{
        const VerbDecl *decl = route->decl;

        if (!decl->args) {
                if (json_object_size(args) > 0)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s takes no arguments", decl->id);
                return true;
        }
        g_autofree void *value = g_malloc0(decl->args->size);
        if (!record_from_json(decl->args, args, "", value, error))
                return false;
        request->args = g_steal_pointer(&value);
        return true;
}

bool request_read(const Route *route, const RequestText *text, Request *ret_request, GError **error)
{
        const VerbDecl *decl = route->decl;

        *ret_request = (Request){0};
        json_t *args = read_body(text, error);
        bool good = args && read_query(decl, text, args, ret_request, error) && read_path(route, args, error) &&
                    read_if_match(decl, text->if_match, args, error) &&
                    read_key(decl, text->idempotency_key, ret_request, error) &&
                    read_args(route, args, ret_request, error);
        json_decref(args);
        if (!good)
                request_clear(decl, ret_request);
        return good;
}

void request_clear(const VerbDecl *decl, Request *request)
{
        if (request->args)
                record_clear(decl->args, request->args);
        g_free(request->args);
        g_free(request->key);
        *request = (Request){0};
}
