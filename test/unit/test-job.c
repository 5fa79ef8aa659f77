/*
 * Jobs: how they run, end, undo, finish and are cancelled; turns, keys, plans, lists. With --bench it prints what a job
 * costs.
 */
#include "job-fixture.h"
#include "job/job_internal.h"

#include "base/error.h"
#include "base/file.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define test_case(name) static void name(JobFixture *fixture, const void *data)

static void clear(HostlerJob *job)
{
        record_clear(&hostler_job_type, job);
}

static void end_as(JobFixture *fixture, const char *id, HostlerJobState state)
{
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, state);
        clear(&job);
}

static void add_kind(const EventRow *row, void *data)
{
        g_string_append_printf(data, "%s ", row->kind);
}

test_case(test_quick)
{
        g_autofree char *id = job_fixture_submit(fixture, "quick", "web1", "vm/1");
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpstr(job.verb, ==, "fake.quick");
        g_assert_cmpstr(job.object, ==, "vm/web1");
        g_assert_cmpstr(job.result, ==, "{\"text\":\"web1\"}");
        g_assert_cmpint(job.uid, ==, 1000);
        g_assert_null(job.error);
        g_assert_nonnull(job.created);
        g_assert_nonnull(job.started);
        g_assert_nonnull(job.ended);
        clear(&job);
}

test_case(test_events)
{
        g_autofree char *id = job_fixture_submit(fixture, "quick", "web1", NULL);
        end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
        g_autoptr(GString) kinds = g_string_new(NULL);
        for (int i = 0; i < 5000 && !strstr(kinds->str, "ended"); i++) {
                g_usleep(1000);
                g_string_truncate(kinds, 0);
                g_assert_true(store_event_each(fixture->store, 0, NULL, 100, add_kind, kinds, NULL));
        }
        g_assert_cmpstr(kinds->str, ==, "job-queued job-started job-ended ");
}

test_case(test_list_result)
{
        g_autofree char *id = job_fixture_submit(fixture, "list", "web1", NULL);
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpstr(job.result, ==, "[{\"text\":\"a\"},{\"text\":\"b\"}]");
        clear(&job);
}

/* While it may run again the row has the secret, afterwards not. */
test_case(test_secret)
{
        FakeArgs args = {.name = (char *)"web1", .secret = (char *)"canary"};
        JobRequest request = job_fixture_request("wait", &args, NULL);
        g_autofree char *id = NULL;
        g_assert_true(job_submit(fixture->queue, &request, &id, NULL));
        JobRow row;
        g_assert_true(store_job_get(fixture->store, id, &row, NULL));
        g_assert_nonnull(strstr(row.args, "canary"));
        job_row_clear(&row);
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
        g_assert_true(store_job_get(fixture->store, id, &row, NULL));
        g_assert_null(strstr(row.args, "canary"));
        g_assert_cmpstr(row.journal, ==, "{}");
        job_row_clear(&row);
}

test_case(test_failure)
{
        g_autofree char *id = job_fixture_submit(fixture, "fail", "web1", "vm/1");
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_FAILED);
        g_assert_nonnull(strstr(job.error, "no-capacity"));
        g_assert_nonnull(strstr(job.error, "there is no room for web1"));
        g_assert_null(job.result);
        clear(&job);
        g_assert_cmpstr(fixture->manager.log->str, ==, "three two one ");
        g_assert_false(job_fixture_has(fixture, "one") || job_fixture_has(fixture, "two"));
}

test_case(test_bad_undo)
{
        g_autofree char *id = job_fixture_submit(fixture, "fail", "bad-undo", "vm/1");
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_FAILED);
        g_assert_nonnull(strstr(job.error, "there is no room"));
        g_assert_nonnull(strstr(job.error, "the file is stuck"));
        clear(&job);
        g_assert_cmpstr(fixture->manager.log->str, ==, "three one ");
        g_assert_true(job_fixture_has(fixture, "two"));
}

