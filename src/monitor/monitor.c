/*
 * Trackers, and their way into the store and back: see monitor.h. How samples become means of longer times is series.c,
 * where they come from proc.c.
 *
 * The lock guards the table of trackers and is not held while the store works or /proc is read; trackers are changed by
 * the one thread that makes the rounds.
 */
#include "monitor/monitor.h"

#include <math.h>
#include <string.h>

#include "base/error.h"

#define PRUNE_MS (3600 * 1000LL)

typedef struct {
        char *object;
        ProcThreads threads; /* the rounds' thread only */
        Rates rates;
        uint64_t round;
        /* under the lock */
        Series series;
        float latest[METRICS];
} Tracker;

struct Monitor {
        Store *store;
        GMutex lock;
        GHashTable *trackers; /* object → Tracker */
        GArray *rows;         /* of SampleRow: to be written at the end of the round */
        uint64_t round, dropped;
        int64_t pruned_ms;
};

static void tracker_free(gpointer data)
{
        Tracker *tracker = data;
        proc_threads_clear(&tracker->threads);
        g_free(tracker->object);
        g_free(tracker);
}

static GArray *rows_new(void)
{
        GArray *rows = g_array_new(FALSE, FALSE, sizeof(SampleRow));
        g_array_set_clear_func(rows, (GDestroyNotify)sample_row_clear);
        return rows;
}

Monitor *monitor_new(Store *store)
{
        Monitor *monitor = g_new0(Monitor, 1);
        monitor->store = store;
        monitor->trackers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, tracker_free);
        monitor->rows = rows_new();
        g_mutex_init(&monitor->lock);
        return monitor;
}

/* ---- to the store and back ---- */

typedef struct {
        Monitor *monitor;
        const char *object;
} Writer;

static void queue_chunk(int level, const SeriesChunk *chunk, void *data)
{
        Writer *writer = data;
        SampleRow row = {.object = g_strdup(writer->object),
                         .level = level,
                         .start_ms = chunk->start_ms,
                         .width = METRICS,
                         .slots = g_bytes_new(chunk->slots, chunk->count * sizeof chunk->slots[0])};
        g_array_append_val(writer->monitor->rows, row);
}

/* A version with more metrics added them at the end. */
static bool chunk_from_row(const SampleRow *row, SeriesChunk *ret_chunk)
{
        gsize size;
        const float *slots = g_bytes_get_data(row->slots, &size);
        if (row->width < 1 || row->width > 1000)
                return false;
        *ret_chunk =
            (SeriesChunk){.start_ms = row->start_ms,
                          .count = MIN((unsigned)(size / sizeof(float) / (gsize)row->width), SERIES_MOST_SLOTS)};
        for (unsigned slot = 0; slot < ret_chunk->count; slot++)
                for (int i = 0; i < METRICS; i++)
                        ret_chunk->slots[slot][i] = i < row->width ? slots[slot * row->width + i] : NAN;
        return true;
}

typedef struct {
        Series *series;
        int64_t now_ms;
} Resume;

static void resume_row(const SampleRow *row, void *data)
{
        Resume *resume = data;
        SeriesChunk chunk;
        if (chunk_from_row(row, &chunk))
                series_resume(resume->series, (int)row->level, &chunk, resume->now_ms);
}

static void write_rows(Monitor *monitor)
{
        store_samples_write(monitor->store, &g_array_index(monitor->rows, SampleRow, 0), monitor->rows->len, NULL);
        g_array_set_size(monitor->rows, 0);
}

/* ---- rounds ---- */

static Tracker *find(Monitor *monitor, const char *object)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&monitor->lock);
        return g_hash_table_lookup(monitor->trackers, object);
}

/* One that is new goes on where an earlier daemon, or run of the VM, stopped. */
static Tracker *tracker_for(Monitor *monitor, const char *object, int64_t unix_ms)
{
        Tracker *tracker = find(monitor, object);
        if (tracker)
                return tracker;
        tracker = g_new0(Tracker, 1);
        tracker->object = g_strdup(object);
        for (int i = 0; i < METRICS; i++)
                tracker->latest[i] = NAN;
        Resume resume = {&tracker->series, unix_ms};
        for (int level = 0; level < SERIES_LEVELS; level++) {
                int64_t start_ms = series_chunk_start(level, unix_ms);
                store_samples_each(monitor->store, object, level, start_ms, start_ms + 1, resume_row, &resume, NULL);
        }
        g_mutex_lock(&monitor->lock);
        g_hash_table_insert(monitor->trackers, tracker->object, tracker);
        g_mutex_unlock(&monitor->lock);
        return tracker;
}

static void add(Monitor *monitor, Tracker *tracker, const Reading *reading, int64_t monotonic_ms, int64_t unix_ms)
{
        float sample[METRICS];
        Writer writer = {monitor, tracker->object};
        unsigned wrong = rates_add(&tracker->rates, reading, monotonic_ms, sample);
        tracker->round = monitor->round;
        g_mutex_lock(&monitor->lock);
        memcpy(tracker->latest, sample, sizeof sample);
        monitor->dropped += wrong;
        monitor->dropped += !series_add(&tracker->series, unix_ms, sample, queue_chunk, &writer);
        g_mutex_unlock(&monitor->lock);
}

