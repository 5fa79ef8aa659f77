/*
 * The plan of an adapter's addresses: what its properties say, and for what they leave open, what its subnet says. One
 * plan, for the cloud-init seed, for DHCP, for the agent and for the guard of the port.
 */
#pragma once

#include "network/network.h"
#include "vm/manager.h"

typedef struct {
        bool dhcp;        /* the guest is to ask for its IPv4 address */
        char *given;      /* what it will get; NULL: somebody else decides */
        bool dhcp6;       /* it may ask for an IPv6 address as well */
        char *given6;     /* what follows from its MAC, asked for or not; NULL: its LAN has no prefix, or is not told */
        char **addresses; /* by hand, with the length of their network: "10.1.2.5/24", "fd00::5/64" */
        /* What DHCP says otherwise, or with addresses by hand all of it; NULL: nothing. */
        char **gateways, **dns, **search;
        int64_t mtu;
        LanHost *host; /* for its LAN's DHCP and names; NULL: it is on none */
} AddressPlan;
void address_plan_clear(AddressPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AddressPlan, address_plan_clear)

/*
 * Gives the adapter an address of its subnet if it needs one and has none yet. HOSTLER_ERROR_NO_CAPACITY: there is no
 * free one. @vm_id need not be known yet. Blocks.
 */
bool addresses_plan(Manager *manager, const char *vm_id, const char *vm_name, const HostlerPart *part,
                    AddressPlan *ret_plan, GError **error);
/* Gives back what an adapter was given. */
void addresses_return(Manager *manager, const char *vm_id, const char *part);
/* Adds a fault for each address, mask or gateway of an adapter that cannot be so, or that another has. */
void addresses_check(Manager *manager, const char *vm_id, const HostlerPart *part, GPtrArray *faults);
