/*
 * Which subnet an adapter gets its address from, and who is in each. See network_private.h.
 *
 * A LAN is a VLAN of a switch: the switch's own properties speak for the untagged one, those of a port group for the
 * VLAN it is in.
 */
#include <string.h>

#include "network/network_private.h"

static json_t *group_spec(Network *network, const char *switch_name, const char *group)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, group);
        return g_hash_table_lookup(network->groups, key);
}

static int vid_of(const json_t *level)
{
        const json_t *native = json_object_get(level, "native_vlan");
        Vlans vlans;
        if (!vlans_parse(json_string_value(json_object_get(level, "vlan")),
                         native ? json_integer_value(native) : HOSTLER_UNSET, &vlans, NULL) ||
            vlans.mode != VLAN_ACCESS)
                return -1;
        return vlans.vid;
}

int network_vid_of(Network *network, const char *switch_name, const char *group, const json_t *own)
{
        const json_t *of_group = group_spec(network, switch_name, group);
        return of_group ? vid_of(json_object_get(own, "vlan") ? own : of_group) : -1;
}

/* The first port group by name counts; that there are not two is seen to when they are made. */
static const json_t *find_spec(Network *network, const char *switch_name, int vid)
{
        const json_t *of_switch = g_hash_table_lookup(network->switches, switch_name), *found = NULL;
        g_autofree char *prefix = g_strdup_printf("%s/", switch_name);
        const char *found_key = NULL;
        GHashTableIter iter;
        gpointer key, spec;
        if (vid == 0 && json_object_get(of_switch, "subnet"))
                return of_switch;
        g_hash_table_iter_init(&iter, network->groups);
        while (g_hash_table_iter_next(&iter, &key, &spec)) {
                if (!g_str_has_prefix(key, prefix) || !json_object_get(spec, "subnet") || vid_of(spec) != vid)
                        continue;
                if (found_key && strcmp(found_key, key) < 0)
                        continue;
                found_key = key;
                found = spec;
        }
        return found;
}

bool network_find_lan(Network *network, const char *switch_name, int vid, Lan *ret_lan)
{
        const json_t *spec = vid >= 0 ? find_spec(network, switch_name, vid) : NULL;
        return spec && lan_read(g_hash_table_lookup(network->switches, switch_name), spec, ret_lan, NULL);
}

bool network_lan(Network *network, const char *switch_name, const char *group, const json_t *own, char **ret_key,
                 Lan *ret_lan)
{
        g_mutex_lock(&network->lock);
        int vid = network_vid_of(network, switch_name, group, own);
        bool found = network_find_lan(network, switch_name, vid, ret_lan);
        g_mutex_unlock(&network->lock);
        if (found && ret_key)
                *ret_key = g_strdup_printf("%s/%d", switch_name, vid);
        return found;
}

GPtrArray *network_subnets(Network *network)
{
        GPtrArray *subnets = g_ptr_array_new_with_free_func((GDestroyNotify)network_subnet_free);
        GHashTable *const tables[] = {network->switches, network->groups};
        g_mutex_lock(&network->lock);
        for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
                GHashTableIter iter;
                gpointer key, spec;
                g_hash_table_iter_init(&iter, tables[i]);
                while (g_hash_table_iter_next(&iter, &key, &spec)) {
                        const char *text = json_string_value(json_object_get(spec, "subnet"));
                        NetworkSubnet one = {.name = key};
                        if (!text || !subnet_parse(text, &one.subnet))
                                continue;
                        one.name = g_strdup(key);
                        one.vid = vid_of(spec);
                        text = json_string_value(json_object_get(spec, "ipv6_prefix"));
                        one.has_prefix = text && subnet_parse(text, &one.prefix);
                        g_ptr_array_add(subnets, g_memdup2(&one, sizeof one));
                }
        }
        g_mutex_unlock(&network->lock);
        return subnets;
}

void network_subnet_free(NetworkSubnet *subnet)
{
        g_free(subnet->name);
        g_free(subnet);
}

/* ---- for the thread ---- */

static int by_vid(gconstpointer a, gconstpointer b)
{
        return (*(Router *const *)a)->vid - (*(Router *const *)b)->vid;
}

static bool has_vid(const GPtrArray *routers, int vid)
{
        for (guint i = 0; i < routers->len; i++)
                if (((Router *)routers->pdata[i])->vid == vid)
                        return true;
        return false;
}

static void add_router(Network *network, const char *switch_name, int vid, GPtrArray *routers)
{
        g_auto(Lan) lan = {0};
        if (vid >= 0 && !has_vid(routers, vid) && network_find_lan(network, switch_name, vid, &lan))
                g_ptr_array_add(routers, router_new(switch_name, (uint16_t)vid, &lan));
}

/* By what it was given: its VLAN may have had another subnet then. */
static bool is_in(const Lan *lan, const LanHost *host)
{
        return (host->has_address && subnet_has(&lan->subnet, &host->address)) ||
               (host->has_address6 && lan->has_prefix && subnet_has(&lan->prefix, &host->address6));
}

static void add_hosts(Network *network, const GPtrArray *adapters, Router *router)
{
        for (guint i = 0; i < adapters->len; i++) {
                const Attached *adapter = adapters->pdata[i];
                if (adapter->host && is_in(&router->lan, adapter->host) &&
                    network_vid_of(network, adapter->switch_name, adapter->group, adapter->policy) == router->vid)
                        g_ptr_array_add(router->hosts, lan_host_copy(adapter->host));
        }
}

GPtrArray *network_routers(Network *network, const char *switch_name, const GPtrArray *adapters)
{
        GPtrArray *routers = g_ptr_array_new_with_free_func((GDestroyNotify)router_free);
        g_autofree char *prefix = g_strdup_printf("%s/", switch_name);
        GHashTableIter iter;
        gpointer key, spec;
        add_router(network, switch_name, 0, routers);
        g_hash_table_iter_init(&iter, network->groups);
        while (g_hash_table_iter_next(&iter, &key, &spec))
                if (g_str_has_prefix(key, prefix) && json_object_get(spec, "subnet"))
                        add_router(network, switch_name, vid_of(spec), routers);
        g_ptr_array_sort(routers, by_vid);
        for (guint i = 0; i < routers->len; i++)
                add_hosts(network, adapters, routers->pdata[i]);
        return routers;
}
