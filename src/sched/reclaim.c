/* Who gives memory, and how much: see reclaim.h. Called by src/vm/govern/memory.c. */
#include "sched/reclaim.h"

#include <math.h>

#define TAX 0.75
/* What a guest uses may grow while nobody looks. */
#define ROOM 1.15
#define LEAST_ROOM 32.0
#define STEP 0.03
#define LEAST_STEP 8.0

static double most_of(const MemoryClaim *claim)
{
        return MIN(claim->size, claim->limit);
}

static void claim_all(MemoryClaim *claims, unsigned n, bool with_used, Claimant *ret_claimants)
{
        for (unsigned i = 0; i < n; i++) {
                const MemoryClaim *claim = &claims[i];
                double most = most_of(claim), active = claim->size > 0 ? claim->used / claim->size : 1;
                double needs = with_used ? claim->used * ROOM + LEAST_ROOM : 0;
                double keeps = MIN(MAX(claim->reservation, needs), most);
                double shares = allocate_idle_tax(claim->shares, active, TAX);
                ret_claimants[i] = (Claimant){.claim = {keeps, most, shares, most}, .pool = -1, .name = claim->name};
        }
}

/* What is used cannot always be kept; what was promised can. */
static bool share_out(double capacity, MemoryClaim *claims, unsigned n, Claimant *claimants)
{
        claim_all(claims, n, true, claimants);
        if (allocate(capacity, claimants, n, NULL))
                return true;
        claim_all(claims, n, false, claimants);
        return allocate(capacity, claimants, n, NULL);
}

static double held_by_all(const MemoryClaim *claims, unsigned n)
{
        double held = 0;
        for (unsigned i = 0; i < n; i++)
                held += claims[i].held;
        return held;
}

void reclaim(double host_total, double host_free, MemoryClaim *claims, unsigned n, bool *reclaiming)
{
        g_autofree Claimant *claimants = g_new0(Claimant, MAX(n, 1));
        double part = host_free / MAX(host_total, 1);
        *reclaiming = *reclaiming ? part < RECLAIM_END : part < RECLAIM_BEGIN;
        double capacity = *reclaiming ? MAX(held_by_all(claims, n) + host_free - RECLAIM_RESERVE * host_total, 0)
                                      : ALLOCATE_UNLIMITED / 1e10;
        bool done = share_out(capacity, claims, n, claimants);
        for (unsigned i = 0; i < n; i++) {
                claims[i].claimant = claimants[i];
                claims[i].target = done ? claimants[i].granted : most_of(&claims[i]);
        }
}

bool reclaim_differs(double now, double target)
{
        return fabs(target - now) > MAX(STEP * MIN(now, target), LEAST_STEP);
}
