/*
 * The rows of switches and port groups, and of addresses given out. What they are to be is JSON text here; what it
 * means is src/network's business. Called by src/vm.
 */
#include "store/store_internal.h"

static void take_row(sqlite3_stmt *row, void *data);
static void take_address(sqlite3_stmt *row, void *data);

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

/* ---- addresses ---- */

void address_row_clear(AddressRow *row)
{
        g_free(row->vm);
        g_free(row->part);
        g_free(row->network);
        g_free(row->address);
        *row = (AddressRow){0};
}

bool store_address_put(Store *store, const AddressRow *row, GError **error)
{
        return store_write(
            store, STORE_DURABLE, error,
            "INSERT INTO address (vm, part, network, address) VALUES (?1, ?2, ?3, ?4) "
            "ON CONFLICT (vm, part) DO UPDATE SET network = excluded.network, address = excluded.address",
            "tttt", row->vm, row->part, row->network, row->address);
}

bool store_address_delete(Store *store, const char *vm, const char *part, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "DELETE FROM address WHERE vm = ?1 AND (part = ?2 OR ?2 IS NULL)", "tt", vm, part);
}

bool store_address_each(Store *store, const char *network, void (*each)(const AddressRow *row, void *data), void *data,
                        GError **error)
{
        g_autoptr(GArray) rows = g_array_new(false, false, sizeof(AddressRow));
        g_array_set_clear_func(rows, (GDestroyNotify)address_row_clear);
        if (!store_query(store, take_address, rows, error,
                         "SELECT vm, part, network, address FROM address WHERE network = ?1 OR ?1 IS NULL "
                         "ORDER BY network, address",
                         "t", network))
                return false;
        for (guint i = 0; i < rows->len; i++)
                each(&g_array_index(rows, AddressRow, i), data);
        return true;
}

static void take_address(sqlite3_stmt *row, void *data)
{
        AddressRow address = {.vm = store_column_text(row, 0),
                              .part = store_column_text(row, 1),
                              .network = store_column_text(row, 2),
                              .address = store_column_text(row, 3)};
        g_array_append_val((GArray *)data, address);
}
