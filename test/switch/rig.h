/*
 * Adapters without guests: a network over a real Open vSwitch in a folder of its own, and the guests' ends of its
 * devices, through which tests send frames and read what comes.
 */
#pragma once

#include "network/network.h"

#define RIG_ADAPTERS 8

typedef struct {
        Network *network;
        char *folder;
        bool dumb[RIG_ADAPTERS]; /* it cannot tell what its guest asks for; counts from the next rig_adapter() on */
        int fds[RIG_ADAPTERS];   /* the device of adapter n; -1: not plugged */
} Rig;

/* Whether there are switches on this machine for us; else the test is skipped, saying why. */
bool rig_is_possible(void);
void rig_open(Rig *rig);
/* Ends it, and sees that nothing is left. */
void rig_close(Rig *rig);

/* The daemon ends, and another one is there, which knows of no adapter yet but those for marks; afterwards
 * network_recovered(). Frames pass meanwhile. */
void rig_leave(Rig *rig);
void rig_return(Rig *rig);

/* Switch "lan" with properties @policy (JSON with ' for "). */
void rig_switch(Rig *rig, const char *policy);
/* Its port group @group. */
void rig_group(Rig *rig, const char *group, const char *policy);
/* Mirror @name (record mirror_spec; adapter n is rig.nicn); NULL: there is none. */
void rig_mirror(Rig *rig, const char *name, const char *spec);
/* Plugs adapter @n into port group @group, or changes it. Its address is rig_mac(n), 10.9.0.n is its guarded one. */
void rig_adapter(Rig *rig, int n, const char *group, const char *policy);
void rig_unplug(Rig *rig, int n);
/* Waits until all that is asked for is so. */
void rig_apply(Rig *rig);
/* What ovs-appctl(8) would print. Caller frees. */
char *rig_ask_switch(const Rig *rig, const char *command, json_t *arguments_taken);
Mac rig_mac(int n);

typedef enum { RIG_TCP, RIG_UDP, RIG_TCP6, RIG_UDP6, RIG_ARP, RIG_DHCP_OFFER, RIG_RA, RIG_NA, RIG_PLAIN } RigKind;
typedef struct {
        Mac from, to;
        int tag; /* VLAN; 0: none */
        RigKind kind;
        int address; /* its sender's is 10.9.0.address */
} RigFrame;
#define RIG_BROADCAST ((Mac){{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
#define RIG_GROUP ((Mac){{0x01, 0x00, 0x5e, 0x00, 0x00, 0x07}})

/*
 * Sends the frame from adapter @n and tells who got it how: "1 3:10 3:10" is adapter 1 without a tag, and adapter 3
 * twice with tag 10. Ends as soon as a frame sent after it, which everybody gets, is there. Caller frees.
 */
char *rig_send(Rig *rig, int n, const RigFrame *frame);
/* The length of the one frame that reaches adapter @to of what adapter @n sends; 0: none came. */
int rig_length(Rig *rig, int n, int to, const RigFrame *frame);
/* How many copies of @count frames from adapter @n reach adapter @to. */
int rig_flood(Rig *rig, int n, int to, const RigFrame *frame, int count);

/* One frame on its way, without waiting for it; its serial, which counts up by one with each frame. */
guint32 rig_put(Rig *rig, int n, const RigFrame *frame);
/* The next frame at adapter @n: its serial and tag. False: there is none now. */
bool rig_get(Rig *rig, int n, guint32 *ret_serial, int *ret_tag);

/* life.c: Open vSwitch is killed; it comes back by itself, without its flows. */
void kill_switch(Rig *rig);
/* life.c: what Open vSwitch's end under traffic does, and two hundred ports that come and go. Change adapters 1 to 4.
 */
void kill_under_traffic(Rig *rig);
void two_hundred_ports(Rig *rig);
/* statistics.c: counters go on, to the packet. Changes adapters 1 to 4. */
void statistics_go_on(Rig *rig);
/* listeners.c: what promiscuous adapters get, by class and scope. Changes adapters 2, 3 and 6. */
void classes_by_scopes(Rig *rig);
/* rates.c: average, peak and burst, as measured. Changes adapters 1 and 2. */
void measure_rates(Rig *rig);
/* offloads.c: of what a guest left undone, another gets as much undone as it agrees to. Adapter 1 sends to 2. */
void finish_offloads(Rig *rig);

/* erspan.c: copies for another host, which is this one, decoded. Adapter 1 sends to adapter 2 in VLAN 10. */
void decode_erspan(Rig *rig);
/* compare-traces.c: what we say of frames is what Open vSwitch says of them. Changes adapters 1 to 4. */
void compare_traces(Rig *rig);
