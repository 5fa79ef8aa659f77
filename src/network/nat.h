/*
 * The way out of LANs, as the host's packet filter knows it: a table of our own, and in the forward chains of others'
 * tables a rule each that lets our LANs pass, because with nftables every table has to agree. JSON of libnftables(3),
 * carried by nft(8). The first two are pure; the others block, and are called in the host's network namespace.
 */
#pragma once

#include <jansson.h>

#include "network/subnet.h"

typedef struct {
        const char *device; /* the host's end of the LAN's uplink, or a bridge */
        Subnet subnet;
        bool bridged; /* what crosses the bridge is no business of ours, but passes the forward chains of others, where
                         the kernel shows them such packets (br_netfilter) */
        bool has_prefix; /* IPv6 too */
        Subnet prefix;
} NatLan;

/*
 * Commands that make @table of @family ("ip", "ip6") what it should be for @lans; with none it is removed. All its
 * rules bear a mark of what they are as a whole.
 */
json_t *nat_table(const char *family, const char *table, const NatLan *lans, guint n_lans);
/*
 * What is to be done so that a host with @ruleset ("nft -j list ruleset") has all that; NULL: nothing. First in
 * *@ret_others what concerns others' chains, which may be refused without harm to the rest; NULL: nothing.
 */
json_t *nat_difference(const json_t *ruleset, const char *table, const NatLan *lans, guint n_lans, json_t **ret_others);

bool nat_is_installed(GError **error);
/* Makes it so. */
bool nat_apply(const char *table, const NatLan *lans, guint n_lans, GError **error);
/* A socket that is readable after somebody has changed the packet filter of the namespace it is opened in; -1: there is
 * none. */
int nat_watch(void);
