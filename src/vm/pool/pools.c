/*
 * The table of pools, each a row of the store, and the way from a layer's name to its file. See pools.h.
 */
#include "vm/pool/pools.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/catalogue.h"
#include "storage/volume.h"
#include "vm/manager_internal.h"
#include "vm/snapshot/layers.h"

#define CATALOGUES "pools" /* in the state folder */

/* ---- the table ---- */

/* Where it is, by the state folder as it is now: that may have been moved. */
static void settle(Manager *manager, HostlerPoolConfig *pool)
{
        if (!pool_type(pool)->volumes)
                return;
        g_free(pool->path);
        pool->path = pools_catalogue(manager, pool->name);
}

typedef struct {
        Manager *manager;
        GError *error;
} Loading;

static void append(HostlerPoolConfigList *pools, const HostlerPoolConfig *pool)
{
        pools->items = g_renew(HostlerPoolConfig, pools->items, pools->count + 1);
        record_copy(&hostler_pool_config_type, pool, &pools->items[pools->count++]);
}

static void load_one(const char *config, void *data)
{
        Loading *loading = data;
        HostlerPoolConfig pool;
        json_auto_t *json = json_loads(config, 0, NULL);
        if (loading->error || !record_from_json(&hostler_pool_config_type, json, "/pool", &pool, &loading->error))
                return;
        settle(loading->manager, &pool);
        append(&loading->manager->pools, &pool);
        catalogue_add(&pool);
        record_clear(&hostler_pool_config_type, &pool);
}

bool pools_load(Manager *manager, GError **error)
{
        Loading loading = {.manager = manager};
        bool ok = store_pool_each(manager->store, load_one, &loading, error);
        if (loading.error)
                g_propagate_error(error, loading.error);
        return ok && !loading.error;
}

void pools_clear(Manager *manager)
{
        for (size_t i = 0; i < manager->pools.count; i++)
                catalogue_remove(manager->pools.items[i].path);
        record_list_clear(&hostler_pool_config_type, &manager->pools);
}

void pools_list(Manager *manager, HostlerPoolConfigList *ret_pools)
{
        g_mutex_lock(&manager->lock);
        size_t count = manager->pools.count;
        *ret_pools = (HostlerPoolConfigList){.items = g_new0(HostlerPoolConfig, count), .count = count};
        for (size_t i = 0; i < count; i++)
                record_copy(&hostler_pool_config_type, &manager->pools.items[i], &ret_pools->items[i]);
        g_mutex_unlock(&manager->lock);
}

static bool not_found(const char *name, const HostlerPoolConfigList *pools, GError **error)
{
        g_autofree char *object = g_strdup_printf("pool/%s", name);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no pool “%s”", name);
        for (size_t i = 0; i < pools->count && i < 3; i++)
                error_cause(error, NULL, "there is %s", pools->items[i].name);
        return error_hint(error, "hostler pool ls");
}

bool pools_find(Manager *manager, const char *name, HostlerPoolConfig *ret_pool, GError **error)
{
        HostlerPoolConfigList pools;
        bool found = strcmp(name, POOL_DEFAULT) == 0;
        if (found) {
                record_init(&hostler_pool_config_type, ret_pool);
                ret_pool->name = g_strdup(POOL_DEFAULT);
                ret_pool->type = HOSTLER_POOL_TYPE_DIR;
                ret_pool->path = g_strdup(manager->state_dir);
                return true;
        }
        pools_list(manager, &pools);
        for (size_t i = 0; i < pools.count && !found; i++)
                if ((found = strcmp(pools.items[i].name, name) == 0))
                        record_copy(&hostler_pool_config_type, &pools.items[i], ret_pool);
        if (!found)
                not_found(name, &pools, error);
        record_list_clear(&hostler_pool_config_type, &pools);
        return found;
}

char *pools_catalogue(Manager *manager, const char *name)
{
        return g_build_filename(manager->state_dir, CATALOGUES, name, NULL);
}

bool pools_all(Manager *manager, HostlerPoolConfigList *ret_pools, GError **error)
{
        HostlerPoolConfig first;
        if (!pools_find(manager, POOL_DEFAULT, &first, error))
                return false;
        pools_list(manager, ret_pools);
        ret_pools->items = g_renew(HostlerPoolConfig, ret_pools->items, ret_pools->count + 1);
        memmove(&ret_pools->items[1], &ret_pools->items[0], ret_pools->count * sizeof first);
        ret_pools->items[0] = first;
        ret_pools->count++;
        return true;
}

