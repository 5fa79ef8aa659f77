/*
 * Flows carried out on a frame. See trace.h. Compared with Open vSwitch's own ofproto/trace in test/switch.
 */
#include "network/trace.h"

#include <netinet/in.h>
#include <string.h>

#include "network/compile.h"

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd
#define DEPTH_MAX 64 /* as Open vSwitch has it */

typedef struct {
        const FlowTable *table;
        const TraceFrame *frame;
        uint32_t in_port;
        uint16_t tag;
        uint32_t registers[16];
        int depth;
        GArray *steps;
} Trace;

/* ---- fields ---- */

static void put(uint8_t *bytes, int length, uint32_t value)
{
        for (int i = length; i-- > 0; value >>= 8)
                bytes[i] = value & 0xff;
}

static bool is_ip(const TraceFrame *frame)
{
        return frame->type == ETH_IPV4 || frame->type == ETH_IPV6;
}

/* Of IP and what is in it; false: the frame has no such field. */
static bool inner_field(const TraceFrame *frame, MatchField field, uint8_t *ret_bytes)
{
        bool udp = is_ip(frame) && frame->protocol == IPPROTO_UDP;
        switch (field) {
        case MATCH_IP_PROTO:
                ret_bytes[0] = frame->protocol;
                return is_ip(frame);
        case MATCH_IPV4_SRC:
                memcpy(ret_bytes, frame->from.bytes, 4);
                return frame->type == ETH_IPV4;
        case MATCH_IPV6_SRC:
                memcpy(ret_bytes, frame->from.bytes, 16);
                return frame->type == ETH_IPV6;
        case MATCH_UDP_SRC:
                put(ret_bytes, 2, frame->from_port);
                return udp;
        case MATCH_UDP_DST:
                put(ret_bytes, 2, frame->to_port);
                return udp;
        case MATCH_ARP_SPA:
                memcpy(ret_bytes, frame->from.bytes, 4);
                return frame->type == ETH_ARP;
        case MATCH_ARP_SHA:
                memcpy(ret_bytes, frame->source.bytes, 6);
                return frame->type == ETH_ARP;
        case MATCH_ICMPV6_TYPE:
                ret_bytes[0] = 128; /* an echo request */
                return frame->type == ETH_IPV6 && frame->protocol == IPPROTO_ICMPV6;
        default:
                return false;
        }
}

static bool field_of(const Trace *trace, MatchField field, uint8_t *ret_bytes)
{
        const TraceFrame *frame = trace->frame;
        if (field >= MATCH_REG0) {
                put(ret_bytes, 4, trace->registers[field - MATCH_REG0]);
                return true;
        }
        switch (field) {
        case MATCH_IN_PORT:
                put(ret_bytes, 4, trace->in_port);
                return true;
        case MATCH_ETH_DST:
                memcpy(ret_bytes, frame->destination.bytes, 6);
                return true;
        case MATCH_ETH_SRC:
                memcpy(ret_bytes, frame->source.bytes, 6);
                return true;
        case MATCH_ETH_TYPE:
                put(ret_bytes, 2, frame->type);
                return true;
        case MATCH_VLAN_VID:
                put(ret_bytes, 2, trace->tag ? trace->tag | FLOW_VLAN_PRESENT : 0);
                return true;
        default:
                return inner_field(frame, field, ret_bytes);
        }
}

static bool matches(const Trace *trace, const Flow *flow)
{
        for (guint i = 0; i < flow->match->len; i++) {
                const FlowMatch *match = &g_array_index(flow->match, FlowMatch, i);
                uint8_t bytes[FLOW_MATCH_MAX];
                if (!field_of(trace, match->field, bytes))
                        return false;
                for (int k = 0; k < match_decl(match->field)->length; k++)
                        if ((bytes[k] & match->mask[k]) != match->value[k])
                                return false;
        }
        return true;
}

/* ---- steps ---- */

static void carry_out(Trace *trace, const GArray *actions, guint from, guint to);

static void add_step(Trace *trace, TraceKind kind, uint8_t table, uint32_t port, uint64_t cookie)
{
        TraceStep step = {.kind = kind, .table = table, .port = port, .cookie = cookie, .tag = trace->tag};
        g_array_append_val(trace->steps, step);
}

/* The table is sorted, so the first that matches counts. */
static void enter(Trace *trace, uint8_t number)
{
        if (trace->depth >= DEPTH_MAX)
                return;
        for (guint i = 0; i < trace->table->flows->len; i++) {
                const Flow *flow = trace->table->flows->pdata[i];
                if (flow->table != number || !matches(trace, flow))
                        continue;
                bool drops = flow_drops(flow);
                add_step(trace, drops ? TRACE_DROP : TRACE_PASS, number, COOKIE_PORT(flow->cookie), flow->cookie);
                trace->depth++;
                carry_out(trace, flow->actions, 0, flow->actions->len);
                trace->depth--;
                return;
        }
        add_step(trace, TRACE_NO_FLOW, number, 0, 0);
}

static void load(Trace *trace, const FlowAction *action)
{
        uint32_t mask = (action->bits == 32 ? ~0u : (1u << action->bits) - 1) << action->offset;
        uint32_t *reg = &trace->registers[action->reg];
        *reg = (*reg & ~mask) | action->number << action->offset;
}

static void carry_out(Trace *trace, const GArray *actions, guint from, guint to)
{
        for (guint i = from; i < to; i++) {
                const FlowAction *action = &g_array_index(actions, FlowAction, i);
                Trace copy = *trace;
                switch (action->kind) {
                case ACTION_OUTPUT:
                        /* Nothing goes back where it came from. */
                        if (action->number != trace->in_port)
                                add_step(trace, TRACE_OUTPUT, 0, action->number, 0);
                        break;
                case ACTION_RESUBMIT:
                        enter(trace, action->number);
                        break;
                case ACTION_LOAD:
                        load(trace, action);
                        break;
                case ACTION_PUSH_VLAN:
                        trace->tag = action->number;
                        break;
                case ACTION_POP_VLAN:
                        trace->tag = 0;
                        break;
                case ACTION_LEARN_SOURCE:
                case ACTION_LEARN_MARK:
                        break; /* of later frames */
                case ACTION_CLONE:
                        carry_out(&copy, actions, i + 1, i + 1 + action->number);
                        i += action->number;
                        break;
                }
        }
}

GArray *trace_run(const FlowTable *table, uint32_t in_port, const TraceFrame *frame)
{
        Trace trace = {.table = table,
                       .frame = frame,
                       .in_port = in_port,
                       .tag = frame->tag,
                       .steps = g_array_new(FALSE, FALSE, sizeof(TraceStep))};
        enter(&trace, 0);
        return trace.steps;
}
