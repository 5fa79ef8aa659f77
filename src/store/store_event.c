/*
 * The events' rows. Numbers rise by one and are never given twice, also when old events are forgotten. Called by
 * event_log.c, and for replay by src/api.
 */
#include "store/store_internal.h"

#define COLUMNS "seq, time_ms, kind, object, data"

static bool append(Store *store, void *data, GError **error);
static void take_row(sqlite3_stmt *row, void *data);
static void take_number(sqlite3_stmt *row, void *data);

void event_row_clear(EventRow *row)
{
        g_free(row->kind);
        g_free(row->object);
        g_free(row->data);
        *row = (EventRow){0};
}

bool store_event_append(Store *store, EventRow *row, GError **error)
{
        int64_t seq = row->seq;
        if (!store_transact(store, STORE_PLAIN, append, row, error)) {
                row->seq = seq;
                return false;
        }
        return true;
}

bool store_event_each(Store *store, int64_t since_seq, const char *object, int limit,
                      void (*each)(const EventRow *row, void *data), void *data, GError **error)
{
        for (int left = limit; left > 0; left -= STORE_PAGE) {
                g_autoptr(GArray) page = g_array_new(false, false, sizeof(EventRow));
                g_array_set_clear_func(page, (GDestroyNotify)event_row_clear);
                const char *sql = object ? "SELECT " COLUMNS
                                           " FROM event WHERE seq > ?1 AND object = ?3 ORDER BY seq LIMIT ?2"
                                         : "SELECT " COLUMNS " FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2";
                int64_t size = MIN(left, STORE_PAGE);
                if (!store_query(store, take_row, page, error, sql, object ? "iit" : "ii", since_seq, size, object))
                        return false;
                for (guint i = 0; i < page->len; i++)
                        each(&g_array_index(page, EventRow, i), data);
                if (page->len < STORE_PAGE)
                        return true;
                since_seq = g_array_index(page, EventRow, page->len - 1).seq;
        }
        return true;
}

int64_t store_event_last(Store *store)
{
        int64_t last = 0;
        store_query(store, take_number, &last, NULL, "SELECT coalesce(max(seq), 0) FROM event", "");
        return last;
}

int64_t store_event_first(Store *store)
{
        int64_t first = 0;
        store_query(store, take_number, &first, NULL, "SELECT coalesce(min(seq), 0) FROM event", "");
        return first;
}

/* By number and not by count: the numbers have no gaps. The newest always stays, so that a restart knows where to go
 * on. */
bool store_event_prune(Store *store, int64_t keep, GError **error)
{
        return store_write(store, STORE_PLAIN, error, "DELETE FROM event WHERE seq <= ?1", "i",
                           store_event_last(store) - MAX(keep, 1));
}

static bool append(Store *store, void *data, GError **error)
{
        EventRow *row = data;
        return store_select(store, take_number, &row->seq, error,
                            "INSERT INTO event (" COLUMNS ") VALUES "
                            "(coalesce(nullif(?1, 0), (SELECT coalesce(max(seq), 0) + 1 FROM event)), ?2, ?3, ?4, ?5) "
                            "RETURNING seq",
                            "iittt", row->seq, row->time_ms, row->kind, row->object ? row->object : "", row->data);
}

static void take_row(sqlite3_stmt *row, void *data)
{
        EventRow event = {
            .seq = sqlite3_column_int64(row, 0),
            .time_ms = sqlite3_column_int64(row, 1),
            .kind = store_column_text(row, 2),
            .object = store_column_text(row, 3),
            .data = store_column_text(row, 4),
        };
        g_array_append_val((GArray *)data, event);
}

static void take_number(sqlite3_stmt *row, void *data)
{
        *(int64_t *)data = sqlite3_column_int64(row, 0);
}