static gint compare(gconstpointer a, gconstpointer b)
{
        return strcmp(((const HostlerPoolConfig *)a)->name, ((const HostlerPoolConfig *)b)->name);
}

/* Who makes or forgets a pool has its turn, so that its row and its place in the table change as one. */
bool pools_add(Manager *manager, const HostlerPoolConfig *pool, GError **error)
{
        json_auto_t *json = record_to_json(&hostler_pool_config_type, pool, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        if (!store_pool_put(manager->store, pool->name, text, error))
                return false;
        g_mutex_lock(&manager->lock);
        append(&manager->pools, pool);
        qsort(manager->pools.items, manager->pools.count, sizeof *pool, compare);
        g_mutex_unlock(&manager->lock);
        catalogue_add(pool);
        return true;
}

bool pools_remove(Manager *manager, const char *name, GError **error)
{
        HostlerPoolConfig gone = {0};
        if (!store_pool_delete(manager->store, name, error))
                return false;
        g_mutex_lock(&manager->lock);
        HostlerPoolConfigList *pools = &manager->pools;
        for (size_t i = 0; !gone.name && i < pools->count; i++) {
                if (strcmp(pools->items[i].name, name) != 0)
                        continue;
                gone = pools->items[i];
                memmove(&pools->items[i], &pools->items[i + 1], (--pools->count - i) * sizeof gone);
        }
        g_mutex_unlock(&manager->lock);
        if (gone.name) {
                catalogue_remove(gone.path);
                record_clear(&hostler_pool_config_type, &gone);
        }
        return true;
}

/* ---- who is in them ---- */

char *pools_of_layer(const char *file)
{
        const char *slash = strchr(file, '/');
        return slash ? g_strndup(file, (gsize)(slash - file)) : NULL;
}

static bool is_in(const char *file, const char *pool)
{
        g_autofree char *own = pools_of_layer(file);
        return g_strcmp0(own, pool) == 0;
}

bool pools_is_used_by(Vm *vm, const char *name)
{
        HostlerVmHistory history;
        g_autoptr(Spec) spec = vm_spec(vm);
        bool used = false;
        vm_history(vm, &history);
        for (size_t i = 0; i < history.layers.count; i++)
                used = used || is_in(history.layers.items[i].file, name);
        for (size_t i = 0; i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                used = used || (strcmp(part->kind, "disk") == 0 &&
                                g_strcmp0(((const HostlerDiskProps *)part->props)->pool, name) == 0);
        }
        record_clear(&hostler_vm_history_type, &history);
        return used;
}

json_t *pools_forget_args(Vm *vm)
{
        HostlerPoolConfigList pools;
        json_t *used = json_array();
        pools_list(vm_manager(vm), &pools);
        for (size_t i = 0; i < pools.count; i++)
                if (pools_is_used_by(vm, pools.items[i].name))
                        json_array_append_new(used, json_string(pools.items[i].name));
        record_list_clear(&hostler_pool_config_type, &pools);
        return json_pack("{s:s, s:o}", "vm", vm_id(vm), "pools", used);
}

static bool has_name(const json_t *names, const char *name)
{
        size_t i;
        json_t *entry;
        json_array_foreach (names, i, entry)
                if (g_strcmp0(json_string_value(entry), name) == 0)
                        return true;
        return false;
}

static bool forget_in(const HostlerPoolConfig *pool, const char *id, const json_t *used, GError **error)
{
        g_autoptr(GError) local = NULL;
        if (pool_type(pool)->forget(pool, id, &local))
                return true;
        if (error_is(local, HOSTLER_ERROR_UNRESPONSIVE) && !has_name(used, pool->name))
                return true;
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

bool pools_forget_vm(Manager *manager, const char *id, const json_t *used, GError **error)
{
        HostlerPoolConfigList pools;
        bool ok = true;
        pools_list(manager, &pools);
        for (size_t i = 0; ok && i < pools.count; i++)
                ok = forget_in(&pools.items[i], id, used, error);
        record_list_clear(&hostler_pool_config_type, &pools);
        return ok;
}

char *pools_kept(Manager *manager, const char *pool, const char *name, GError **error)
{
        HostlerPoolConfig config;
        char *path = NULL;
        if (!pools_find(manager, pool ? pool : POOL_DEFAULT, &config, error))
                return NULL;
        if (pool_type(&config)->prepare(&config, POOL_KEPT, error))
                path = pool_type(&config)->volume(&config, POOL_KEPT, name);
        record_clear(&hostler_pool_config_type, &config);
        return path;
}

/* ---- layers ---- */

char *vm_layer_path(Vm *vm, const char *file)
{
        HostlerPoolConfig config;
        g_autofree char *pool = pools_of_layer(file), *name = g_path_get_basename(file);
        if (!pool || !pools_find(vm_manager(vm), pool, &config, NULL))
                return vm_path(vm, name);
        char *path = pool_type(&config)->volume(&config, vm_id(vm), name);
        record_clear(&hostler_pool_config_type, &config);
        return path;
}

/* @what: cannot be had without it. */
static bool check_place(Vm *vm, const char *what, const char *file, GError **error)
{
        HostlerPoolConfig config;
        g_autofree char *pool = pools_of_layer(file);
        if (!pool)
                return true;
        bool ok = pools_find(vm_manager(vm), pool, &config, error);
        if (ok) {
                ok = pool_type(&config)->check(&config, error);
                record_clear(&hostler_pool_config_type, &config);
        }
        if (!ok)
                g_prefix_error(error, "%s cannot be had: ", what);
        return ok;
}

bool vm_check_places(Vm *vm, GError **error)
{
        HostlerVmHistory history;
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        bool ok = true;
        vm_history(vm, &history);
        for (size_t i = 0; ok && i < history.layers.count; i++) {
                const char *file = history.layers.items[i].file;
                char *pool = pools_of_layer(file);
                if (pool && g_hash_table_add(seen, pool))
                        ok = check_place(vm, file, file, error);
        }
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

static bool check_files(Vm *vm, const char *disk, GError **error)
{
        g_auto(GStrv) files = vm_disk_files(vm, disk);
        g_autofree char *object = vm_object(vm);
        for (size_t i = 0; files[i]; i++)
                if (!g_file_test(files[i], G_FILE_TEST_EXISTS)) /* follows a link to a block device */
                        return error_set(error, HOSTLER_ERROR_FAILED, object,
                                         "the volume of %s is missing: there is no %s", disk, files[i]);
        return true;
}

bool vm_check_layers(Vm *vm, GError **error)
{
        HostlerVmHistory history;
        bool ok = true;
        g_autoptr(Spec) spec = vm_spec(vm);
        vm_history(vm, &history);
        for (size_t i = 0; ok && i < history.heads.count; i++)
                ok = check_place(vm, history.heads.items[i].part, history.heads.items[i].file, error);
        record_clear(&hostler_vm_history_type, &history);
        for (size_t i = 0; ok && i < spec->value.count; i++)
                if (strcmp(spec->value.items[i].kind, "disk") == 0)
                        ok = check_files(vm, spec->value.items[i].name, error);
        return ok;
}

static bool is_elsewhere(const HostlerDiskProps *props)
{
        return props->pool && strcmp(props->pool, POOL_DEFAULT) != 0;
}

char *vm_first_layer(const HostlerPart *disk)
{
        const HostlerDiskProps *props = disk->props;
        g_autofree char *file = disk_first_file(disk);
        return is_elsewhere(props) ? g_strdup_printf("%s/%s", props->pool, file) : g_steal_pointer(&file);
}

bool vm_prepare_layer(Vm *vm, const char *file, GError **error)
{
        HostlerPoolConfig config;
        g_autofree char *pool = pools_of_layer(file);
        if (!pool)
                return dir_ensure(vm_dir(vm), error);
        if (!pools_find(vm_manager(vm), pool, &config, error))
                return false;
        bool ok = pool_type(&config)->prepare(&config, vm_id(vm), error);
        record_clear(&hostler_pool_config_type, &config);
        return ok;
}

void vm_note_first_layer(HostlerVmHistory *history, const HostlerPart *disk)
{
        g_autofree char *file = vm_first_layer(disk);
        if ((!strchr(file, '/') && !volume_is_raw(file)) || layers_head(history, disk->name))
                return;
        layers_gone(history, file); /* one that was not tidied up */
        layers_add(history, disk->name, file);
}

bool vm_place_disk(Vm *vm, const HostlerPart *disk, GError **error)
{
        HostlerVmHistory history;
        g_autofree char *file = vm_first_layer(disk), *pool = pools_of_layer(file);
        if (!vm_prepare_layer(vm, file, error))
                return false;
        if (!pool && !volume_is_raw(file))
                return true;
        vm_history(vm, &history);
        vm_note_first_layer(&history, disk);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}
