/* Specs: parts and their kinds, merging, and assignments as people write them. */
#include <string.h>

#include "base/error.h"
#include "base/record.h"
#include "hostler-records.h"

static json_t *parse(const char *text)
{
        json_t *json = json_loads(text, 0, NULL);
        if (!json)
                g_error("not JSON: %s", text);
        return json;
}

static void read_spec(const char *text, HostlerSpec *ret_spec)
{
        json_auto_t *json = parse(text);
        g_autoptr(GError) error = NULL;
        record_from_json(&hostler_spec_type, json, "", ret_spec, &error);
        g_assert_no_error(error);
}

static char *names_of(const HostlerSpec *spec)
{
        GString *names = g_string_new(NULL);
        for (size_t i = 0; i < spec->count; i++)
                g_string_append_printf(names, "%s%s:%s", i > 0 ? " " : "", spec->items[i].name, spec->items[i].kind);
        return g_string_free(names, FALSE);
}

static void assert_refused(const char *text, const char *expected)
{
        json_auto_t *json = parse(text);
        g_autoptr(GPtrArray) faults = faults_new();
        HostlerSpec spec;
        g_assert_false(record_read(&hostler_spec_type, json, "/spec", &spec, faults));
        GString *all = g_string_new(NULL);
        for (guint i = 0; i < faults->len; i++) {
                const Fault *fault = faults->pdata[i];
                g_string_append_printf(all, "%s%s: %s", i > 0 ? "\n" : "", fault->pointer, fault->detail);
        }
        g_assert_cmpstr(all->str, ==, expected);
        g_string_free(all, TRUE);
}

static void test_kinds(void)
{
        g_assert_cmpstr(kind_of_name("disk12")->kind, ==, "disk");
        g_assert_cmpstr(kind_of_name("cpu")->kind, ==, "cpu");
        const char *free_names[] = {"disk", "disk01", "cpu0", "data", "disk0a", "0", "", "xdisk0"};
        for (size_t i = 0; i < G_N_ELEMENTS(free_names); i++)
                g_assert_null(kind_of_name(free_names[i]));
        g_assert_null(kind_find("toaster"));
}

static void test_parts(void)
{
        HostlerSpec spec;
        read_spec(
            "{\"nic0\":{},\"data\":{\"kind\":\"disk\"},\"disk10\":{},\"disk2\":{\"kind\":\"disk\",\"size\":\"1G\"}}",
            &spec);
        g_autofree char *names = names_of(&spec);
        g_assert_cmpstr(names, ==,
                        "balloon:balloon boot:boot cpu:cpu disk2:disk disk10:disk data:disk firmware:firmware "
                        "memory:memory nic0:nic "
                        "options:options panic:panic rng:rng");
        const HostlerDiskProps *disk = spec_part(&spec, "disk2")->props;
        g_assert_cmpint(disk->size, ==, 1 << 30);
        const HostlerCpuProps *cpu = spec_part(&spec, "cpu")->props;
        g_assert_cmpint(cpu->count, ==, 1);
        g_assert_null(spec_part(&spec, "disk0"));

        json_auto_t *json = record_to_json(&hostler_spec_type, &spec, RECORD_STORED);
        g_assert_cmpstr(json_string_value(json_object_get(json_object_get(json, "data"), "kind")), ==, "disk");
        g_assert_null(json_object_get(json_object_get(json, "disk2"), "kind"));
        HostlerSpec copy, again;
        g_autoptr(GError) error = NULL;
        g_assert_true(record_from_json(&hostler_spec_type, json, "", &again, &error));
        record_copy(&hostler_spec_type, &spec, &copy);
        g_assert_true(record_equal(&hostler_spec_type, &spec, &again));
        g_assert_true(record_equal(&hostler_spec_type, &copy, &again));
        ((HostlerCpuProps *)spec_part(&copy, "cpu")->props)->count = 2;
        g_assert_false(record_equal(&hostler_spec_type, &copy, &again));
        record_clear(&hostler_spec_type, &spec);
        record_clear(&hostler_spec_type, &copy);
        record_clear(&hostler_spec_type, &again);
}

/* The declared kinds, as messages list them. */
static char *kinds_text(bool with_single)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                if (with_single || !decl->single)
                        g_ptr_array_add(names, (char *)decl->kind);
        g_ptr_array_add(names, NULL);
        return g_strjoinv(", ", (char **)names->pdata);
}

