/*
 * What pools of volumes can do, as somebody declared: kept in the store as one setting, asked by disks.c in each round.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/govern/govern.h"
#include "vm/pool/pools.h"

#define SETTING "pool-capacities"

void govern_pool_capacities(Manager *manager, HostlerPoolCapacityList *ret_list)
{
        g_autofree char *text = store_get(manager_store(manager), SETTING);
        json_auto_t *json = text ? json_loads(text, 0, NULL) : NULL;
        *ret_list = (HostlerPoolCapacityList){0};
        if (json && !record_list_from_json(&hostler_pool_capacity_type, json, "/capacities", ret_list, NULL))
                *ret_list = (HostlerPoolCapacityList){0};
}

static HostlerPoolCapacity *find_or_add(HostlerPoolCapacityList *list, const char *pool)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i].pool, pool) == 0)
                        return &list->items[i];
        list->items = g_renew(HostlerPoolCapacity, list->items, list->count + 1);
        HostlerPoolCapacity *capacity = &list->items[list->count++];
        record_init(&hostler_pool_capacity_type, capacity);
        capacity->pool = g_strdup(pool);
        return capacity;
}

static void set(int64_t *value, int64_t wanted)
{
        if (wanted != HOSTLER_UNSET)
                *value = wanted > 0 ? wanted : HOSTLER_UNSET;
}

static bool store(Manager *manager, const HostlerPoolCapacityList *list, GError **error)
{
        json_auto_t *json = record_list_to_json(&hostler_pool_capacity_type, list, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        return store_set(manager_store(manager), SETTING, text, error);
}

bool pool_capacity(const Call *call, const HostlerPoolCapacityArgs *args, HostlerPoolCapacity *ret_result,
                   GError **error)
{
        Manager *manager = call->manager;
        HostlerPoolConfig config;
        HostlerPoolCapacityList list;
        if (!pools_find(manager, args->pool, &config, error))
                return false;
        record_clear(&hostler_pool_config_type, &config);
        govern_pool_capacities(manager, &list);
        HostlerPoolCapacity *capacity = find_or_add(&list, args->pool);
        set(&capacity->iops, args->iops);
        set(&capacity->bandwidth, args->bandwidth);
        bool changes = args->iops != HOSTLER_UNSET || args->bandwidth != HOSTLER_UNSET;
        bool ok = !changes || store(manager, &list, error);
        if (ok)
                record_copy(&hostler_pool_capacity_type, capacity, ret_result);
        record_list_clear(&hostler_pool_capacity_type, &list);
        return ok;
}
