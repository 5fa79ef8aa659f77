/*
 * The flow compiler: a switch as a value becomes the flow table that behaves so.
 *
 * The tables, in the order in which a frame meets them:
 *
 *    0 admission      who sent it: port and port group go into registers; blocked ports and group sources end here
 *    5 VLAN in        the frame gets the tag of its VLAN, or is refused
 *   10 source         forged transmits; 15 and 16 mac spoofing
 *   20 addresses      IP, ARP and neighbour discovery of guarded ports
 *   30 rate           the meters of what the port sends: of its peak, then 31 of its average
 *   40 services       DHCP servers, router advertisements
 *   50 destination    to whom: 60 floods broadcasts, 61 goes to who wants the group; what nobody has, 51 may have
 *                     learned, and 52 sends it on
 *   70–73 listeners   copies for promiscuous ports: of the switch, the VLAN, the sender's and the receiver's port group
 *   79 marked         who has another address than its own, as learned from what it sends
 *   80 egress         once for each receiver, on a copy: isolation, MAC changes, tag off, out
 *
 * Registers: 1 port group, 2 port and 3 isolation of the sender; 4 "the source is another's"; 5 port group of the one
 * receiver; 6 which piece of a long list; 8–11 a bit for each promiscuous port that has its copy; 12 "the receiver has
 * another address"; 13 "this copy is for a listener"; 15 the receiver.
 *
 * An adapter that cannot tell which address its guest gave it is judged by what it sends: where changes are accepted,
 * an address that is nobody's is taken for its own too; where they are not, it gets nothing from its first frame with
 * another address to its next one with its own. Open vSwitch notes that within half a second.
 *
 * Each flow's cookie says for what it stands and for which port, so that its counters are that policy's.
 */
#pragma once

#include "network/model.h"
#include "wire/flow.h"

/* Why a flow is there; those that drop are what a policy counts. */
typedef enum {
        FLOW_ADMISSION = 1,
        FLOW_VLAN,
        FLOW_FORGED,
        FLOW_ADDRESS,
        FLOW_RATE,
        FLOW_SERVICE,
        FLOW_DESTINATION,
        FLOW_BROADCAST,
        FLOW_GROUP,
        FLOW_LISTENER,
        FLOW_EGRESS,
        FLOW_MAC_CHANGES,
        FLOW_MAC_SPOOFING,
        FLOW_ISOLATED,
        FLOW_BLOCKED,
        FLOW_MIRROR
} FlowClass;

/* 0x4853, a bit for "drops", class, port. */
#define COOKIE_MAKE(class, port) (UINT64_C(0x4853) << 48 | (uint64_t)(class) << 32 | (uint32_t)(port))
#define COOKIE_DROPS (UINT64_C(1) << 47)
#define COOKIE_CLASS(cookie) ((FlowClass)((cookie) >> 32 & 0xff))
#define COOKIE_PORT(cookie) ((uint32_t)(cookie))

/* Promiscuous ports of one switch. */
#define LISTENERS_MAX 128

/* Sorted. HOSTLER_ERROR_NO_CAPACITY with more than LISTENERS_MAX promiscuous ports. Pure. */
FlowTable *switch_compile(const SwitchModel *model, GError **error);
