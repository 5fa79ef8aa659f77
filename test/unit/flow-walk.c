/*
 * A small switch in memory. See flow-walk.h.
 */
#include "unit/flow-walk.h"

#include <netinet/in.h>
#include <string.h>

typedef struct {
        const FlowTable *table;
        const Frame *frame;
        uint32_t in_port;
        uint16_t vid;
        uint32_t regs[16];
        int depth;
        GArray *deliveries;
} Walk;

static void put(uint8_t *bytes, int length, uint32_t value)
{
        for (int i = length; i-- > 0; value >>= 8)
                bytes[i] = value & 0xff;
}

/* The frame's bytes of a field; false when it has none such. */
static bool field_of(const Walk *walk, MatchField field, uint8_t *ret_bytes)
{
        const Frame *frame = walk->frame;
        bool ip = frame->kind == FRAME_TCP || frame->kind == FRAME_UDP, arp = frame->kind == FRAME_ARP;
        switch (field) {
        case MATCH_IN_PORT:
                put(ret_bytes, 4, walk->in_port);
                return true;
        case MATCH_ETH_DST:
                memcpy(ret_bytes, frame->destination.bytes, 6);
                return true;
        case MATCH_ETH_SRC:
                memcpy(ret_bytes, frame->source.bytes, 6);
                return true;
        case MATCH_ETH_TYPE:
                put(ret_bytes, 2, ip ? 0x0800 : arp ? 0x0806 : 0x88b5);
                return true;
        case MATCH_VLAN_VID:
                put(ret_bytes, 2, walk->vid ? walk->vid | FLOW_VLAN_PRESENT : 0);
                return true;
        case MATCH_IP_PROTO:
                ret_bytes[0] = frame->kind == FRAME_TCP ? IPPROTO_TCP : IPPROTO_UDP;
                return ip;
        case MATCH_IPV4_SRC:
                memcpy(ret_bytes, frame->address, 4);
                return ip;
        case MATCH_UDP_SRC:
                put(ret_bytes, 2, frame->udp_from);
                return frame->kind == FRAME_UDP;
        case MATCH_UDP_DST:
                put(ret_bytes, 2, frame->udp_to);
                return frame->kind == FRAME_UDP;
        case MATCH_ARP_SPA:
                memcpy(ret_bytes, frame->address, 4);
                return arp;
        case MATCH_ARP_SHA:
                memcpy(ret_bytes, frame->source.bytes, 6);
                return arp;
        default:
                break;
        }
        if (field >= MATCH_REG0)
                put(ret_bytes, 4, walk->regs[field - MATCH_REG0]);
        return field >= MATCH_REG0;
}

static bool matches(const Walk *walk, const Flow *flow)
{
        for (guint i = 0; i < flow->match->len; i++) {
                const FlowMatch *match = &g_array_index(flow->match, FlowMatch, i);
                uint8_t bytes[FLOW_MATCH_MAX];
                if (!field_of(walk, match->field, bytes))
                        return false;
                for (int k = 0; k < match_decl(match->field)->length; k++)
                        if ((bytes[k] & match->mask[k]) != match->value[k])
                                return false;
        }
        return true;
}

static void carry_out(Walk *walk, const GArray *actions, guint from, guint to);

/* The table is sorted: the first that matches has the highest priority. Two of the same would be a fault. */
static void enter(Walk *walk, int number)
{
        const Flow *found = NULL;
        g_assert_cmpint(walk->depth, <, 60);
        for (guint i = 0; i < walk->table->flows->len; i++) {
                const Flow *flow = walk->table->flows->pdata[i];
                if (flow->table != number || (found && flow->priority != found->priority) || !matches(walk, flow))
                        continue;
                g_assert_null(found);
                found = flow;
        }
        walk->depth++;
        if (found)
                carry_out(walk, found->actions, 0, found->actions->len);
        walk->depth--;
}

static void output(Walk *walk, uint32_t port)
{
        Delivery delivery = {.port = port, .vid = walk->vid};
        if (port != walk->in_port)
                g_array_append_val(walk->deliveries, delivery);
}

static void load(Walk *walk, const FlowAction *action)
{
        uint32_t mask = (action->bits == 32 ? ~0u : (1u << action->bits) - 1) << action->offset;
        walk->regs[action->reg] = (walk->regs[action->reg] & ~mask) | action->number << action->offset;
}

static void carry_out(Walk *walk, const GArray *actions, guint from, guint to)
{
        for (guint i = from; i < to; i++) {
                const FlowAction *action = &g_array_index(actions, FlowAction, i);
                Walk copy = *walk;
                switch (action->kind) {
                case ACTION_OUTPUT:
                        output(walk, action->number);
                        break;
                case ACTION_RESUBMIT:
                        enter(walk, action->number);
                        break;
                case ACTION_LOAD:
                        load(walk, action);
                        break;
                case ACTION_PUSH_VLAN:
                        walk->vid = action->number;
                        break;
                case ACTION_POP_VLAN:
                        walk->vid = 0;
                        break;
                case ACTION_LEARN_SOURCE:
                case ACTION_LEARN_MARK:
                        break; /* of later frames */
                case ACTION_CLONE:
                        g_assert_cmpuint(i + action->number, <, to);
                        carry_out(&copy, actions, i + 1, i + 1 + action->number);
                        i += action->number;
                        break;
                }
        }
}

void flow_walk(const FlowTable *table, uint32_t in_port, const Frame *frame, GArray *deliveries)
{
        Walk walk = {.table = table, .frame = frame, .in_port = in_port, .vid = frame->vid, .deliveries = deliveries};
        enter(&walk, 0);
}