test_case(test_slow_undo)
{
        fixture->queue->operation_limit_ms = 50;
        g_autofree char *id = job_fixture_submit(fixture, "fail", "slow-undo", "vm/1");
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_FAILED);
        g_assert_nonnull(strstr(job.error, "not done within"));
        clear(&job);
        g_assert_cmpstr(fixture->manager.log->str, ==, "three one ");
        g_assert_cmpint(g_atomic_int_get(&fixture->manager.hanging), ==, 1);
        g_atomic_int_set(&fixture->manager.gate, 1);
        while (g_atomic_int_get(&fixture->manager.hanging))
                g_usleep(1000);
}

test_case(test_finish)
{
        g_autofree char *id = job_fixture_submit(fixture, "build", "web1", "vm/1");
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpint(job.steps.count, ==, 4);
        g_assert_cmpstr(job.steps.items[0].name, ==, "one");
        g_assert_cmpstr(job.steps.items[0].detail, ==, "make one");
        g_assert_cmpstr(job.message, ==, "be done");
        clear(&job);
        g_assert_true(job_fixture_has(fixture, "one") && job_fixture_has(fixture, "three") &&
                      job_fixture_has(fixture, "mark"));
}

test_case(test_late_failure)
{
        g_autofree char *id = job_fixture_submit(fixture, "late", "web1", "vm/1");
        end_as(fixture, id, HOSTLER_JOB_STATE_FAILED);
        g_assert_true(job_fixture_has(fixture, "one") && job_fixture_has(fixture, "end"));
}

test_case(test_cancel_running)
{
        g_autofree char *id = job_fixture_submit(fixture, "wait", "web1", "vm/1");
        job_fixture_until(fixture, id, HOSTLER_JOB_STATE_RUNNING);
        g_assert_true(job_fixture_has(fixture, "web1"));
        g_assert_true(job_cancel(fixture->queue, id, NULL));
        HostlerJob job = job_fixture_wait(fixture, id);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_CANCELLED);
        g_assert_nonnull(strstr(job.error, "as asked for"));
        clear(&job);
        g_assert_false(job_fixture_has(fixture, "web1"));
        g_autoptr(GError) error = NULL;
        g_assert_false(job_cancel(fixture->queue, id, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_WRONG_STATE));
        g_clear_error(&error);
        g_assert_false(job_cancel(fixture->queue, "nothing", &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NOT_FOUND));
}

/* A job in line ends at once and never begins. */
test_case(test_cancel_queued)
{
        g_autofree char *first = job_fixture_submit(fixture, "wait", "first", "vm/1");
        g_autofree char *second = job_fixture_submit(fixture, "quick", "second", "vm/1");
        g_assert_true(job_cancel(fixture->queue, second, NULL));
        HostlerJob job = job_fixture_wait(fixture, second);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_CANCELLED);
        g_assert_null(job.started);
        clear(&job);
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, first, HOSTLER_JOB_STATE_DONE);
        g_assert_null(strstr(fixture->manager.log->str, "second"));
}

test_case(test_cancel_committed)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *id = job_fixture_submit(fixture, "wait", "committed", "vm/1");
        job_fixture_until(fixture, id, HOSTLER_JOB_STATE_RUNNING);
        g_assert_false(job_cancel(fixture->queue, id, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_WRONG_STATE));
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
        g_assert_true(job_fixture_has(fixture, "committed"));
}

