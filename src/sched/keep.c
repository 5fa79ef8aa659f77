/*
 * How many hosts to keep on: the dynamic program of hosts_on.h over a horizon, with the shortage to be expected if the
 * fleet's load were spread evenly over so many hosts, times what placement made of that until now. Waking a host costs
 * its power for a round and the moves to it, emptying one the moves from it.
 */
#include <math.h>

#include "sched/decide.h"
#include "sched/hosts_on.h"

#define MOST_TIMES 2     /* hosts on, that a plan thinks of */
#define SKILL_LIMIT 10.0 /* how much better or worse than spread evenly shortage may be taken for */
#define LEAST_GROWTH 0.1

typedef struct {
        unsigned on;
        double mean, variance, cumulant, shortage, memory; /* of the fleet */
        double cpu, room, watts, moving;                   /* of the mean host that is on */
} Sums;

static void add(const Fleet *fleet, const Host *host, Sums *sums)
{
        sums->on++;
        sums->mean += host->mean;
        sums->variance += host->variance;
        sums->cumulant += host->cumulant;
        sums->shortage += host->shortage;
        sums->cpu += host->spec.cpu;
        sums->room += host->spec.memory;
        sums->watts += host->spec.watts[0];
        for (int i = host->first; i >= 0; i = fleet->units[i].next) {
                sums->moving += fleet_move_cost(fleet, &fleet->units[i]);
                sums->memory += fleet->units[i].memory;
        }
}

static Sums sums_of(const Fleet *fleet)
{
        Sums sums = {0};
        for (unsigned i = 0; i < fleet->n_on; i++)
                if (fleet->hosts[fleet->on[i]].n_units > 0)
                        add(fleet, &fleet->hosts[fleet->on[i]], &sums);
        sums.cpu /= MAX(sums.on, 1);
        sums.room /= MAX(sums.on, 1);
        sums.watts /= MAX(sums.on, 1);
        sums.moving /= MAX(sums.on, 1);
        return sums;
}

static double spread_evenly(const Fleet *fleet, const Sums *sums, unsigned n, double growth)
{
        return n * expected_shortage(fleet->policy.tail, sums->cpu, sums->mean * growth / n, MAX(sums->variance, 0) / n,
                                     sums->cumulant / n);
}

/* The mean lags the load by as many samples as its window holds before the last, and the fleet's factor says what that
 * came to: so much the load grows in one step. */
static double drift(const Fleet *fleet)
{
        return (fleet->trend - 1) / MAX(fleet->policy.forecast.window_samples - 1, 1);
}

static double *running_costs(const Fleet *fleet, const Sums *sums, double price, unsigned most, unsigned steps)
{
        double even = spread_evenly(fleet, sums, sums->on, 1);
        double skill = even > 0 ? CLAMP(sums->shortage / even, 1 / SKILL_LIMIT, SKILL_LIMIT) : 1;
        double least = sums->room > 0 ? ceil(sums->memory / sums->room) : 1;
        double *running = g_new(double, ((gsize)most + 1) * steps);

        for (unsigned t = 0; t < steps; t++)
                for (unsigned n = 0; n <= most; n++) {
                        double growth = MAX(1 + drift(fleet) * (t + 1), LEAST_GROWTH);
                        running[((gsize)most + 1) * t + n] =
                            n < least ? INFINITY
                                      : n * sums->watts + price * skill * spread_evenly(fleet, sums, n, growth);
                }
        return running;
}

KeepPlan fleet_keep(const Fleet *fleet)
{
        const PlacePolicy *policy = &fleet->policy;
        Sums sums = sums_of(fleet);
        unsigned steps = (unsigned)ceil(MAX(policy->empty_horizon, 1));
        KeepPlan keep = {.on = sums.on, .wanted = sums.on};

        if (sums.on == 0)
                return keep;
        double price = policy->shortage_price * sums.watts / sums.cpu;
        unsigned most = MIN(MOST_TIMES * sums.on, fleet->n_hosts);
        g_autofree double *running = running_costs(fleet, &sums, price, most, steps);
        g_autofree unsigned *on = g_new(unsigned, steps);
        HostsOn plan = {.running = running,
                        .steps = steps,
                        .most = most,
                        .sleep = price * sums.moving / policy->interval_seconds,
                        .wake = sums.watts + price * sums.moving / policy->interval_seconds};
        hosts_on_plan(&plan, sums.on, on);
        keep.wanted = on[0];
        return keep;
}
