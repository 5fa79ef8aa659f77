/*
 * The table of resource pools: see respool.h. Its verbs are respool_verbs.c's; govern.c, memory.c and admit.c ask it in
 * each round and at each start.
 */
#include "vm/govern/respool.h"

#include <string.h>

#include "base/error.h"
#include "vm/govern/govern.h"

#define SETTING "respools"
#define MIB (1024.0 * 1024)

struct Respools {
        Store *store;
        GMutex lock;
        HostlerRespoolConfigList list;
};

Respools *respools_new(Store *store)
{
        Respools *respools = g_new0(Respools, 1);
        g_autofree char *text = store_get(store, SETTING);
        json_auto_t *json = text ? json_loads(text, 0, NULL) : NULL;
        respools->store = store;
        g_mutex_init(&respools->lock);
        if (json && !record_list_from_json(&hostler_respool_config_type, json, "/respools", &respools->list, NULL))
                respools->list = (HostlerRespoolConfigList){0};
        return respools;
}

void respools_free(Respools *respools)
{
        if (!respools)
                return;
        record_list_clear(&hostler_respool_config_type, &respools->list);
        g_mutex_clear(&respools->lock);
        g_free(respools);
}

static HostlerRespoolConfigList copy_of(const HostlerRespoolConfigList *list)
{
        HostlerRespoolConfigList copy = {.items = g_new0(HostlerRespoolConfig, list->count + 1), .count = list->count};
        for (size_t i = 0; i < list->count; i++)
                record_copy(&hostler_respool_config_type, &list->items[i], &copy.items[i]);
        return copy;
}

HostlerRespoolConfigList respools_list(Respools *respools)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&respools->lock);
        return copy_of(&respools->list);
}

int respools_index(const HostlerRespoolConfigList *list, const char *name)
{
        for (size_t i = 0; name && i < list->count; i++)
                if (strcmp(list->items[i].name, name) == 0)
                        return (int)i;
        return -1;
}

static int parent_of(const HostlerRespoolConfigList *list, int which)
{
        return respools_index(list, list->items[which].spec->parent);
}

char *respools_path(const HostlerRespoolConfigList *list, int which, const char *prefix)
{
        GString *path = g_string_new(NULL);
        for (int pool = which; pool >= 0; pool = parent_of(list, pool)) {
                g_string_prepend(path, list->items[pool].name);
                g_string_prepend(path, prefix);
                if (parent_of(list, pool) >= 0)
                        g_string_prepend_c(path, '/');
        }
        return g_string_free(path, FALSE);
}

/* ---- changing ---- */

/* How many pools it is in; more than RESPOOLS_DEEPEST when it is in itself. */
static int depth_of(const HostlerRespoolConfigList *list, int which)
{
        int depth = 0;
        for (int pool = parent_of(list, which); pool >= 0 && depth <= RESPOOLS_DEEPEST; pool = parent_of(list, pool))
                depth++;
        return depth;
}

static bool check_place(const HostlerRespoolConfigList *list, int which, GError **error)
{
        const HostlerRespoolConfig *pool = &list->items[which];
        g_autofree char *object = g_strdup_printf("respool/%s", pool->name);
        if (pool->spec->parent && parent_of(list, which) < 0) {
                error_set(error, HOSTLER_ERROR_INVALID, object, "there is no resource pool %s", pool->spec->parent);
                return error_hint(error, "hostler respool ls");
        }
        return depth_of(list, which) < RESPOOLS_DEEPEST ||
               error_set(error, HOSTLER_ERROR_INVALID, object,
                         "it would be in itself, or in more than %d pools one in the other", RESPOOLS_DEEPEST - 1);
}

typedef struct {
        int depth;
        HostlerRespoolConfig *pool;
} Placed;

static int compare_places(const void *a, const void *b)
{
        const Placed *first = a, *second = b;
        return first->depth != second->depth ? first->depth - second->depth
                                             : strcmp(first->pool->name, second->pool->name);
}

