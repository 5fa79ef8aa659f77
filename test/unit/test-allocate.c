/*
 * Allocation: the optimality conditions on random and extreme claims, what shares, reservations and limits promise,
 * pools, admission. `--bench` prints how long 100,000 claims take.
 */
#include "sched/allocate.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define N 400

static Claim random_claim(GRand *random)
{
        Claim claim = {.shares = exp(g_rand_double_range(random, -3, 8)),
                       .demand = g_rand_int_range(random, 0, 5) ? exp(g_rand_double_range(random, -5, 6)) : 0,
                       .limit = g_rand_int_range(random, 0, 2) ? ALLOCATE_UNLIMITED
                                                               : exp(g_rand_double_range(random, -2, 5))};
        if (g_rand_int_range(random, 0, 3) == 0)
                claim.reservation = MIN(claim.limit, exp(g_rand_double_range(random, -3, 2)));
        return claim;
}

static double total(const double *numbers, unsigned n)
{
        double sum = 0;
        for (unsigned i = 0; i < n; i++)
                sum += numbers[i];
        return sum;
}

/* Optimal to 1e-9 of capacity; and nobody who is short has less for each share than somebody who could spare some. */
static void test_optimal(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(11);
        for (int round = 0; round < 400; round++) {
                unsigned n = (unsigned)g_rand_int_range(random, 1, N);
                Claim claims[N];
                double granted[N], capacity = exp(g_rand_double_range(random, -2, 9));
                for (unsigned i = 0; i < n; i++)
                        claims[i] = random_claim(random);
                double level = allocate_fill(capacity, claims, n, granted);
                if (level <= 0)
                        continue; /* reservations exceed capacity */
                g_assert_cmpfloat(allocate_residual(capacity, claims, n, level, granted), <, 1e-9);
                double poorest = INFINITY, richest = 0;
                for (unsigned i = 0; i < n; i++) {
                        double most = MIN(claims[i].limit, claims[i].demand), each = granted[i] / claims[i].shares;
                        if (granted[i] < most * (1 - 1e-9))
                                poorest = MIN(poorest, each);
                        if (granted[i] > claims[i].reservation * (1 + 1e-9))
                                richest = MAX(richest, each);
                }
                g_assert_cmpfloat(richest, <=, poorest * (1 + 1e-9));
        }
}

static void test_shares(void)
{
        const Claim claims[] = {
            {0, ALLOCATE_UNLIMITED, 4, 9}, {0, ALLOCATE_UNLIMITED, 2, 9}, {0, ALLOCATE_UNLIMITED, 1, 9}};
        double granted[3];
        allocate_fill(7, claims, 3, granted);
        g_assert_cmpfloat_with_epsilon(granted[0], 4, 1e-12);
        g_assert_cmpfloat_with_epsilon(granted[1], 2, 1e-12);
        g_assert_cmpfloat_with_epsilon(granted[2], 1, 1e-12);
        g_assert_cmpfloat(shares_cpu(SHARES_HIGH, 2), ==, 4000);
        g_assert_cmpfloat(shares_memory(SHARES_NORMAL, 1024), ==, 10240);
}

/* Where reservations take all there is, the others get nothing, and so do those below them. */
static void test_nothing_left(void)
{
        g_autoptr(GError) error = NULL;
        Claimant all[] = {{.claim = {0, ALLOCATE_UNLIMITED, 1, 0}, .pool = -1, .is_pool = true, .expandable = true},
                          {.claim = {2, ALLOCATE_UNLIMITED, 1, 5}, .pool = -1},
                          {.claim = {0, ALLOCATE_UNLIMITED, 1, 3}, .pool = 0}};
        g_assert_true(allocate(2, all, 3, &error));
        g_assert_cmpfloat(all[1].granted, ==, 2);
        g_assert_cmpfloat(all[0].granted, ==, 0);
        g_assert_cmpfloat(all[2].granted, ==, 0);
}

/* A reservation holds under any neighbour, and is lent while it is not wanted. */
static void test_reservation_and_limit(void)
{
        Claim claims[] = {{3, ALLOCATE_UNLIMITED, 1, 5}, {0, 4, 1e6, 100}, {0, ALLOCATE_UNLIMITED, 1e6, 100}};
        double granted[3];
        allocate_fill(10, claims, 3, granted);
        g_assert_cmpfloat_with_epsilon(granted[0], 3, 1e-9);
        g_assert_cmpfloat(granted[1], <=, 4);
        claims[0].demand = 1;
        allocate_fill(10, claims, 3, granted);
        g_assert_cmpfloat_with_epsilon(granted[0], 1, 1e-9);
        g_assert_cmpfloat_with_epsilon(total(granted, 3), 10, 1e-9);
}

