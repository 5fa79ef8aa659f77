/*
 * Finds this process's control groups and what it may do in them. Reads, never writes.
 *
 * host_facts.c takes the limits from the lineage; the doctor shows version and delegation.
 */
#include "host/cgroup.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define FILE_LIMIT 65536

static bool is_unified(const HostPaths *paths)
{
        g_autofree char *controllers = g_build_filename(paths->cgroup, "cgroup.controllers", NULL);
        return g_file_test(controllers, G_FILE_TEST_EXISTS);
}

static bool names_controller(const char *list, const char *controller)
{
        g_auto(GStrv) names = g_strsplit_set(list, ", \n", -1);
        return g_strv_contains((const char *const *)names, controller);
}

/* The path in /proc/self/cgroup: of hierarchy 0 when unified, else of @controller's. "/" where it leads out of our
 * namespace. */
static char *own_path(const HostPaths *paths, bool unified, const char *controller)
{
        g_autofree char *file = g_build_filename(paths->proc, "self", "cgroup", NULL);
        g_autofree char *text = file_read(file, FILE_LIMIT, NULL, NULL);
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", -1);
        for (char **line = lines; *line; line++) {
                g_auto(GStrv) parts = g_strsplit(*line, ":", 3);
                if (g_strv_length(parts) != 3)
                        continue;
                if (unified ? g_str_equal(parts[0], "0") : names_controller(parts[1], controller))
                        return g_strdup(strstr(parts[2], "..") ? "/" : parts[2]);
        }
        return NULL;
}

char **cgroup_lineage(const HostPaths *paths, const char *controller)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        bool unified = is_unified(paths);
        g_autofree char *root = unified ? g_strdup(paths->cgroup) : g_build_filename(paths->cgroup, controller, NULL);
        g_autofree char *path = own_path(paths, unified, controller);
        while (path) {
                g_autofree char *folder = g_build_filename(root, path, NULL);
                if (g_file_test(folder, G_FILE_TEST_IS_DIR))
                        g_strv_builder_add(builder, folder);
                bool at_root = g_str_equal(path, "/") || !strchr(path, '/');
                char *parent = at_root ? NULL : g_path_get_dirname(path);
                g_free(path);
                path = parent;
        }
        return g_strv_builder_end(builder);
}

/* v2 lists a group's controllers in a file; v1 has a folder for each. */
static bool has_controller(const HostPaths *paths, const char *listed, const char *v1_name, const char *v2_name)
{
        g_autofree char *folder = g_build_filename(paths->cgroup, v1_name, NULL);
        return listed ? names_controller(listed, v2_name) : g_file_test(folder, G_FILE_TEST_IS_DIR);
}

CgroupFacts cgroup_read(const HostPaths *paths)
{
        CgroupFacts facts = {0};
        g_auto(GStrv) lineage = cgroup_lineage(paths, "memory");
        bool unified = is_unified(paths);
        g_autofree char *listed = NULL;
        if (!lineage[0])
                return facts;
        facts.version = unified ? 2 : 1;
        facts.path = g_strdup(lineage[0]);
        if (unified) {
                g_autofree char *file = g_build_filename(facts.path, "cgroup.controllers", NULL);
                listed = file_read(file, FILE_LIMIT, NULL, NULL) ?: g_strdup("");
        }
        facts.writable = access(facts.path, W_OK) == 0;
        facts.cpu = has_controller(paths, listed, "cpu", "cpu");
        facts.memory = has_controller(paths, listed, "memory", "memory");
        facts.io = has_controller(paths, listed, "blkio", "io");
        return facts;
}

void cgroup_clear(CgroupFacts *facts)
{
        g_clear_pointer(&facts->path, g_free);
}
