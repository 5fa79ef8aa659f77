/* QEMU's version and the doctor's lines, on this host and on made-up ones. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "host-tree.h"
#include "host/checks.h"
#include "host/qemu.h"
#include "hostler-records.h"

typedef struct {
        HostTree tree;
        Store *store;
        HostlerCheckList checks;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        host_tree_make(&fixture->tree);
        g_autofree char *database = g_build_filename(fixture->tree.root, "hostler.db", NULL);
        fixture->store = store_open(database, NULL);
        g_assert_nonnull(fixture->store);
        g_setenv("HOSTLER_ACCEL", "tcg", true);
        g_unsetenv("HOSTLER_QEMU");
}

static void clear_checks(Fixture *fixture)
{
        for (gsize i = 0; i < fixture->checks.count; i++)
                record_clear(&hostler_check_type, &fixture->checks.items[i]);
        g_free(fixture->checks.items);
        fixture->checks = (HostlerCheckList){0};
}

static void tear_down(Fixture *fixture, const void *data)
{
        clear_checks(fixture);
        store_close(fixture->store);
        host_tree_remove(&fixture->tree);
}

static void look(Fixture *fixture, const HostPaths *paths)
{
        HostContext context = {.state_dir = fixture->tree.root, .store = fixture->store, .paths = paths};
        clear_checks(fixture);
        host_checks(&context, &fixture->checks);
}

static const HostlerCheck *check(const Fixture *fixture, const char *name)
{
        for (gsize i = 0; i < fixture->checks.count; i++) {
                if (g_str_equal(fixture->checks.items[i].name, name))
                        return &fixture->checks.items[i];
        }
        g_error("no check is named %s", name);
}

static char *fake_qemu(const Fixture *fixture, const char *says)
{
        g_autofree char *text =
            g_strdup_printf("#!/bin/sh\necho run >>%s/runs\nprintf '%s'\n", fixture->tree.root, says);
        host_tree_write(&fixture->tree, "fake-qemu", text);
        char *path = g_build_filename(fixture->tree.root, "fake-qemu", NULL);
        g_assert_cmpint(g_chmod(path, 0700), ==, 0);
        return path;
}

static gsize count_runs(const Fixture *fixture)
{
        g_autofree char *path = g_build_filename(fixture->tree.root, "runs", NULL), *text = NULL;
        return g_file_get_contents(path, &text, NULL, NULL) ? strlen(text) / strlen("run\n") : 0;
}

static void test_every_line_says_something(Fixture *fixture, const void *data)
{
        look(fixture, NULL);
        for (gsize i = 0; i < fixture->checks.count; i++) {
                const HostlerCheck *line = &fixture->checks.items[i];
                g_test_message("%s %s: %s (%s)", line->ok ? "ok  " : "warn", line->name, line->detail,
                               line->hint ?: "");
                g_assert_true(line->detail && *line->detail);
                g_assert_true(line->ok || (line->hint && *line->hint));
        }
        g_assert_true(check(fixture, "qemu")->ok);
        g_assert_true(check(fixture, "qemu-img")->ok);
        g_assert_true(check(fixture, "user network")->ok);
        g_assert_true(check(fixture, "state folder")->ok);
        g_assert_false(check(fixture, "kvm")->ok);
}

/* A host on which nothing is there: every line still comes, as a warning where it looks at the tree. */
static void test_bare_host(Fixture *fixture, const void *data)
{
        static const char *const warned[] = {"memory", "cgroup", "shared memory", "package sources"};
        look(fixture, &fixture->tree.paths);
        for (gsize i = 0; i < G_N_ELEMENTS(warned); i++) {
                g_test_message("%s", warned[i]);
                g_assert_false(check(fixture, warned[i])->ok);
        }
}

