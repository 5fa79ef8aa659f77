/* The disks' part of govern.h: who gets how much of what a pool of volumes can do. Only govern.c includes this. */
#pragma once

#include "vm/govern/respool.h"

typedef struct DiskGovernor DiskGovernor;

DiskGovernor *disk_governor_new(void);
void disk_governor_free(DiskGovernor *governor);
/* On the monitor's thread, in each round. */
void disk_governor_round(DiskGovernor *governor, Manager *manager, const GPtrArray *vms,
                         const HostlerRespoolConfigList *respools);
/* Appends rows of the VM's disks that are in pools whose capacity is known. */
void disk_governor_explain(DiskGovernor *governor, const char *id, HostlerAllocationList *list);
