/*
 * Verbs that only look: lists and pictures of VMs, jobs, events. From memory or the store; QEMU is never asked.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/manager.h"
#include "vm/network/ports.h"

/* ---- VMs ---- */

typedef struct {
        const char *word; /* the name contains it; NULL: any */
        const char *glob; /* the name matches it */
        HostlerPower power;
} Filter;

static bool parse_filter(const char *text, Filter *ret_filter, GError **error)
{
        *ret_filter = (Filter){0};
        if (!text)
                return true;
        if (g_str_has_prefix(text, "name="))
                ret_filter->glob = text + strlen("name=");
        else if (!g_str_has_prefix(text, "power="))
                ret_filter->word = text;
        else {
                for (int i = 1; hostler_power_enum.values[i]; i++)
                        if (strcmp(hostler_power_enum.values[i], text + strlen("power=")) == 0)
                                ret_filter->power = (HostlerPower)i;
                if (!ret_filter->power)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is no power state",
                                         text + strlen("power="));
        }
        return true;
}

static bool matches(const Filter *filter, const HostlerVm *info)
{
        if (filter->word && !strstr(info->name, filter->word))
                return false;
        if (filter->glob && !g_pattern_match_simple(filter->glob, info->name))
                return false;
        return !filter->power || info->status->power == filter->power;
}

bool vm_ls(const Call *call, const HostlerVmLsArgs *args, HostlerVmList *ret_result, GError **error)
{
        Filter filter;
        if (!parse_filter(args->filter, &filter, error))
                return false;
        g_autoptr(GPtrArray) vms = manager_vms(call->manager, args->trash);
        size_t limit = args->limit == HOSTLER_UNSET ? vms->len : (size_t)args->limit;
        *ret_result = (HostlerVmList){.items = g_new0(HostlerVm, vms->len)};
        for (guint i = 0; i < vms->len && ret_result->count < limit; i++) {
                HostlerVm *info = &ret_result->items[ret_result->count];
                vm_info(g_ptr_array_index(vms, i), info);
                if (matches(&filter, info) && (!args->cursor || strcmp(info->name, args->cursor) > 0))
                        ret_result->count++;
                else
                        record_clear(&hostler_vm_type, info);
        }
        return true;
}

bool vm_show(const Call *call, const HostlerVmShowArgs *args, HostlerVm *ret_result, GError **error)
{
        g_autoptr(GError) local = NULL;
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, &local);
        if (!vm)
                vm = manager_trashed_vm(call->manager, args->vm, NULL);
        if (!vm) {
                g_propagate_error(error, g_steal_pointer(&local));
                return false;
        }
        vm_info(vm, ret_result);
        if (ret_result->status)
                ports_learned(vm, &ret_result->status->addresses);
        return true;
}

/* ---- jobs ---- */

bool job_ls(const Call *call, const HostlerJobLsArgs *args, HostlerJobList *ret_result, GError **error)
{
        return job_list(manager_jobs(call->manager), args, ret_result, error);
}

bool job_show(const Call *call, const HostlerJobShowArgs *args, HostlerJob *ret_result, GError **error)
{
        return job_get(manager_jobs(call->manager), args->job, ret_result, error);
}

bool job_cancel_verb(const Call *call, const HostlerJobCancelArgs *args, GError **error)
{
        return job_cancel(manager_jobs(call->manager), args->job, error);
}

/* ---- events ---- */

static void add_event(const EventRow *row, void *data)
{
        HostlerEventList *list = data;
        json_auto_t *json = event_to_json(row);
        list->items = g_renew(HostlerEvent, list->items, list->count + 1);
        if (record_from_json(&hostler_event_type, json, "", &list->items[list->count], NULL))
                list->count++;
}

bool event_ls(const Call *call, const HostlerEventLsArgs *args, HostlerEventList *ret_result, GError **error)
{
        *ret_result = (HostlerEventList){0};
        return store_event_each(manager_store(call->manager), args->since, args->object, (int)args->limit, add_event,
                                ret_result, error);
}
