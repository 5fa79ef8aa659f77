/* Records: what goes in comes out, and everything wrong is named with its pointer. */
#include "base/record.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "hostler-records.h"

static json_t *parse(const char *text)
{
        json_error_t problem;
        json_t *json = json_loads(text, JSON_DECODE_ANY, &problem);
        if (!json)
                g_error("%s: %s", text, problem.text);
        return json;
}

/* "pointer: detail" of each cause, joined by newlines. */
static char *causes_of(const GError *error)
{
        json_auto_t *problem = error_to_json(error);
        GString *out = g_string_new(NULL);
        size_t i;
        json_t *cause;
        json_array_foreach (json_object_get(problem, "causes"), i, cause)
                g_string_append_printf(out, "%s%s: %s", i > 0 ? "\n" : "",
                                       json_string_value(json_object_get(cause, "pointer")),
                                       json_string_value(json_object_get(cause, "detail")));
        return g_string_free(out, FALSE);
}

static void assert_faults(const RecordType *type, const char *text, const char *expected)
{
        json_auto_t *json = parse(text);
        g_autofree void *value = g_malloc(type->size);
        memset(value, 0xaa, type->size);
        g_autoptr(GError) error = NULL;
        g_assert_false(record_from_json(type, json, "", value, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        g_autofree char *causes = causes_of(error);
        g_assert_cmpstr(causes, ==, expected);
}

static void assert_reads(const RecordType *type, const char *text, void *ret_value)
{
        json_auto_t *json = parse(text);
        g_autoptr(GError) error = NULL;
        record_from_json(type, json, "", ret_value, &error);
        g_assert_no_error(error);
}

static char *shown(const RecordType *type, const void *value)
{
        GString *out = g_string_new(NULL);
        record_print(type, value, out);
        json_auto_t *json = record_to_json(type, value, RECORD_SHOWN);
        json_auto_t *again = parse(out->str);
        g_assert_true(json_equal(json, again));
        return g_string_free(out, FALSE);
}

static void test_defaults(void)
{
        HostlerVmStopArgs args;
        assert_reads(&hostler_vm_stop_args_type, "{\"vm\":\"web1\"}", &args);
        g_assert_cmpstr(args.vm, ==, "web1");
        g_assert_cmpint(args.timeout, ==, 90000);
        g_assert_false(args.hard);
        record_clear(&hostler_vm_stop_args_type, &args);
        g_assert_null(args.vm);

        HostlerDiskProps disk;
        record_init(&hostler_disk_props_type, &disk);
        g_assert_cmpint(disk.model, ==, HOSTLER_DISK_MODEL_VIRTIO_BLK);
        g_assert_cmpint(disk.cache, ==, HOSTLER_DISK_CACHE_WRITEBACK);
        g_assert_cmpint(disk.size, ==, HOSTLER_UNSET);

        HostlerJob job;
        record_init(&hostler_job_type, &job);
        g_assert_true(isnan(job.progress));
}

static void test_round_trip(void)
{
        const char *text =
            "{\"id\":\"6f\",\"name\":\"web1\",\"generation\":3,\"spec\":{\"cpu\":{\"count\":2,\"model\":\"max\"},"
            "\"data\":{\"kind\":"
            "\"disk\",\"size\":1048576}},\"status\":{\"power\":\"running\",\"cpus\":2,\"addresses\":[{\"address\":\"10."
            "0.2.15\"},"
            "{\"address\":\"fec0::1\",\"nic\":\"nic0\"}],\"pending\":[\"cpu.max\",\"a \\\"quoted\\\"\\n\\ttext\"],"
            "\"exit\":{\"code\":-1,\"detail\":\"\\u00e4\\u20ac\"}}}";
        HostlerVm vm, copy, again;
        assert_reads(&hostler_vm_type, text, &vm);
        g_assert_cmpint(vm.status->power, ==, HOSTLER_POWER_RUNNING);
        g_assert_cmpuint(vm.status->addresses.count, ==, 2);
        g_assert_cmpstr(vm.status->addresses.items[1].nic, ==, "nic0");
        g_assert_cmpint(vm.status->exit->code, ==, -1);

        record_copy(&hostler_vm_type, &vm, &copy);
        g_assert_true(record_equal(&hostler_vm_type, &vm, &copy));
        g_autofree char *first = shown(&hostler_vm_type, &vm);
        assert_reads(&hostler_vm_type, first, &again);
        g_assert_true(record_equal(&hostler_vm_type, &vm, &again));

        copy.status->addresses.items[1].nic[3] = '1';
        g_assert_false(record_equal(&hostler_vm_type, &vm, &copy));
        again.status->cpus = HOSTLER_UNSET;
        g_assert_false(record_equal(&hostler_vm_type, &vm, &again));
        record_clear(&hostler_vm_type, &vm);
        record_clear(&hostler_vm_type, &copy);
        record_clear(&hostler_vm_type, &again);
}

static void test_printing(void)
{
        HostlerJob job;
        record_init(&hostler_job_type, &job);
        job.id = g_strdup("a\"b\\c\001\x1f");
        job.progress = 33.3;
        job.error = g_strdup("{\"code\":\"failed\"}");
        job.message = g_strdup("bad \xff byte");
        g_autofree char *text = shown(&hostler_job_type, &job);
        g_assert_cmpstr(text, ==,
                        "{\"id\":\"a\\\"b\\\\c\\u0001\\u001f\",\"progress\":33.3,\"message\":\"bad \xef\xbf\xbd "
                        "byte\",\"steps\":[],"
                        "\"error\":{\"code\":\"failed\"}}");
        record_clear(&hostler_job_type, &job);
}

static void test_secrets(void)
{
        HostlerSpec spec;
        assert_reads(&hostler_spec_type, "{\"seed\":{\"user\":\"ann\",\"user_data\":\"hunter2\"}}", &spec);
        g_autofree char *text = shown(&hostler_spec_type, &spec);
        g_assert_nonnull(strstr(text, "ann"));
        g_assert_null(strstr(text, "hunter2"));
        json_auto_t *stored = record_to_json(&hostler_spec_type, &spec, RECORD_STORED);
        g_assert_cmpstr(json_string_value(json_object_get(json_object_get(stored, "seed"), "user_data")), ==,
                        "hunter2");
        const Field *field = record_field(&hostler_seed_props_type, "user_data");
        g_autofree char *word = field_format(field, spec_part(&spec, "seed")->props);
        g_assert_cmpstr(word, ==, "");
        record_clear(&hostler_spec_type, &spec);
}

static void test_faults(void)
{
        assert_faults(&hostler_vm_stop_args_type, "[]", ": must be an object");
        assert_faults(&hostler_vm_stop_args_type, "{}", "/vm: is missing");
        assert_faults(&hostler_vm_stop_args_type,
                      "{\"vm\":7,\"timeout\":\"soon\",\"hard\":\"yes\",\"timout\":1,\"x/y~z\":1}",
                      "/vm: must be a string\n"
                      "/timeout: must be a duration: milliseconds, or text like \"90s\" or \"2h\"\n"
                      "/hard: must be true or false\n"
                      "/timout: is not known; did you mean timeout?\n"
                      "/x~1y~0z: is not known");
        assert_faults(&hostler_vm_stop_args_type, "{\"vm\":\"w\",\"timeout\":86400001}",
                      "/timeout: must be at most 1d");
        assert_faults(&hostler_vm_stop_args_type, "{\"vm\":\"w\",\"timeout\":0}", "/timeout: must be at least 1ms");
        assert_faults(&hostler_vm_wait_args_type, "{\"vm\":\"w\",\"for\":\"agnet\"}",
                      "/for: must be one of: running, agent, ip, off; did you mean agent?");
        assert_faults(&hostler_disk_add_args_type, "{\"vm\":\"w\",\"size\":\"1049000\",\"name\":\"Data\"}",
                      "/name: must be a name: 1 to 63 of a-z 0-9 . and -, with a letter or digit at both ends\n"
                      "/size: must be a multiple of 512");
        assert_faults(&hostler_vm_type,
                      "{\"status\":{\"cpus\":1.5,\"addresses\":[{},{\"address\":1}],\"pending\":[\"a\",2]}}",
                      "/status/cpus: must be a whole number\n"
                      "/status/addresses/1/address: must be a string\n"
                      "/status/pending/1: must be a string");
        assert_faults(&hostler_vm_type,
                      "{\"status\":{\"since\":\"today\",\"exit\":[]},\"generation\":-9223372036854775808}",
                      "/generation: is out of range\n"
                      "/status/since: must be a time like 2030-01-31T12:00:00Z\n"
                      "/status/exit: must be an object");
        assert_faults(&hostler_job_type, "{\"progress\":\"half\",\"steps\":{}}",
                      "/progress: must be a number\n/steps: must be an array");
        assert_faults(&hostler_vm_set_args_type, "{\"vm\":\"w\",\"spec\":[]}", "/spec: must be an object of parts");
}

static void test_text_faults(void)
{
        const char *control[] = {"\\u0001", "\\u001b[31m", "\\u007f", "\\u009b", "\\r"};
        for (size_t i = 0; i < G_N_ELEMENTS(control); i++) {
                g_autofree char *text = g_strdup_printf("{\"vm\":\"a%sb\"}", control[i]);
                assert_faults(&hostler_vm_start_args_type, text, "/vm: must not hold control characters");
        }
        HostlerVmStartArgs args;
        assert_reads(&hostler_vm_start_args_type, "{\"vm\":\"tab\\tand\\nnewline \\u00a0\\u20ac\"}", &args);
        record_clear(&hostler_vm_start_args_type, &args);

        json_auto_t *nul = json_pack("{s:o}", "vm", json_stringn("a\0b", 3));
        g_autoptr(GError) error = NULL;
        g_assert_false(record_from_json(&hostler_vm_start_args_type, nul, "", &args, &error));
        g_assert_cmpstr(error->message, ==, "/vm: must be UTF-8 text without NUL");

        const char *paths[] = {"etc/passwd", "/a/../b", "/a/..", "/a\\nb", ""};
        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
                g_autofree char *text = g_strdup_printf("{\"image\":\"x\",\"file\":\"%s\"}", paths[i]);
                assert_faults(&hostler_image_import_args_type, text,
                              "/file: must be an absolute path without `..` and control characters");
        }
        assert_faults(&hostler_image_build_args_type, "{\"image\":\"Debian\"}",
                      "/image: must match [a-z0-9][a-z0-9.:-]*");
        assert_faults(&hostler_image_build_args_type, "{\"image\":\"tiny\\n\"}",
                      "/image: must match [a-z0-9][a-z0-9.:-]*");
        assert_faults(&hostler_file_get_args_type, "{\"vm\":\"w\",\"file\":\"\"}",
                      "/file: must be at least 1 bytes long");
}

static void test_hostile_names(void)
{
        g_autofree char *long_name = g_strnfill(100000, 'x');
        json_auto_t *json = json_pack("{s:s, s:i, s:i}", "vm", "w", long_name, 1, "a\nb", 1);
        HostlerVmStartArgs args;
        g_autoptr(GError) error = NULL;
        g_assert_false(record_from_json(&hostler_vm_start_args_type, json, "", &args, &error));
        g_autofree char *causes = causes_of(error);
        g_assert_cmpuint(strlen(causes), <, 300);
        g_assert_nonnull(strstr(causes, ": has a member whose name holds control characters"));

        for (int i = 0; i < 5000; i++) {
                g_autofree char *name = g_strdup_printf("unknown%d", i);
                json_object_set_new(json, name, json_true());
        }
        g_autoptr(GPtrArray) faults = faults_new();
        g_assert_false(record_read(&hostler_vm_start_args_type, json, "", &args, faults));
        g_assert_cmpuint(faults->len, ==, 100);
}

static void test_pointer_prefix(void)
{
        g_autoptr(GPtrArray) faults = faults_new();
        json_auto_t *json = parse("{\"vm\":1}");
        HostlerVmStartArgs args;
        g_assert_false(record_read(&hostler_vm_start_args_type, json, "/a/0", &args, faults));
        faults_add(faults, "/b", "is %s", "odd");
        g_autoptr(GError) error = NULL;
        g_assert_false(faults_check(faults, "vm/web1", &error));
        g_assert_cmpstr(error->message, ==, "2 values are wrong; the first: /a/0/vm: must be a string");
        g_assert_cmpstr(error_object(error), ==, "vm/web1");
}

static void test_lists(void)
{
        json_auto_t *json = parse("[{\"name\":\"kvm\",\"ok\":true},{\"name\":\"disk\"}]");
        HostlerCheckList list;
        g_autoptr(GError) error = NULL;
        g_assert_true(record_list_from_json(&hostler_check_type, json, "", &list, &error));
        g_assert_cmpuint(list.count, ==, 2);
        GString *out = g_string_new(NULL);
        record_list_print(&hostler_check_type, &list, out);
        g_assert_cmpstr(out->str, ==, "[{\"name\":\"kvm\",\"ok\":true},{\"name\":\"disk\",\"ok\":false}]");
        g_string_free(out, TRUE);
        record_list_clear(&hostler_check_type, &list);
        g_assert_null(list.items);

        json_auto_t *wrong = parse("[{\"name\":1},{},{\"okay\":true}]");
        g_assert_false(record_list_from_json(&hostler_check_type, wrong, "/checks", &list, &error));
        g_autofree char *causes = causes_of(error);
        g_assert_cmpstr(causes, ==, "/checks/0/name: must be a string\n/checks/2/okay: is not known; did you mean ok?");
}

static void assert_parses(const RecordType *type, const char *name, const char *text, const char *expected)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *json = field_parse_text(record_field(type, name), text, &error);
        if (!expected) {
                g_assert_null(json);
                g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
                return;
        }
        g_assert_no_error(error);
        g_autofree char *printed = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        g_assert_cmpstr(printed, ==, expected);
}

