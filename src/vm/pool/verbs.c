/*
 * Verbs on pools and volumes: what there is, and what a folder, a thin pool or a pool of Ceph becomes. The table is
 * pools.c's; what a pool is made of is in src/storage.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "vm/pool/unattached.h"
#include "vm/snapshot/layers_work.h"

/* ---- volumes ---- */

typedef struct {
        const char *pool; /* NULL: all */
        bool counting;    /* nobody looks at them */
        HostlerVolumeList *list;
} Listing;

static HostlerVolume *add_volume(const Listing *listing, const char *pool, const char *path)
{
        HostlerVolume volume;
        HostlerVolumeList *list = listing->list;
        if (listing->pool && strcmp(listing->pool, pool) != 0)
                return NULL;
        if (listing->counting ? !volume_exists(path) : !volume_describe(pool, path, &volume, NULL))
                return NULL;
        if (listing->counting)
                record_init(&hostler_volume_type, &volume);
        list->items = g_renew(HostlerVolume, list->items, list->count + 1);
        list->items[list->count] = volume;
        return &list->items[list->count++];
}

static const char *writer_of(const HostlerVmHistory *history, const char *file)
{
        for (size_t i = 0; i < history->heads.count; i++)
                if (strcmp(history->heads.items[i].file, file) == 0)
                        return history->heads.items[i].part;
        return NULL;
}

static void list_vm(const Listing *listing, Vm *vm)
{
        HostlerVmHistory history;
        layers_history(vm, &history);
        for (size_t i = 0; i < history.layers.count; i++) {
                const char *file = history.layers.items[i].file;
                g_autofree char *pool = pools_of_layer(file), *path = vm_layer_path(vm, file);
                HostlerVolume *volume = add_volume(listing, pool ? pool : POOL_DEFAULT, path);
                if (!volume)
                        continue;
                volume->vm = vm_name(vm);
                volume->disk = g_strdup(writer_of(&history, file));
        }
        record_clear(&hostler_vm_history_type, &history);
}

static void list_vms(const Listing *listing, Manager *manager, bool trashed)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, trashed);
        for (guint i = 0; i < vms->len; i++)
                list_vm(listing, g_ptr_array_index(vms, i));
}

static void list_unattached(const Listing *listing, const HostlerPoolConfig *pool)
{
        g_auto(GStrv) files = unattached_list(pool);
        for (size_t i = 0; files[i]; i++) {
                g_autofree char *path = pool_type(pool)->volume(pool, POOL_KEPT, files[i]);
                HostlerVolume *volume = add_volume(listing, pool->name, path);
                if (volume)
                        volume->was = unattached_was(files[i]);
        }
}

static bool list_volumes(Manager *manager, const char *pool, bool counting, HostlerVolumeList *ret_list, GError **error)
{
        HostlerPoolConfigList pools;
        *ret_list = (HostlerVolumeList){0};
        const Listing listing = {pool, counting, ret_list};
        if (!pools_all(manager, &pools, error))
                return false;
        list_vms(&listing, manager, false);
        list_vms(&listing, manager, true);
        for (size_t i = 0; i < pools.count; i++)
                list_unattached(&listing, &pools.items[i]);
        record_list_clear(&hostler_pool_config_type, &pools);
        return true;
}

bool volume_ls(const Call *call, const HostlerVolumeLsArgs *args, HostlerVolumeList *ret_result, GError **error)
{
        HostlerPoolConfig pool;
        if (args->pool && !pools_find(call->manager, args->pool, &pool, error))
                return false;
        if (args->pool)
                record_clear(&hostler_pool_config_type, &pool);
        return list_volumes(call->manager, args->pool, false, ret_result, error);
}

/* ---- pools ---- */

static int64_t count_volumes(Manager *manager, const char *pool)
{
        HostlerVolumeList list;
        int64_t count = 0;
        if (list_volumes(manager, pool, true, &list, NULL)) {
                count = (int64_t)list.count;
                record_list_clear(&hostler_volume_type, &list);
        }
        return count;
}

