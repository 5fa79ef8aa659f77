/* Weights and ceilings: see enforce.h. Called by src/vm/govern/govern.c in each round. */
#include "sched/enforce.h"

#include <math.h>
#include <string.h>

#define ROOM 1.1
#define LEAST_ROOM 0.05
/* Where reservations take all there is, a share is worth nothing. */
#define MOST_WEIGHT 200000.0
#define RISE 0.5
#define FALL 0.25
#define NEARLY 0.85
#define GROWTH 1.5

Enforced enforce_wanted(const Claimant *claimant, bool limited)
{
        const Claim *claim = &claimant->claim;
        bool is_short = isfinite(claimant->level) && claimant->granted < claim->demand;
        Enforced wanted = {claim->shares, claim->limit};
        if (is_short && claimant->granted > 0)
                wanted.weight = MIN(MAX(claim->shares, claimant->granted / claimant->level), MOST_WEIGHT);
        if (is_short && limited)
                wanted.ceiling = MIN(claim->limit, claimant->granted);
        return wanted;
}

static bool far_apart(double now, double wanted)
{
        return fabs(wanted - now) > ENFORCE_STEP * MIN(now, wanted);
}

bool enforce_differs(const Enforced *now, const Enforced *wanted)
{
        return far_apart(now->weight, wanted->weight) || far_apart(now->ceiling, wanted->ceiling);
}

double enforce_demand(double *average, double used, double waited)
{
        double wants = used + waited;
        if (isfinite(wants) && wants >= 0)
                *average += (wants > *average ? RISE : FALL) * (wants - *average);
        return *average * ROOM + LEAST_ROOM;
}

double enforce_demand_throttled(double *average, double used, double ceiling, double least)
{
        double wants = used >= NEARLY * ceiling ? 2 * ceiling : GROWTH * used;
        if (isfinite(wants) && wants >= 0)
                *average += (wants > *average ? RISE : FALL) * (wants - *average);
        return *average + least;
}
