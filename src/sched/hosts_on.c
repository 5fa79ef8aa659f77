/*
 * The dynamic program of hosts_on.h: O(steps x hosts), because switching costs what it costs by the host, so the best
 * to come from is found by one sweep up and one down. Called by src/simulate, for what one who knows the
 * day would keep on.
 */
#include "sched/hosts_on.h"

static double running(const HostsOnCosts *costs, unsigned on, double demand)
{
        return on * costs->watts + costs->short_price * MAX(demand - on * costs->capacity, 0);
}

/* @values: of V(n'); @ret_best: min over n' of what going from n to n' costs, and V(n'); @ret_where: that n'. */
static void relax(const HostsOnCosts *costs, unsigned most, const double *values, double *ret_best, unsigned *ret_where)
{
        for (unsigned n = 0; n <= most; n++) {
                ret_best[n] = values[n];
                ret_where[n] = n;
                if (n > 0 && ret_best[n - 1] + costs->sleep <= ret_best[n]) {
                        ret_best[n] = ret_best[n - 1] + costs->sleep;
                        ret_where[n] = ret_where[n - 1];
                }
        }
        for (unsigned n = most; n-- > 0;)
                if (ret_best[n + 1] + costs->wake < ret_best[n]) {
                        ret_best[n] = ret_best[n + 1] + costs->wake;
                        ret_where[n] = ret_where[n + 1];
                }
}

double hosts_on_plan(const HostsOnCosts *costs, unsigned most, unsigned now, const double *demand, unsigned steps,
                     unsigned *ret_on)
{
        gsize width = (gsize)most + 1;
        g_autofree unsigned *where = g_new(unsigned, width *MAX(steps, 1));
        g_autofree double *values = g_new0(double, width), *best = g_new0(double, width);

        for (unsigned t = steps; t-- > 0;) {
                for (unsigned n = 0; n <= most; n++)
                        values[n] = running(costs, n, demand[t]) + best[n];
                relax(costs, most, values, best, where + width * t);
        }
        double cost = best[MIN(now, most)];
        for (unsigned t = 0, on = MIN(now, most); t < steps; t++)
                ret_on[t] = on = where[width * t + on];
        return cost;
}
