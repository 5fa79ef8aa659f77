/*
 * Rates that parts of VMs share: what a pool of volumes can do among its disks, what a switch carries among its
 * adapters. In each round the owners of those parts (disks.c, adapters.c) claim what each does; it is shared out
 * through the resource pools that the VMs are in (src/sched/allocate.h), and who is short gets a ceiling. Owners see to
 * it that ceilings hold.
 *
 * throttles_explain() on any thread, the rest on the monitor's.
 */
#pragma once

#include "sched/allocate.h"
#include "vm/govern/respool.h"

/* A part's rate; texts are borrowed. */
typedef struct {
        const char *part, *rate, *unit; /* "disk0", "iops", "requests/s" */
        const char *shared;             /* what it is shared in, by name */
        double capacity;                /* of that; ALLOCATE_UNLIMITED: nobody said */
        Claim claim;                    /* without demand */
        double used, least;             /* what it did, and room for one that did nothing */
        int respool;                    /* in the list of pools; -1: none */
        bool fixed;                     /* cannot be given a ceiling */
} ThrottleClaim;

typedef struct Throttles Throttles;
typedef struct Throttled Throttled;

/* @claim_pools: appends a Claimant for each resource pool. */
Throttles *throttles_new(void (*claim_pools)(const HostlerRespoolConfigList *list, GArray *claimants));
void throttles_free(Throttles *throttles);

/* A round: what is not claimed in it is forgotten at its end. @vm is borrowed until then, as is what is returned; NULL:
 * nobody said what there is, and no ceiling has to go. */
void throttles_begin(Throttles *throttles);
Throttled *throttles_claim(Throttles *throttles, Vm *vm, const ThrottleClaim *claim);
/* Ceilings that change are told as events. */
void throttles_allocate(Throttles *throttles, const HostlerRespoolConfigList *pools);
double throttled_ceiling(const Throttled *throttled); /* ALLOCATE_UNLIMITED: none */
/* That the ceiling holds. */
void throttled_enforced(Throttles *throttles, Throttled *throttled);
void throttles_end(Throttles *throttles);

/* Appends a row for each rate of the VM's parts. */
void throttles_explain(Throttles *throttles, const char *vm_id, HostlerAllocationList *list);
