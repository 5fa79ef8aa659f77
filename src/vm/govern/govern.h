/*
 * Allocation on this host: in each round demand is collected from the monitor, weighed by what the specs say (shares,
 * reservation, limit), allocated (src/sched/allocate.h), and acted on through control groups; the next round sees what
 * became of it.
 *
 * One round at a time, on the monitor's thread (observe.c); the rest on any thread.
 */
#pragma once

#include "sched/allocate.h"
#include "vm/manager.h"

Governor *governor_new(Manager *manager);
/* Leaves VMs that run in their groups. */
void governor_free(Governor *governor);

/* @vms: of Vm, all that are not in the trash. */
void govern_round(Governor *governor, const GPtrArray *vms);

/* Whether what @spec reserves can be kept beside what VMs that run, and those about to, have reserved.
 * HOSTLER_ERROR_NO_CAPACITY says what is short and who holds it. */
bool govern_admit(Vm *vm, const HostlerSpec *spec, GError **error);

/* Whether what the VM reserves is held for it: it has a QEMU, or a start or change is under way. */
bool govern_counts(Vm *vm);

/* The same for all that is reserved, with @pools in place of what there is. */
bool govern_admit_pools(Manager *manager, const HostlerRespoolConfigList *pools, GError **error);
/* What members of pool @pool that run have reserved: processors, MiB. */
double govern_reserved_cpu(Manager *manager, const HostlerRespoolConfigList *pools, int pool);
double govern_reserved_memory(Manager *manager, const HostlerRespoolConfigList *pools, int pool);
/* respool.h */
struct Respools *govern_respools(Manager *manager);
/* recommend.h */
struct Recommender *govern_recommender(Manager *manager);
/* Processors that a pool would take and got in the last round; false: it was not there, or none in it runs. */
bool govern_pool_round(Manager *manager, const char *pool, double *ret_demand, double *ret_granted);

/* capacity.c: what pools of volumes can do, of which somebody ever said. The caller clears the list. */
void govern_pool_capacities(Manager *manager, HostlerPoolCapacityList *ret_list);

/* What came out in the last round; a row for each resource. */
bool govern_explain(Vm *vm, HostlerAllocationList *ret_list, GError **error);
/* Why processors cannot be shared out here; NULL: they can. Caller frees. */
char *govern_why_not(Governor *governor);

/* admit.c: what a spec says of processors. Its demand is not filled in. */
Claim claim_cpu(const HostlerSpec *spec);
/* That it says anything but the defaults. */
bool claim_is_special(const HostlerSpec *spec);
