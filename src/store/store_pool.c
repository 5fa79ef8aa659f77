/*
 * Rows of pools. See store.h. Called by src/vm/pool/pools.c, which knows what is in them.
 */
#include "store/store_internal.h"

bool store_pool_put(Store *store, const char *name, const char *config, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "INSERT INTO pool (name, config) VALUES (?1, ?2) "
                           "ON CONFLICT (name) DO UPDATE SET config = excluded.config",
                           "tt", name, config);
}

bool store_pool_delete(Store *store, const char *name, GError **error)
{
        return store_write(store, STORE_DURABLE, error, "DELETE FROM pool WHERE name = ?1", "t", name);
}

static void take_config(sqlite3_stmt *row, void *data)
{
        g_ptr_array_add(data, store_column_text(row, 0));
}

bool store_pool_each(Store *store, void (*each)(const char *config, void *data), void *data, GError **error)
{
        g_autoptr(GPtrArray) configs = g_ptr_array_new_with_free_func(g_free);
        if (!store_query(store, take_config, configs, error, "SELECT config FROM pool ORDER BY name", ""))
                return false;
        for (guint i = 0; i < configs->len; i++)
                each(configs->pdata[i], data);
        return true;
}
