/*
 * A switch as a value: its ports with everything that decides where frames go. Made from the declared switches, port
 * groups and adapters, turned into flows by compile.h.
 *
 * Nothing here is inherited any more: each port has its own resolved policy (policy.h). Pure; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostler-records.h"

typedef struct {
        uint8_t bytes[6];
} Mac;
/* "52:54:00:12:34:56" in either case; false when it is not one. */
bool mac_parse(const char *text, Mac *ret_mac);
char *mac_text(const Mac *mac); /* caller frees */
bool mac_equal(const Mac *a, const Mac *b);

/* The VLANs of a port. */
typedef enum {
        VLAN_ACCESS, /* untagged frames are those of VLAN vid; 0: of none */
        VLAN_TRUNK,  /* tagged frames of `allowed`; untagged ones are of VLAN vid (native), with 0 they are refused */
        VLAN_ALL     /* all tagged and untagged frames, as they are (vSphere's 4095) */
} VlanMode;
#define VLAN_MAX 4094
typedef struct {
        VlanMode mode;
        uint16_t vid;
        uint64_t allowed[64]; /* bit n % 64 of word n / 64: VLAN n; a trunk's native VLAN is among them */
} Vlans;
/*
 * "none" or "0", "10", "all" or "4095", "trunk:10,20,100-110"; @native (HOSTLER_UNSET: none) is a trunk's. NULL text:
 * none. HOSTLER_ERROR_INVALID in words that name the fault.
 */
bool vlans_parse(const char *text, int64_t native, Vlans *ret_vlans, GError **error);
bool vlans_have(const Vlans *vlans, uint16_t vid);

/* Frames of others, by where they are sent. */
#define CLASS_UNICAST 1u
#define CLASS_MULTICAST 2u
#define CLASS_BROADCAST 4u
#define CLASS_ALL 7u

/* How fast frames go; kbps 0: as fast as they can. */
typedef struct {
        uint32_t kbps;       /* on average */
        uint32_t burst_kbit; /* may pass beyond that, after a silence */
        uint32_t peak_kbps;  /* as fast as this; 0: at once */
} Rate;

/* What a port may do, with nothing left open. */
typedef struct {
        unsigned promiscuous; /* of CLASS_ */
        HostlerPromiscuousScope scope;
        HostlerPromiscuousWhen when;
        bool mac_changes, forged, forged_tcp, forged_udp, mac_spoofing; /* true: accepted */
        bool address_spoofing, dhcp_server, router_advertisement, traffic;
        Rate from_vm, to_vm;
} Policy;

/* What the guest's driver told its adapter. */
typedef struct {
        bool known; /* the adapter can tell, and did; else it takes all that is sent to its address and to groups */
        Mac mac;    /* the address it has now */
        bool promiscuous;   /* it wants everything */
        bool all_multicast; /* it wants all groups of its VLANs */
        const Mac *groups;  /* it wants these */
        guint n_groups;
} RxFilter;

typedef struct {
        bool v6;
        uint8_t bytes[16]; /* the first 4 of an IPv4 address */
} IpAddress;
bool ip_parse(const char *text, IpAddress *ret_address);

typedef enum {
        PORT_ADAPTER, /* of a VM */
        PORT_UPLINK,  /* to other switches: all VLANs, nothing is asked of it, what nobody has goes there */
        PORT_SERVICE  /* a part of ours (a router): one address, nothing is asked of it */
} PortKind;

typedef struct {
        uint32_t number; /* OpenFlow's, and the one in cookies; 1 and up, its own on the switch */
        PortKind kind;
        uint32_t group;   /* number of its port group; 0: none */
        bool isolated;    /* isolated ports do not reach each other */
        bool copies_only; /* a mirror's destination: nothing else goes to it, and nothing comes from it */
        Mac mac;          /* as declared; not of an uplink */
        Vlans vlans;
        Policy policy;
        RxFilter filter;
        const IpAddress *addresses; /* with address_spoofing rejected: those it may use */
        guint n_addresses;
} Port;

typedef struct {
        const Port *ports;
        guint n_ports;
} SwitchModel;
