/*
 * From a switch to its flows: admission, who may send what, and to whom frames go. See compile.h for the tables.
 *
 * The guards of IP addresses are in compile_guard.c, promiscuous ports in compile_listen.c. Nothing is sent from here.
 */
#include "network/compile.h"

#include <string.h>

#include "base/error.h"
#include "network/compile_private.h"

/* Receivers that one flow names: an OpenFlow message has 64 KiB. */
#define LIST_PIECE 800

const Mac mac_broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* ---- what a port is ---- */

bool port_is_adapter(const Port *port)
{
        return port->kind == PORT_ADAPTER;
}

/* The address frames must come from, and go to, for this port. */
static const Mac *address_of(const Port *port)
{
        return port_is_adapter(port) && port->policy.mac_changes && port->filter.known ? &port->filter.mac : &port->mac;
}

static bool has_moved(const Port *port)
{
        return port_is_adapter(port) && port->filter.known && !mac_equal(&port->filter.mac, &port->mac);
}

/* Whether it gets every frame to a group of its VLANs. */
static bool takes_all_groups(const Port *port)
{
        return !port_is_adapter(port) || !port->filter.known || port->filter.all_multicast;
}

static bool wants_group(const Port *port, const Mac *group)
{
        for (guint i = 0; i < port->filter.n_groups; i++)
                if (mac_equal(&port->filter.groups[i], group))
                        return true;
        return takes_all_groups(port);
}

bool port_has_every_vlan(const Port *port)
{
        return port->kind == PORT_UPLINK || port->vlans.mode == VLAN_ALL;
}

static bool has_vlan(const Port *port, uint16_t vid)
{
        return port->kind == PORT_UPLINK || vlans_have(&port->vlans, vid);
}

/* ---- matching and delivering ---- */

void match_vlan(Flow *flow, uint16_t vid)
{
        flow_match(flow, MATCH_VLAN_VID, vid ? vid | FLOW_VLAN_PRESENT : 0);
}

void match_mac(Flow *flow, MatchField field, const Mac *mac)
{
        flow_match_bytes(flow, field, mac->bytes);
}

/* Whether the frame is to one, or to a group. */
void match_is_group(Flow *flow, bool group)
{
        uint64_t bit = UINT64_C(0x010000000000);
        flow_match_masked(flow, MATCH_ETH_DST, group ? bit : 0, bit);
}

Flow *compiler_add(Compiler *compiler, int table, int priority, FlowClass class, const Port *port)
{
        return flow_add(compiler->table, table, priority, COOKIE_MAKE(class, port ? port->number : 0));
}

/* The same for what @port sends. */
Flow *compiler_add_from(Compiler *compiler, int table, int priority, FlowClass class, const Port *port)
{
        Flow *flow = compiler_add(compiler, table, priority, class, port);
        flow_match(flow, MATCH_IN_PORT, port->number);
        return flow;
}

static void deliver(Compiler *compiler, Flow *flow, const Port *port)
{
        int listener = compiler_listener(compiler, port);
        flow_clone(flow, 2);
        flow_load(flow, REG_RECEIVER, 0, 32, port->number);
        flow_resubmit(flow, TABLE_EGRESS);
        if (listener >= 0)
                flow_load(flow, REG_HAS_COPY + listener / 32, listener % 32, 1, 1);
}

static void then_listeners(Compiler *compiler, Flow *flow)
{
        if (compiler->listeners->len > 0)
                flow_resubmit(flow, TABLE_LISTEN_SWITCH);
}

/* ---- admission, VLAN ---- */

static void compile_admission(Compiler *compiler, const Port *port)
{
        Flow *flow = compiler_add_from(compiler, TABLE_ADMISSION, 100, FLOW_ADMISSION, port);
        flow_load(flow, REG_SENDER, 0, 32, port->number);
        if (port->group)
                flow_load(flow, REG_GROUP, 0, 32, port->group);
        if (port->isolated)
                flow_load(flow, REG_ISOLATED, 0, 1, 1);
        flow_resubmit(flow, TABLE_VLAN);
        if (port_is_adapter(port) && !port->policy.traffic)
                compiler_add_from(compiler, TABLE_ADMISSION, 250, FLOW_BLOCKED, port);
        if (port->copies_only)
                compiler_add_from(compiler, TABLE_ADMISSION, 260, FLOW_MIRROR, port);
}

