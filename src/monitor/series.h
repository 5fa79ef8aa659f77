/*
 * Samples over time at falling resolution: two seconds for an hour, a minute for a day, fifteen minutes for a year.
 *
 * Each level is cut into slots, and slots into chunks of a fixed length, both aligned to the epoch. A slot holds the
 * mean of the samples that fell into it (NAN: none did). In memory is only the chunk under way of each level, some 8
 * KiB; what is finished goes to whoever keeps it, and comes back by key (level, start). Pure: time is an argument.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "monitor/metric.h"

#define SERIES_LEVELS 3
#define SERIES_MOST_SLOTS 96

typedef struct {
        int64_t slot_ms, chunk_ms, kept_ms;
        int64_t written_ms; /* how often a chunk under way is handed out */
} SeriesLevel;
extern const SeriesLevel series_levels[SERIES_LEVELS];

typedef struct {
        int64_t start_ms; /* since 1970 */
        unsigned count;   /* slots up to the last that has a sample */
        float slots[SERIES_MOST_SLOTS][METRICS];
} SeriesChunk;

typedef struct {
        SeriesChunk chunk;
        bool begun, changed;
        unsigned slot;
        double sum[METRICS], weight[METRICS]; /* of the slot under way */
} SeriesHead;

/* All zero at first. */
typedef struct {
        SeriesHead heads[SERIES_LEVELS];
        int64_t last_ms;
} Series;

typedef void (*SeriesWrite)(int level, const SeriesChunk *chunk, void *data);

/*
 * Adds a sample. @write gets each chunk that is finished or due, and may get the same one again with more in it. False,
 * and nothing happens, for a sample that is not after the last one: a clock that was put back by less than
 * SERIES_CLOCK_MS; from more than that on it begins anew there.
 */
#define SERIES_CLOCK_MS 60000
bool series_add(Series *series, int64_t time_ms, const float sample[METRICS], SeriesWrite write, void *data);
/* Hands out what has changed since it was handed out last. */
void series_flush(Series *series, SeriesWrite write, void *data);
/* Goes on with a chunk that an earlier daemon wrote; @time_ms: now. Before the first sample. */
void series_resume(Series *series, int level, const SeriesChunk *chunk, int64_t time_ms);
/* Start of the chunk of @level that @time_ms is in. */
int64_t series_chunk_start(int level, int64_t time_ms);
/* The finest level that still has what was @ago_ms ago. */
int series_level_for(int64_t ago_ms);

/* One point of a graph. */
typedef struct {
        int64_t time_ms;
        float values[METRICS];
} SeriesPoint;

/* Appends the slots of @chunk within [since_ms, until_ms) that have anything to @points, an array of SeriesPoint. */
void series_points(int level, const SeriesChunk *chunk, int64_t since_ms, int64_t until_ms, GArray *points);
/* At most about @most points: means over spans of equal length, which is returned (the level's own where it is fine
 * enough). @points is in order of time. */
int64_t series_thin(GArray *points, int level, int64_t since_ms, int64_t until_ms, unsigned most);
