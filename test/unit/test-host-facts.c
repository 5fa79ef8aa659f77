/* Processors, memory and control groups, read from made-up trees of either cgroup version, and from this host. */
#include <unistd.h>

#include "host-tree.h"
#include "host/cgroup.h"
#include "host/host_facts.h"

#define GIB ((int64_t)1 << 30)
#define MEMINFO "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"

static void set_up(HostTree *tree, const void *data)
{
        host_tree_make(tree);
        host_tree_write(tree, "proc/meminfo", MEMINFO);
}

static void tear_down(HostTree *tree, const void *data)
{
        host_tree_remove(tree);
}

static void test_without_cgroups(HostTree *tree, const void *data)
{
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_total_bytes, ==, 16 * GIB);
        g_assert_cmpint(facts.memory_available_bytes, ==, 8 * GIB);
        g_assert_cmpint(facts.cpu_limit_percent, ==, 0);
        g_assert_cmpint(facts.cpus, >=, 1);
        g_assert_cmpint(facts.page_size_bytes, ==, sysconf(_SC_PAGESIZE));
        g_auto(CgroupFacts) cgroup = cgroup_read(&tree->paths);
        g_assert_cmpint(cgroup.version, ==, 0);
        g_assert_null(cgroup.path);
}

static void test_nothing_readable(HostTree *tree, const void *data)
{
        HostPaths nowhere = {
            .proc = "/nonexistent", .cgroup = "/nonexistent", .dev = "/nonexistent", .etc = "/nonexistent"};
        HostFacts facts = host_facts_read(&nowhere);
        g_assert_cmpint(facts.memory_total_bytes, ==, 0);
        g_assert_cmpint(facts.memory_available_bytes, ==, 0);
}

/* The limit is two levels above the process; unused page cache counts as free. */
static void test_v2_limit_of_an_ancestor(HostTree *tree, const void *data)
{
        host_tree_write(tree, "proc/self/cgroup", "0::/user.slice/session/app\n");
        host_tree_write(tree, "cgroup/cgroup.controllers", "cpu io memory pids\n");
        host_tree_write(tree, "cgroup/user.slice/memory.max", "4294967296\n");
        host_tree_write(tree, "cgroup/user.slice/memory.current", "3221225472\n");
        host_tree_write(tree, "cgroup/user.slice/memory.stat", "anon 1\ninactive_file 1073741824\nactive_file 5\n");
        host_tree_write(tree, "cgroup/user.slice/cpu.max", "150000 100000\n");
        host_tree_write(tree, "cgroup/user.slice/session/app/memory.max", "max\n");
        host_tree_write(tree, "cgroup/user.slice/session/app/cpu.max", "max 100000\n");
        host_tree_write(tree, "cgroup/user.slice/session/app/cgroup.controllers", "memory cpuset\n");
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_total_bytes, ==, 4 * GIB);
        g_assert_cmpint(facts.memory_available_bytes, ==, 2 * GIB);
        g_assert_cmpint(facts.cpu_limit_percent, ==, 150);

        g_auto(CgroupFacts) cgroup = cgroup_read(&tree->paths);
        g_assert_cmpint(cgroup.version, ==, 2);
        g_assert_true(g_str_has_suffix(cgroup.path, "/user.slice/session/app"));
        g_assert_true(cgroup.writable);
        g_assert_true(cgroup.memory);
        g_assert_false(cgroup.cpu); /* "cpuset" is another controller */
        g_assert_false(cgroup.io);
}

/* A group that is over its limit leaves nothing, not less than nothing. */
static void test_v2_over_the_limit(HostTree *tree, const void *data)
{
        host_tree_write(tree, "proc/self/cgroup", "0::/a\n");
        host_tree_write(tree, "cgroup/cgroup.controllers", "memory\n");
        host_tree_write(tree, "cgroup/a/memory.max", "1073741824\n");
        host_tree_write(tree, "cgroup/a/memory.current", "1083741824\n");
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_available_bytes, ==, 0);
        g_assert_cmpint(facts.memory_total_bytes, ==, GIB);
}

