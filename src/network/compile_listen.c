/*
 * Promiscuous ports: who gets copies of the frames of others, and of which.
 *
 * A listener stands in the table of its scope; the tables are passed one after the other. Registers 8 to 11 have a bit
 * for each that has its copy already, so that what was sent to it anyway arrives once.
 */
#include "network/compile_private.h"

static const struct {
        unsigned class;
        int priority;
} classes[] = {{CLASS_BROADCAST, 30}, {CLASS_MULTICAST, 20}, {CLASS_UNICAST, 10}};

static bool listens(const Port *port)
{
        const Policy *policy = &port->policy;
        bool asks = policy->when == HOSTLER_PROMISCUOUS_WHEN_ALWAYS || !port->filter.known || port->filter.promiscuous;
        return port_is_adapter(port) && policy->promiscuous != 0 && asks;
}

GPtrArray *listeners_of(const SwitchModel *model)
{
        GPtrArray *listeners = g_ptr_array_new();
        for (guint i = 0; i < model->n_ports; i++)
                if (listens(&model->ports[i]))
                        g_ptr_array_add(listeners, (gpointer)&model->ports[i]);
        return listeners;
}

int compiler_listener(const Compiler *compiler, const Port *port)
{
        guint number;
        return g_ptr_array_find(compiler->listeners, port, &number) ? (int)number : -1;
}

static int table_of(const Port *port)
{
        switch (port->policy.scope) {
        case HOSTLER_PROMISCUOUS_SCOPE_PORTGROUP:
                return TABLE_LISTEN_SENDER;
        case HOSTLER_PROMISCUOUS_SCOPE_SWITCH:
                return TABLE_LISTEN_SWITCH;
        default:
                return port_has_every_vlan(port) ? TABLE_LISTEN_SWITCH : TABLE_LISTEN_VLAN;
        }
}

static void match_class(Flow *flow, unsigned class)
{
        if (class == CLASS_BROADCAST)
                match_mac(flow, MATCH_ETH_DST, &mac_broadcast);
        else
                match_is_group(flow, class == CLASS_MULTICAST);
}

static void copy(Flow *flow, const Port *port, int listener)
{
        flow_clone(flow, 3);
        flow_load(flow, REG_RECEIVER, 0, 32, port->number);
        flow_load(flow, REG_IS_COPY, 0, 1, 1);
        flow_resubmit(flow, TABLE_EGRESS);
        flow_load(flow, REG_HAS_COPY + listener / 32, listener % 32, 1, 1);
}

/* Whether it stands in @table, and hears VLAN @vid (-1: all) and port group @group (0: all) there. */
static bool stands_in(const Port *port, int table, int vid, uint32_t group)
{
        return table_of(port) == (table == TABLE_LISTEN_RECEIVER ? TABLE_LISTEN_SENDER : table) &&
               (vid < 0 || vlans_have(&port->vlans, vid)) && (group == 0 || port->group == group);
}

static Flow *add_copies(Compiler *compiler, int table, unsigned class, int priority, int vid, uint32_t group)
{
        Flow *flow = compiler_add(compiler, table, priority, FLOW_LISTENER, NULL);
        match_class(flow, class);
        if (vid >= 0)
                match_vlan(flow, vid);
        if (group)
                flow_match(flow, MATCH_REG(table == TABLE_LISTEN_RECEIVER ? REG_RECEIVERS_GROUP : REG_GROUP), group);
        return flow;
}

/* One flow, with copies for all that hear the class. Broadcasts are groups too: whoever hears those makes a flow that
 * keeps broadcasts from them. */
static void compile_copies(Compiler *compiler, int table, unsigned class, int priority, int vid, uint32_t group)
{
        unsigned concerned = class == CLASS_BROADCAST ? CLASS_BROADCAST | CLASS_MULTICAST : class;
        Flow *flow = NULL;
        for (guint i = 0; i < compiler->listeners->len; i++) {
                const Port *port = compiler->listeners->pdata[i];
                if (!stands_in(port, table, vid, group) || !(port->policy.promiscuous & concerned))
                        continue;
                if (!flow)
                        flow = add_copies(compiler, table, class, priority, vid, group);
                if (port->policy.promiscuous & class)
                        copy(flow, port, i);
        }
        if (flow && table != TABLE_LISTEN_RECEIVER)
                flow_resubmit(flow, table + 1);
}

static void compile_classes(Compiler *compiler, int table, int vid, uint32_t group)
{
        for (gsize i = 0; i < G_N_ELEMENTS(classes); i++)
                if (table != TABLE_LISTEN_RECEIVER || classes[i].class == CLASS_UNICAST)
                        compile_copies(compiler, table, classes[i].class, classes[i].priority, vid, group);
}

/* Each VLAN and each port group that a listener hears, once. */
static void compile_heard(Compiler *compiler)
{
        g_autoptr(GHashTable) groups = g_hash_table_new(NULL, NULL);
        Vlans heard = {.mode = VLAN_TRUNK};
        bool untagged = false;
        for (guint i = 0; i < compiler->listeners->len; i++) {
                const Port *port = compiler->listeners->pdata[i];
                if (table_of(port) == TABLE_LISTEN_SENDER && port->group &&
                    g_hash_table_add(groups, GUINT_TO_POINTER(port->group))) {
                        compile_classes(compiler, TABLE_LISTEN_SENDER, -1, port->group);
                        compile_classes(compiler, TABLE_LISTEN_RECEIVER, -1, port->group);
                }
                for (unsigned vid = 0; table_of(port) == TABLE_LISTEN_VLAN && vid <= VLAN_MAX; vid++)
                        if (vlans_have(&port->vlans, vid))
                                heard.allowed[vid / 64] |= UINT64_C(1) << (vid % 64);
        }
        untagged = heard.allowed[0] & 1;
        for (unsigned vid = 0; vid <= VLAN_MAX; vid++)
                if (vid == 0 ? untagged : vlans_have(&heard, vid))
                        compile_classes(compiler, TABLE_LISTEN_VLAN, vid, 0);
}

/* A copy that its receiver has already; and one of a VLAN that it only hears. */
static void compile_copy_egress(Compiler *compiler, const Port *port, int listener)
{
        uint32_t bit = 1u << (listener % 32);
        Flow *again = compiler_add_egress(compiler, 250, FLOW_LISTENER, port);
        flow_match(again, MATCH_REG(REG_IS_COPY), 1);
        flow_match_masked(again, MATCH_REG(REG_HAS_COPY + listener / 32), bit, bit);
        if (port->policy.scope != HOSTLER_PROMISCUOUS_SCOPE_SWITCH)
                return;
        Flow *other = compiler_add_egress(compiler, 50, FLOW_LISTENER, port);
        flow_match(other, MATCH_REG(REG_IS_COPY), 1);
        flow_output(other, port->number);
}

void compile_listeners(Compiler *compiler)
{
        if (compiler->listeners->len == 0)
                return;
        for (int table = TABLE_LISTEN_SWITCH; table < TABLE_LISTEN_RECEIVER; table++)
                flow_resubmit(compiler_add(compiler, table, 0, FLOW_LISTENER, NULL), table + 1);
        compile_classes(compiler, TABLE_LISTEN_SWITCH, -1, 0);
        compile_heard(compiler);
        for (guint i = 0; i < compiler->listeners->len; i++)
                compile_copy_egress(compiler, compiler->listeners->pdata[i], i);
}
