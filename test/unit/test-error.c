/* Errors: what they carry survives copying, wrapping and the trip through a problem document. */
#include "base/error.h"

#include <gio/gio.h>
#include <string.h>

static void test_table(void)
{
        int count = 0;
        for (const ErrorDecl *decl = error_decls; decl->name; decl++, count++) {
                g_assert_cmpint(decl->code, ==, count);
                g_assert_true(error_decl(decl->code) == decl);
                g_assert_cmpint(decl->exit_code, >, 0);
        }
        g_assert_cmpint(HOSTLER_ERROR_FAILED, ==, 0);
        g_assert_cmpint(error_decl(HOSTLER_ERROR_NOT_FOUND)->http_status, ==, 404);
        g_assert_cmpint(error_decl(HOSTLER_ERROR_UNREACHABLE)->exit_code, ==, 69);
}

static void test_carried(void)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(error_set(&error, HOSTLER_ERROR_NOT_FOUND, "vm/web1", "there is no VM %s", "web1"));
        error_cause(&error, NULL, "near: %s", "web2");
        error_cause(&error, "/a/0", "second");
        g_assert_false(error_hint(&error, "first hint"));
        error_hint(&error, "hostler ls");
        g_autoptr(GError) copy = g_error_copy(error);
        g_clear_error(&error);

        json_auto_t *problem = error_to_json(copy);
        g_autofree char *text = json_dumps(problem, JSON_COMPACT);
        g_assert_cmpstr(
            text, ==,
            "{\"type\":\"urn:hostler:error:not-found\",\"title\":\"No such object\",\"status\":404,\"code\":"
            "\"not-found\",\"detail\":\"there is no VM web1\",\"object\":\"vm/web1\",\"causes\":[{\"detail\":\"near: "
            "web2\"},{\"pointer\":\"/a/0\",\"detail\":\"second\"}],\"hint\":\"hostler ls\"}");
        g_autoptr(GError) back = error_from_json(problem);
        json_auto_t *again = error_to_json(back);
        g_assert_true(json_equal(problem, again));
        g_assert_true(error_is(back, HOSTLER_ERROR_NOT_FOUND));
        g_assert_cmpstr(error_object(back), ==, "vm/web1");
}

static void test_wrap(void)
{
        g_autoptr(GError) error = NULL;
        error_set(&error, HOSTLER_ERROR_TIMEOUT, "vm/a", "no answer");
        error_hint(&error, "try again");
        g_assert_false(error_wrap(&error, HOSTLER_ERROR_FAILED, NULL, "starting %s", "a"));
        g_assert_cmpstr(error->message, ==, "starting a: no answer");
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        g_assert_cmpstr(error_object(error), ==, "vm/a");
        error_wrap(&error, HOSTLER_ERROR_BUSY, "vm/b", "more");
        g_assert_cmpstr(error_object(error), ==, "vm/b");
        json_auto_t *problem = error_to_json(error);
        g_assert_cmpstr(json_string_value(json_object_get(problem, "hint")), ==, "try again");
}

static void test_foreign(void)
{
        g_autoptr(GError) error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "gone \xff");
        g_assert_true(error_decl_of(error)->code == HOSTLER_ERROR_FAILED);
        g_assert_false(error_is(error, HOSTLER_ERROR_FAILED));
        g_assert_null(error_object(error));
        json_auto_t *problem = error_to_json(error);
        g_assert_cmpstr(json_string_value(json_object_get(problem, "detail")), ==, "gone \xef\xbf\xbd");

        error_hint(&error, "look");
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        error_wrap(&error, HOSTLER_ERROR_DENIED, "x/y", "opening");
        g_assert_true(g_str_has_prefix(error->message, "opening: gone"));
}

static void test_nothing(void)
{
        g_autoptr(GError) none = NULL;
        g_assert_false(error_set(NULL, HOSTLER_ERROR_FAILED, NULL, "nobody listens"));
        g_assert_false(error_hint(&none, "x"));
        g_assert_false(error_hint(NULL, "x"));
        g_assert_false(error_wrap(&none, HOSTLER_ERROR_FAILED, NULL, "x"));
        error_cause(NULL, NULL, "x");
        error_cause(&none, NULL, "x");
        g_assert_no_error(none);
}

/* Problem documents may come from something that is no Hostler. */
static void test_strange_documents(void)
{
        const char *documents[] = {"{}", "[]", "\"x\"", "{\"code\":7,\"detail\":[],\"causes\":{}}",
                                   "{\"code\":\"from-the-future\",\"causes\":[1,{},{\"pointer\":\"/a\"}]}"};
        for (size_t i = 0; i < G_N_ELEMENTS(documents); i++) {
                json_auto_t *problem = json_loads(documents[i], JSON_DECODE_ANY, NULL);
                g_autoptr(GError) error = error_from_json(problem);
                g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
                g_assert_cmpstr(error->message, ==, "the answer says no more");
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/error/table", test_table);
        g_test_add_func("/error/carried", test_carried);
        g_test_add_func("/error/wrap", test_wrap);
        g_test_add_func("/error/foreign", test_foreign);
        g_test_add_func("/error/nothing", test_nothing);
        g_test_add_func("/error/strange-documents", test_strange_documents);
        return g_test_run();
}
