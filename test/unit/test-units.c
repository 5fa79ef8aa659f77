/* Sizes, durations and times as text. */
#include "base/units.h"

#include <string.h>

static void assert_size(const char *text, int64_t expected)
{
        int64_t bytes = -1;
        g_assert_true(size_parse(text, &bytes));
        g_assert_cmpint(bytes, ==, expected);
}

static void test_sizes(void)
{
        assert_size("0", 0);
        assert_size("512", 512);
        assert_size("512B", 512);
        assert_size("4k", 4096);
        assert_size("4K", 4096);
        assert_size("4KiB", 4096);
        assert_size("500M", INT64_C(500) << 20);
        assert_size("4G", INT64_C(4) << 30);
        assert_size("4GB", INT64_C(4) << 30);
        assert_size("4gib", INT64_C(4) << 30);
        assert_size("1.5G", INT64_C(3) << 29);
        assert_size("1T", INT64_C(1) << 40);
        assert_size("9223372036854775807", INT64_MAX);
        const char *bad[] = {"",    " 4G", "4 G",  "4G ",      "-4G",
                             "+4",  "G",   "4X",   "4Gi",      "1.5",
                             "1.",  ".5G", "0x10", "8388608T", "9223372036854775808",
                             "1e3", "4GG", "4,5G"};
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                int64_t bytes;
                if (size_parse(bad[i], &bytes))
                        g_error("%s was taken for a size", bad[i]);
        }
}

static void assert_size_text(int64_t bytes, const char *expected)
{
        g_autofree char *text = size_format(bytes);
        g_assert_cmpstr(text, ==, expected);
}

static void test_size_text(void)
{
        assert_size_text(0, "0");
        assert_size_text(1023, "1023");
        assert_size_text(4096, "4k");
        assert_size_text(INT64_C(4294967296), "4G");
        assert_size_text(1610612736, "1.5G");
        assert_size_text(INT64_C(1100) << 20, "1100M");
        assert_size_text(204857344, "195.4M");
        assert_size_text(INT64_C(1) << 40, "1T");
        assert_size_text(INT64_MAX, "8388608T");
}

static void assert_duration(const char *text, int64_t expected)
{
        int64_t ms = -1;
        g_assert_true(duration_parse(text, &ms));
        g_assert_cmpint(ms, ==, expected);
}

static void assert_duration_text(int64_t ms, const char *expected)
{
        g_autofree char *text = duration_format(ms);
        g_assert_cmpstr(text, ==, expected);
}

static void test_durations(void)
{
        assert_duration("250ms", 250);
        assert_duration("90", 90000);
        assert_duration("90s", 90000);
        assert_duration("1.5s", 1500);
        assert_duration("5m", 300000);
        assert_duration("2h", 7200000);
        assert_duration("7d", 604800000);
        const char *bad[] = {
            "", "s", "-1s", "1 s", "1w", "1mss", "1S", "99999999999999999999s", "9223372036854775807d"};
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                int64_t ms;
                if (duration_parse(bad[i], &ms))
                        g_error("%s was taken for a duration", bad[i]);
        }
        assert_duration_text(0, "0s");
        assert_duration_text(250, "250ms");
        assert_duration_text(90000, "90s");
        assert_duration_text(7200000, "2h");
        assert_duration_text(604800000, "7d");
        assert_duration_text(61001, "61001ms");
}

static void test_times(void)
{
        g_autofree char *text = time_format(INT64_C(1700000000123));
        g_assert_cmpstr(text, ==, "2023-11-14T22:13:20.123Z");
        g_autofree char *early = time_format(-1);
        g_assert_cmpstr(early, ==, "1969-12-31T23:59:59.999Z");
        int64_t ms;
        g_assert_true(time_parse(text, &ms));
        g_assert_cmpint(ms, ==, INT64_C(1700000000123));
        g_assert_true(time_parse("2023-11-14T23:13:20+01:00", &ms));
        g_assert_cmpint(ms, ==, INT64_C(1700000000000));
        g_assert_true(time_parse("0622-10-23T02:00:00Z", &ms));
        g_autofree char *year_622 = time_format(ms);
        g_assert_cmpstr(year_622, ==, "0622-10-23T02:00:00.000Z");
        g_assert_false(time_parse("9999-12-31T23:59:59-01:00", &ms)); /* a moment of the year 10000 */
        g_assert_true(time_parse("1969-12-31T23:59:59.999Z", &ms));
        g_assert_cmpint(ms, ==, -1);
        const char *bad[] = {"",
                             "2023-11-14",
                             "20231114T221320Z",
                             "2023-11-14T22:13:20",
                             "2023-13-14T22:13:20Z",
                             "2023-11-14T25:13:20Z",
                             "2023-11-14T22:13:20Z ",
                             "now"};
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                if (time_parse(bad[i], &ms))
                        g_error("%s was taken for a time", bad[i]);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/units/sizes", test_sizes);
        g_test_add_func("/units/size-text", test_size_text);
        g_test_add_func("/units/durations", test_durations);
        g_test_add_func("/units/times", test_times);
        return g_test_run();
}