/* Only the proportion of shares counts, and the order of claims does not. */
static void test_invariance(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(5);
        for (int round = 0; round < 50; round++) {
                Claim claims[N], turned[N];
                double granted[N], other[N];
                for (unsigned i = 0; i < N; i++) {
                        claims[i] = random_claim(random);
                        turned[N - 1 - i] = claims[i];
                        turned[N - 1 - i].shares *= 2;
                }
                allocate_fill(500, claims, N, granted);
                allocate_fill(500, turned, N, other);
                for (unsigned i = 0; i < N; i++)
                        g_assert_cmpfloat_with_epsilon(granted[i], other[N - 1 - i], 1e-9);
        }
}

static Claimant pool(const char *name, double reservation, double limit, double shares, int in, bool expandable)
{
        return (Claimant){.claim = {reservation, limit, shares, 0},
                          .pool = in,
                          .is_pool = true,
                          .expandable = expandable,
                          .name = name};
}

static Claimant vm(const char *name, double reservation, double shares, double demand, int in)
{
        return (Claimant){.claim = {reservation, ALLOCATE_UNLIMITED, shares, demand}, .pool = in, .name = name};
}

static void test_pools(void)
{
        g_autoptr(GError) error = NULL;
        Claimant all[] = {pool("shop", 0, ALLOCATE_UNLIMITED, 3, -1, true),
                          pool("lab", 0, ALLOCATE_UNLIMITED, 1, -1, true), vm("web1", 0, 1, 100, 0),
                          vm("web2", 0, 2, 100, 0), vm("toy", 0, 1000, 100, 1)};
        g_assert_true(allocate(40, all, 5, &error));
        g_assert_no_error(error);
        g_assert_cmpfloat_with_epsilon(all[2].granted, 10, 1e-9);
        g_assert_cmpfloat_with_epsilon(all[3].granted, 20, 1e-9);
        g_assert_cmpfloat_with_epsilon(all[4].granted, 10, 1e-9);
        g_autofree char *why = allocate_explain(all, 5, 2);
        g_assert_cmpstr(why, ==, "10 of 100 wanted: 1 of 3 shares in shop; shop 30 of 200 wanted: 3 of 4 shares");
        all[1].claim.limit = 4;
        g_assert_true(allocate(40, all, 5, &error));
        g_assert_cmpfloat_with_epsilon(all[1].granted, 4, 1e-9);
        g_assert_cmpfloat_with_epsilon(all[2].granted + all[3].granted, 36, 1e-9);
        g_assert_cmpstr(all[1].bound, ==, "limit");
}

#define TREE_POOLS 5
#define TREE 40

static void make_tree(GRand *random, Claimant *all)
{
        for (int i = 0; i < TREE; i++) {
                all[i] = (Claimant){.claim = random_claim(random), .is_pool = i < TREE_POOLS, .expandable = true};
                all[i].claim.reservation = MIN(all[i].claim.reservation, all[i].claim.limit) / TREE;
                all[i].claim.limit = i < TREE_POOLS ? ALLOCATE_UNLIMITED : all[i].claim.limit;
                all[i].pool = g_rand_int_range(random, -1, MIN(i, TREE_POOLS));
        }
}

/* The same in trees of pools: shares doubled, and the VMs, which stand behind the pools, in another order. */
static void test_invariance_of_trees(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(6);
        for (int round = 0; round < 200; round++) {
                Claimant all[TREE], other[TREE];
                make_tree(random, all);
                for (int i = 0; i < TREE; i++) {
                        other[i] = all[i < TREE_POOLS ? i : TREE - 1 - (i - TREE_POOLS)];
                        other[i].claim.shares *= 2;
                }
                g_assert_true(allocate(60, all, TREE, NULL));
                g_assert_true(allocate(60, other, TREE, NULL));
                for (int i = 0; i < TREE; i++)
                        g_assert_cmpfloat_with_epsilon(all[i < TREE_POOLS ? i : TREE - 1 - (i - TREE_POOLS)].granted,
                                                       other[i].granted, 1e-9);
        }
}

