/*
 * The jobs' rows. Arguments have a table of their own (schema.c says why): an update that brings none leaves them as
 * they are. Ids sort by time, so "newest first" is by id. Called by src/job.
 */
#include "store/store_internal.h"

#include "base/error.h"

#define COLUMNS                                                                                                        \
        "job.id, verb, object, state, uid, key, request_hash, created_ms, started_ms, ended_ms, progress, steps, "     \
        "journal, "                                                                                                    \
        "error, result, args"
#define FROM " FROM job LEFT JOIN job_args ON job_args.id = job.id "

typedef struct {
        int64_t before_ms, keep;
} Prune;

static bool insert(Store *store, void *data, GError **error);
static bool update(Store *store, void *data, GError **error);
static bool prune(Store *store, void *data, GError **error);
static void take_row(sqlite3_stmt *row, void *data);
static bool take_one(GArray *rows, JobRow *ret_row);

void job_row_clear(JobRow *row)
{
        char **texts[] = {&row->id,      &row->verb,  &row->object, &row->args, &row->state,        &row->steps,
                          &row->journal, &row->error, &row->result, &row->key,  &row->request_hash, NULL};
        for (int i = 0; texts[i]; i++)
                g_free(*texts[i]);
        *row = (JobRow){0};
}

bool store_job_insert(Store *store, const JobRow *row, GError **error)
{
        return store_transact(store, STORE_PLAIN, insert, (void *)row, error);
}

bool store_job_update(Store *store, StoreDurability durability, const JobRow *row, GError **error)
{
        return store_transact(store, durability, update, (void *)row, error);
}

bool store_job_by_key(Store *store, int64_t uid, const char *key, JobRow *ret_row, GError **error)
{
        g_autoptr(GArray) rows = g_array_new(false, false, sizeof(JobRow));
        return store_query(store, take_row, rows, error, "SELECT " COLUMNS FROM "WHERE uid = ?1 AND key = ?2", "it",
                           uid, key) &&
               (take_one(rows, ret_row) || error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "no job has this key"));
}

bool store_job_get(Store *store, const char *id, JobRow *ret_row, GError **error)
{
        g_autoptr(GArray) rows = g_array_new(false, false, sizeof(JobRow));
        g_autofree char *object = g_strdup_printf("job/%s", id);
        return store_query(store, take_row, rows, error, "SELECT " COLUMNS FROM "WHERE job.id = ?1", "t", id) &&
               (take_one(rows, ret_row) || error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no job %s", id));
}

bool store_job_each(Store *store, const char *state, const char *object, const char *before_id, int limit,
                    void (*each)(const JobRow *row, void *data), void *data, GError **error)
{
        g_autofree char *before = g_strdup(before_id);
        for (int left = limit; left > 0; left -= STORE_PAGE) {
                g_autoptr(GArray) page = g_array_new(false, false, sizeof(JobRow));
                g_array_set_clear_func(page, (GDestroyNotify)job_row_clear);
                if (!store_query(store, take_row, page, error,
                                 "SELECT " COLUMNS FROM
                                 "WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR object = ?2) "
                                 "AND (?3 IS NULL OR job.id < ?3) ORDER BY job.id DESC LIMIT ?4",
                                 "ttti", state, object, before, (int64_t)MIN(left, STORE_PAGE)))
                        return false;
                for (guint i = 0; i < page->len; i++)
                        each(&g_array_index(page, JobRow, i), data);
                if (page->len < STORE_PAGE)
                        return true;
                g_free(before);
                before = g_strdup(g_array_index(page, JobRow, page->len - 1).id);
        }
        return true;
}

bool store_job_prune(Store *store, int64_t before_ms, int64_t keep, GError **error)
{
        return store_transact(store, STORE_PLAIN, prune, &(Prune){before_ms, keep}, error);
}

static bool insert(Store *store, void *data, GError **error)
{
        const JobRow *row = data;
        return store_execute(store, error,
                             "INSERT INTO job (id, verb, object, state, uid, key, request_hash, created_ms, "
                             "started_ms, ended_ms, "
                             "progress, steps, journal, error, result) "
                             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                             "ttttittiiirtttt", row->id, row->verb, row->object, row->state, row->uid, row->key,
                             row->request_hash, row->created_ms, row->started_ms, row->ended_ms, row->progress,
                             row->steps, row->journal, row->error, row->result) &&
               store_execute(store, error, "INSERT INTO job_args (id, args) VALUES (?1, ?2)", "tt", row->id, row->args);
}

static bool update(Store *store, void *data, GError **error)
{
        const JobRow *row = data;
        return store_execute(store, error,
                             "UPDATE job SET state = ?2, started_ms = ?3, ended_ms = ?4, progress = ?5, steps = ?6, "
                             "journal = ?7, "
                             "error = ?8, result = ?9 WHERE id = ?1",
                             "ttiirtttt", row->id, row->state, row->started_ms, row->ended_ms, row->progress,
                             row->steps, row->journal, row->error, row->result) &&
               (!row->args ||
                store_execute(store, error, "UPDATE job_args SET args = ?2 WHERE id = ?1", "tt", row->id, row->args));
}

/* Keys are forgotten at the same age also where the job is kept. */
static bool prune(Store *store, void *data, GError **error)
{
        const Prune *limits = data;
        return store_execute(store, error,
                             "DELETE FROM job WHERE ended_ms BETWEEN 1 AND ?1 - 1 AND id < "
                             "(SELECT id FROM job WHERE ended_ms > 0 ORDER BY id DESC LIMIT 1 OFFSET max(?2 - 1, 0))",
                             "ii", limits->before_ms, limits->keep) &&
               store_execute(store, error,
                             "UPDATE job SET key = NULL WHERE key IS NOT NULL AND ended_ms BETWEEN 1 AND ?1 - 1", "i",
                             limits->before_ms);
}

static void take_row(sqlite3_stmt *row, void *data)
{
        JobRow job = {
            .id = store_column_text(row, 0),
            .verb = store_column_text(row, 1),
            .object = store_column_text(row, 2),
            .state = store_column_text(row, 3),
            .uid = sqlite3_column_int64(row, 4),
            .key = store_column_text(row, 5),
            .request_hash = store_column_text(row, 6),
            .created_ms = sqlite3_column_int64(row, 7),
            .started_ms = sqlite3_column_int64(row, 8),
            .ended_ms = sqlite3_column_int64(row, 9),
            .progress = sqlite3_column_double(row, 10),
            .steps = store_column_text(row, 11),
            .journal = store_column_text(row, 12),
            .error = store_column_text(row, 13),
            .result = store_column_text(row, 14),
            .args = store_column_text(row, 15),
        };
        g_array_append_val((GArray *)data, job);
}

/* Moves the only row of @rows out, if there is one. */
static bool take_one(GArray *rows, JobRow *ret_row)
{
        if (rows->len == 0)
                return false;
        *ret_row = g_array_index(rows, JobRow, 0);
        return true;
}
