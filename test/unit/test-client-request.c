/* How verbs and arguments become requests. */
#include "base/error.h"
#include "client/transport.h"

static void expect(const char *noun, const char *verb, const char *args, bool dry_run, const char *target,
                   const char *body)
{
        json_auto_t *json = json_loads(args, 0, NULL);
        g_auto(ClientRequest) request = {0};
        g_autoptr(GError) error = NULL;

        g_assert_true(client_request_build(verb_find(noun, verb), json, dry_run, &request, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(request.target, ==, target);
        g_assert_cmpstr(request.body, ==, body);
}

static void test_targets(void)
{
        expect("vm", "ls", "{}", false, "/v1/vms", NULL);
        expect("vm", "ls", "{\"filter\":\"name=a b&c\",\"trash\":true,\"limit\":5}", false,
               "/v1/vms?filter=name%3Da%20b%26c&trash=true&limit=5", NULL);
        expect("vm", "start", "{\"vm\":\"web1\"}", false, "/v1/vms/web1/start", "{}");
        expect("vm", "start", "{\"vm\":\"../a?b\"}", true, "/v1/vms/..%2Fa%3Fb/start?dryRun=true", "{}");
        expect("vm", "stop", "{\"vm\":\"a\",\"timeout\":90000}", false, "/v1/vms/a/stop", "{\"timeout\":90000}");
        expect("job", "show", "{\"job\":\"7\",\"wait\":250}", false, "/v1/jobs/7?wait=250ms", NULL);
        expect("vm", "rm", "{\"vm\":\"a\",\"now\":true}", false, "/v1/vms/a?now=true", NULL);
}

static void test_generation(void)
{
        json_auto_t *args = json_loads("{\"vm\":\"a\",\"generation\":3,\"spec\":{\"cpu\":{\"count\":2}}}", 0, NULL);
        g_auto(ClientRequest) request = {0};

        g_assert_true(client_request_build(verb_find("vm", "set"), args, false, &request, NULL));
        g_assert_cmpstr(request.if_match, ==, "\"3\"");
        g_assert_cmpstr(request.body, ==, "{\"spec\":{\"cpu\":{\"count\":2}}}");
}

static void test_missing(void)
{
        json_auto_t *args = json_object();
        g_auto(ClientRequest) request = {0};
        g_autoptr(GError) error = NULL;

        g_assert_false(client_request_build(verb_find("vm", "start"), args, false, &request, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_INVALID);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/client-request/targets", test_targets);
        g_test_add_func("/client-request/generation", test_generation);
        g_test_add_func("/client-request/missing", test_missing);
        return g_test_run();
}
