/*
 * How many hosts to keep on: the dynamic program against every plan there is, on small random cases.
 */
#include <glib.h>
#include <math.h>

#include "sched/hosts_on.h"

#define STEPS 5
#define MOST 4

static double cost_of(const HostsOnCosts *costs, unsigned now, const double *demand, const unsigned *on)
{
        double cost = 0;
        for (unsigned t = 0; t < STEPS; t++) {
                unsigned before = t > 0 ? on[t - 1] : now;
                cost += on[t] > before ? (on[t] - before) * costs->wake : (before - on[t]) * costs->sleep;
                cost += on[t] * costs->watts + costs->short_price * MAX(demand[t] - on[t] * costs->capacity, 0);
        }
        return cost;
}

static double least_of_all(const HostsOnCosts *costs, unsigned now, const double *demand)
{
        double least = INFINITY;
        for (unsigned plan = 0; plan < (unsigned)pow(MOST + 1, STEPS); plan++) {
                unsigned on[STEPS];
                for (unsigned t = 0, left = plan; t < STEPS; t++, left /= MOST + 1)
                        on[t] = left % (MOST + 1);
                least = MIN(least, cost_of(costs, now, demand, on));
        }
        return least;
}

static void test_best(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(7);
        for (int round = 0; round < 200; round++) {
                HostsOnCosts costs = {g_rand_double_range(random, 5, 15), g_rand_double_range(random, 20, 100),
                                      g_rand_double_range(random, 0, 40), g_rand_double_range(random, 0, 150),
                                      g_rand_double_range(random, 0, 50)};
                unsigned now = (unsigned)g_rand_int_range(random, 0, MOST + 1), on[STEPS];
                double demand[STEPS];
                for (int t = 0; t < STEPS; t++)
                        demand[t] = g_rand_double_range(random, 0, MOST * 12);
                double cost = hosts_on_plan(&costs, MOST, now, demand, STEPS, on);
                g_assert_cmpfloat_with_epsilon(cost, least_of_all(&costs, now, demand), 1e-6);
                g_assert_cmpfloat_with_epsilon(cost, cost_of(&costs, now, demand, on), 1e-6);
        }
}

/* A host stays on through a short dip, and goes when it lasts. */
static void test_dips(void)
{
        const HostsOnCosts costs = {.capacity = 10, .watts = 50, .short_price = 100, .wake = 120};
        const double demand[] = {20, 9, 20, 9, 9, 9, 20};
        unsigned on[7];
        hosts_on_plan(&costs, 10, 2, demand, 7, on);
        g_assert_cmpuint(on[0], ==, 2);
        g_assert_cmpuint(on[1], ==, 2);
        g_assert_cmpuint(on[4], ==, 1);
        g_assert_cmpuint(on[6], ==, 2);
        g_assert_cmpfloat(hosts_on_plan(&costs, 10, 2, demand, 0, on), ==, 0);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/hosts-on/best", test_best);
        g_test_add_func("/hosts-on/dips", test_dips);
        return g_test_run();
}
