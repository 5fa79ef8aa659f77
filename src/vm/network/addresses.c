/*
 * Plans of addresses, and the pool that each subnet is. See addresses.h.
 *
 * What was given out is a row that its adapter keeps, so that it is the same after every restart. Rows of VMs that are
 * gone count for nothing and go when somebody needs an address, so no crash can lose one.
 */
#include "vm/network/addresses.h"

#include <string.h>

#include "base/error.h"

#define TRIES 8 /* that somebody else takes the same one at the same moment */

void address_plan_clear(AddressPlan *plan)
{
        g_clear_pointer(&plan->addresses, g_strfreev);
        g_clear_pointer(&plan->gateways, g_strfreev);
        g_clear_pointer(&plan->dns, g_strfreev);
        g_clear_pointer(&plan->search, g_strfreev);
        g_clear_pointer(&plan->given, g_free);
        g_clear_pointer(&plan->given6, g_free);
        g_clear_pointer(&plan->host, lan_host_free);
}

static const HostlerNicProps *nic_of(const HostlerPart *part)
{
        return strcmp(part->kind, "nic") == 0 ? part->props : NULL;
}

/* The LAN of an adapter; @ret_key "lan/10", caller frees. */
static bool lan_of(Manager *manager, const HostlerNicProps *nic, char **ret_key, Lan *ret_lan)
{
        if (!nic->network)
                return false;
        g_auto(GStrv) words = g_strsplit(nic->network, "/", 2);
        json_auto_t *own = record_to_json(kind_find("nic")->props, nic, RECORD_STORED);
        return network_lan(manager_network(manager), words[0], words[1], own, ret_key, ret_lan);
}

/* "10.1.2.5" or "10.1.2.5/24"; @ret_length -1: it says none. */
static bool parse_address(const char *text, IpAddress *ret_address, int *ret_length)
{
        g_auto(GStrv) words = g_strsplit(text, "/", 2);
        Subnet subnet;
        *ret_length = -1;
        if (!words[1])
                return ip_parse(text, ret_address);
        if (!subnet_parse(text, &subnet))
                return false;
        *ret_length = subnet.length;
        return ip_parse(words[0], ret_address);
}

static bool is_dhcp(const HostlerNicProps *nic)
{
        return !nic->ip_address || !nic->ip_address[0] || g_strv_contains((const char *const *)nic->ip_address, "dhcp");
}

/* ---- who has what ---- */

typedef struct {
        Manager *manager;
        const char *vm, *part; /* whose question it is: its own do not count */
        GHashTable *taken;     /* address → who has it, "web1.nic0" */
        GPtrArray *gone;       /* ids of VMs that are no more */
        char *own;             /* what the asker was given */
} Census;

static void count_row(const AddressRow *row, void *data)
{
        Census *census = data;
        if (strcmp(row->vm, census->vm) == 0 && strcmp(row->part, census->part) == 0) {
                census->own = g_strdup(row->address);
                return;
        }
        g_autoptr(Vm) vm = manager_any_vm(census->manager, row->vm);
        if (!vm && strcmp(row->vm, census->vm) != 0) {
                g_ptr_array_add(census->gone, g_strdup(row->vm));
                return;
        }
        g_autofree char *name = vm ? vm_name(vm) : g_strdup("this VM");
        g_hash_table_replace(census->taken, g_strdup(row->address), g_strdup_printf("%s.%s", name, row->part));
}

/* The address that an adapter makes itself by what our router says. False: it does not. */
static bool address_of_mac(const Lan *lan, const HostlerNicProps *nic, IpAddress *ret_address)
{
        Mac mac;
        if (!lan->has_prefix || !lan->dhcp || !nic->mac || !mac_parse(nic->mac, &mac))
                return false;
        *ret_address = prefix_address(&lan->prefix, &mac);
        return true;
}

