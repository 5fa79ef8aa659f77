/*
 * The queue: who may run, when, and where one asks after a job. Knows turns and threads, but not what jobs do (run.c).
 * Called by src/api (submit, wait, cancel) and by the daemon (new, recover, free).
 */
#include "job/job_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"

#include <string.h>

#define THREADS 64
#define QUEUED_PER_CALLER 1000
#define OPERATION_LIMIT_MS 60000
/* How long interrupted verbs may take to return when the daemon ends. */
#define FREE_LIMIT_MS 5000

static char *id_next(JobQueue *queue);
static char *request_hash(const Job *job);
static bool known_key(JobQueue *queue, const Job *job, char **ret_id, GError **error);
static bool after_refusal(JobQueue *queue, const Job *job, GError *refusal_taken, char **ret_id, GError **error);
static bool admit(JobQueue *queue, Job *job, GError **error);
static bool take_turn(JobQueue *queue, Job *job, Job **ret_preempted);
static void wait_in_line(Turn *turn, Job *job);
static Job *pass_turn(JobQueue *queue, Job *job);
static bool mark_cancelled(Job *job, const char *reason);
static bool may_cancel(Job *job, GError **error);
static bool leave_line(JobQueue *queue, Job *job);
static bool has_ended(JobQueue *queue, const char *id, bool *ret_known);
static bool has_ended_in_store(JobQueue *queue, const char *id, GError **error);
static void interrupt_all(JobQueue *queue);
static bool wait_for_threads(JobQueue *queue);
static void turn_free(void *turn);

JobQueue *job_queue_new(Store *store, EventLog *events, Manager *manager, const JobOperation *operations)
{
        JobQueue *queue = g_new0(JobQueue, 1);
        queue->store = store;
        queue->events = events;
        queue->manager = manager;
        queue->operations = operations;
        queue->operation_limit_ms = OPERATION_LIMIT_MS;
        g_mutex_init(&queue->lock);
        g_cond_init(&queue->ended);
        queue->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)job_unref);
        queue->turns = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, turn_free);
        queue->threads = g_thread_pool_new(job_run, queue, THREADS, false, NULL);
        return queue;
}

void job_queue_free(JobQueue *queue)
{
        if (!queue)
                return;
        interrupt_all(queue);
        if (!wait_for_threads(queue)) {
                /* A verb that does not let go keeps what it stands on; the process is about to end. */
                g_thread_pool_free(queue->threads, true, false);
                return;
        }
        g_thread_pool_free(queue->threads, true, true);
        g_hash_table_destroy(queue->jobs);
        g_hash_table_destroy(queue->turns);
        g_clear_pointer(&queue->left, g_ptr_array_unref);
        g_mutex_clear(&queue->lock);
        g_cond_clear(&queue->ended);
        g_free(queue);
}

bool job_submit(JobQueue *queue, const JobRequest *request, char **ret_id, GError **error)
{
        job_write_unwritten(queue);
        g_autoptr(Job) job = job_new(queue, request);
        g_autoptr(GError) failure = NULL;
        if (known_key(queue, job, ret_id, &failure))
                return true;
        if (failure || !admit(queue, job, &failure)) {
                g_propagate_error(error, g_steal_pointer(&failure));
                return false;
        }
        if (!job_insert(job, &failure)) {
                job_leave(queue, job, true);
                return after_refusal(queue, job, g_steal_pointer(&failure), ret_id, error);
        }
        event_emit(queue->events, "job-queued", job->shown.object,
                   json_pack("{s:s, s:s}", "job", job->shown.id, "verb", job->shown.verb));
        *ret_id = g_strdup(job->shown.id);
        job_enqueue(queue, job);
        return true;
}

bool job_find(JobQueue *queue, const JobRequest *request, char **ret_id, GError **error)
{
        g_autoptr(Job) job = job_new(queue, request);
        return known_key(queue, job, ret_id, error);
}

bool job_cancel(JobQueue *queue, const char *id, GError **error)
{
        g_mutex_lock(&queue->lock);
        Job *found = g_hash_table_lookup(queue->jobs, id);
        g_autoptr(Job) job = found ? job_ref(found) : NULL;
        bool may = job && may_cancel(job, error);
        bool waits = may && leave_line(queue, job);
        g_mutex_unlock(&queue->lock);
        if (!job && has_ended_in_store(queue, id, error))
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "job %s has ended already", id);
        if (!may)
                return false;
        g_cancellable_cancel(job->cancellable);
        if (waits) {
                GError *cancelled = NULL;
                job_check_cancelled(job, &cancelled);
                job_leave(queue, job, job_conclude(job, cancelled, NULL));
        }
        return true;
}

