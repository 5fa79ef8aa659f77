/*
 * Verbs and operations for the tests of jobs. Defines verb_handlers[] in the place of the daemon's table.
 */
#include "job-fixture.h"

#include "base/error.h"
#include "base/file.h"

#include "hostler-records.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
        char *text;
} FakeResult;

typedef struct {
        FakeResult *items;
        size_t count;
} FakeResultList;

static void note(Manager *manager, const char *text)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&manager->lock);
        g_string_append_printf(manager->log, "%s ", text);
}

static bool make_file(Manager *manager, const char *name)
{
        g_autofree char *path = g_build_filename(manager->dir, name, NULL);
        return g_file_set_contents(path, "", 0, NULL);
}

static bool quick(Job *job, const void *args, void *ret_result, GError **error)
{
        const FakeArgs *fake = args;
        note(job_manager(job), fake->name);
        ((FakeResult *)ret_result)->text = g_strdup(fake->name);
        return true;
}

static bool list(Job *job, const void *args, void *ret_result, GError **error)
{
        FakeResultList *results = ret_result;
        results->items = g_new0(FakeResult, 2);
        results->count = 2;
        results->items[0].text = g_strdup("a");
        results->items[1].text = g_strdup("b");
        return true;
}

static bool fail(Job *job, const void *args, void *ret_result, GError **error)
{
        const FakeArgs *fake = args;
        const char *last = strcmp(fake->name, "bad-undo") == 0    ? "refuse"
                           : strcmp(fake->name, "slow-undo") == 0 ? "hang"
                                                                  : "remove";
        return job_undo(job, "remove", json_string("one"), error) && make_file(job_manager(job), "one") &&
               job_undo(job, last, json_string("two"), error) && make_file(job_manager(job), "two") &&
               job_undo(job, "remove", json_string("three"), error) &&
               error_set(error, HOSTLER_ERROR_NO_CAPACITY, "vm/web1", "there is no room for %s", fake->name);
}

static bool late_fail(Job *job, const void *args, void *ret_result, GError **error)
{
        return job_undo(job, "remove", json_string("one"), error) && make_file(job_manager(job), "one") &&
               job_finish(job, "make", json_string("end"), error) && job_commit(job, error) &&
               error_set(error, HOSTLER_ERROR_FAILED, "vm/web1", "too late");
}

/* Waits for the gate or its cancellation; "deaf" ones hear neither, "committed" ones are past their point of no return.
 */
static bool wait_for_gate(Job *job, const void *args, void *ret_result, GError **error)
{
        const FakeArgs *fake = args;
        Manager *manager = job_manager(job);
        if (!job_step(job, "wait", "wait at the gate") || !job_undo(job, "remove", json_string(fake->name), error) ||
            !make_file(manager, fake->name) || (strcmp(fake->name, "committed") == 0 && !job_commit(job, error)))
                return job_is_dry_run(job);
        int running = g_atomic_int_add(&manager->running, 1) + 1;
        int most = g_atomic_int_get(&manager->most);
        while (running > most && !g_atomic_int_compare_and_exchange(&manager->most, most, running))
                most = g_atomic_int_get(&manager->most);
        job_progress(job, 50, "half way");
        bool ok = true;
        while (ok && !g_atomic_int_get(&manager->gate)) {
                g_usleep(500);
                ok = strcmp(fake->name, "committed") == 0 || job_check_cancelled(job, error);
        }
        g_atomic_int_add(&manager->running, -1);
        if (ok)
                note(manager, fake->name);
        return ok;
}

/* Three files and a mark at the end, the way verbs are meant to be written. */
static bool build(Job *job, const void *args, void *ret_result, GError **error)
{
        static const char *const files[] = {"one", "two", "three"};
        Manager *manager = job_manager(job);
        for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
                if (!job_undo(job, "remove", json_string(files[i]), error))
                        return false;
                if (job_step(job, files[i], "make %s", files[i]) && !make_file(manager, files[i]))
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "cannot make %s", files[i]);
                if (!job_remember(job, "last", json_string(files[i]), error))
                        return false;
        }
        if (strcmp(((const FakeArgs *)args)->name, "fail") == 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "as it was told");
        return job_finish(job, "make", json_string("mark"), error) && job_commit(job, error) &&
               (!job_step(job, "after", "be done") || make_file(manager, "after"));
}

static bool operation_remove(Manager *manager, const json_t *args, GError **error)
{
        g_autofree char *path = g_build_filename(manager->dir, json_string_value(args), NULL);
        note(manager, json_string_value(args));
        return g_remove(path) == 0 || !g_file_test(path, G_FILE_TEST_EXISTS);
}

static bool operation_make(Manager *manager, const json_t *args, GError **error)
{
        return make_file(manager, json_string_value(args));
}

static bool operation_refuse(Manager *manager, const json_t *args, GError **error)
{
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the file is stuck");
}

static bool operation_hang(Manager *manager, const json_t *args, GError **error)
{
        g_atomic_int_inc(&manager->hanging);
        while (!g_atomic_int_get(&manager->gate))
                g_usleep(1000);
        g_atomic_int_add(&manager->hanging, -1);
        return true;
}

static const JobOperation operations[] = {
    {"remove", operation_remove},
    {"make", operation_make},
    {"refuse", operation_refuse},
    {"hang", operation_hang},
    {NULL, NULL},
};