static void compile_untagged(Compiler *compiler, const Port *port)
{
        bool has_untagged = port->vlans.mode != VLAN_TRUNK || port->vlans.vid != 0;
        if (!has_untagged)
                return;
        Flow *flow = compiler_add_from(compiler, TABLE_VLAN, 100, FLOW_VLAN, port);
        match_vlan(flow, 0);
        if (port->vlans.mode != VLAN_ALL && port->vlans.vid != 0)
                flow_push_vlan(flow, port->vlans.vid);
        flow_resubmit(flow, TABLE_SOURCE);
}

static void compile_vlan(Compiler *compiler, const Port *port)
{
        if (port_has_every_vlan(port)) {
                flow_resubmit(compiler_add_from(compiler, TABLE_VLAN, 100, FLOW_VLAN, port), TABLE_SOURCE);
                return;
        }
        compile_untagged(compiler, port);
        for (unsigned vid = 1; port->vlans.mode == VLAN_TRUNK && vid <= VLAN_MAX; vid++) {
                if (!vlans_have(&port->vlans, vid))
                        continue;
                Flow *flow = compiler_add_from(compiler, TABLE_VLAN, 100, FLOW_VLAN, port);
                match_vlan(flow, vid);
                flow_resubmit(flow, TABLE_SOURCE);
        }
        compiler_add_from(compiler, TABLE_VLAN, 10, FLOW_VLAN, port);
}

/* ---- the source address ---- */

/* Its guest may have given it another address without our being told. */
static bool cannot_tell(const Port *port)
{
        return port_is_adapter(port) && !port->filter.known;
}

static void learn_mark(const Port *port, Flow *flow, bool has_moved)
{
        if (cannot_tell(port) && !port->policy.mac_changes)
                flow_learn_mark(flow, TABLE_MARKED, REG_MARK, has_moved, REG_RECEIVER, port->number);
}

static void forged_verdict(const Port *port, Flow *flow, bool accepted)
{
        learn_mark(port, flow, true);
        if (cannot_tell(port) && port->policy.mac_changes && accepted)
                flow_learn_source(flow, TABLE_LEARNED, REG_RECEIVER, port->number);
        if (accepted)
                flow_resubmit(flow, port->policy.mac_spoofing ? TABLE_ADDRESS : TABLE_OWNERS);
}

static void compile_forged_protocol(Compiler *compiler, const Port *port, uint8_t protocol, bool accepted)
{
        static const uint16_t types[] = {0x0800, 0x86dd};
        for (gsize i = 0; accepted != port->policy.forged && i < G_N_ELEMENTS(types); i++) {
                Flow *flow = compiler_add_from(compiler, TABLE_SOURCE, 50, FLOW_FORGED, port);
                flow_match(flow, MATCH_ETH_TYPE, types[i]);
                flow_match(flow, MATCH_IP_PROTO, protocol);
                forged_verdict(port, flow, accepted);
        }
}

static void compile_source(Compiler *compiler, const Port *port)
{
        if (!port_is_adapter(port))
                return;
        Flow *own = compiler_add_from(compiler, TABLE_SOURCE, 100, FLOW_FORGED, port);
        match_mac(own, MATCH_ETH_SRC, address_of(port));
        learn_mark(port, own, false);
        flow_resubmit(own, TABLE_ADDRESS);
        compile_forged_protocol(compiler, port, IPPROTO_TCP, port->policy.forged_tcp);
        compile_forged_protocol(compiler, port, IPPROTO_UDP, port->policy.forged_udp);
        forged_verdict(port, compiler_add_from(compiler, TABLE_SOURCE, 10, FLOW_FORGED, port), port->policy.forged);
        if (!port->policy.mac_spoofing)
                compiler_add_from(compiler, TABLE_SPOOFED, 10, FLOW_MAC_SPOOFING, port);
}

static void compile_owner(Compiler *compiler, const Mac *mac)
{
        g_autofree char *key = mac_text(mac);
        if (!g_hash_table_add(compiler->owned, g_steal_pointer(&key)))
                return;
        Flow *flow = compiler_add(compiler, TABLE_OWNERS, 100, FLOW_MAC_SPOOFING, NULL);
        match_mac(flow, MATCH_ETH_SRC, mac);
        flow_resubmit(flow, TABLE_SPOOFED);
}

