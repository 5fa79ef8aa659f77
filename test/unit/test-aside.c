/*
 * Work that may never come back (base/aside.h): it is waited for as long as was said and no longer, and what was left
 * behind goes on and is cleaned up after.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/error.h"

typedef struct {
        int *cleared; /* atomic */
        int *gate;    /* atomic: work waits until it is set; NULL: it does not wait */
        bool fails;
} Work;

static void clear(void *data)
{
        const Work *work = data;
        g_atomic_int_inc(work->cleared);
}

static bool run(void *data, GError **error)
{
        const Work *work = data;
        while (work->gate && !g_atomic_int_get(work->gate))
                g_usleep(1000);
        return !work->fails || error_set(error, HOSTLER_ERROR_FAILED, NULL, "as it should");
}

static bool run_work(Work value, int64_t limit_ms, GError **error)
{
        Work *work = g_atomic_rc_box_new(Work);
        *work = value;
        bool ok = aside_run(run, work, clear, limit_ms, error);
        g_atomic_rc_box_release_full(work, clear);
        return ok;
}

static void wait_for(int *number, int value)
{
        gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
        while (g_atomic_int_get(number) != value && g_get_monotonic_time() < end)
                g_usleep(1000);
        g_assert_cmpint(g_atomic_int_get(number), ==, value);
}

static void in_time(void)
{
        int cleared = 0;
        g_autoptr(GError) error = NULL;
        g_assert_true(run_work((Work){.cleared = &cleared}, 60000, &error));
        g_assert_no_error(error);
        g_assert_false(run_work((Work){.cleared = &cleared, .fails = true}, 60000, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        wait_for(&cleared, 2);
}

static void late(void)
{
        int cleared = 0, gate = 0;
        g_autoptr(GError) error = NULL;
        g_assert_false(run_work((Work){.cleared = &cleared, .gate = &gate, .fails = true}, 20, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_UNRESPONSIVE));
        g_assert_cmpint(g_atomic_int_get(&cleared), ==, 0);
        g_atomic_int_set(&gate, 1);
        wait_for(&cleared, 1);
}

static void removing(void)
{
        g_autofree char *folder = g_dir_make_tmp("aside-XXXXXX", NULL), *file = g_build_filename(folder, "one", NULL);
        g_autoptr(GError) error = NULL;
        g_assert_true(g_file_set_contents(file, "text", -1, NULL));
        g_assert_true(aside_remove(file, &error) && aside_remove(file, &error));
        g_assert_false(g_file_test(file, G_FILE_TEST_EXISTS) || aside_is_removing(file));
        g_assert_true(g_file_set_contents(file, "text", -1, NULL));
        g_assert_true(aside_remove(folder, &error));
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        g_assert_false(aside_remove("/proc/self/status", &error));
        g_assert_nonnull(error);
        g_assert_false(aside_is_removing("/proc/self/status"));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/aside/in-time", in_time);
        g_test_add_func("/aside/late", late);
        g_test_add_func("/aside/removing", removing);
        return g_test_run();
}
