/* The network adapters' part of govern.h: who may send how much of what a switch carries. Only govern.c and admit.c
 * include this. */
#pragma once

#include "vm/govern/respool.h"

typedef struct AdapterGovernor AdapterGovernor;

AdapterGovernor *adapter_governor_new(void);
void adapter_governor_free(AdapterGovernor *governor);
/* On the monitor's thread, in each round. */
void adapter_governor_round(AdapterGovernor *governor, Manager *manager, const GPtrArray *vms,
                            const HostlerRespoolConfigList *respools);
/* Appends rows of the VM's adapters that are on switches whose capacity is known. */
void adapter_governor_explain(AdapterGovernor *governor, const char *id, HostlerAllocationList *list);

/* Whether what adapters of @spec reserve can be kept beside what others have on the same switches;
 * HOSTLER_ERROR_INVALID where nobody said what a switch carries, HOSTLER_ERROR_NO_CAPACITY says who holds it. */
bool adapters_admit(Vm *vm, const HostlerSpec *spec, GError **error);
