/*
 * A LAN: the adapters of one VLAN on a switch that get their addresses from one subnet, and what we tell them by DHCP
 * and DNS. From declared properties to a value, and from that to the files of dnsmasq(8). Pure; any thread.
 */
#pragma once

#include <jansson.h>

#include "network/subnet.h"

#define MTU_MIN_V6 1280 /* RFC 8200, 5 */

typedef struct {
        Subnet subnet;
        IpAddress own; /* the address at which we answer */
        bool nat;      /* we are the way out too */
        bool has_gateway;
        IpAddress gateway;
        bool dhcp; /* addresses are given out, and not only names */
        char *domain;
        char **dns, **search; /* NULL: none of its own */
        int mtu;
        bool has_prefix; /* IPv6 too: told by router advertisements and DHCPv6, if by DHCP at all */
        Subnet prefix;
        IpAddress own6; /* the address in it at which we answer */
} Lan;
void lan_clear(Lan *lan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Lan, lan_clear)
/*
 * By the properties of a switch, or of one of its port groups (@spec), that has a subnet. HOSTLER_ERROR_INVALID in
 * words that name the fault.
 */
bool lan_read(const json_t *of_switch, const json_t *spec, Lan *ret_lan, GError **error);
Lan lan_copy(const Lan *lan);

/* Who an adapter is on its LAN, and what it is told; NULL or HOSTLER_UNSET: what the LAN says. All owned. */
typedef struct {
        Mac mac;
        bool has_address, has_address6;
        IpAddress address, address6; /* of IPv4, and in the LAN's prefix */
        char *name;                  /* of the host */
        bool dhcp;                   /* it asks for its address, else only its name is known */
        char *netmask, *gateway, *domain;
        char **dns, **search; /* name servers of both families */
        int64_t mtu;
} LanHost;
LanHost *lan_host_copy(const LanHost *host);
void lan_host_free(LanHost *host);
/* A name as DNS takes it: "Web_1" → "web-1". Caller frees. */
char *lan_host_name(const char *text);

/* dnsmasq's configuration for a process of @user; what is in @served (absolute) are the files below, its leases are in
 * @folder. @upstream: name servers to ask, NULL: none. Each text is the caller's. */
char *lan_config(const Lan *lan, const char *folder, const char *served, const char *user, const char *interface,
                 char *const *upstream);
/* @hosts: of LanHost. */
char *lan_hosts(const GPtrArray *hosts);                   /* "hosts" */
char *lan_options(const Lan *lan, const GPtrArray *hosts); /* "options" */
char *lan_names(const GPtrArray *hosts);                   /* "names" */