static void test_words(void)
{
        assert_parses(&hostler_disk_add_args_type, "size", "20G", "21474836480");
        assert_parses(&hostler_disk_add_args_type, "size", "20X", NULL);
        assert_parses(&hostler_disk_add_args_type, "size", "1000000", NULL);
        assert_parses(&hostler_vm_stop_args_type, "timeout", "90", "90000");
        assert_parses(&hostler_vm_stop_args_type, "timeout", "250ms", "250");
        assert_parses(&hostler_vm_stop_args_type, "hard", "on", "true");
        assert_parses(&hostler_vm_stop_args_type, "hard", "No", "false");
        assert_parses(&hostler_vm_stop_args_type, "hard", "maybe", NULL);
        assert_parses(&hostler_vm_create_args_type, "cpus", "4", "4");
        assert_parses(&hostler_vm_create_args_type, "cpus", "4x", NULL);
        assert_parses(&hostler_vm_create_args_type, "cpus", "", NULL);
        assert_parses(&hostler_vm_create_args_type, "cpus", "99999999999999999999", NULL);
        assert_parses(&hostler_vm_create_args_type, "name", "web1", "\"web1\"");
        assert_parses(&hostler_vm_create_args_type, "name", "we\xff", NULL);
        assert_parses(&hostler_vm_wait_args_type, "for", "ip", "\"ip\"");
        assert_parses(&hostler_vm_wait_args_type, "for", "", NULL);
        assert_parses(&hostler_nic_props_type, "forward", "tcp:2222:22,udp:53:53", "[\"tcp:2222:22\",\"udp:53:53\"]");
        assert_parses(&hostler_nic_props_type, "forward", "tcp:2222", NULL);
        assert_parses(&hostler_vm_set_args_type, "spec", "{\"cpu\":{\"count\":2}}", "{\"cpu\":{\"count\":2}}");
        assert_parses(&hostler_vm_set_args_type, "spec", "cpu.count=2", "{\"cpu\":{\"count\":2}}");
        assert_parses(&hostler_vm_set_args_type, "spec", "{", NULL);
        assert_parses(&hostler_job_type, "progress", "12.5", "12.5");
        assert_parses(&hostler_job_type, "progress", "nan", NULL);
        assert_parses(&hostler_job_type, "error", "[1]", "[1]");
}

