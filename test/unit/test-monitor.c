/*
 * What is measured: rates of counters, slots and chunks at falling resolution under a clock of the test's own, /proc as
 * files that the test wrote, and the way through the store.
 */
#include "monitor/monitor.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "host-tree.h"

#define HOUR_MS 3600000LL
#define DAY_MS (24 * HOUR_MS)
/* A whole number of days since 1970. */
#define MIDNIGHT_MS (20000 * DAY_MS)

static void fill(float sample[METRICS], float cpu)
{
        for (int i = 0; i < METRICS; i++)
                sample[i] = NAN;
        sample[METRIC_CPU] = cpu;
}

/* ---- rates ---- */

static float cpu_after(Rates *rates, double seconds, int64_t at_ms)
{
        Reading reading;
        float sample[METRICS];
        reading_init(&reading, at_ms);
        reading.value[METRIC_CPU] = seconds;
        rates_add(rates, &reading, at_ms, sample);
        return sample[METRIC_CPU];
}

static void test_rates(void)
{
        Rates rates = {0};
        g_assert_true(isnan(cpu_after(&rates, 10, 1000)));
        g_assert_cmpfloat_with_epsilon(cpu_after(&rates, 11, 3000), 0.5, 1e-6);
        g_assert_cmpfloat_with_epsilon(cpu_after(&rates, 15, 5000), 2, 1e-6);
        /* Another process, or a counter that was reset. */
        g_assert_true(isnan(cpu_after(&rates, 1, 7000)));
        g_assert_cmpfloat_with_epsilon(cpu_after(&rates, 3, 9000), 1, 1e-6);
        /* A monotonic clock that is not. */
        g_assert_true(isnan(cpu_after(&rates, 4, 8000)));
}

static void test_counter_of_its_own_time(void)
{
        Rates rates = {0};
        Reading reading;
        float sample[METRICS];
        reading_init(&reading, 0);
        reading.value[METRIC_NET_IN] = 100;
        rates_add(&rates, &reading, 0, sample);
        reading.value[METRIC_NET_IN] = 1600;
        reading.at_ms[METRIC_NET_IN] = 15000;
        for (int64_t now_ms = 15000; now_ms <= 15000 + METRIC_STALE_MS; now_ms += 2000) {
                g_assert_cmpuint(rates_add(&rates, &reading, now_ms, sample), ==, 0);
                g_assert_cmpfloat_with_epsilon(sample[METRIC_NET_IN], 100, 1e-3);
        }
        rates_add(&rates, &reading, 15001 + METRIC_STALE_MS, sample);
        g_assert_true(isnan(sample[METRIC_NET_IN]));
}

static void test_nonsense_is_counted(void)
{
        Rates rates = {0};
        Reading reading;
        float sample[METRICS];
        reading_init(&reading, 0);
        reading.value[METRIC_CPU] = -1;
        reading.value[METRIC_MEMORY] = INFINITY;
        reading.value[METRIC_BALLOONED] = -4096;
        g_assert_cmpuint(rates_add(&rates, &reading, 0, sample), ==, 3);
        for (int i = 0; i < METRICS; i++)
                g_assert_true(isnan(sample[i]));
}

/* ---- series ---- */

typedef struct {
        unsigned count[SERIES_LEVELS];
        SeriesChunk last[SERIES_LEVELS];
} Kept;

static void keep(int level, const SeriesChunk *chunk, void *data)
{
        Kept *kept = data;
        kept->count[level]++;
        kept->last[level] = *chunk;
}

static bool add(Series *series, int64_t time_ms, float cpu, Kept *kept)
{
        float sample[METRICS];
        fill(sample, cpu);
        return series_add(series, time_ms, sample, keep, kept);
}