static void test_package_sources(Fixture *fixture, const void *data)
{
        host_tree_write(&fixture->tree, "etc/apt/sources.list",
                        "# deb http://example.org stable main\ndeb-src http://example.org x\n");
        host_tree_write(&fixture->tree, "etc/apt/sources.list.d/src.sources",
                        "Types: deb-src\nURIs: http://example.org\n");
        host_tree_write(&fixture->tree, "etc/apt/sources.list.d/x.list.save", "deb http://example.org stable main\n");
        look(fixture, &fixture->tree.paths);
        g_assert_false(check(fixture, "package sources")->ok);
        host_tree_write(&fixture->tree, "etc/apt/sources.list.d/debian.sources",
                        "Types: deb-src deb\nURIs: http://example.org\n");
        look(fixture, &fixture->tree.paths);
        g_assert_true(check(fixture, "package sources")->ok);
}

static void test_tight_processor_limit(Fixture *fixture, const void *data)
{
        host_tree_write(&fixture->tree, "proc/self/cgroup", "0::/\n");
        host_tree_write(&fixture->tree, "cgroup/cgroup.controllers", "cpu\n");
        host_tree_write(&fixture->tree, "cgroup/cpu.max", "50000 100000\n");
        look(fixture, &fixture->tree.paths);
        g_assert_false(check(fixture, "processors")->ok);
        g_assert_nonnull(strstr(check(fixture, "processors")->detail, "0.50"));
        g_assert_true(check(fixture, "cgroup")->ok);
}

static void test_old_qemu(Fixture *fixture, const void *data)
{
        g_autofree char *path = fake_qemu(fixture, "QEMU emulator version 6.2.0 (Old 1:6.2)\\n");
        g_setenv("HOSTLER_QEMU", path, true);
        look(fixture, NULL);
        g_assert_false(check(fixture, "qemu")->ok);
        g_assert_nonnull(strstr(check(fixture, "qemu")->detail, "7.2 or newer"));
        g_assert_false(check(fixture, "user network")->ok);
}

static void test_no_qemu(Fixture *fixture, const void *data)
{
        g_setenv("HOSTLER_QEMU", "/nonexistent/qemu", true);
        look(fixture, NULL);
        g_assert_false(check(fixture, "qemu")->ok);
        g_assert_false(check(fixture, "user network")->ok);
        g_assert_nonnull(strstr(check(fixture, "qemu")->hint, "apt-get install"));
}

static void test_version_is_asked_once_per_binary(Fixture *fixture, const void *data)
{
        QemuVersion version;
        g_autofree char *path = fake_qemu(fixture, "QEMU emulator version 8.1.3 (X)\\nCopyright\\n");
        for (int i = 0; i < 3; i++) {
                g_assert_true(qemu_version(path, fixture->store, &version, NULL));
                g_assert_cmpint(version.major * 10000 + version.minor * 100 + version.micro, ==, 80103);
                g_assert_cmpstr(version.text, ==, "8.1.3 (X)");
        }
        g_assert_cmpuint(count_runs(fixture), ==, 1);
        g_free(g_steal_pointer(&path));
        path = fake_qemu(fixture, "QEMU emulator version 9.0\\n");
        g_assert_true(qemu_version(path, fixture->store, &version, NULL));
        g_assert_cmpint(version.major, ==, 9);
        g_assert_cmpuint(count_runs(fixture), ==, 2);
}

static void test_not_a_qemu(Fixture *fixture, const void *data)
{
        QemuVersion version;
        g_autoptr(GError) error = NULL;
        g_autofree char *path = fake_qemu(fixture, "QEMU emulator version x.y\\n");
        g_assert_false(qemu_version(path, fixture->store, &version, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        g_assert_false(qemu_version("/nonexistent/qemu", NULL, &version, NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/doctor-checks/" name, Fixture, NULL, set_up, function, tear_down)
        ADD("every-line-says-something", test_every_line_says_something);
        ADD("bare-host", test_bare_host);
        ADD("package-sources", test_package_sources);
        ADD("tight-processor-limit", test_tight_processor_limit);
        ADD("old-qemu", test_old_qemu);
        ADD("no-qemu", test_no_qemu);
        ADD("version-is-asked-once-per-binary", test_version_is_asked_once_per_binary);
        ADD("not-a-qemu", test_not_a_qemu);
        return g_test_run();
}
