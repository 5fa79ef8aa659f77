/*
 * Relief of a host that is short now. Which VMs leave is a knapsack: free at least what is missing at least cost,
 * f(k, q) = min(f(k-1, q), c_k + f(k-1, max(0, q - w_k))), exact but for the cells that demand is counted in. The
 * shortage lasts until the slowest of them has gone, so the knapsack is solved once for each class of speed. Where they
 * go is fleet_cheapest()'s question.
 */
#include <math.h>
#include <string.h>

#include "sched/decide.h"

#define CELLS 100
#define SPEEDS 4

typedef struct {
        GArray *units; /* of unsigned: that may leave, the quickest first */
        double need;   /* demand that must leave */
        GArray *chosen;
        double cost;
} Relief;

static int by_seconds(const void *a, const void *b, void *data)
{
        const Unit *units = data;
        unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;
        if (units[one].move_seconds != units[other].move_seconds)
                return units[one].move_seconds < units[other].move_seconds ? -1 : 1;
        return one < other ? -1 : one > other;
}

static int by_demand(const void *a, const void *b, void *data)
{
        const Unit *units = data;
        unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;
        if (units[one].demand != units[other].demand)
                return units[one].demand > units[other].demand ? -1 : 1;
        return one < other ? -1 : one > other;
}

static GArray *units_that_may_leave(const Fleet *fleet, const Host *host)
{
        GArray *found = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (int i = host->first; i >= 0; i = fleet->units[i].next) {
                unsigned number = (unsigned)i;
                if (fleet_movable(fleet, &fleet->units[i]) && fleet->units[i].demand > 0)
                        g_array_append_val(found, number);
        }
        g_array_sort_with_data(found, by_seconds, fleet->units);
        return found;
}

static int cells_of(const Relief *relief, const Unit *unit)
{
        return (int)MIN(unit->demand / (relief->need / CELLS), CELLS);
}

/* Which of the first @n units leave for least; @best[q]: cost of freeing q cells; @taken[k][q]: whether unit k is in
 * it. False when all together are too little. */
static bool knapsack(const Fleet *fleet, const Relief *relief, guint n, double *best, bool *taken)
{
        for (int q = 0; q <= CELLS; q++)
                best[q] = q ? INFINITY : 0;
        for (guint k = 0; k < n; k++) {
                const Unit *unit = &fleet->units[g_array_index(relief->units, unsigned, k)];
                int weight = cells_of(relief, unit);
                double cost = fleet_move_cost(fleet, unit);
                for (int q = CELLS; q >= 0; q--) {
                        double with = best[MAX(q - weight, 0)] + cost;
                        taken[k * (CELLS + 1) + q] = weight > 0 && with < best[q];
                        if (taken[k * (CELLS + 1) + q])
                                best[q] = with;
                }
        }
        return isfinite(best[CELLS]);
}

static void keep_choice(const Fleet *fleet, Relief *relief, guint n, const bool *taken, double cost)
{
        relief->cost = cost;
        g_array_set_size(relief->chosen, 0);
        for (int k = (int)n - 1, q = CELLS; k >= 0; k--) {
                unsigned number = g_array_index(relief->units, unsigned, k);
                if (!taken[k * (CELLS + 1) + q])
                        continue;
                g_array_append_val(relief->chosen, number);
                q = MAX(q - cells_of(relief, &fleet->units[number]), 0);
        }
}

static void choose(const Fleet *fleet, Relief *relief)
{
        guint n = relief->units->len;
        double best[CELLS + 1];
        g_autofree bool *taken = g_new(bool, (n + 1) * (CELLS + 1));

        for (guint speed = 0, at = 0; speed < SPEEDS && at < n; speed++) {
                double seconds = fleet->units[g_array_index(relief->units, unsigned, at)].move_seconds;
                while (at < n && (speed == SPEEDS - 1 ||
                                  fleet->units[g_array_index(relief->units, unsigned, at)].move_seconds == seconds))
                        at++;
                seconds = fleet->units[g_array_index(relief->units, unsigned, at - 1)].move_seconds;
                if (!knapsack(fleet, relief, at, best, taken))
                        continue;
                double cost = best[CELLS] + relief->need * seconds;
                if (cost < relief->cost)
                        keep_choice(fleet, relief, at, taken, cost);
        }
}

static void relieve(Fleet *fleet, Host *host)
{
        Relief relief = {.units = units_that_may_leave(fleet, host),
                         .need = host->demand - fleet->policy.fill_limit * host->spec.cpu,
                         .chosen = g_array_new(FALSE, FALSE, sizeof(unsigned)),
                         .cost = INFINITY};
        choose(fleet, &relief);
        g_array_sort_with_data(relief.chosen, by_demand, fleet->units);
        for (guint i = 0; i < relief.chosen->len; i++) {
                unsigned number = g_array_index(relief.chosen, unsigned, i);
                int where = fleet_cheapest(fleet, &fleet->units[number], fleet->policy.relief_opening, true, NULL);
                if (where >= 0)
                        fleet_move(fleet, number, where, MOVE_RELIEF);
        }
        g_array_unref(relief.units);
        g_array_unref(relief.chosen);
}

/* A VM that wants more than a core of its host gives goes to faster ones. */
static void relieve_cores(Fleet *fleet)
{
        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (!fleet_movable(fleet, unit) || unit->demand <= fleet_core_limit(&fleet->hosts[unit->host], unit))
                        continue;
                int where = fleet_cheapest(fleet, unit, fleet->policy.relief_opening, true, NULL);
                if (where >= 0)
                        fleet_move(fleet, i, where, MOVE_RELIEF);
        }
}

void decide_relief(Fleet *fleet)
{
        relieve_cores(fleet);
        unsigned n_on = fleet->n_on; /* hosts that are woken meanwhile are not short */
        for (unsigned i = 0; i < n_on; i++)
                if (host_is_short(&fleet->hosts[fleet->on[i]]))
                        relieve(fleet, &fleet->hosts[fleet->on[i]]);
}
