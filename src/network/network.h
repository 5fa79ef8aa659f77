/*
 * The host's switches: what is declared, which adapters are on them, and the thread that keeps Open vSwitch so.
 *
 * Declarations and ports are values that callers set; the thread compares them with what the switch has, changes that
 * (deletions first), and installs the compiled flows. It also looks after the processes: when the switch dies, its
 * keeper starts it again and the thread gives it its flows back; until then nothing passes.
 *
 * While nothing is declared and nothing attached, nothing runs. Any thread, but for the life of the object itself.
 */
#pragma once

#include <jansson.h>

#include "network/lan.h"
#include "network/trace.h"

typedef struct Network Network;

/*
 * @folder: absolute; made when it is needed. @refusal: why this daemon has no switches (static text), NULL: it may.
 * A pair that an earlier daemon left is found; what is on it stays until network_recovered().
 */
Network *network_new(const char *folder, const char *refusal);
/* The processes go on when an adapter is attached, else they are ended. */
void network_free(Network *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Network, network_free)
/* HOSTLER_ERROR_UNSUPPORTED when there are no switches here. */
bool network_is_allowed(const Network *network, GError **error);

/* A switch or a port group by its declared properties (JSON, taken); NULL: it is gone. Takes effect with
 * network_apply(). */
void network_declare_switch(Network *network, const char *name, json_t *spec_taken);
void network_declare_group(Network *network, const char *switch_name, const char *group, json_t *spec_taken);
/* A mirror by its properties (record `mirror_spec`; adapters in it are "VM ID.part"; taken); NULL: it is gone. */
void network_declare_mirror(Network *network, const char *switch_name, const char *mirror, json_t *spec_taken);
/* "active", "waiting" or "disabled". Static. */
const char *network_mirror_state(Network *network, const char *switch_name, const char *mirror);
/*
 * Has the switch's uplink be the host's card @nic for @seconds: then it is what it was before, unless the trial is
 * ended meanwhile; so it is when the switch is declared anew, and when the daemon is no more. Waits.
 */
bool network_try_uplink(Network *network, const char *switch_name, const char *nic, int seconds, GError **error);
/* Ends the trial: the caller declares the switch with this uplink. HOSTLER_ERROR_WRONG_STATE: there is none any more.
 */
bool network_end_trial(Network *network, const char *switch_name, GError **error);
/* The card that is on trial, and until when; caller frees. NULL: none. */
char *network_trial(Network *network, const char *switch_name, int64_t *ret_until_ms);
/* The switch that has card @nic as its uplink, or on trial; caller frees. NULL: none. */
char *network_uplink_holder(Network *network, const char *nic);
/* What is declared of a switch (@group NULL), or of its port group. A new reference; NULL: nothing. */
json_t *network_spec(Network *network, const char *switch_name, const char *group);
bool network_has_group(Network *network, const char *switch_name, const char *group);
/*
 * The LAN that an adapter of the port group, with properties @own of its own, gets its address from, and its name
 * ("lan/10", caller frees). False: none.
 */
bool network_lan(Network *network, const char *switch_name, const char *group, const json_t *own, char **ret_key,
                 Lan *ret_lan);
/* A subnet that is declared. */
typedef struct {
        char *name; /* "lan", "lan/web" */
        int vid;    /* -1: it is none that can have one */
        Subnet subnet;
        bool has_prefix; /* of IPv6, beside it */
        Subnet prefix;
} NetworkSubnet;
void network_subnet_free(NetworkSubnet *subnet);
/* Of NetworkSubnet; g_ptr_array_unref. */
GPtrArray *network_subnets(Network *network);
/* Every adapter of VMs that run is attached again: ports that are nobody's may go. */
void network_recovered(Network *network);
/* Waits until the switches are as everything set before the call says. */
bool network_apply(Network *network, GError **error);

/* An adapter on a switch; all borrowed. */
typedef struct {
        const char *vm_id, *part;
        const char *switch_name, *group;
        Mac mac;
        json_t *policy; /* what the adapter itself says: the members of record `policy`, and `vlan`, `native_vlan` */
        int64_t mtu;    /* HOSTLER_UNSET: the switch's */
        char **guard;   /* IP addresses it may use where those are guarded; NULL: none */
        const LanHost *host; /* who it is on its LAN; NULL: nobody */
        bool has_filter;     /* the adapter can tell what its guest asked for */
} Adapter;

