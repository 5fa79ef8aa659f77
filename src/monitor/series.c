/*
 * The ring of slots and chunks: see series.h. Nothing here allocates but the lists of points that are asked for. Called
 * by monitor.c.
 */
#include "monitor/series.h"

#include <math.h>
#include <string.h>

#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

const SeriesLevel series_levels[SERIES_LEVELS] = {
    {2 * SECOND, MINUTE, HOUR, MINUTE},
    {MINUTE, HOUR, DAY, MINUTE},
    {15 * MINUTE, DAY, 365 * DAY, 15 * MINUTE},
};

int64_t series_chunk_start(int level, int64_t time_ms)
{
        return time_ms - time_ms % series_levels[level].chunk_ms;
}

int series_level_for(int64_t ago_ms)
{
        int level = 0;
        while (level < SERIES_LEVELS - 1 && ago_ms > series_levels[level].kept_ms)
                level++;
        return level;
}

static unsigned slot_of(int level, int64_t time_ms)
{
        return (unsigned)(time_ms % series_levels[level].chunk_ms / series_levels[level].slot_ms);
}

static void hand_out(SeriesHead *head, int level, SeriesWrite write, void *data)
{
        if (head->begun && head->changed)
                write(level, &head->chunk, data);
        head->changed = false;
}

static void begin_slot(SeriesHead *head, unsigned slot)
{
        head->slot = slot;
        memset(head->sum, 0, sizeof head->sum);
        memset(head->weight, 0, sizeof head->weight);
        for (; head->chunk.count <= slot; head->chunk.count++)
                for (int i = 0; i < METRICS; i++)
                        head->chunk.slots[head->chunk.count][i] = NAN;
}

/* Opens the chunk and the slot that @time_ms is in; those before are finished. */
static void move_to(SeriesHead *head, int level, int64_t time_ms, int64_t last_ms, SeriesWrite write, void *data)
{
        int64_t start_ms = series_chunk_start(level, time_ms), due_ms = series_levels[level].written_ms;
        unsigned slot = slot_of(level, time_ms);
        if (!head->begun || head->chunk.start_ms != start_ms) {
                hand_out(head, level, write, data);
                head->chunk = (SeriesChunk){.start_ms = start_ms};
                head->begun = true;
                begin_slot(head, slot);
        } else if (time_ms / due_ms != last_ms / due_ms) {
                hand_out(head, level, write, data);
        }
        if (head->slot != slot)
                begin_slot(head, slot);
}

static void put(SeriesHead *head, const float sample[METRICS])
{
        for (int i = 0; i < METRICS; i++) {
                if (isnan(sample[i]))
                        continue;
                head->sum[i] += sample[i];
                head->weight[i] += 1;
                head->chunk.slots[head->slot][i] = (float)(head->sum[i] / head->weight[i]);
        }
        head->changed = true;
}

bool series_add(Series *series, int64_t time_ms, const float sample[METRICS], SeriesWrite write, void *data)
{
        if (time_ms < 0 || (time_ms <= series->last_ms && series->last_ms - time_ms < SERIES_CLOCK_MS))
                return false;
        for (int level = 0; level < SERIES_LEVELS; level++) {
                move_to(&series->heads[level], level, time_ms, series->last_ms, write, data);
                put(&series->heads[level], sample);
        }
        series->last_ms = time_ms;
        return true;
}

void series_flush(Series *series, SeriesWrite write, void *data)
{
        for (int level = 0; level < SERIES_LEVELS; level++)
                hand_out(&series->heads[level], level, write, data);
}

/* What the slot under way has so far counts as much as the time that it stands for. */
void series_resume(Series *series, int level, const SeriesChunk *chunk, int64_t time_ms)
{
        SeriesHead *head = &series->heads[level];
        unsigned slot = slot_of(level, time_ms);
        if (chunk->start_ms != series_chunk_start(level, time_ms) || chunk->count > slot + 1)
                return;
        head->chunk = *chunk;
        head->begun = true;
        begin_slot(head, slot);
        double weight = (double)(time_ms % series_levels[level].slot_ms) / (double)series_levels[0].slot_ms;
        for (int i = 0; i < METRICS; i++) {
                if (weight < 1 || isnan(head->chunk.slots[slot][i]))
                        continue;
                head->weight[i] = weight;
                head->sum[i] = weight * head->chunk.slots[slot][i];
        }
}

static bool is_empty(const float values[METRICS])
{
        for (int i = 0; i < METRICS; i++)
                if (!isnan(values[i]))
                        return false;
        return true;
}

void series_points(int level, const SeriesChunk *chunk, int64_t since_ms, int64_t until_ms, GArray *points)
{
        for (unsigned slot = 0; slot < chunk->count; slot++) {
                SeriesPoint point = {.time_ms = chunk->start_ms + slot * series_levels[level].slot_ms};
                memcpy(point.values, chunk->slots[slot], sizeof point.values);
                if (point.time_ms >= since_ms && point.time_ms < until_ms && !is_empty(point.values))
                        g_array_append_val(points, point);
        }
}

/* The mean of points [from, to) of each metric. */
static SeriesPoint mean_of(const GArray *points, guint from, guint to, int64_t time_ms)
{
        SeriesPoint mean = {.time_ms = time_ms};
        for (int i = 0; i < METRICS; i++) {
                double sum = 0, n = 0;
                for (guint at = from; at < to; at++) {
                        float value = g_array_index(points, SeriesPoint, at).values[i];
                        sum += isnan(value) ? 0 : value;
                        n += !isnan(value);
                }
                mean.values[i] = n > 0 ? (float)(sum / n) : NAN;
        }
        return mean;
}

int64_t series_thin(GArray *points, int level, int64_t since_ms, int64_t until_ms, unsigned most)
{
        int64_t slot_ms = series_levels[level].slot_ms, slots = (until_ms - since_ms + slot_ms - 1) / slot_ms;
        int64_t span_ms = slot_ms * ((slots + most - 1) / most);
        guint kept = 0;
        if (span_ms <= slot_ms)
                return slot_ms;
        for (guint from = 0, to; from < points->len; from = to) {
                int64_t start_ms = g_array_index(points, SeriesPoint, from).time_ms;
                start_ms -= start_ms % span_ms;
                for (to = from + 1; to < points->len; to++)
                        if (g_array_index(points, SeriesPoint, to).time_ms >= start_ms + span_ms)
                                break;
                g_array_index(points, SeriesPoint, kept++) = mean_of(points, from, to, start_ms);
        }
        g_array_set_size(points, kept);
        return span_ms;
}