/* Both the address it has and the one it was given are a port's own, not another's. */
static void compile_owners(Compiler *compiler, const Port *port)
{
        if (port->kind == PORT_UPLINK)
                return;
        compile_owner(compiler, &port->mac);
        if (!has_moved(port) || !port->policy.mac_changes)
                return;
        compile_owner(compiler, &port->filter.mac);
        Flow *flow = compiler_add_from(compiler, TABLE_OWNERS, 200, FLOW_MAC_SPOOFING, port);
        match_mac(flow, MATCH_ETH_SRC, &port->mac);
        flow_resubmit(flow, TABLE_ADDRESS);
}

/* ---- the destination ---- */

static bool take_destination(Compiler *compiler, int vid, const Mac *mac)
{
        g_autofree char *address = mac_text(mac);
        return g_hash_table_add(compiler->destinations, g_strdup_printf("%d/%s", vid, address));
}

/* The frame is the port's. */
static void give(Compiler *compiler, Flow *flow, const Port *port)
{
        deliver(compiler, flow, port);
        if (port->group && compiler->listeners->len > 0)
                flow_load(flow, REG_RECEIVERS_GROUP, 0, 32, port->group);
        then_listeners(compiler, flow);
}

static void compile_unicast(Compiler *compiler, const Port *port, int vid, const Mac *mac)
{
        Flow *flow = compiler_add(compiler, TABLE_DESTINATION, vid < 0 ? 79 : 80, FLOW_DESTINATION, port);
        if (vid >= 0)
                match_vlan(flow, vid);
        match_mac(flow, MATCH_ETH_DST, mac);
        give(compiler, flow, port);
}

/* Those who may have addresses that only their frames tell. False: there are none. */
static bool compile_learned(Compiler *compiler)
{
        bool any = false;
        for (guint i = 0; i < compiler->model->n_ports; i++) {
                const Port *port = &compiler->model->ports[i];
                if (!cannot_tell(port) || !port->policy.mac_changes)
                        continue;
                Flow *flow = compiler_add(compiler, TABLE_UNKNOWN, 10, FLOW_DESTINATION, port);
                flow_match(flow, MATCH_REG(REG_RECEIVER), port->number);
                give(compiler, flow, port);
                any = true;
        }
        return any;
}

/*
 * Frames to @mac are the port's, in each of its VLANs, unless somebody has that address there. Every port first takes
 * what it was given (@is_there: it still answers to it), so that nobody gets a neighbour's frames by changing.
 */
static void compile_address(Compiler *compiler, const Port *port, const Mac *mac, bool is_there)
{
        int first = 0, last = VLAN_MAX;
        if (port_has_every_vlan(port))
                first = last = -1;
        else if (port->vlans.mode == VLAN_ACCESS)
                first = last = port->vlans.vid;
        for (int vid = first; vid <= last; vid++)
                if ((vid < 0 || has_vlan(port, vid)) && take_destination(compiler, vid, mac) && is_there)
                        compile_unicast(compiler, port, vid, mac);
}

static void compile_addresses(Compiler *compiler)
{
        const SwitchModel *model = compiler->model;
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                if (port->kind != PORT_UPLINK)
                        compile_address(compiler, port, &port->mac, mac_equal(&port->mac, address_of(port)));
        }
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                if (has_moved(port) && port->policy.mac_changes)
                        compile_address(compiler, port, &port->filter.mac, true);
        }
}

/* A flow, or several where the list is long, that deliver to all of @ports. @vid -1: of every VLAN; @group NULL: any.
 */
static void compile_list(Compiler *compiler, int table, FlowClass class, int vid, const Mac *group, GPtrArray *ports)
{
        guint pieces = MAX(1, (ports->len + LIST_PIECE - 1) / LIST_PIECE);
        int priority = (vid >= 0 ? 10 : 0) + (group ? 20 : 0);
        for (guint piece = 0; piece < pieces; piece++) {
                Flow *flow = compiler_add(compiler, table, priority, class, NULL);
                if (vid >= 0)
                        match_vlan(flow, vid);
                if (group)
                        match_mac(flow, MATCH_ETH_DST, group);
                if (pieces > 1)
                        flow_match(flow, MATCH_REG(REG_PIECE), piece);
                for (guint i = piece * LIST_PIECE; i < MIN(ports->len, (piece + 1) * LIST_PIECE); i++)
                        deliver(compiler, flow, ports->pdata[i]);
                if (piece + 1 == pieces)
                        continue;
                flow_load(flow, REG_PIECE, 0, 32, piece + 1);
                flow_resubmit(flow, table);
        }
}

