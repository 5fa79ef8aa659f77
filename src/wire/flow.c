/*
 * Building, ordering and printing of flow tables. See flow.h.
 *
 * Nothing here knows what a flow is for; nothing is sent.
 */
#include "wire/flow.h"

#include <inttypes.h>
#include <string.h>

#define OXM_BASIC 0x8000
#define OXM_NICIRA 0x0001

static const MatchDecl decls[MATCH_FIELDS] = {
    [MATCH_IN_PORT] = {"in_port", OXM_BASIC, 0, 4},
    [MATCH_ETH_DST] = {"eth_dst", OXM_BASIC, 3, 6},
    [MATCH_ETH_SRC] = {"eth_src", OXM_BASIC, 4, 6},
    [MATCH_ETH_TYPE] = {"eth_type", OXM_BASIC, 5, 2},
    [MATCH_VLAN_VID] = {"vlan_vid", OXM_BASIC, 6, 2},
    [MATCH_IP_PROTO] = {"ip_proto", OXM_BASIC, 10, 1},
    [MATCH_IPV4_SRC] = {"ip_src", OXM_BASIC, 11, 4},
    [MATCH_UDP_SRC] = {"udp_src", OXM_BASIC, 15, 2},
    [MATCH_UDP_DST] = {"udp_dst", OXM_BASIC, 16, 2},
    [MATCH_ARP_SPA] = {"arp_spa", OXM_BASIC, 22, 4},
    [MATCH_ARP_SHA] = {"arp_sha", OXM_BASIC, 24, 6},
    [MATCH_IPV6_SRC] = {"ipv6_src", OXM_BASIC, 26, 16},
    [MATCH_ICMPV6_TYPE] = {"icmpv6_type", OXM_BASIC, 29, 1},
    [MATCH_ND_TARGET] = {"nd_target", OXM_BASIC, 31, 16},
    [MATCH_ND_SLL] = {"nd_sll", OXM_BASIC, 32, 6},
    [MATCH_ND_TLL] = {"nd_tll", OXM_BASIC, 33, 6},
    [MATCH_REG(0)] = {"reg0", OXM_NICIRA, 0, 4},
    [MATCH_REG(1)] = {"reg1", OXM_NICIRA, 1, 4},
    [MATCH_REG(2)] = {"reg2", OXM_NICIRA, 2, 4},
    [MATCH_REG(3)] = {"reg3", OXM_NICIRA, 3, 4},
    [MATCH_REG(4)] = {"reg4", OXM_NICIRA, 4, 4},
    [MATCH_REG(5)] = {"reg5", OXM_NICIRA, 5, 4},
    [MATCH_REG(6)] = {"reg6", OXM_NICIRA, 6, 4},
    [MATCH_REG(7)] = {"reg7", OXM_NICIRA, 7, 4},
    [MATCH_REG(8)] = {"reg8", OXM_NICIRA, 8, 4},
    [MATCH_REG(9)] = {"reg9", OXM_NICIRA, 9, 4},
    [MATCH_REG(10)] = {"reg10", OXM_NICIRA, 10, 4},
    [MATCH_REG(11)] = {"reg11", OXM_NICIRA, 11, 4},
    [MATCH_REG(12)] = {"reg12", OXM_NICIRA, 12, 4},
    [MATCH_REG(13)] = {"reg13", OXM_NICIRA, 13, 4},
    [MATCH_REG(14)] = {"reg14", OXM_NICIRA, 14, 4},
    [MATCH_REG(15)] = {"reg15", OXM_NICIRA, 15, 4},
};

const MatchDecl *match_decl(MatchField field)
{
        return &decls[field];
}

/* ---- tables ---- */

static void flow_free(gpointer data)
{
        Flow *flow = data;
        g_array_unref(flow->match);
        g_array_unref(flow->actions);
        g_free(flow);
}

FlowTable *flow_table_new(void)
{
        FlowTable *table = g_new0(FlowTable, 1);
        table->flows = g_ptr_array_new_with_free_func(flow_free);
        table->meters = g_array_new(FALSE, FALSE, sizeof(Meter));
        return table;
}

void flow_table_free(FlowTable *table)
{
        g_ptr_array_unref(table->flows);
        g_array_unref(table->meters);
        g_free(table);
}

static int compare_matches(const GArray *a, const GArray *b)
{
        for (guint i = 0; i < MIN(a->len, b->len); i++) {
                const FlowMatch *one = &g_array_index(a, FlowMatch, i), *other = &g_array_index(b, FlowMatch, i);
                int order = (int)one->field - (int)other->field;
                if (order == 0)
                        order = memcmp(one->value, other->value, sizeof one->value);
                if (order == 0)
                        order = memcmp(one->mask, other->mask, sizeof one->mask);
                if (order != 0)
                        return order;
        }
        return (int)a->len - (int)b->len;
}

