/*
 * What a verb's function calls on its job's thread: steps, progress, the undo and finish lists, the point of no return,
 * facts. Each call that must outlive the daemon writes the row before it returns. In a dry run nothing is written and
 * nothing is kept but the steps.
 */
#include "job/job_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

/* A job that has more keeps replacing its last one: steps are for people. */
#define STEPS_LIMIT 1000

static void add_step(Job *job, const char *name, const char *detail);
static HostlerJobStep *next_step(HostlerJobStepList *steps);
static bool record(Job *job, const char *list, const char *operation, json_t *args_taken, GError **error);

Manager *job_manager(Job *job)
{
        return job->queue->manager;
}

const Caller *job_caller(Job *job)
{
        return &job->caller;
}

const char *job_id(Job *job)
{
        return job->shown.id;
}

GCancellable *job_cancellable(Job *job)
{
        return job->cancellable;
}

bool job_is_dry_run(Job *job)
{
        return job->dry_run;
}

/* A step that cannot be written is no reason to stop: what must be known after a crash is in the undo list, which
 * answers. */
bool job_step(Job *job, const char *name, const char *format, ...)
{
        va_list values;
        va_start(values, format);
        g_autofree char *detail = g_strdup_vprintf(format, values);
        va_end(values);
        add_step(job, name, detail);
        if (job->dry_run)
                return false;
        job_write(job, STORE_PLAIN, &job->shown, NULL, NULL);
        job_crash_point(job, name);
        return true;
}

void job_progress(Job *job, double percent, const char *format, ...)
{
        va_list values;
        va_start(values, format);
        char *message = g_strdup_vprintf(format, values);
        va_end(values);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        job->shown.progress = CLAMP(percent, 0, 100);
        g_free(job->shown.message);
        job->shown.message = message;
}

bool job_undo(Job *job, const char *operation, json_t *args_taken, GError **error)
{
        return record(job, "undo", operation, args_taken, error);
}

bool job_finish(Job *job, const char *operation, json_t *args_taken, GError **error)
{
        return record(job, "finish", operation, args_taken, error);
}

bool job_commit(Job *job, GError **error)
{
        if (job->dry_run)
                return true;
        g_mutex_lock(&job->queue->lock);
        bool settled = job->settled = !job->cancel_reason && !job->queue->closing;
        g_mutex_unlock(&job->queue->lock);
        if (!settled)
                return job_check_cancelled(job, error);

        json_t *before = json_deep_copy(job->journal);
        StoreDurability durability = journal_weight(job->journal);
        journal_commit(job->journal);
        if (job_write(job, durability, &job->shown, NULL, error)) {
                json_decref(before);
                job_crash_point(job, "@commit");
                return true;
        }
        json_decref(job->journal);
        job->journal = before;
        g_mutex_lock(&job->queue->lock);
        job->settled = false;
        g_mutex_unlock(&job->queue->lock);
        return false;
}

bool job_remember(Job *job, const char *name, json_t *value_taken, GError **error)
{
        json_object_set_new(json_object_get(job->journal, "data"), name, value_taken);
        return job->dry_run || job_write(job, STORE_PLAIN, &job->shown, NULL, error);
}

const json_t *job_recall(Job *job, const char *name)
{
        return json_object_get(json_object_get(job->journal, "data"), name);
}

bool job_check_cancelled(Job *job, GError **error)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        if (job->cancel_reason)
                return error_set(error, HOSTLER_ERROR_CANCELLED, job->shown.object, "%s was cancelled %s",
                                 job->shown.verb, job->cancel_reason);
        if (job->queue->closing)
                return error_set(error, HOSTLER_ERROR_CANCELLED, job->shown.object,
                                 "%s was interrupted by the end of the daemon", job->shown.verb);
        return true;
}

static void add_step(Job *job, const char *name, const char *detail)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->queue->lock);
        HostlerJobStep *step = next_step(&job->shown.steps);
        *step = (HostlerJobStep){
            .name = g_strdup(name), .detail = g_strdup(detail), .started = time_format(clock_unix_ms())};
        g_free(job->shown.message);
        job->shown.message = g_strdup(detail);
}

static HostlerJobStep *next_step(HostlerJobStepList *steps)
{
        if (steps->count == STEPS_LIMIT) {
                record_clear(&hostler_job_step_type, &steps->items[STEPS_LIMIT - 1]);
                return &steps->items[STEPS_LIMIT - 1];
        }
        steps->items = g_renew(HostlerJobStep, steps->items, steps->count + 1);
        return &steps->items[steps->count++];
}

static bool record(Job *job, const char *list, const char *operation, json_t *args_taken, GError **error)
{
        if (job->dry_run) {
                json_decref(args_taken);
                return true;
        }
        if (!journal_add(job->journal, list, operation, args_taken) ||
            job_write(job, STORE_PLAIN, &job->shown, NULL, error))
                return true;
        journal_drop_last(job->journal, list);
        return false;
}
