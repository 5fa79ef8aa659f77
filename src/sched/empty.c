/*
 * Consolidation: a host goes out of use when the shortage its VMs bring to others, priced, and their moves, spread over
 * a horizon, cost less than its idle power. All its VMs find a place or none moves. The cheapest to empty is tried
 * first; no more go than the plan of hosts (keep.c) has too many, nor more than one in eight.
 */
#include <math.h>
#include <string.h>

#include "sched/decide.h"

#define HOSTS_FOR_ONE 8 /* hosts on, of which one may be emptied in a round */

typedef struct {
        unsigned host;
        double cost; /* of moving all that is on it */
} Candidate;

static int by_cost(const void *a, const void *b)
{
        const Candidate *one = a, *other = b;
        if (one->cost != other->cost)
                return one->cost < other->cost ? -1 : 1;
        return one->host < other->host ? -1 : one->host > other->host;
}

static int by_weight(const void *a, const void *b, void *data)
{
        const Unit *units = data;
        unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;
        double first = units[one].mean + sqrt(units[one].variance),
               second = units[other].mean + sqrt(units[other].variance);
        if (first != second)
                return first > second ? -1 : 1;
        return one < other ? -1 : one > other;
}

/* NULL when one of them may not move. */
static GArray *all_units(const Fleet *fleet, const Host *host)
{
        g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (int i = host->first; i >= 0; i = fleet->units[i].next) {
                unsigned number = (unsigned)i;
                if (!fleet_rested(fleet, &fleet->units[i]))
                        return NULL;
                g_array_append_val(found, number);
        }
        g_array_sort_with_data(found, by_weight, fleet->units);
        return g_steal_pointer(&found);
}

static bool spare_is_left(const Fleet *fleet, const Host *without)
{
        double cpu = 0, largest = 0, load = 0;
        if (fleet->policy.spare_hosts == 0)
                return true;
        for (unsigned i = 0; i < fleet->n_on; i++) {
                const Host *host = &fleet->hosts[fleet->on[i]];
                load += host->mean;
                if (host == without || host->n_units == 0)
                        continue;
                cpu += host->spec.cpu;
                largest = MAX(largest, host->spec.cpu);
        }
        return cpu - fleet->policy.spare_hosts * largest >= load;
}

/* Puts units until the watts saved are used up; returns how many found a place. */
static guint put_all(Fleet *fleet, const GArray *units, double saved, double per_cost, GArray *opened)
{
        double spent = 0;
        for (guint i = 0; i < units->len; i++) {
                unsigned number = g_array_index(units, unsigned, i);
                double watts, move = fleet_move_cost(fleet, &fleet->units[number]) * per_cost;
                int where = fleet_cheapest(fleet, &fleet->units[number], fleet->policy.empty_opening, false, &watts);
                spent += watts + move;
                if (where < 0 || spent > saved)
                        return i;
                if (!fleet->hosts[where].opened)
                        g_array_append_val(opened, where);
                fleet_move(fleet, number, where, MOVE_EMPTY);
        }
        return units->len;
}

static bool empty(Fleet *fleet, Host *host)
{
        g_autoptr(GArray) units = all_units(fleet, host);
        g_autoptr(GArray) opened = g_array_new(FALSE, FALSE, sizeof(int));
        int home = (int)(host - fleet->hosts);
        const PlacePolicy *policy = &fleet->policy;

        if (!units || !spare_is_left(fleet, host))
                return false;
        double price = policy->shortage_price * host->idle_price;
        double saved = host->spec.watts[0] + price * host->shortage;
        guint placed = put_all(fleet, units, saved, price / (policy->empty_horizon * policy->interval_seconds), opened);
        if (placed == units->len)
                return true;
        while (placed-- > 0)
                fleet_put(fleet, g_array_index(units, unsigned, placed), home);
        for (guint i = 0; i < opened->len; i++)
                fleet->hosts[g_array_index(opened, int, i)].opened = false;
        return false;
}

static GArray *candidates(const Fleet *fleet)
{
        GArray *found = g_array_new(FALSE, FALSE, sizeof(Candidate));
        for (unsigned i = 0; i < fleet->n_on; i++) {
                const Host *host = &fleet->hosts[fleet->on[i]];
                Candidate candidate = {fleet->on[i], 0};
                for (int unit = host->first; unit >= 0; unit = fleet->units[unit].next)
                        candidate.cost += fleet_move_cost(fleet, &fleet->units[unit]);
                if (host->n_units > 0 && !host->opened)
                        g_array_append_val(found, candidate);
        }
        g_array_sort(found, by_cost);
        return found;
}

void decide_empty(Fleet *fleet, const KeepPlan *keep)
{
        unsigned surplus = keep->on > keep->wanted ? keep->on - keep->wanted : 0, emptied = 0;
        unsigned most = MIN(surplus, 1 + fleet->n_on / HOSTS_FOR_ONE);

        if (most == 0)
                return;
        g_autoptr(GArray) found = candidates(fleet);
        for (guint i = 0; i < found->len && i < FLEET_CANDIDATES * most && emptied < most; i++) {
                Host *host = &fleet->hosts[g_array_index(found, Candidate, i).host];
                if (!host->opened && empty(fleet, host))
                        emptied++;
        }
}
