/*
 * OpenFlow 1.4 messages as bytes, in network order. See openflow.h; the numbers are the specification's.
 *
 * Nothing is sent from here. Called by openflow.c.
 */
#include "wire/openflow.h"

#include <string.h>

#define NICIRA 0x00002320
#define ANYWHERE 0xffffffff
#define NO_BUFFER 0xffffffff
#define ALL_TABLES 0xff
#define VLAN_ETHERTYPE 0x8100
#define OXM_HEADER(class, field, mask, length)                                                                         \
        ((uint32_t)(class) << 16 | (uint32_t)(field) << 9 | (uint32_t)(mask) << 8 | (length))

enum { INSTRUCTION_APPLY = 4, INSTRUCTION_METER = 6 };
enum {
        OF_ACTION_OUTPUT = 0,
        OF_ACTION_PUSH_VLAN = 17,
        OF_ACTION_POP_VLAN = 18,
        OF_ACTION_SET_FIELD = 25,
        OF_ACTION_EXPERIMENTER = 0xffff
};
enum { NICIRA_REG_LOAD = 7, NICIRA_RESUBMIT_TABLE = 14, NICIRA_LEARN = 16, NICIRA_CLONE = 42 };
enum { LEARN_DELETE_LEARNED = 2 };
/* What a learned flow matches or does, with the number of bits (struct nx_action_learn). */
enum { LEARN_MATCH = 0, LEARN_LOAD = 1 << 11, LEARN_VALUE = 1 << 13 };
/* Nicira's names of fields that OpenFlow calls otherwise. */
enum { NXM_ETH_DST = 0x00000206, NXM_ETH_SRC = 0x00000406, NXM_VLAN_TCI = 0x00000802 };
#define NICIRA_IN_PORT 0xfff8
enum { METER_KBPS = 1, METER_BURST = 4 };
enum { BUNDLE_ATOMIC = 1, BUNDLE_ORDERED = 2 };

void openflow_put(GByteArray *out, uint64_t value, int length)
{
        uint8_t bytes[8];
        for (int i = length; i-- > 0; value >>= 8)
                bytes[i] = value & 0xff;
        g_byte_array_append(out, bytes, length);
}

uint64_t openflow_get(const uint8_t *bytes, int length)
{
        uint64_t value = 0;
        for (int i = 0; i < length; i++)
                value = value << 8 | bytes[i];
        return value;
}

static void put_zeros(GByteArray *out, guint count)
{
        static const uint8_t zeros[16];
        g_byte_array_append(out, zeros, count);
}

static void set16(GByteArray *out, guint at, guint value)
{
        out->data[at] = value >> 8;
        out->data[at + 1] = value & 0xff;
}

/* To a multiple of 8, counted from @from. */
static void pad(GByteArray *out, guint from)
{
        put_zeros(out, (8 - (out->len - from) % 8) % 8);
}

guint openflow_begin(GByteArray *out, int type, uint32_t xid)
{
        guint at = out->len;
        openflow_put(out, OPENFLOW_VERSION, 1);
        openflow_put(out, type, 1);
        openflow_put(out, 0, 2);
        openflow_put(out, xid, 4);
        return at;
}

bool openflow_end(GByteArray *out, guint at)
{
        guint length = out->len - at;
        set16(out, at + 2, MIN(length, 0xffff));
        return length <= 0xffff;
}

/* ---- matches ---- */

static void put_oxm(GByteArray *out, const FlowMatch *match)
{
        const MatchDecl *decl = match_decl(match->field);
        guint length = decl->length * (match->masked ? 2 : 1);
        openflow_put(out, OXM_HEADER(decl->oxm_class, decl->oxm_field, match->masked, length), 4);
        g_byte_array_append(out, match->value, decl->length);
        if (match->masked)
                g_byte_array_append(out, match->mask, decl->length);
}

static void put_match(GByteArray *out, const Flow *flow)
{
        guint at = out->len;
        openflow_put(out, 1, 2); /* OXM */
        openflow_put(out, 0, 2);
        for (guint i = 0; flow && i < flow->match->len; i++)
                put_oxm(out, &g_array_index(flow->match, FlowMatch, i));
        set16(out, at + 2, out->len - at);
        pad(out, at);
}

/* ---- actions ---- */

static guint begin_action(GByteArray *out, int type)
{
        guint at = out->len;
        openflow_put(out, type, 2);
        openflow_put(out, 0, 2);
        return at;
}

static guint begin_nicira(GByteArray *out, int subtype)
{
        guint at = begin_action(out, OF_ACTION_EXPERIMENTER);
        openflow_put(out, NICIRA, 4);
        openflow_put(out, subtype, 2);
        return at;
}

static void end_action(GByteArray *out, guint at)
{
        pad(out, at);
        set16(out, at + 2, out->len - at);
}

