/*
 * Reads /proc: see proc.h. Files are small and read into the stack; a thousand VMs are read in each round. Called by
 * monitor.c.
 */
#include "monitor/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* Processors come and go seldom, and a reading with one more or less starts its rates over. */
#define THREADS_AGE 15
#define SECTOR_BYTES 512
#define TEXT_MAX 65536
#define SMALL_TEXT_MAX 1024

static bool read_text(const char *path, char *buffer, size_t size)
{
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? -1 : read(fd, buffer, size - 1);
        if (length < 0)
                return false;
        buffer[length] = '\0';
        return true;
}

/* A file of the host, of any length up to TEXT_MAX; NULL when there is none. */
static char *read_host_file(const HostPaths *paths, const char *name)
{
        g_autofree char *path = g_build_filename(paths->proc, name, NULL);
        return file_read(path, TEXT_MAX, NULL, NULL);
}

static void put(Reading *reading, Metric metric, double value)
{
        reading->value[metric] = value;
}

/* ---- a QEMU ---- */

void proc_threads_clear(ProcThreads *threads)
{
        g_clear_pointer(&threads->threads, g_array_unref);
        *threads = (ProcThreads){0};
}

/* QEMU names its threads (`debug-threads=on`): "CPU 0/KVM", "CPU 1/TCG", "ALL CPUs/TCG". */
static bool is_processor(const char *proc, pid_t pid, const char *thread)
{
        char path[256], name[64];
        g_snprintf(path, sizeof path, "%s/%d/task/%s/comm", proc, pid, thread);
        return read_text(path, name, sizeof name) &&
               (g_str_has_prefix(name, "CPU ") || g_str_has_prefix(name, "ALL CPU"));
}

static void find_threads(const HostPaths *paths, pid_t pid, ProcThreads *threads)
{
        g_autofree char *folder = g_strdup_printf("%s/%d/task", paths->proc, pid);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        proc_threads_clear(threads);
        threads->pid = pid;
        threads->threads = g_array_new(FALSE, FALSE, sizeof(pid_t));
        while (dir && (name = g_dir_read_name(dir))) {
                pid_t thread = atoi(name);
                if (is_processor(paths->proc, pid, name))
                        g_array_append_val(threads->threads, thread);
        }
}

static void read_threads(const HostPaths *paths, const ProcThreads *threads, Reading *reading)
{
        double ran = 0, waited = 0;
        for (guint i = 0; i < threads->threads->len; i++) {
                char path[256], text[128];
                unsigned long long run_ns = 0, wait_ns = 0;
                g_snprintf(path, sizeof path, "%s/%d/task/%d/schedstat", paths->proc, threads->pid,
                           g_array_index(threads->threads, pid_t, i));
                if (!read_text(path, text, sizeof text) || sscanf(text, "%llu %llu", &run_ns, &wait_ns) != 2)
                        return;
                ran += (double)run_ns / 1e9;
                waited += (double)wait_ns / 1e9;
        }
        if (threads->threads->len > 0) {
                put(reading, METRIC_VCPU, ran);
                put(reading, METRIC_WAIT, waited);
        }
}

/* Fields 14 and 15 (ticks in user and kernel mode), 22 (start) and 24 (pages) of PID/stat; the second, a name in
 * brackets, may have blanks and brackets itself. */
static bool read_stat(const HostPaths *paths, ProcessId process, Reading *reading)
{
        char path[256], text[SMALL_TEXT_MAX];
        unsigned long long user, system, start;
        long long pages;
        g_snprintf(path, sizeof path, "%s/%d/stat", paths->proc, process.pid);
        const char *rest = read_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
        if (!rest || sscanf(rest + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u "
                            "%lld",
                            &user, &system, &start, &pages) != 4)
                return false;
        if (start != process.start_ticks)
                return false;
        put(reading, METRIC_CPU, (double)(user + system) / (double)sysconf(_SC_CLK_TCK));
        put(reading, METRIC_MEMORY, (double)pages * (double)sysconf(_SC_PAGESIZE));
        return true;
}

