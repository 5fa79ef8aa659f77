/*
 * When the next snapshot of a schedule is due, and which of those taken are too many. Pure: the time comes in. Any
 * thread.
 */
#pragma once

#include "hostler-records.h"

/* Unix milliseconds of the next one; it may have passed. INT64_MAX: there is no schedule. */
int64_t schedule_due_ms(const HostlerVmHistory *history);
/* Names of those beyond what the schedule keeps, oldest first; borrowed. None without a schedule. g_ptr_array_unref. */
GPtrArray *schedule_surplus(const HostlerVmHistory *history);
/* The name of the one taken at @now_ms: "auto-20300131-120000" (UTC). Caller frees. */
char *schedule_name(int64_t now_ms);
