/*
 * doctor: what src/host finds, and what the daemon itself knows.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "host/checks.h"
#include "hostler-handlers.h"
#include "vm/govern/govern.h"

#define IPTABLES_MS 10000
#define TABLES_LIMIT 4096

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

/* Rules that nft neither shows nor changes: all that is forwarded has to pass these as well. */
static bool is_dropped_by_legacy(GCancellable *cancellable)
{
        static const char *const argv[] = {"iptables-legacy", "-S", "FORWARD", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = IPTABLES_MS, .cancellable = cancellable};
        g_autofree char *tables = file_read("/proc/thread-self/net/ip_tables_names", TABLES_LIMIT, NULL, NULL);
        g_autofree char *rules = NULL;
        return tables && strstr(tables, "filter") && process_run(&options, &rules, NULL) &&
               (strstr(rules, "-P FORWARD DROP") || strstr(rules, "-j DROP") || strstr(rules, "-j REJECT"));
}

static void add_forward_check(GCancellable *cancellable, HostlerCheckList *checks)
{
        bool dropped = is_dropped_by_legacy(cancellable);
        checks->items = g_renew(HostlerCheck, checks->items, checks->count + 1);
        HostlerCheck *check = &checks->items[checks->count++];
        record_init(&hostler_check_type, check);
        check->name = g_strdup("forwarding");
        check->ok = !dropped;
        check->detail =
            g_strdup(dropped ? "iptables-legacy drops what is forwarded; guests on a switch with an uplink may "
                               "reach nobody"
                             : "no firewall of the old kind drops what guests send");
        check->hint = dropped
                          ? g_strdup("update-alternatives --set iptables /usr/sbin/iptables-nft, and load the rules "
                                     "anew; or iptables-legacy -I FORWARD -i hs+ -j ACCEPT and -I FORWARD -o hs+ -j "
                                     "ACCEPT   (as root)")
                          : NULL;
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
        add_forward_check(call->cancellable, ret_result);
        return true;
}