/* What specs say by hand, and what follows from MACs. */
static void count_part(Vm *vm, const HostlerPart *part, const char *key, Census *census)
{
        const HostlerNicProps *nic = nic_of(part);
        g_autofree char *their_key = NULL, *name = vm_name(vm);
        g_auto(Lan) lan = {0};
        IpAddress address;
        if (!nic || !lan_of(census->manager, nic, &their_key, &lan) || strcmp(their_key, key) != 0)
                return;
        if (address_of_mac(&lan, nic, &address))
                g_hash_table_replace(census->taken, ip_text(&address), g_strdup_printf("%s.%s", name, part->name));
        for (char **text = nic->ip_address; text && *text; text++) {
                int length;
                if (parse_address(*text, &address, &length))
                        g_hash_table_replace(census->taken, ip_text(&address),
                                             g_strdup_printf("%s.%s", name, part->name));
        }
}

static void count_vms(bool trashed, const char *key, Census *census)
{
        g_autoptr(GPtrArray) vms = manager_vms(census->manager, trashed);
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = vms->pdata[i];
                g_autoptr(Spec) spec = vm_spec(vm);
                for (size_t k = 0; k < spec->value.count; k++)
                        if (strcmp(vm_id(vm), census->vm) != 0 || strcmp(spec->value.items[k].name, census->part) != 0)
                                count_part(vm, &spec->value.items[k], key, census);
        }
}

static void census_clear(Census *census)
{
        g_hash_table_unref(census->taken);
        g_ptr_array_unref(census->gone);
        g_free(census->own);
}

static bool take_census(Manager *manager, const char *vm_id, const char *part, const char *key, const Lan *lan,
                        Census *ret_census, GError **error)
{
        *ret_census = (Census){.manager = manager,
                               .vm = vm_id,
                               .part = part,
                               .taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                               .gone = g_ptr_array_new_with_free_func(g_free)};
        if (lan->has_gateway)
                g_hash_table_replace(ret_census->taken, ip_text(&lan->gateway), g_strdup("the gateway"));
        g_hash_table_replace(ret_census->taken, ip_text(&lan->own), g_strdup("the switch"));
        if (lan->has_prefix)
                g_hash_table_replace(ret_census->taken, ip_text(&lan->own6), g_strdup("the switch"));
        count_vms(false, key, ret_census);
        count_vms(true, key, ret_census);
        if (store_address_each(manager_store(manager), key, count_row, ret_census, error))
                return true;
        census_clear(ret_census);
        return false;
}

/* ---- the pool ---- */

/* False without an error: somebody else was quicker. */
static bool try_choose(Manager *manager, const char *vm_id, const char *part, const char *key, const Lan *lan,
                       char **ret_address, GError **error)
{
        Census census;
        IpAddress address;
        g_autoptr(GError) local = NULL;
        if (!take_census(manager, vm_id, part, key, lan, &census, error))
                return false;
        for (guint i = 0; i < census.gone->len; i++)
                store_address_delete(manager_store(manager), census.gone->pdata[i], NULL, NULL);
        bool good = census.own && ip_parse(census.own, &address) && subnet_is_host(&lan->subnet, &address) &&
                    !g_hash_table_contains(census.taken, census.own);
        bool found = good || subnet_choose(&lan->subnet, census.taken, &address);
        g_autofree char *text = found ? ip_text(&address) : NULL;
        AddressRow row = {.vm = (char *)vm_id, .part = (char *)part, .network = (char *)key, .address = text};
        census_clear(&census);
        if (!found)
                return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "%s: no address of its subnet is free", part);
        if (!good && !store_address_put(manager_store(manager), &row, &local)) {
                if (!error_is(local, HOSTLER_ERROR_EXISTS))
                        g_propagate_error(error, g_steal_pointer(&local));
                return false;
        }
        *ret_address = g_steal_pointer(&text);
        return true;
}

static char *give(Manager *manager, const char *vm_id, const char *part, const char *key, const Lan *lan,
                  GError **error)
{
        g_autoptr(GError) local = NULL;
        char *address = NULL;
        for (int i = 0; i < TRIES && !local; i++)
                if (try_choose(manager, vm_id, part, key, lan, &address, &local))
                        return address;
        if (local)
                g_propagate_error(error, g_steal_pointer(&local));
        else
                error_set(error, HOSTLER_ERROR_BUSY, NULL, "%s: others take every address it is offered", part);
        return NULL;
}