/* What people read, for each thing that can bind. */
static void test_explanations(void)
{
        static const char *const sentences[] = {
            "12 of 16 wanted: its limit",
            "4 of 20 wanted: 1 of 6 shares",
            "2 of 2 wanted: its demand; shop 12 of 16 wanted: its limit",
            "6 of 9 wanted: 2000 of 12000 shares in shop; shop 12 of 16 wanted: its limit",
            "3 of 4 wanted: its reservation; shop 12 of 16 wanted: its limit",
            "1 of 1 wanted: its demand; shop 12 of 16 wanted: its limit",
            "4 of 20 wanted: its reservation",
        };
        Claimant all[] = {pool("shop", 0, 12, 5, -1, true), vm("toy", 0, 1, 20, -1), vm("idle", 0, 5000, 2, 0),
                          vm("busy", 0, 2000, 9, 0),        vm("safe", 3, 1, 4, 0),  vm("low", 0, 4999, 1, 0),
                          vm("sure", 4, 1e-6, 20, -1)};
        g_assert_true(allocate(20, all, G_N_ELEMENTS(all), NULL));
        for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
                g_autofree char *sentence = allocate_explain(all, G_N_ELEMENTS(all), i);
                g_assert_cmpstr(sentence, ==, sentences[i]);
        }
}

static void test_large_amounts(void)
{
        Claimant one = vm("nic", 0, 1, 31140, -1);
        g_assert_true(allocate(4604.4, &one, 1, NULL));
        g_autofree char *sentence = allocate_explain(&one, 1, 0);
        g_assert_cmpstr(sentence, ==, "4604 of 31140 wanted: 1 of 1 shares");
}

/* Where what was promised cannot be kept any more, all get their part by shares. */
static void test_anyway(void)
{
        Claimant all[] = {vm("first", 8, 1, 20, -1), vm("second", 4, 3, 20, -1)};
        g_assert_false(allocate(8, all, 2, NULL));
        g_assert_true(allocate_anyway(8, all, 2));
        g_assert_cmpfloat_with_epsilon(all[0].granted, 2, 1e-9);
        g_assert_cmpfloat_with_epsilon(all[1].granted, 6, 1e-9);
        all[0].claim.shares = NAN;
        g_assert_false(allocate_anyway(8, all, 2));
}

static void test_scale(void)
{
        g_assert_cmpfloat(shares_read(NULL, 50), ==, 50);
        g_assert_cmpfloat(shares_read("normal", 50), ==, 50);
        g_assert_cmpfloat(shares_read("low", 50), ==, 25);
        g_assert_cmpfloat(shares_read("high", 50), ==, 100);
        g_assert_cmpfloat(shares_read("1234", 50), ==, 1234);
}

static void assert_fault(double capacity, Claimant *all, unsigned n, HostlerErrorCode code, const char *word)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(allocate(capacity, all, n, &error));
        g_assert_true(error_is(error, code));
        if (!strstr(error->message, word))
                g_error("\"%s\" does not say \"%s\"", error->message, word);
}

static void test_admission(void)
{
        g_autoptr(GError) error = NULL;
        Claimant fixed[] = {pool("lab", 4, ALLOCATE_UNLIMITED, 1, -1, false), vm("big", 3, 1, 5, 0),
                            vm("small", 2, 1, 5, 0)};
        assert_fault(10, fixed, 3, HOSTLER_ERROR_NO_CAPACITY, "lab has 4");
        assert_fault(10, fixed, 3, HOSTLER_ERROR_NO_CAPACITY, "big holds most");
        fixed[0].expandable = true;
        g_assert_true(allocate(10, fixed, 3, &error));
        g_assert_cmpfloat(fixed[1].granted, >=, 3);
        g_assert_cmpfloat(allocate_reserved(fixed, 3, -1), ==, 5);
        g_assert_cmpfloat(allocate_reserved(fixed, 3, 0), ==, 5);
        assert_fault(4, fixed, 3, HOSTLER_ERROR_NO_CAPACITY, "the host has 4");
}

