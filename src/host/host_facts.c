/*
 * Processors and memory of this machine, as far as cgroups let this process have them.
 *
 * Called before each start of a VM (is there enough memory?) and by the doctor.
 */
#include "host/host_facts.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "host/cgroup.h"

#define FILE_LIMIT (256 * 1024)

const HostPaths host_paths = {
    .proc = "/proc",
    .cgroup = "/sys/fs/cgroup",
    .dev = "/dev",
    .etc = "/etc",
    .sys = "/sys",
    .share = "/usr/share",
};

/* How one version of cgroups names its memory files. */
typedef struct {
        const char *limit, *usage, *reclaimable;
} MemoryFiles;
static const MemoryFiles memory_v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
static const MemoryFiles memory_v2 = {"memory.max", "memory.current", "inactive_file"};

static char *read_in(const char *folder, const char *name)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        return file_read(path, FILE_LIMIT, NULL, NULL);
}

/* A file with one number; -1 when it is absent or not a number ("max"). */
static int64_t number_in(const char *folder, const char *name)
{
        g_autofree char *text = read_in(folder, name);
        int64_t value = -1;
        return text && g_ascii_string_to_signed(g_strstrip(text), 10, 0, INT64_MAX, &value, NULL) ? value : -1;
}

/* The number after @name at the start of a line ("MemTotal:  24684400 kB"); 0 when there is none. */
static int64_t field_of(const char *text, const char *name)
{
        gsize length = strlen(name);
        for (const char *line = text; line && *line;) {
                if (strncmp(line, name, length) == 0 && strchr(": \t", line[length]))
                        return MAX(g_ascii_strtoll(line + length + strspn(line + length, ": \t"), NULL, 10), 0);
                line = strchr(line, '\n');
                line = line ? line + 1 : NULL;
        }
        return 0;
}

/* Takes the limit of one group into account. Page cache that nobody uses is given back under pressure, so it counts as
 * free. */
static void apply_memory_limit(const char *folder, const MemoryFiles *files, HostFacts *facts)
{
        int64_t limit = number_in(folder, files->limit);
        if (limit < 0 || limit >= facts->memory_total_bytes)
                return;
        g_autofree char *stat = read_in(folder, "memory.stat");
        int64_t used = number_in(folder, files->usage) - field_of(stat, files->reclaimable);
        facts->memory_total_bytes = limit;
        facts->memory_available_bytes = MIN(facts->memory_available_bytes, MAX(limit - MAX(used, 0), 0));
}

/* Percent of one processor that a group may use; 0 when it is not limited. */
static int cpu_limit_of(const char *folder, int version)
{
        int64_t quota = -1, period = 0;
        if (version == 2) {
                g_autofree char *text = read_in(folder, "cpu.max");
                g_auto(GStrv) words = g_strsplit_set(text ?: "", " \n", 3);
                if (g_strv_length(words) >= 2 && !g_str_equal(words[0], "max")) {
                        quota = g_ascii_strtoll(words[0], NULL, 10);
                        period = g_ascii_strtoll(words[1], NULL, 10);
                }
        } else {
                quota = number_in(folder, "cpu.cfs_quota_us");
                period = number_in(folder, "cpu.cfs_period_us");
        }
        return quota > 0 && period > 0 ? (int)CLAMP(quota / (period / 100.0), 1, G_MAXINT) : 0;
}

static void apply_cgroups(const HostPaths *paths, HostFacts *facts)
{
        g_auto(CgroupFacts) own = cgroup_read(paths);
        g_auto(GStrv) memory = cgroup_lineage(paths, "memory");
        g_auto(GStrv) cpu = cgroup_lineage(paths, "cpu");
        for (char **folder = memory; *folder; folder++)
                apply_memory_limit(*folder, own.version == 2 ? &memory_v2 : &memory_v1, facts);
        for (char **folder = cpu; *folder; folder++) {
                int percent = cpu_limit_of(*folder, own.version);
                if (percent > 0 && (facts->cpu_limit_percent == 0 || percent < facts->cpu_limit_percent))
                        facts->cpu_limit_percent = percent;
        }
}

HostFacts host_facts_read(const HostPaths *paths)
{
        cpu_set_t allowed;
        g_autofree char *meminfo = read_in(paths->proc, "meminfo");
        HostFacts facts = {
            .cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed)
                                                                         : (int)g_get_num_processors(),
            .memory_total_bytes = field_of(meminfo, "MemTotal") * 1024,
            .memory_available_bytes = field_of(meminfo, "MemAvailable") * 1024,
            .page_size_bytes = sysconf(_SC_PAGESIZE),
        };
        apply_cgroups(paths, &facts);
        return facts;
}

int64_t host_memory_available_bytes(void)
{
        return host_facts_read(&host_paths).memory_available_bytes;
}
