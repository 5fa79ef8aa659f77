/* Carrying schedules out: what housekeeping.c does every few seconds, on a thread of its own. */
#pragma once

#include "vm/manager.h"

/* Asks for snapshots that are due of VMs that run or are paused, and for the removal of those that are too many. */
void schedule_run(Manager *manager);