int flow_compare(const Flow *a, const Flow *b)
{
        if (a->table != b->table)
                return (int)a->table - (int)b->table;
        if (a->priority != b->priority)
                return (int)b->priority - (int)a->priority;
        return compare_matches(a->match, b->match);
}

static int compare_flows(gconstpointer a, gconstpointer b)
{
        return flow_compare(*(Flow *const *)a, *(Flow *const *)b);
}

bool flow_does_same(const Flow *a, const Flow *b)
{
        bool same = a->cookie == b->cookie && a->meter == b->meter && a->actions->len == b->actions->len;
        for (guint i = 0; same && i < a->actions->len; i++) {
                const FlowAction *one = &g_array_index(a->actions, FlowAction, i);
                const FlowAction *other = &g_array_index(b->actions, FlowAction, i);
                same = one->kind == other->kind && one->number == other->number && one->reg == other->reg &&
                       one->offset == other->offset && one->bits == other->bits && one->table == other->table;
        }
        return same;
}

bool flow_drops(const Flow *flow)
{
        for (guint i = 0; i < flow->actions->len; i++)
                if (g_array_index(flow->actions, FlowAction, i).kind < ACTION_LEARN_SOURCE)
                        return false;
        return true;
}

void flow_table_sort(FlowTable *table)
{
        g_ptr_array_sort(table->flows, compare_flows);
}

/* ---- flows ---- */

Flow *flow_add(FlowTable *table, uint8_t number, uint16_t priority, uint64_t cookie)
{
        Flow *flow = g_new0(Flow, 1);
        *flow = (Flow){
            .cookie = cookie,
            .priority = priority,
            .table = number,
            .match = g_array_new(FALSE, TRUE, sizeof(FlowMatch)),
            .actions = g_array_new(FALSE, TRUE, sizeof(FlowAction)),
        };
        g_ptr_array_add(table->flows, flow);
        return flow;
}

static void put_number(uint8_t *bytes, int length, uint64_t value)
{
        for (int i = length; i-- > 0; value >>= 8)
                bytes[i] = value & 0xff;
}

/* Sorted by field, so that equal matches are equal bytes. */
static FlowMatch *new_match(Flow *flow, MatchField field)
{
        FlowMatch match = {.field = field};
        guint at = flow->match->len;
        while (at > 0 && g_array_index(flow->match, FlowMatch, at - 1).field > field)
                at--;
        g_array_insert_val(flow->match, at, match);
        return &g_array_index(flow->match, FlowMatch, at);
}

void flow_match(Flow *flow, MatchField field, uint64_t value)
{
        FlowMatch *match = new_match(flow, field);
        put_number(match->value, decls[field].length, value);
        memset(match->mask, 0xff, decls[field].length);
}

void flow_match_masked(Flow *flow, MatchField field, uint64_t value, uint64_t mask)
{
        FlowMatch *match = new_match(flow, field);
        put_number(match->value, decls[field].length, value);
        put_number(match->mask, decls[field].length, mask);
        match->masked = true;
}

void flow_match_bytes(Flow *flow, MatchField field, const uint8_t *bytes)
{
        FlowMatch *match = new_match(flow, field);
        memcpy(match->value, bytes, decls[field].length);
        memset(match->mask, 0xff, decls[field].length);
}

static void add_action(Flow *flow, FlowAction action)
{
        g_array_append_val(flow->actions, action);
}

void flow_output(Flow *flow, uint32_t port)
{
        add_action(flow, (FlowAction){.kind = ACTION_OUTPUT, .number = port});
}

void flow_resubmit(Flow *flow, uint8_t table)
{
        add_action(flow, (FlowAction){.kind = ACTION_RESUBMIT, .number = table});
}

void flow_load(Flow *flow, int reg, int offset, int bits, uint32_t value)
{
        add_action(flow,
                   (FlowAction){.kind = ACTION_LOAD, .number = value, .reg = reg, .offset = offset, .bits = bits});
}

void flow_push_vlan(Flow *flow, uint16_t vid)
{
        add_action(flow, (FlowAction){.kind = ACTION_PUSH_VLAN, .number = vid});
}

void flow_pop_vlan(Flow *flow)
{
        add_action(flow, (FlowAction){.kind = ACTION_POP_VLAN});
}

void flow_learn_source(Flow *flow, uint8_t table, int reg, uint32_t port)
{
        add_action(flow, (FlowAction){.kind = ACTION_LEARN_SOURCE, .number = port, .reg = reg, .table = table});
}

void flow_learn_mark(Flow *flow, uint8_t table, int reg, bool mark, int of, uint32_t port)
{
        add_action(
            flow,
            (FlowAction){
                .kind = ACTION_LEARN_MARK, .number = port, .reg = reg, .offset = of, .bits = mark, .table = table});
}

void flow_clone(Flow *flow, uint32_t count)
{
        add_action(flow, (FlowAction){.kind = ACTION_CLONE, .number = count});
}

/* ---- text ---- */

