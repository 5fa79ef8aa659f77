/*
 * Jobs across crashes: a child process is killed at every step of a job, and at random; the next queue over the same
 * folder must undo, finish or repeat what it left. The child is this program again, with --child, because a forked copy
 * would have no threads.
 */
#include "job-fixture.h"

#include "base/file.h"

#include "hostler-records.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

typedef struct {
        const char *verb, *name, *point;
        HostlerJobState state;
        const char *there, *gone; /* files, "a b" */
} CrashCase;

/* Runs a child over @dir with what ("submit", "recover" or "load"); gives its wait status. It is killed after @kill_ms
 * unless 0. */
static int run_child(const char *dir, const char *what, const char *verb, const char *name, const char *crash_at,
                     int kill_ms)
{
        const char *argv[] = {self, "--child", dir, what, verb, name, NULL};
        g_auto(GStrv) environment = g_get_environ();
        if (crash_at)
                environment = g_environ_setenv(environment, "HOSTLER_CRASH_AT", crash_at, true);
        GPid child;
        g_assert_true(
            g_spawn_async(NULL, (char **)argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &child, NULL));
        if (kill_ms) {
                g_usleep((gulong)kill_ms * 1000);
                kill(child, SIGKILL);
        }
        int status = 0;
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        return status;
}

static int child_main(char **argv)
{
        JobFixture fixture;
        job_fixture_open(&fixture, argv[0]);
        g_atomic_int_set(&fixture.manager.gate, 1);
        g_assert_true(job_queue_recover(fixture.queue, NULL));
        while (strcmp(argv[1], "load") == 0)
                for (int i = 0; i < 5; i++) {
                        const char *verbs[] = {"build", "again", "fail", "late", "quick"};
                        g_autofree char *id = job_fixture_submit(&fixture, verbs[i], "load", i % 2 ? "vm/1" : "vm/2");
                        job_wait(fixture.queue, id, i * 2, NULL);
                }
        if (strcmp(argv[1], "submit") == 0) {
                g_autofree char *id = job_fixture_submit(&fixture, argv[2], argv[3], "vm/1");
                job_wait(fixture.queue, id, 10000, NULL);
        }
        if (strcmp(argv[1], "recover") == 0)
                g_usleep(500000);
        _exit(0);
}

static void expect_files(JobFixture *fixture, const char *files, bool there)
{
        g_auto(GStrv) names = g_strsplit(files, " ", 0);
        for (int i = 0; names[i] && names[i][0]; i++)
                g_assert_cmpint(job_fixture_has(fixture, names[i]), ==, there);
}

static void newest_id(const JobRow *row, void *data)
{
        *(char **)data = g_strdup(row->id);
}

/* Recovers what the child left and gives its only job, ended. */
static HostlerJob recover(JobFixture *fixture)
{
        g_autofree char *id = NULL;
        g_assert_true(job_queue_recover(fixture->queue, NULL));
        g_assert_true(store_job_each(fixture->store, NULL, NULL, NULL, 1, newest_id, &id, NULL));
        return job_fixture_wait(fixture, id);
}

static void test_crash(const void *data)
{
        const CrashCase *crash = data;
        g_autofree char *dir = g_dir_make_tmp("hostler-crash-XXXXXX", NULL);
        g_autofree char *crash_at = g_strdup_printf("fake.%s:%s", crash->verb, crash->point);
        int status = run_child(dir, "submit", crash->verb, crash->name, crash_at, 0);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        JobFixture fixture;
        job_fixture_open(&fixture, dir);
        HostlerJob job = recover(&fixture);
        g_assert_cmpint(job.state, ==, crash->state);
        record_clear(&hostler_job_type, &job);
        expect_files(&fixture, crash->there, true);
        expect_files(&fixture, crash->gone, false);
        /* Its turn is free for the next one. */
        g_autofree char *next = job_fixture_submit(&fixture, "quick", "next", "vm/1");
        job = job_fixture_wait(&fixture, next);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_DONE);
        record_clear(&hostler_job_type, &job);
        job_fixture_tear_down(&fixture, NULL);
}