/* What a pool in a pool lacks it takes from above, up to the first that may not ask further. */
static void test_expandable(void)
{
        Shortage shortage;
        Claimant all[] = {pool("lab", 6, ALLOCATE_UNLIMITED, 1, -1, false), pool("desk", 1, 5, 1, 0, true),
                          vm("big", 3, 1, 0, 1), vm("new", 2, 1, 0, 1)};
        g_assert_true(allocate_keeps(10, all, 4, &shortage));
        g_assert_cmpfloat(allocate_reserved(all, 4, 0), ==, 5);
        g_assert_cmpfloat(allocate_reserved(all, 4, -1), ==, 6);
        all[3].claim.reservation = 2.5;
        g_assert_false(allocate_keeps(10, all, 4, &shortage));
        g_assert_cmpint(shortage.pool, ==, 1);
        g_assert_cmpfloat(shortage.has, ==, 5);
        g_assert_cmpfloat(shortage.needed, ==, 5.5);
        g_assert_cmpint(shortage.holder, ==, 2);
        all[1].claim.limit = ALLOCATE_UNLIMITED;
        all[3].claim.reservation = 3.5;
        g_assert_false(allocate_keeps(10, all, 4, &shortage));
        g_assert_cmpint(shortage.pool, ==, 0);
        all[0].expandable = true;
        g_assert_true(allocate_keeps(10, all, 4, &shortage));
        g_assert_false(allocate_keeps(6.4, all, 4, &shortage));
        g_assert_cmpint(shortage.pool, ==, -1);
        g_assert_cmpint(shortage.holder, ==, 0);
}

static void test_bad_numbers(void)
{
        Claimant one = vm("web1", 2, 1, 5, -1);
        one.claim.limit = 1;
        assert_fault(10, &one, 1, HOSTLER_ERROR_INVALID, "web1 has a limit below");
        one = vm("web1", NAN, 1, 5, -1);
        assert_fault(10, &one, 1, HOSTLER_ERROR_INVALID, "web1");
        one = vm("web1", 0, 0, 5, -1);
        assert_fault(10, &one, 1, HOSTLER_ERROR_INVALID, "shares");
        one = vm("web1", 0, 1, -5, -1);
        assert_fault(10, &one, 1, HOSTLER_ERROR_INVALID, "demand");
        one = vm("web1", 0, 1, 5, 0);
        assert_fault(10, &one, 1, HOSTLER_ERROR_INVALID, "pool");
        assert_fault(NAN, &one, 1, HOSTLER_ERROR_INVALID, "capacity");
}

/* An idle page costs 1 / (1 - tax) times a used one. */
static void test_idle_tax(void)
{
        g_assert_cmpfloat(allocate_idle_tax(100, 1, 0.75), ==, 100);
        g_assert_cmpfloat(allocate_idle_tax(100, 0, 0.75), ==, 25);
        g_assert_cmpfloat(allocate_idle_tax(100, 0.3, 0), ==, 100);
}

static void bench(void)
{
        const unsigned n = 100000;
        g_autoptr(GRand) random = g_rand_new_with_seed(1);
        g_autofree Claim *claims = g_new(Claim, n);
        g_autofree double *granted = g_new(double, n);
        gint64 best = G_MAXINT64;

        for (unsigned i = 0; i < n; i++)
                claims[i] = random_claim(random);
        for (int round = 0; round < 9; round++) {
                gint64 from = g_get_monotonic_time();
                double level = allocate_fill(1e5, claims, n, granted);
                best = MIN(best, g_get_monotonic_time() - from);
                g_assert_cmpfloat(allocate_residual(1e5, claims, n, level, granted), <, 1e-9);
        }
        g_print("%u claims: %.1f ms\n", n, (double)best / 1000);
}

int main(int argc, char **argv)
{
        if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
                bench();
                return 0;
        }
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/allocate/optimal", test_optimal);
        g_test_add_func("/allocate/shares", test_shares);
        g_test_add_func("/allocate/nothing-left", test_nothing_left);
        g_test_add_func("/allocate/reservation-and-limit", test_reservation_and_limit);
        g_test_add_func("/allocate/invariance", test_invariance);
        g_test_add_func("/allocate/invariance-of-trees", test_invariance_of_trees);
        g_test_add_func("/allocate/explanations", test_explanations);
        g_test_add_func("/allocate/explanations/large", test_large_amounts);
        g_test_add_func("/allocate/anyway", test_anyway);
        g_test_add_func("/allocate/scale", test_scale);
        g_test_add_func("/allocate/pools", test_pools);
        g_test_add_func("/allocate/admission", test_admission);
        g_test_add_func("/allocate/expandable", test_expandable);
        g_test_add_func("/allocate/bad-numbers", test_bad_numbers);
        g_test_add_func("/allocate/idle-tax", test_idle_tax);
        return g_test_run();
}
