/* Host chains, the program that decides when to relieve, and the solver under both, against answers found otherwise. */
#include "sched/chain.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#include "sched/control.h"
#include "sched/lp.h"

static void feed(Chain *chain, const char *states)
{
        for (; *states; states++)
                chain_add(chain, *states == 'n' ? HOST_NORMAL : *states == 'h' ? HOST_HIGH : HOST_OVERLOADED);
}

static void two_states(ChainMatrix matrix, double up, double down)
{
        memset(matrix, 0, sizeof(ChainMatrix));
        for (int i = 0; i < HOST_STATES; i++)
                matrix[i][i] = 1;
        matrix[HOST_NORMAL][HOST_NORMAL] = 1 - up;
        matrix[HOST_NORMAL][HOST_OVERLOADED] = up;
        matrix[HOST_OVERLOADED][HOST_OVERLOADED] = 1 - down;
        matrix[HOST_OVERLOADED][HOST_NORMAL] = down;
}

static void test_states(void)
{
        g_assert_cmpint(host_state(false, false, 0), ==, HOST_OFF);
        g_assert_cmpint(host_state(true, false, 0), ==, HOST_IDLE);
        g_assert_cmpint(host_state(true, false, 0.5), ==, HOST_NORMAL);
        g_assert_cmpint(host_state(true, false, 1.01), ==, HOST_OVERLOADED);
        g_assert_cmpint(host_state(true, false, NAN), ==, HOST_FAILING);
        g_assert_cmpint(host_state(true, true, 0.5), ==, HOST_FAILING);
}

static void test_counts(void)
{
        Chain chain = {0};
        ChainMatrix matrix;
        for (int i = 0; i < 200; i++)
                feed(&chain, i % 4 == 3 ? "o" : "n");
        chain_matrix(&chain, matrix);
        g_assert_cmpfloat_with_epsilon(matrix[HOST_NORMAL][HOST_OVERLOADED], 1.0 / 3, 0.02);
        g_assert_cmpfloat_with_epsilon(matrix[HOST_OVERLOADED][HOST_NORMAL], 1, 0.05);
        g_assert_cmpfloat(matrix[HOST_FAILING][HOST_FAILING], ==, 1);
        g_assert_cmpint(chain_now(&chain), ==, HOST_OVERLOADED);
        for (int from = 0; from < HOST_STATES; from++) {
                double sum = 0;
                for (int to = 0; to < HOST_STATES; to++)
                        sum += matrix[from][to];
                g_assert_cmpfloat_with_epsilon(sum, 1, 1e-12);
        }
}

/* When a host behaves otherwise than before, the short window is believed. */
static void test_windows(void)
{
        Chain chain = {0};
        ChainMatrix matrix;
        for (int i = 0; i < 220; i++)
                feed(&chain, "n");
        for (int i = 0; i < 18; i++)
                feed(&chain, "on");
        chain_matrix(&chain, matrix);
        g_assert_cmpfloat(matrix[HOST_NORMAL][HOST_OVERLOADED], >, 0.7);
}

/* Two states have closed formulas. */
static void test_formulas(void)
{
        ChainMatrix matrix;
        double share[HOST_STATES], steps[HOST_STATES];
        two_states(matrix, 0.1, 0.4);
        chain_stationary(matrix, HOST_NORMAL, share);
        g_assert_cmpfloat_with_epsilon(share[HOST_OVERLOADED], 0.1 / 0.5, 1e-9);
        g_assert_cmpfloat_with_epsilon(share[HOST_OFF], 0, 1e-12);
        chain_time_to(matrix, HOST_OVERLOADED, steps);
        g_assert_cmpfloat_with_epsilon(steps[HOST_NORMAL], 10, 1e-9);
        g_assert_cmpfloat(steps[HOST_OVERLOADED], ==, 0);
        g_assert_true(isinf(steps[HOST_OFF]));
        g_assert_cmpfloat_with_epsilon(chain_within(matrix, HOST_NORMAL, HOST_OVERLOADED, 3), 1 - 0.9 * 0.9 * 0.9,
                                       1e-12);
        g_assert_cmpfloat_with_epsilon(chain_visit(matrix, HOST_OVERLOADED), 2.5, 1e-12);
}