bool job_wait(JobQueue *queue, const char *id, int64_t timeout_ms, GError **error)
{
        gint64 deadline = g_get_monotonic_time() + timeout_ms * 1000;
        bool known = false, in_time = true;
        g_mutex_lock(&queue->lock);
        bool ended = has_ended(queue, id, &known);
        while (known && !ended && in_time && !queue->closing) {
                in_time = g_cond_wait_until(&queue->ended, &queue->lock, deadline);
                ended = has_ended(queue, id, &known);
        }
        g_mutex_unlock(&queue->lock);
        if (ended)
                return true;
        if (known)
                return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "job %s has not ended yet", id);
        return has_ended_in_store(queue, id, error);
}

char *job_turn_holder(JobQueue *queue, const char *turn_key)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        const Turn *turn = g_hash_table_lookup(queue->turns, turn_key);
        return turn ? g_strdup(turn->holder->shown.id) : NULL;
}

Job *job_new(JobQueue *queue, const JobRequest *request)
{
        const VerbDecl *decl = request->verb->decl;
        Job *job = g_new0(Job, 1);
        job->references = 1;
        job->queue = queue;
        job->verb = request->verb;
        job->args = g_malloc0(decl->args->size);
        record_copy(decl->args, request->args, job->args);
        job->turn_key = g_strdup(request->turn_key);
        job->key = g_strdup(request->key);
        job->request_hash = request->key ? request_hash(job) : NULL;
        job->caller = *request->caller;
        job->dry_run = request->dry_run;
        job->urgent = request->urgent;
        job->created_ms = clock_unix_ms();
        job->cancellable = g_cancellable_new();
        job->journal = journal_new(request->turn_key, request->urgent);
        record_init(&hostler_job_type, &job->shown);
        job->shown.id = id_next(queue);
        job->shown.verb = g_strdup(decl->id);
        job->shown.object = g_strdup(request->object ? request->object : "");
        job->shown.state = HOSTLER_JOB_STATE_QUEUED;
        job->shown.progress = NAN;
        job->shown.created = time_format(job->created_ms);
        job->shown.uid = request->caller->uid;
        return job;
}

Job *job_ref(Job *job)
{
        g_atomic_int_inc(&job->references);
        return job;
}

void job_unref(Job *job)
{
        if (!g_atomic_int_dec_and_test(&job->references))
                return;
        if (job->args)
                record_clear(job->verb->decl->args, job->args);
        g_free(job->args);
        g_free(job->turn_key);
        g_free(job->key);
        g_free(job->request_hash);
        g_free(job->cancel_reason);
        g_object_unref(job->cancellable);
        json_decref(job->journal);
        record_clear(&hostler_job_type, &job->shown);
        g_free(job);
}

void job_adopt(JobQueue *queue, Job *job)
{
        g_autoptr(Job) preempted = NULL;
        g_mutex_lock(&queue->lock);
        job->held = true;
        g_hash_table_insert(queue->jobs, job->shown.id, job_ref(job));
        take_turn(queue, job, &preempted);
        g_mutex_unlock(&queue->lock);
        if (preempted)
                g_cancellable_cancel(preempted->cancellable);
}

void job_let_go(JobQueue *queue, Job *job)
{
        g_mutex_lock(&queue->lock);
        const Turn *turn = job->turn_key ? g_hash_table_lookup(queue->turns, job->turn_key) : NULL;
        bool runs = !turn || turn->holder == job;
        job->held = false;
        g_mutex_unlock(&queue->lock);
        if (runs)
                g_thread_pool_push(queue->threads, job, NULL);
}

void job_take_over(JobQueue *queue, Job *job)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        Turn *turn = job->turn_key ? g_hash_table_lookup(queue->turns, job->turn_key) : NULL;
        if (turn)
                g_queue_remove(&turn->waiting, job);
        job->held = false;
}

void job_enqueue(JobQueue *queue, Job *job)
{
        g_autoptr(Job) preempted = NULL;
        g_mutex_lock(&queue->lock);
        bool runs = take_turn(queue, job, &preempted);
        g_mutex_unlock(&queue->lock);
        if (preempted)
                g_cancellable_cancel(preempted->cancellable);
        if (runs)
                g_thread_pool_push(queue->threads, job, NULL);
}