void addresses_return(Manager *manager, const char *vm_id, const char *part)
{
        store_address_delete(manager_store(manager), vm_id, part, NULL);
}

/* ---- the plan ---- */

static int length_of(const HostlerNicProps *nic, const Lan *lan, const IpAddress *address, int length)
{
        if (length >= 0)
                return length;
        if (!address->v6 && nic->netmask)
                return netmask_parse(nic->netmask);
        if (lan && subnet_has(&lan->subnet, address))
                return lan->subnet.length;
        if (lan && lan->has_prefix && subnet_has(&lan->prefix, address))
                return lan->prefix.length;
        return address->v6 ? 64 : 24;
}

static char **whole_addresses(const HostlerNicProps *nic, const Lan *lan)
{
        char **texts = nic->ip_address;
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (; texts && *texts; texts++) {
                IpAddress address;
                int length;
                if (!parse_address(*texts, &address, &length))
                        continue;
                g_autofree char *text = ip_text(&address);
                g_autofree char *whole = g_strdup_printf("%s/%d", text, length_of(nic, lan, &address, length));
                g_strv_builder_add(builder, whole);
        }
        return g_strv_builder_end(builder);
}

/* The first address of the subnet that is the adapter's. */
static bool address_in(const Subnet *subnet, char *const *addresses, IpAddress *ret_address)
{
        for (; *addresses; addresses++) {
                int length;
                if (parse_address(*addresses, ret_address, &length) && subnet_has(subnet, ret_address))
                        return true;
        }
        return false;
}

static bool own_address(const Lan *lan, const AddressPlan *plan, IpAddress *ret_address)
{
        return plan->given ? ip_parse(plan->given, ret_address)
                           : address_in(&lan->subnet, plan->addresses, ret_address);
}

/* One by hand is what it is known by. */
static bool own_address6(const Lan *lan, const AddressPlan *plan, IpAddress *ret_address)
{
        if (!lan->has_prefix)
                return false;
        return address_in(&lan->prefix, plan->addresses, ret_address) ||
               (plan->given6 && ip_parse(plan->given6, ret_address));
}

static char *first_of(char *const *addresses, bool v6)
{
        for (; addresses && *addresses; addresses++)
                if ((strchr(*addresses, ':') != NULL) == v6)
                        return g_strdup(*addresses);
        return NULL;
}

static LanHost *host_of(const char *vm_name, const HostlerPart *part, const Lan *lan, const AddressPlan *plan)
{
        const HostlerNicProps *nic = part->props;
        g_autofree char *label =
            strcmp(part->name, "nic0") == 0 ? g_strdup(vm_name) : g_strdup_printf("%s-%s", vm_name, part->name);
        LanHost *host = g_new0(LanHost, 1);
        host->has_address = own_address(lan, plan, &host->address);
        host->has_address6 = own_address6(lan, plan, &host->address6);
        if (!nic->mac || !mac_parse(nic->mac, &host->mac) || (!host->has_address && !host->has_address6)) {
                g_free(host);
                return NULL;
        }
        host->name = lan_host_name(label);
        host->dhcp = lan->dhcp;
        host->netmask = g_strdup(nic->netmask);
        host->gateway = first_of(nic->gateway, false);
        host->dns = g_strdupv(nic->dns);
        host->domain = g_strdup(nic->domain);
        host->search = g_strdupv(nic->search_domain);
        host->mtu = nic->mtu;
        return host;
}

/* The subnet's way out and name servers; that of a prefix is told by its router, unless the LAN tells nothing. */
static void fill_from(const Lan *lan, AddressPlan *plan)
{
        g_autoptr(GStrvBuilder) gateways = g_strv_builder_new(), servers = g_strv_builder_new();
        g_autofree char *gateway = ip_text(&lan->gateway), *own = ip_text(&lan->own), *own6 = ip_text(&lan->own6);
        IpAddress address;
        if (lan->has_gateway)
                g_strv_builder_add(gateways, gateway);
        if (lan->has_prefix && lan->nat && !lan->dhcp && own_address6(lan, plan, &address))
                g_strv_builder_add(gateways, own6);
        g_strv_builder_add(servers, own);
        if (lan->has_prefix)
                g_strv_builder_add(servers, own6);
        plan->gateways = g_strv_builder_end(gateways);
        plan->dns = lan->dns ? g_strdupv(lan->dns) : g_strv_builder_end(servers);
        if (plan->mtu == HOSTLER_UNSET)
                plan->mtu = lan->mtu;
}