/* Of Port: those of the VLAN (-1: of every one) that want @group, NULL: all of them. */
static GPtrArray *members(const SwitchModel *model, int vid, bool flood, const Mac *group)
{
        GPtrArray *ports = g_ptr_array_new();
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                bool is_in = vid < 0 ? port_has_every_vlan(port) : has_vlan(port, vid);
                bool wants = flood || (group ? wants_group(port, group) : takes_all_groups(port));
                if (is_in && wants)
                        g_ptr_array_add(ports, (gpointer)port);
        }
        return ports;
}

static void compile_flood(Compiler *compiler, int vid)
{
        g_autoptr(GPtrArray) all = members(compiler->model, vid, true, NULL);
        g_autoptr(GPtrArray) any_group = members(compiler->model, vid, false, NULL);
        compile_list(compiler, TABLE_BROADCAST, FLOW_BROADCAST, vid, NULL, all);
        compile_list(compiler, TABLE_GROUP, FLOW_GROUP, vid, NULL, any_group);
}

/* A group that somebody in this VLAN has asked for. */
static void compile_group(Compiler *compiler, int vid, const Mac *group)
{
        g_autofree char *address = mac_text(group);
        g_autofree char *key = g_strdup_printf("%d/%s", vid, address);
        if (!g_hash_table_add(compiler->groups, g_steal_pointer(&key)))
                return;
        g_autoptr(GPtrArray) ports = members(compiler->model, vid, false, group);
        compile_list(compiler, TABLE_GROUP, FLOW_GROUP, vid, group, ports);
}

static void compile_groups_of(Compiler *compiler, const Port *port, int vid)
{
        for (guint i = 0; port_is_adapter(port) && port->filter.known && i < port->filter.n_groups; i++)
                compile_group(compiler, vid, &port->filter.groups[i]);
}

/*
 * One that has every VLAN wants its groups in each of them. In a VLAN with members of its own the flow without a VLAN
 * would be passed over, for theirs name it; so it is made for each such VLAN as well.
 */
static void compile_groups(Compiler *compiler, int vid)
{
        for (guint i = 0; i < compiler->model->n_ports; i++) {
                const Port *port = &compiler->model->ports[i];
                if (vid < 0 ? port_has_every_vlan(port) : has_vlan(port, vid))
                        compile_groups_of(compiler, port, vid);
        }
}

/* Those that have members of their own, as words of bits. */
static void note_vlans(const SwitchModel *model, uint64_t used[64])
{
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                if (port_has_every_vlan(port))
                        continue;
                if (port->vlans.mode == VLAN_ACCESS)
                        used[port->vlans.vid / 64] |= UINT64_C(1) << (port->vlans.vid % 64);
                else
                        for (int word = 0; word < 64; word++)
                                used[word] |= port->vlans.allowed[word];
        }
}

static void compile_vlans(Compiler *compiler)
{
        uint64_t used[64] = {0};
        note_vlans(compiler->model, used);
        for (int vid = 0; vid <= VLAN_MAX; vid++) {
                if (!(used[vid / 64] >> (vid % 64) & 1))
                        continue;
                compile_flood(compiler, vid);
                compile_groups(compiler, vid);
        }
        compile_flood(compiler, -1);
        compile_groups(compiler, -1);
}

