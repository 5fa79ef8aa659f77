/*
 * Routes, roles and the reading of requests: pure, over the declared verbs.
 */
#include <string.h>

#include "api/auth.h"
#include "api/request.h"
#include "api/route.h"
#include "base/error.h"

static Route find(const char *method, const char *path)
{
        g_autoptr(GError) error = NULL;
        Route route;

        route_find(hostler_verbs, method, path, &route, &error);
        g_assert_no_error(error);
        return route;
}

static void assert_no_route(const char *method, const char *path, HostlerErrorCode code, const char *allow)
{
        g_autoptr(GError) error = NULL;
        Route route;

        g_assert_false(route_find(hostler_verbs, method, path, &route, &error));
        g_assert_error(error, HOSTLER_ERROR, (int)code);
        g_assert_cmpstr(route.allow, ==, allow);
        route_clear(&route);
}

static void test_route_finds(void)
{
        static const struct {
                const char *method, *path, *verb, *value;
        } cases[] = {
            {"GET", "/v1/vms", "vm.ls", NULL},
            {"GET", "/v1/vms/web1", "vm.show", "web1"},
            {"PATCH", "/v1/vms/web1", "vm.set", "web1"},
            {"DELETE", "/v1/vms/web1", "vm.rm", "web1"},
            {"POST", "/v1/vms/web1/start", "vm.start", "web1"},
            {"POST", "/v1/images/debian%3A12/build", "image.build", "debian:12"},
            {"GET", "/v1/events/stream", "event.watch", NULL},
            {"DELETE", "/v1/jobs/42", "job.cancel", "42"},
            {"GET", "/v1/jobs/42/wait", "job.wait", "42"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                Route route = find(cases[i].method, cases[i].path);
                g_assert_cmpstr(route.decl->id, ==, cases[i].verb);
                g_assert_cmpstr(route.values[0], ==, cases[i].value);
                route_clear(&route);
        }
}

static void test_every_verb_has_its_route(void)
{
        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++) {
                g_autoptr(GRegex) parameters = g_regex_new("\\{[a-z_]+\\}", 0, 0, NULL);
                g_autofree char *path = g_regex_replace_literal(parameters, verb->path, -1, 0, "x1", 0, NULL);
                Route route = find(verb->method, path);
                g_assert_true(route.decl == verb);
                route_clear(&route);
        }
}

static void test_route_refuses(void)
{
        g_autofree char *path = g_strnfill(ROUTE_PATH_LIMIT + 1, '/');

        assert_no_route("GET", "/v1/vmz", HOSTLER_ERROR_NOT_FOUND, NULL);
        assert_no_route("GET", "/v1/vms/", HOSTLER_ERROR_INVALID, NULL);
        assert_no_route("PUT", "/v1/vms/web1", HOSTLER_ERROR_USAGE, "GET, PATCH, DELETE");
        assert_no_route("GET", path, HOSTLER_ERROR_USAGE, NULL);
        assert_no_route("GET", "/v1/vms/%00", HOSTLER_ERROR_USAGE, NULL);
        assert_no_route("GET", "/v1/vms/%zz", HOSTLER_ERROR_USAGE, NULL);
        assert_no_route("GET", "/v1/vms/..", HOSTLER_ERROR_INVALID, NULL);
        assert_no_route("GET", "/v1/vms/a%2Fb", HOSTLER_ERROR_INVALID, NULL);
        assert_no_route("GET", "/v1/vms/a%0Ab", HOSTLER_ERROR_INVALID, NULL);
        assert_no_route("GET", "/v1/vms/a,b", HOSTLER_ERROR_INVALID, NULL);
}

static void test_route_names_near_paths(void)
{
        g_autoptr(GError) error = NULL;
        Route route;

        g_assert_false(route_find(hostler_verbs, "GET", "/v1/vmss", &route, &error));
        json_t *problem = error_to_json(error);
        g_autofree char *text = json_dumps(problem, 0);
        g_assert_nonnull(strstr(text, "/v1/vms"));
        json_decref(problem);
}

static bool read_with(const char *method, const char *path, RequestText text, Request *ret_request, GError **error)
{
        Route route = find(method, path);

        text.method = method;
        if (text.body) {
                text.body_length = text.body_length ? text.body_length : strlen(text.body);
                text.content_type = text.content_type ? text.content_type : "application/json";
        }
        bool good = request_read(&route, &text, ret_request, error);
        route_clear(&route);
        return good;
}

