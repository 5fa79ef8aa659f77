/* From words to an Invocation, and what is said when they make no sense. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/parse.h"

/* @line is split at spaces. */
static bool parse(const char *line, Invocation *ret_invocation, GError **error)
{
        g_auto(GStrv) words = g_strsplit(line, " ", -1);

        return parse_words((const char *const *)words, ret_invocation, error);
}

static void expect(const char *line, const char *verb, const char *names, const char *args)
{
        g_auto(Invocation) got = {0};
        g_autoptr(GError) error = NULL;

        g_assert_true(parse(line, &got, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(got.verb->verb->id, ==, verb);
        g_autofree char *joined = got.names ? g_strjoinv(" ", got.names) : NULL;
        g_assert_cmpstr(joined, ==, names);
        char *text = json_dumps(got.args, JSON_COMPACT | JSON_SORT_KEYS);
        g_assert_cmpstr(text, ==, args);
        free(text);
}

static void expect_error(const char *line, HostlerErrorCode code, const char *message, const char *hint)
{
        g_auto(Invocation) got = {0};
        g_autoptr(GError) error = NULL;

        g_assert_false(parse(line, &got, &error));
        g_assert_error(error, HOSTLER_ERROR, (int)code);
        json_auto_t *problem = error_to_json(error);
        g_assert_nonnull(strstr(error->message, message));
        g_assert_cmpstr(json_string_value(json_object_get(problem, "hint")), ==, hint);
}

static void test_verbs(void)
{
        expect("ls", "vm.ls", NULL, "{}");
        expect("vm ls", "vm.ls", NULL, "{}");
        expect("vms ls", "vm.ls", NULL, "{}");
        expect("image ls", "image.ls", NULL, "{}");
        expect("doctor", "doctor.show", NULL, "{}");
        expect("doctor show", "doctor.show", NULL, "{}");
        expect("start web1", "vm.start", "web1", "{}");
        expect("start web1 web2 web3", "vm.start", "web1 web2 web3", "{}");
        expect("power-off web1", "vm.stop", "web1", "{\"hard\":true}");
        expect("power-off --no-hard web1", "vm.stop", "web1", "{\"hard\":false}");
        expect("shutdown web1", "vm.stop", "web1", "{}");
        expect("delete web1 --now", "vm.rm", "web1", "{\"now\":true}");
        expect("-o json vm show web1", "vm.show", NULL, "{\"vm\":\"web1\"}");
}

static void test_values(void)
{
        expect("create t1 --image tiny --memory 1G --cpus=2 --start", "vm.create", NULL,
               "{\"cpus\":2,\"image\":\"tiny\",\"memory\":1073741824,\"name\":\"t1\",\"start\":true}");
        expect("create t1 disk1.size=1G cpu.count=2", "vm.create", NULL,
               "{\"name\":\"t1\",\"spec\":{\"cpu\":{\"count\":2},\"disk1\":{\"size\":1073741824}}}");
        expect("set web1 cpu.count=4 cpu.max=8", "vm.set", NULL,
               "{\"spec\":{\"cpu\":{\"count\":4,\"max\":8}},\"vm\":\"web1\"}");
        expect("stop a --timeout 2m", "vm.stop", "a", "{\"timeout\":120000}");
        expect("disk add web1 --size 20G", "disk.add", NULL, "{\"size\":21474836480,\"vm\":\"web1\"}");
        expect("wait web1 ip --timeout 90s", "vm.wait", NULL, "{\"for\":\"ip\",\"timeout\":90000,\"vm\":\"web1\"}");
        expect("rm -y a -- -b", "vm.rm", "a -b", "{\"yes\":true}");
}

static void test_globals(void)
{
        g_auto(Invocation) got = {0};
        g_autoptr(GError) error = NULL;

        g_assert_true(
            parse("start --wait ip a -o yaml --columns name,power --no-headers --timeout=3m --state /s --socket /x -y",
                  &got, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(got.options.wait_for, ==, "ip");
        g_assert_cmpint(got.options.format, ==, OUTPUT_YAML);
        g_assert_cmpstr(got.options.columns[1], ==, "power");
        g_assert_true(got.options.no_headers && got.options.yes);
        g_assert_cmpint(got.options.timeout_ms, ==, 180000);
        g_assert_cmpstr(got.options.state, ==, "/s");
        g_assert_cmpstr(got.options.socket, ==, "/x");
        g_assert_cmpstr(got.names[0], ==, "a");
        invocation_clear(&got);
        g_assert_true(parse("start --wait web1", &got, &error));
        g_assert_cmpstr(got.names[0], ==, "web1");
        g_assert_null(got.options.wait_for);
}

static void test_command(void)
{
        g_auto(Invocation) got = {0}, bare = {0};

        g_assert_true(parse("exec -i web1 -- ls -l --color", &got, NULL));
        g_assert_cmpstr(got.words[0], ==, "ls");
        g_assert_cmpstr(got.words[2], ==, "--color");
        g_assert_true(json_is_true(json_object_get(got.local, "stdin")));
        g_assert_true(parse("exec web1 ls -l,a -o json", &bare, NULL));
        g_assert_cmpuint(g_strv_length(bare.words), ==, 4);
        g_assert_cmpstr(bare.words[1], ==, "-l,a");
        g_assert_cmpint(bare.options.format, ==, OUTPUT_TABLE);
}

static void test_file(void)
{
        g_autofree char *folder = g_dir_make_tmp("hostler-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(folder, "spec.json", NULL);
        g_autofree char *line = g_strdup_printf("set web1 -f %s", path);
        g_autofree char *missing = g_strdup_printf("set web1 -f %s/none", folder);
        g_auto(Invocation) got = {0};

        g_assert_true(g_file_set_contents(path, "{}", -1, NULL));
        g_assert_true(parse(line, &got, NULL));
        g_assert_cmpstr(json_string_value(json_object_get(got.local, "file")), ==, "{}");
        invocation_clear(&got);
        g_assert_false(parse(missing, &got, NULL));
        g_unlink(path);
        g_rmdir(folder);
}

static void test_help(void)
{
        g_auto(Invocation) got = {0};

        g_assert_true(parse("start --help", &got, NULL));
        g_assert_true(got.options.help);
        g_assert_cmpstr(got.verb->verb->id, ==, "vm.start");
        invocation_clear(&got);
        g_assert_true(parse("--version", &got, NULL));
        g_assert_true(got.options.version);
}

static void test_errors(void)
{
        expect_error("strat web1", HOSTLER_ERROR_USAGE, "there is no verb or noun strat", "did you mean start?");
        expect_error("disk ad web1", HOSTLER_ERROR_USAGE, "disk has no verb ad", "did you mean add?");
        expect_error("nic add web1", HOSTLER_ERROR_USAGE, "nic has no verb add",
                     "`hostler device add` is for all kinds of devices");
        expect_error("disk frobnicate", HOSTLER_ERROR_USAGE, "disk has no verb frobnicate",
                     "disk has: add, rm, move, ls");
        expect_error("disk", HOSTLER_ERROR_USAGE, "disk needs a verb", "verbs of disk: add, rm, move, ls");
        expect_error("start", HOSTLER_ERROR_USAGE, "start needs VM", "hostler start VM… [flags]");
        expect_error("ls extra", HOSTLER_ERROR_USAGE, "one argument too many", "hostler ls [flags]");
        expect_error("stop a --harde", HOSTLER_ERROR_USAGE, "there is no flag --harde", "did you mean --hard?");
        expect_error("volume create default v", HOSTLER_ERROR_USAGE, "volume create needs --size",
                     "hostler volume create POOL VOLUME --size SIZE [flags]");
        expect_error("set web1", HOSTLER_ERROR_USAGE, "set needs PROP=VALUE", "hostler set VM PROP=VALUE… [flags]");
        expect_error("set web1 cpus", HOSTLER_ERROR_USAGE, "cpus is not PROP=VALUE", "hostler help properties");
        expect_error("create a --memory lots", HOSTLER_ERROR_INVALID, "--memory: ", NULL);
        expect_error("ls -o xml", HOSTLER_ERROR_USAGE, "no output format xml", "formats: table, json, yaml, name");
        expect_error("start a --wait=moon", HOSTLER_ERROR_USAGE, "not moon", "hostler start VM… [flags]");
        expect_error("ls --columns", HOSTLER_ERROR_USAGE, "needs a value", "hostler ls [flags]");
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/cli-parse/verbs", test_verbs);
        g_test_add_func("/cli-parse/values", test_values);
        g_test_add_func("/cli-parse/globals", test_globals);
        g_test_add_func("/cli-parse/command", test_command);
        g_test_add_func("/cli-parse/file", test_file);
        g_test_add_func("/cli-parse/help", test_help);
        g_test_add_func("/cli-parse/errors", test_errors);
        return g_test_run();
}
