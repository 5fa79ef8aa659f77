/*
 * The dynamic program of hosts_on.h: O(steps x hosts), because switching costs what it costs by the host, so the best
 * to come from is found by one sweep up and one down. Called by keep.c in each round of placement, and by src/simulate
 * for what one who knows the day would keep on.
 */
#include "sched/hosts_on.h"

double hosts_on_running(unsigned n, double capacity, double watts, double short_price, double demand)
{
        return n * watts + short_price * MAX(demand - n * capacity, 0);
}

/* @values: of V(n'); @ret_best: min over n' of what going from n to n' costs, and V(n'); @ret_where: that n'. */
static void relax(const HostsOn *plan, const double *values, double *ret_best, unsigned *ret_where)
{
        for (unsigned n = 0; n <= plan->most; n++) {
                ret_best[n] = values[n];
                ret_where[n] = n;
                if (n > 0 && ret_best[n - 1] + plan->sleep <= ret_best[n]) {
                        ret_best[n] = ret_best[n - 1] + plan->sleep;
                        ret_where[n] = ret_where[n - 1];
                }
        }
        for (unsigned n = plan->most; n-- > 0;)
                if (ret_best[n + 1] + plan->wake < ret_best[n]) {
                        ret_best[n] = ret_best[n + 1] + plan->wake;
                        ret_where[n] = ret_where[n + 1];
                }
}

double hosts_on_plan(const HostsOn *plan, unsigned now, unsigned *ret_on)
{
        gsize width = (gsize)plan->most + 1;
        g_autofree unsigned *where = g_new(unsigned, width *MAX(plan->steps, 1));
        g_autofree double *values = g_new0(double, width), *best = g_new0(double, width);

        for (unsigned t = plan->steps; t-- > 0;) {
                for (unsigned n = 0; n <= plan->most; n++)
                        values[n] = plan->running[width * t + n] + best[n];
                relax(plan, values, best, where + width * t);
        }
        double cost = best[MIN(now, plan->most)];
        for (unsigned t = 0, on = MIN(now, plan->most); t < plan->steps; t++)
                ret_on[t] = on = where[width * t + on];
        return cost;
}
