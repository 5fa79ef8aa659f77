/*
 * A job's journal: what undoes it, what finishes it, what a rerun must know. Kept as the JSON text's own tree
 * {"turn","urgent","attempts","undo":[{"op","args"}],"finish":[…],"committed","data":{}}, which the row carries. Runs
 * the lists with a time limit. Called by job.c (which writes it) and run.c.
 */
#include "job/job_internal.h"

#include "base/error.h"

#include <string.h>

/* One operation on a thread of its own, so that one which hangs cannot keep its job from ending. Two references: who
 * waits, who works. */
typedef struct {
        int references; /* atomic */
        JobOperationFunc run;
        Manager *manager;
        json_t *args;
        GMutex lock;
        GCond changed;
        bool ended;
        GError *error;
} Errand;

static bool run_entry(Job *job, const char *list, const json_t *entry, GError **error);
static const JobOperation *operation_find(const JobQueue *queue, const char *name);
static bool errand_run(const JobQueue *queue, const JobOperation *operation, const json_t *args, GError **error);
static void *errand_thread(void *data);
static bool errand_wait(Errand *errand, int64_t limit_ms);
static void errand_unref(Errand *errand);

json_t *journal_new(const char *turn_key, bool urgent)
{
        return json_pack("{s:s*, s:b, s:i, s:[], s:[], s:b, s:{}}", "turn", turn_key, "urgent", urgent, "attempts", 0,
                         "undo", "finish", "committed", false, "data");
}

bool journal_add(json_t *journal, const char *list, const char *operation, json_t *args_taken)
{
        json_t *entries = json_object_get(journal, list);
        json_t *added = json_pack("{s:s, s:o*}", "op", operation, "args", args_taken);
        size_t i;
        json_t *entry;
        json_array_foreach (entries, i, entry) {
                if (json_equal(entry, added)) {
                        json_decref(added);
                        return false;
                }
        }
        json_array_append_new(entries, added);
        return true;
}

void journal_drop_last(json_t *journal, const char *list)
{
        json_t *entries = json_object_get(journal, list);
        json_array_remove(entries, json_array_size(entries) - 1);
}

void journal_commit(json_t *journal)
{
        json_array_clear(json_object_get(journal, "undo"));
        json_object_set_new(journal, "committed", json_true());
}

StoreDurability journal_weight(const json_t *journal)
{
        return json_array_size(json_object_get(journal, "undo")) > 0 ? STORE_DURABLE : STORE_PLAIN;
}

bool journal_is_committed(const json_t *journal)
{
        return json_is_true(json_object_get(journal, "committed"));
}

bool journal_run_undo(Job *job, GError **error)
{
        const json_t *entries = json_object_get(job->journal, "undo");
        bool ok = true;
        for (size_t i = json_array_size(entries); i-- > 0;)
                ok = run_entry(job, "undo", json_array_get(entries, i), error) && ok;
        return ok;
}

bool journal_run_finish(Job *job, GError **error)
{
        const json_t *entries = json_object_get(job->journal, "finish");
        bool ok = true;
        for (size_t i = 0; i < json_array_size(entries); i++)
                ok = run_entry(job, "finish", json_array_get(entries, i), error) && ok;
        return ok;
}

/* A failure does not stop the list: the rest is to be undone all the same. */
static bool run_entry(Job *job, const char *list, const json_t *entry, GError **error)
{
        const char *name = json_string_value(json_object_get(entry, "op"));
        const JobOperation *operation = operation_find(job->queue, name ? name : "");
        g_autofree char *point = g_strdup_printf("@%s", list);
        job_crash_point(job, point);

        g_autoptr(GError) failure = NULL;
        if (!operation)
                error_set(&failure, HOSTLER_ERROR_FAILED, NULL, "this version knows no operation %s", name ? name : "");
        else
                errand_run(job->queue, operation, json_object_get(entry, "args"), &failure);
        if (!failure)
                return true;
        if (!*error)
                error_set(error, HOSTLER_ERROR_FAILED, job->shown.object,
                          "%s did what it should, but could not clean up", job->shown.verb);
        error_cause(error, NULL, "%s (%s): %s", list, name ? name : "", failure->message);
        return false;
}

static const JobOperation *operation_find(const JobQueue *queue, const char *name)
{
        for (const JobOperation *operation = queue->operations; operation && operation->name; operation++)
                if (strcmp(operation->name, name) == 0)
                        return operation;
        return NULL;
}

static bool errand_run(const JobQueue *queue, const JobOperation *operation, const json_t *args, GError **error)
{
        Errand *errand = g_new0(Errand, 1);
        errand->references = 2;
        g_mutex_init(&errand->lock);
        g_cond_init(&errand->changed);
        errand->run = operation->run;
        errand->manager = queue->manager;
        errand->args = json_deep_copy(args);
        g_thread_unref(g_thread_new("operation", errand_thread, errand));

        bool ended = errand_wait(errand, queue->operation_limit_ms);
        if (!ended)
                error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "not done within %" G_GINT64_FORMAT " s",
                          queue->operation_limit_ms / 1000);
        else if (errand->error)
                g_propagate_error(error, g_steal_pointer(&errand->error));
        errand_unref(errand);
        return ended;
}

static void *errand_thread(void *data)
{
        Errand *errand = data;
        GError *error = NULL;
        if (!errand->run(errand->manager, errand->args, &error) && !error)
                error_set(&error, HOSTLER_ERROR_FAILED, NULL, "it gave no reason");
        g_mutex_lock(&errand->lock);
        errand->error = error;
        errand->ended = true;
        g_cond_signal(&errand->changed);
        g_mutex_unlock(&errand->lock);
        errand_unref(errand);
        return NULL;
}

static bool errand_wait(Errand *errand, int64_t limit_ms)
{
        gint64 deadline = g_get_monotonic_time() + limit_ms * 1000;
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&errand->lock);
        while (!errand->ended)
                if (!g_cond_wait_until(&errand->changed, &errand->lock, deadline))
                        return errand->ended;
        return true;
}

static void errand_unref(Errand *errand)
{
        if (!g_atomic_int_dec_and_test(&errand->references))
                return;
        json_decref(errand->args);
        g_clear_error(&errand->error);
        g_mutex_clear(&errand->lock);
        g_cond_clear(&errand->changed);
        g_free(errand);
}
