/*
 * Control groups as facts: which version, where this process is, what it may do there. Changes nothing.
 *
 * Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst ("Delegation"). Any thread.
 */
#pragma once

#include <stdbool.h>

#include "host/host_facts.h"

typedef struct {
        int version;   /* 0: none mounted, 1, 2 (hybrid set-ups count as 1) */
        char *path;    /* folder of this process's own group (v1: of the memory controller), NULL when there is none */
        bool writable; /* groups can be made below it: it is delegated to us, or we are root */
        bool cpu, memory, io; /* controllers it has */
} CgroupFacts;
CgroupFacts cgroup_read(const HostPaths *paths);
void cgroup_clear(CgroupFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CgroupFacts, cgroup_clear)

/*
 * Folders from this process's own group of @controller ("memory", "cpu") up to the root, the nearest first; empty when
 * there is none. Owned by the caller (g_strfreev).
 */
char **cgroup_lineage(const HostPaths *paths, const char *controller);
