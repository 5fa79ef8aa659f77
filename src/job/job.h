/*
 * Jobs: everything with side effects. Written before it acts, journalled step by step, ended in every case.
 *
 * A verb's function runs on a worker thread with its Job. It announces each step before acting:
 *
 *     if (job_step(job, "disk", "create disk %s", name) && !volume_create(…, error))
 *             return false;
 *
 * In a dry run job_step() only records the step and returns false: the same code path gives the plan. What a step does
 * is undone by operations recorded before it acts: job_undo(job, "file-remove", {path}). Failure, cancellation and a
 * restart of the daemon run the undo list backwards. After job_commit() the undo list is dropped and the finish list
 * (job_finish()) runs forwards, now or at the next start. Undo and finish operations are idempotent.
 *
 * Turns: at most one modifying job per object key runs at a time; others wait in order of arrival. An urgent job
 * cancels the running one first (hard stop against a polite one), unless that one is urgent too, and waits before all
 * that are not urgent.
 *
 * At daemon start job_queue_recover() looks at each job found running: recover=rerun runs its verb again with the same
 * arguments (with the undo and finish lists and the facts it had; at most five times, then it is undone), recover=undo
 * undoes and ends it failed, saying that the daemon was restarted meanwhile, or finishes it if it was committed, and
 * ends it done without a result. Jobs found queued are queued again.
 *
 * A job's point of no return, or the end of one that has none and could be undone, is on the disk before it goes on. A
 * job that ends writes its row, then shows its end, then emits job-ended, then gives its turn on.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/declare.h"
#include "store/event_log.h"
#include "store/store.h"

typedef struct Job Job;
typedef struct JobQueue JobQueue;

/*
 * Undo and finish operations, by name. Run one after the other, each on a thread of its own; also when the job was
 * cancelled; the daemon's start waits for those that recovery needs. Must be idempotent. One that takes over 60 s is
 * left alone, and its job fails.
 */
typedef bool (*JobOperationFunc)(Manager *manager, const json_t *args, GError **error);
typedef struct {
        const char *name;
        JobOperationFunc run;
} JobOperation;

/* @operations: static table ending with name NULL. @manager is handed to verbs and operations untouched. */
JobQueue *job_queue_new(Store *store, EventLog *events, Manager *manager, const JobOperation *operations);
/*
 * Ends no job: those that run stay `running` in the store and are recovered at the next start. Their cancellables are
 * cancelled so that waiting verbs return, and they have five seconds to; the process should end soon after.
 */
void job_queue_free(JobQueue *queue);
/* Once, before anything is submitted. Fails only if the store cannot be read. */
/*
 * What a dead daemon left is read, and has its turns again, with job_queue_load(): call it before the first
 * job_submit(). It goes on with job_queue_recover(), once what it works on is there; meanwhile new jobs on the same
 * objects wait behind it.
 */
bool job_queue_load(JobQueue *queue, GError **error);
bool job_queue_recover(JobQueue *queue, GError **error);

typedef struct {
        const Verb *verb;
        const void *args; /* struct of verb->args, borrowed (copied) */
        char *object;     /* "vm/web1", borrowed */
        char *turn_key;   /* what must be held alone ("vm/ID"), NULL: nothing. Borrowed */
        const Caller *caller;
        const char *key; /* Idempotency-Key or NULL */
        bool dry_run;
        bool urgent;
} JobRequest;
/*
 * Writes the row and queues it. A known key with the same request gives the old job's id; with another one
 * HOSTLER_ERROR_KEY_REUSED. @ret_id owned by the caller. HOSTLER_ERROR_TOO_MANY over 1,000 queued jobs of one caller,
 * HOSTLER_ERROR_READ_ONLY while the store cannot be written.
 */
bool job_submit(JobQueue *queue, const JobRequest *request, char **ret_id, GError **error);
/*
 * The job that @request's key was given for already, whatever has become of the object since; its turn key is not
 * looked at. False without an error if there is none. HOSTLER_ERROR_KEY_REUSED. @ret_id owned by the caller.
 */
bool job_find(JobQueue *queue, const JobRequest *request, char **ret_id, GError **error);
/* Plans without acting, on the calling thread: [{"name","detail"}]. Owned by the caller. */
json_t *job_plan(JobQueue *queue, const JobRequest *request, GError **error);

/* Snapshot of a job as the API shows it, live or from the store. @ret_job: clear with record_clear(&hostler_job_type,
 * …). */
bool job_get(JobQueue *queue, const char *id, HostlerJob *ret_job, GError **error);
bool job_list(JobQueue *queue, const HostlerJobLsArgs *args, HostlerJobList *ret_jobs, GError **error);
/*
 * Asks it to stop; job_wait() tells when it has. A job that waits for its turn ends at once. HOSTLER_ERROR_WRONG_STATE
 * if it has ended or is past its point of no return.
 */
bool job_cancel(JobQueue *queue, const char *id, GError **error);
/* True once it has ended, HOSTLER_ERROR_TIMEOUT if not by then or when the daemon ends. Main-context users listen to
 * "job-ended" events instead of waiting. */
bool job_wait(JobQueue *queue, const char *id, int64_t timeout_ms, GError **error);
/* The id of the job that holds @turn_key now, or NULL. Caller frees. */
char *job_turn_holder(JobQueue *queue, const char *turn_key);

/* ---- for verbs, on the job's thread ---- */
Manager *job_manager(Job *job);
const Caller *job_caller(Job *job);
const char *job_id(Job *job);
GCancellable *job_cancellable(Job *job);
bool job_is_dry_run(Job *job);
/*
 * False in a dry run. Also a crash point for tests: HOSTLER_CRASH_AT=vm.start:spawn kills the process right after that
 * step is written, vm.start:spawn:2 the second time. More points: @commit, @undo and @finish (before each operation),
 * @end (before the end is written). HOSTLER_HOLD_AT=FILE holds a job at the point that FILE says, as long as it is
 * there.
 */
bool job_step(Job *job, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Kept in memory only: cheap enough for every block copied. */
void job_progress(Job *job, double percent, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Written before returning. False (and error) if it cannot be written: then do not act. */
bool job_undo(Job *job, const char *operation, json_t *args_taken, GError **error);
bool job_finish(Job *job, const char *operation, json_t *args_taken, GError **error);
/* The point of no return. HOSTLER_ERROR_CANCELLED if it was cancelled before: then it is to be undone. */
bool job_commit(Job *job, GError **error);
/* Small facts a rerun needs (kept in the journal): set before acting on them. Returns borrowed json or NULL. */
bool job_remember(Job *job, const char *name, json_t *value_taken, GError **error);
const json_t *job_recall(Job *job, const char *name);
/* HOSTLER_ERROR_CANCELLED if so. */
bool job_check_cancelled(Job *job, GError **error);
