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
#define MEMBERS_MAX (1 << 20)
#define MOVE_ROUNDS 5

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

/* Groups below @folder can have processors shared out among them, and memory protected where that is given to us. */
static bool enable(const char *folder, GError **error)
{
        if (!contains_word(folder, "cgroup.subtree_control", "memory"))
                write_in(folder, "cgroup.subtree_control", "+memory", NULL);
        return contains_word(folder, "cgroup.subtree_control", "cpu") ||
               write_in(folder, "cgroup.subtree_control", "+cpu", error);
}

/* The root, which has no type, may share out and hold processes; for others the kernel would do something else: make
 * groups of threads of those below. */
static bool holds_processes(const char *folder)
{
        g_autofree char *type = g_build_filename(folder, "cgroup.type", NULL);
        g_autofree char *path = g_build_filename(folder, "cgroup.procs", NULL);
        g_autofree char *members = file_read(path, MEMBERS_MAX, NULL, NULL);
        return g_file_test(type, G_FILE_TEST_EXISTS) && members && *members;
}

static bool make_in(const char *base, const char *name, CgroupParent *parent, GError **error)
{
        if (parent->version == 2 && holds_processes(base))
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "there are processes in the control group %s",
                                 base);
        g_autofree char *folder = g_build_filename(base, name, NULL);
        if (parent->version == 2 && !enable(base, error))
                return false;
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return error_set_errno(error, errno, NULL, "making the control group %s", folder);
        if (parent->version == 2 && !enable(folder, error))
                return false;
        /* It may be an older daemon's, of another user. */
        g_autofree char *members = g_build_filename(folder, "cgroup.procs", NULL);
        if (access(members, W_OK) < 0)
                return error_set_errno(error, errno, NULL, "writing to %s", members);
        parent->folder = g_steal_pointer(&folder);
        return true;
}

/* ---- where: version 2 ---- */

static bool may_write_in(const char *folder)
{
        static const char *const files[] = {"", "cgroup.procs", "cgroup.subtree_control"};
        for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
                g_autofree char *path = g_build_filename(folder, files[i], NULL);
                if (access(path, W_OK) < 0)
                        return false;
        }
        return true;
}

/* Those that cannot be moved stay: then the kernel says why the group cannot share out. */
static void move_members(const char *from, const char *to)
{
        for (int round = 0; round < MOVE_ROUNDS; round++) { /* a process may have begun another meanwhile */
                g_autofree char *path = g_build_filename(from, "cgroup.procs", NULL);
                g_autofree char *text = file_read(path, MEMBERS_MAX, NULL, NULL);
                g_auto(GStrv) pids = g_strsplit(text ? g_strchomp(text) : "", "\n", -1);
                for (char **pid = pids; *pid; pid++)
                        write_in(to, "cgroup.procs", *pid, NULL);
        }
}

/*
 * @folder, of which nothing above is ours, holds processes, this one among them, and may not do both. Whoever was given
 * it shall have the processes in a group below it.
 */
static bool clear_of_members(const char *folder, GError **error)
{
        g_autofree char *rest = g_build_filename(folder, "rest", NULL);
        if (!contains_word(folder, "cgroup.controllers", "cpu"))
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                                 "processors are not among what the control group %s may share out", folder);
        if (mkdir(rest, 0755) < 0 && errno != EEXIST)
                return error_set_errno(error, errno, NULL, "making the control group %s", rest);
        move_members(folder, rest);
        return true;
}

/*
 * A group that holds processes may not share out among others (the root may), so ours is made as far up as we have the
 * right to: a group that is given to us mostly stands below one that is ours, too, and has no processes.
 */
static void open_unified(char **lineage, const char *name, CgroupParent *parent, GError **error)
{
        for (guint above = g_strv_length(lineage); above > 0 && !parent->folder; above--) {
                g_clear_error(error);
                if (may_write_in(lineage[above - 1]))
                        make_in(lineage[above - 1], name, parent, error);
        }
        if (parent->folder)
                return;
        g_clear_error(error);
        if (!may_write_in(lineage[0]))
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "the control group %s is not given to this user",
                          lineage[0]);
        else if (clear_of_members(lineage[0], error))
                make_in(lineage[0], name, parent, error);
}

void cgroup_parent_open(const HostPaths *paths, const char *name, CgroupParent *ret_parent)
{
        g_autoptr(GError) error = NULL;
        g_auto(CgroupFacts) facts = cgroup_read(paths);
        g_auto(GStrv) lineage = cgroup_lineage(paths, "cpu");
        *ret_parent = (CgroupParent){.version = lineage[0] ? facts.version : 0};
        if (ret_parent->version == 0)
                ret_parent->why = g_strdup("no control groups for processors are mounted");
        else if (ret_parent->version == 2)
                open_unified(lineage, name, ret_parent, &error);
        else
                make_in(lineage[0], name, ret_parent, &error);
        if (error)
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
                if (parent->version == 2 && word[1] && !enable(folder, error))
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

bool cgroup_set_memory_floor(const CgroupParent *parent, const char *group, int64_t bytes, GError **error)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL);
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, bytes);
        return parent->version == 1 || write_in(folder, "memory.min", text, error);
}

bool cgroup_drop(const CgroupParent *parent, const char *group)
{
        g_autofree char *folder = g_build_filename(parent->folder, group, NULL);
        return drop_tree(folder);
}
