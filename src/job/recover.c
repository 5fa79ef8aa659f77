/*
 * Recovery: what a dead daemon left. Jobs that waited wait again; jobs that ran are undone, finished or run again, as
 * their verb declares. They are read, and have their turns, before the daemon takes requests, so a new job never gets
 * in between; they go on once the VMs are adopted.
 */
#include "job/job_internal.h"

#include "base/error.h"

#include <limits.h>

/* A job that ran this often and never ended probably takes the daemon down with it: then it is undone instead. */
#define ATTEMPTS_LIMIT 5

static bool load_state(JobQueue *queue, HostlerJobState state, GError **error);
static void recover_one(JobQueue *queue, Job *job);
static bool may_run_again(const Job *job);
static void run_again(JobQueue *queue, Job *job);
static void end_now(JobQueue *queue, Job *job);
static void add_id(const JobRow *row, void *data);

/* Those that ran had their turns, so they come first; then those that waited, in the order in which they came. */
bool job_queue_load(JobQueue *queue, GError **error)
{
        queue->left = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
        return load_state(queue, HOSTLER_JOB_STATE_RUNNING, error) &&
               load_state(queue, HOSTLER_JOB_STATE_QUEUED, error);
}

bool job_queue_recover(JobQueue *queue, GError **error)
{
        if (!queue->left && !job_queue_load(queue, error))
                return false;
        for (guint i = 0; i < queue->left->len; i++)
                recover_one(queue, g_ptr_array_index(queue->left, i));
        g_ptr_array_set_size(queue->left, 0);
        return true;
}

static bool load_state(JobQueue *queue, HostlerJobState state, GError **error)
{
        g_autoptr(GPtrArray) newest_first = g_ptr_array_new_with_free_func(g_free);
        if (!store_job_each(queue->store, hostler_job_state_enum.values[state], NULL, NULL, INT_MAX, add_id,
                            newest_first, error))
                return false;
        for (guint i = newest_first->len; i-- > 0;) {
                JobRow row = {0};
                if (!store_job_get(queue->store, g_ptr_array_index(newest_first, i), &row, error))
                        return false;
                Job *job = job_from_row(queue, &row);
                job_row_clear(&row);
                job->recovered = state == HOSTLER_JOB_STATE_RUNNING;
                job_adopt(queue, job);
                g_ptr_array_add(queue->left, job);
        }
        return true;
}

/* One that waited may have been cancelled meanwhile, and has ended then. */
static void recover_one(JobQueue *queue, Job *job)
{
        g_mutex_lock(&queue->lock);
        bool ended = job_state_is_end(job->shown.state);
        g_mutex_unlock(&queue->lock);
        if (ended)
                return;
        if (may_run_again(job))
                run_again(queue, job);
        else
                end_now(queue, job);
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
        if (job->recovered) {
                json_t *attempts = json_object_get(job->journal, "attempts");
                json_integer_set(attempts, json_integer_value(attempts) + 1);
                job_write(job, STORE_PLAIN, &job->shown, NULL, NULL);
                g_mutex_lock(&queue->lock);
                job->shown.state = HOSTLER_JOB_STATE_QUEUED;
                g_mutex_unlock(&queue->lock);
        }
        job_let_go(queue, job);
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
        job_take_over(queue, job);
        job_leave(queue, job, job_conclude(job, error, NULL));
}

static void add_id(const JobRow *row, void *data)
{
        g_ptr_array_add(data, g_strdup(row->id));
}