static void assert_formats(const RecordType *type, const char *name, const void *value, const char *expected)
{
        g_autofree char *text = field_format(record_field(type, name), value);
        g_assert_cmpstr(text, ==, expected);
}

static void test_format(void)
{
        HostlerNicProps nic;
        assert_reads(&hostler_nic_props_type, "{\"forward\":[\"tcp:1:2\",\"udp:3:4\"]}", &nic);
        assert_formats(&hostler_nic_props_type, "forward", &nic, "tcp:1:2,udp:3:4");
        assert_formats(&hostler_nic_props_type, "link", &nic, "on");
        assert_formats(&hostler_nic_props_type, "model", &nic, "virtio-net-pci");
        assert_formats(&hostler_nic_props_type, "mac", &nic, "");
        record_clear(&hostler_nic_props_type, &nic);

        HostlerMemoryProps memory;
        record_init(&hostler_memory_props_type, &memory);
        assert_formats(&hostler_memory_props_type, "size", &memory, "256M");
        assert_formats(&hostler_memory_props_type, "max", &memory, "");
}

static void test_names_near(void)
{
        static const char *const names[] = {"web1", "web2", "wbe1", "database", "mail", NULL};
        g_auto(GStrv) near = names_near("web", names);
        g_assert_cmpstrv(near, ((const char *[]){"web1", "web2", NULL}));
        g_auto(GStrv) swapped = names_near("ewb1", names);
        g_assert_cmpstrv(swapped, ((const char *[]){"web1", "wbe1", "web2", NULL}));
        g_auto(GStrv) prefix = names_near("data", names);
        g_assert_cmpstrv(prefix, ((const char *[]){"database", NULL}));
        g_auto(GStrv) none = names_near("zzzzzz", names);
        g_assert_cmpstrv(none, ((const char *[]){NULL}));
}

