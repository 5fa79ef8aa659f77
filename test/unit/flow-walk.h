/* Flow tables carried out on one frame, as a switch would: for tests. */
#pragma once

#include "network/model.h"
#include "wire/flow.h"

typedef enum { FRAME_TCP, FRAME_UDP, FRAME_ARP, FRAME_OTHER } FrameKind;

typedef struct {
        Mac source, destination;
        uint16_t vid; /* 0: no tag */
        FrameKind kind;
        uint8_t address[4];        /* IPv4 source, or ARP sender */
        uint16_t udp_from, udp_to; /* UDP only */
} Frame;

typedef struct {
        uint32_t port;
        uint16_t vid;
} Delivery;

/* Appends a Delivery for each frame that leaves. Meters let everything pass. */
void flow_walk(const FlowTable *table, uint32_t in_port, const Frame *frame, GArray *deliveries);
