/*
 * Memory: how much of its own each guest is to have, when together they could take more than the host has.
 *
 * Nothing is taken while the host has plenty. When it runs short, what VMs hold and what is free above a reserve is
 * shared out by allocate(): each keeps what it is promised and what it uses, and the rest goes by shares, of which idle
 * memory brings less (Waldspurger, OSDI 2002). What one has beyond its part its balloon takes, who has least first.
 * Only when there is plenty again it is given back, or it would be taken and given in turns. Sizes in MiB. Pure; any
 * thread.
 */
#pragma once

#include "sched/allocate.h"

typedef struct {
        const char *name;
        double size;        /* what the guest was given */
        double held;        /* of the host's memory, by its QEMU */
        double used;        /* what the guest cannot do without */
        double reservation; /* never taken */
        double limit;       /* ALLOCATE_UNLIMITED: none */
        double shares;
        int pool; /* of the pools that reclaim() is given; -1: at the top */
        /* Filled in. */
        Claimant claimant; /* as it was allocated; granted is `size` or `limit` when nobody is short */
        double target;     /* what the guest is to have */
} MemoryClaim;

/* Parts of the host's memory: below the first free one VMs give, above the second they are given back; the third is
 * never shared out. */
#define RECLAIM_BEGIN 0.05
#define RECLAIM_END 0.2
#define RECLAIM_RESERVE 0.08

/* Between rounds; all zero at first. */
typedef struct {
        bool reclaiming; /* the host was short the last time */
        /* How much less there is to share than it seems: what QEMU holds is not the guest's memory alone, and balloons
         * are slow. Grows while the host stays short, and is forgotten when it is no longer. */
        double correction;
} ReclaimState;

/* @pools: as allocate() wants them, their demand is filled in. Their limits hold in any case. */
void reclaim(double host_total, double host_free, const Claimant *pools, unsigned n_pools, MemoryClaim *claims,
             unsigned n, ReclaimState *state);
/* Whether a balloon should be told: @now is what it was told last, 0 nothing yet. */
bool reclaim_differs(double now, double target);
