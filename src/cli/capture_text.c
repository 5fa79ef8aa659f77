/*
 * A line for each frame. See capture_text.h. What it does not know it says the type of: for more there is tcpdump.
 */
#include "cli/capture_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>

enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd };
enum { IPV4_HEAD = 20, IPV6_HEAD = 40, ARP_BYTES = 28, ETHERNET_HEAD = 14, TAG = 4, PORTS = 4 };

typedef struct {
        const guint8 *at;
        gsize left;
} Bytes;

static guint number16(const guint8 *at)
{
        return at[0] << 8 | at[1];
}

static void add_mac(GString *text, const guint8 *mac)
{
        g_string_append_printf(text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void add_address(GString *text, int family, const guint8 *address)
{
        char words[INET6_ADDRSTRLEN] = "?";
        inet_ntop(family, address, words, sizeof words);
        g_string_append(text, words);
}

static const char *protocol_name(int protocol)
{
        switch (protocol) {
        case IPPROTO_TCP:
                return "TCP";
        case IPPROTO_UDP:
                return "UDP";
        case IPPROTO_ICMP:
                return "ICMP";
        case IPPROTO_ICMPV6:
                return "ICMPv6";
        case IPPROTO_IGMP:
                return "IGMP";
        default:
                return NULL;
        }
}

/* TCP's first flags, as tcpdump writes them. */
static void add_flags(GString *text, guint8 flags)
{
        static const char letters[] = "FSRPA";
        g_string_append(text, " [");
        for (int i = 0; i < 5; i++)
                if (flags >> i & 1)
                        g_string_append_c(text, letters[i]);
        g_string_append_c(text, ']');
}

/* @body: what follows the IP header; empty in a later fragment. */
static void add_ip(GString *text, int family, const guint8 *from, const guint8 *to, int protocol, Bytes body)
{
        bool has_ports = (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && body.left >= PORTS;
        const char *name = protocol_name(protocol);
        if (name)
                g_string_append_printf(text, " %s ", name);
        else
                g_string_append_printf(text, " IP protocol %d ", protocol);
        add_address(text, family, from);
        if (has_ports)
                g_string_append_printf(text, ".%u", number16(body.at));
        g_string_append(text, " > ");
        add_address(text, family, to);
        if (has_ports)
                g_string_append_printf(text, ".%u", number16(body.at + 2));
        if (protocol == IPPROTO_TCP && body.left > 13)
                add_flags(text, body.at[13]);
}

static void add_ipv4(GString *text, Bytes packet)
{
        gsize head = (packet.at[0] & 0x0f) * 4u;
        bool later = (number16(packet.at + 6) & 0x1fff) != 0;
        Bytes body = {packet.at + head, packet.left > head && !later ? packet.left - head : 0};
        add_ip(text, AF_INET, packet.at + 12, packet.at + 16, packet.at[9], body);
}

static void add_ipv6(GString *text, Bytes packet)
{
        Bytes body = {packet.at + IPV6_HEAD, packet.left - IPV6_HEAD};
        add_ip(text, AF_INET6, packet.at + 8, packet.at + 24, packet.at[6], body);
}

static void add_arp(GString *text, Bytes packet)
{
        bool asks = number16(packet.at + 6) == 1;
        g_string_append(text, asks ? " ARP who has " : " ARP ");
        add_address(text, AF_INET, packet.at + (asks ? 24 : 14));
        g_string_append(text, asks ? ", tell " : " is at ");
        if (asks)
                add_address(text, AF_INET, packet.at + 14);
        else
                add_mac(text, packet.at + 8);
}

static void add_payload(GString *text, guint type, Bytes packet)
{
        if (type == TYPE_IPV4 && packet.left >= IPV4_HEAD)
                add_ipv4(text, packet);
        else if (type == TYPE_IPV6 && packet.left >= IPV6_HEAD)
                add_ipv6(text, packet);
        else if (type == TYPE_ARP && packet.left >= ARP_BYTES)
                add_arp(text, packet);
        else
                g_string_append_printf(text, " type 0x%04x", type);
}

char *capture_text(const guint8 *frame, gsize kept, gsize length)
{
        GString *text = g_string_new(NULL);
        Bytes packet = {frame, kept};
        if (kept >= ETHERNET_HEAD) {
                guint type = number16(frame + 12);
                add_mac(text, frame + 6);
                g_string_append(text, " > ");
                add_mac(text, frame);
                packet = (Bytes){frame + ETHERNET_HEAD, kept - ETHERNET_HEAD};
                if (type == TYPE_VLAN && packet.left >= TAG) {
                        g_string_append_printf(text, " vlan %u", number16(packet.at) & 0x0fff);
                        type = number16(packet.at + 2);
                        packet = (Bytes){packet.at + TAG, packet.left - TAG};
                }
                add_payload(text, type, packet);
        }
        g_string_append_printf(text, "%s%zu bytes", text->len ? ", " : "", length);
        return g_string_free(text, FALSE);
}