static void test_refusals(void)
{
        assert_refused("{\"Disk0\":{},\"disk.0\":{},\"0disk\":{}}",
                       "/spec/Disk0: a part's name is 1 to 20 of a-z 0-9 and -, a letter first\n"
                       "/spec/disk.0: a part's name is 1 to 20 of a-z 0-9 and -, a letter first\n"
                       "/spec/0disk: a part's name is 1 to 20 of a-z 0-9 and -, a letter first");
        assert_refused("{\"a-name-of-20-letters\":{\"kind\":\"disk\"},\"a-name-of-21-letters-\":{\"kind\":\"disk\"},"
                       "\"a-name-of-21-letters0\":{\"kind\":\"nic\"}}",
                       "/spec/a-name-of-21-letters-: a part's name is 1 to 20 of a-z 0-9 and -, a letter first\n"
                       "/spec/a-name-of-21-letters0: a part's name is 1 to 20 of a-z 0-9 and -, a letter first");
        g_autofree char *all = kinds_text(true), *several = kinds_text(false);
        g_autofree char *expected =
            g_strdup_printf("/spec/data: the name does not say what it is: number it (%s and a number), or add `kind`\n"
                            "/spec/disk0/kind: the name says that it is a disk\n"
                            "/spec/other/kind: there is one cpu, and its name is cpu\n"
                            "/spec/x/kind: must be one of: %s",
                            several, all);
        assert_refused("{\"data\":{},\"disk0\":{\"kind\":\"nic\"},\"other\":{\"kind\":\"cpu\"},\"x\":{\"kind\":3}}",
                       expected);
        assert_refused("{\"cpu\":{\"count\":0,\"cuont\":2},\"memory\":{\"size\":\"1000M\",\"max\":true},\"nic0\":7}",
                       "/spec/cpu/count: must be at least 1\n"
                       "/spec/cpu/cuont: is not known; did you mean count?\n"
                       "/spec/memory/max: must be a size: bytes, or text like \"4G\" or \"500M\"\n"
                       "/spec/nic0: must be an object of properties");
        assert_refused("{\"nic0\":{\"forward\":[\"tcp:1:2\",\"sctp:1:2\"]}}",
                       "/spec/nic0/forward/1: must match (tcp|udp):[0-9]{1,5}:[0-9]{1,5}");

        json_auto_t *many = json_object();
        for (int i = 0; i < 257; i++) {
                g_autofree char *name = g_strdup_printf("disk%d", i);
                json_object_set_new(many, name, json_object());
        }
        g_autofree char *text = json_dumps(many, 0);
        assert_refused(text, "/spec: must be an object of at most 256 parts");
}

static void assert_merges(const char *spec_text, const char *patch_text, const char *expected)
{
        HostlerSpec spec, merged, wanted;
        read_spec(spec_text, &spec);
        read_spec(expected, &wanted);
        json_auto_t *patch = parse(patch_text);
        g_autoptr(GError) error = NULL;
        spec_merge(&spec, patch, "", &merged, &error);
        g_assert_no_error(error);
        g_assert_true(record_equal(&hostler_spec_type, &merged, &wanted));
        record_clear(&hostler_spec_type, &spec);
        record_clear(&hostler_spec_type, &merged);
        record_clear(&hostler_spec_type, &wanted);
}

static void test_merge(void)
{
        const char *old = "{\"cpu\":{\"count\":4,\"max\":8},\"disk0\":{\"size\":\"1G\",\"cache\":\"none\"},\"seed\":{"
                          "\"user_data\":\"x\"}}";
        assert_merges(old, "{}", old);
        assert_merges(old, "{\"disk0\":{\"size\":\"2G\"}}",
                      "{\"cpu\":{\"count\":4,\"max\":8},\"disk0\":{\"size\":\"2G\",\"cache\":\"none\"},\"seed\":{"
                      "\"user_data\":\"x\"}}");
        assert_merges(old, "{\"cpu\":{\"max\":null},\"disk0\":{\"cache\":null},\"seed\":null}",
                      "{\"cpu\":{\"count\":4},\"disk0\":{\"size\":\"1G\"}}");
        assert_merges(old, "{\"cpu\":null,\"disk0\":null,\"data\":{\"kind\":\"disk\"}}",
                      "{\"data\":{\"kind\":\"disk\"},\"seed\":{\"user_data\":\"x\"}}");
        assert_merges("{\"nic0\":{\"forward\":[\"tcp:1:2\"]}}", "{\"nic0\":{\"forward\":[\"udp:3:4\"]}}",
                      "{\"nic0\":{\"forward\":[\"udp:3:4\"]}}");
}

