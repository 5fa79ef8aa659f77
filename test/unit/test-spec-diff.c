/* What differs between two specs: the paths that `pending` and `set` speak of. */
#include <string.h>

#include "vm/spec_diff.h"

static void read_spec(const char *text, HostlerSpec *ret_spec)
{
        g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
        json_auto_t *json = json_loads(quoted, 0, NULL);
        g_autoptr(GError) error = NULL;
        record_from_json(&hostler_spec_type, json, "", ret_spec, &error);
        g_assert_no_error(error);
}

static const struct {
        const char *name, *a, *b, *differences;
} rows[] = {
    {"nothing", "{'disk0': {'size': '1G'}}", "{'disk0': {'size': '1G'}}", ""},
    {"empty", "{}", "{}", ""},
    {"default-written-out", "{}", "{'cpu': {'count': 1}, 'memory': {'size': '256M'}, 'options': {'protect': false}}",
     ""},
    {"same-size-otherwise-written", "{'memory': {'size': '1G'}}", "{'memory': {'size': 1073741824}}", ""},
    {"properties", "{'cpu': {'count': 2}, 'disk0': {'size': '1G'}}",
     "{'cpu': {'count': 3, 'max': 4}, 'disk0': {'size': '2G'}}", "cpu.count cpu.max disk0.size"},
    {"taken-back", "{'cpu': {'model': 'EPYC'}}", "{'cpu': {}}", "cpu.model"},
    {"lists", "{'nic0': {'forward': ['tcp:1:1', 'tcp:2:2']}}", "{'nic0': {'forward': ['tcp:2:2', 'tcp:1:1']}}",
     "nic0.forward"},
    {"bools", "{'nic0': {}}", "{'nic0': {'link': false}}", "nic0.link"},
    {"secrets", "{'seed': {'user_data': 'a'}}", "{'seed': {'user_data': 'b'}}", "seed.user_data"},
    {"only-in-first", "{'disk0': {}, 'disk1': {}}", "{'disk0': {}}", "disk1"},
    {"only-in-second", "{'disk0': {}}", "{'disk0': {}, 'nic0': {'link': false}, 'seed': {}}", "nic0 seed"},
    {"other-kind", "{'x': {'kind': 'disk'}}", "{'x': {'kind': 'nic'}}", "x"},
    {"all-at-once", "{'disk0': {'size': '1G'}, 'nic0': {}}", "{'disk0': {'size': '2G'}, 'nic1': {}}",
     "disk0.size nic0 nic1"},
};

static void test_row(gconstpointer data)
{
        const char *const *row = data;
        HostlerSpec a, b;
        read_spec(row[1], &a);
        read_spec(row[2], &b);
        g_auto(GStrv) differences = spec_differences(&a, &b);
        g_autofree char *text = g_strjoinv(" ", differences);
        g_assert_cmpstr(text, ==, row[3]);
        record_clear(&hostler_spec_type, &a);
        record_clear(&hostler_spec_type, &b);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *path = g_strdup_printf("/spec-diff/%s", rows[i].name);
                g_test_add_data_func(path, &rows[i], test_row);
        }
        return g_test_run();
}