static void test_levels(void)
{
        g_autofree Series *series = g_new0(Series, 1);
        g_autofree Kept *kept = g_new0(Kept, 1);
        /* Two hours, the processor is as busy as the minute is odd. */
        for (int64_t at_ms = 0; at_ms < 2 * HOUR_MS; at_ms += 2000)
                g_assert_true(add(series, MIDNIGHT_MS + at_ms + 500, (float)(at_ms / 60000 % 2), kept));
        g_assert_cmpuint(kept->count[0], ==, 119);
        g_assert_cmpuint(kept->last[0].count, ==, 30);
        g_assert_cmpfloat(kept->last[0].slots[29][METRIC_CPU], ==, 0);
        g_assert_cmpint(kept->last[0].start_ms, ==, MIDNIGHT_MS + 118 * 60000);
        /* Each minute the hour so far, each quarter the day. */
        g_assert_cmpuint(kept->count[1], ==, 119);
        g_assert_cmpuint(kept->count[2], ==, 7);
        series_flush(series, keep, kept);
        series_flush(series, keep, kept);
        g_assert_cmpuint(kept->count[1], ==, 120);
        g_assert_cmpuint(kept->last[1].count, ==, 60);
        g_assert_cmpfloat(kept->last[1].slots[59][METRIC_CPU], ==, 1);
        g_assert_cmpuint(kept->last[2].count, ==, 8);
        /* Eight odd minutes of fifteen, or seven. */
        g_assert_cmpfloat_with_epsilon(kept->last[2].slots[0][METRIC_CPU], 7.0 / 15, 1e-5);
        g_assert_cmpfloat_with_epsilon(kept->last[2].slots[1][METRIC_CPU], 8.0 / 15, 1e-5);
        g_assert_true(isnan(kept->last[2].slots[1][METRIC_MEMORY]));
}

static void test_gaps(void)
{
        g_autofree Series *series = g_new0(Series, 1);
        g_autofree Kept *kept = g_new0(Kept, 1);
        g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(SeriesPoint));
        add(series, MIDNIGHT_MS + 2000, 1, kept);
        add(series, MIDNIGHT_MS + 20000, 3, kept);
        series_flush(series, keep, kept);
        g_assert_cmpuint(kept->last[0].count, ==, 11);
        g_assert_true(isnan(kept->last[0].slots[0][METRIC_CPU]));
        series_points(0, &kept->last[0], MIDNIGHT_MS, MIDNIGHT_MS + 60000, points);
        g_assert_cmpuint(points->len, ==, 2);
        g_assert_cmpint(g_array_index(points, SeriesPoint, 1).time_ms, ==, MIDNIGHT_MS + 20000);
}

static void test_clock_going_back(void)
{
        g_autofree Series *series = g_new0(Series, 1);
        g_autofree Kept *kept = g_new0(Kept, 1);
        g_assert_true(add(series, MIDNIGHT_MS + HOUR_MS, 1, kept));
        g_assert_false(add(series, MIDNIGHT_MS + HOUR_MS, 1, kept));
        g_assert_false(add(series, MIDNIGHT_MS + HOUR_MS - SERIES_CLOCK_MS + 1, 1, kept));
        g_assert_cmpuint(kept->count[0], ==, 0);
        g_assert_false(add(series, -5, 1, kept));
        /* Put right by an hour: what was measured meanwhile is kept, and it goes on from there. */
        g_assert_true(add(series, MIDNIGHT_MS, 0.25, kept));
        g_assert_cmpuint(kept->count[0], ==, 1);
        g_assert_cmpint(kept->last[0].start_ms, ==, MIDNIGHT_MS + HOUR_MS);
        g_assert_true(add(series, MIDNIGHT_MS + 2000, 0.75, kept));
        series_flush(series, keep, kept);
        g_assert_cmpfloat(kept->last[1].slots[0][METRIC_CPU], ==, 0.5);
}

static void test_resume(void)
{
        g_autofree Series *first = g_new0(Series, 1), *second = g_new0(Series, 1);
        g_autofree Kept *kept = g_new0(Kept, 1);
        for (int i = 0; i < 15; i++)
                add(first, MIDNIGHT_MS + 60000 + i * 2000, 1, kept);
        series_flush(first, keep, kept);
        /* Half a minute of 1 by one daemon, half a minute of 0 by the next. */
        series_resume(second, 1, &kept->last[1], MIDNIGHT_MS + 90000);
        for (int i = 15; i < 30; i++)
                add(second, MIDNIGHT_MS + 60000 + i * 2000, 0, kept);
        series_flush(second, keep, kept);
        g_assert_cmpuint(kept->last[1].count, ==, 2);
        g_assert_cmpfloat_with_epsilon(kept->last[1].slots[1][METRIC_CPU], 0.5, 1e-5);
        /* A chunk of another hour, or of the future, is not taken up. */
        g_autofree Series *third = g_new0(Series, 1);
        series_resume(third, 1, &kept->last[1], MIDNIGHT_MS + HOUR_MS);
        g_assert_false(third->heads[1].begun);
        series_resume(third, 1, &kept->last[1], MIDNIGHT_MS);
        g_assert_false(third->heads[1].begun);
}