static void describe(Manager *manager, const HostlerPoolConfig *pool, HostlerPool *ret_pool)
{
        const PoolType *type = pool_type(pool);
        PoolSpace space;
        record_init(&hostler_pool_type, ret_pool);
        ret_pool->name = g_strdup(pool->name);
        ret_pool->type = pool->type;
        ret_pool->path = type->volumes ? NULL : g_strdup(pool->path);
        ret_pool->source = g_strdup(pool->source);
        ret_pool->state = type->check(pool, NULL) ? HOSTLER_POOL_STATE_READY : HOSTLER_POOL_STATE_MISSING;
        if (ret_pool->state == HOSTLER_POOL_STATE_MISSING || !type->space(pool, &space, NULL))
                return;
        ret_pool->size = space.size_bytes;
        ret_pool->free = space.free_bytes;
        ret_pool->used = pool_used_percent(&space);
        if (type->volumes)
                ret_pool->tables = space.tables_percent;
        ret_pool->volumes = count_volumes(manager, pool->name);
}

bool pool_ls(const Call *call, const HostlerPoolLsArgs *args, HostlerPoolList *ret_result, GError **error)
{
        HostlerPoolConfigList pools;
        if (!pools_all(call->manager, &pools, error))
                return false;
        *ret_result = (HostlerPoolList){.items = g_new0(HostlerPool, pools.count), .count = pools.count};
        for (size_t i = 0; i < pools.count; i++)
                describe(call->manager, &pools.items[i], &ret_result->items[i]);
        record_list_clear(&hostler_pool_config_type, &pools);
        return true;
}

static bool show(Manager *manager, const char *name, HostlerPool *ret_pool, GError **error)
{
        HostlerPoolConfig pool;
        if (!pools_find(manager, name, &pool, error))
                return false;
        describe(manager, &pool, ret_pool);
        record_clear(&hostler_pool_config_type, &pool);
        return true;
}

bool pool_show(const Call *call, const HostlerPoolShowArgs *args, HostlerPool *ret_result, GError **error)
{
        return show(call->manager, args->pool, ret_result, error);
}

/* The state folder has its own order; a pool in it, or around it, would be swept. */
static bool check_path(Manager *manager, const char *path, GError **error)
{
        g_autofree char *state = g_strdup_printf("%s/", manager_state_dir(manager)),
                        *own = g_strdup_printf("%s/", path);
        return (!g_str_has_prefix(own, state) && !g_str_has_prefix(state, own)) ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL,
                         "%s and Hostler's state folder are one in the other; the pool there is `default`", path);
}

static bool make(Job *job, const HostlerPoolConfig *pool, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *object = g_strdup_printf("pool/%s", pool->name);
        const char *member = pool->source ? "source" : "path", *value = pool->source ? pool->source : pool->path;
        if (!job_step(job, "make", "make %s a pool", value))
                return true;
        if (!pool_type(pool)->make(pool, error) || !pools_add(manager, pool, error))
                return false;
        event_emit(manager_events(manager), "pool-created", object, json_pack("{s:s}", member, value));
        return true;
}

/* Which of the two words a type takes. */
static bool check_words(const HostlerPoolCreateArgs *args, GError **error)
{
        bool folder = args->type == HOSTLER_POOL_TYPE_DIR;
        if ((args->user || args->conf) && args->type != HOSTLER_POOL_TYPE_RBD)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "--user and --conf are for pools of type rbd");
        if (folder ? args->path && !args->source : args->source && !args->path)
                return true;
        return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                         folder ? "a pool of type dir is made of a folder: --path"
                                : "a pool of type %s has no folder; say what it is made of: --source",
                         hostler_pool_type_enum.values[args->type]);
}

/* The same again when the job is run again, or it would not know the mark that it has set. */
static const char *identity(Job *job, GError **error)
{
        const json_t *known = job_recall(job, "identity");
        g_autofree char *fresh = g_uuid_string_random();
        if (!known && !job_remember(job, "identity", json_string(fresh), error))
                return NULL;
        return json_string_value(job_recall(job, "identity"));
}