static void put_output(GByteArray *out, uint32_t port)
{
        guint at = begin_action(out, OF_ACTION_OUTPUT);
        openflow_put(out, port, 4);
        openflow_put(out, 0, 2);
        put_zeros(out, 6);
        end_action(out, at);
}

static void put_resubmit(GByteArray *out, uint8_t table)
{
        guint at = begin_nicira(out, NICIRA_RESUBMIT_TABLE);
        openflow_put(out, NICIRA_IN_PORT, 2);
        openflow_put(out, table, 1);
        end_action(out, at);
}

static void put_load(GByteArray *out, const FlowAction *action)
{
        const MatchDecl *decl = match_decl(MATCH_REG(action->reg));
        guint at = begin_nicira(out, NICIRA_REG_LOAD);
        openflow_put(out, (guint)action->offset << 6 | (guint)(action->bits - 1), 2);
        openflow_put(out, OXM_HEADER(decl->oxm_class, decl->oxm_field, 0, decl->length), 4);
        openflow_put(out, action->number, 8);
        end_action(out, at);
}

static void put_push_vlan(GByteArray *out, uint16_t vid)
{
        const MatchDecl *decl = match_decl(MATCH_VLAN_VID);
        guint push = begin_action(out, OF_ACTION_PUSH_VLAN);
        openflow_put(out, VLAN_ETHERTYPE, 2);
        end_action(out, push);
        guint set = begin_action(out, OF_ACTION_SET_FIELD);
        openflow_put(out, OXM_HEADER(decl->oxm_class, decl->oxm_field, 0, decl->length), 4);
        openflow_put(out, vid | FLOW_VLAN_PRESENT, 2);
        end_action(out, set);
}

static void put_register(GByteArray *out, int reg)
{
        const MatchDecl *decl = match_decl(MATCH_REG(reg));
        openflow_put(out, OXM_HEADER(decl->oxm_class, decl->oxm_field, 0, decl->length), 4);
        openflow_put(out, 0, 2); /* from its first bit on */
}

/* The learned flow matches in its field @to what this frame has in its field @from. */
static void put_learn_field(GByteArray *out, int bits, uint32_t from, uint32_t to)
{
        openflow_put(out, LEARN_MATCH | bits, 2);
        openflow_put(out, from, 4);
        openflow_put(out, 0, 2);
        openflow_put(out, to, 4);
        openflow_put(out, 0, 2);
}

static void put_learn_value(GByteArray *out, int what, int bits, uint32_t value, int reg)
{
        openflow_put(out, LEARN_VALUE | what | bits, 2);
        openflow_put(out, value, (bits + 15) / 16 * 2);
        put_register(out, reg);
}

static void put_learn(GByteArray *out, const FlowAction *action)
{
        bool is_source = action->kind == ACTION_LEARN_SOURCE;
        guint at = begin_nicira(out, NICIRA_LEARN);
        openflow_put(out, is_source ? FLOW_LEARN_IDLE_S : 0, 2);
        openflow_put(out, 0, 2); /* no other time limit */
        openflow_put(out, FLOW_LEARN_PRIORITY, 2);
        openflow_put(out, action->number, 8); /* cookie */
        openflow_put(out, LEARN_DELETE_LEARNED, 2);
        openflow_put(out, action->table, 1);
        put_zeros(out, 5);
        if (is_source) {
                put_learn_field(out, 12, NXM_VLAN_TCI, NXM_VLAN_TCI);
                put_learn_field(out, 48, NXM_ETH_SRC, NXM_ETH_DST);
                put_learn_value(out, LEARN_LOAD, 32, action->number, action->reg);
        } else {
                put_learn_value(out, LEARN_MATCH, 32, action->number, action->offset);
                put_learn_value(out, LEARN_LOAD, 1, action->bits, action->reg);
        }
        end_action(out, at);
}

static void put_actions(GByteArray *out, const GArray *actions, guint from, guint to);

/* The copied actions lie inside. */
static void put_clone(GByteArray *out, const GArray *actions, guint from, guint to)
{
        guint at = begin_nicira(out, NICIRA_CLONE);
        put_zeros(out, 6);
        put_actions(out, actions, from, to);
        end_action(out, at);
}

static void put_actions(GByteArray *out, const GArray *actions, guint from, guint to)
{
        for (guint i = from; i < to; i++) {
                const FlowAction *action = &g_array_index(actions, FlowAction, i);
                switch (action->kind) {
                case ACTION_OUTPUT:
                        put_output(out, action->number);
                        break;
                case ACTION_RESUBMIT:
                        put_resubmit(out, action->number);
                        break;
                case ACTION_LOAD:
                        put_load(out, action);
                        break;
                case ACTION_PUSH_VLAN:
                        put_push_vlan(out, action->number);
                        break;
                case ACTION_POP_VLAN:
                        end_action(out, begin_action(out, OF_ACTION_POP_VLAN));
                        break;
                case ACTION_LEARN_SOURCE:
                case ACTION_LEARN_MARK:
                        put_learn(out, action);
                        break;
                case ACTION_CLONE:
                        put_clone(out, actions, i + 1, i + 1 + action->number);
                        i += action->number;
                        break;
                }
        }
}

