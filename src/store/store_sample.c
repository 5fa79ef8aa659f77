/*
 * The rows of measured values: chunks of slots, found by object, level and start. What a slot is, is src/monitor's
 * business, which is the one caller.
 */
#include "store/store_internal.h"

typedef struct {
        const SampleRow *rows;
        unsigned n;
} Write;

static bool write_all(Store *store, void *data, GError **error);
static void take_row(sqlite3_stmt *row, void *data);

void sample_row_clear(SampleRow *row)
{
        g_free(row->object);
        g_clear_pointer(&row->slots, g_bytes_unref);
        *row = (SampleRow){0};
}

bool store_samples_write(Store *store, const SampleRow *rows, unsigned n, GError **error)
{
        return n == 0 || store_transact(store, STORE_PLAIN, write_all, &(Write){rows, n}, error);
}

bool store_samples_each(Store *store, const char *object, int64_t level, int64_t since_ms, int64_t until_ms,
                        void (*each)(const SampleRow *row, void *data), void *data, GError **error)
{
        g_autoptr(GArray) rows = g_array_new(false, false, sizeof(SampleRow));
        g_array_set_clear_func(rows, (GDestroyNotify)sample_row_clear);
        if (!store_query(store, take_row, rows, error,
                         "SELECT object, level, start_ms, width, slots FROM sample "
                         "WHERE object = ?1 AND level = ?2 AND start_ms >= ?3 AND start_ms < ?4 ORDER BY start_ms",
                         "tiii", object, level, since_ms, until_ms))
                return false;
        for (guint i = 0; i < rows->len; i++)
                each(&g_array_index(rows, SampleRow, i), data);
        return true;
}

bool store_samples_prune(Store *store, int64_t level, int64_t before_ms, int64_t after_ms, GError **error)
{
        return store_write(store, STORE_PLAIN, error,
                           "DELETE FROM sample WHERE level = ?1 AND (start_ms < ?2 OR start_ms > ?3 OR "
                           "(object <> 'host' AND object NOT IN (SELECT id FROM vm)))",
                           "iii", level, before_ms, after_ms);
}

static bool write_all(Store *store, void *data, GError **error)
{
        const Write *write = data;
        for (unsigned i = 0; i < write->n; i++) {
                const SampleRow *row = &write->rows[i];
                if (!store_execute(store, error,
                                   "INSERT INTO sample (object, level, start_ms, width, slots) "
                                   "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (object, level, start_ms) "
                                   "DO UPDATE SET width = excluded.width, slots = excluded.slots",
                                   "tiiib", row->object, row->level, row->start_ms, row->width, row->slots))
                        return false;
        }
        return true;
}

static void take_row(sqlite3_stmt *row, void *data)
{
        SampleRow sample = {
            .object = store_column_text(row, 0),
            .level = sqlite3_column_int64(row, 1),
            .start_ms = sqlite3_column_int64(row, 2),
            .width = sqlite3_column_int64(row, 3),
            .slots = g_bytes_new(sqlite3_column_blob(row, 4), (gsize)sqlite3_column_bytes(row, 4)),
        };
        g_array_append_vals(data, &sample, 1);
}
