/*
 * The table of catalogues and what their pools' types have in common. See catalogue.h. Called by volume.c, by the types
 * (pool_lvm.c, pool_rbd.c) and by the vm layer, which knows the pools.
 */
#include "storage/catalogue.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-records.h"
#include "storage/volume.h"

static GMutex lock;
static GHashTable *pools; /* folder → HostlerPoolConfig; NULL: none yet */

static void pool_free(gpointer pool)
{
        record_clear(&hostler_pool_config_type, pool);
        g_free(pool);
}

void catalogue_entry_clear(CatalogueEntry *entry)
{
        if (entry->volumes)
                record_clear(&hostler_pool_config_type, &entry->pool);
        *entry = (CatalogueEntry){0};
}

void catalogue_add(const HostlerPoolConfig *pool)
{
        if (!pool_type(pool)->volumes)
                return;
        HostlerPoolConfig *copy = g_new0(HostlerPoolConfig, 1);
        record_copy(&hostler_pool_config_type, pool, copy);
        g_mutex_lock(&lock);
        if (!pools)
                pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, pool_free);
        g_hash_table_insert(pools, g_strdup(pool->path), copy);
        g_mutex_unlock(&lock);
}

void catalogue_remove(const char *folder)
{
        g_mutex_lock(&lock);
        if (pools && g_hash_table_remove(pools, folder) && g_hash_table_size(pools) == 0)
                g_clear_pointer(&pools, g_hash_table_unref);
        g_mutex_unlock(&lock);
}

bool catalogue_find(const char *path, CatalogueEntry *ret_entry)
{
        g_autofree char *owner = g_path_get_dirname(path), *folder = g_path_get_dirname(owner);
        *ret_entry = (CatalogueEntry){0};
        g_mutex_lock(&lock);
        const HostlerPoolConfig *pool = pools ? g_hash_table_lookup(pools, folder) : NULL;
        if (pool) {
                record_copy(&hostler_pool_config_type, pool, &ret_entry->pool);
                ret_entry->volumes = pool_type(pool)->volumes;
        }
        g_mutex_unlock(&lock);
        return ret_entry->volumes != NULL;
}

char *catalogue_volume(const HostlerPoolConfig *pool, const char *vm_id, const char *name)
{
        return g_build_filename(pool->path, vm_id, name, NULL);
}

bool catalogue_prepare(const HostlerPoolConfig *pool, const char *vm_id, GError **error)
{
        g_autofree char *folder = g_build_filename(pool->path, vm_id, NULL);
        return dir_ensure(folder, error);
}

bool catalogue_forget(const HostlerPoolConfig *pool, const char *vm_id, GError **error)
{
        g_autofree char *folder = g_build_filename(pool->path, vm_id, NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                if (!volume_delete(path, error))
                        return false;
        }
        return dir_remove_durably(folder, error);
}
