/*
 * From declarations and adapters to bridges, ports and flows. See network_private.h.
 *
 * Called by the network's thread with the lock held; pure but for the numbers that new ports get.
 */
#include <string.h>

#include "base/error.h"
#include "network/compile.h"
#include "network/network_mirror.h"
#include "network/network_private.h"
#include "network/policy.h"

#define MTU_DEFAULT 1500

static void port_clear(gpointer data)
{
        TargetPort *port = data;
        g_free(port->key);
        g_free(port->device);
}

static void target_free(gpointer data)
{
        TargetSwitch *target = data;
        g_free(target->name);
        g_free(target->bridge);
        g_clear_pointer(&target->mirrors, g_ptr_array_unref);
        g_array_unref(target->ports);
        g_ptr_array_unref(target->routers);
        g_clear_pointer(&target->uplink, uplink_free);
        g_clear_pointer(&target->flows, flow_table_free);
        g_clear_error(&target->fault);
        g_free(target);
}

char *bridge_name(const char *switch_name)
{
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, switch_name, -1);
        return g_strdup_printf("hsb%.12s", hash);
}

static int by_key(gconstpointer a, gconstpointer b)
{
        return strcmp((*(Attached *const *)a)->key, (*(Attached *const *)b)->key);
}

GPtrArray *network_adapters(Network *network, const char *switch_name)
{
        GPtrArray *adapters = g_ptr_array_new();
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (strcmp(((Attached *)value)->switch_name, switch_name) == 0)
                        g_ptr_array_add(adapters, value);
        g_ptr_array_sort(adapters, by_key);
        return adapters;
}

/* ---- numbers ---- */

/* A port as far as its number is concerned. */
typedef struct {
        const char *device;
        uint32_t *number;
} Numbered;

static GArray *numbered_of(const GPtrArray *adapters, const GPtrArray *routers, Uplink *uplink)
{
        GArray *all = g_array_new(FALSE, FALSE, sizeof(Numbered));
        for (guint i = 0; i < adapters->len; i++) {
                Attached *adapter = adapters->pdata[i];
                g_array_append_val(all, ((Numbered){adapter->device, &adapter->number}));
        }
        for (guint i = 0; i < routers->len; i++) {
                Router *router = routers->pdata[i];
                g_array_append_val(all, ((Numbered){router->device, &router->number}));
        }
        if (uplink)
                g_array_append_val(all, ((Numbered){uplink->device, &uplink->number}));
        return all;
}

static void give_numbers(const GPtrArray *adapters, const GPtrArray *routers, Uplink *uplink, GHashTable *numbers)
{
        g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
        g_autoptr(GArray) ports = numbered_of(adapters, routers, uplink);
        uint32_t next = 1;
        for (guint i = 0; i < ports->len; i++) {
                Numbered *port = &g_array_index(ports, Numbered, i);
                uint32_t known = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, port->device));
                *port->number = *port->number ? *port->number : known;
                if (*port->number && !g_hash_table_add(taken, GUINT_TO_POINTER(*port->number)))
                        *port->number = 0;
        }
        for (guint i = 0; i < ports->len; i++) {
                Numbered *port = &g_array_index(ports, Numbered, i);
                while (!*port->number && !g_hash_table_add(taken, GUINT_TO_POINTER(next)))
                        next++;
                *port->number = *port->number ? *port->number : next;
        }
}

/* ---- the model ---- */

static json_t *group_spec(Network *network, const char *switch_name, const char *group)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, group);
        return g_hash_table_lookup(network->groups, key);
}

/* What the adapter says of VLANs counts before what its port group says. */
static bool vlans_of(const json_t *group, const json_t *own, Vlans *ret_vlans, GError **error)
{
        const json_t *level = json_object_get(own, "vlan") ? own : group;
        const json_t *native = json_object_get(level, "native_vlan");
        return vlans_parse(json_string_value(json_object_get(level, "vlan")),
                           native ? json_integer_value(native) : HOSTLER_UNSET, ret_vlans, error);
}

/* The number of a port group on its switch: only that they differ matters. */
static uint32_t group_number(GHashTable *groups, const char *group)
{
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(groups, group));
        if (number)
                return number;
        number = g_hash_table_size(groups) + 1;
        g_hash_table_insert(groups, (gpointer)group, GUINT_TO_POINTER(number));
        return number;
}

/* One whose VLANs cannot be read passes nothing: it is in none. */
static void make_port(Network *network, const json_t *of_switch, const Attached *adapter, uint32_t group, Port *port)
{
        const json_t *of_group = group_spec(network, adapter->switch_name, adapter->group);
        const json_t *levels[POLICY_LEVELS] = {NULL, of_switch, of_group, adapter->policy};
        *port = (Port){
            .number = adapter->number,
            .kind = PORT_ADAPTER,
            .group = group,
            .isolated = json_is_true(json_object_get(of_group, "isolated")),
            .mac = adapter->mac,
            .filter = adapter->filter,
            .addresses = (const IpAddress *)adapter->guard->data,
            .n_addresses = adapter->guard->len,
        };
        policy_resolve(levels, &port->policy);
        Rate *rate = &port->policy.from_vm;
        if (adapter->ceiling && (!rate->kbps || adapter->ceiling < rate->kbps))
                *rate = (Rate){.kbps = adapter->ceiling, .burst_kbit = MAX(adapter->ceiling / 10, 1)};
        if (of_group && vlans_of(of_group, adapter->policy, &port->vlans, NULL))
                return;
        port->vlans = (Vlans){.mode = VLAN_TRUNK};
}

