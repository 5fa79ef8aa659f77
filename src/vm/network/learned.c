/*
 * Addresses that nobody declared: what the LANs of a VM's adapters have heard, beside what its agent says, and who
 * holds the same address by right. See ports.h.
 */
#include <string.h>

#include "base/error.h"
#include "vm/network/ports.h"

static HostlerAddress *find(HostlerAddressList *list, const char *nic, const char *address)
{
        for (size_t i = 0; i < list->count; i++)
                if (g_strcmp0(list->items[i].nic, nic) == 0 && g_strcmp0(list->items[i].address, address) == 0)
                        return &list->items[i];
        return NULL;
}

/* "agent" becomes "agent,lease". */
static void add_source(HostlerAddress *row, const char *source)
{
        g_auto(GStrv) known = g_strsplit(row->source ? row->source : "", ",", -1);
        if (g_strv_contains((const char *const *)known, source))
                return;
        char *both = row->source ? g_strdup_printf("%s,%s", row->source, source) : g_strdup(source);
        g_free(row->source);
        row->source = both;
}

static void note(HostlerAddressList *list, const char *nic, const NetworkLearned *learned)
{
        g_autofree char *address = ip_text(&learned->address);
        HostlerAddress *row = find(list, nic, address);
        if (!row) {
                list->items = g_renew(HostlerAddress, list->items, list->count + 1);
                row = &list->items[list->count++];
                record_init(&hostler_address_type, row);
                row->address = g_strdup(address);
                row->nic = g_strdup(nic);
                row->mac = mac_text(&learned->mac);
        }
        add_source(row, learned->lease ? "lease" : learned->address.v6 ? "nd" : "arp");
}

/* "web2.nic0", of "VM ID/nic0". Caller frees. */
static char *name_of(Manager *manager, const char *key)
{
        g_auto(GStrv) words = g_strsplit(key, "/", 2);
        g_autoptr(Vm) vm = manager_any_vm(manager, words[0]);
        g_autofree char *name = vm ? vm_name(vm) : g_strdup(words[0]);
        return g_strdup_printf("%s.%s", name, words[1]);
}

static void mark_conflicts(Vm *vm, HostlerAddressList *list)
{
        Manager *manager = vm_manager(vm);
        for (size_t i = 0; i < list->count; i++) {
                HostlerAddress *row = &list->items[i];
                IpAddress address;
                if (!row->nic || !row->address || !ip_parse(row->address, &address))
                        continue;
                g_autofree char *key = network_address_holder(manager_network(manager), vm_id(vm), row->nic, &address);
                g_free(row->conflict);
                row->conflict = key ? name_of(manager, key) : NULL;
        }
}

void ports_learned(Vm *vm, HostlerAddressList *list)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        Network *network = manager_network(vm_manager(vm));
        for (size_t i = 0; i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                const HostlerNicProps *nic = strcmp(part->kind, "nic") == 0 ? part->props : NULL;
                if (!nic || !nic->network)
                        continue;
                g_autoptr(GArray) learned = network_learned(network, vm_id(vm), part->name);
                for (guint k = 0; k < learned->len; k++)
                        note(list, part->name, &g_array_index(learned, NetworkLearned, k));
        }
        mark_conflicts(vm, list);
}