static void test_thin(void)
{
        g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(SeriesPoint));
        for (int i = 0; i < 1800; i++) {
                SeriesPoint point = {.time_ms = MIDNIGHT_MS + i * 2000};
                fill(point.values, (float)i);
                g_array_append_val(points, point);
        }
        g_assert_cmpint(series_thin(points, 0, MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS, 1800), ==, 2000);
        g_assert_cmpuint(points->len, ==, 1800);
        g_assert_cmpint(series_thin(points, 0, MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS, 60), ==, 60000);
        g_assert_cmpuint(points->len, ==, 60);
        g_assert_cmpfloat(g_array_index(points, SeriesPoint, 0).values[METRIC_CPU], ==, 14.5);
        g_assert_true(isnan(g_array_index(points, SeriesPoint, 0).values[METRIC_MEMORY]));
        g_assert_cmpint(series_thin(points, 0, MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS, 1), ==, HOUR_MS);
        g_assert_cmpuint(points->len, ==, 1);
}

static void test_level_for(void)
{
        g_assert_cmpint(series_level_for(HOUR_MS), ==, 0);
        g_assert_cmpint(series_level_for(HOUR_MS + 1), ==, 1);
        g_assert_cmpint(series_level_for(DAY_MS), ==, 1);
        g_assert_cmpint(series_level_for(DAY_MS + 1), ==, 2);
        g_assert_cmpint(series_level_for(1000 * DAY_MS), ==, 2);
}

/* ---- /proc ---- */

static void write_process(const HostTree *tree, const char *start)
{
        g_autofree char *stat = g_strdup_printf(
            "42 (qemu) (x 1) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 %s 1000000 25600 18446744073709551615 1 "
            "1 0 0 0\n",
            start);
        host_tree_write(tree, "proc/42/stat", stat);
        host_tree_write(tree, "proc/42/task/42/comm", "qemu-system-x86\n");
        host_tree_write(tree, "proc/42/task/50/comm", "CPU 0/TCG\n");
        host_tree_write(tree, "proc/42/task/50/schedstat", "1500000000 250000000 99\n");
        host_tree_write(tree, "proc/42/task/51/comm", "CPU 1/TCG\n");
        host_tree_write(tree, "proc/42/task/51/schedstat", "500000000 250000000 9\n");
}

static void test_process(void)
{
        HostTree tree;
        g_auto(ProcThreads) threads = {0};
        Reading reading;
        host_tree_make(&tree);
        write_process(&tree, "777");
        reading_init(&reading, 0);
        g_assert_true(proc_read_qemu(&tree.paths, (ProcessId){42, 777}, &threads, &reading));
        g_assert_cmpfloat(reading.value[METRIC_CPU], ==, 300.0 / (double)sysconf(_SC_CLK_TCK));
        g_assert_cmpfloat(reading.value[METRIC_VCPU], ==, 2);
        g_assert_cmpfloat(reading.value[METRIC_WAIT], ==, 0.5);
        g_assert_cmpfloat(reading.value[METRIC_MEMORY], ==, 25600.0 * (double)sysconf(_SC_PAGESIZE));
        g_assert_true(isnan(reading.value[METRIC_DISK_READ]));
        /* The number is another process's now. */
        g_assert_false(proc_read_qemu(&tree.paths, (ProcessId){42, 778}, &threads, &reading));
        g_assert_false(proc_read_qemu(&tree.paths, (ProcessId){43, 777}, &threads, &reading));
        host_tree_write(&tree, "proc/42/stat", "42 (qemu");
        g_assert_false(proc_read_qemu(&tree.paths, (ProcessId){42, 777}, &threads, &reading));
        host_tree_remove(&tree);
}