/* Expected time to overload of a three-state ladder, by following it a hundred thousand times. */
static void test_time_by_walking(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(3);
        ChainMatrix matrix;
        double steps[HOST_STATES], walked = 0;
        two_states(matrix, 0, 1);
        matrix[HOST_NORMAL][HOST_NORMAL] = 0.8;
        matrix[HOST_NORMAL][HOST_HIGH] = 0.2;
        matrix[HOST_HIGH][HOST_HIGH] = 0.5;
        matrix[HOST_HIGH][HOST_NORMAL] = 0.3;
        matrix[HOST_HIGH][HOST_OVERLOADED] = 0.2;
        chain_time_to(matrix, HOST_OVERLOADED, steps);
        for (int walk = 0; walk < 100000; walk++)
                for (HostState at = HOST_NORMAL; at != HOST_OVERLOADED; walked++) {
                        double dice = g_rand_double(random);
                        if (at == HOST_NORMAL)
                                at = dice < 0.8 ? HOST_NORMAL : HOST_HIGH;
                        else
                                at = dice < 0.5 ? HOST_HIGH : dice < 0.8 ? HOST_NORMAL : HOST_OVERLOADED;
                }
        g_assert_cmpfloat_with_epsilon(steps[HOST_NORMAL], walked / 100000, 0.2);
}

/* The goal is met exactly, with no more moves than needed; a stricter one costs more, at about the price it said. */
static void test_control(void)
{
        ChainMatrix matrix;
        Control free, loose, strict;
        double relieved[HOST_STATES] = {[HOST_NORMAL] = 1};

        two_states(matrix, 0.1, 0.2);
        g_assert_true(control_solve(matrix, HOST_NORMAL, relieved, 1, &free, NULL));
        g_assert_cmpfloat(free.moves, ==, 0);
        g_assert_cmpfloat(free.price, ==, 0);
        g_assert_true(control_solve(matrix, HOST_NORMAL, relieved, 0.2, &loose, NULL));
        g_assert_true(control_solve(matrix, HOST_NORMAL, relieved, 0.19, &strict, NULL));
        g_assert_cmpfloat_with_epsilon(loose.overload, 0.2, 1e-9);
        g_assert_cmpfloat_with_epsilon((strict.moves - loose.moves) / 0.01, loose.price, 1e-6);
        g_assert_cmpfloat(loose.relieve[HOST_OVERLOADED], >, 0);
        g_assert_false(
            control_solve(matrix, HOST_OVERLOADED, (double[HOST_STATES]){[HOST_OVERLOADED] = 1}, 0.01, &free, NULL));
}

/* The least of c x over a x >= b, x >= 0 in two dimensions, by looking at every corner. */
static double by_corners(double c[2], double a[5][2], double b[5])
{
        double least = INFINITY;
        for (int i = 0; i < 5; i++)
                for (int j = i + 1; j < 5; j++) {
                        double det = a[i][0] * a[j][1] - a[i][1] * a[j][0];
                        if (fabs(det) < 1e-9)
                                continue;
                        double x = (b[i] * a[j][1] - a[i][1] * b[j]) / det, y = (a[i][0] * b[j] - b[i] * a[j][0]) / det;
                        bool inside = true;
                        for (int k = 0; k < 5; k++)
                                inside = inside && a[k][0] * x + a[k][1] * y >= b[k] - 1e-7;
                        if (inside)
                                least = MIN(least, c[0] * x + c[1] * y);
                }
        return least;
}

static void test_solver(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(21);
        for (int round = 0; round < 300; round++) {
                double c[2] = {g_rand_double_range(random, 0.1, 3), g_rand_double_range(random, 0.1, 3)};
                double a[5][2] = {[3] = {1, 0}, [4] = {0, 1}}, b[5] = {0}, dual = 0;
                g_autoptr(Lp) lp = lp_new();
                for (int i = 0; i < 2; i++)
                        lp_add_column(lp, c[i], 0, LP_INFINITY, 0, NULL, NULL);
                for (int i = 0; i < 3; i++) {
                        a[i][0] = g_rand_double_range(random, 0, 2);
                        a[i][1] = g_rand_double_range(random, 0, 2);
                        b[i] = g_rand_double_range(random, 0.5, 4);
                        lp_add_row(lp, b[i], LP_INFINITY, 2, (int[]){0, 1}, a[i]);
                }
                g_assert_true(lp_solve(lp, NULL));
                g_assert_cmpfloat_with_epsilon(lp_objective(lp), by_corners(c, a, b), 1e-6);
                for (int i = 0; i < 3; i++)
                        dual += lp_price(lp, i) * b[i];
                g_assert_cmpfloat_with_epsilon(dual, lp_objective(lp), 1e-6);
        }
        g_autoptr(Lp) nothing = lp_new();
        lp_add_column(nothing, 1, 0, 1, 0, NULL, NULL);
        lp_add_row(nothing, 2, LP_INFINITY, 1, (int[]){0}, (double[]){1});
        g_assert_false(lp_solve(nothing, NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/chain/states", test_states);
        g_test_add_func("/chain/counts", test_counts);
        g_test_add_func("/chain/windows", test_windows);
        g_test_add_func("/chain/formulas", test_formulas);
        g_test_add_func("/chain/time-by-walking", test_time_by_walking);
        g_test_add_func("/chain/control", test_control);
        g_test_add_func("/chain/solver", test_solver);
        return g_test_run();
}
