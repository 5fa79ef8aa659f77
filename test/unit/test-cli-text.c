/* What the command line shows: escaping, JSON as text, columns, tables, YAML. */
#include <string.h>

#include "cli/columns.h"
#include "cli/json_text.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"
#include "hostler-records.h"

static const char vm_text[] =
    "{\"id\":\"1\",\"name\":\"web1\",\"spec\":{\"cpu\":{\"kind\":\"cpu\",\"count\":2},\"memory\":{\"kind\":\"memory\","
    "\"size\":1073741824}},"
    "\"status\":{\"power\":\"running\",\"since\":\"1970-01-01T00:01:00.000Z\",\"memory\":536870912,"
    "\"addresses\":[{\"address\":\"10.0.2.15\"},{\"address\":\"fec0::1\\u001b[31m\"}]}}";

static void expect_safe(const char *text, const char *want)
{
        g_autofree char *safe = text_safe(text);

        g_assert_cmpstr(safe, ==, want);
}

static void test_escaping(void)
{
        expect_safe("plain text", "plain text");
        expect_safe("a\nb\tc\rd", "a\\nb\\tc\\rd");
        expect_safe("\033]0;owned\007", "\\x1b]0;owned\\x07");
        expect_safe("caf\303\251", "caf\303\251");
        expect_safe("\302\233"
                    "31m",
                    "\\u009b31m");
        expect_safe("\xff\x9b", "\\xff\\x9b");
        expect_safe("abc\342\200\256fed", "abc\\u202efed");
}

static void test_width(void)
{
        g_assert_cmpuint(text_width("web1"), ==, 4);
        g_assert_cmpuint(text_width("caf\303\251"), ==, 4);
        g_assert_cmpuint(text_width("\346\227\245\346\234\254"), ==, 4);
}

static void test_age(void)
{
        const struct {
                int64_t ms;
                const char *want;
        } cases[] = {{0, "0s"}, {119000, "119s"}, {120000, "2m"}, {7200000, "2h"}, {172800000, "2d"}, {-5000, "0s"}};

        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *age = text_age(0, cases[i].ms);

                g_assert_cmpstr(age, ==, cases[i].want);
        }
}

static void test_indent(void)
{
        g_autoptr(GString) out = g_string_new(NULL);
        const char *text = "{\"a\":[1,2.50,{}],\"b\":\"x\\u001b\\\"{\302\233\177\",\"c\":[]}";

        g_assert_true(json_indent(text, strlen(text), out));
        g_assert_cmpstr(out->str, ==,
                        "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": \"x\\u001b\\\"{\\u009b\\u007f\",\n  "
                        "\"c\": []\n}");
}

static void test_indent_refuses(void)
{
        static const char *const faults[] = {"", "{", "[1,", "[1 2]", "{\"a\" 1}", "\"abc", "[1]]", "{1:2}", "\"a\\"};
        g_autofree char *deep = g_strnfill(1000, '[');
        g_autoptr(GString) out = g_string_new(NULL);

        for (gsize i = 0; i < G_N_ELEMENTS(faults); i++)
                g_assert_false(json_indent(faults[i], strlen(faults[i]), out));
        g_assert_false(json_indent(deep, 1000, out));
        JsonReader reader = json_reader(deep, 1000);
        g_assert_false(json_skip(&reader, NULL));
}

static void test_strings(void)
{
        const char *text = "\"a\\n\\u00e9\\ud83d\\ude00\" \"\\ud83d\" \"\\u0000\"";
        JsonReader reader = json_reader(text, strlen(text));
        g_autoptr(GString) out = g_string_new(NULL);

        g_assert_true(json_read_string(&reader, out));
        g_assert_cmpstr(out->str, ==, "a\n\303\251\360\237\230\200");
        g_assert_false(json_read_string(&reader, out));
        reader.at = strrchr(text, ' ');
        g_assert_false(json_read_string(&reader, out));
}

static void read_cells(const char *const *paths, const char *const *known, GStringChunk *chunk, GPtrArray *cells)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(Columns) columns = columns_new(&hostler_vm_type, paths, known, &error);
        JsonReader reader = json_reader(vm_text, strlen(vm_text));

        g_assert_no_error(error);
        g_assert_true(columns_read(columns, &reader, 180000, chunk, cells));
}

