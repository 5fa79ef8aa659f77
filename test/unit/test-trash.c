/* The order in which the trash is emptied, by time and when space is tight. */
#include "vm/trash.h"

#define DAY_MS (24LL * 3600 * 1000)

static void test_time(void)
{
        const TrashItem items[] = {{3 * DAY_MS, false}, {1 * DAY_MS, false}, {2 * DAY_MS, false}};
        g_assert_cmpint(trash_next(items, 0, 100 * DAY_MS, true), ==, -1);
        g_assert_cmpint(trash_next(items, 3, 8 * DAY_MS - 1, false), ==, -1);
        g_assert_cmpint(trash_next(items, 3, 8 * DAY_MS, false), ==, 1);
}

static void test_space(void)
{
        const TrashItem items[] = {{3 * DAY_MS, false}, {1 * DAY_MS, true}, {2 * DAY_MS, false}};
        const TrashItem held = {1, true};
        g_assert_cmpint(trash_next(items, 3, 4 * DAY_MS, true), ==, 2);
        g_assert_cmpint(trash_next(items, 3, 9 * DAY_MS, false), ==, 2);
        g_assert_cmpint(trash_next(&held, 1, 100 * DAY_MS, true), ==, -1);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/trash/time", test_time);
        g_test_add_func("/trash/space", test_space);
        return g_test_run();
}