void monitor_round_begin(Monitor *monitor)
{
        monitor->round++;
}

void monitor_add_vm(Monitor *monitor, const char *id, ProcessId process, Reading *reading, int64_t monotonic_ms,
                    int64_t unix_ms)
{
        Tracker *tracker = tracker_for(monitor, id, unix_ms);
        if (proc_read_qemu(&host_paths, process, &tracker->threads, reading))
                add(monitor, tracker, reading, monotonic_ms, unix_ms);
}

void monitor_add_part(Monitor *monitor, const char *object, const Reading *reading, int64_t monotonic_ms,
                      int64_t unix_ms)
{
        add(monitor, tracker_for(monitor, object, unix_ms), reading, monotonic_ms, unix_ms);
}

void monitor_add_host(Monitor *monitor, int64_t monotonic_ms, int64_t unix_ms)
{
        Reading reading;
        reading_init(&reading, monotonic_ms);
        proc_read_host(&host_paths, &reading);
        add(monitor, tracker_for(monitor, MONITOR_HOST, unix_ms), &reading, monotonic_ms, unix_ms);
}

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        Monitor *monitor = data;
        Tracker *tracker = value;
        Writer writer = {monitor, tracker->object};
        if (tracker->round == monitor->round)
                return FALSE;
        series_flush(&tracker->series, queue_chunk, &writer);
        return TRUE;
}

static void prune(Monitor *monitor, int64_t now_ms)
{
        if (ABS(now_ms - monitor->pruned_ms) < PRUNE_MS)
                return;
        monitor->pruned_ms = now_ms;
        for (int level = 0; level < SERIES_LEVELS; level++) {
                const SeriesLevel *how = &series_levels[level];
                store_samples_prune(monitor->store, level, now_ms - how->kept_ms - how->chunk_ms,
                                    now_ms + how->chunk_ms, NULL);
        }
}

void monitor_round_end(Monitor *monitor, int64_t unix_ms)
{
        g_mutex_lock(&monitor->lock);
        g_hash_table_foreach_remove(monitor->trackers, is_over, monitor);
        g_mutex_unlock(&monitor->lock);
        write_rows(monitor);
        prune(monitor, unix_ms);
}

void monitor_free(Monitor *monitor)
{
        if (!monitor)
                return;
        monitor->round++;
        g_hash_table_foreach_remove(monitor->trackers, is_over, monitor);
        write_rows(monitor);
        g_hash_table_unref(monitor->trackers);
        g_array_unref(monitor->rows);
        g_mutex_clear(&monitor->lock);
        g_free(monitor);
}

/* ---- reading ---- */

bool monitor_latest(Monitor *monitor, const char *object, float ret_sample[METRICS])
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&monitor->lock);
        const Tracker *tracker = g_hash_table_lookup(monitor->trackers, object);
        if (tracker)
                memcpy(ret_sample, tracker->latest, sizeof tracker->latest);
        return tracker != NULL;
}

uint64_t monitor_dropped(Monitor *monitor)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&monitor->lock);
        return monitor->dropped;
}

typedef struct {
        int64_t since_ms, until_ms, head_ms;
        GArray *points;
} Reader;

/* Of the chunk that is still under way the store has an older version. */
static void read_row(const SampleRow *row, void *data)
{
        Reader *reader = data;
        SeriesChunk chunk;
        if (row->start_ms != reader->head_ms && chunk_from_row(row, &chunk))
                series_points((int)row->level, &chunk, reader->since_ms, reader->until_ms, reader->points);
}

static bool copy_head(Monitor *monitor, const char *object, int level, SeriesChunk *ret_chunk)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&monitor->lock);
        const Tracker *tracker = g_hash_table_lookup(monitor->trackers, object);
        if (!tracker || !tracker->series.heads[level].begun)
                return false;
        *ret_chunk = tracker->series.heads[level].chunk;
        return true;
}

static int compare_points(gconstpointer a, gconstpointer b)
{
        int64_t first = ((const SeriesPoint *)a)->time_ms, second = ((const SeriesPoint *)b)->time_ms;
        return (first > second) - (first < second);
}

GArray *monitor_read(Monitor *monitor, const char *object, int64_t since_ms, int64_t until_ms, int64_t now_ms,
                     unsigned most, int64_t *ret_step_ms, GError **error)
{
        int level = series_level_for(now_ms - since_ms);
        SeriesChunk head;
        bool has_head = copy_head(monitor, object, level, &head);
        g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(SeriesPoint));
        Reader reader = {since_ms, until_ms, has_head ? head.start_ms : -1, points};
        if (!store_samples_each(monitor->store, object, level, since_ms - series_levels[level].chunk_ms, until_ms,
                                read_row, &reader, error))
                return NULL;
        if (has_head)
                series_points(level, &head, since_ms, until_ms, points);
        g_array_sort(points, compare_points);
        *ret_step_ms = series_thin(points, level, since_ms, until_ms, most);
        return g_steal_pointer(&points);
}
