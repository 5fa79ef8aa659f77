/*
 * Control groups of our own: files of both versions as the test laid them out, and the real thing where this process
 * may make groups.
 */
#include "host/cgroup_group.h"

#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "host-tree.h"

static void check_file(const char *folder, const char *name, const char *wanted)
{
        g_autofree char *path = g_build_filename(folder, name, NULL), *text = file_read(path, 1000, NULL, NULL);
        g_assert_nonnull(text);
        g_assert_cmpstr(g_strchomp(text), ==, wanted);
}

/* The kernel makes a group's files with its folder; here the test does, beforehand. */
static void test_version_1(void)
{
        static const char *const files[] = {"cgroup.procs", "cpu.shares", "cpu.cfs_quota_us"};
        HostTree tree;
        g_auto(CgroupParent) parent = {0};
        host_tree_make(&tree);
        host_tree_write(&tree, "proc/self/cgroup", "4:memory:/\n2:cpu,cpuacct:/mine\n");
        host_tree_write(&tree, "cgroup/memory/cgroup.procs", "");
        host_tree_write(&tree, "cgroup/cpu/mine/cgroup.procs", "");
        host_tree_write(&tree, "cgroup/cpu/mine/cpu.cfs_quota_us", "150000\n");
        host_tree_write(&tree, "cgroup/cpu/mine/cpu.cfs_period_us", "100000\n");
        for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
                g_autofree char *own = g_build_filename("cgroup/cpu/mine/ours", files[i], NULL);
                g_autofree char *vms = g_build_filename("cgroup/cpu/mine/ours/vm1", files[i], NULL);
                host_tree_write(&tree, own, "");
                host_tree_write(&tree, vms, "");
        }
        cgroup_parent_open(&tree.paths, "ours", &parent);
        g_assert_null(parent.why);
        g_assert_cmpfloat(cgroup_parent_limit(&parent), ==, 1.5);
        g_autofree char *folder = g_build_filename(parent.folder, "vm1", NULL);
        g_assert_true(cgroup_place(&parent, "vm1", 4242, NULL));
        check_file(folder, "cgroup.procs", "4242");
        g_assert_true(cgroup_set_shares(&parent, "vm1", 2000, NULL));
        check_file(folder, "cpu.shares", "2000");
        g_assert_true(cgroup_set_shares(&parent, "vm1", 1e9, NULL));
        check_file(folder, "cpu.shares", "262144");
        g_assert_true(cgroup_set_ceiling(&parent, "vm1", 0.3, NULL));
        check_file(folder, "cpu.cfs_quota_us", "30000");
        g_assert_true(cgroup_set_ceiling(&parent, "vm1", 0, NULL));
        check_file(folder, "cpu.cfs_quota_us", "1000");
        g_assert_true(cgroup_set_ceiling(&parent, "vm1", INFINITY, NULL));
        check_file(folder, "cpu.cfs_quota_us", "-1");
        g_assert_false(cgroup_set_shares(&parent, "nosuch", 1000, NULL));
        host_tree_remove(&tree);
}

static void test_version_2(void)
{
        HostTree tree;
        g_auto(CgroupParent) parent = {0};
        host_tree_make(&tree);
        host_tree_write(&tree, "proc/self/cgroup", "0::/\n");
        host_tree_write(&tree, "cgroup/cgroup.controllers", "cpu memory\n");
        host_tree_write(&tree, "cgroup/cgroup.procs", "");
        host_tree_write(&tree, "cgroup/cgroup.subtree_control", "memory\n");
        host_tree_write(&tree, "cgroup/ours/cgroup.procs", "");
        host_tree_write(&tree, "cgroup/ours/cgroup.subtree_control", "");
        host_tree_write(&tree, "cgroup/ours/cpu.max", "max 100000\n");
        host_tree_write(&tree, "cgroup/ours/vm1/cpu.max", "max 100000\n");
        host_tree_write(&tree, "cgroup/ours/vm1/cpu.weight", "100\n");
        host_tree_write(&tree, "cgroup/ours/vm1/memory.min", "0\n");
        cgroup_parent_open(&tree.paths, "ours", &parent);
        g_assert_cmpstr(parent.why, ==, NULL);
        check_file(tree.cgroup, "cgroup.subtree_control", "+cpu");
        check_file(parent.folder, "cgroup.subtree_control", "+cpu");
        g_assert_true(isinf(cgroup_parent_limit(&parent)));
        g_autofree char *folder = g_build_filename(parent.folder, "vm1", NULL);
        g_assert_true(cgroup_set_shares(&parent, "vm1", 2000, NULL));
        check_file(folder, "cpu.weight", "200");
        g_assert_true(cgroup_set_ceiling(&parent, "vm1", 0.3, NULL));
        check_file(folder, "cpu.max", "30000 100000");
        g_assert_true(cgroup_set_ceiling(&parent, "vm1", INFINITY, NULL));
        check_file(folder, "cpu.max", "max");
        g_assert_true(cgroup_set_memory_floor(&parent, "vm1", 64 << 20, NULL));
        check_file(folder, "memory.min", "67108864");
        g_assert_false(cgroup_set_memory_floor(&parent, "nosuch", 0, NULL));
        host_tree_remove(&tree);
}

static void test_without(void)
{
        HostTree tree;
        g_auto(CgroupParent) parent = {0};
        host_tree_make(&tree);
        host_tree_write(&tree, "proc/self/cgroup", "");
        cgroup_parent_open(&tree.paths, "ours", &parent);
        g_assert_null(parent.folder);
        g_assert_nonnull(parent.why);
        g_assert_true(isinf(cgroup_parent_limit(&parent)));
        host_tree_remove(&tree);
}

static void test_this_host(void)
{
        CgroupParent parent = {0};
        g_autofree char *name = g_strdup_printf("hostler-test-%d", (int)getpid());
        cgroup_parent_open(&host_paths, name, &parent);
        if (!parent.folder) {
                g_test_skip(parent.why);
                cgroup_parent_clear(&parent);
                return;
        }
        g_autofree char *folder = g_strdup(parent.folder);
        pid_t child = fork();
        if (child == 0)
                for (;;)
                        pause();
        g_assert_true(cgroup_place(&parent, "vm1", child, NULL));
        g_autofree char *pid = g_strdup_printf("%d", child);
        g_autofree char *group = g_build_filename(folder, "pool-a", "pool-b", "vm1", NULL);
        g_assert_false(cgroup_drop(&parent, "vm1"));
        g_assert_true(cgroup_place(&parent, "pool-a/pool-b/vm1", child, NULL));
        g_assert_true(cgroup_drop(&parent, "vm1"));
        check_file(group, "cgroup.procs", pid);
        g_assert_true(cgroup_set_shares(&parent, "pool-a/pool-b", 3000, NULL));
        g_assert_true(cgroup_set_ceiling(&parent, "pool-a/pool-b/vm1", 0.5, NULL));
        g_assert_false(cgroup_drop(&parent, "pool-a"));
        /* A group with somebody in it stays, and so does the one above it. */
        cgroup_parent_close(&parent);
        g_assert_true(g_file_test(group, G_FILE_TEST_IS_DIR));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        cgroup_parent_open(&host_paths, name, &parent);
        cgroup_parent_close(&parent);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/cgroup-group/version-1", test_version_1);
        g_test_add_func("/cgroup-group/version-2", test_version_2);
        g_test_add_func("/cgroup-group/without", test_without);
        g_test_add_func("/cgroup-group/this-host", test_this_host);
        return g_test_run();
}