/* Frames between neighbouring switches (802.1D 7.12.6) are no others' business. */
static void compile_destinations(Compiler *compiler)
{
        Flow *reserved = compiler_add(compiler, TABLE_DESTINATION, 110, FLOW_DESTINATION, NULL);
        flow_match_masked(reserved, MATCH_ETH_DST, UINT64_C(0x0180c2000000), UINT64_C(0xfffffffffff0));
        Flow *broadcast = compiler_add(compiler, TABLE_DESTINATION, 100, FLOW_BROADCAST, NULL);
        match_mac(broadcast, MATCH_ETH_DST, &mac_broadcast);
        flow_resubmit(broadcast, TABLE_BROADCAST);
        then_listeners(compiler, broadcast);
        Flow *group = compiler_add(compiler, TABLE_DESTINATION, 90, FLOW_GROUP, NULL);
        match_is_group(group, true);
        flow_resubmit(group, TABLE_GROUP);
        then_listeners(compiler, group);
        Flow *unknown = compiler_add(compiler, TABLE_DESTINATION, 10, FLOW_DESTINATION, NULL);
        if (compile_learned(compiler)) {
                flow_resubmit(unknown, TABLE_LEARNED);
                flow_resubmit(unknown, TABLE_UNKNOWN);
                unknown = compiler_add(compiler, TABLE_UNKNOWN, 0, FLOW_DESTINATION, NULL);
        }
        for (guint i = 0; i < compiler->model->n_ports; i++)
                if (compiler->model->ports[i].kind == PORT_UPLINK)
                        deliver(compiler, unknown, &compiler->model->ports[i]);
        then_listeners(compiler, unknown);
        compile_addresses(compiler);
        compile_vlans(compiler);
}

/* ---- egress ---- */

Flow *compiler_add_egress(Compiler *compiler, int priority, FlowClass class, const Port *port)
{
        Flow *flow = compiler_add(compiler, TABLE_EGRESS, priority, class, port);
        flow_match(flow, MATCH_REG(REG_RECEIVER), port->number);
        return flow;
}

static void compile_output(Compiler *compiler, const Port *port, int vid, bool keep_tag)
{
        Flow *flow = compiler_add_egress(compiler, 100, FLOW_EGRESS, port);
        if (vid >= 0)
                match_vlan(flow, vid);
        if (vid > 0 && !keep_tag)
                flow_pop_vlan(flow);
        flow_output(flow, port->number);
}

/* Looked up once, and then back here. */
static void compile_mark(Compiler *compiler, const Port *port)
{
        Flow *look = compiler_add_egress(compiler, 235, FLOW_EGRESS, port);
        flow_match_masked(look, MATCH_REG(REG_MARK), 0, 2);
        flow_load(look, REG_MARK, 1, 1, 1);
        flow_resubmit(look, TABLE_MARKED);
        flow_resubmit(look, TABLE_EGRESS);
        flow_match_masked(compiler_add_egress(compiler, 240, FLOW_MAC_CHANGES, port), MATCH_REG(REG_MARK), 1, 1);
}

static void compile_refusals(Compiler *compiler, const Port *port)
{
        if (!port_is_adapter(port))
                return;
        if (port->copies_only)
                compiler_add_egress(compiler, 270, FLOW_MIRROR, port);
        if (!port->policy.traffic)
                compiler_add_egress(compiler, 260, FLOW_BLOCKED, port);
        if (has_moved(port) && !port->policy.mac_changes)
                compiler_add_egress(compiler, 240, FLOW_MAC_CHANGES, port);
        if (cannot_tell(port) && !port->policy.mac_changes)
                compile_mark(compiler, port);
        if (port->isolated)
                flow_match_masked(compiler_add_egress(compiler, 245, FLOW_ISOLATED, port), MATCH_REG(REG_ISOLATED), 1,
                                  1);
}

static void compile_egress(Compiler *compiler, const Port *port)
{
        compile_refusals(compiler, port);
        if (port_has_every_vlan(port)) {
                compile_output(compiler, port, -1, true);
                return;
        }
        if (port->vlans.mode == VLAN_ACCESS) {
                compile_output(compiler, port, port->vlans.vid, false);
                return;
        }
        for (int vid = 1; vid <= VLAN_MAX; vid++)
                if (vlans_have(&port->vlans, vid))
                        compile_output(compiler, port, vid, vid != port->vlans.vid);
}

/* ---- rates ---- */

/* At a peak rate a few frames follow each other all the same: the switch looks at its clock once for a lot of them. */
#define PEAK_BURST_MS 10
#define PEAK_BURST_MIN_KBIT 80

static void add_metered(Compiler *compiler, int table, int next, const Port *port, Meter meter)
{
        Flow *flow = compiler_add_from(compiler, table, 10, FLOW_RATE, port);
        g_array_append_val(compiler->table->meters, meter);
        flow->meter = meter.id;
        flow_resubmit(flow, next);
}

/*
 * Of what it sends; what it receives waits in its device's queue (shape.h). The peak comes first: what it drops is not
 * to be taken out of the average's burst.
 */
