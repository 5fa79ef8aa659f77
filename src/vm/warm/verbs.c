/*
 * host show and host set: the host's settings, which are the warm pool's.
 */
#include "host/host_facts.h"
#include "hostler-handlers.h"
#include "vm/warm/warm.h"

static void describe(Manager *manager, HostlerHostInfo *ret_info)
{
        record_init(&hostler_host_info_type, ret_info);
        warm_get(manager, &ret_info->pool_warm, &ret_info->pool_warm_floor);
        ret_info->warm = warm_names(manager);
        ret_info->spares = warm_spares(manager);
        ret_info->memory_available = host_memory_available_bytes();
}

bool host_show(const Call *call, const HostlerHostShowArgs *args, HostlerHostInfo *ret_result, GError **error)
{
        describe(call->manager, ret_result);
        return true;
}

bool host_set(const Call *call, const HostlerHostSetArgs *args, HostlerHostInfo *ret_result, GError **error)
{
        /* HOSTLER_UNSET is less than any number that is allowed. */
        if (!warm_set(call->manager, args->pool_warm, args->pool_warm_floor, error))
                return false;
        describe(call->manager, ret_result);
        return true;
}
