/* A made-up /proc, /sys/fs/cgroup, /dev and /etc in a temporary folder, for the tests of src/host. */
#pragma once

#include "host/host_facts.h"

typedef struct {
        char *root;
        char *proc, *cgroup, *dev, *etc, *sys, *share;
        HostPaths paths; /* of these folders; borrowed */
} HostTree;

void host_tree_make(HostTree *tree);
void host_tree_remove(HostTree *tree);
/* Writes @text to @path below the tree's root ("cgroup/a/memory.max"), making the folders above it. */
void host_tree_write(const HostTree *tree, const char *path, const char *text);
/* Makes a link at @path below the root that points to @target, as sysfs does. */
void host_tree_link(const HostTree *tree, const char *path, const char *target);