static bool put_instructions(GByteArray *out, const Flow *flow)
{
        if (flow->meter) {
                openflow_put(out, INSTRUCTION_METER, 2);
                openflow_put(out, 8, 2);
                openflow_put(out, flow->meter, 4);
        }
        if (flow->actions->len == 0)
                return true;
        guint at = begin_action(out, INSTRUCTION_APPLY);
        put_zeros(out, 4);
        put_actions(out, flow->actions, 0, flow->actions->len);
        guint length = out->len - at;
        set16(out, at + 2, MIN(length, 0xffff));
        return length <= 0xffff;
}

/* ---- messages ---- */

bool openflow_flow_mod(GByteArray *out, uint32_t xid, FlowModCommand command, const Flow *flow)
{
        guint at = openflow_begin(out, OPENFLOW_FLOW_MOD, xid);
        bool fits = true;
        openflow_put(out, flow && command == FLOW_MOD_ADD ? flow->cookie : 0, 8);
        openflow_put(out, 0, 8); /* cookie mask */
        openflow_put(out, flow ? flow->table : ALL_TABLES, 1);
        openflow_put(out, command, 1);
        openflow_put(out, 0, 4); /* no time limits */
        openflow_put(out, flow ? flow->priority : 0, 2);
        openflow_put(out, NO_BUFFER, 4);
        openflow_put(out, ANYWHERE, 4);
        openflow_put(out, ANYWHERE, 4);
        openflow_put(out, 0, 4); /* flags, importance */
        put_match(out, flow);
        if (flow && command == FLOW_MOD_ADD)
                fits = put_instructions(out, flow);
        return openflow_end(out, at) && fits;
}

void openflow_meter_mod(GByteArray *out, uint32_t xid, MeterModCommand command, const Meter *meter)
{
        guint at = openflow_begin(out, OPENFLOW_METER_MOD, xid);
        openflow_put(out, command, 2);
        openflow_put(out, METER_KBPS | METER_BURST, 2);
        openflow_put(out, meter->id, 4);
        if (command != METER_MOD_DELETE) {
                openflow_put(out, 1, 2); /* drop */
                openflow_put(out, 16, 2);
                openflow_put(out, meter->kbps, 4);
                openflow_put(out, meter->burst_kbit, 4);
                put_zeros(out, 4);
        }
        openflow_end(out, at);
}

static guint begin_bundle(GByteArray *out, int type, uint32_t xid, uint32_t bundle, guint command)
{
        guint at = openflow_begin(out, type, xid);
        openflow_put(out, bundle, 4);
        openflow_put(out, command, 2);
        openflow_put(out, BUNDLE_ATOMIC | BUNDLE_ORDERED, 2);
        return at;
}

void openflow_bundle_control(GByteArray *out, uint32_t xid, uint32_t bundle, BundleCommand command)
{
        openflow_end(out, begin_bundle(out, OPENFLOW_BUNDLE_CONTROL, xid, bundle, command));
}

bool openflow_bundle_add(GByteArray *out, uint32_t xid, uint32_t bundle, FlowModCommand command, const Flow *flow)
{
        guint at = begin_bundle(out, OPENFLOW_BUNDLE_ADD, xid, bundle, 0);
        bool fits = openflow_flow_mod(out, xid, command, flow);
        return openflow_end(out, at) && fits;
}

/* ---- errors ---- */

static const struct {
        unsigned type, code;
        const char *text;
} error_texts[] = {
    {0, 0, "no common version of OpenFlow"},
    {1, 0, "it does not speak this version"},
    {1, 1, "unknown kind of message"},
    {1, 6, "a message of a wrong length"},
    {2, 0, "unknown action"},
    {2, 1, "an action of a wrong length"},
    {2, 4, "an action on a port it does not have"},
    {4, 0, "a field of a wrong kind"},
    {4, 6, "a field it does not know"},
    {4, 9, "a field without those it depends on"},
    {5, 1, "its table is full"},
    {5, 2, "there is no such table"},
    {12, 1, "the meter exists already"},
    {12, 3, "there is no such meter"},
    {12, 10, "it has no more meters"},
    {17, 4, "the bundle was closed already"},
    {17, 13, "a message in the bundle was refused"},
};

const char *openflow_error_text(unsigned type, unsigned code)
{
        static _Thread_local char text[64];
        for (gsize i = 0; i < G_N_ELEMENTS(error_texts); i++)
                if (error_texts[i].type == type && error_texts[i].code == code)
                        return error_texts[i].text;
        g_snprintf(text, sizeof text, "OpenFlow error %u.%u", type, code);
        return text;
}
