/* What the files of the network share. */
#pragma once

#include "network/erspan.h"
#include "network/network.h"
#include "network/ovs.h"
#include "network/router.h"
#include "network/uplink.h"
#include "wire/flow.h"

/* What was counted for an adapter, over resets and while it was off. */
typedef struct {
        AdapterCounts last; /* as the switch has it */
        AdapterCounts zero; /* of that, what does not count */
        AdapterCounts kept; /* what counts beside the rest */
        bool off;
} Counted;
#define COUNTS_NUMBERS (sizeof(AdapterCounts) / sizeof(uint64_t))

/* The same of an adapter that an earlier daemon had, and that is not attached again yet. */
typedef struct {
        char *switch_name;
        uint32_t number;
        Counted counted;
} LeftCounts;

/* An adapter that is on a switch. */
typedef struct {
        char *key; /* "VM ID/part" */
        char *switch_name, *group, *device;
        Mac mac;
        json_t *policy;
        int64_t mtu;
        GArray *guard; /* of IpAddress */
        LanHost *host; /* what its LAN tells it; NULL: nothing */
        Counted counted;
        uint32_t number;  /* 0: it has none yet */
        uint32_t ceiling; /* network_set_ceiling() */
        RxFilter filter;  /* its groups are `groups`'s */
        GArray *groups;   /* of Mac */
        char *captures;   /* key of the adapter whose frames it gets; NULL: it is an adapter itself */
        int snaplen;      /* a capture's */
        Erspan *erspan;   /* it gets the copies of a mirror for another host (`captures` is ""); NULL: not yet */
        ErspanOptions erspan_options;
        uint64_t round;    /* a capture's: the one that puts it on */
        bool wants_device; /* a new device is to be made */
        int fd;            /* that device's, until it is taken; -1 */
} Attached;

/* An uplink that is to go back by itself. */
typedef struct {
        json_t *before; /* property `uplink` as it was; NULL: it had none */
        char *nic;
        int seconds;
        int64_t until_ms, end_ms; /* unix time; monotonic */
} Trial;

struct Network {
        const char *refusal;    /* static */
        char *folder, *table;   /* `table`: of the host's packet filter */
        char *uplinks;          /* folder of theirs, which outlives the switch */
        char *forward, *served; /* RouterPlace */
        Ovs *ovs;               /* of the thread */
        char *counts_file;
        GMutex counting; /* taken before `lock`: held from reading counters of a switch until they are taken */
        int host_fd;     /* the host's network namespace */
        GThread *thread;
        int wake_fd;

        GMutex lock; /* guards what follows */
        GCond done_changed;
        bool stopping, recovered;
        uint64_t wanted, done; /* rounds of the thread: asked for, and ended */
        GError *fault;         /* how the last round ended */
        GHashTable *switches;  /* name → json_t */
        GHashTable *groups;    /* "switch/group" → json_t */
        GHashTable *mirrors;   /* "switch/mirror" → json_t */
        GHashTable *attached;  /* key → Attached */
        GHashTable *trials;    /* switch → Trial */
        GHashTable *left;      /* key → LeftCounts */
        uint64_t counts_ms;    /* monotonic: when they were saved last */
};

/* ---- network.c ---- */

/* Has the thread begin a round; the number of the one that will have seen everything set until now. Lock held. */
uint64_t network_ask_round(Network *network);
/* The same, and waits for it; its fault. Lock held, given up meanwhile. */
bool network_wait_round(Network *network, GError **error);

/* ---- network_capture.c ---- */

/* A device of ours on a switch, from whose adapter @captures (key) it gets copies. The caller's to put in. */
Attached *network_capture_device(const char *key, const char *switch_name, const char *captures, int snaplen);

/* ---- network_target.c: what should be ---- */

