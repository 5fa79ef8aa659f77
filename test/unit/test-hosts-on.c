/*
 * How many hosts to keep on: the dynamic program against every plan there is, on small random cases.
 */
#include <glib.h>
#include <math.h>

#include "sched/hosts_on.h"

#define STEPS 5
#define MOST 4

static double cost_of(const HostsOn *costs, unsigned now, const unsigned *on)
{
        double cost = 0;
        for (unsigned t = 0; t < STEPS; t++) {
                unsigned before = t > 0 ? on[t - 1] : now;
                cost += on[t] > before ? (on[t] - before) * costs->wake : (before - on[t]) * costs->sleep;
                cost += costs->running[t * (MOST + 1) + on[t]];
        }
        return cost;
}

static double least_of_all(const HostsOn *costs, unsigned now)
{
        double least = INFINITY;
        for (unsigned plan = 0; plan < (unsigned)pow(MOST + 1, STEPS); plan++) {
                unsigned on[STEPS];
                for (unsigned t = 0, left = plan; t < STEPS; t++, left /= MOST + 1)
                        on[t] = left % (MOST + 1);
                least = MIN(least, cost_of(costs, now, on));
        }
        return least;
}

static void test_best(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(7);
        for (int round = 0; round < 200; round++) {
                double running[STEPS * (MOST + 1)];
                HostsOn costs = {running, STEPS, MOST, g_rand_double_range(random, 0, 150),
                                 g_rand_double_range(random, 0, 50)};
                unsigned now = (unsigned)g_rand_int_range(random, 0, MOST + 1), on[STEPS];
                for (int i = 0; i < STEPS * (MOST + 1); i++) /* some numbers are too few */
                        running[i] = g_rand_double(random) < 0.1 ? INFINITY : g_rand_double_range(random, 0, 400);
                double cost = hosts_on_plan(&costs, now, on), least = least_of_all(&costs, now);
                if (!isfinite(least)) {
                        g_assert_false(isfinite(cost));
                        continue;
                }
                g_assert_cmpfloat_with_epsilon(cost, least, 1e-6);
                g_assert_cmpfloat_with_epsilon(cost, cost_of(&costs, now, on), 1e-6);
        }
}

/* A host stays on through a short dip, and goes when it lasts. */
static void test_dips(void)
{
        const double demand[] = {20, 9, 20, 9, 9, 9, 20};
        double running[7 * 11];
        unsigned on[7];
        for (unsigned t = 0; t < 7; t++)
                for (unsigned n = 0; n <= 10; n++)
                        running[t * 11 + n] = hosts_on_running(n, 10, 50, 100, demand[t]);
        HostsOn plan = {.running = running, .steps = 7, .most = 10, .wake = 120};
        hosts_on_plan(&plan, 2, on);
        g_assert_cmpuint(on[0], ==, 2);
        g_assert_cmpuint(on[1], ==, 2);
        g_assert_cmpuint(on[4], ==, 1);
        g_assert_cmpuint(on[6], ==, 2);
        plan.steps = 0;
        g_assert_cmpfloat(hosts_on_plan(&plan, 2, on), ==, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/hosts-on/best", test_best);
        g_test_add_func("/hosts-on/dips", test_dips);
        return g_test_run();
}