static void assert_refused(const char *method, const char *path, RequestText text, HostlerErrorCode code)
{
        g_autoptr(GError) error = NULL;
        Request request;

        g_assert_false(read_with(method, path, text, &request, &error));
        g_assert_error(error, HOSTLER_ERROR, (int)code);
        g_assert_null(request.args);
        g_assert_null(request.key);
}

static void test_reads_body(void)
{
        g_autoptr(GError) error = NULL;
        Request request;
        RequestText text = {.body = "{\"spec\":{\"cpu\":{\"count\":4}}}",
                            .content_type = "application/merge-patch+json; charset=utf-8",
                            .if_match = "\"5\"",
                            .idempotency_key = "k-1"};

        g_assert_true(read_with("PATCH", "/v1/vms/web1", text, &request, &error));
        g_assert_no_error(error);
        const HostlerVmSetArgs *args = request.args;
        g_assert_cmpstr(args->vm, ==, "web1");
        g_assert_cmpint(args->generation, ==, 5);
        g_assert_nonnull(strstr(args->spec, "count"));
        g_assert_cmpstr(request.key, ==, "k-1");
        g_assert_false(request.dry_run);
        request_clear(verb_find("vm", "set"), &request);
}

static void test_reads_query(void)
{
        g_autoptr(GError) error = NULL;
        Request request;

        g_assert_true(
            read_with("DELETE", "/v1/vms/web1", (RequestText){.query = "now=true&dryRun=true"}, &request, &error));
        g_assert_no_error(error);
        const HostlerVmRmArgs *rm = request.args;
        g_assert_true(rm->now);
        g_assert_true(request.dry_run);
        request_clear(verb_find("vm", "rm"), &request);

        g_assert_true(read_with("GET", "/v1/jobs/7", (RequestText){.query = "wait=30s"}, &request, &error));
        const HostlerJobShowArgs *show = request.args;
        g_assert_cmpint(show->wait, ==, 30000);
        request_clear(verb_find("job", "show"), &request);
}

