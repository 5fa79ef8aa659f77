/*
 * The VMs' rows. A spec is a whole JSON text here; what it means is src/vm's business. Names are unique among the VMs
 * outside the trash, which the schema's index enforces. Called by src/vm.
 */
#include "store/store_internal.h"

#include "base/error.h"

#define COLUMNS "id, name, spec, runtime, generation, created_ms, trashed_ms, history"

typedef struct {
        const VmRow *row;
        int64_t expected;
} Update;

static bool update(Store *store, void *data, GError **error);
static bool name_taken(const VmRow *row, GError *cause_taken, GError **error);
static void take_row(sqlite3_stmt *row, void *data);
static void take_generation(sqlite3_stmt *row, void *data);

void vm_row_clear(VmRow *row)
{
        g_free(row->id);
        g_free(row->name);
        g_free(row->spec);
        g_free(row->runtime);
        g_free(row->history);
        *row = (VmRow){0};
}

bool store_vm_insert(Store *store, const VmRow *row, GError **error)
{
        g_autoptr(GError) cause = NULL;
        return store_write(store, STORE_DURABLE, &cause,
                           "INSERT INTO vm (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", "ttttiiit", row->id,
                           row->name, row->spec, row->runtime, row->generation, row->created_ms, row->trashed_ms,
                           row->history ? row->history : "{}") ||
               name_taken(row, g_steal_pointer(&cause), error);
}

bool store_vm_update(Store *store, const VmRow *row, int64_t expected, GError **error)
{
        g_autoptr(GError) cause = NULL;
        return store_transact(store, STORE_DURABLE, update, &(Update){row, expected}, &cause) ||
               name_taken(row, g_steal_pointer(&cause), error);
}

bool store_vm_set_runtime(Store *store, StoreDurability durability, const char *id, const char *runtime, GError **error)
{
        return store_write(store, durability, error, "UPDATE vm SET runtime = ?2 WHERE id = ?1", "tt", id, runtime);
}

bool store_vm_set_history(Store *store, const char *id, const char *history, GError **error)
{
        return store_write(store, STORE_DURABLE, error, "UPDATE vm SET history = ?2 WHERE id = ?1", "tt", id, history);
}

bool store_vm_replace(Store *store, const VmRow *row, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "UPDATE vm SET spec = ?2, runtime = ?3, history = ?4, generation = ?5 WHERE id = ?1",
                           "tttti", row->id, row->spec, row->runtime, row->history, row->generation);
}

bool store_vm_delete(Store *store, const char *id, GError **error)
{
        return store_write(store, STORE_DURABLE, error, "DELETE FROM vm WHERE id = ?1", "t", id);
}

bool store_vm_each(Store *store, void (*each)(const VmRow *row, void *data), void *data, GError **error)
{
        g_autofree char *after = g_strdup("");
        for (;;) {
                g_autoptr(GArray) page = g_array_new(false, false, sizeof(VmRow));
                g_array_set_clear_func(page, (GDestroyNotify)vm_row_clear);
                if (!store_query(store, take_row, page, error,
                                 "SELECT " COLUMNS " FROM vm WHERE id > ?1 ORDER BY id LIMIT ?2", "ti", after,
                                 (int64_t)STORE_PAGE))
                        return false;
                for (guint i = 0; i < page->len; i++)
                        each(&g_array_index(page, VmRow, i), data);
                if (page->len < STORE_PAGE)
                        return true;
                g_free(after);
                after = g_strdup(g_array_index(page, VmRow, page->len - 1).id);
        }
}

static bool update(Store *store, void *data, GError **error)
{
        const Update *change = data;
        const VmRow *row = change->row;
        g_autofree char *object = g_strdup_printf("vm/%s", row->name);
        int64_t generation = -1;
        if (!store_select(store, take_generation, &generation, error, "SELECT generation FROM vm WHERE id = ?1", "t",
                          row->id))
                return false;
        if (generation < 0)
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no VM with the id %s", row->id);
        if (change->expected >= 0 && change->expected != generation)
                return error_set(error, HOSTLER_ERROR_PRECONDITION, object,
                                 "the VM is at generation %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT, generation,
                                 change->expected);
        return store_execute(store, error,
                             "UPDATE vm SET name = ?2, spec = ?3, generation = ?4, trashed_ms = ?5 WHERE id = ?1",
                             "tttii", row->id, row->name, row->spec, row->generation, row->trashed_ms);
}

/* The schema's "UNIQUE constraint failed" said in the user's words; any other error as it is. Returns false. */
static bool name_taken(const VmRow *row, GError *cause_taken, GError **error)
{
        if (!error_is(cause_taken, HOSTLER_ERROR_EXISTS)) {
                g_propagate_error(error, cause_taken);
                return false;
        }
        g_error_free(cause_taken);
        g_autofree char *object = g_strdup_printf("vm/%s", row->name);
        return error_set(error, HOSTLER_ERROR_EXISTS, object, "there is a VM named %s already", row->name);
}

static void take_row(sqlite3_stmt *row, void *data)
{
        VmRow vm = {
            .id = store_column_text(row, 0),
            .name = store_column_text(row, 1),
            .spec = store_column_text(row, 2),
            .runtime = store_column_text(row, 3),
            .generation = sqlite3_column_int64(row, 4),
            .created_ms = sqlite3_column_int64(row, 5),
            .trashed_ms = sqlite3_column_int64(row, 6),
            .history = store_column_text(row, 7),
        };
        g_array_append_val((GArray *)data, vm);
}

static void take_generation(sqlite3_stmt *row, void *data)
{
        *(int64_t *)data = sqlite3_column_int64(row, 0);
}
