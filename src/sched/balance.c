/*
 * Rebalancing: single moves that lower the shortage expected of the two hosts together by more than a margin, best
 * first, a few in a round. When no host is expected to be short, nothing is worth a move and nothing moves. A host is
 * woken for it when the plan of hosts (keep.c) wants one more and what it takes off the others is worth its idle power.
 */
#include <math.h>

#include "sched/decide.h"

#define MOST_CANDIDATES 512 /* in a round; only large fleets have more */

typedef struct {
        unsigned unit;
        double gain; /* at its source, less the move's own cost */
} Candidate;

typedef struct {
        int host;
        unsigned unit;
        double gain;
} Choice;

static int by_gain(const void *a, const void *b)
{
        const Candidate *one = a, *other = b;
        if (one->gain != other->gain)
                return one->gain > other->gain ? -1 : 1;
        return one->unit < other->unit ? -1 : one->unit > other->unit;
}

/* The demand that the move loses, as the mean of one interval: it must pay within that. */
static double cost_of(const Fleet *fleet, const Unit *unit)
{
        return unit->demand * unit->move_seconds * fleet->policy.move_loss / fleet->policy.interval_seconds;
}

static GArray *candidates(const Fleet *fleet)
{
        GArray *found = g_array_new(FALSE, FALSE, sizeof(Candidate));
        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (!fleet_rested(fleet, unit) || host_is_short(&fleet->hosts[unit->host]))
                        continue;
                Candidate candidate = {i, fleet_relieved(fleet, unit) - cost_of(fleet, unit)};
                if (candidate.gain > fleet->policy.balance_gain * fleet->hosts[unit->host].spec.cpu)
                        g_array_append_val(found, candidate);
        }
        g_array_sort(found, by_gain);
        g_array_set_size(found, MIN(found->len, MOST_CANDIDATES));
        return found;
}

/* Moves change what others are worth: reckoned anew, those that may not move any more left out. */
static void reckon_again(const Fleet *fleet, GArray *found)
{
        guint kept = 0;
        for (guint i = 0; i < found->len; i++) {
                Candidate candidate = g_array_index(found, Candidate, i);
                const Unit *unit = &fleet->units[candidate.unit];
                if (!fleet_rested(fleet, unit))
                        continue;
                candidate.gain = fleet_relieved(fleet, unit) - cost_of(fleet, unit);
                g_array_index(found, Candidate, kept++) = candidate;
        }
        g_array_set_size(found, kept);
        g_array_sort(found, by_gain);
}

static void try_hosts(const Fleet *fleet, const Candidate *candidate, Choice *best)
{
        const Unit *unit = &fleet->units[candidate->unit];
        for (unsigned i = 0, seen = 0; i < fleet->n_on && seen < FLEET_CANDIDATES; i++) {
                unsigned number = fleet->on[i];
                const Host *host = &fleet->hosts[number];
                if ((int)number == unit->host || host->n_units == 0 || !fleet_fits(fleet, number, unit, 0))
                        continue;
                seen++;
                double opening = host->opened ? 0 : fleet->policy.balance_opening * host->spec.cpu;
                double gain = candidate->gain - fleet_added(fleet, number, unit) - opening;
                if (gain > best->gain)
                        *best = (Choice){(int)number, candidate->unit, gain};
        }
}

static bool move_best(Fleet *fleet, const GArray *found)
{
        Choice best = {.host = -1};

        for (guint i = 0; i < found->len; i++) {
                const Candidate *candidate = &g_array_index(found, Candidate, i);
                const Host *host = &fleet->hosts[fleet->units[candidate->unit].host];
                if (best.host < 0)
                        best.gain = fleet->policy.balance_gain * host->spec.cpu;
                if (candidate->gain <= best.gain)
                        break;
                try_hosts(fleet, candidate, &best);
        }
        if (best.host >= 0)
                fleet_move(fleet, best.unit, best.host, MOVE_BALANCE);
        return best.host >= 0;
}

/* The candidate whose move to the host lowers expected shortage most, more than it costs; NULL: none. */
static const Candidate *best_for(const Fleet *fleet, const GArray *found, unsigned host, double *ret_gain)
{
        const Candidate *best = NULL;
        *ret_gain = 0;
        for (guint i = 0; i < found->len; i++) {
                const Candidate *candidate = &g_array_index(found, Candidate, i);
                const Unit *unit = &fleet->units[candidate->unit];
                if (candidate->gain <= *ret_gain)
                        break;
                if (!fleet_fits(fleet, host, unit, 0))
                        continue;
                double gain = candidate->gain - fleet_added(fleet, host, unit);
                if (gain > *ret_gain) {
                        *ret_gain = gain;
                        best = candidate;
                }
        }
        return best;
}

static bool wake(Fleet *fleet, unsigned number)
{
        g_autoptr(GArray) found = candidates(fleet);
        g_autoptr(GArray) moved = g_array_new(FALSE, FALSE, sizeof(unsigned));
        const Host *host = &fleet->hosts[number];
        double gain, sum = 0;
        const Candidate *best;

        while ((best = best_for(fleet, found, number, &gain))) {
                sum += gain;
                g_array_append_val(moved, best->unit);
                fleet_move(fleet, best->unit, (int)number, MOVE_BALANCE);
                reckon_again(fleet, found);
        }
        if (sum * fleet->policy.shortage_price * host->idle_price > host->spec.watts[0])
                return true;
        for (guint i = 0; i < moved->len; i++) {
                unsigned unit = g_array_index(moved, unsigned, i);
                fleet_put(fleet, unit, fleet->units[unit].home);
        }
        fleet->hosts[number].opened = false;
        return false;
}

/* The first that is off, of those that do most for their power. */
void decide_waking(Fleet *fleet, const KeepPlan *keep)
{
        unsigned woken = 0;
        for (unsigned i = 0; i < fleet->n_hosts && keep->on + woken < keep->wanted; i++) {
                const Host *host = &fleet->hosts[fleet->ranked[i]];
                if (host->n_units > 0 || host->spec.maintenance)
                        continue;
                if (!wake(fleet, fleet->ranked[i]))
                        return;
                woken++;
        }
}

void decide_balance(Fleet *fleet)
{
        double most = fleet->policy.balance_moves * (1 + fleet->n_on / FLEET_CANDIDATES);
        g_autoptr(GArray) found = candidates(fleet);
        for (int moves = 0; moves + 0.5 < most && move_best(fleet, found); moves++)
                reckon_again(fleet, found);
}
