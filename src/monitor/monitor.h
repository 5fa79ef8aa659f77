/*
 * The monitor: what is measured, kept. One tracker for each VM and one for the host; history goes to the store in
 * chunks and is read back from there, so that memory stays small and a restart loses a minute at most.
 *
 * It measures nothing by itself: each round somebody calls monitor_round_begin(), monitor_add_…() for each object, and
 * monitor_round_end() (src/vm/govern/observe.c, on a thread of its own). Reading may happen on any thread at any time.
 */
#pragma once

#include "monitor/proc.h"
#include "monitor/series.h"
#include "store/store.h"

#define MONITOR_HOST "host" /* its object; VMs go by id, their adapters by "ID/nic0" */
#define MONITOR_PERIOD_MS 2000

typedef struct Monitor Monitor;

/* @store is borrowed. */
Monitor *monitor_new(Store *store);
/* Writes what is not written yet. */
void monitor_free(Monitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Monitor, monitor_free)

void monitor_round_begin(Monitor *monitor);
/* What only others know goes into @reading beforehand (reading_init()). A @process that is gone adds nothing. */
void monitor_add_vm(Monitor *monitor, const char *id, ProcessId process, Reading *reading, int64_t monotonic_ms,
                    int64_t unix_ms);
/* All of @reading is the caller's. */
void monitor_add_part(Monitor *monitor, const char *object, const Reading *reading, int64_t monotonic_ms,
                      int64_t unix_ms);
void monitor_add_host(Monitor *monitor, int64_t monotonic_ms, int64_t unix_ms);
/* Forgets what was not added in this round, writes what is due, once an hour prunes what is too old. */
void monitor_round_end(Monitor *monitor, int64_t unix_ms);

/* The last sample; false when there is none from the last rounds. */
bool monitor_latest(Monitor *monitor, const char *object, float ret_sample[METRICS]);
/* Samples that were dropped since the start: no numbers, negative, from a clock that was put back. */
uint64_t monitor_dropped(Monitor *monitor);

/*
 * Points within [since_ms, until_ms), thinned out to at most about @most, in order of time: GArray of SeriesPoint.
 * @now_ms decides which level still has them. @ret_step_ms: how much time each stands for.
 */
GArray *monitor_read(Monitor *monitor, const char *object, int64_t since_ms, int64_t until_ms, int64_t now_ms,
                     unsigned most, int64_t *ret_step_ms, GError **error);
