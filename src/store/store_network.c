/*
 * The rows of switches and port groups. What they are to be is JSON text here; what it means is src/network's business.
 * Called by src/vm.
 */
#include "store/store_internal.h"

static void take_row(sqlite3_stmt *row, void *data);

void network_row_clear(NetworkRow *row)
{
        g_free(row->switch_name);
        g_free(row->group);
        g_free(row->spec);
        *row = (NetworkRow){0};
}

bool store_network_put(Store *store, const NetworkRow *row, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "INSERT INTO network (switch, portgroup, spec, created_ms) VALUES (?1, ?2, ?3, ?4) "
                           "ON CONFLICT (switch, portgroup) DO UPDATE SET spec = excluded.spec",
                           "ttti", row->switch_name, row->group, row->spec, row->created_ms);
}

bool store_network_delete(Store *store, const char *switch_name, const char *group, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "DELETE FROM network WHERE switch = ?1 AND (portgroup = ?2 OR ?2 = '')", "tt", switch_name,
                           group);
}

bool store_network_each(Store *store, const char *switch_name, void (*each)(const NetworkRow *row, void *data),
                        void *data, GError **error)
{
        g_autoptr(GArray) rows = g_array_new(false, false, sizeof(NetworkRow));
        g_array_set_clear_func(rows, (GDestroyNotify)network_row_clear);
        if (!store_query(store, take_row, rows, error,
                         "SELECT switch, portgroup, spec, created_ms FROM network WHERE switch = ?1 OR ?1 IS NULL "
                         "ORDER BY switch, portgroup",
                         "t", switch_name))
                return false;
        for (guint i = 0; i < rows->len; i++)
                each(&g_array_index(rows, NetworkRow, i), data);
        return true;
}

static void take_row(sqlite3_stmt *row, void *data)
{
        NetworkRow network = {.switch_name = store_column_text(row, 0),
                              .group = store_column_text(row, 1),
                              .spec = store_column_text(row, 2),
                              .created_ms = sqlite3_column_int64(row, 3)};
        g_array_append_val((GArray *)data, network);
}