static void test_refuses_bodies(void)
{
        const char *create = "/v1/vms", *set = "/v1/vms/web1";
        g_autofree char *big = g_strnfill(REQUEST_BODY_LIMIT + 1, ' ');

        assert_refused("POST", create, (RequestText){.body = "{"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "[]"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "\"\""}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{\"name\":\"a\",\"name\":\"b\"}"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{\"name\":\"\xff\"}"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{\"name\":\"a\\u0000b\"}"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{} {}"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{}", .content_type = "text/plain"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = "{}", .content_type = ";"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", create, (RequestText){.body = big}, HOSTLER_ERROR_TOO_LARGE);
        assert_refused("POST", create, (RequestText){.body = "{}"}, HOSTLER_ERROR_INVALID);
        assert_refused("POST", create, (RequestText){.body = "{\"name\":\"a\",\"x\":1}"}, HOSTLER_ERROR_INVALID);
        assert_refused("PATCH", set, (RequestText){.body = "{\"vm\":\"other\",\"spec\":{}}"}, HOSTLER_ERROR_INVALID);
        assert_refused("GET", create, (RequestText){.body = "{}"}, HOSTLER_ERROR_USAGE);
}

static void test_refuses_depth(void)
{
        static const char *const brackets[] = {"[", "{\"a\":"};

        for (size_t i = 0; i < G_N_ELEMENTS(brackets); i++) {
                g_autoptr(GString) deep = g_string_new("{\"spec\":");
                for (int level = 0; level < REQUEST_DEPTH_LIMIT; level++)
                        g_string_append(deep, brackets[i]);
                assert_refused("PATCH", "/v1/vms/web1", (RequestText){.body = deep->str}, HOSTLER_ERROR_TOO_LARGE);
        }
        /* Brackets inside strings do not count. */
        g_autofree char *name = g_strnfill(200, '[');
        g_autofree char *quoted = g_strdup_printf("{\"spec\":{\"\\\"%s\":1}}", name);
        g_autoptr(GError) error = NULL;
        json_t *json = request_body(quoted, strlen(quoted), &error);
        g_assert_no_error(error);
        json_decref(json);
}

static void test_refuses_queries(void)
{
        const char *list = "/v1/vms";
        g_autoptr(GString) many = g_string_new("limit=1");

        for (int i = 0; i < REQUEST_QUERY_LIMIT; i++)
                g_string_append(many, "&limit=1");
        assert_refused("GET", list, (RequestText){.query = many->str}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", list, (RequestText){.query = "limit=1&limit=1"}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", list, (RequestText){.query = "limit=x"}, HOSTLER_ERROR_INVALID);
        assert_refused("GET", list, (RequestText){.query = "limit=0"}, HOSTLER_ERROR_INVALID);
        assert_refused("GET", list, (RequestText){.query = "color=red"}, HOSTLER_ERROR_INVALID);
        assert_refused("GET", list, (RequestText){.query = "limit=%zz"}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", list, (RequestText){.query = "limit"}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", list, (RequestText){.query = "dryRun=true"}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", "/v1/vms/web1", (RequestText){.query = "vm=other"}, HOSTLER_ERROR_INVALID);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.query = "dryRun=1"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.query = "now=true"}, HOSTLER_ERROR_USAGE);
}

static void test_refuses_headers(void)
{
        static const char *const tags[] = {"5",     "W/\"5\"", "\"5\", \"6\"", "\"\"",
                                           "\"0\"", "\"-1\"",  "\"5",          "\"99999999999999999999\""};
        const char *body = "{\"spec\":{\"cpu\":{\"count\":4}}}";
        g_autofree char *key = g_strnfill(REQUEST_KEY_LIMIT + 1, 'k');

        for (size_t i = 0; i < G_N_ELEMENTS(tags); i++)
                assert_refused("PATCH", "/v1/vms/web1", (RequestText){.body = body, .if_match = tags[i]},
                               HOSTLER_ERROR_USAGE);
        assert_refused("PATCH", "/v1/vms/web1",
                       (RequestText){.body = "{\"generation\":5,\"spec\":{}}", .if_match = "\"5\""},
                       HOSTLER_ERROR_USAGE);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.if_match = "\"5\""}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.idempotency_key = ""}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.idempotency_key = "a b"}, HOSTLER_ERROR_USAGE);
        assert_refused("POST", "/v1/vms/web1/start", (RequestText){.idempotency_key = key}, HOSTLER_ERROR_USAGE);
        assert_refused("GET", "/v1/vms", (RequestText){.idempotency_key = "k"}, HOSTLER_ERROR_USAGE);
}

static void test_roles(void)
{
        const AuthRule session = {.owner = 1000}, system = {.system_mode = true, .operators = 70};
        const AuthRule without = {.system_mode = true, .operators = AUTH_NO_GROUP};
        const gid_t groups[] = {5, 70}, none[] = {AUTH_NO_GROUP};

        g_assert_cmpint(auth_role(&session, 1000, 1000, NULL, 0), ==, ROLE_ADMIN);
        g_assert_cmpint(auth_role(&session, 0, 0, NULL, 0), ==, ROLE_ADMIN);
        g_assert_cmpint(auth_role(&session, 1001, 70, groups, 2), ==, ROLE_NONE);
        g_assert_cmpint(auth_role(&system, 0, 0, NULL, 0), ==, ROLE_ADMIN);
        g_assert_cmpint(auth_role(&system, 1000, 1000, groups, 2), ==, ROLE_OPERATOR);
        g_assert_cmpint(auth_role(&system, 1000, 70, NULL, 0), ==, ROLE_OPERATOR);
        g_assert_cmpint(auth_role(&system, 1000, 1000, groups, 1), ==, ROLE_NONE);
        g_assert_cmpint(auth_role(&without, 1000, 1000, none, 1), ==, ROLE_NONE);
}

static void test_every_verb_and_role(void)
{
        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++) {
                g_assert_cmpint(verb->role, >, ROLE_NONE);
                for (Role role = ROLE_NONE; role <= ROLE_ADMIN; role++) {
                        g_autoptr(GError) error = NULL;
                        Caller caller = {.uid = 7, .role = role};
                        bool allowed = auth_check(&caller, verb->role, verb->id, &error);
                        g_assert_true(allowed == (role >= verb->role));
                        g_assert_true(allowed || error_is(error, HOSTLER_ERROR_DENIED));
                }
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/api/route/finds", test_route_finds);
        g_test_add_func("/api/route/every-verb", test_every_verb_has_its_route);
        g_test_add_func("/api/route/refuses", test_route_refuses);
        g_test_add_func("/api/route/near", test_route_names_near_paths);
        g_test_add_func("/api/request/body", test_reads_body);
        g_test_add_func("/api/request/query", test_reads_query);
        g_test_add_func("/api/request/refuses-bodies", test_refuses_bodies);
        g_test_add_func("/api/request/refuses-depth", test_refuses_depth);
        g_test_add_func("/api/request/refuses-queries", test_refuses_queries);
        g_test_add_func("/api/request/refuses-headers", test_refuses_headers);
        g_test_add_func("/api/auth/roles", test_roles);
        g_test_add_func("/api/auth/every-verb", test_every_verb_and_role);
        return g_test_run();
}
