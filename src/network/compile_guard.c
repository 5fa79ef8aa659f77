/*
 * Guards: a port whose addresses are guarded sends IP, ARP and neighbour discovery only as who it is; DHCP servers and
 * routers speak where they may.
 *
 * What a host needs before it has an address passes: DHCP's first question, ARP probes, duplicate address detection,
 * multicast listener reports.
 */
#include <string.h>

#include "network/compile_private.h"
#include "network/subnet.h"

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd

enum {
        ICMPV6_ROUTER_SOLICITATION = 133,
        ICMPV6_ROUTER_ADVERTISEMENT = 134,
        ICMPV6_SOLICITATION = 135,
        ICMPV6_ADVERTISEMENT = 136,
        ICMPV6_REDIRECT = 137,
        ICMPV6_LISTENER_REPORT = 143
};

static const uint8_t nowhere[16];

static Flow *add_address(Compiler *compiler, int priority, const Port *port, uint16_t type)
{
        Flow *flow = compiler_add_from(compiler, TABLE_ADDRESS, priority, FLOW_ADDRESS, port);
        flow_match(flow, MATCH_ETH_TYPE, type);
        return flow;
}

static void let_pass(Flow *flow)
{
        flow_resubmit(flow, TABLE_PEAK);
}

static void allow_arp(Compiler *compiler, const Port *port, const uint8_t *address)
{
        Flow *flow = add_address(compiler, 100, port, ETH_ARP);
        flow_match_bytes(flow, MATCH_ARP_SPA, address);
        match_mac(flow, MATCH_ARP_SHA, &port->mac);
        let_pass(flow);
}

static void allow_ipv4(Compiler *compiler, const Port *port, const uint8_t *address)
{
        Flow *flow = add_address(compiler, 100, port, ETH_IPV4);
        flow_match_bytes(flow, MATCH_IPV4_SRC, address);
        let_pass(flow);
        allow_arp(compiler, port, address);
}

static void allow_first_question(Compiler *compiler, const Port *port)
{
        Flow *flow = add_address(compiler, 100, port, ETH_IPV4);
        flow_match(flow, MATCH_IP_PROTO, IPPROTO_UDP);
        flow_match_bytes(flow, MATCH_IPV4_SRC, nowhere);
        flow_match(flow, MATCH_UDP_SRC, 68);
        flow_match(flow, MATCH_UDP_DST, 67);
        let_pass(flow);
        allow_arp(compiler, port, nowhere);
}

static Flow *add_icmpv6(Compiler *compiler, int priority, const Port *port, uint8_t type)
{
        Flow *flow = add_address(compiler, priority, port, ETH_IPV6);
        flow_match(flow, MATCH_IP_PROTO, IPPROTO_ICMPV6);
        flow_match(flow, MATCH_ICMPV6_TYPE, type);
        return flow;
}

/* The link-layer address in it may be left out (RFC 4861, 4.3 and 4.4), but is nobody else's. */
static void allow_discovery(Compiler *compiler, const Port *port, const uint8_t *address)
{
        static const Mac none;
        const Mac *macs[] = {&port->mac, &none};
        for (gsize i = 0; i < G_N_ELEMENTS(macs); i++) {
                Flow *answer = add_icmpv6(compiler, 110, port, ICMPV6_ADVERTISEMENT);
                flow_match_bytes(answer, MATCH_IPV6_SRC, address);
                flow_match_bytes(answer, MATCH_ND_TARGET, address);
                match_mac(answer, MATCH_ND_TLL, macs[i]);
                let_pass(answer);
                Flow *question = add_icmpv6(compiler, 110, port, ICMPV6_SOLICITATION);
                flow_match_bytes(question, MATCH_IPV6_SRC, address);
                match_mac(question, MATCH_ND_SLL, macs[i]);
                let_pass(question);
        }
        Flow *is_it_free = add_icmpv6(compiler, 110, port, ICMPV6_SOLICITATION);
        flow_match_bytes(is_it_free, MATCH_IPV6_SRC, nowhere);
        flow_match_bytes(is_it_free, MATCH_ND_TARGET, address);
        let_pass(is_it_free);
}

static void allow_ipv6(Compiler *compiler, const Port *port, const uint8_t *address)
{
        Flow *flow = add_address(compiler, 100, port, ETH_IPV6);
        flow_match_bytes(flow, MATCH_IPV6_SRC, address);
        let_pass(flow);
        allow_discovery(compiler, port, address);
}

static void allow_nameless(Compiler *compiler, const Port *port)
{
        static const uint8_t types[] = {ICMPV6_ROUTER_SOLICITATION, ICMPV6_LISTENER_REPORT};
        for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
                Flow *flow = add_icmpv6(compiler, 110, port, types[i]);
                flow_match_bytes(flow, MATCH_IPV6_SRC, nowhere);
                let_pass(flow);
        }
}

static void guard_addresses(Compiler *compiler, const Port *port)
{
        static const uint16_t types[] = {ETH_IPV4, ETH_ARP, ETH_IPV6};
        static const Subnet link_local = {{.v6 = true, .bytes = {0xfe, 0x80}}, 64};
        IpAddress own = prefix_address(&link_local, &port->mac);
        allow_first_question(compiler, port);
        allow_nameless(compiler, port);
        allow_ipv6(compiler, port, own.bytes);
        for (guint i = 0; i < port->n_addresses; i++) {
                const IpAddress *address = &port->addresses[i];
                if (!address->v6)
                        allow_ipv4(compiler, port, address->bytes);
                else if (memcmp(address->bytes, own.bytes, sizeof own.bytes) != 0)
                        allow_ipv6(compiler, port, address->bytes);
        }
        add_icmpv6(compiler, 105, port, ICMPV6_ADVERTISEMENT);
        add_icmpv6(compiler, 105, port, ICMPV6_SOLICITATION);
        for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
                add_address(compiler, 50, port, types[i]);
}

static void refuse_udp(Compiler *compiler, const Port *port, uint16_t type, uint16_t from, uint16_t to)
{
        Flow *flow = compiler_add_from(compiler, TABLE_SERVICE, 100, FLOW_SERVICE, port);
        flow_match(flow, MATCH_ETH_TYPE, type);
        flow_match(flow, MATCH_IP_PROTO, IPPROTO_UDP);
        flow_match(flow, MATCH_UDP_SRC, from);
        flow_match(flow, MATCH_UDP_DST, to);
}

static void refuse_icmpv6(Compiler *compiler, const Port *port, uint8_t type)
{
        Flow *flow = compiler_add_from(compiler, TABLE_SERVICE, 100, FLOW_SERVICE, port);
        flow_match(flow, MATCH_ETH_TYPE, ETH_IPV6);
        flow_match(flow, MATCH_IP_PROTO, IPPROTO_ICMPV6);
        flow_match(flow, MATCH_ICMPV6_TYPE, type);
}

void compile_guard(Compiler *compiler, const Port *port)
{
        if (!port_is_adapter(port))
                return;
        if (!port->policy.address_spoofing)
                guard_addresses(compiler, port);
        if (!port->policy.dhcp_server) {
                refuse_udp(compiler, port, ETH_IPV4, 67, 68);
                refuse_udp(compiler, port, ETH_IPV6, 547, 546);
        }
        if (!port->policy.router_advertisement) {
                refuse_icmpv6(compiler, port, ICMPV6_ROUTER_ADVERTISEMENT);
                refuse_icmpv6(compiler, port, ICMPV6_REDIRECT);
        }
}