static void replace(char ***list, char *const *by)
{
        if (!by)
                return;
        g_strfreev(*list);
        *list = g_strdupv((char **)by);
}

/* What an adapter with addresses by hand has to be told, for nobody else will. */
static void fill_in(const HostlerNicProps *nic, const Lan *lan, AddressPlan *plan)
{
        bool by_hand = lan && !plan->dhcp;
        const char *const domain[] = {nic->domain ? nic->domain : by_hand ? lan->domain : NULL, NULL};
        char **lan_search = by_hand ? lan->search : NULL;
        char **search = nic->search_domain ? nic->search_domain : nic->domain ? NULL : lan_search;
        if (by_hand)
                fill_from(lan, plan);
        replace(&plan->gateways, nic->gateway);
        replace(&plan->dns, nic->dns);
        plan->search = g_strdupv(search ? search : domain[0] ? (char **)domain : NULL);
}

bool addresses_plan(Manager *manager, const char *vm_id, const char *vm_name, const HostlerPart *part,
                    AddressPlan *ret_plan, GError **error)
{
        const HostlerNicProps *nic = part->props;
        g_autofree char *key = NULL;
        g_auto(Lan) lan = {0};
        bool has_lan = lan_of(manager, nic, &key, &lan);
        *ret_plan = (AddressPlan){.dhcp = is_dhcp(nic), .mtu = nic->mtu};
        if (has_lan && ret_plan->dhcp) {
                ret_plan->given = give(manager, vm_id, part->name, key, &lan, error);
                if (!ret_plan->given)
                        return false;
        }
        IpAddress address;
        if (has_lan && address_of_mac(&lan, nic, &address))
                ret_plan->given6 = ip_text(&address);
        ret_plan->addresses = whole_addresses(nic, has_lan ? &lan : NULL);
        ret_plan->dhcp6 = ret_plan->given6 && !address_in(&lan.prefix, ret_plan->addresses, &address);
        fill_in(nic, has_lan ? &lan : NULL, ret_plan);
        if (has_lan)
                ret_plan->host = host_of(vm_name, part, &lan, ret_plan);
        return true;
}

/* ---- what cannot be ---- */

static void refuse(GPtrArray *faults, const HostlerPart *part, const char *property, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static void refuse(GPtrArray *faults, const HostlerPart *part, const char *property, const char *format, ...)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        va_list arguments;
        va_start(arguments, format);
        g_autofree char *why = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        faults_add(faults, pointer, "%s", why);
}

/* Guests can have it: not 0, a group, a loopback or everybody. */
static bool is_unicast(const IpAddress *address)
{
        static const uint8_t zero[15];
        const uint8_t *b = address->bytes;
        if (address->v6)
                return b[0] != 0xff && memcmp(b, zero, sizeof zero) != 0;
        return b[0] != 0 && b[0] != 127 && b[0] < 224;
}

