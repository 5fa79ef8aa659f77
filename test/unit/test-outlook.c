/*
 * Outlooks: what a course of loads says of the next hour, and when that is worth telling.
 */
#include "sched/outlook.h"

#include <glib.h>
#include <math.h>

static void test_calm(void)
{
        double loads[100];
        Outlook outlook;
        for (int i = 0; i < 100; i++)
                loads[i] = 0.4 + 0.02 * (i % 2);
        g_assert_true(outlook_of(loads, 100, &outlook));
        g_assert_cmpint(outlook.state, ==, HOST_NORMAL);
        g_assert_cmpfloat_with_epsilon(outlook.mean, 0.41, 0.01);
        g_assert_cmpfloat(outlook.deviation, <, 0.05);
        g_assert_cmpfloat(outlook.overload_within, <, 0.01);
        g_assert_true(isinf(outlook.steps_to_overload));
        g_assert_cmpfloat(outlook.overload_steps, ==, 0);
        g_assert_cmpfloat(outlook.relieve, <, 0.01);
        g_assert_cmpfloat_with_epsilon(outlook.share[HOST_NORMAL], 1, 1e-6);
}

/* Ten calm steps, five overloaded ones, again and again. */
static void test_now_and_then(void)
{
        double loads[150];
        Outlook outlook;
        for (int i = 0; i < 150; i++)
                loads[i] = i % 15 < 10 ? 0.5 : 1.5;
        g_assert_true(outlook_of(loads, 145, &outlook));
        g_assert_cmpint(outlook.state, ==, HOST_NORMAL);
        g_assert_cmpfloat_with_epsilon(outlook.steps_to_overload, 10, 3);
        g_assert_cmpfloat_with_epsilon(outlook.overload_steps, 5, 1.5);
        g_assert_cmpfloat_with_epsilon(outlook.share[HOST_OVERLOADED], 1.0 / 3, 0.08);
        g_assert_cmpfloat(outlook.overload_within, >, 0.95);
        g_assert_true(outlook_of(loads, 150, &outlook));
        g_assert_cmpint(outlook.state, ==, HOST_OVERLOADED);
        g_assert_cmpfloat(outlook.steps_to_overload, ==, 0);
        g_assert_cmpfloat(outlook.overload_within, ==, 1);
        /* A third of the time is more than the goal. */
        g_assert_cmpfloat(outlook.relieve, >, 0.1);
}

/* What lasts is believed, what comes and goes is not. */
static void test_memory(void)
{
        double slow[120], quick[120];
        Outlook first, second;
        for (int i = 0; i < 120; i++) {
                slow[i] = 0.5 + 0.2 * sin(i / 6.0);
                quick[i] = 0.5 + 0.2 * ((i * 7919 % 101) / 50.0 - 1);
        }
        g_assert_true(outlook_of(slow, 120, &first));
        g_assert_true(outlook_of(quick, 120, &second));
        g_assert_cmpfloat(first.memory, >, 0.5);
        g_assert_cmpfloat(second.memory, <, 0.4);
        g_assert_cmpfloat(first.ahead_deviation[0], <, first.ahead_deviation[3]);
        g_assert_cmpfloat(fabs(first.ahead_mean[0] - first.load), <, fabs(first.ahead_mean[3] - first.load) + 1e-9);
}

static void test_too_little(void)
{
        double loads[] = {0.1, NAN, -1, 0.2, INFINITY, 0.1, 0.3, 0.2};
        Outlook outlook;
        g_assert_false(outlook_of(loads, 0, &outlook));
        g_assert_false(outlook_of(loads, 7, &outlook));
        g_assert_true(outlook_of(loads, 8, &outlook));
        g_assert_cmpfloat(outlook.load, ==, 0.2);
}

static bool look(OutlookWatch *watch, HostState state, double within, OutlookStage *ret_stage)
{
        Outlook outlook = {.state = state, .overload_within = within};
        return outlook_watch(watch, &outlook, ret_stage);
}

static void test_watch(void)
{
        OutlookWatch watch = {0};
        OutlookStage stage;
        for (int i = 0; i < 5; i++)
                g_assert_false(look(&watch, HOST_NORMAL, 0.1, &stage));
        g_assert_false(look(&watch, HOST_NORMAL, 0.9, &stage));
        g_assert_false(look(&watch, HOST_NORMAL, 0.1, &stage));
        g_assert_false(look(&watch, HOST_HIGH, 0.9, &stage));
        g_assert_false(look(&watch, HOST_HIGH, 0.9, &stage));
        g_assert_true(look(&watch, HOST_HIGH, 0.9, &stage));
        g_assert_cmpint(stage, ==, OUTLOOK_EXPECTED);
        g_assert_false(look(&watch, HOST_HIGH, 0.9, &stage));
        for (int i = 0; i < OUTLOOK_LOOKS; i++)
                g_assert_true(look(&watch, HOST_OVERLOADED, 1, &stage) == (i == OUTLOOK_LOOKS - 1));
        g_assert_cmpint(stage, ==, OUTLOOK_OVERLOADED);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/outlook/calm", test_calm);
        g_test_add_func("/outlook/now-and-then", test_now_and_then);
        g_test_add_func("/outlook/memory", test_memory);
        g_test_add_func("/outlook/too-little", test_too_little);
        g_test_add_func("/outlook/watch", test_watch);
        return g_test_run();
}
