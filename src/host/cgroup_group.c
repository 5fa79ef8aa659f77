/*
 * Makes control groups and writes into them: see cgroup_group.h. What each VM is to get is decided elsewhere; called by
 * src/vm/govern/govern.c.
 */
#include "host/cgroup_group.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define PERIOD_US 100000
#define LEAST_QUOTA_US 1000
#define TEXT_MAX 4096

/* Never makes a file: in a group they are all there. */
static bool write_in(const char *folder, const char *name, const char *text, GError **error)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        autoclose int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
                return true;
        return error_set_errno(error, errno, NULL, "writing “%s” to %s", text, path);
}

static bool contains_word(const char *folder, const char *name, const char *word)
{
        g_autofree char *path = g_build_filename(folder, name, NULL), *text = file_read(path, TEXT_MAX, NULL, NULL);
        g_auto(GStrv) words = g_strsplit_set(text ?: "", " \n", -1);
        return g_strv_contains((const char *const *)words, word);
}

/* Groups below @folder can have processors shared out among them. */
static bool enable_cpu(const char *folder, GError **error)
{
        return contains_word(folder, "cgroup.subtree_control", "cpu") ||
               write_in(folder, "cgroup.subtree_control", "+cpu", error);
}

static bool make_in(const char *base, const char *name, CgroupParent *parent, GError **error)
{
        g_autofree char *folder = g_build_filename(base, name, NULL);
        if (parent->version == 2 && !enable_cpu(base, error))
                return false;
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return error_set_errno(error, errno, NULL, "making the control group %s", folder);
        if (parent->version == 2 && !enable_cpu(folder, error))
                return false;
        /* It may be an older daemon's, of another user. */
        g_autofree char *members = g_build_filename(folder, "cgroup.procs", NULL);
        if (access(members, W_OK) < 0)
                return error_set_errno(error, errno, NULL, "writing to %s", members);
        parent->folder = g_steal_pointer(&folder);
        return true;
}

void cgroup_parent_open(const HostPaths *paths, const char *name, CgroupParent *ret_parent)
{
        g_autoptr(GError) error = NULL;
        g_auto(CgroupFacts) facts = cgroup_read(paths);
        g_auto(GStrv) lineage = cgroup_lineage(paths, "cpu");
        guint depth = g_strv_length(lineage);
        *ret_parent = (CgroupParent){.version = depth ? facts.version : 0};
        if (ret_parent->version == 0) {
                ret_parent->why = g_strdup("no control groups for processors are mounted");
                return;
        }
        /* A process may not be in a group of version 2 that shares out among others, so ours will not do; but the root
         * may be both. */
        const char *base = ret_parent->version == 1 || getuid() != 0 ? lineage[0] : lineage[depth - 1];
        if (!make_in(base, name, ret_parent, &error))
                ret_parent->why = g_strdup(error->message);
}

/* With all groups below it, which are empty ones of VMs that have ended and of pools. */
static bool drop_tree(const char *folder)
{
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                if (g_file_test(path, G_FILE_TEST_IS_DIR))
                        drop_tree(path);
        }
        return rmdir(folder) == 0 || errno == ENOENT;
}

void cgroup_parent_close(CgroupParent *parent)
{
        if (parent->folder)
                drop_tree(parent->folder);
        cgroup_parent_clear(parent);
}

void cgroup_parent_clear(CgroupParent *parent)
{
        g_free(parent->folder);
        g_free(parent->why);
        *parent = (CgroupParent){0};
}

/* INFINITY where there is none. */
static double limit_of(const char *folder, int version)
{
        g_autofree char *quota_path = g_build_filename(folder, version == 2 ? "cpu.max" : "cpu.cfs_quota_us", NULL);
        g_autofree char *quota = file_read(quota_path, TEXT_MAX, NULL, NULL);
        long long quota_us = -1, period_us = PERIOD_US;
        if (quota && version == 2)
                sscanf(quota, "%lld %lld", &quota_us, &period_us);
        if (quota && version == 1) {
                g_autofree char *period_path = g_build_filename(folder, "cpu.cfs_period_us", NULL);
                g_autofree char *period = file_read(period_path, TEXT_MAX, NULL, NULL);
                sscanf(quota, "%lld", &quota_us);
                sscanf(period ?: "", "%lld", &period_us);
        }
        return quota_us > 0 && period_us > 0 ? (double)quota_us / (double)period_us : INFINITY;
}

static bool is_group(const char *folder)
{
        g_autofree char *members = g_build_filename(folder, "cgroup.procs", NULL);
        return g_file_test(members, G_FILE_TEST_EXISTS);
}

double cgroup_parent_limit(const CgroupParent *parent)
{
        double least = INFINITY;
        g_autofree char *folder = g_strdup(parent->folder);
        while (folder && is_group(folder)) {
                least = MIN(least, limit_of(folder, parent->version));
                char *above = g_path_get_dirname(folder);
                g_free(folder);
                folder = above;
        }
        return least;
}

/* ---- groups below it ---- */

bool cgroup_make(const CgroupParent *parent, const char *group, GError **error)
{
        g_auto(GStrv) words = g_strsplit(group, "/", -1);
        g_autofree char *folder = g_strdup(parent->folder);
        for (char **word = words; *word; word++) {
                char *next = g_build_filename(folder, *word, NULL);
                g_free(folder);
                folder = next;
                if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                        return error_set_errno(error, errno, NULL, "making the control group %s", folder);
                if (parent->version == 2 && word[1] && !enable_cpu(folder, error))
                        return false;
        }
        return true;
}

bool cgroup_place(const CgroupParent *parent, const char *group, pid_t pid, GError **error)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL), *text = g_strdup_printf("%d", pid);
        return cgroup_make(parent, group, error) && write_in(folder, "cgroup.procs", text, error);
}

bool cgroup_set_shares(const CgroupParent *parent, const char *group, double shares, GError **error)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL);
        long value = parent->version == 2 ? lround(CLAMP(shares / 10, 1, 10000)) : lround(CLAMP(shares, 2, 262144));
        g_autofree char *text = g_strdup_printf("%ld", value);
        return write_in(folder, parent->version == 2 ? "cpu.weight" : "cpu.shares", text, error);
}

bool cgroup_set_ceiling(const CgroupParent *parent, const char *group, double cpus, GError **error)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL);
        long quota_us = isfinite(cpus) ? MAX(lround(cpus * PERIOD_US), LEAST_QUOTA_US) : -1;
        g_autofree char *text = parent->version == 1 ? g_strdup_printf("%ld", quota_us)
                                : quota_us < 0       ? g_strdup("max")
                                                     : g_strdup_printf("%ld %d", quota_us, PERIOD_US);
        return write_in(folder, parent->version == 2 ? "cpu.max" : "cpu.cfs_quota_us", text, error);
}

bool cgroup_drop(const CgroupParent *parent, const char *group)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL);
        return drop_tree(folder);
}
