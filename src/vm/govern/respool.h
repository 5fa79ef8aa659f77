/*
 * The resource pools of this host: a forest of named parts, each with shares, reservation and limit of its own. What
 * that comes to is src/sched/allocate.h's.
 *
 * Kept in the store as one setting. A list of pools has each after the one that it is in, so that places in the list
 * are claimants' (allocate.h). Any thread.
 */
#pragma once

#include "sched/allocate.h"
#include "vm/manager.h"

#define RESPOOLS_DEEPEST 8
/* Normal shares: of a disk, of an adapter; of a pool as much as four. */
#define DISK_SHARES 1000.0
#define ADAPTER_SHARES 50.0
#define RESPOOL_DISKS (4 * DISK_SHARES)
#define RESPOOL_ADAPTERS (4 * ADAPTER_SHARES)
#define RESPOOL_GROUP "pool-" /* before the name of a pool's control group */

typedef struct Respools Respools;

/* @store is borrowed. What cannot be read is none. */
Respools *respools_new(Store *store);
void respools_free(Respools *respools);

/* A copy; the caller clears it with record_list_clear(&hostler_respool_config_type, …). */
HostlerRespoolConfigList respools_list(Respools *respools);
/*
 * Puts @wanted, whose order does not matter, in place of what there is. HOSTLER_ERROR_INVALID for a parent that is not
 * there, a pool that is in itself, and pools too deep. Durable.
 */
bool respools_replace(Respools *respools, const HostlerRespoolConfigList *wanted, GError **error);

/* -1: there is none of that name, or it is NULL. */
int respools_index(const HostlerRespoolConfigList *list, const char *name);
/* "shop/web", with @prefix before each name. Caller frees. */
char *respools_path(const HostlerRespoolConfigList *list, int which, const char *prefix);
/* Appends a Claimant for each pool, in order; names are borrowed from @list. Memory in MiB, processors in whole ones.
 */
void respools_claim_cpu(const HostlerRespoolConfigList *list, GArray *claimants);
void respools_claim_memory(const HostlerRespoolConfigList *list, GArray *claimants);
/* Of disks and adapters a pool has shares alone. */
void respools_claim_disks(const HostlerRespoolConfigList *list, GArray *claimants);
void respools_claim_adapters(const HostlerRespoolConfigList *list, GArray *claimants);

/* The pool that a VM is to be in; NULL: none. Borrowed. */
const char *spec_respool(const HostlerSpec *spec);
/* A fault when @spec names a pool that is not there. */
void respools_check(Manager *manager, const HostlerSpec *spec, GPtrArray *faults);