test_case(test_turns)
{
        char *ids[20];
        g_autofree char *holder = job_fixture_submit(fixture, "wait", "holder", "vm/1");
        for (int i = 0; i < 20; i++) {
                g_autofree char *name = g_strdup_printf("%d", i);
                ids[i] = job_fixture_submit(fixture, "quick", name, "vm/1");
        }
        g_autofree char *now = job_turn_holder(fixture->queue, "vm/1");
        g_assert_cmpstr(now, ==, holder);
        g_assert_null(job_turn_holder(fixture->queue, "vm/2"));
        g_autofree char *other = job_fixture_submit(fixture, "quick", "other", "vm/2");
        end_as(fixture, other, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpstr(fixture->manager.log->str, ==, "other ");
        g_atomic_int_set(&fixture->manager.gate, 1);
        for (int i = 0; i < 20; i++) {
                end_as(fixture, ids[i], HOSTLER_JOB_STATE_DONE);
                g_free(ids[i]);
        }
        g_assert_cmpstr(fixture->manager.log->str, ==,
                        "other holder 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 ");
}

/* Many jobs that wait keep nobody from running. */
test_case(test_parallel)
{
        char *ids[60];
        for (int i = 0; i < 60; i++) {
                g_autofree char *name = g_strdup_printf("%d", i);
                ids[i] = job_fixture_submit(fixture, "wait", name, name);
        }
        g_autofree char *quick = job_fixture_submit(fixture, "quick", "quick", "vm/q");
        end_as(fixture, quick, HOSTLER_JOB_STATE_DONE);
        for (int i = 0; i < 60; i++)
                job_fixture_until(fixture, ids[i], HOSTLER_JOB_STATE_RUNNING);
        g_atomic_int_set(&fixture->manager.gate, 1);
        for (int i = 0; i < 60; i++) {
                end_as(fixture, ids[i], HOSTLER_JOB_STATE_DONE);
                g_free(ids[i]);
        }
        g_assert_cmpint(fixture->manager.most, ==, 60);
}

static char *submit_urgent(JobFixture *fixture, const char *verb, const char *name)
{
        FakeArgs args = {.name = (char *)name};
        JobRequest request = job_fixture_request(verb, &args, "vm/1");
        request.urgent = true;
        char *id = NULL;
        g_assert_true(job_submit(fixture->queue, &request, &id, NULL));
        return id;
}

test_case(test_urgent)
{
        g_autofree char *holder = job_fixture_submit(fixture, "wait", "holder", "vm/1");
        job_fixture_until(fixture, holder, HOSTLER_JOB_STATE_RUNNING);
        g_autofree char *patient = job_fixture_submit(fixture, "quick", "patient", "vm/1");
        g_autofree char *urgent = submit_urgent(fixture, "wait", "urgent");
        HostlerJob job = job_fixture_wait(fixture, holder);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_CANCELLED);
        g_assert_nonnull(strstr(job.error, "so that fake.wait can go ahead"));
        clear(&job);
        job_fixture_until(fixture, urgent, HOSTLER_JOB_STATE_RUNNING);
        g_autofree char *second = submit_urgent(fixture, "quick", "second");
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, urgent, HOSTLER_JOB_STATE_DONE);
        end_as(fixture, second, HOSTLER_JOB_STATE_DONE);
        end_as(fixture, patient, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpstr(fixture->manager.log->str, ==, "holder urgent second patient ");
}

test_case(test_thousand)
{
        g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
        for (int i = 0; i < 1000; i++) {
                g_autofree char *turn = g_strdup_printf("vm/%d", i % 10);
                g_ptr_array_add(ids, job_fixture_submit(fixture, "quick", "x", turn));
        }
        for (guint i = 0; i < ids->len; i++) {
                end_as(fixture, ids->pdata[i], HOSTLER_JOB_STATE_DONE);
                g_assert_cmpuint(strlen(ids->pdata[i]), ==, 13);
                if (i > 0)
                        g_assert_cmpstr(ids->pdata[i - 1], <, ids->pdata[i]);
        }
}

typedef struct {
        JobFixture *fixture;
        const char *name;
} KeyedCall;

static void *submit_keyed(void *data)
{
        const KeyedCall *call = data;
        FakeArgs args = {.name = (char *)call->name};
        JobRequest request = job_fixture_request("quick", &args, "vm/1");
        request.key = "the-key";
        char *id = NULL;
        g_autoptr(GError) error = NULL;
        if (job_submit(call->fixture->queue, &request, &id, &error))
                return id;
        g_assert_true(error_is(error, HOSTLER_ERROR_KEY_REUSED));
        return NULL;
}

