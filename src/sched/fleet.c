/*
 * The sums over what stands on each host, and the questions that every kind of move asks of them. Nothing here decides:
 * relieve.c, empty.c, balance.c and pack.c do.
 */
#include "sched/fleet.h"

#include <math.h>
#include <string.h>

double fleet_core_limit(const Host *host, const Unit *unit)
{
        return host->spec.core > 0 && unit->core > host->spec.core ? unit->cpu * host->spec.core / unit->core
                                                                   : INFINITY;
}

/* For want of fast cores: relief moves who is short of them as soon as anybody, so it weighs the same. */
static double core_shortage(const Fleet *fleet, const Host *host, const Unit *unit)
{
        double limit = fleet_core_limit(host, unit);
        return isfinite(limit)
                   ? expected_shortage(fleet->policy.tail, limit, unit->mean, unit->variance, unit->cumulant)
                   : 0;
}

static void reckon(const Fleet *fleet, Host *host)
{
        if (host->n_units == 0) {
                host->demand = host->mean = host->variance = host->cumulant = host->core_short = host->shortage = 0;
                return;
        }
        host->shortage = host->core_short + expected_shortage(fleet->policy.tail, host->spec.cpu, host->mean,
                                                              MAX(host->variance, 0), host->cumulant);
}

static void add(Fleet *fleet, Host *host, const Unit *unit, double sign)
{
        host->demand += sign * unit->demand;
        host->mean += sign * unit->mean;
        host->variance += sign * unit->variance;
        host->cumulant += sign * unit->cumulant;
        host->core_short += sign * core_shortage(fleet, host, unit);
}

static void leave(Fleet *fleet, unsigned number)
{
        Unit *unit = &fleet->units[number];
        Host *host = &fleet->hosts[unit->host];

        add(fleet, host, unit, -1);
        host->n_units--;
        if (unit->previous >= 0)
                fleet->units[unit->previous].next = unit->next;
        else
                host->first = unit->next;
        if (unit->next >= 0)
                fleet->units[unit->next].previous = unit->previous;
        if (unit->host != unit->home)
                host->memory -= unit->memory;
        reckon(fleet, host);
}

static void arrive(Fleet *fleet, unsigned number, int where)
{
        Unit *unit = &fleet->units[number];
        Host *host = &fleet->hosts[where];

        add(fleet, host, unit, 1);
        host->n_units++;
        unit->previous = -1;
        unit->next = host->first;
        if (host->first >= 0)
                fleet->units[host->first].previous = (int)number;
        host->first = (int)number;
        if (where != unit->home)
                host->memory += unit->memory;
        if (!host->listed) {
                host->listed = true;
                fleet->on[fleet->n_on++] = (unsigned)where;
        }
        reckon(fleet, host);
}

void fleet_put(Fleet *fleet, unsigned number, int host)
{
        Unit *unit = &fleet->units[number];
        if (unit->host >= 0)
                leave(fleet, number);
        unit->host = host;
        if (host >= 0)
                arrive(fleet, number, host);
}

double fleet_added(const Fleet *fleet, unsigned number, const Unit *unit)
{
        const Host *host = &fleet->hosts[number];
        return expected_shortage(fleet->policy.tail, host->spec.cpu, host->mean + unit->mean,
                                 host->variance + unit->variance, host->cumulant + unit->cumulant) +
               host->core_short + core_shortage(fleet, host, unit) - host->shortage;
}

double fleet_relieved(const Fleet *fleet, const Unit *unit)
{
        const Host *host = &fleet->hosts[unit->host];
        if (host->n_units == 1)
                return host->shortage;
        return host->shortage - host->core_short + core_shortage(fleet, host, unit) -
               expected_shortage(fleet->policy.tail, host->spec.cpu, host->mean - unit->mean,
                                 MAX(host->variance - unit->variance, 0), host->cumulant - unit->cumulant);
}

static bool apart_from_others(const Fleet *fleet, unsigned host, const Unit *unit)
{
        for (guint i = 0; unit->apart && i < unit->apart->len; i++) {
                const GArray *members = g_ptr_array_index(fleet->apart, g_array_index(unit->apart, unsigned, i));
                for (guint j = 0; j < members->len; j++) {
                        const Unit *other = &fleet->units[g_array_index(members, unsigned, j)];
                        /* Who leaves is still there for one who comes, but no reason for the other to leave too. */
                        bool there = other->host == (int)host || (unit->home != (int)host && other->home == (int)host);
                        if (other != unit && other->present && there)
                                return false;
                }
        }
        return true;
}

