/*
 * Flow tables as values: what an OpenFlow switch is told. Made by src/network, carried by openflow.h.
 *
 * A flow is a table, a priority, what it matches and what it does; one that does nothing drops. Fields are kept in
 * network byte order, as they travel. Pure; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What can be matched. The registers are Open vSwitch's, 32 bits each. */
typedef enum {
        MATCH_IN_PORT,
        MATCH_ETH_DST,
        MATCH_ETH_SRC,
        MATCH_ETH_TYPE,
        MATCH_VLAN_VID, /* with FLOW_VLAN_PRESENT; 0: the frame has no tag */
        MATCH_IP_PROTO,
        MATCH_IPV4_SRC,
        MATCH_UDP_SRC,
        MATCH_UDP_DST,
        MATCH_ARP_SPA,
        MATCH_ARP_SHA,
        MATCH_IPV6_SRC,
        MATCH_ICMPV6_TYPE,
        MATCH_ND_TARGET,
        MATCH_ND_SLL,
        MATCH_ND_TLL,
        MATCH_REG0 /* register n is MATCH_REG0 + n, up to 15 */
} MatchField;
#define MATCH_REG(n) ((MatchField)(MATCH_REG0 + (n)))
#define MATCH_FIELDS (MATCH_REG0 + 16)

#define FLOW_VLAN_PRESENT 0x1000
#define FLOW_MATCH_MAX 16 /* bytes of the longest field */

typedef struct {
        const char *name;   /* as ovs-ofctl(8) writes it */
        uint16_t oxm_class; /* OpenFlow 1.4, 7.2.3; 1 is Nicira's registers */
        uint8_t oxm_field;
        uint8_t length;
} MatchDecl;
/* Borrowed. */
const MatchDecl *match_decl(MatchField field);

typedef struct {
        MatchField field;
        uint8_t value[FLOW_MATCH_MAX], mask[FLOW_MATCH_MAX];
        bool masked;
} FlowMatch;

typedef enum {
        ACTION_OUTPUT,    /* number: port */
        ACTION_RESUBMIT,  /* number: table; what follows goes on after it */
        ACTION_LOAD,      /* number, into `bits` bits of register `reg` from bit `offset` */
        ACTION_PUSH_VLAN, /* number: VID 1–4095 */
        ACTION_POP_VLAN,
        ACTION_CLONE, /* number: how many of the actions that follow work on a copy of the frame */
        /* From then on, flows of table `table` that the switch makes itself, and that go with the flow they come of: */
        ACTION_LEARN_SOURCE, /* load number, a port's, into register `reg` for frames to where this one came from */
        ACTION_LEARN_MARK    /* load `bits` into bit 0 of register `reg` for frames with number in register `offset` */
} ActionKind;

#define FLOW_LEARN_PRIORITY 100
#define FLOW_LEARN_IDLE_S 300 /* a source that is silent for so long is forgotten */

typedef struct {
        ActionKind kind;
        uint32_t number;
        uint8_t reg, offset, bits, table;
} FlowAction;

typedef struct {
        uint64_t cookie;
        uint32_t meter; /* 0: none; the frame passes it before anything else is done */
        uint16_t priority;
        uint8_t table;
        GArray *match;   /* of FlowMatch, each field once; owned */
        GArray *actions; /* of FlowAction; owned */
} Flow;

/* Cuts a stream to @kbps on average; @burst_kbit (0: a tenth of a second's worth) may pass at once. */
typedef struct {
        uint32_t id, kbps, burst_kbit;
} Meter;

typedef struct {
        GPtrArray *flows; /* of Flow; owned */
        GArray *meters;   /* of Meter; owned */
} FlowTable;

FlowTable *flow_table_new(void);
void flow_table_free(FlowTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FlowTable, flow_table_free)
/* By table, then priority downwards, then what is matched. */
void flow_table_sort(FlowTable *table);
/* By table, priority and match: 0 when the one takes the other's place. */
int flow_compare(const Flow *a, const Flow *b);
/* Whether frames end at it: it does nothing with them, though it may learn from them. */
bool flow_drops(const Flow *flow);
/* Whether they do the same under the same cookie. */
bool flow_does_same(const Flow *a, const Flow *b);
/* A line a meter and a line a flow, as ovs-ofctl(8) reads them. Caller frees. */
char *flow_table_text(const FlowTable *table);
/* One such line, without its end. Caller frees. */
char *flow_text(const Flow *flow);

/* Adds an empty flow; borrowed, until the table is sorted or freed. */
Flow *flow_add(FlowTable *table, uint8_t number, uint16_t priority, uint64_t cookie);
/* The field is the low bytes of @value. */
void flow_match(Flow *flow, MatchField field, uint64_t value);
void flow_match_masked(Flow *flow, MatchField field, uint64_t value, uint64_t mask);
/* @bytes: as long as the field. */
void flow_match_bytes(Flow *flow, MatchField field, const uint8_t *bytes);

void flow_output(Flow *flow, uint32_t port);
void flow_resubmit(Flow *flow, uint8_t table);
void flow_load(Flow *flow, int reg, int offset, int bits, uint32_t value);
void flow_push_vlan(Flow *flow, uint16_t vid);
void flow_pop_vlan(Flow *flow);
/* Frames in this VLAN to the address that this one came from: @reg is loaded with @port in table @table. */
void flow_learn_source(Flow *flow, uint8_t table, int reg, uint32_t port);
/* Frames with @port in register @of: bit 0 of @reg is @mark after table @table. */
void flow_learn_mark(Flow *flow, uint8_t table, int reg, bool mark, int of, uint32_t port);
/* The next @count actions work on a copy. */
void flow_clone(Flow *flow, uint32_t count);
