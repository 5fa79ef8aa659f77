/* What the files of the flow compiler share. */
#pragma once

#include <netinet/in.h>

#include "network/compile.h"

enum {
        TABLE_ADMISSION = 0,
        TABLE_VLAN = 5,
        TABLE_SOURCE = 10,
        TABLE_OWNERS = 15,
        TABLE_SPOOFED = 16,
        TABLE_ADDRESS = 20,
        TABLE_PEAK = 30,
        TABLE_AVERAGE = 31,
        TABLE_SERVICE = 40,
        TABLE_DESTINATION = 50,
        TABLE_LEARNED = 51,
        TABLE_UNKNOWN = 52,
        TABLE_BROADCAST = 60,
        TABLE_GROUP = 61,
        TABLE_LISTEN_SWITCH = 70,
        TABLE_LISTEN_VLAN = 71,
        TABLE_LISTEN_SENDER = 72,
        TABLE_LISTEN_RECEIVER = 73,
        TABLE_MARKED = 79,
        TABLE_EGRESS = 80
};

enum {
        REG_GROUP = 1,
        REG_SENDER = 2,
        REG_ISOLATED = 3,
        REG_RECEIVERS_GROUP = 5,
        REG_PIECE = 6,
        REG_HAS_COPY = 8, /* and the three after it */
        REG_MARK = 12,    /* bit 0: it has another address; bit 1: that was looked up */
        REG_IS_COPY = 13,
        REG_RECEIVER = 15
};

typedef struct {
        const SwitchModel *model;
        FlowTable *table;
        GHashTable *owned;        /* addresses that somebody has */
        GHashTable *destinations; /* "VLAN/address" */
        GHashTable *groups;       /* "VLAN/group" */
        GPtrArray *listeners;     /* of Port, borrowed: those that get the frames of others */
} Compiler;

extern const Mac mac_broadcast;

bool port_is_adapter(const Port *port);
bool port_has_every_vlan(const Port *port);

void match_vlan(Flow *flow, uint16_t vid); /* 0: untagged */
void match_mac(Flow *flow, MatchField field, const Mac *mac);
void match_is_group(Flow *flow, bool group);
/* A flow about @port (NULL: about none); _from: of what it sends; _egress: of what it is to receive. */
Flow *compiler_add(Compiler *compiler, int table, int priority, FlowClass class, const Port *port);
Flow *compiler_add_from(Compiler *compiler, int table, int priority, FlowClass class, const Port *port);
Flow *compiler_add_egress(Compiler *compiler, int priority, FlowClass class, const Port *port);

/* compile_guard.c: tables 20 and 40. */
void compile_guard(Compiler *compiler, const Port *port);

/* compile_listen.c: tables 70 to 73. */
GPtrArray *listeners_of(const SwitchModel *model); /* g_ptr_array_unref */
/* Its number among the listeners; -1: it is none. */
int compiler_listener(const Compiler *compiler, const Port *port);
void compile_listeners(Compiler *compiler);