static bool is_link_local(const IpAddress *address)
{
        return address->v6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* What follows from its MAC may be somebody's by hand; and IPv6 has a least MTU. */
static void check_prefix(Manager *manager, const char *vm_id, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        g_autofree char *key = NULL;
        g_auto(Lan) lan = {0};
        IpAddress address;
        Census census;
        if (!lan_of(manager, nic, &key, &lan) || !address_of_mac(&lan, nic, &address))
                return;
        if (nic->mtu != HOSTLER_UNSET && nic->mtu < MTU_MIN_V6)
                refuse(faults, part, "mtu", "IPv6, of which its network has a prefix, needs %d", MTU_MIN_V6);
        if (!take_census(manager, vm_id, part->name, key, &lan, &census, NULL))
                return;
        g_autofree char *text = ip_text(&address);
        const char *holder = g_hash_table_lookup(census.taken, text);
        if (holder)
                refuse(faults, part, "mac", "%s has %s, which follows from it", holder, text);
        census_clear(&census);
}

static void check_in_lan(Manager *manager, const char *vm_id, const HostlerPart *part, const IpAddress *address,
                         GPtrArray *faults)
{
        g_autofree char *key = NULL, *text = ip_text(address);
        g_auto(Lan) lan = {0};
        Census census;
        if (!lan_of(manager, part->props, &key, &lan) || (address->v6 && (!lan.has_prefix || is_link_local(address))))
                return;
        const Subnet *own = address->v6 ? &lan.prefix : &lan.subnet;
        g_autofree char *subnet = subnet_text(own);
        if (!subnet_is_host(own, address)) {
                refuse(faults, part, "ip_address", "%s is no address of a host in %s, the %s of %s", text, subnet,
                       address->v6 ? "prefix" : "subnet", ((const HostlerNicProps *)part->props)->network);
                return;
        }
        if (!take_census(manager, vm_id, part->name, key, &lan, &census, NULL))
                return;
        const char *holder = g_hash_table_lookup(census.taken, text);
        if (holder)
                refuse(faults, part, "ip_address", "%s has %s", holder, text);
        census_clear(&census);
}

static void check_address(Manager *manager, const char *vm_id, const HostlerPart *part, const char *text,
                          GPtrArray *faults)
{
        IpAddress address;
        int length;
        if (strcmp(text, "dhcp") == 0) {
                const HostlerNicProps *nic = part->props;
                for (char **other = nic->ip_address; *other; other++)
                        if (strcmp(*other, "dhcp") != 0 && !strchr(*other, ':'))
                                refuse(faults, part, "ip_address", "it is either `dhcp` or IPv4 addresses");
        } else if (!parse_address(text, &address, &length)) {
                refuse(faults, part, "ip_address", "“%s” is no IP address", text);
        } else if (!is_unicast(&address)) {
                refuse(faults, part, "ip_address", "%s is not an address that a guest can have", text);
        } else {
                check_in_lan(manager, vm_id, part, &address, faults);
        }
}

/* A gateway is reached without one: it is in the network of one of the addresses. */
static void check_gateway(const HostlerNicProps *nic, const HostlerPart *part, const Lan *lan, const char *text,
                          GPtrArray *faults)
{
        g_auto(GStrv) own = whole_addresses(nic, lan);
        IpAddress gateway;
        bool near = lan && is_dhcp(nic), known = near;
        if (!ip_parse(text, &gateway)) {
                refuse(faults, part, "gateway", "“%s” is no IP address", text);
                return;
        }
        near = near && subnet_is_host(&lan->subnet, &gateway);
        for (char **address = own; *address; address++) {
                Subnet subnet;
                if (!subnet_parse(*address, &subnet) || subnet.address.v6 != gateway.v6)
                        continue;
                known = true;
                near |= subnet_is_host(&subnet, &gateway);
        }
        if (known && !near && !(gateway.v6 && gateway.bytes[0] == 0xfe))
                refuse(faults, part, "gateway", "%s is in no network of its addresses", text);
}

void addresses_check(Manager *manager, const char *vm_id, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        g_auto(Lan) lan = {0};
        bool has_lan = lan_of(manager, nic, NULL, &lan);
        IpAddress server;
        for (char **text = nic->ip_address; text && *text; text++)
                check_address(manager, vm_id, part, *text, faults);
        if (nic->netmask && netmask_parse(nic->netmask) < 1)
                refuse(faults, part, "netmask", "“%s” is no netmask: `255.255.255.0`", nic->netmask);
        for (char **text = nic->gateway; text && *text; text++)
                check_gateway(nic, part, has_lan ? &lan : NULL, *text, faults);
        for (char **text = nic->dns; text && *text; text++)
                if (!ip_parse(*text, &server))
                        refuse(faults, part, "dns", "“%s” is no IP address", *text);
        check_prefix(manager, vm_id, part, faults);
        if (has_lan && nic->mtu != HOSTLER_UNSET && nic->mtu > lan.mtu)
                refuse(faults, part, "mtu", "the switch carries %d", lan.mtu);
}