static bool create_other(Job *job, const HostlerPoolCreateArgs *args, GError **error)
{
        const char *own = job_is_dry_run(job) ? "" : identity(job, error);
        g_autofree char *folder = pools_catalogue(job_manager(job), args->pool), *mark = g_strdup(own);
        HostlerPoolConfig pool = {.name = args->pool,
                                  .type = args->type,
                                  .path = folder,
                                  .source = args->source,
                                  .user = args->user,
                                  .conf = args->conf,
                                  .identity = mark};
        return mark && make(job, &pool, error);
}

static bool create(Job *job, const HostlerPoolCreateArgs *args, GError **error)
{
        HostlerPoolConfig pool = {.name = args->pool, .type = args->type, .path = args->path};
        if (!check_words(args, error))
                return false;
        if (args->type != HOSTLER_POOL_TYPE_DIR)
                return create_other(job, args, error);
        return check_path(job_manager(job), args->path, error) && make(job, &pool, error);
}

static bool is_same(const HostlerPoolConfig *known, const HostlerPoolCreateArgs *args)
{
        bool same =
            args->source ? g_strcmp0(known->source, args->source) == 0 : g_strcmp0(known->path, args->path) == 0;
        return same && known->type == args->type && g_strcmp0(known->user, args->user) == 0 &&
               g_strcmp0(known->conf, args->conf) == 0;
}

bool pool_create(Job *job, const HostlerPoolCreateArgs *args, HostlerPool *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        HostlerPoolConfig known;
        g_autofree char *object = g_strdup_printf("pool/%s", args->pool);
        record_init(&hostler_pool_type, ret_result);
        if (pools_find(manager, args->pool, &known, NULL)) {
                bool same = is_same(&known, args);
                record_clear(&hostler_pool_config_type, &known);
                return same ? show(manager, args->pool, ret_result, error)
                            : error_set(error, HOSTLER_ERROR_EXISTS, object, "there is a pool of this name");
        }
        return create(job, args, error) && (job_is_dry_run(job) || show(manager, args->pool, ret_result, error));
}

/* Names who is in it. */
static bool check_empty(Manager *manager, const char *name, GError **error)
{
        g_autofree char *object = g_strdup_printf("pool/%s", name);
        for (int trashed = 0; trashed < 2; trashed++) {
                g_autoptr(GPtrArray) vms = manager_vms(manager, trashed);
                for (guint i = 0; i < vms->len; i++) {
                        g_autofree char *user = vm_name(g_ptr_array_index(vms, i));
                        if (pools_is_used_by(g_ptr_array_index(vms, i), name))
                                return error_set(error, HOSTLER_ERROR_BUSY, object, "disks of %s%s are in it", user,
                                                 trashed ? " (in the trash)" : "");
                }
        }
        return count_volumes(manager, name) == 0 ||
               error_set(error, HOSTLER_ERROR_BUSY, object, "volumes that no VM has are in it");
}

bool pool_rm(Job *job, const HostlerPoolRmArgs *args, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *object = g_strdup_printf("pool/%s", args->pool);
        HostlerPoolConfig pool;
        if (strcmp(args->pool, POOL_DEFAULT) == 0)
                return error_set(error, HOSTLER_ERROR_INVALID, object, "the state folder stays a pool");
        if (!pools_find(manager, args->pool, &pool, job_recall(job, "removing") ? NULL : error))
                return job_recall(job, "removing") != NULL; /* run again after a crash: it is gone */
        bool ok = check_empty(manager, args->pool, error);
        if (ok && job_step(job, "forget", "forget the pool")) {
                ok = job_remember(job, "removing", json_true(), error) && pool_type(&pool)->unmake(&pool, error) &&
                     pools_remove(manager, args->pool, error);
                if (ok)
                        event_emit(manager_events(manager), "pool-removed", object, NULL);
        }
        record_clear(&hostler_pool_config_type, &pool);
        return ok;
}