void job_leave(JobQueue *queue, Job *job, bool written)
{
        g_mutex_lock(&queue->lock);
        job->unwritten = !written;
        queue->has_unwritten = queue->has_unwritten || !written;
        Job *next = pass_turn(queue, job);
        if (written)
                g_hash_table_remove(queue->jobs, job->shown.id);
        g_mutex_unlock(&queue->lock);
        if (next)
                g_thread_pool_push(queue->threads, next, NULL);
}

/*
 * Ids sort by time and never repeat: milliseconds above 20 random bits, one more than the last where that is not more,
 * as 13 digits of Crockford's base 32 in small letters.
 */
static char *id_next(JobQueue *queue)
{
        static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
        uint64_t value = (uint64_t)clock_unix_ms() << 20 | (g_random_int() & 0xfffff);
        g_mutex_lock(&queue->lock);
        value = queue->last_id = MAX(value, queue->last_id + 1);
        g_mutex_unlock(&queue->lock);
        char text[14] = "";
        for (int i = 12; i >= 0; i--, value >>= 5)
                text[i] = digits[value & 31];
        return g_strdup(text);
}

/* What makes two requests the same: the verb and all arguments. */
static char *request_hash(const Job *job)
{
        json_t *args = record_to_json(job->verb->decl->args, job->args, RECORD_STORED);
        char *text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
        g_autofree char *request = g_strdup_printf("%s\n%s", job->verb->decl->id, text);
        free(text);
        json_decref(args);
        return g_compute_checksum_for_string(G_CHECKSUM_SHA256, request, -1);
}

/* True and the id if there is such a job; false without an error if there is none. */
static bool known_key(JobQueue *queue, const Job *job, char **ret_id, GError **error)
{
        if (!job->key)
                return false;
        JobRow row = {0};
        g_autoptr(GError) failure = NULL;
        if (!store_job_by_key(queue->store, job->caller.uid, job->key, &row, &failure)) {
                if (!error_is(failure, HOSTLER_ERROR_NOT_FOUND))
                        g_propagate_error(error, g_steal_pointer(&failure));
                return false;
        }
        bool same = g_strcmp0(row.request_hash, job->request_hash) == 0;
        if (same)
                *ret_id = g_strdup(row.id);
        else
                error_set(error, HOSTLER_ERROR_KEY_REUSED, job->shown.object,
                          "the idempotency key %s belongs to job %s (%s), which was asked for something else", job->key,
                          row.id, row.verb);
        job_row_clear(&row);
        return same;
}

/* The store took no row: perhaps another request with the same key was quicker, then this is its replay. */
static bool after_refusal(JobQueue *queue, const Job *job, GError *refusal_taken, char **ret_id, GError **error)
{
        g_autoptr(GError) refusal = refusal_taken;
        GError *failure = NULL;
        if (error_is(refusal, HOSTLER_ERROR_EXISTS) && known_key(queue, job, ret_id, &failure))
                return true;
        g_propagate_error(error, failure ? failure : g_steal_pointer(&refusal));
        return false;
}

/* Counts and enters the table in one go; from here on the job can be asked after. */
static bool admit(JobQueue *queue, Job *job, GError **error)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        if (queue->closing)
                return error_set(error, HOSTLER_ERROR_BUSY, job->shown.object, "the daemon is ending");
        GHashTableIter iter;
        const Job *other;
        guint queued = 0;
        g_hash_table_iter_init(&iter, queue->jobs);
        while (g_hash_table_iter_next(&iter, NULL, (void **)&other))
                queued += other->caller.uid == job->caller.uid && other->shown.state == HOSTLER_JOB_STATE_QUEUED;
        if (queued < QUEUED_PER_CALLER) {
                g_hash_table_insert(queue->jobs, job->shown.id, job_ref(job));
                return true;
        }
        error_set(error, HOSTLER_ERROR_TOO_MANY, job->shown.object, "%u jobs of yours are waiting already", queued);
        return error_hint(error, "wait for some of them: hostler job ls --state queued");
}