bool proc_read_qemu(const HostPaths *paths, ProcessId process, ProcThreads *threads, Reading *reading)
{
        if (!read_stat(paths, process, reading))
                return false;
        bool none = !threads->threads || threads->threads->len == 0;
        if (none || threads->pid != process.pid || threads->age++ % THREADS_AGE == 0)
                find_threads(paths, process.pid, threads);
        read_threads(paths, threads, reading);
        return true;
}

/* ---- the host ---- */

/* "cpu  user nice system idle iowait irq softirq steal …", in ticks; guests' time is in user already. */
static void read_processors(const HostPaths *paths, Reading *reading)
{
        unsigned long long user, nice, system, idle, iowait, irq, softirq;
        g_autofree char *text = read_host_file(paths, "stat");
        if (text && sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq,
                           &softirq) == 7)
                put(reading, METRIC_CPU, (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK));
}

/* "some avg10=… avg60=… avg300=… total=MICROSECONDS" */
static void read_pressure(const HostPaths *paths, Reading *reading)
{
        g_autofree char *text = read_host_file(paths, "pressure/cpu");
        const char *total = text ? strstr(text, "total=") : NULL;
        if (total)
                put(reading, METRIC_WAIT, (double)g_ascii_strtoull(total + strlen("total="), NULL, 10) / 1e6);
}

/* Whole disks only: what goes to a partition, a mapper or a loop comes to one of these, too. */
static bool is_disk(const char *name)
{
        static const char *const kinds[] = {"sd", "vd", "xvd", "hd", NULL};
        if (g_str_has_prefix(name, "nvme") || g_str_has_prefix(name, "mmcblk"))
                return strchr(name, 'p') == NULL;
        for (int i = 0; kinds[i]; i++)
                if (g_str_has_prefix(name, kinds[i]))
                        return !g_ascii_isdigit(name[strlen(name) - 1]);
        return false;
}

static void read_disks(const HostPaths *paths, Reading *reading)
{
        g_autofree char *text = read_host_file(paths, "diskstats");
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", -1);
        double read_bytes = 0, written_bytes = 0, requests = 0;
        bool any = false;
        for (char **line = lines; *line; line++) {
                char name[64];
                unsigned long long reads, read_sectors, writes, written_sectors;
                if (sscanf(*line, "%*u %*u %63s %llu %*u %llu %*u %llu %*u %llu", name, &reads, &read_sectors, &writes,
                           &written_sectors) != 5 ||
                    !is_disk(name))
                        continue;
                read_bytes += (double)read_sectors * SECTOR_BYTES;
                written_bytes += (double)written_sectors * SECTOR_BYTES;
                requests += (double)(reads + writes);
                any = true;
        }
        if (!any)
                return;
        put(reading, METRIC_DISK_READ, read_bytes);
        put(reading, METRIC_DISK_WRITE, written_bytes);
        put(reading, METRIC_DISK_OPS, requests);
}

/* "  eth0: bytes packets … (eight of received, then eight of sent)" */
static void read_network(const HostPaths *paths, Reading *reading)
{
        g_autofree char *text = read_host_file(paths, "net/dev");
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", -1);
        double in = 0, out = 0;
        bool any = false;
        for (char **line = lines; *line; line++) {
                const char *name = g_strchug(*line), *colon = strchr(name, ':');
                unsigned long long received, sent;
                if (!colon || g_str_has_prefix(name, "lo:") ||
                    sscanf(colon + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &received, &sent) != 2)
                        continue;
                in += (double)received;
                out += (double)sent;
                any = true;
        }
        if (!any)
                return;
        put(reading, METRIC_NET_IN, in);
        put(reading, METRIC_NET_OUT, out);
}

void proc_read_host(const HostPaths *paths, Reading *reading)
{
        HostFacts facts = host_facts_read(paths);
        read_processors(paths, reading);
        read_pressure(paths, reading);
        if (facts.memory_total_bytes > 0)
                put(reading, METRIC_MEMORY, (double)(facts.memory_total_bytes - facts.memory_available_bytes));
        read_disks(paths, reading);
        read_network(paths, reading);
}