static void test_host(void)
{
        HostTree tree;
        Reading reading;
        host_tree_make(&tree);
        host_tree_write(&tree, "proc/stat", "cpu  100 0 50 9000 5 10 40 0 0 0\ncpu0 1 2 3\n");
        host_tree_write(&tree, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
        host_tree_write(&tree, "proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n");
        host_tree_write(&tree, "proc/diskstats",
                        "   8 0 sda 10 0 100 0 20 0 200 0 0 0 0\n   8 1 sda1 10 0 100 0 20 0 200 0 0 0 0\n"
                        " 259 0 nvme0n1 1 0 2 0 3 0 4 0 0 0 0\n   7 0 loop0 9 0 9 0 9 0 9 0 0 0 0\n");
        host_tree_write(&tree, "proc/net/dev",
                        "Inter-| Receive\n face |bytes\n    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
                        "  eth0: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n");
        reading_init(&reading, 0);
        proc_read_host(&tree.paths, &reading);
        g_assert_cmpfloat(reading.value[METRIC_CPU], ==, 200.0 / (double)sysconf(_SC_CLK_TCK));
        g_assert_cmpfloat(reading.value[METRIC_WAIT], ==, 2.5);
        g_assert_cmpfloat(reading.value[METRIC_MEMORY], ==, 600 * 1024);
        g_assert_cmpfloat(reading.value[METRIC_DISK_READ], ==, 102 * 512);
        g_assert_cmpfloat(reading.value[METRIC_DISK_WRITE], ==, 204 * 512);
        g_assert_cmpfloat(reading.value[METRIC_DISK_OPS], ==, 34);
        g_assert_cmpfloat(reading.value[METRIC_NET_IN], ==, 1000);
        g_assert_cmpfloat(reading.value[METRIC_NET_OUT], ==, 2000);
        g_assert_true(dir_remove(tree.proc, NULL));
        reading_init(&reading, 0);
        proc_read_host(&tree.paths, &reading);
        g_assert_true(isnan(reading.value[METRIC_NET_IN]));
        host_tree_remove(&tree);
}

/* ---- through the store ---- */

typedef struct {
        char *dir;
        Store *store;
        ProcessId self;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        fixture->dir = g_dir_make_tmp("hostler-monitor-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(fixture->dir, "state.db", NULL);
        fixture->store = store_open(path, &error);
        g_assert_no_error(error);
        VmRow row = {.id = (char *)"id1", .name = (char *)"web1", .spec = (char *)"{}", .runtime = (char *)"{}"};
        g_assert_true(store_vm_insert(fixture->store, &row, NULL));
        g_assert_true(process_id_of(getpid(), &fixture->self));
}

static void tear_down(Fixture *fixture, const void *data)
{
        store_close(fixture->store);
        dir_remove(fixture->dir, NULL);
        g_free(fixture->dir);
}

static void round_at(Fixture *fixture, Monitor *monitor, int64_t unix_ms, double ballooned)
{
        Reading reading;
        reading_init(&reading, unix_ms);
        reading.value[METRIC_BALLOONED] = ballooned;
        monitor_round_begin(monitor);
        monitor_add_vm(monitor, "id1", fixture->self, &reading, unix_ms, unix_ms);
        monitor_round_end(monitor, unix_ms);
}

static guint points_at(Monitor *monitor, int64_t now_ms, int64_t ago_ms, int64_t *ret_step_ms, float *ret_last)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(GArray) points =
            monitor_read(monitor, "id1", now_ms - ago_ms, now_ms, now_ms, 100000, ret_step_ms, &error);
        g_assert_no_error(error);
        *ret_last = points->len ? g_array_index(points, SeriesPoint, points->len - 1).values[METRIC_BALLOONED] : NAN;
        return points->len;
}

static void test_survives_a_restart(Fixture *fixture, const void *data)
{
        int64_t step_ms, now_ms = MIDNIGHT_MS;
        float last;
        Monitor *monitor = monitor_new(fixture->store);
        for (; now_ms < MIDNIGHT_MS + 150000; now_ms += 2000)
                round_at(fixture, monitor, now_ms, 1000);
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS, &step_ms, &last), ==, 75);
        g_assert_cmpint(step_ms, ==, 2000);
        monitor_free(monitor);
        /* Another daemon, ten seconds later. */
        monitor = monitor_new(fixture->store);
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS, &step_ms, &last), ==, 75);
        for (now_ms += 10000; now_ms < MIDNIGHT_MS + 240000; now_ms += 2000)
                round_at(fixture, monitor, now_ms, 3000);
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS, &step_ms, &last), ==, 115);
        g_assert_cmpfloat(last, ==, 3000);
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS + 1, &step_ms, &last), ==, 4);
        g_assert_cmpint(step_ms, ==, 60000);
        /* It has stopped: what it was stays, what it is goes. */
        float sample[METRICS];
        g_assert_true(monitor_latest(monitor, "id1", sample));
        monitor_round_begin(monitor);
        monitor_round_end(monitor, now_ms);
        g_assert_false(monitor_latest(monitor, "id1", sample));
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS, &step_ms, &last), ==, 115);
        g_assert_cmpuint(monitor_dropped(monitor), ==, 0);
        monitor_free(monitor);
}

static void count_row(const SampleRow *row, void *data)
{
        (*(unsigned *)data)++;
}

static unsigned rows(Fixture *fixture, int level)
{
        unsigned count = 0;
        store_samples_each(fixture->store, "id1", level, 0, INT64_MAX, count_row, &count, NULL);
        return count;
}