/* Takes the items. */
static void sort(HostlerRespoolConfigList *list)
{
        g_autofree Placed *places = g_new(Placed, list->count + 1);
        for (size_t i = 0; i < list->count; i++)
                places[i] = (Placed){depth_of(list, (int)i), &list->items[i]};
        qsort(places, list->count, sizeof *places, compare_places);
        HostlerRespoolConfig *items = g_new0(HostlerRespoolConfig, list->count + 1);
        for (size_t i = 0; i < list->count; i++)
                items[i] = *places[i].pool;
        g_free(list->items);
        list->items = items;
}

bool respools_replace(Respools *respools, const HostlerRespoolConfigList *wanted, GError **error)
{
        for (size_t i = 0; i < wanted->count; i++)
                if (!check_place(wanted, (int)i, error))
                        return false;
        HostlerRespoolConfigList sorted = copy_of(wanted);
        sort(&sorted);
        json_auto_t *json = record_list_to_json(&hostler_respool_config_type, &sorted, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        bool stored = store_set(respools->store, SETTING, text, error);
        g_mutex_lock(&respools->lock);
        HostlerRespoolConfigList old = stored ? respools->list : sorted;
        if (stored)
                respools->list = sorted;
        g_mutex_unlock(&respools->lock);
        record_list_clear(&hostler_respool_config_type, &old);
        return stored;
}

/* ---- as claimants ---- */

static Claim claim_of(int64_t reservation, int64_t limit, double unit, double shares)
{
        return (Claim){.reservation = reservation == HOSTLER_UNSET ? 0 : (double)reservation / unit,
                       .limit = limit == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)limit / unit,
                       .shares = shares};
}

static void add_claimant(const HostlerRespoolConfigList *list, size_t which, Claim claim, bool expandable,
                         GArray *claimants)
{
        Claimant pool = {.claim = claim,
                         .pool = parent_of(list, (int)which),
                         .is_pool = true,
                         .expandable = expandable,
                         .name = list->items[which].name};
        g_array_append_val(claimants, pool);
}

void respools_claim_cpu(const HostlerRespoolConfigList *list, GArray *claimants)
{
        for (size_t i = 0; i < list->count; i++) {
                const HostlerRespoolSpec *spec = list->items[i].spec;
                double shares = shares_read(spec->cpu_shares, shares_pool_cpu(SHARES_NORMAL));
                add_claimant(list, i, claim_of(spec->cpu_reservation, spec->cpu_limit, 100, shares),
                             spec->cpu_expandable, claimants);
        }
}

void respools_claim_memory(const HostlerRespoolConfigList *list, GArray *claimants)
{
        for (size_t i = 0; i < list->count; i++) {
                const HostlerRespoolSpec *spec = list->items[i].spec;
                double shares = shares_read(spec->memory_shares, shares_pool_memory(SHARES_NORMAL));
                add_claimant(list, i, claim_of(spec->memory_reservation, spec->memory_limit, MIB, shares),
                             spec->memory_expandable, claimants);
        }
}

void respools_claim_disks(const HostlerRespoolConfigList *list, GArray *claimants)
{
        for (size_t i = 0; i < list->count; i++) {
                Claim claim = {0, ALLOCATE_UNLIMITED, shares_read(list->items[i].spec->disk_shares, RESPOOL_DISKS), 0};
                add_claimant(list, i, claim, true, claimants);
        }
}

void respools_claim_adapters(const HostlerRespoolConfigList *list, GArray *claimants)
{
        for (size_t i = 0; i < list->count; i++) {
                Claim claim = {0, ALLOCATE_UNLIMITED, shares_read(list->items[i].spec->nic_shares, RESPOOL_ADAPTERS),
                               0};
                add_claimant(list, i, claim, true, claimants);
        }
}

/* ---- VMs in them ---- */

const char *spec_respool(const HostlerSpec *spec)
{
        return ((const HostlerOptionsProps *)spec_part(spec, "options")->props)->respool;
}

void respools_check(Manager *manager, const HostlerSpec *spec, GPtrArray *faults)
{
        const char *name = spec_respool(spec);
        HostlerRespoolConfigList list = respools_list(govern_respools(manager));
        if (name && respools_index(&list, name) < 0)
                faults_add(faults, "/spec/options/respool", "there is no resource pool %s", name);
        record_list_clear(&hostler_respool_config_type, &list);
}
