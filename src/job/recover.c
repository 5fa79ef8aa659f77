/*
 * Recovery: what a dead daemon left. Jobs that waited wait again; jobs that ran are undone, finished or run again, as
 * their verb declares. Called once by the daemon, before it takes requests.
 */
#include "job/job_internal.h"

#include "base/error.h"

#include <limits.h>

/* A job that ran this often and never ended probably takes the daemon down with it: then it is undone instead. */
#define ATTEMPTS_LIMIT 5

static bool recover_state(JobQueue *queue, HostlerJobState state, GError **error);
static bool recover_one(JobQueue *queue, const char *id, GError **error);
static bool may_run_again(const Job *job);
static void run_again(JobQueue *queue, Job *job);
static void end_now(JobQueue *queue, Job *job);
static void add_id(const JobRow *row, void *data);

/* Those that ran had their turns, so they come first; then those that waited, in the order in which they came. */
bool job_queue_recover(JobQueue *queue, GError **error)
{
        return recover_state(queue, HOSTLER_JOB_STATE_RUNNING, error) &&
               recover_state(queue, HOSTLER_JOB_STATE_QUEUED, error);
}

static bool recover_state(JobQueue *queue, HostlerJobState state, GError **error)
{
        g_autoptr(GPtrArray) newest_first = g_ptr_array_new_with_free_func(g_free);
        if (!store_job_each(queue->store, hostler_job_state_enum.values[state], NULL, NULL, INT_MAX, add_id,
                            newest_first, error))
                return false;
        for (guint i = newest_first->len; i-- > 0;)
                if (!recover_one(queue, g_ptr_array_index(newest_first, i), error))
                        return false;
        return true;
}

static bool recover_one(JobQueue *queue, const char *id, GError **error)
{
        JobRow row = {0};
        if (!store_job_get(queue->store, id, &row, error))
                return false;
        g_autoptr(Job) job = job_from_row(queue, &row);
        job_row_clear(&row);
        if (may_run_again(job))
                run_again(queue, job);
        else
                end_now(queue, job);
        return true;
}

static bool may_run_again(const Job *job)
{
        if (!job->args)
                return false;
        if (job->shown.state == HOSTLER_JOB_STATE_QUEUED)
                return true;
        json_int_t attempts = json_integer_value(json_object_get(job->journal, "attempts"));
        return job->verb->decl->recover == RECOVER_RERUN && attempts < ATTEMPTS_LIMIT;
}

/* The undo list of the first run stays: if the second one fails, both are undone. The row stays `running` for the case
 * of another crash. */
static void run_again(JobQueue *queue, Job *job)
{
        if (job->shown.state == HOSTLER_JOB_STATE_RUNNING) {
                json_t *attempts = json_object_get(job->journal, "attempts");
                json_integer_set(attempts, json_integer_value(attempts) + 1);
                job_write(job, &job->shown, NULL, NULL);
                job->recovered = true;
                job->shown.state = HOSTLER_JOB_STATE_QUEUED;
        }
        job_adopt(queue, job);
        job_enqueue(queue, job);
}

/* A job past its point of no return is finished and thereby done; what it would have answered is lost with the old
 * daemon. */
static void end_now(JobQueue *queue, Job *job)
{
        GError *error = NULL;
        if (!job->verb || !job->args)
                error_set(&error, HOSTLER_ERROR_UNSUPPORTED, job->shown.object,
                          "%s was left by another version of Hostler and can no longer run", job->shown.verb);
        else if (!journal_is_committed(job->journal))
                error_set(&error, HOSTLER_ERROR_FAILED, job->shown.object,
                          "the daemon was restarted while %s ran; what it had done was undone", job->shown.verb);
        job_adopt(queue, job);
        job_leave(queue, job, job_conclude(job, error, NULL));
}

static void add_id(const JobRow *row, void *data)
{
        g_ptr_array_add(data, g_strdup(row->id));
}
