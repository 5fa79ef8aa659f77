/*
 * Matches paths against the templates of the declared verbs. There is no tree: a few dozen templates are compared in
 * microseconds, and a list has no second copy of the routes to keep right. server.c calls it for every request that is
 * not one of its own pages.
 */
#include "api/route.h"

#include <string.h>

#include "base/error.h"
#include "base/record.h"

static bool is_parameter(const char *segment)
{
        size_t length = strlen(segment);

        return length > 2 && segment[0] == '{' && segment[length - 1] == '}';
}

/* Count of literal segments plus one, or 0 if @segments do not match @template. */
static unsigned match_score(const char *const *template, const char *const *segments)
{
        unsigned score = 1;

        for (; *template && *segments; template ++, segments++) {
                if (is_parameter(*template))
                        continue;
                if (!g_str_equal(*template, *segments))
                        return 0;
                score++;
        }
        return *template || *segments ? 0 : score;
}

static void add_method(GString *allow, const char *method)
{
        if (strstr(allow->str, method))
                return;
        g_string_append_printf(allow, "%s%s", allow->len > 0 ? ", " : "", method);
}

bool route_value_is_valid(const char *value)
{
        size_t length = strlen(value);

        if (length < 1 || length > 128 || !g_ascii_isalnum(value[0]) || strstr(value, ".."))
                return false;
        for (const char *c = value; *c; c++)
                if (!g_ascii_isalnum(*c) && !strchr("._:-", *c))
                        return false;
        return true;
}

static bool take_values(const char *const *template, const char *const *segments, Route *route, GError **error)
{
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        g_autoptr(GStrvBuilder) values = g_strv_builder_new();

        for (; *template; template ++, segments++) {
                if (!is_parameter(*template))
                        continue;
                g_autofree char *name = g_strndup(*template + 1, strlen(*template) - 2);
                g_autofree char *value = g_uri_unescape_segment(*segments, NULL, NULL);
                if (!value)
                        return error_set(error, HOSTLER_ERROR_USAGE, NULL, "the path is not correctly percent-encoded");
                if (!route_value_is_valid(value)) {
                        g_autofree char *pointer = g_strconcat("/", name, NULL);
                        error_set(error, HOSTLER_ERROR_INVALID, NULL, "the path names something that cannot exist");
                        error_cause(error, pointer,
                                    "not a name: use letters, digits, `.`, `-`, `_` and `:`, at most 128");
                        return false;
                }
                g_strv_builder_add(names, name);
                g_strv_builder_add(values, value);
        }
        route->names = g_strv_builder_end(names);
        route->values = g_strv_builder_end(values);
        return true;
}

static bool no_such_path(const VerbDecl *verbs, const char *path, GError **error)
{
        g_autoptr(GPtrArray) paths = g_ptr_array_new();

        for (const VerbDecl *verb = verbs; verb->id; verb++)
                g_ptr_array_add(paths, (gpointer)verb->path);
        g_ptr_array_add(paths, NULL);
        g_auto(GStrv) near = names_near(path, (const char *const *)paths->pdata);

        error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "the API has no such path");
        for (char **name = near; name && *name; name++)
                error_cause(error, NULL, "near: %s", *name);
        return error_hint(error, "All paths are in /v1/openapi.json.");
}

bool route_find(const VerbDecl *verbs, const char *method, const char *path, Route *ret_route, GError **error)
{
        g_autoptr(GString) allow = g_string_new(NULL);
        g_auto(GStrv) best_template = NULL;
        unsigned best = 0;

        *ret_route = (Route){0};
        if (strlen(path) > ROUTE_PATH_LIMIT)
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "the path is longer than %d bytes",
                                 ROUTE_PATH_LIMIT);
        g_auto(GStrv) segments = g_strsplit(path, "/", -1);

        for (const VerbDecl *verb = verbs; verb->id; verb++) {
                g_auto(GStrv) template = g_strsplit(verb->path, "/", -1);
                unsigned score = match_score((const char *const *)template, (const char *const *)segments);
                if (score == 0)
                        continue;
                add_method(allow, verb->method);
                if (score <= best || !g_str_equal(verb->method, method))
                        continue;
                best = score;
                ret_route->decl = verb;
                g_strfreev(best_template);
                best_template = g_steal_pointer(&template);
        }

        if (ret_route->decl)
                return take_values((const char *const *)best_template, (const char *const *)segments, ret_route, error);
        if (allow->len == 0)
                return no_such_path(verbs, path, error);
        ret_route->allow = g_strdup(allow->str);
        return error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s does not know %s; it knows %s", path, method,
                         allow->str);
}

void route_clear(Route *route)
{
        g_strfreev(route->names);
        g_strfreev(route->values);
        g_free(route->allow);
        *route = (Route){0};
}