/* A job that takes the daemon down every time is given up and undone. */
static void test_crash_loop(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-crash-XXXXXX", NULL);
        run_child(dir, "submit", "again", "loop", "fake.again:two", 0);
        for (int i = 0; i < 5; i++)
                g_assert_true(WIFSIGNALED(run_child(dir, "recover", "", "", "fake.again:two", 0)));
        g_assert_true(WIFEXITED(run_child(dir, "recover", "", "", "fake.again:two", 0)));

        JobFixture fixture;
        job_fixture_open(&fixture, dir);
        HostlerJob job = recover(&fixture);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_FAILED);
        g_assert_nonnull(strstr(job.error, "restarted"));
        record_clear(&hostler_job_type, &job);
        expect_files(&fixture, "one two three mark", false);
        job_fixture_tear_down(&fixture, NULL);
}

static void collect_id(const JobRow *row, void *data)
{
        g_ptr_array_add(data, g_strdup(row->id));
}

static void check_seq(const EventRow *row, void *data)
{
        int64_t *last = data;
        g_assert_cmpint(row->seq, ==, *last + 1);
        *last = row->seq;
}

/* R1: killed at random under load, again and again over the same folder. */
static void test_random_kills(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-crash-XXXXXX", NULL);
        for (int i = 0; i < 15; i++)
                run_child(dir, "load", "", "", NULL, g_test_rand_int_range(20, 120));

        JobFixture fixture;
        job_fixture_open(&fixture, dir);
        g_assert_true(job_queue_recover(fixture.queue, NULL));
        g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_job_each(fixture.store, NULL, NULL, NULL, 100000, collect_id, ids, NULL));
        g_assert_cmpuint(ids->len, >, 0);
        for (guint i = 0; i < ids->len; i++) {
                HostlerJob job = job_fixture_wait(&fixture, ids->pdata[i]);
                g_assert_nonnull(job.ended);
                record_clear(&hostler_job_type, &job);
        }
        int64_t last = 0;
        g_assert_true(store_event_each(fixture.store, 0, NULL, 1000000, check_seq, &last, NULL));
        g_assert_cmpint(last, >=, ids->len);
        job_fixture_tear_down(&fixture, NULL);
}

#define ALL "one two three mark after"
#define NOTHING ""

int main(int argc, char **argv)
{
        static const CrashCase cases[] = {
            /* Undone before the point of no return, finished after it. */
            {"build", "x", "one", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "x", "two", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "x", "three", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "x", "@commit", HOSTLER_JOB_STATE_DONE, "one two three mark", "after"},
            {"build", "x", "after", HOSTLER_JOB_STATE_DONE, "one two three mark", "after"},
            {"build", "x", "@finish", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"build", "x", "@end", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            /* Killed while it is being undone. */
            {"build", "fail", "@undo", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "fail", "@undo:2", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "fail", "@undo:3", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"build", "fail", "@end", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            /* Run again with what it had. */
            {"again", "x", "one", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "two", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "three", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "@commit", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "after", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "@finish", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "x", "@end", HOSTLER_JOB_STATE_DONE, ALL, NOTHING},
            {"again", "fail", "three", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
            {"again", "fail", "@undo:2", HOSTLER_JOB_STATE_FAILED, NOTHING, ALL},
        };
        self = argv[0];
        if (argc > 2 && strcmp(argv[1], "--child") == 0)
                return child_main(argv + 2);
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path =
                    g_strdup_printf("/job-crash/%s-%s/%s", cases[i].verb, cases[i].name, cases[i].point);
                g_test_add_data_func(path, &cases[i], test_crash);
        }
        g_test_add_func("/job-crash/loop", test_crash_loop);
        g_test_add_func("/job-crash/random", test_random_kills);
        return g_test_run();
}
