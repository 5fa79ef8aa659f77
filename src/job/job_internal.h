/*
 * What the files of src/job share: the queue, a job, and the way of a job through them.
 *
 *     queue.c    submit → turn → thread ──→ run.c   begin, the verb's function, undo or finish, end ──→ queue.c  next
 * of the turn job.c      what the verb's function calls meanwhile        journal.c  the undo and finish lists and how
 * they run recover.c  jobs that a dead daemon left                    plan.c     the same function in a dry run
 *     record.c   a job as a row and as the API shows it
 *
 * Locks: queue->lock is around the queue's members and the members of jobs marked "shared"; it is never held across a
 * call into the store, the event log, a verb or a cancellable. A shared member of a job is written only by its own
 * thread, which may therefore read it without the lock.
 */
#pragma once

#include "job/job.h"

#include "hostler-records.h"

#include <math.h>

/* A job's turn: who has it, and who waits for it in order. */
typedef struct {
        Job *holder;
        GQueue waiting;
} Turn;

struct JobQueue {
        Store *store;
        EventLog *events;
        Manager *manager;
        const JobOperation *operations;
        GThreadPool *threads;
        int64_t operation_limit_ms; /* how long one undo or finish operation may take; tests set it */

        GMutex lock;       /* around what follows */
        GCond ended;       /* a job has ended or a thread has left */
        GHashTable *jobs;  /* id → Job: not ended, or ended and not yet written as such */
        GHashTable *turns; /* turn key → Turn */
        GPtrArray *left;   /* Job: read by job_queue_load(), not recovered yet; no lock */
        uint64_t last_id;
        guint active;       /* jobs in run.c */
        guint until_prune;  /* jobs to end before old ones are forgotten */
        guint crash_hits;   /* how often HOSTLER_CRASH_AT's point was passed */
        bool has_unwritten; /* some job of the table may be `unwritten` */
        bool closing;       /* no new jobs; what is interrupted now stays for the next start */
        int abandoned;      /* atomic: the store is about to go, no more writes */
};

struct Job {
        int references; /* atomic */
        JobQueue *queue;

        /* Constant from submit on. */
        const Verb *verb; /* NULL: a verb of another version, left by a dead daemon */
        void *args;       /* struct of verb->decl->args, owned; NULL if they could not be read back */
        char *turn_key, *key, *request_hash;
        Caller caller;
        bool dry_run, urgent;
        bool recovered; /* ran before a restart of the daemon */
        int64_t created_ms;
        GCancellable *cancellable;

        /* Shared. */
        HostlerJob shown;    /* as the API shows it */
        char *cancel_reason; /* not NULL: it was asked to stop. Written by any thread */
        bool settled;        /* committed or ending: it cannot be asked any more */
        bool held;           /* left by a dead daemon and not recovered yet: it may have its turn but does not run */
        bool unwritten;      /* it has ended, but a full disk refused to note that */

        /* Its thread's only. */
        json_t *journal; /* as in the row */
        int64_t started_ms, ended_ms;
};

/* ---- queue.c ---- */
Job *job_new(JobQueue *queue, const JobRequest *request); /* one reference, without a row, not queued */
Job *job_ref(Job *job);
void job_unref(Job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_unref)
/* Enters a job out of the store into the table and its place in line, held. */
void job_adopt(JobQueue *queue, Job *job);
/* Ends the hold: @job runs now or when its turn comes. */
void job_let_go(JobQueue *queue, Job *job);
/* Ends the hold of a job that the caller ends. */
void job_take_over(JobQueue *queue, Job *job);
/* Gives @job, whose row is written and which is in the table, its place in line. */
void job_enqueue(JobQueue *queue, Job *job);
/* Takes @job, which has ended, out of the table (unless its end is @written nowhere yet), and gives its turn to the
 * next one. */
void job_leave(JobQueue *queue, Job *job, bool written);

/* ---- run.c ---- */
/* A job's whole life on its thread. For GThreadPool; @job is borrowed from the table, @queue is the JobQueue. */
void job_run(void *job, void *queue);
/* Calls the verb's function; in *@ret_result its result as JSON, NULL if it has none. */
bool job_call(Job *job, json_t **ret_result, GError **error);
/* Undoes or finishes, then ends @job: without @error_taken as done. @result_taken: JSON or NULL. False if the end could
 * not be written. */
bool job_conclude(Job *job, GError *error_taken, json_t *result_taken);
/* Tries again to write the ends that a full disk refused. */
void job_write_unwritten(JobQueue *queue);
/* For tests: HOSTLER_CRASH_AT=verb:point, or verb:point:N for the Nth time, ends the process here; HOSTLER_HOLD_AT=FILE
 * holds a job at the point that FILE says (of a step, N is the Nth of this job) as long as there is FILE. Meanwhile
 * there is FILE.held. */
void job_crash_point(Job *job, const char *point);

/* ---- record.c ---- */
bool job_insert(Job *job, GError **error);
/* Writes the row. @shown: the job as it is to be (mostly &job->shown). @args: new text of the arguments, NULL: as they
 * are. */
bool job_write(Job *job, StoreDurability durability, const HostlerJob *shown, const char *args, GError **error);
/* A job out of its row; `verb` or `args` are NULL if this version cannot make sense of them. One reference, not queued.
 */
Job *job_from_row(JobQueue *queue, const JobRow *row);
/* Arguments as they are kept when the job has ended: without secrets. Caller frees. */
char *job_args_shown(const Job *job);
bool job_state_is_end(HostlerJobState state);

/* ---- journal.c ---- */
json_t *journal_new(const char *turn_key, bool urgent);
/* Adds to the list "undo" or "finish", unless it is there already (a rerun). True if it was added. */
bool journal_add(json_t *journal, const char *list, const char *operation, json_t *args_taken);
void journal_drop_last(json_t *journal, const char *list);
/* What writing down that nothing of it is to be undone any more costs: it waits for the disk if there is something,
 * which would else be undone after a power cut though it was answered. */
StoreDurability journal_weight(const json_t *journal);
void journal_commit(json_t *journal);
bool journal_is_committed(const json_t *journal);
/*
 * Run the lists: undo backwards, finish forwards, each operation to its end or the queue's limit. Failures become
 * causes of *@error, which is set if it was not. False if anything failed.
 */
bool journal_run_undo(Job *job, GError **error);
bool journal_run_finish(Job *job, GError **error);
