/*
 * IP addresses and subnets as numbers: reading, comparing, choosing a free one. Pure; any thread.
 */
#pragma once

#include "network/model.h"

/* A range of addresses; what its length leaves of the address is 0. */
typedef struct {
        IpAddress address;
        int length; /* of the prefix, bits */
} Subnet;

char *ip_text(const IpAddress *address); /* caller frees */
bool ip_equal(const IpAddress *a, const IpAddress *b);
/* "10.1.2.0/24" or "10.1.2.5/24", whose bits beyond the prefix are left out; false when it is neither. */
bool subnet_parse(const char *text, Subnet *ret_subnet);
/*
 * One that adapters can have addresses from, IPv4 only: private ones included, /8 to /29, and no bit beyond the prefix.
 * HOSTLER_ERROR_INVALID in words that name the fault.
 */
bool subnet_parse_lan(const char *text, Subnet *ret_subnet, GError **error);
/* The IPv6 prefix beside one: a /64, global or unique local, and no bit beyond it. HOSTLER_ERROR_INVALID as above. */
bool prefix_parse_lan(const char *text, Subnet *ret_prefix, GError **error);
/* The address that a host with @mac makes itself in a /64 (RFC 4291, appendix A). */
IpAddress prefix_address(const Subnet *prefix, const Mac *mac);
char *subnet_text(const Subnet *subnet);    /* "10.1.2.0/24"; caller frees */
char *subnet_netmask(const Subnet *subnet); /* "255.255.255.0"; of IPv4; caller frees */
/* "255.255.255.0" → 24; -1: not a mask. */
int netmask_parse(const char *text);
bool subnet_has(const Subnet *subnet, const IpAddress *address);
bool subnet_overlaps(const Subnet *a, const Subnet *b);
/* In the subnet, and neither its own name nor, of IPv4, its broadcast address. */
bool subnet_is_host(const Subnet *subnet, const IpAddress *address);
/* The first address that can be a host's; IPv4: the last. */
IpAddress subnet_first(const Subnet *subnet);
IpAddress subnet_last(const Subnet *subnet);
/* IPv4: the lowest host's address that is not among @taken (texts). False: there is none left. */
bool subnet_choose(const Subnet *subnet, GHashTable *taken, IpAddress *ret_address);
