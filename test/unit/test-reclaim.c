/*
 * Memory that moves: nobody gives while there is plenty, who is idle gives first, and what is promised or used stays.
 */
#include <glib.h>

#include "sched/reclaim.h"

static MemoryClaim guest(double size, double held, double used)
{
        return (MemoryClaim){
            .size = size, .held = held, .used = used, .limit = ALLOCATE_UNLIMITED, .shares = 10 * size, .pool = -1};
}

static void test_plenty(void)
{
        ReclaimState state = {0};
        MemoryClaim all[] = {guest(4096, 4096, 100), guest(4096, 4096, 4000)};
        all[1].limit = 2048;
        reclaim(16384, 8000, NULL, 0, all, 2, &state);
        g_assert_false(state.reclaiming);
        g_assert_cmpfloat(all[0].target, ==, 4096);
        g_assert_cmpfloat(all[1].target, ==, 2048);
}

static void test_idle_gives(void)
{
        ReclaimState state = {0};
        MemoryClaim all[] = {guest(4096, 4096, 300), guest(4096, 3500, 3300)};
        reclaim(8192, 300, NULL, 0, all, 2, &state);
        g_assert_true(state.reclaiming);
        g_assert_cmpfloat(all[0].target, <, 3700);
        g_assert_cmpfloat(all[0].target, >, 300);
        g_assert_cmpfloat(all[1].target, >=, 3300);
        /* Together no more than there is, with a reserve. */
        g_assert_cmpfloat(all[0].target + all[1].target, <=, 4096 + 3500 + 300 - 0.08 * 8192 + 1);
}

static void test_promises(void)
{
        ReclaimState state = {0};
        MemoryClaim all[] = {guest(4096, 4096, 300), guest(4096, 4096, 4000)};
        all[0].reservation = 3500;
        reclaim(8192, 100, NULL, 0, all, 2, &state);
        g_assert_cmpfloat(all[0].target, >=, 3500);
        g_assert_cmpfloat(all[0].target + all[1].target, <=, 8292);
}

static void test_shares(void)
{
        ReclaimState state = {.reclaiming = true};
        MemoryClaim all[] = {guest(4096, 2000, 100), guest(4096, 2000, 100)};
        all[0].shares *= 2;
        reclaim(4096, 0, NULL, 0, all, 2, &state);
        g_assert_cmpfloat_with_epsilon(all[0].target / all[1].target, 2, 0.01);
}

/* What was given makes room; that alone is no reason to take it back. */
static void test_no_turns(void)
{
        ReclaimState state = {0};
        MemoryClaim all[] = {guest(4096, 4096, 300), guest(4096, 3500, 3300)};
        double given = 0, free = 300;
        for (int i = 0; i < 10; i++) {
                reclaim(8192, free, NULL, 0, all, 2, &state);
                g_assert_true(state.reclaiming);
                double gives = MAX(all[0].held - all[0].target, 0);
                all[0].held -= gives;
                free += gives;
                given += gives;
                g_assert_true(i == 0 || !reclaim_differs(all[0].held, all[0].target));
        }
        g_assert_cmpfloat(given, >, 300);
        /* Its neighbour has gone. */
        reclaim(8192, free + 3500, NULL, 0, all, 1, &state);
        g_assert_false(state.reclaiming);
        g_assert_cmpfloat(all[0].target, ==, 4096);
}

/* Its limit holds while there is plenty, and is kept by its own members, idle ones first. */
static void test_pool_limit(void)
{
        ReclaimState state = {0};
        const Claimant pool = {.claim = {0, 3000, 1000, 0}, .pool = -1, .is_pool = true, .name = "lab"};
        MemoryClaim all[] = {guest(2048, 2048, 200), guest(2048, 2048, 1700), guest(2048, 2048, 2000)};
        all[0].pool = all[1].pool = 0;
        reclaim(16384, 8000, &pool, 1, all, 3, &state);
        g_assert_false(state.reclaiming);
        g_assert_cmpfloat_with_epsilon(all[0].target + all[1].target, 3000, 1);
        g_assert_cmpfloat(all[1].target, >=, 1700);
        g_assert_cmpfloat(all[2].target, ==, 2048);
        /* What they use does not fit: they give all the same, and the neighbour nothing. */
        all[0].used = 1900;
        reclaim(16384, 8000, &pool, 1, all, 3, &state);
        g_assert_cmpfloat_with_epsilon(all[0].target + all[1].target, 3000, 1);
        g_assert_cmpfloat(all[2].target, ==, 2048);
}

/* Two pools, 3:1, whatever the number of guests in each. */
static void test_pool_shares(void)
{
        ReclaimState state = {.reclaiming = true};
        const Claimant pools[] = {{{0, ALLOCATE_UNLIMITED, 3000, 0}, -1, .is_pool = true, .name = "shop"},
                                  {{0, ALLOCATE_UNLIMITED, 1000, 0}, -1, .is_pool = true, .name = "lab"}};
        MemoryClaim all[] = {guest(4096, 2000, 10), guest(4096, 1000, 10), guest(4096, 1000, 10)};
        all[0].pool = 0;
        all[1].pool = all[2].pool = 1;
        reclaim(4096, 0, pools, 2, all, 3, &state);
        g_assert_cmpfloat_with_epsilon(all[0].target / (all[1].target + all[2].target), 3, 0.01);
}

/* QEMUs hold more than their guests have, so there seems to be enough: the idle one gives all the same. */
static void test_overhead(void)
{
        ReclaimState state = {0};
        MemoryClaim all[] = {guest(384, 490, 60), guest(384, 360, 250)};
        double first = 0;
        for (int i = 0; i < 12; i++) {
                reclaim(880, 30, NULL, 0, all, 2, &state);
                first = i == 0 ? all[0].target : first;
                g_assert_cmpfloat(all[0].target, >=, 60 * 1.15 + 32 - 1);
                g_assert_cmpfloat(all[1].target, >=, 250 * 1.15 + 32 - 1);
        }
        g_assert_cmpfloat(first, >, 350);
        g_assert_cmpfloat(all[0].target, <, 200);
        reclaim(880, 300, NULL, 0, all, 2, &state);
        g_assert_cmpfloat(state.correction, ==, 0);
}

static void test_nobody(void)
{
        ReclaimState state = {.reclaiming = true};
        reclaim(8192, 10, NULL, 0, NULL, 0, &state);
        g_assert_true(reclaim_differs(0, 64));
        g_assert_false(reclaim_differs(1000, 1020));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/reclaim/plenty", test_plenty);
        g_test_add_func("/reclaim/idle-gives", test_idle_gives);
        g_test_add_func("/reclaim/promises", test_promises);
        g_test_add_func("/reclaim/shares", test_shares);
        g_test_add_func("/reclaim/no-turns", test_no_turns);
        g_test_add_func("/reclaim/pool-limit", test_pool_limit);
        g_test_add_func("/reclaim/pool-shares", test_pool_shares);
        g_test_add_func("/reclaim/overhead", test_overhead);
        g_test_add_func("/reclaim/nobody", test_nobody);
        return g_test_run();
}
