/*
 * From a declared verb and its arguments to what goes over the wire. Pure: sends nothing. Called by client_call().
 *
 * Arguments named in the path go there, escaped. Of the rest, GET and DELETE carry a query, the others a JSON body; the
 * argument `generation` becomes If-Match.
 */
#include "base/error.h"
#include "base/units.h"
#include "client/transport.h"

static char *path_with_args(const VerbDecl *verb, const json_t *args, GError **error);
static void query_append(GString *query, const char *name, const char *value);
static char *query_value(const Field *field, const json_t *value);
static json_t *args_outside_path(const VerbDecl *verb, const json_t *args);
static char *query_of(const VerbDecl *verb, const json_t *rest, bool dry_run);

bool client_request_build(const VerbDecl *verb, const json_t *args, bool dry_run, ClientRequest *ret_request,
                          GError **error)
{
        bool has_body = !g_str_equal(verb->method, "GET") && !g_str_equal(verb->method, "DELETE");
        g_autofree char *path = path_with_args(verb, args, error);

        *ret_request = (ClientRequest){0};
        if (!path)
                return false;

        json_auto_t *rest = args_outside_path(verb, args);
        const json_t *generation = json_object_get(rest, "generation");
        if (generation) {
                ret_request->if_match = g_strdup_printf("\"%" JSON_INTEGER_FORMAT "\"", json_integer_value(generation));
                json_object_del(rest, "generation");
        }
        if (has_body)
                ret_request->body = json_dumps(rest, JSON_COMPACT);
        g_autofree char *query = query_of(verb, has_body ? NULL : rest, dry_run);
        ret_request->target = g_strconcat(path, *query ? "?" : "", query, NULL);
        return true;
}

void client_request_clear(ClientRequest *request)
{
        g_clear_pointer(&request->target, g_free);
        g_clear_pointer(&request->body, free);
        g_clear_pointer(&request->if_match, g_free);
}

static char *path_with_args(const VerbDecl *verb, const json_t *args, GError **error)
{
        g_autoptr(GString) path = g_string_new(NULL);
        const char *at = verb->path;

        for (const char *open; (open = strchr(at, '{')); at = strchr(open, '}') + 1) {
                g_autofree char *name = g_strndup(open + 1, (gsize)(strchr(open, '}') - open - 1));
                const char *value = json_string_value(json_object_get(args, name));

                if (!value || !*value) {
                        error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s needs its argument %s", verb->id, name);
                        return NULL;
                }
                g_string_append_len(path, at, open - at);
                g_string_append_uri_escaped(path, value, NULL, false);
        }
        g_string_append(path, at);
        return g_string_free(g_steal_pointer(&path), false);
}

static json_t *args_outside_path(const VerbDecl *verb, const json_t *args)
{
        json_t *rest = json_object();
        const char *name;
        json_t *value;

        json_object_foreach ((json_t *)args, name, value) {
                const Field *field = record_field(verb->args, name);

                if (!field || !(field->flags & FIELD_IN_PATH))
                        json_object_set(rest, name, value);
        }
        return rest;
}

static char *query_of(const VerbDecl *verb, const json_t *rest, bool dry_run)
{
        g_autoptr(GString) query = g_string_new(NULL);
        const char *name;
        json_t *value;

        json_object_foreach ((json_t *)rest, name, value) {
                g_autofree char *text = query_value(record_field(verb->args, name), value);

                query_append(query, name, text);
        }
        if (dry_run)
                query_append(query, "dryRun", "true");
        return g_string_free(g_steal_pointer(&query), false);
}

static void query_append(GString *query, const char *name, const char *value)
{
        g_string_append_printf(query, "%s%s=", query->len ? "&" : "", name);
        g_string_append_uri_escaped(query, value, NULL, false);
}

/* A bare number means seconds in text but milliseconds in JSON, so durations carry their unit. */
static char *query_value(const Field *field, const json_t *value)
{
        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        if (json_is_integer(value) && field && field->type == FIELD_DURATION)
                return g_strdup_printf("%" JSON_INTEGER_FORMAT "ms", json_integer_value(value));

        char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        char *text = g_strdup(dumped);
        free(dumped);
        return text;
}