bool fleet_allows(const Fleet *fleet, unsigned number, const Unit *unit)
{
        const Host *host = &fleet->hosts[number];
        bool room =
            host->spec.memory <= 0 || (int)number == unit->home || host->memory + unit->memory <= host->spec.memory;
        return room && !host->spec.maintenance && !(unit->forbidden && unit->forbidden[number]) &&
               apart_from_others(fleet, number, unit);
}

bool fleet_fits(const Fleet *fleet, unsigned number, const Unit *unit, double margin)
{
        const Host *host = &fleet->hosts[number];
        double core = fleet_core_limit(host, unit);
        if (host->demand + unit->demand > fleet->policy.fill_limit * host->spec.cpu || unit->demand > core)
                return false;
        if (isfinite(core) && unit->mean + margin * sqrt(unit->variance) > core)
                return false;
        if (margin > 0 &&
            host->mean + unit->mean + margin * sqrt(MAX(host->variance + unit->variance, 0)) > host->spec.cpu)
                return false;
        return fleet_allows(fleet, number, unit);
}

static double watts_on(const Fleet *fleet, unsigned number, const Unit *unit, double opening)
{
        const Host *host = &fleet->hosts[number];
        double watts = fleet->policy.shortage_price * host->idle_price * fleet_added(fleet, number, unit);
        return host->opened ? watts : watts + opening * host->spec.watts[0];
}

static int first_off(const Fleet *fleet, const Unit *unit)
{
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                unsigned host = fleet->ranked[i];
                if (fleet->hosts[host].n_units == 0 && (int)host != unit->home && fleet_fits(fleet, host, unit, 0))
                        return (int)host;
        }
        return -1;
}

int fleet_cheapest(Fleet *fleet, const Unit *unit, double opening, bool wake, double *ret_watts)
{
        int best = -1;
        double least = INFINITY;

        for (unsigned i = 0, seen = 0; i < fleet->n_on && seen < FLEET_CANDIDATES; i++) {
                unsigned host = fleet->on[i];
                if ((int)host == unit->host || (int)host == unit->home || fleet->hosts[host].n_units == 0 ||
                    !fleet_fits(fleet, host, unit, 0))
                        continue;
                double watts = watts_on(fleet, host, unit, opening);
                seen++;
                if (watts < least) {
                        least = watts;
                        best = (int)host;
                }
        }
        int off = wake && (best < 0 || least > fleet->hosts[best].spec.watts[0] * (1 + opening))
                      ? first_off(fleet, unit)
                      : -1;
        if (ret_watts)
                *ret_watts = off >= 0 ? fleet->hosts[off].spec.watts[0] : least;
        return off >= 0 ? off : best;
}

double fleet_move_cost(const Fleet *fleet, const Unit *unit)
{
        double capacity = unit->host >= 0 ? fleet->hosts[unit->host].spec.cpu : unit->cpu;
        return unit->move_seconds * unit->demand * fleet->policy.move_loss + fleet->policy.move_overhead * capacity;
}

bool fleet_movable(const Fleet *fleet, const Unit *unit)
{
        return unit->present && !unit->held && unit->host >= 0 && unit->host == unit->home;
}

bool fleet_rested(const Fleet *fleet, const Unit *unit)
{
        return fleet_movable(fleet, unit) && fleet->round - unit->moved >= fleet->policy.hold_rounds;
}

bool host_is_short(const Host *host)
{
        return host->demand > host->spec.cpu;
}

static int by_room(const void *a, const void *b, void *data)
{
        const Host *hosts = data;
        unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;
        double first = hosts[one].spec.cpu - hosts[one].mean - 2 * sqrt(MAX(hosts[one].variance, 0));
        double second = hosts[other].spec.cpu - hosts[other].mean - 2 * sqrt(MAX(hosts[other].variance, 0));
        if (first != second)
                return first > second ? -1 : 1;
        return one < other ? -1 : one > other;
}

void fleet_list(Fleet *fleet)
{
        fleet->n_on = 0;
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                fleet->hosts[i].listed = fleet->hosts[i].n_units > 0;
                if (fleet->hosts[i].listed)
                        fleet->on[fleet->n_on++] = i;
        }
        if (fleet->n_on > FLEET_CANDIDATES)
                g_qsort_with_data(fleet->on, (int)fleet->n_on, sizeof *fleet->on, by_room, fleet->hosts);
}

void fleet_clear(Fleet *fleet)
{
        for (unsigned i = 0; i < fleet->n_units; i++) {
                g_free(fleet->units[i].vms);
                g_clear_pointer(&fleet->units[i].apart, g_array_unref);
                g_free(fleet->units[i].forbidden);
        }
        g_free(fleet->units);
        g_free(fleet->hosts);
        g_free(fleet->unit_of);
        g_free(fleet->on);
        g_free(fleet->ranked);
        g_clear_pointer(&fleet->apart, g_ptr_array_unref);
        *fleet = (Fleet){0};
}
