/*
 * What this machine has: processors, memory, page size, as far as this process may use them.
 *
 * Sources: proc(5) meminfo, the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current,
 * memory.stat, cpu.max) and cgroup-v1/memory.rst (memory.limit_in_bytes, memory.usage_in_bytes, memory.stat). Limits of
 * every cgroup above the process count. Reads files only; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Where the kernel's files are; tests have their own. */
typedef struct {
        const char *proc;   /* "/proc" */
        const char *cgroup; /* "/sys/fs/cgroup" */
        const char *dev;    /* "/dev" */
        const char *etc;    /* "/etc" */
        const char *sys;    /* "/sys" */
        const char *share;  /* "/usr/share" */
} HostPaths;
extern const HostPaths host_paths;

typedef struct {
        int cpus;                       /* that this process may run on */
        int cpu_limit_percent;          /* of one processor, from cgroups; 0: none */
        int64_t memory_total_bytes;     /* of the host, or less where a cgroup limits it */
        int64_t memory_available_bytes; /* without swapping: MemAvailable, or what is left under the tightest cgroup
                                          limit */
        int64_t page_size_bytes;
} HostFacts;
/* Never fails: what cannot be read is 0. */
HostFacts host_facts_read(const HostPaths *paths);

/* memory_available_bytes of this host, now. */
int64_t host_memory_available_bytes(void);
