/* Makes and removes the made-up tree; see host-tree.h. */
#include "host-tree.h"

#include <unistd.h>

#include "base/file.h"

void host_tree_make(HostTree *tree)
{
        tree->root = g_dir_make_tmp("hostler-host-XXXXXX", NULL);
        g_assert_nonnull(tree->root);
        tree->proc = g_build_filename(tree->root, "proc", NULL);
        tree->cgroup = g_build_filename(tree->root, "cgroup", NULL);
        tree->dev = g_build_filename(tree->root, "dev", NULL);
        tree->etc = g_build_filename(tree->root, "etc", NULL);
        tree->sys = g_build_filename(tree->root, "sys", NULL);
        tree->share = g_build_filename(tree->root, "share", NULL);
        tree->paths = (HostPaths){.proc = tree->proc,
                                  .cgroup = tree->cgroup,
                                  .dev = tree->dev,
                                  .etc = tree->etc,
                                  .sys = tree->sys,
                                  .share = tree->share};
}

void host_tree_remove(HostTree *tree)
{
        g_assert_true(dir_remove(tree->root, NULL));
        g_free(tree->root);
        g_free(tree->proc);
        g_free(tree->cgroup);
        g_free(tree->dev);
        g_free(tree->etc);
        g_free(tree->sys);
        g_free(tree->share);
}

void host_tree_write(const HostTree *tree, const char *path, const char *text)
{
        g_autofree char *full = g_build_filename(tree->root, path, NULL);
        g_autofree char *folder = g_path_get_dirname(full);
        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
        g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

void host_tree_link(const HostTree *tree, const char *path, const char *target)
{
        g_autofree char *full = g_build_filename(tree->root, path, NULL);
        g_autofree char *folder = g_path_get_dirname(full);
        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
        g_assert_cmpint(symlink(target, full), ==, 0);
}
