/*
 * A job's life on its worker thread: begin, the verb's function, undo or finish, end. The order at the end is what
 * others rely on: the row is written, then the API shows it, then the event is emitted, then the next job gets the
 * turn. Called by the thread pool and recover.c.
 */
#include "job/job_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Ended jobs are kept for a day, and the newest of them longer; looked at once per PRUNE_INTERVAL ends. */
#define KEPT_MS (24 * 60 * 60 * 1000LL)
#define KEPT_ALWAYS 1000
#define PRUNE_INTERVAL 256
#define HOLD_POLL_US 1000

static bool enter(JobQueue *queue, Job *job);
static void leave(JobQueue *queue);
static bool begin(Job *job, GError **error);
static bool is_interrupted(Job *job, bool ok);
static bool settle(Job *job, bool ok);
static HostlerJobState clean_up(Job *job, bool cancelled, GError **error);
static GError *cancel_error(Job *job, GError *error_taken);
static bool publish(Job *job, HostlerJobState state, const GError *error, const json_t *result);
static void emit(Job *job, const char *kind, const char *state, const GError *error);
static char *problem_text(const GError *error);
static void prune(JobQueue *queue);

void job_run(void *data, void *queue_data)
{
        JobQueue *queue = queue_data;
        if (!enter(queue, data))
                return;
        g_autoptr(Job) job = job_ref(data);
        GError *error = NULL;
        json_t *result = NULL;
        bool ok = begin(job, &error) && job_call(job, &result, &error);
        if (is_interrupted(job, ok)) {
                g_clear_error(&error);
        } else {
                bool written = job_conclude(job, error, result);
                job_leave(queue, job, written);
                job_write_unwritten(queue);
                prune(queue);
        }
        leave(queue);
}

bool job_call(Job *job, json_t **ret_result, GError **error)
{
        const VerbDecl *decl = job->verb->decl;
        bool is_list = decl->result_shape == RESULT_LIST;
        /* All generated lists are of one shape: a pointer and a count. */
        size_t size = !decl->result ? 0 : is_list ? sizeof(HostlerJobList) : decl->result->size;
        g_autofree void *result = g_malloc0(size);

        GError *failure = NULL;
        bool ok = job->verb->job(job, job->args, result, &failure);
        if (!ok && !failure)
                error_set(&failure, HOSTLER_ERROR_FAILED, job->shown.object, "%s failed without a reason", decl->id);
        if (!ok)
                g_propagate_error(error, failure);
        if (ok && result)
                *ret_result = is_list ? record_list_to_json(decl->result, result, RECORD_SHOWN)
                                      : record_to_json(decl->result, result, RECORD_SHOWN);
        /* Also what a verb had filled in before it failed. */
        if (is_list)
                record_list_clear(decl->result, result);
        else if (result)
                record_clear(decl->result, result);
        return ok;
}

bool job_conclude(Job *job, GError *error_taken, json_t *result_taken)
{
        bool cancelled = settle(job, !error_taken);
        g_autoptr(GError) error = cancelled ? cancel_error(job, error_taken) : error_taken;
        HostlerJobState state = clean_up(job, cancelled, &error);
        bool written = publish(job, state, error, state == HOSTLER_JOB_STATE_DONE ? result_taken : NULL);
        json_decref(result_taken);
        emit(job, "job-ended", hostler_job_state_enum.values[state], error);
        return written;
}

void job_write_unwritten(JobQueue *queue)
{
        g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
        GHashTableIter iter;
        Job *job;
        g_mutex_lock(&queue->lock);
        g_hash_table_iter_init(&iter, queue->jobs);
        while (queue->has_unwritten && g_hash_table_iter_next(&iter, NULL, (void **)&job))
                if (job->unwritten)
                        g_ptr_array_add(jobs, job_ref(job));
        queue->has_unwritten = false;
        g_mutex_unlock(&queue->lock);

        for (guint i = 0; i < jobs->len; i++) {
                job = g_ptr_array_index(jobs, i);
                g_autofree char *args = job_args_shown(job);
                bool written = job_write(job, STORE_PLAIN, &job->shown, args, NULL);
                g_mutex_lock(&queue->lock);
                if (written)
                        g_hash_table_remove(queue->jobs, job->shown.id);
                else
                        queue->has_unwritten = true;
                g_mutex_unlock(&queue->lock);
        }
}

/* @where: verb:point or verb:point:N. @ret_wanted: N, 1 without. */
static bool is_point(const Job *job, const char *where, const char *point, guint64 *ret_wanted)
{
        g_auto(GStrv) parts = g_strsplit(where, ":", 3);
        if (g_strv_length(parts) < 2 || strcmp(parts[0], job->shown.verb) != 0 || strcmp(parts[1], point) != 0)
                return false;
        *ret_wanted = parts[2] ? g_ascii_strtoull(parts[2], NULL, 10) : 1;
        return true;
}

/* The Nth step of that name in this job; of other points each. */
static bool is_held_at(const Job *job, const char *where, const char *point)
{
        guint64 wanted, hits = 0;
        if (!is_point(job, where, point, &wanted))
                return false;
        for (size_t i = 0; i < job->shown.steps.count; i++)
                hits += strcmp(job->shown.steps.items[i].name, point) == 0;
        return hits == 0 || hits == wanted;
}

