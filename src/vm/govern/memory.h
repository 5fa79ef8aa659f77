/* The memory's half of govern.h: balloons by what src/sched/reclaim.h decides. Only govern.c includes this. */
#pragma once

#include "vm/manager.h"

typedef struct MemoryGovernor MemoryGovernor;

MemoryGovernor *memory_governor_new(Manager *manager);
void memory_governor_free(MemoryGovernor *governor);
/* On the monitor's thread, in each round; acts every ten seconds, as often as guests tell of their memory, and in each
 * while the host is short. */
void memory_governor_round(MemoryGovernor *governor, const GPtrArray *vms, const HostlerRespoolConfigList *pools);
/* Fills in the row of a VM; false when nothing was decided for it yet. */
bool memory_governor_explain(MemoryGovernor *governor, const char *id, HostlerAllocation *row);