static int mtu_of(const json_t *of_switch, const Attached *adapter)
{
        const json_t *mtu = json_object_get(of_switch, "mtu");
        int64_t own = adapter->mtu;
        return own != HOSTLER_UNSET ? (int)own : mtu ? (int)json_integer_value(mtu) : MTU_DEFAULT;
}

/* A capture sees tags as the adapter does that it listens to; another host sees all of them. */
static void set_vlans(const GPtrArray *adapters, GArray *ports)
{
        for (guint i = 0; i < adapters->len; i++) {
                const Attached *capture = adapters->pdata[i];
                if (capture->captures && !*capture->captures)
                        g_array_index(ports, TargetPort, i).vlans = (Vlans){.mode = VLAN_ALL};
                for (guint k = 0; capture->captures && k < ports->len; k++)
                        if (strcmp(g_array_index(ports, TargetPort, k).key, capture->captures) == 0)
                                g_array_index(ports, TargetPort, i).vlans = g_array_index(ports, TargetPort, k).vlans;
        }
}

/* Ports of routers come after those of adapters. */
static guint add_routers(TargetSwitch *target, Port *ports, guint n_ports)
{
        for (guint i = 0; i < target->routers->len; i++) {
                const Router *router = target->routers->pdata[i];
                TargetPort port = {.key = g_strdup(router->key),
                                   .device = g_strdup(router->device),
                                   .number = router->number,
                                   .is_router = true,
                                   .mtu = router->lan.mtu,
                                   .vlans = {.mode = VLAN_ACCESS, .vid = router->vid}};
                ports[n_ports++] =
                    (Port){.number = router->number, .kind = PORT_SERVICE, .mac = router->mac, .vlans = port.vlans};
                g_array_append_val(target->ports, port);
        }
        return n_ports;
}

static guint add_uplink(TargetSwitch *target, Port *ports, guint n_ports)
{
        const Uplink *uplink = target->uplink;
        if (!uplink)
                return n_ports;
        TargetPort port = {.key = g_strdup("uplink"),
                           .device = g_strdup(uplink->device),
                           .number = uplink->number,
                           .is_router = true,
                           .vlans = {.mode = VLAN_ALL}};
        ports[n_ports++] = (Port){.number = uplink->number, .kind = PORT_UPLINK, .vlans = port.vlans};
        g_array_append_val(target->ports, port);
        return n_ports;
}

static guint add_adapters(Network *network, const json_t *spec, const GPtrArray *adapters, GHashTable *deaf,
                          TargetSwitch *target, Port *ports)
{
        g_autoptr(GHashTable) groups = g_hash_table_new(g_str_hash, g_str_equal);
        guint n_ports = 0;
        for (guint i = 0; i < adapters->len; i++) {
                const Attached *adapter = adapters->pdata[i];
                TargetPort port = {.key = g_strdup(adapter->key),
                                   .device = g_strdup(adapter->device),
                                   .number = adapter->number,
                                   .wants_device = adapter->wants_device,
                                   .is_guests = !adapter->captures,
                                   .mtu = mtu_of(spec, adapter)};
                if (!adapter->captures) {
                        make_port(network, spec, adapter, group_number(groups, adapter->group), &ports[n_ports]);
                        ports[n_ports].copies_only = g_hash_table_contains(deaf, adapter->key);
                        port.rate = ports[n_ports].policy.to_vm;
                        port.vlans = ports[n_ports++].vlans;
                }
                g_array_append_val(target->ports, port);
        }
        set_vlans(adapters, target->ports);
        return n_ports;
}

static TargetSwitch *make_switch(Network *network, const char *name, const json_t *spec, GHashTable *numbers)
{
        TargetSwitch *target = g_new0(TargetSwitch, 1);
        g_autoptr(GPtrArray) adapters = network_adapters(network, name);
        g_autoptr(GHashTable) deaf = g_hash_table_new(g_str_hash, g_str_equal);
        target->name = g_strdup(name);
        target->bridge = bridge_name(name);
        target->ports = g_array_new(FALSE, FALSE, sizeof(TargetPort));
        g_array_set_clear_func(target->ports, port_clear);
        target->routers = network_routers(network, name, adapters);
        target->uplink = network_uplink(network, name, spec);
        give_numbers(adapters, target->routers, target->uplink, numbers);
        target->mirrors = mirrors_make(network, name, adapters, deaf);
        g_autofree Port *ports = g_new0(Port, adapters->len + target->routers->len + 1);
        guint n_ports = add_adapters(network, spec, adapters, deaf, target, ports);
        n_ports = add_uplink(target, ports, add_routers(target, ports, n_ports));
        SwitchModel model = {.ports = ports, .n_ports = n_ports};
        target->flows = switch_compile(&model, &target->fault);
        return target;
}

GPtrArray *target_make(Network *network, GHashTable *numbers)
{
        GPtrArray *targets = g_ptr_array_new_with_free_func(target_free);
        GHashTableIter iter;
        gpointer name, spec;
        g_hash_table_iter_init(&iter, network->switches);
        while (g_hash_table_iter_next(&iter, &name, &spec))
                g_ptr_array_add(targets, make_switch(network, name, spec, numbers));
        return targets;
}