/* A3: whoever sends a key many times at once has one job. */
test_case(test_idempotency)
{
        KeyedCall call = {fixture, "web1"};
        GThread *threads[100];
        for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
                threads[i] = g_thread_new("caller", submit_keyed, &call);
        g_autofree char *first = g_thread_join(threads[0]);
        g_assert_nonnull(first);
        for (guint i = 1; i < G_N_ELEMENTS(threads); i++) {
                g_autofree char *id = g_thread_join(threads[i]);
                g_assert_cmpstr(id, ==, first);
        }
        end_as(fixture, first, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpstr(fixture->manager.log->str, ==, "web1 ");
        KeyedCall other = {fixture, "web2"};
        g_assert_null(submit_keyed(&other));
        g_autofree char *again = submit_keyed(&call);
        g_assert_cmpstr(again, ==, first);
}

test_case(test_too_many)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *holder = job_fixture_submit(fixture, "wait", "holder", "vm/1");
        job_fixture_until(fixture, holder, HOSTLER_JOB_STATE_RUNNING);
        for (int i = 0; i < 1000; i++)
                g_free(job_fixture_submit(fixture, "quick", "x", "vm/1"));
        FakeArgs args = {.name = (char *)"x"};
        JobRequest request = job_fixture_request("quick", &args, "vm/1");
        char *id = NULL;
        g_assert_false(job_submit(fixture->queue, &request, &id, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_TOO_MANY));
        Caller other = {.uid = 1001, .role = ROLE_OPERATOR};
        request.caller = &other;
        g_assert_true(job_submit(fixture->queue, &request, &id, NULL));
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
        g_free(id);
}

test_case(test_plan)
{
        FakeArgs args = {.name = (char *)"web1"};
        JobRequest request = job_fixture_request("build", &args, "vm/1");
        json_t *plan = job_plan(fixture->queue, &request, NULL);
        g_autofree char *text = json_dumps(plan, JSON_COMPACT);
        json_decref(plan);
        g_assert_cmpstr(text, ==,
                        "[{\"name\":\"one\",\"detail\":\"make one\"},{\"name\":\"two\",\"detail\":\"make two\"},"
                        "{\"name\":\"three\",\"detail\":\"make three\"},{\"name\":\"after\",\"detail\":\"be done\"}]");
        g_assert_false(job_fixture_has(fixture, "one") || job_fixture_has(fixture, "mark"));
        HostlerJobList jobs = {0};
        HostlerJobLsArgs all = {.limit = 100};
        g_assert_true(job_list(fixture->queue, &all, &jobs, NULL));
        g_assert_cmpuint(jobs.count, ==, 0);
        record_list_clear(&hostler_job_type, &jobs);

        g_autoptr(GError) error = NULL;
        request = job_fixture_request("fail", &args, "vm/1");
        g_assert_null(job_plan(fixture->queue, &request, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NO_CAPACITY));
}

test_case(test_list)
{
        g_autofree char *done = job_fixture_submit(fixture, "quick", "a", NULL);
        end_as(fixture, done, HOSTLER_JOB_STATE_DONE);
        g_autofree char *running = job_fixture_submit(fixture, "wait", "b", NULL);
        job_fixture_until(fixture, running, HOSTLER_JOB_STATE_RUNNING);
        HostlerJobLsArgs args = {.limit = 100};
        HostlerJobList jobs = {0};
        g_assert_true(job_list(fixture->queue, &args, &jobs, NULL));
        g_assert_cmpuint(jobs.count, ==, 2);
        g_assert_cmpstr(jobs.items[0].id, ==, running);
        g_assert_cmpfloat(jobs.items[0].progress, ==, 50);
        g_assert_cmpstr(jobs.items[0].message, ==, "half way");
        g_assert_cmpstr(jobs.items[1].id, ==, done);
        record_list_clear(&hostler_job_type, &jobs);
        args.state = HOSTLER_JOB_STATE_DONE;
        g_assert_true(job_list(fixture->queue, &args, &jobs, NULL));
        g_assert_cmpuint(jobs.count, ==, 1);
        record_list_clear(&hostler_job_type, &jobs);
        args = (HostlerJobLsArgs){.limit = 1, .cursor = running};
        g_assert_true(job_list(fixture->queue, &args, &jobs, NULL));
        g_assert_cmpuint(jobs.count, ==, 1);
        g_assert_cmpstr(jobs.items[0].id, ==, done);
        record_list_clear(&hostler_job_type, &jobs);
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, running, HOSTLER_JOB_STATE_DONE);
}

test_case(test_wait)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *id = job_fixture_submit(fixture, "wait", "a", NULL);
        g_assert_false(job_wait(fixture->queue, id, 20, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_TIMEOUT));
        g_clear_error(&error);
        g_assert_false(job_wait(fixture->queue, "nothing", 20, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NOT_FOUND));
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
}

