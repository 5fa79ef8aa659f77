/*
 * Move or stay: against every policy there is on small chains, and where the answer is plain.
 */
#include <glib.h>
#include <math.h>

#include "sched/stay.h"

/* Two states: @up from normal to overloaded, @down back. */
static void two_states(ChainMatrix matrix, double up, double down)
{
        for (int from = 0; from < HOST_STATES; from++)
                for (int to = 0; to < HOST_STATES; to++)
                        matrix[from][to] = from == to;
        matrix[HOST_NORMAL][HOST_OVERLOADED] = up;
        matrix[HOST_NORMAL][HOST_NORMAL] = 1 - up;
        matrix[HOST_OVERLOADED][HOST_NORMAL] = down;
        matrix[HOST_OVERLOADED][HOST_OVERLOADED] = 1 - down;
}

static void test_calm_stays(void)
{
        ChainMatrix matrix;
        two_states(matrix, 0, 1);
        Stay stay = stay_or_move(matrix, HOST_NORMAL, 2, 60);
        g_assert_false(stay.move);
        g_assert_cmpfloat(stay.best, ==, 0);
}

static void test_what_passes_is_waited_for(void)
{
        ChainMatrix matrix;
        two_states(matrix, 0.001, 0.9);
        Stay stay = stay_or_move(matrix, HOST_OVERLOADED, 2, 60);
        g_assert_false(stay.move);
        g_assert_cmpfloat(stay.stay, <, 2);
        two_states(matrix, 0.2, 0.05);
        stay = stay_or_move(matrix, HOST_OVERLOADED, 2, 60);
        g_assert_true(stay.move);
        g_assert_cmpfloat(stay.best, ==, 2);
        g_assert_cmpfloat(stay.stay, >, 20);
}

/* Too near the end nothing is gained by a move. */
static void test_horizon(void)
{
        ChainMatrix matrix;
        two_states(matrix, 0, 0);
        g_assert_false(stay_or_move(matrix, HOST_OVERLOADED, 3, 3).move);
        g_assert_true(stay_or_move(matrix, HOST_OVERLOADED, 3, 4).move);
        g_assert_cmpfloat(stay_or_move(matrix, HOST_OVERLOADED, 3, 0).best, ==, 0);
}

/* Expected cost when it moves in those states, at those times, that @policy's bits say. */
static double cost_of(const ChainMatrix matrix, unsigned policy, HostState state, double move_cost, unsigned left)
{
        if (left == 0)
                return 0;
        if (policy >> ((left - 1) * 2 + (state == HOST_OVERLOADED)) & 1)
                return move_cost;
        double cost = state == HOST_OVERLOADED;
        for (int to = HOST_NORMAL; to <= HOST_OVERLOADED; to++)
                if (matrix[state][to] > 0)
                        cost += matrix[state][to] * cost_of(matrix, policy, (HostState)to, move_cost, left - 1);
        return cost;
}

static void test_against_all_policies(void)
{
        for (int trial = 0; trial < 40; trial++) {
                ChainMatrix matrix;
                unsigned horizon = 1 + (unsigned)g_test_rand_int_range(0, 4);
                double move_cost = g_test_rand_double_range(0.1, 4), least = INFINITY;
                HostState now = g_test_rand_bit() ? HOST_NORMAL : HOST_OVERLOADED;
                two_states(matrix, g_test_rand_double(), g_test_rand_double());
                for (unsigned policy = 0; policy < 1u << (2 * horizon); policy++)
                        least = MIN(least, cost_of(matrix, policy, now, move_cost, horizon));
                Stay stay = stay_or_move(matrix, now, move_cost, horizon);
                g_assert_cmpfloat_with_epsilon(stay.best, least, 1e-12);
                g_assert_cmpfloat_with_epsilon(stay.stay, cost_of(matrix, 0, now, move_cost, horizon), 1e-12);
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/stay/calm", test_calm_stays);
        g_test_add_func("/stay/what-passes", test_what_passes_is_waited_for);
        g_test_add_func("/stay/horizon", test_horizon);
        g_test_add_func("/stay/all-policies", test_against_all_policies);
        return g_test_run();
}