static void test_names(void)
{
        const char *good[] = {"a", "web1", "a.b-c", "0"};
        for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_true(name_is_valid(good[i]));
        const char *bad[] = {"", "-a", "a-", ".a", "A", "a b", "a,b", "a/b", "a\n", "..", "\xc3\xa4"};
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(name_is_valid(bad[i]));
        g_autofree char *longest = g_strnfill(63, 'a'), *longer = g_strnfill(64, 'a');
        g_assert_true(name_is_valid(longest));
        g_assert_false(name_is_valid(longer));
}

static void *read_in_thread(void *text)
{
        for (int i = 0; i < 200; i++) {
                HostlerImageBuildArgs args;
                assert_reads(&hostler_image_build_args_type, text, &args);
                record_clear(&hostler_image_build_args_type, &args);
        }
        return NULL;
}

static void test_threads(void)
{
        GThread *threads[4];
        for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
                threads[i] = g_thread_new("read", read_in_thread, "{\"image\":\"debian:12\"}");
        for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
                g_thread_join(threads[i]);
}

static void test_long_list(void)
{
        HostlerVm vm;
        assert_reads(
            &hostler_vm_type,
            "{\"id\":\"6f9619ff-8b86-d011-b42d-00c04fc964ff\",\"name\":\"web1\",\"generation\":3,\"created\":"
            "\"2030-01-31T12:00:00.000Z\",\"spec\":{\"disk0\":{\"size\":\"4G\",\"image\":\"tiny\"},\"nic0\":{}},"
            "\"status\":{\"power\":\"running\",\"accel\":\"tcg\",\"pid\":1234,\"since\":\"2030-01-31T12:00:00.000Z\","
            "\"cpus\":2,\"memory\":268435456,\"addresses\":[{\"address\":\"10.0.2.15\",\"nic\":\"nic0\"}]}}",
            &vm);
        GString *out = g_string_sized_new(1 << 20);
        int64_t start = g_get_monotonic_time();
        for (int i = 0; i < 10000; i++)
                record_print(&hostler_vm_type, &vm, out);
        int64_t took_us = g_get_monotonic_time() - start;
        g_test_message("10,000 VMs, %zu bytes, %" G_GINT64_FORMAT " us", out->len, took_us);
        g_assert_cmpint(took_us, <,
                        1000000); /* far over what it takes: a loaded machine and sanitizers must pass too */
        g_string_free(out, TRUE);
        record_clear(&hostler_vm_type, &vm);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/record/defaults", test_defaults);
        g_test_add_func("/record/round-trip", test_round_trip);
        g_test_add_func("/record/printing", test_printing);
        g_test_add_func("/record/secrets", test_secrets);
        g_test_add_func("/record/faults", test_faults);
        g_test_add_func("/record/text-faults", test_text_faults);
        g_test_add_func("/record/hostile-names", test_hostile_names);
        g_test_add_func("/record/pointer-prefix", test_pointer_prefix);
        g_test_add_func("/record/lists", test_lists);
        g_test_add_func("/record/words", test_words);
        g_test_add_func("/record/format", test_format);
        g_test_add_func("/record/names-near", test_names_near);
        g_test_add_func("/record/names", test_names);
        g_test_add_func("/record/threads", test_threads);
        g_test_add_func("/record/long-list", test_long_list);
        return g_test_run();
}