static void test_is_bounded(Fixture *fixture, const void *data)
{
        g_autoptr(Monitor) monitor = monitor_new(fixture->store);
        for (int64_t at_ms = 0; at_ms < 3 * DAY_MS; at_ms += 30000)
                round_at(fixture, monitor, MIDNIGHT_MS + at_ms, 1);
        g_assert_cmpuint(rows(fixture, 0), <=, 60 + 61);
        g_assert_cmpuint(rows(fixture, 1), <=, 24 + 2);
        g_assert_cmpuint(rows(fixture, 2), ==, 3);
        /* A VM that is gone for ever takes its past with it. */
        g_assert_true(store_vm_delete(fixture->store, "id1", NULL));
        for (int level = 0; level < SERIES_LEVELS; level++)
                g_assert_true(store_samples_prune(fixture->store, level, 0, INT64_MAX, NULL));
        g_assert_cmpuint(rows(fixture, 0) + rows(fixture, 1) + rows(fixture, 2), ==, 0);
}

static void test_damaged_rows(Fixture *fixture, const void *data)
{
        int64_t step_ms;
        float last;
        g_autoptr(Monitor) monitor = monitor_new(fixture->store);
        float two[] = {1, 2, 3, 4};
        SampleRow damaged[] = {
            {(char *)"id1", 0, MIDNIGHT_MS, 0, g_bytes_new_static(two, sizeof two)},
            {(char *)"id1", 0, MIDNIGHT_MS + 60000, 2, g_bytes_new_static(two, 7)},
            {(char *)"id1", 0, MIDNIGHT_MS + 120000, 2, g_bytes_new_static(two, sizeof two)},
        };
        g_assert_true(store_samples_write(fixture->store, damaged, 3, NULL));
        /* Of an older version with two metrics: the others are not known. */
        g_assert_cmpuint(points_at(monitor, MIDNIGHT_MS + 180000, HOUR_MS, &step_ms, &last), ==, 2);
        g_assert_true(isnan(last));
        for (int i = 0; i < 3; i++)
                g_bytes_unref(damaged[i].slots);
}

typedef struct {
        Monitor *monitor;
        gint ended;
} Shared;

static gpointer read_all_the_time(gpointer data)
{
        Shared *shared = data;
        while (!g_atomic_int_get(&shared->ended)) {
                float sample[METRICS], last;
                int64_t step_ms;
                monitor_latest(shared->monitor, "id1", sample);
                monitor_dropped(shared->monitor);
                points_at(shared->monitor, MIDNIGHT_MS + HOUR_MS, HOUR_MS, &step_ms, &last);
        }
        return NULL;
}

/* Rounds go on, and the VM comes and goes, while others read. */
static void test_threads(Fixture *fixture, const void *data)
{
        g_autoptr(Monitor) monitor = monitor_new(fixture->store);
        Shared shared = {monitor, 0};
        GThread *readers[3];
        int64_t now_ms = MIDNIGHT_MS, step_ms;
        float last;
        for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
                readers[i] = g_thread_new("reader", read_all_the_time, &shared);
        for (int round = 0; round < 100; round++, now_ms += 10000) {
                round_at(fixture, monitor, now_ms, round);
                if (round % 20 != 10)
                        continue;
                monitor_round_begin(monitor);
                monitor_round_end(monitor, now_ms);
        }
        g_atomic_int_set(&shared.ended, 1);
        for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
                g_thread_join(readers[i]);
        g_assert_cmpuint(points_at(monitor, now_ms, HOUR_MS, &step_ms, &last), ==, 100);
        g_assert_cmpfloat(last, ==, 99);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/monitor/rates", test_rates);
        g_test_add_func("/monitor/rates/own-time", test_counter_of_its_own_time);
        g_test_add_func("/monitor/rates/nonsense", test_nonsense_is_counted);
        g_test_add_func("/monitor/series/levels", test_levels);
        g_test_add_func("/monitor/series/gaps", test_gaps);
        g_test_add_func("/monitor/series/clock-going-back", test_clock_going_back);
        g_test_add_func("/monitor/series/resume", test_resume);
        g_test_add_func("/monitor/series/thin", test_thin);
        g_test_add_func("/monitor/series/level-for", test_level_for);
        g_test_add_func("/monitor/proc/process", test_process);
        g_test_add_func("/monitor/proc/host", test_host);
#define ADD(name, function) g_test_add("/monitor/store/" name, Fixture, NULL, set_up, function, tear_down)
        ADD("survives-a-restart", test_survives_a_restart);
        ADD("is-bounded", test_is_bounded);
        ADD("damaged-rows", test_damaged_rows);
        ADD("threads", test_threads);
        return g_test_run();
}
