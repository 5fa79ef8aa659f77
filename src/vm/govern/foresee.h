/*
 * Forecasts of what was measured: the bridge from the monitor's past to src/sched/outlook.h. The verbs `forecast`, and
 * the event that tells of the host.
 */
#pragma once

#include "sched/outlook.h"
#include "vm/manager.h"

/* All zero at first. */
typedef struct {
        unsigned round;
        OutlookWatch watch;
} OutlookRounds;

/* On the monitor's thread, in each round: looks at the host once a minute. */
void foresee_round(Manager *manager, OutlookRounds *rounds);