typedef struct {
        char *key, *device;
        uint32_t number;
        bool wants_device; /* of an adapter: one is to be made; of a router: a new one was made */
        bool is_guests; /* a guest's, who may leave things to be done; who looks at copies wants them as on the wire */
        bool is_router; /* or an uplink: its device is made elsewhere */
        int mtu;
        Rate rate;   /* of what it receives */
        Vlans vlans; /* what mirrors are to know; frames go by the flows */
} TargetPort;

typedef struct {
        char *name, *bridge;
        GArray *ports;      /* of TargetPort */
        GPtrArray *mirrors; /* of TargetMirror (network_mirror.h) */
        GPtrArray *routers; /* of Router */
        Uplink *uplink;     /* NULL: none that is a card */
        FlowTable *flows;   /* NULL: they cannot be compiled */
        GError *fault;      /* why */
} TargetSwitch;

/* Who is on a switch, by key: of Attached, borrowed. Lock held. g_ptr_array_unref. */
GPtrArray *network_adapters(Network *network, const char *switch_name);
/* The name of a switch's bridge. Caller frees. */
char *bridge_name(const char *switch_name);
/*
 * Everything declared and attached, as bridges, ports and flows: of TargetSwitch; g_ptr_array_unref. @numbers: device →
 * number that it has already (GUINT_TO_POINTER). Lock held; gives new ports their numbers.
 */
GPtrArray *target_make(Network *network, GHashTable *numbers);

/* ---- network_uplink.c: cards of the host ---- */

void trial_free(gpointer trial);
/* The card of a switch; NULL: none. Lock held. */
Uplink *network_uplink(Network *network, const char *switch_name, const json_t *spec);
/* Has every switch whose trial is over have its uplink of before. Lock held. */
void network_lapse(Network *network);
/* Descriptors (int) that are readable when a trial is over; the caller closes them. False: one has none. */
bool network_watch_trials(Network *network, GArray *fds);

/* ---- network_lan.c: subnets ---- */

/*
 * The VLAN of an adapter by what it and its port group say; -1: it has several. Lock held.
 */
int network_vid_of(Network *network, const char *switch_name, const char *group, const json_t *own);
/* What gives addresses to a VLAN of the switch: the switch or one of its port groups. False: nobody. Lock held. */
bool network_find_lan(Network *network, const char *switch_name, int vid, Lan *ret_lan);
/* The switch's LANs with those who are in them. Of Router. Lock held. */
GPtrArray *network_routers(Network *network, const char *switch_name, const GPtrArray *adapters);

/* ---- network_state.c: what is ---- */

typedef struct {
        char *uuid, *bridge, *error;
        uint32_t number;
} StatePort;

typedef struct {
        GHashTable *bridges; /* name → UUID */
        GHashTable *ports;   /* device → StatePort */
        char *qos;           /* UUID of the row of ports whose queues Open vSwitch leaves alone; NULL: there is none */
} State;
void state_clear(State *state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(State, state_clear)
bool state_read(Ovs *ovs, State *ret_state, GError **error);
/* Makes bridges and ports those of @targets; @others_go: also where that means to take some away. */
bool state_change(Ovs *ovs, const State *state, const GPtrArray *targets, bool others_go, GError **error);

/* ---- network_counts.c ---- */

/* Stops and goes on counting where that was asked for. What cannot be read then is read later. */
void counts_switch(Network *network);
/*
 * Around what gives a switch all its flows anew, whose counters begin at zero then: takes what was counted until now,
 * and nobody else reads until counts_renewed(). @renewed: it came to that.
 */
void counts_renew(Network *network, const char *switch_name);
void counts_renewed(Network *network, const char *switch_name, bool renewed);

/* ---- network_counts_file.c ---- */

void counts_load(Network *network);
/* An adapter that a QEMU has which was found goes on counting. Lock held, as for counts_save(). */
void counts_restore(Network *network, Attached *adapter);
void counts_save(Network *network);

/* ---- network_thread.c ---- */

gpointer network_run(gpointer network);
