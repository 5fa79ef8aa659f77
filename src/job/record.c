/*
 * A job's three shapes: the live one, its row in the store, and what the API shows. Writes rows, reads them back after
 * a restart, and answers job_get and job_list from whichever is at hand. Called by src/api and the other files of this
 * folder.
 */
#include "job/job_internal.h"

#include "base/error.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
        JobQueue *queue;
        HostlerJobState state; /* ABSENT: any */
        GArray *jobs;          /* HostlerJob */
} Listing;

static char *args_text(const Job *job, RecordAudience audience);
static char *steps_text(const HostlerJobStepList *steps);
static char *text_of(json_t *json_taken);
static HostlerJob shown_of(const JobRow *row);
static HostlerJobStepList steps_of(const char *text);
static HostlerJobState state_of(const char *name);
static const Verb *verb_of(const char *id);
static void *args_of(const Verb *verb, const char *text);
static json_t *journal_of(const char *text);
static bool get_live(JobQueue *queue, const char *id, HostlerJob *ret_job);
static void add_to_listing(const JobRow *row, void *data);

bool job_get(JobQueue *queue, const char *id, HostlerJob *ret_job, GError **error)
{
        if (get_live(queue, id, ret_job))
                return true;
        JobRow row = {0};
        if (!store_job_get(queue->store, id, &row, error))
                return false;
        *ret_job = shown_of(&row);
        job_row_clear(&row);
        return true;
}

bool job_list(JobQueue *queue, const HostlerJobLsArgs *args, HostlerJobList *ret_jobs, GError **error)
{
        Listing listing = {queue, args->state, g_array_new(false, false, sizeof(HostlerJob))};
        const char *state = args->state ? hostler_job_state_enum.values[args->state] : NULL;
        bool ok = store_job_each(queue->store, state, args->object, args->cursor, (int)args->limit, add_to_listing,
                                 &listing, error);
        HostlerJobList jobs = {(HostlerJob *)listing.jobs->data, listing.jobs->len};
        g_array_free(listing.jobs, false);
        if (ok)
                *ret_jobs = jobs;
        else
                record_list_clear(&hostler_job_type, &jobs);
        return ok;
}

/* Arguments are stored with their secrets as long as a rerun may need them. */
bool job_insert(Job *job, GError **error)
{
        g_autofree char *args = args_text(job, RECORD_STORED);
        g_autofree char *journal = json_dumps(job->journal, JSON_COMPACT);
        JobRow row = {
            .id = job->shown.id,
            .verb = job->shown.verb,
            .object = job->shown.object,
            .args = args,
            .state = (char *)hostler_job_state_enum.values[HOSTLER_JOB_STATE_QUEUED],
            .steps = (char *)"[]",
            .journal = journal,
            .key = job->key,
            .request_hash = job->request_hash,
            .uid = job->caller.uid,
            .created_ms = job->created_ms,
            .progress = -1,
        };
        return store_job_insert(job->queue->store, &row, error);
}

bool job_write(Job *job, StoreDurability durability, const HostlerJob *shown, const char *args, GError **error)
{
        if (g_atomic_int_get(&job->queue->abandoned))
                return error_set(error, HOSTLER_ERROR_BUSY, shown->object, "the daemon is ending");
        bool ended = job_state_is_end(shown->state);
        g_autofree char *steps = steps_text(&shown->steps);
        g_autofree char *journal = ended ? g_strdup("{}") : json_dumps(job->journal, JSON_COMPACT);
        JobRow row = {
            .id = shown->id,
            .args = (char *)args,
            .state = (char *)hostler_job_state_enum.values[shown->state],
            .steps = steps,
            .journal = journal,
            .error = shown->error,
            .result = shown->result,
            .started_ms = job->started_ms,
            .ended_ms = job->ended_ms,
            .progress = isnan(shown->progress) ? -1 : shown->progress,
        };
        return store_job_update(job->queue->store, durability, &row, error);
}

Job *job_from_row(JobQueue *queue, const JobRow *row)
{
        Job *job = g_new0(Job, 1);
        job->references = 1;
        job->queue = queue;
        job->verb = verb_of(row->verb);
        job->args = args_of(job->verb, row->args);
        job->journal = journal_of(row->journal);
        job->turn_key = g_strdup(json_string_value(json_object_get(job->journal, "turn")));
        job->urgent = json_is_true(json_object_get(job->journal, "urgent"));
        job->settled = journal_is_committed(job->journal);
        job->key = g_strdup(row->key);
        job->request_hash = g_strdup(row->request_hash);
        /* Its role was looked at when it was asked for. */
        job->caller =
            (Caller){.uid = (uid_t)row->uid, .gid = (gid_t)-1, .role = job->verb ? job->verb->decl->role : ROLE_NONE};
        job->created_ms = row->created_ms;
        job->started_ms = row->started_ms;
        job->cancellable = g_cancellable_new();
        job->shown = shown_of(row);
        return job;
}

