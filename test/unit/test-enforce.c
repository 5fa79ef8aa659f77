/*
 * From grants to weights and ceilings: reservations become weight, what is small is not changed, and a demand that was
 * measured has room to grow.
 */
#include "sched/enforce.h"

#include <math.h>

static Enforced enforced(Claimant *claimants, unsigned n, double capacity, unsigned which, bool limited)
{
        g_autoptr(GError) error = NULL;
        g_assert_true(allocate(capacity, claimants, n, &error));
        return enforce_wanted(&claimants[which], limited);
}

static Claimant vm(double reservation, double limit, double shares, double demand)
{
        return (Claimant){.claim = {reservation, limit, shares, demand}, .pool = -1};
}

static void test_enough_for_all(void)
{
        Claimant all[] = {vm(0, ALLOCATE_UNLIMITED, 1000, 0.5), vm(0, 1.5, 2000, 0.5)};
        Enforced first = enforced(all, 2, 2, 0, true), second = enforced(all, 2, 2, 1, true);
        g_assert_cmpfloat(first.weight, ==, 1000);
        g_assert_cmpfloat(first.ceiling, ==, ALLOCATE_UNLIMITED);
        g_assert_cmpfloat(second.weight, ==, 2000);
        g_assert_cmpfloat(second.ceiling, ==, 1.5);
}

static void test_short(void)
{
        Claimant all[] = {vm(0, ALLOCATE_UNLIMITED, 2000, 1), vm(0, ALLOCATE_UNLIMITED, 1000, 1)};
        Enforced first = enforced(all, 2, 0.9, 0, true), second = enforced(all, 2, 0.9, 1, false);
        g_assert_cmpfloat_with_epsilon(first.weight, 2000, 1e-6);
        g_assert_cmpfloat_with_epsilon(first.ceiling, 0.6, 1e-9);
        /* Where they fight for the same processors, weights will do. */
        g_assert_cmpfloat_with_epsilon(second.weight, 1000, 1e-6);
        g_assert_cmpfloat(second.ceiling, ==, ALLOCATE_UNLIMITED);
}

/* Weights divide as the grants do, whatever the shares were. */
static void test_reservation_is_weight(void)
{
        Claimant all[] = {vm(0, ALLOCATE_UNLIMITED, 2000, 1), vm(0.6, ALLOCATE_UNLIMITED, 500, 1)};
        Enforced first = enforced(all, 2, 0.8, 0, false), second = enforced(all, 2, 0.8, 1, false);
        g_assert_cmpfloat_with_epsilon(second.weight / first.weight, 3, 1e-6);
}

static void test_nothing_but_reservations(void)
{
        Claimant all[] = {vm(0, ALLOCATE_UNLIMITED, 2000, 1), vm(0.6, ALLOCATE_UNLIMITED, 500, 1)};
        Enforced first = enforced(all, 2, 0.6, 0, true), second = enforced(all, 2, 0.6, 1, true);
        g_assert_true(isfinite(second.weight));
        g_assert_cmpfloat(second.weight, >=, 10 * first.weight);
        g_assert_cmpfloat(first.ceiling, ==, 0);
}

static void test_hysteresis(void)
{
        Enforced none = {0}, now = {1000, 0.5}, near = {1050, 0.52}, far = {1000, 0.6};
        Enforced unlimited = {1000, ALLOCATE_UNLIMITED};
        g_assert_true(enforce_differs(&none, &now));
        g_assert_false(enforce_differs(&now, &now));
        g_assert_false(enforce_differs(&now, &near));
        g_assert_true(enforce_differs(&now, &far));
        g_assert_true(enforce_differs(&now, &unlimited));
        g_assert_true(enforce_differs(&unlimited, &now));
        g_assert_false(enforce_differs(&unlimited, &unlimited));
}

static void test_demand(void)
{
        double average = 0, demand = 0;
        for (int i = 0; i < 20; i++)
                demand = enforce_demand(&average, 0.5, 0.5);
        g_assert_cmpfloat_with_epsilon(average, 1, 1e-3);
        g_assert_cmpfloat(demand, >, 1);
        /* Up faster than down; a sample that is missing changes nothing. */
        double before = average;
        enforce_demand(&average, NAN, NAN);
        g_assert_cmpfloat(average, <=, before);
        enforce_demand(&average, 0, 0);
        g_assert_cmpfloat(average, >, 0.7);
        before = average;
        enforce_demand(&average, INFINITY, 0);
        g_assert_cmpfloat(average, ==, before);
}

/* Who does all that it is let do wants more; who does little has room, and is not taken to want the world. */
static void test_throttled(void)
{
        double average = 0;
        for (int i = 0; i < 20; i++)
                enforce_demand_throttled(&average, 100, ALLOCATE_UNLIMITED, 5);
        g_assert_cmpfloat_with_epsilon(average, 150, 1);
        for (int i = 0; i < 20; i++)
                enforce_demand_throttled(&average, 90, 100, 5);
        g_assert_cmpfloat_with_epsilon(average, 200, 1);
        for (int i = 0; i < 40; i++)
                enforce_demand_throttled(&average, 0, 100, 5);
        g_assert_cmpfloat(enforce_demand_throttled(&average, 0, 100, 5), <, 10);
        g_assert_cmpfloat(enforce_demand_throttled(&average, NAN, 100, 5), <, 10);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/enforce/throttled", test_throttled);
        g_test_add_func("/enforce/enough", test_enough_for_all);
        g_test_add_func("/enforce/short", test_short);
        g_test_add_func("/enforce/reservation", test_reservation_is_weight);
        g_test_add_func("/enforce/reservations-alone", test_nothing_but_reservations);
        g_test_add_func("/enforce/hysteresis", test_hysteresis);
        g_test_add_func("/enforce/demand", test_demand);
        return g_test_run();
}
