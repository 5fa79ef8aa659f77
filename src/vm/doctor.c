/*
 * doctor: what src/host finds, and what the daemon itself knows.
 */
#include "base/error.h"
#include "host/checks.h"
#include "hostler-handlers.h"
#include "vm/govern/govern.h"

static void add_store_check(Manager *manager, HostlerCheckList *checks)
{
        const char *reason = store_read_only_reason(manager_store(manager));
        checks->items = g_renew(HostlerCheck, checks->items, checks->count + 1);
        HostlerCheck *check = &checks->items[checks->count++];
        record_init(&hostler_check_type, check);
        check->name = g_strdup("state");
        check->ok = reason == NULL;
        check->detail = g_strdup(reason ? reason : "the state folder can be written");
        check->hint = reason ? g_strdup("free space under the state folder; running VMs go on meanwhile") : NULL;
}

static void add_allocation_check(Manager *manager, HostlerCheckList *checks)
{
        g_autofree char *why = govern_why_not(manager_governor(manager));
        checks->items = g_renew(HostlerCheck, checks->items, checks->count + 1);
        HostlerCheck *check = &checks->items[checks->count++];
        record_init(&hostler_check_type, check);
        check->name = g_strdup("allocation");
        check->ok = why == NULL;
        check->detail = why ? g_strdup_printf("shares, reservation and limit of processors are not enforced: %s", why)
                            : g_strdup("processors are shared out by control groups");
        check->hint = why ? g_strdup("run hostlerd as root, or give this user a control group of its own") : NULL;
}

bool doctor_show(const Call *call, const HostlerDoctorShowArgs *args, HostlerCheckList *ret_result, GError **error)
{
        HostContext context = {
            .state_dir = manager_state_dir(call->manager),
            .store = manager_store(call->manager),
            .probe = args->probe,
            .cancellable = call->cancellable,
        };
        host_checks(&context, ret_result);
        add_store_check(call->manager, ret_result);
        add_allocation_check(call->manager, ret_result);
        return true;
}