/* Seen from a container, the group's path leads out of what is mounted: the mounted root is ours. */
static void test_v2_path_outside_the_namespace(HostTree *tree, const void *data)
{
        host_tree_write(tree, "proc/self/cgroup", "0::/../other\n");
        host_tree_write(tree, "cgroup/cgroup.controllers", "memory cpu\n");
        host_tree_write(tree, "cgroup/memory.max", "2147483648\n");
        host_tree_write(tree, "cgroup/memory.current", "0\n");
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_total_bytes, ==, 2 * GIB);
        g_auto(CgroupFacts) cgroup = cgroup_read(&tree->paths);
        g_assert_true(g_str_has_suffix(cgroup.path, "/cgroup/"));
}

static void test_v1(HostTree *tree, const void *data)
{
        host_tree_write(tree, "proc/self/cgroup", "9:cpu,cpuacct:/jobs\n4:memory:/jobs/one\n1:name=systemd:/x\n");
        host_tree_write(tree, "cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        host_tree_write(tree, "cgroup/memory/jobs/one/memory.limit_in_bytes", "1073741824\n");
        host_tree_write(tree, "cgroup/memory/jobs/one/memory.usage_in_bytes", "536870912\n");
        host_tree_write(tree, "cgroup/memory/jobs/one/memory.stat", "inactive_file 7\ntotal_inactive_file 268435456\n");
        host_tree_write(tree, "cgroup/cpu/jobs/cpu.cfs_quota_us", "25000\n");
        host_tree_write(tree, "cgroup/cpu/jobs/cpu.cfs_period_us", "100000\n");
        host_tree_write(tree, "cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        host_tree_write(tree, "cgroup/cpu/cpu.cfs_period_us", "100000\n");
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_total_bytes, ==, GIB);
        g_assert_cmpint(facts.memory_available_bytes, ==, GIB * 3 / 4);
        g_assert_cmpint(facts.cpu_limit_percent, ==, 25);
        g_auto(CgroupFacts) cgroup = cgroup_read(&tree->paths);
        g_assert_cmpint(cgroup.version, ==, 1);
        g_assert_true(cgroup.cpu);
        g_assert_true(cgroup.memory);
        g_assert_false(cgroup.io);
}

/* Foreign text in these files is no reason to crash or to believe it. */
static void test_damaged_files(HostTree *tree, const void *data)
{
        host_tree_write(tree, "proc/meminfo", "MemTotal\nMemTotal:\nMemAvailable: -5 kB\nMemAvailableX: 9 kB");
        host_tree_write(tree, "proc/self/cgroup", "0:\n\n::\n0::/a");
        host_tree_write(tree, "cgroup/cgroup.controllers", "");
        host_tree_write(tree, "cgroup/a/memory.max", "lots\n");
        host_tree_write(tree, "cgroup/a/cpu.max", "100\n");
        HostFacts facts = host_facts_read(&tree->paths);
        g_assert_cmpint(facts.memory_total_bytes, ==, 0);
        g_assert_cmpint(facts.memory_available_bytes, ==, 0);
        g_assert_cmpint(facts.cpu_limit_percent, ==, 0);
}

static void test_this_host(void)
{
        HostFacts facts = host_facts_read(&host_paths);
        g_assert_cmpint(facts.memory_total_bytes, >, facts.memory_available_bytes);
        g_assert_cmpint(facts.memory_available_bytes, >, 0);
        g_assert_cmpint(host_memory_available_bytes(), >, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/host-facts/" name, HostTree, NULL, set_up, function, tear_down)
        ADD("without-cgroups", test_without_cgroups);
        ADD("nothing-readable", test_nothing_readable);
        ADD("v2/limit-of-an-ancestor", test_v2_limit_of_an_ancestor);
        ADD("v2/over-the-limit", test_v2_over_the_limit);
        ADD("v2/path-outside-the-namespace", test_v2_path_outside_the_namespace);
        ADD("v1", test_v1);
        ADD("damaged-files", test_damaged_files);
        g_test_add_func("/host-facts/this-host", test_this_host);
        return g_test_run();
}
