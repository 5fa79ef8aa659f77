/* Unit tests of wire/json_splitter.c: framing, limits, huge integers, the sentinel. */
#include <glib.h>
#include <string.h>

#include "base/error.h"
#include "wire/json_stream.h"

#define LIMIT_BYTES (4 << 20)

static void keep(json_t *value, void *data)
{
        json_array_append(data, value);
}

/* Feeds @text in pieces of @step bytes; the values as a JSON array, NULL and error on a fault. */
static json_t *split(const char *text, gsize length, gsize step, GError **error)
{
        JsonSplitter *splitter = json_splitter_new(LIMIT_BYTES);
        json_t *values = json_array();
        for (gsize at = 0; at < length && values; at += step)
                if (!json_splitter_feed(splitter, text + at, MIN(step, length - at), keep, values, error))
                        g_clear_pointer(&values, json_decref);
        json_splitter_free(splitter);
        return values;
}

static void assert_splits(const char *text, const char *expected)
{
        json_t *wanted = json_loads(expected, 0, NULL);
        for (gsize step = 1; step <= strlen(text); step++) {
                g_autoptr(GError) error = NULL;
                json_t *values = split(text, strlen(text), step, &error);
                g_assert_no_error(error);
                g_assert_true(json_equal(values, wanted));
                json_decref(values);
        }
        json_decref(wanted);
}

static void assert_refuses(const char *text, gsize length, int code)
{
        g_autoptr(GError) error = NULL;
        g_assert_null(split(text, length, 4096, &error));
        g_assert_error(error, HOSTLER_ERROR, code);
}

static void test_framing(void)
{
        assert_splits("{\"a\": [1, {\"b\": \"}]\"}]}\r\n{}[]  {\"q\\\"{\": \"\\\\\"}",
                      "[{\"a\":[1,{\"b\":\"}]\"}]},{},[],{\"q\\\"{\":\"\\\\\"}]");
        assert_splits("\n \t", "[]");
        assert_splits("{\"unfinished\": [", "[]");
}

static void test_sentinel(void)
{
        assert_splits("\xff{\"a\":1}\n\xff\xff{\"b\":2}", "[{\"a\":1},{\"b\":2}]");
        assert_splits("{\"a\":\"cut \xff{\"b\":2}", "[{\"b\":2}]");
}

static void test_skip(void)
{
        const char *text = "late garbage }{ \"\n\xff{\"a\":1}";
        JsonSplitter *splitter = json_splitter_new(LIMIT_BYTES);
        json_t *values = json_array();
        g_assert_true(json_splitter_feed(splitter, "{\"begun\":", 9, keep, values, NULL));
        json_splitter_skip_to_sentinel(splitter);
        g_assert_true(json_splitter_feed(splitter, text, strlen(text), keep, values, NULL));
        g_assert_cmpint(json_array_size(values), ==, 1);
        g_assert_cmpint(json_integer_value(json_object_get(json_array_get(values, 0), "a")), ==, 1);
        json_decref(values);
        json_splitter_free(splitter);
}

/* As query-blockstats prints it; the neighbours must stay integers. */
static void test_huge_integers(void)
{
        const char *text =
            "{\"wr_highest_offset\": 18446744073709551615, \"text\": \"9999999999999999999999\", \"rd_bytes\": 512,"
            " \"low\": -9223372036854775809, \"max\": 9223372036854775807, \"r\": 1.5e3}";
        g_autoptr(GError) error = NULL;
        json_t *values = split(text, strlen(text), 7, &error);
        g_assert_no_error(error);
        const json_t *value = json_array_get(values, 0);
        g_assert_true(json_is_real(json_object_get(value, "wr_highest_offset")));
        g_assert_cmpfloat(json_number_value(json_object_get(value, "wr_highest_offset")), ==, 18446744073709551615.0);
        g_assert_true(json_is_real(json_object_get(value, "low")));
        g_assert_cmpint(json_integer_value(json_object_get(value, "rd_bytes")), ==, 512);
        g_assert_cmpint(json_integer_value(json_object_get(value, "max")), ==, G_MAXINT64);
        g_assert_cmpstr(json_string_value(json_object_get(value, "text")), ==, "9999999999999999999999");
        json_decref(values);
}

static void test_not_json(void)
{
        static const char *const texts[] = {
            "login: ", "{]", "{\"a\":}", "[1 2]", "1", "}", "{\"a\":\"\x80\"}", "{\"a\":1e999}", "[\"\\u0000\"]"};
        for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
                assert_refuses(texts[i], strlen(texts[i]), HOSTLER_ERROR_FAILED);
}

static void test_limits(void)
{
        g_autofree char *deep = g_strnfill(65, '[');
        assert_refuses(deep, 65, HOSTLER_ERROR_TOO_LARGE);
        g_autofree char *allowed = g_strdup_printf(
            "%.64s1%.64s", deep, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
        json_t *values = split(allowed, strlen(allowed), 10, NULL);
        g_assert_cmpint(json_array_size(values), ==, 1);
        json_decref(values);

        g_autofree char *members = g_strnfill(150000, ',');
        members[0] = '[';
        assert_refuses(members, 150000, HOSTLER_ERROR_TOO_LARGE);

        g_autofree char *wide = g_strnfill(LIMIT_BYTES + 16, 'x');
        memcpy(wide, "[\"", 2);
        assert_refuses(wide, LIMIT_BYTES + 16, HOSTLER_ERROR_TOO_LARGE);
        memcpy(wide + LIMIT_BYTES - 2, "\"]", 2);
        values = split(wide, LIMIT_BYTES, 65536, NULL);
        g_assert_cmpint(json_string_length(json_array_get(json_array_get(values, 0), 0)), ==, LIMIT_BYTES - 4);
        json_decref(values);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/json-splitter/framing", test_framing);
        g_test_add_func("/json-splitter/sentinel", test_sentinel);
        g_test_add_func("/json-splitter/skip", test_skip);
        g_test_add_func("/json-splitter/huge-integers", test_huge_integers);
        g_test_add_func("/json-splitter/not-json", test_not_json);
        g_test_add_func("/json-splitter/limits", test_limits);
        return g_test_run();
}