static void print_bytes(GString *text, const uint8_t *bytes, int length)
{
        uint64_t number = 0;
        for (int i = 0; i < length; i++)
                number = number << 8 | bytes[i];
        if (length == 6)
                g_string_append_printf(text, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                                       bytes[4], bytes[5]);
        else if (length == 16)
                for (int i = 0; i < length; i += 2)
                        g_string_append_printf(text, "%s%02x%02x", i ? ":" : "", bytes[i], bytes[i + 1]);
        else
                g_string_append_printf(text, number > 9 ? "0x%" PRIx64 : "%" PRIu64, number);
}

static void print_match(GString *text, const FlowMatch *match)
{
        const MatchDecl *decl = &decls[match->field];
        bool is_address = match->field == MATCH_IPV4_SRC || match->field == MATCH_ARP_SPA;
        g_string_append_printf(text, ",%s=", decl->name);
        if (is_address)
                g_string_append_printf(text, "%u.%u.%u.%u", match->value[0], match->value[1], match->value[2],
                                       match->value[3]);
        else if (match->field == MATCH_IN_PORT)
                g_string_append_printf(text, "%u", match->value[2] << 8 | match->value[3]);
        else
                print_bytes(text, match->value, decl->length);
        if (!match->masked)
                return;
        g_string_append_c(text, '/');
        print_bytes(text, match->mask, decl->length);
}

static void print_learn(GString *text, const FlowAction *action)
{
        g_string_append_printf(text, "learn(table=%u,priority=%d,cookie=%u,delete_learned,", action->table,
                               FLOW_LEARN_PRIORITY, action->number);
        if (action->kind == ACTION_LEARN_MARK)
                g_string_append_printf(text, "reg%u=%u,load:%u->NXM_NX_REG%u[0])", action->offset, action->number,
                                       action->bits, action->reg);
        else
                g_string_append_printf(text,
                                       "idle_timeout=%d,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
                                       "load:%u->NXM_NX_REG%u[])",
                                       FLOW_LEARN_IDLE_S, action->number, action->reg);
}

static void print_action(GString *text, const FlowAction *action)
{
        switch (action->kind) {
        case ACTION_OUTPUT:
                g_string_append_printf(text, "output:%u", action->number);
                return;
        case ACTION_RESUBMIT:
                g_string_append_printf(text, "resubmit(,%u)", action->number);
                return;
        case ACTION_LOAD:
                g_string_append_printf(text, "load:0x%x->NXM_NX_REG%u[%u..%u]", action->number, action->reg,
                                       action->offset, action->offset + action->bits - 1);
                return;
        case ACTION_PUSH_VLAN:
                g_string_append_printf(text, "push_vlan:0x8100,set_field:%u->vlan_vid",
                                       action->number | FLOW_VLAN_PRESENT);
                return;
        case ACTION_POP_VLAN:
                g_string_append(text, "pop_vlan");
                return;
        case ACTION_LEARN_SOURCE:
        case ACTION_LEARN_MARK:
                print_learn(text, action);
                return;
        case ACTION_CLONE:
                break;
        }
        g_string_append(text, "clone(");
}

static void print_actions(GString *text, const Flow *flow)
{
        guint clone_left = 0;
        if (flow->meter)
                g_string_append_printf(text, "meter:%u%s", flow->meter, flow->actions->len ? "," : "");
        else if (flow->actions->len == 0)
                g_string_append(text, "drop");
        for (guint i = 0; i < flow->actions->len; i++) {
                const FlowAction *action = &g_array_index(flow->actions, FlowAction, i);
                bool is_clone = action->kind == ACTION_CLONE, closes = !is_clone && clone_left == 1;
                print_action(text, action);
                clone_left = is_clone ? action->number : clone_left - (clone_left > 0);
                g_string_append(text, closes ? ")" : "");
                g_string_append(text, is_clone || i + 1 == flow->actions->len ? "" : ",");
        }
}

static void print_flow(GString *text, const Flow *flow)
{
        g_string_append_printf(text, "cookie=0x%" PRIx64 ",table=%u,priority=%u", flow->cookie, flow->table,
                               flow->priority);
        for (guint i = 0; i < flow->match->len; i++)
                print_match(text, &g_array_index(flow->match, FlowMatch, i));
        g_string_append(text, ",actions=");
        print_actions(text, flow);
}

char *flow_text(const Flow *flow)
{
        GString *text = g_string_new(NULL);
        print_flow(text, flow);
        return g_string_free(text, FALSE);
}

char *flow_table_text(const FlowTable *table)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < table->meters->len; i++) {
                const Meter *meter = &g_array_index(table->meters, Meter, i);
                g_string_append_printf(text, "meter=%u,kbps,burst,band=type=drop,rate=%u,burst_size=%u\n", meter->id,
                                       meter->kbps, meter->burst_kbit);
        }
        for (guint i = 0; i < table->flows->len; i++) {
                print_flow(text, table->flows->pdata[i]);
                g_string_append_c(text, '\n');
        }
        return g_string_free(text, FALSE);
}