char *job_args_shown(const Job *job)
{
        return job->args ? args_text(job, RECORD_SHOWN) : g_strdup("{}");
}

bool job_state_is_end(HostlerJobState state)
{
        return state == HOSTLER_JOB_STATE_DONE || state == HOSTLER_JOB_STATE_FAILED ||
               state == HOSTLER_JOB_STATE_CANCELLED;
}

static char *args_text(const Job *job, RecordAudience audience)
{
        return text_of(record_to_json(job->verb->decl->args, job->args, audience));
}

static char *steps_text(const HostlerJobStepList *steps)
{
        return text_of(record_list_to_json(&hostler_job_step_type, steps, RECORD_SHOWN));
}

static char *text_of(json_t *json_taken)
{
        char *text = json_dumps(json_taken, JSON_COMPACT);
        json_decref(json_taken);
        return text;
}

static HostlerJob shown_of(const JobRow *row)
{
        HostlerJob job;
        record_init(&hostler_job_type, &job);
        job.id = g_strdup(row->id);
        job.verb = g_strdup(row->verb);
        job.object = g_strdup(row->object);
        job.state = state_of(row->state);
        job.progress = row->progress < 0 ? NAN : row->progress;
        job.steps = steps_of(row->steps);
        job.message = job.steps.count ? g_strdup(job.steps.items[job.steps.count - 1].detail) : NULL;
        job.created = time_format(row->created_ms);
        job.started = row->started_ms ? time_format(row->started_ms) : NULL;
        job.ended = row->ended_ms ? time_format(row->ended_ms) : NULL;
        job.uid = row->uid;
        job.error = g_strdup(row->error);
        job.result = g_strdup(row->result);
        return job;
}

static HostlerJobStepList steps_of(const char *text)
{
        HostlerJobStepList steps = {0};
        json_t *json = json_loads(text, 0, NULL);
        if (json)
                record_list_from_json(&hostler_job_step_type, json, "", &steps, NULL);
        json_decref(json);
        return steps;
}

static HostlerJobState state_of(const char *name)
{
        for (int state = HOSTLER_JOB_STATE_QUEUED; hostler_job_state_enum.values[state]; state++)
                if (strcmp(hostler_job_state_enum.values[state], name) == 0)
                        return (HostlerJobState)state;
        return HOSTLER_JOB_STATE_ABSENT;
}

static const Verb *verb_of(const char *id)
{
        for (const Verb *verb = verb_handlers; verb->decl; verb++)
                if (verb->job && strcmp(verb->decl->id, id) == 0)
                        return verb;
        return NULL;
}

/* NULL if this version's declaration no longer takes them. */
static void *args_of(const Verb *verb, const char *text)
{
        json_t *json = verb && text ? json_loads(text, 0, NULL) : NULL;
        g_autofree void *args = json ? g_malloc0(verb->decl->args->size) : NULL;
        bool ok = json && record_from_json(verb->decl->args, json, "", args, NULL);
        json_decref(json);
        return ok ? g_steal_pointer(&args) : NULL;
}

/* A row that ended has no journal any more; one that cannot be read has nothing to undo. */
static json_t *journal_of(const char *text)
{
        json_t *journal = journal_new(NULL, false);
        json_t *stored = json_loads(text, 0, NULL);
        if (json_is_object(stored))
                json_object_update(journal, stored);
        json_decref(stored);
        return journal;
}

static bool get_live(JobQueue *queue, const char *id, HostlerJob *ret_job)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        const Job *job = g_hash_table_lookup(queue->jobs, id);
        if (job)
                record_copy(&hostler_job_type, &job->shown, ret_job);
        return job != NULL;
}

/* A live job knows more than its row: progress, and an end that a full disk refused. */
static void add_to_listing(const JobRow *row, void *data)
{
        Listing *listing = data;
        HostlerJob job;
        if (!get_live(listing->queue, row->id, &job))
                job = shown_of(row);
        if (listing->state && job.state != listing->state)
                record_clear(&hostler_job_type, &job);
        else
                g_array_append_val(listing->jobs, job);
}