static void compile_rate(Compiler *compiler, const Port *port)
{
        const Rate *rate = &port->policy.from_vm;
        uint32_t at_once_kbit = MAX(rate->peak_kbps / (1000 / PEAK_BURST_MS), PEAK_BURST_MIN_KBIT);
        if (!port_is_adapter(port) || !rate->kbps)
                return;
        add_metered(compiler, TABLE_AVERAGE, TABLE_SERVICE, port,
                    (Meter){.id = port->number * 2, .kbps = rate->kbps, .burst_kbit = rate->burst_kbit});
        if (rate->peak_kbps)
                add_metered(compiler, TABLE_PEAK, TABLE_AVERAGE, port,
                            (Meter){.id = port->number * 2 - 1, .kbps = rate->peak_kbps, .burst_kbit = at_once_kbit});
}

/* ---- the whole ---- */

/* Where a frame goes on that nothing in a table concerns. */
static void compile_defaults(Compiler *compiler)
{
        static const struct {
                int table, next;
                FlowClass class;
        } defaults[] = {{TABLE_SOURCE, TABLE_ADDRESS, FLOW_FORGED}, {TABLE_OWNERS, TABLE_ADDRESS, FLOW_MAC_SPOOFING},
                        {TABLE_ADDRESS, TABLE_PEAK, FLOW_ADDRESS},  {TABLE_PEAK, TABLE_AVERAGE, FLOW_RATE},
                        {TABLE_AVERAGE, TABLE_SERVICE, FLOW_RATE},  {TABLE_SERVICE, TABLE_DESTINATION, FLOW_SERVICE}};
        for (gsize i = 0; i < G_N_ELEMENTS(defaults); i++)
                flow_resubmit(compiler_add(compiler, defaults[i].table, 0, defaults[i].class, NULL), defaults[i].next);
        /* Nothing was learned of it. */
        flow_load(compiler_add(compiler, TABLE_LEARNED, 0, FLOW_DESTINATION, NULL), REG_RECEIVER, 0, 32, 0);
        flow_load(compiler_add(compiler, TABLE_MARKED, 0, FLOW_MAC_CHANGES, NULL), REG_MARK, 0, 1, 0);
        compiler_add(compiler, TABLE_ADMISSION, 0, FLOW_ADMISSION, NULL);
        compiler_add(compiler, TABLE_EGRESS, 0, FLOW_EGRESS, NULL);
        /* No sender is a group. */
        Flow *group = compiler_add(compiler, TABLE_ADMISSION, 300, FLOW_ADMISSION, NULL);
        flow_match_masked(group, MATCH_ETH_SRC, UINT64_C(0x010000000000), UINT64_C(0x010000000000));
}

static void compile_ports(Compiler *compiler)
{
        for (guint i = 0; i < compiler->model->n_ports; i++) {
                const Port *port = &compiler->model->ports[i];
                compile_admission(compiler, port);
                compile_vlan(compiler, port);
                compile_source(compiler, port);
                compile_owners(compiler, port);
                compile_guard(compiler, port);
                compile_rate(compiler, port);
                compile_egress(compiler, port);
        }
}

static GHashTable *set_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

FlowTable *switch_compile(const SwitchModel *model, GError **error)
{
        g_autoptr(FlowTable) table = flow_table_new();
        g_autoptr(GHashTable) owned = set_new(), destinations = set_new(), groups = set_new();
        g_autoptr(GPtrArray) listeners = listeners_of(model);
        Compiler compiler = {.model = model,
                             .table = table,
                             .owned = owned,
                             .destinations = destinations,
                             .groups = groups,
                             .listeners = listeners};
        if (listeners->len > LISTENERS_MAX) {
                error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL,
                          "%u promiscuous ports are more than the %d of a switch", listeners->len, LISTENERS_MAX);
                return NULL;
        }
        compile_defaults(&compiler);
        compile_ports(&compiler);
        compile_destinations(&compiler);
        compile_listeners(&compiler);
        for (guint i = 0; i < table->flows->len; i++) {
                Flow *flow = table->flows->pdata[i];
                if (flow_drops(flow))
                        flow->cookie |= COOKIE_DROPS;
        }
        flow_table_sort(table);
        return g_steal_pointer(&table);
}
