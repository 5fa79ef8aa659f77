/*
 * A flow table carried out on one frame, step by step, as the switch would: what `hostler nic trace` tells.
 *
 * Meters let everything pass. Pure.
 */
#pragma once

#include "network/model.h"
#include "wire/flow.h"

typedef struct {
        Mac source, destination;
        uint16_t tag;                /* VLAN; 0: none */
        uint16_t type;               /* Ethernet's */
        uint8_t protocol;            /* IP's, where the type is IPv4 or IPv6 */
        IpAddress from;              /* IP's source, or ARP's sender */
        uint16_t from_port, to_port; /* UDP's */
} TraceFrame;

typedef enum {
        TRACE_PASS,    /* a flow that does something */
        TRACE_DROP,    /* a flow that drops this copy of the frame */
        TRACE_NO_FLOW, /* none matches: it is dropped */
        TRACE_OUTPUT   /* it goes out */
} TraceKind;

typedef struct {
        TraceKind kind;
        uint8_t table;
        uint32_t port;   /* the one that the flow is about (0: none), or that the frame goes out at */
        uint64_t cookie; /* the flow's */
        uint16_t tag;    /* with what VLAN it goes out; 0: none */
} TraceStep;

/* All that happens to a frame that comes in at @in_port, in order: of TraceStep. g_array_unref. */
GArray *trace_run(const FlowTable *table, uint32_t in_port, const TraceFrame *frame);