/* Lock held. True if @job may run now. *@ret_preempted: a job whose cancellable is to be cancelled, a new reference. */
static bool take_turn(JobQueue *queue, Job *job, Job **ret_preempted)
{
        if (!job->turn_key)
                return true;
        Turn *turn = g_hash_table_lookup(queue->turns, job->turn_key);
        if (!turn) {
                turn = g_new0(Turn, 1);
                turn->holder = job;
                g_hash_table_insert(queue->turns, g_strdup(job->turn_key), turn);
                return true;
        }
        wait_in_line(turn, job);
        /* Among urgent jobs the first one wins, or two of them could cancel each other for ever. */
        if (!job->urgent || turn->holder->urgent)
                return false;
        g_autofree char *reason = g_strdup_printf("so that %s can go ahead", job->shown.verb);
        if (mark_cancelled(turn->holder, reason))
                *ret_preempted = job_ref(turn->holder);
        return false;
}

/* Urgent jobs stand before the others, each kind in order of arrival. */
static void wait_in_line(Turn *turn, Job *job)
{
        GList *before = turn->waiting.head;
        while (before && (!job->urgent || ((Job *)before->data)->urgent))
                before = before->next;
        g_queue_insert_before(&turn->waiting, before, job);
}

/* Lock held. Gives the turn on if @job holds it; returns who is to run now. */
static Job *pass_turn(JobQueue *queue, Job *job)
{
        Turn *turn = job->turn_key ? g_hash_table_lookup(queue->turns, job->turn_key) : NULL;
        if (!turn || turn->holder != job)
                return NULL;
        Job *next = g_queue_pop_head(&turn->waiting);
        if (next)
                turn->holder = next;
        else
                g_hash_table_remove(queue->turns, job->turn_key);
        return queue->closing || (next && next->held) ? NULL : next;
}

/* Lock held. True if @job may be asked to stop, or was before. The cancellable is the caller's, once the lock is free.
 */
static bool mark_cancelled(Job *job, const char *reason)
{
        if (job->settled)
                return false;
        if (!job->cancel_reason)
                job->cancel_reason = g_strdup(reason);
        return true;
}

/* Lock held. */
static bool may_cancel(Job *job, GError **error)
{
        if (mark_cancelled(job, "as asked for"))
                return true;
        return error_set(error, HOSTLER_ERROR_WRONG_STATE, job->shown.object,
                         job_state_is_end(job->shown.state) ? "job %s has ended already"
                                                            : "job %s is past its point of no return and will finish",
                         job->shown.id);
}

/*
 * Lock held. True if @job waited for its turn and now belongs to the caller alone. One that ran before a restart may
 * have much to undo and keeps its place, to do it on a thread.
 */
static bool leave_line(JobQueue *queue, Job *job)
{
        Turn *turn = job->turn_key ? g_hash_table_lookup(queue->turns, job->turn_key) : NULL;
        return turn && !job->recovered && g_queue_remove(&turn->waiting, job);
}

/* Lock held. */
static bool has_ended(JobQueue *queue, const char *id, bool *ret_known)
{
        const Job *job = g_hash_table_lookup(queue->jobs, id);
        *ret_known = *ret_known || job;
        return job ? job_state_is_end(job->shown.state) : *ret_known;
}

static bool has_ended_in_store(JobQueue *queue, const char *id, GError **error)
{
        JobRow row = {0};
        if (!store_job_get(queue->store, id, &row, error))
                return false;
        bool ended = row.ended_ms > 0;
        job_row_clear(&row);
        return ended || error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "job %s has not ended yet", id);
}

/* Verbs that wait return early; what they leave is recovered at the next start. */
static void interrupt_all(JobQueue *queue)
{
        g_autoptr(GPtrArray) cancellables = g_ptr_array_new_with_free_func(g_object_unref);
        GHashTableIter iter;
        const Job *job;
        g_mutex_lock(&queue->lock);
        queue->closing = true;
        g_cond_broadcast(&queue->ended);
        g_hash_table_iter_init(&iter, queue->jobs);
        while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
                g_ptr_array_add(cancellables, g_object_ref(job->cancellable));
        g_mutex_unlock(&queue->lock);
        for (guint i = 0; i < cancellables->len; i++)
                g_cancellable_cancel(g_ptr_array_index(cancellables, i));
}

static bool wait_for_threads(JobQueue *queue)
{
        gint64 deadline = g_get_monotonic_time() + FREE_LIMIT_MS * 1000;
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&queue->lock);
        while (queue->active > 0)
                if (!g_cond_wait_until(&queue->ended, &queue->lock, deadline))
                        break;
        g_atomic_int_set(&queue->abandoned, queue->active > 0);
        return queue->active == 0;
}

static void turn_free(void *data)
{
        Turn *turn = data;
        g_queue_clear(&turn->waiting);
        g_free(turn);
}
