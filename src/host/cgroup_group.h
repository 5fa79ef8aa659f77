/*
 * Control groups of our own: one for all VMs of a daemon, in it one for each resource pool, and in those one for each
 * VM's QEMU, by which the kernel shares out processors and, with version 2, leaves memory to whom it is reserved.
 *
 * Sources: cgroups(7), Documentation/admin-guide/cgroup-v1 (cpu.shares), Documentation/scheduler/sched-bwc.rst
 * (cpu.cfs_quota_us), cgroup-v2.rst (cpu.weight, cpu.max, memory.min; "No Internal Process Constraint"). Blocks for
 * microseconds; one thread at a time for each CgroupParent.
 */
#pragma once

#include "host/cgroup.h"

typedef struct {
        int version;  /* 0: there is none */
        char *folder; /* of the group for all VMs, in the processors' hierarchy; NULL: there is none */
        char *why;    /* why there is none, for people */
} CgroupParent;

/*
 * Makes, or finds again, the group @name: below this process's own (version 1), below the topmost that we may write to
 * (version 2). If that is the one we are in, for it was given to us or is a container's, the processes in it are moved
 * to a group "rest" below it. Without the right to do so ret->folder is NULL and ret->why says what is missing. Always
 * clear.
 */
void cgroup_parent_open(const HostPaths *paths, const char *name, CgroupParent *ret_parent);
/* Removes it, unless somebody is in it, and with it the groups of VMs that have ended and of pools. */
void cgroup_parent_close(CgroupParent *parent);
/* Frees what it owns and leaves the groups. */
void cgroup_parent_clear(CgroupParent *parent);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CgroupParent, cgroup_parent_clear)

/* Processors that the group and those above it may use together; INFINITY: no limit. */
double cgroup_parent_limit(const CgroupParent *parent);

/* A @group is a path below the parent's: "ID" of a VM, "pool-web/ID", "pool-web". */
bool cgroup_make(const CgroupParent *parent, const char *group, GError **error);
/* Puts a process with all its threads into the group, which is made. */
bool cgroup_place(const CgroupParent *parent, const char *group, pid_t pid, GError **error);
/* @shares: 1000 is what a processor of normal standing has. */
bool cgroup_set_shares(const CgroupParent *parent, const char *group, double shares, GError **error);
/* @cpus: processors at most; INFINITY: no ceiling. */
bool cgroup_set_ceiling(const CgroupParent *parent, const char *group, double cpus, GError **error);
/*
 * Memory that the kernel takes from the group only when there is no other left (memory.min); what is to protect a group
 * has to be given to those above it, too. True without doing anything in version 1, which has no such thing.
 */
bool cgroup_set_memory_floor(const CgroupParent *parent, const char *group, int64_t bytes, GError **error);
/* Removes the group with those below it; one with a process in it stays. Whether it is gone. */
bool cgroup_drop(const CgroupParent *parent, const char *group);
