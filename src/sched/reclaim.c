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

/* What it uses, with room. */
static double needs_of(const MemoryClaim *claim)
{
        return MIN(MAX(claim->reservation, claim->used * ROOM + LEAST_ROOM), most_of(claim));
}

/*
 * What is used counts as reserved, and pools have to ask for that above; but not in a pool whose guests use more than
 * its limit: there its own members give, and nobody else.
 */
static void find_tight(const MemoryClaim *claims, unsigned n, const Claimant *pools, unsigned n_pools, bool *ret_tight)
{
        g_autofree double *needs = g_new0(double, n_pools + 1);
        for (unsigned i = 0; i < n; i++)
                if (claims[i].pool >= 0)
                        needs[claims[i].pool] += needs_of(&claims[i]);
        for (unsigned i = n_pools; i-- > 0;) {
                ret_tight[i] = needs[i] > pools[i].claim.limit;
                if (pools[i].pool >= 0)
                        needs[pools[i].pool] += MIN(MAX(needs[i], pools[i].claim.reservation), pools[i].claim.limit);
        }
        for (unsigned i = 0; i < n_pools; i++)
                ret_tight[i] = ret_tight[i] || (pools[i].pool >= 0 && ret_tight[pools[i].pool]);
}

static void claim_all(const MemoryClaim *claims, unsigned n, const bool *tight, bool with_used, Claimant *ret_claimants)
{
        for (unsigned i = 0; i < n; i++) {
                const MemoryClaim *claim = &claims[i];
                double most = most_of(claim), active = claim->size > 0 ? claim->used / claim->size : 1;
                bool used_counts = with_used && (claim->pool < 0 || !tight[claim->pool]);
                double keeps = used_counts ? needs_of(claim) : MIN(claim->reservation, most);
                double shares = allocate_idle_tax(claim->shares, active, TAX);
                ret_claimants[i] =
                    (Claimant){.claim = {keeps, most, shares, most}, .pool = claim->pool, .name = claim->name};
        }
}

/* What is used cannot always be kept; what was promised can. @all: the pools, then as many as there are claims. */
static bool share_out(double capacity, const MemoryClaim *claims, unsigned n, const Claimant *pools, unsigned n_pools,
                      Claimant *all)
{
        g_autofree bool *tight = g_new0(bool, n_pools + 1);
        find_tight(claims, n, pools, n_pools, tight);
        for (int with_used = 1; with_used >= 0; with_used--) {
                for (unsigned i = 0; i < n_pools; i++) {
                        all[i] = pools[i];
                        all[i].expandable = pools[i].expandable || with_used;
                }
                claim_all(claims, n, tight, with_used, all + n_pools);
                if (allocate(capacity, all, n_pools + n, NULL))
                        return true;
        }
        return false;
}

static double held_by_all(const MemoryClaim *claims, unsigned n)
{
        double held = 0;
        for (unsigned i = 0; i < n; i++)
                held += claims[i].held;
        return held;
}

/* What guests use is not touched by the correction. */
static double to_share(double host_total, double host_free, const MemoryClaim *claims, unsigned n, ReclaimState *state)
{
        double needs = 0, reserve = RECLAIM_RESERVE * host_total;
        double there = MAX(held_by_all(claims, n) + host_free - reserve, 0);
        for (unsigned i = 0; i < n; i++)
                needs += needs_of(&claims[i]);
        double share = MAX(there - state->correction, MIN(there, needs));
        if (host_free < RECLAIM_BEGIN * host_total && share > needs)
                state->correction += reserve - host_free;
        return share;
}

void reclaim(double host_total, double host_free, const Claimant *pools, unsigned n_pools, MemoryClaim *claims,
             unsigned n, ReclaimState *state)
{
        g_autofree Claimant *all = g_new0(Claimant, n_pools + n + 1);
        double part = host_free / MAX(host_total, 1);
        state->reclaiming = state->reclaiming ? part < RECLAIM_END : part < RECLAIM_BEGIN;
        if (!state->reclaiming)
                state->correction = 0;
        double capacity =
            state->reclaiming ? to_share(host_total, host_free, claims, n, state) : ALLOCATE_UNLIMITED / 1e10;
        bool done = share_out(capacity, claims, n, pools, n_pools, all);
        for (unsigned i = 0; i < n; i++) {
                claims[i].claimant = all[n_pools + i];
                claims[i].target = done ? all[n_pools + i].granted : most_of(&claims[i]);
        }
}

bool reclaim_differs(double now, double target)
{
        return fabs(target - now) > MAX(STEP * MIN(now, target), LEAST_STEP);
}