static void hold(const Job *job, const char *point)
{
        const char *file = g_getenv("HOSTLER_HOLD_AT");
        g_autofree char *where = NULL, *held = file ? g_strconcat(file, ".held", NULL) : NULL;
        if (!file || !g_file_get_contents(file, &where, NULL, NULL) || !is_held_at(job, g_strchomp(where), point))
                return;
        g_file_set_contents(held, where, -1, NULL);
        while (g_file_test(file, G_FILE_TEST_EXISTS))
                g_usleep(HOLD_POLL_US);
        g_remove(held);
}

void job_crash_point(Job *job, const char *point)
{
        const char *where = g_getenv("HOSTLER_CRASH_AT");
        guint64 wanted;
        hold(job, point);
        if (!where || !is_point(job, where, point, &wanted))
                return;
        g_mutex_lock(&job->queue->lock);
        guint hits = ++job->queue->crash_hits;
        g_mutex_unlock(&job->queue->lock);
        if (hits == wanted)
                raise(SIGKILL);
}

/* False if the queue is being freed: then the job stays for the next start. */
static bool enter(JobQueue *queue, Job *job)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        if (queue->closing)
                return false;
        queue->active++;
        return true;
}

static void leave(JobQueue *queue)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        queue->active--;
        g_cond_broadcast(&queue->ended);
}

/* A job whose beginning cannot be written does not begin: after a crash it would be taken for one that never ran. */
static bool begin(Job *job, GError **error)
{
        if (!job_check_cancelled(job, error))
                return false;
        job->started_ms = job->started_ms ? job->started_ms : clock_unix_ms();
        g_mutex_lock(&job->queue->lock);
        job->shown.state = HOSTLER_JOB_STATE_RUNNING;
        if (!job->shown.started)
                job->shown.started = time_format(job->started_ms);
        g_mutex_unlock(&job->queue->lock);
        if (!job_write(job, STORE_PLAIN, &job->shown, NULL, error))
                return false;
        emit(job, "job-started", NULL, NULL);
        return true;
}

/* A verb that failed because the daemon ends is left as it stands and recovered at the next start. */
static bool is_interrupted(Job *job, bool ok)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        return !ok && job->queue->closing && !job->cancel_reason;
}

/* From here on nobody can cancel it. True if it ends because somebody did. */
static bool settle(Job *job, bool ok)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        bool cancelled = !ok && job->cancel_reason && !journal_is_committed(job->journal);
        job->settled = true;
        return cancelled;
}

/* Gives the state in which the job ends; undo or finish operations that fail make it FAILED. */
static HostlerJobState clean_up(Job *job, bool cancelled, GError **error)
{
        if (*error && !journal_is_committed(job->journal)) {
                bool undone = journal_run_undo(job, error);
                return cancelled && undone ? HOSTLER_JOB_STATE_CANCELLED : HOSTLER_JOB_STATE_FAILED;
        }
        if (!journal_is_committed(job->journal) && json_array_size(json_object_get(job->journal, "finish")) > 0) {
                StoreDurability durability = journal_weight(job->journal);
                journal_commit(job->journal);
                job_write(job, durability, &job->shown, NULL, NULL);
        }
        journal_run_finish(job, error);
        return *error ? HOSTLER_JOB_STATE_FAILED : HOSTLER_JOB_STATE_DONE;
}

/* Says who cancelled; what the verb said itself is kept if it was something else. */
static GError *cancel_error(Job *job, GError *error_taken)
{
        GError *error = NULL;
        job_check_cancelled(job, &error);
        if (!error_is(error_taken, HOSTLER_ERROR_CANCELLED) &&
            !g_error_matches(error_taken, G_IO_ERROR, G_IO_ERROR_CANCELLED))
                error_cause(&error, NULL, "%s", error_taken->message);
        g_error_free(error_taken);
        return error;
}

/* The row first, so that nobody sees an end that a crash could take back. */
static bool publish(Job *job, HostlerJobState state, const GError *error, const json_t *result)
{
        job_crash_point(job, "@end");
        job->ended_ms = clock_unix_ms();
        HostlerJob end = job->shown;
        end.state = state;
        end.ended = time_format(job->ended_ms);
        end.error = error ? problem_text(error) : NULL;
        end.result = result ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        if (state == HOSTLER_JOB_STATE_DONE && !isnan(end.progress))
                end.progress = 100;
        g_autofree char *args = job_args_shown(job);
        StoreDurability durability = state == HOSTLER_JOB_STATE_DONE ? journal_weight(job->journal) : STORE_PLAIN;
        bool written = job_write(job, durability, &end, args, NULL);

        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        job->shown = end;
        g_cond_broadcast(&job->queue->ended);
        return written;
}

static void emit(Job *job, const char *kind, const char *state, const GError *error)
{
        event_emit(job->queue->events, kind, job->shown.object,
                   json_pack("{s:s, s:s, s:s*, s:s*}", "job", job->shown.id, "verb", job->shown.verb, "state", state,
                             "detail", error ? error->message : NULL));
}

static char *problem_text(const GError *error)
{
        json_t *problem = error_to_json(error);
        char *text = json_dumps(problem, JSON_COMPACT);
        json_decref(problem);
        return text;
}

static void prune(JobQueue *queue)
{
        g_mutex_lock(&queue->lock);
        bool due = queue->until_prune == 0;
        queue->until_prune = due ? PRUNE_INTERVAL : queue->until_prune - 1;
        g_mutex_unlock(&queue->lock);
        if (due)
                store_job_prune(queue->store, clock_unix_ms() - KEPT_MS, KEPT_ALWAYS, NULL);
}
