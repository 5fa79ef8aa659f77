/*
 * Routers: for each LAN a network namespace with a port on the LAN's switch, where dnsmasq answers under a keeper, and,
 * with NAT, a way to the host. What the host's firewall says of its own ports does not concern it.
 *
 *   FOLDER/SWITCH.VLAN/   folder of dnsmasq's keeper, with its configuration and its leases
 *   SERVED/SWITCH.VLAN/   files that dnsmasq reads again when it is told; by then it is not root any more
 *
 *   guest — switch — net0 [router] up0 — hsg… [host] — world
 *
 * Everything here belongs to the network's thread, which is in the switch's namespace, and blocks.
 */
#pragma once

#include "network/lan.h"

/* A LAN as it should be. */
typedef struct {
        char *key;              /* "lan.10": switch and VLAN */
        char *device, *outside; /* its port on the switch, and the host's end of its way out */
        uint32_t number;        /* of the port */
        uint16_t vid;
        Mac mac;
        Lan lan;
        GPtrArray *hosts; /* of LanHost */
} Router;
Router *router_new(const char *switch_name, uint16_t vid, const Lan *lan);
void router_free(Router *router);

/* The word before the names of devices in the host's namespace that are nobody else's. */
#define ROUTER_OUTSIDE_PREFIX "hsg"

typedef struct {
        const char *folder;
        int host_fd;         /* the host's network namespace */
        int switch_pid;      /* a process in the switch's */
        const char *served;  /* folder of what dnsmasq reads while it runs, as a user who may not see the other one */
        const char *forward; /* forward_begin()'s file */
} RouterPlace;
/* HOSTLER_ERROR_UNSUPPORTED when dnsmasq is not installed. */
bool router_is_installed(GError **error);
/* Makes it if it does not run as it should; *@ret_made: its port's device is a new one. */
bool router_make(const RouterPlace *place, const Router *router, bool *ret_made, GError **error);
/* Tells it who is there, if that has changed. */
bool router_serve(const RouterPlace *place, const Router *router, GError **error);
/* Ends those that are not among @routers (of Router). */
void routers_end_others(const RouterPlace *place, const GPtrArray *routers);
/* Descriptors (int) that are readable when a router that should run has ended; the caller closes them. */
void routers_watch(const RouterPlace *place, const GPtrArray *routers, GArray *fds);
