/* The clocks: that they move, and that tests can stop them. */
#include <glib.h>

#include "base/clock.h"

static void test_real(void)
{
        int64_t monotonic = clock_monotonic_ms(), unix_ms = clock_unix_ms();

        g_usleep(20 * 1000);
        g_assert_cmpint(clock_monotonic_ms() - monotonic, >=, 19);
        g_assert_cmpint(clock_monotonic_ms() - monotonic, <, 5000);
        g_assert_cmpint(ABS(unix_ms - g_get_real_time() / 1000), <, 5000);
}

static void test_fake(void)
{
        clock_set_fake(0, 1700000000123);
        g_usleep(2000);
        g_assert_cmpint(clock_monotonic_ms(), ==, 0);
        g_assert_cmpint(clock_unix_ms(), ==, 1700000000123);
        clock_set_fake(-1, -1);
        g_assert_cmpint(clock_unix_ms(), !=, 1700000000123);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/clock/real", test_real);
        g_test_add_func("/clock/fake", test_fake);
        return g_test_run();
}