/* The daemon ends while one job runs and another waits: both go on under the next one. */
test_case(test_restart)
{
        g_autofree char *running = job_fixture_submit(fixture, "wait", "running", "vm/1");
        job_fixture_until(fixture, running, HOSTLER_JOB_STATE_RUNNING);
        g_autofree char *waiting = job_fixture_submit(fixture, "quick", "waiting", "vm/1");
        g_autofree char *dir = g_strdup(fixture->dir);
        job_fixture_close(fixture);

        job_fixture_open(fixture, dir);
        g_assert_true(job_fixture_has(fixture, "running"));
        g_atomic_int_set(&fixture->manager.gate, 1);
        g_assert_true(job_queue_recover(fixture->queue, NULL));
        end_as(fixture, running, HOSTLER_JOB_STATE_DONE);
        end_as(fixture, waiting, HOSTLER_JOB_STATE_DONE);
        g_assert_cmpstr(fixture->manager.log->str, ==, "running waiting ");
}

/* Requests come while the daemon still adopts: what was left goes first, and nothing new is taken for left over. */
test_case(test_requests_before_recovery)
{
        g_autofree char *running = job_fixture_submit(fixture, "wait", "running", "vm/1");
        job_fixture_until(fixture, running, HOSTLER_JOB_STATE_RUNNING);
        g_autofree char *waiting = job_fixture_submit(fixture, "quick", "waiting", "vm/1");
        g_autofree char *cancelled = job_fixture_submit(fixture, "quick", "cancelled", "vm/1");
        g_autofree char *dir = g_strdup(fixture->dir);
        job_fixture_close(fixture);

        job_fixture_open(fixture, dir);
        g_assert_true(job_queue_load(fixture->queue, NULL));
        g_autofree char *behind = job_fixture_submit(fixture, "quick", "behind", "vm/1");
        g_autofree char *elsewhere = job_fixture_submit(fixture, "quick", "elsewhere", "vm/2");
        g_autofree char *working = job_fixture_submit(fixture, "wait", "working", "vm/3");
        end_as(fixture, elsewhere, HOSTLER_JOB_STATE_DONE);
        job_fixture_until(fixture, working, HOSTLER_JOB_STATE_RUNNING);
        g_assert_true(job_cancel(fixture->queue, cancelled, NULL));
        end_as(fixture, cancelled, HOSTLER_JOB_STATE_CANCELLED);
        g_assert_cmpstr(fixture->manager.log->str, ==, "elsewhere ");

        g_assert_true(job_queue_recover(fixture->queue, NULL));
        g_atomic_int_set(&fixture->manager.gate, 1);
        end_as(fixture, working, HOSTLER_JOB_STATE_DONE);
        end_as(fixture, behind, HOSTLER_JOB_STATE_DONE);
        g_auto(GStrv) ran = g_strsplit(fixture->manager.log->str, "working ", 2);
        g_autofree char *others = g_strjoinv("", ran);
        g_assert_cmpstr(others, ==, "elsewhere running waiting behind ");
}

static void fill(const char *path)
{
        g_autofree char *bytes = g_malloc0(8 << 20);
        FILE *file = g_fopen(path, "w");
        setvbuf(file, NULL, _IONBF, 0);
        g_assert_cmpuint(fwrite(bytes, 1, 8 << 20, file), <, 8 << 20);
        fclose(file);
}

/* R5: the disk fills while a job runs. It ends for everyone who asks, and in the store as soon as there is room. */
test_case(test_full_disk)
{
        g_autofree char *mount_point = g_build_filename(fixture->dir, "small", NULL);
        g_assert_true(dir_ensure(mount_point, NULL));
        if (mount("none", mount_point, "tmpfs", 0, "size=8M") < 0) {
                g_test_skip("needs root for a small file system");
                return;
        }
        JobFixture small;
        job_fixture_open(&small, mount_point);
        g_autofree char *ballast = g_build_filename(mount_point, "ballast", NULL);
        g_autofree char *running = job_fixture_submit(&small, "wait", "running", "vm/1");
        job_fixture_until(&small, running, HOSTLER_JOB_STATE_RUNNING);
        fill(ballast);
        for (int i = 0; i < 300; i++)
                event_emit(small.events, "job-queued", "vm/web1", NULL);
        g_atomic_int_set(&small.manager.gate, 1);
        end_as(&small, running, HOSTLER_JOB_STATE_DONE);

        FakeArgs args = {.name = (char *)"x"};
        JobRequest request = job_fixture_request("quick", &args, "vm/1");
        g_autofree char *refused = NULL;
        g_autoptr(GError) error = NULL;
        g_assert_false(job_submit(small.queue, &request, &refused, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_READ_ONLY));
        JobRow row;
        g_assert_true(store_job_get(small.store, running, &row, NULL));
        g_assert_cmpstr(row.state, ==, "running");
        job_row_clear(&row);

        g_assert_cmpint(g_unlink(ballast), ==, 0);
        g_autofree char *next = job_fixture_submit(&small, "quick", "next", "vm/1");
        end_as(&small, next, HOSTLER_JOB_STATE_DONE);
        g_assert_true(store_job_get(small.store, running, &row, NULL));
        g_assert_cmpstr(row.state, ==, "done");
        job_row_clear(&row);
        job_fixture_close(&small);
        g_assert_cmpint(umount(mount_point), ==, 0);
}