static const Field arg_fields[] = {
    {.name = "name",
     .type = FIELD_STRING,
     .offset = offsetof(FakeArgs, name),
     .min = HOSTLER_UNSET,
     .max = HOSTLER_UNSET},
    {.name = "secret",
     .type = FIELD_STRING,
     .flags = FIELD_SECRET,
     .offset = offsetof(FakeArgs, secret),
     .min = HOSTLER_UNSET,
     .max = HOSTLER_UNSET},
};
static const RecordType args_type = {
    .name = "fake_args", .size = sizeof(FakeArgs), .fields = arg_fields, .n_fields = 2};
static const Field result_fields[] = {
    {.name = "text",
     .type = FIELD_STRING,
     .offset = offsetof(FakeResult, text),
     .min = HOSTLER_UNSET,
     .max = HOSTLER_UNSET},
};
static const RecordType result_type = {
    .name = "fake", .size = sizeof(FakeResult), .fields = result_fields, .n_fields = 1};

#define DECL(verb, recovery)                                                                                           \
        .id = "fake." verb, .noun = "fake", .name = verb, .kind = VERB_JOB, .method = "POST", .role = ROLE_OPERATOR,   \
        .recover = recovery, .args = &args_type
static const VerbDecl decls[] = {
    {DECL("quick", RECOVER_RERUN), .result = &result_type, .result_shape = RESULT_ONE},
    {DECL("list", RECOVER_RERUN), .result = &result_type, .result_shape = RESULT_LIST},
    {DECL("fail", RECOVER_UNDO)},
    {DECL("late", RECOVER_UNDO)},
    {DECL("wait", RECOVER_RERUN)},
    {DECL("build", RECOVER_UNDO)},
    {DECL("again", RECOVER_RERUN)},
};

const Verb verb_handlers[] = {
    {.decl = &decls[0], .job = quick},         {.decl = &decls[1], .job = list},
    {.decl = &decls[2], .job = fail},          {.decl = &decls[3], .job = late_fail},
    {.decl = &decls[4], .job = wait_for_gate}, {.decl = &decls[5], .job = build},
    {.decl = &decls[6], .job = build},         {.decl = NULL},
};

static const Caller caller = {.uid = 1000, .gid = 1000, .pid = 1, .role = ROLE_OPERATOR};

void job_fixture_open(JobFixture *fixture, const char *dir)
{
        g_autoptr(GError) error = NULL;
        fixture->dir = g_strdup(dir);
        fixture->path = g_build_filename(dir, "state.db", NULL);
        fixture->manager = (Manager){.dir = fixture->dir, .log = g_string_new(NULL)};
        g_mutex_init(&fixture->manager.lock);
        fixture->store = store_open(fixture->path, &error);
        g_assert_no_error(error);
        fixture->events = event_log_new(fixture->store, NULL);
        fixture->queue = job_queue_new(fixture->store, fixture->events, &fixture->manager, operations);
}

void job_fixture_close(JobFixture *fixture)
{
        job_queue_free(fixture->queue);
        event_log_free(fixture->events);
        store_close(fixture->store);
        g_string_free(fixture->manager.log, true);
        g_mutex_clear(&fixture->manager.lock);
        g_free(fixture->path);
        g_free(fixture->dir);
}

void job_fixture_set_up(JobFixture *fixture, const void *data)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-job-XXXXXX", NULL);
        job_fixture_open(fixture, dir);
}

void job_fixture_tear_down(JobFixture *fixture, const void *data)
{
        g_autofree char *dir = g_strdup(fixture->dir);
        job_fixture_close(fixture);
        g_assert_true(dir_remove(dir, NULL));
}

JobRequest job_fixture_request(const char *verb, const FakeArgs *args, const char *turn_key)
{
        const Verb *found = verb_handlers;
        while (found->decl && strcmp(found->decl->name, verb) != 0)
                found++;
        g_assert_nonnull(found->decl);
        return (JobRequest){
            .verb = found, .args = args, .object = (char *)"vm/web1", .turn_key = (char *)turn_key, .caller = &caller};
}

char *job_fixture_submit(JobFixture *fixture, const char *verb, const char *name, const char *turn_key)
{
        g_autoptr(GError) error = NULL;
        FakeArgs args = {.name = (char *)name};
        JobRequest request = job_fixture_request(verb, &args, turn_key);
        char *id = NULL;
        job_submit(fixture->queue, &request, &id, &error);
        g_assert_no_error(error);
        return id;
}

HostlerJob job_fixture_wait(JobFixture *fixture, const char *id)
{
        g_autoptr(GError) error = NULL;
        HostlerJob job;
        job_wait(fixture->queue, id, 20000, &error);
        g_assert_no_error(error);
        job_get(fixture->queue, id, &job, &error);
        g_assert_no_error(error);
        return job;
}

bool job_fixture_has(JobFixture *fixture, const char *file)
{
        g_autofree char *path = g_build_filename(fixture->dir, file, NULL);
        return g_file_test(path, G_FILE_TEST_EXISTS);
}

void job_fixture_until(JobFixture *fixture, const char *id, HostlerJobState state)
{
        for (int i = 0; i < 10000; i++) {
                HostlerJob job;
                g_assert_true(job_get(fixture->queue, id, &job, NULL));
                bool reached = job.state == state && (state != HOSTLER_JOB_STATE_RUNNING || job.progress == 50);
                record_clear(&hostler_job_type, &job);
                if (reached)
                        return;
                g_usleep(1000);
        }
        g_assert_not_reached();
}