static void test_merge_refusals(void)
{
        HostlerSpec spec, merged;
        read_spec("{\"disk0\":{}}", &spec);
        json_auto_t *patch = parse("{\"cpu\":{\"count\":999},\"disk0\":{\"model\":\"floppy\"},\"disk1\":5}");
        g_autoptr(GError) error = NULL;
        g_assert_false(spec_merge(&spec, patch, "/spec", &merged, &error));
        json_auto_t *problem = error_to_json(error);
        g_assert_cmpuint(json_array_size(json_object_get(problem, "causes")), ==, 3);
        g_assert_true(
            g_str_has_prefix(error->message, "3 values are wrong; the first: /spec/cpu/count: must be at most 255"));

        g_clear_error(&error);
        json_auto_t *array = json_array();
        g_assert_false(spec_merge(&spec, array, "/spec", &merged, &error));
        g_assert_cmpstr(error->message, ==, "/spec: must be an object of parts");
        record_clear(&hostler_spec_type, &spec);
}

static void assert_assigns(const char *assignment, const char *expected)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *patch = spec_patch_from_assignment(assignment, &error);
        g_assert_no_error(error);
        g_autofree char *text = json_dumps(patch, JSON_COMPACT);
        g_assert_cmpstr(text, ==, expected);
}

static void assert_not_assigned(const char *assignment, const char *message)
{
        g_autoptr(GError) error = NULL;
        g_assert_null(spec_patch_from_assignment(assignment, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        g_assert_cmpstr(error->message, ==, message);
}

static void test_assignments(void)
{
        assert_assigns("cpu.count=4", "{\"cpu\":{\"count\":4}}");
        assert_assigns("disk0.size=20G", "{\"disk0\":{\"size\":21474836480}}");
        assert_assigns("nic0.forward=tcp:1:2,udp:3:4", "{\"nic0\":{\"forward\":[\"tcp:1:2\",\"udp:3:4\"]}}");
        assert_assigns("boot.cmdline=root=/dev/vda quiet", "{\"boot\":{\"cmdline\":\"root=/dev/vda quiet\"}}");
        assert_assigns("data.size=1G", "{\"data\":{\"size\":1073741824}}");
        assert_assigns("uplink.link=off", "{\"uplink\":{\"link\":false}}");
        assert_assigns("data.kind=disk", "{\"data\":{\"kind\":\"disk\"}}");
        assert_assigns("cpu.max=", "{\"cpu\":{\"max\":null}}");
        const char *words[][2] = {{"on", "true"},   {"true", "true"},   {"yes", "true"},
                                  {"off", "false"}, {"false", "false"}, {"no", "false"}};
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
                g_autofree char *assignment = g_strdup_printf("disk0.readonly=%s", words[i][0]);
                g_autofree char *expected = g_strdup_printf("{\"disk0\":{\"readonly\":%s}}", words[i][1]);
                assert_assigns(assignment, expected);
        }
        assert_not_assigned("cpu.cuont=4", "cpu.cuont: there is no such property; did you mean count?");
        assert_not_assigned("data.sise=4", "data.sise: there is no such property; did you mean size?");
        assert_not_assigned("cpu=4", "cpu=4 is not PART.PROPERTY=VALUE");
        assert_not_assigned("cpu.count", "cpu.count is not PART.PROPERTY=VALUE");
        assert_not_assigned("CPU.count=4", "CPU cannot be the name of a part");
        assert_not_assigned("cpu.count=many", "cpu.count: `many` must be a whole number");
        assert_not_assigned("data.size=big", "data.size: `big` must be a size: bytes, or text like \"4G\" or \"500M\"");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/spec/kinds", test_kinds);
        g_test_add_func("/spec/parts", test_parts);
        g_test_add_func("/spec/refusals", test_refusals);
        g_test_add_func("/spec/merge", test_merge);
        g_test_add_func("/spec/merge-refusals", test_merge_refusals);
        g_test_add_func("/spec/assignments", test_assignments);
        return g_test_run();
}