static void bench(JobFixture *fixture, const char *verb, int count)
{
        gint64 start = g_get_monotonic_time();
        for (int i = 0; i < count; i++) {
                g_autofree char *id = job_fixture_submit(fixture, verb, "x", "vm/1");
                end_as(fixture, id, HOSTLER_JOB_STATE_DONE);
        }
        g_print("# fake.%s: %.0f us from submit to wait's return\n", verb,
                (double)(g_get_monotonic_time() - start) / count);
}

static void bench_writes(JobFixture *fixture, int count)
{
        VmRow vm = {.id = (char *)"a", .name = (char *)"a", .spec = (char *)"{}", .runtime = (char *)"{}"};
        g_assert_true(store_vm_insert(fixture->store, &vm, NULL));
        gint64 start = g_get_monotonic_time();
        for (int i = 0; i < count; i++)
                store_vm_set_runtime(fixture->store, STORE_PLAIN, "a", i % 2 ? "{}" : "{ }", NULL);
        gint64 plain = g_get_monotonic_time();
        for (int i = 0; i < count / 10; i++)
                store_vm_update(fixture->store, &vm, -1, NULL);
        gint64 durable = g_get_monotonic_time();
        for (int i = 0; i < count; i++)
                event_emit(fixture->events, "job-queued", "vm/web1", NULL);
        gint64 events = g_get_monotonic_time();
        g_print("# plain write %.1f us, durable write %.1f us, event %.1f us\n", (double)(plain - start) / count,
                (double)(durable - plain) / (count / 10), (double)(events - durable) / count);
}

test_case(run_bench)
{
        bench(fixture, "quick", 2000);
        bench(fixture, "build", 500);
        bench_writes(fixture, 2000);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *path;
                void (*run)(JobFixture *fixture, const void *data);
        } tests[] = {
            {"/job/quick", test_quick},
            {"/job/events", test_events},
            {"/job/list-result", test_list_result},
            {"/job/secret", test_secret},
            {"/job/failure", test_failure},
            {"/job/bad-undo", test_bad_undo},
            {"/job/slow-undo", test_slow_undo},
            {"/job/finish", test_finish},
            {"/job/late-failure", test_late_failure},
            {"/job/cancel/running", test_cancel_running},
            {"/job/cancel/queued", test_cancel_queued},
            {"/job/cancel/committed", test_cancel_committed},
            {"/job/turns", test_turns},
            {"/job/parallel", test_parallel},
            {"/job/urgent", test_urgent},
            {"/job/thousand", test_thousand},
            {"/job/idempotency", test_idempotency},
            {"/job/too-many", test_too_many},
            {"/job/plan", test_plan},
            {"/job/list", test_list},
            {"/job/wait", test_wait},
            {"/job/restart", test_restart},
            {"/job/requests-before-recovery", test_requests_before_recovery},
            {"/job/full-disk", test_full_disk},
        };
        bool wants_bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(tests) && !wants_bench; i++)
                g_test_add(tests[i].path, JobFixture, NULL, job_fixture_set_up, tests[i].run, job_fixture_tear_down);
        if (wants_bench)
                g_test_add("/job/bench", JobFixture, NULL, job_fixture_set_up, run_bench, job_fixture_tear_down);
        return g_test_run();
}