static void test_columns(void)
{
        static const char *const paths[] = {"name",
                                            "status.cpus|spec.cpu.count",
                                            "status.memory|spec.memory.size",
                                            "status.addresses.address",
                                            "status.since",
                                            "status.power",
                                            "status.host_name",
                                            NULL};
        static const char *const want[] = {"web1", "2", "512M", "10.0.2.15,fec0::1\\x1b[31m", "2m", "running", ""};
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(1024);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        static const char *const none[] = {NULL};

        read_cells(paths, none, chunk, cells);
        g_assert_cmpuint(cells->len, ==, G_N_ELEMENTS(want));
        for (guint i = 0; i < cells->len; i++)
                g_assert_cmpstr(cells->pdata[i], ==, want[i]);
}

static void test_percent(void)
{
        static const char *const paths[] = {"progress", NULL};
        static const char *const none[] = {NULL};
        static const char row[] = "{\"progress\":12.345678}";
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(64);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(Columns) columns = columns_new(&hostler_job_type, paths, none, NULL);
        JsonReader reader = json_reader(row, strlen(row));

        g_assert_true(columns_read(columns, &reader, 0, chunk, cells));
        g_assert_cmpstr(cells->pdata[0], ==, "12.35%");
}

static void test_chosen_columns(void)
{
        static const char *const known[] = {"name", "status.cpus|spec.cpu.count", NULL};
        static const char *const chosen[] = {"cpus", "spec.memory.size", NULL};
        static const char *const unknown[] = {"nam", NULL};
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(1024);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(GError) error = NULL;

        read_cells(chosen, known, chunk, cells);
        g_assert_cmpstr(cells->pdata[0], ==, "2");
        g_assert_cmpstr(cells->pdata[1], ==, "1G");
        g_assert_null(columns_new(&hostler_vm_type, unknown, known, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_USAGE);
}

static void test_columns_refuse(void)
{
        static const char *const paths[] = {"name", "status.power", NULL};
        static const char *const faults[] = {"", "[]", "{\"name\":}", "{\"name\":\"a\"",
                                             "{\"status\":{\"power\":\"x}}"};
        static const char *const none[] = {NULL};
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(1024);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();

        for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
                g_autoptr(Columns) columns = columns_new(&hostler_vm_type, paths, none, NULL);
                JsonReader reader = json_reader(faults[i], strlen(faults[i]));

                g_assert_false(columns_read(columns, &reader, 0, chunk, cells));
        }
}

static void test_table(void)
{
        static const char *const headers[] = {"NAME", "POWER", "X"};
        static const bool is_state[] = {false, true, false};
        static const char *const texts[] = {"a", "running", "1", "longer", "off", ""};
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(GString) plain = g_string_new(NULL), coloured = g_string_new(NULL);
        TableLayout layout = {3, headers, is_state, false};

        for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
                g_ptr_array_add(cells, (char *)texts[i]);
        table_print(&layout, cells, plain);
        g_assert_cmpstr(plain->str, ==, "NAME    POWER    X\na       running  1\nlonger  off\n");
        layout.colour = true;
        layout.headers = NULL;
        table_print(&layout, cells, coloured);
        g_assert_cmpstr(coloured->str, ==, "a       \033[32mrunning\033[0m  1\nlonger  off\n");
}

static void test_yaml(void)
{
        json_auto_t *value = json_loads(
            "{\"a\":\"x\",\"no\":[1,{\"b\":true,\"c\":{\"d\":\"1\"}}],\"e\":{},\"f\":\"two\\nlines\",\"g\":null}", 0,
            NULL);
        g_autoptr(GString) out = g_string_new(NULL);

        yaml_print(value, out);
        g_assert_cmpstr(out->str, ==,
                        "a: x\n\"no\":\n- 1\n- b: true\n  c:\n    d: \"1\"\ne: {}\nf: \"two\\nlines\"\ng: null\n");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/cli-text/escaping", test_escaping);
        g_test_add_func("/cli-text/width", test_width);
        g_test_add_func("/cli-text/age", test_age);
        g_test_add_func("/cli-text/indent", test_indent);
        g_test_add_func("/cli-text/indent-refuses", test_indent_refuses);
        g_test_add_func("/cli-text/strings", test_strings);
        g_test_add_func("/cli-text/columns", test_columns);
        g_test_add_func("/cli-text/percent", test_percent);
        g_test_add_func("/cli-text/chosen-columns", test_chosen_columns);
        g_test_add_func("/cli-text/columns-refuse", test_columns_refuse);
        g_test_add_func("/cli-text/table", test_table);
        g_test_add_func("/cli-text/yaml", test_yaml);
        return g_test_run();
}