/*
 * Puts it on its switch, or gives it other properties or another port group. @new_device: a device is made for a QEMU
 * that is to come, else the one that runs has it. HOSTLER_ERROR_NOT_FOUND: no such port group. What fails changes
 * nothing.
 */
bool network_attach(Network *network, const Adapter *adapter, bool new_device, GError **error);
/* The descriptor of a device that was made, once: QEMU's to be; the caller closes its own. -1: there is none. */
int network_take_device(Network *network, const char *vm_id, const char *part);
/* Takes it off; not there is fine. Does not wait. */
void network_detach(Network *network, const char *vm_id, const char *part);
/* An address that somebody on a LAN has. */
typedef struct {
        Mac mac;
        IpAddress address;
        bool lease; /* by DHCP; else it answers to it (ARP, neighbour discovery) */
} NetworkLearned;
/* Of an adapter, by the leases of its LAN and by who the LAN's router has heard: of NetworkLearned; g_array_unref.
 * Blocks. */
GArray *network_learned(Network *network, const char *vm_id, const char *part);
/* Another adapter ("VM ID/part") of its LAN that this address was given to; caller frees. NULL: none. */
char *network_address_holder(Network *network, const char *vm_id, const char *part, const IpAddress *address);
/* What its guest has asked for; @groups are copied. Does not wait. */
void network_set_filter(Network *network, const char *vm_id, const char *part, const RxFilter *filter);
/* Of what it sends at most so much passes, besides the limit that its policy has; 0: all. Does not wait. */
void network_set_ceiling(Network *network, const char *vm_id, const char *part, uint32_t kbps);

/*
 * A device that gets a copy of every frame an adapter sends and receives, with tags as the adapter sees them. Does not
 * wait. HOSTLER_ERROR_WRONG_STATE: the adapter is on no switch; _NO_CAPACITY: its switch has CAPTURES_MAX of them. The
 * capture's name, the caller's to free.
 */
#define CAPTURES_MAX 8
char *network_capture(Network *network, const char *vm_id, const char *part, int snaplen, GError **error);
/* Once copies are made, its descriptor (the caller's), to read frames from; -1: not yet. */
bool network_capture_ready(Network *network, const char *capture, int *ret_fd, GError **error);
/* Frames whose copies were lost because they were not read in time. Does not wait. */
uint64_t network_capture_lost(Network *network, const char *capture);
void network_capture_end(Network *network, const char *capture);
/* Mirrors of one switch that are declared; more cannot all be had. */
#define MIRRORS_MAX 24

/*
 * What an adapter on a switch has sent and received, what was dropped and why. Numbers only, all of them 64 bits wide.
 */
typedef struct {
        uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes; /* of the guest: tx is what it sent */
        uint64_t rx_dropped, tx_dropped, rx_errors, tx_errors;
        uint64_t forged, spoofed, addresses, services, vlan, mac_changes, isolated, blocked;
} AdapterCounts;
/*
 * Since it was put on, or since network_counts_reset(), over the ends of daemons and of Open vSwitch; while
 * `statistics` is off, nothing is counted. HOSTLER_ERROR_WRONG_STATE: it is on no switch. Blocks while the switch is
 * asked; what was dropped is as of its last look, half a second ago.
 */
bool network_counts(Network *network, const char *vm_id, const char *part, AdapterCounts *ret_counts, GError **error);
bool network_counts_reset(Network *network, const char *vm_id, const char *part, GError **error);
/* Asks every switch, so that network_each_counts() is of now. Blocks. */
void network_sample(Network *network);
/* What it has sent, as it was asked for last, counted or not; may begin anew. False: it is on no switch. */
bool network_sent(Network *network, const char *vm_id, const char *part, uint64_t *ret_bytes);
/* Of each adapter that is counted, as it was asked for last. Does not block. */
typedef void (*CountsFunc)(const char *vm_id, const char *part, const AdapterCounts *counts, void *data);
void network_each_counts(Network *network, CountsFunc each, void *data);

/* What becomes of a frame. */
typedef struct {
        GArray *steps;     /* of TraceStep */
        GHashTable *names; /* number of a port → "VM ID/part" */
} NetworkTrace;
void network_trace_clear(NetworkTrace *trace);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NetworkTrace, network_trace_clear)
/*
 * Of one that adapter @from ("VM ID/part") sends to adapter @to (NULL: to frame->destination), with no source: from its
 * own address. HOSTLER_ERROR_WRONG_STATE: one of them is on no switch. Does not wait.
 */
bool network_trace(Network *network, const char *from, const char *to, const TraceFrame *frame, NetworkTrace *ret_trace,
                   GError **error);
