/*
 * A network card of the host as the uplink of a switch. The card joins a bridge of the kernel, which takes over its
 * addresses and routes; another port of that bridge is a device that leads into the switch's namespace:
 *
 *   cable — eth1 — hsu… [host: addresses, routes] — hsl… — hsx… [switch] — guests
 *
 * So what the host itself sends does not depend on Open vSwitch, which may die, and the host can be reached by guests.
 *
 *   FOLDER/SWITCH/   record.json: who has which card, since which boot; back: what ip(8) is told to undo it; and the
 *                    files of a keeper, under which a trial's end waits (hostler-keeper(8), `later`)
 *
 * What is made here stays when the daemon ends, and when the switch's namespace does, but for the device between them.
 * But for uplink_facts() and uplink_end_trial(), everything belongs to the network's thread, and blocks.
 */
#pragma once

#include <jansson.h>

#include "base/process.h"

#define UPLINK_TRIAL_LAST_MS 3000 /* so near its end a trial cannot be stopped any more */

/* An uplink as it should be. */
typedef struct {
        char *switch_name, *nic;
        char *bridge, *leg, *device; /* the host's bridge, its end of the way to the switch, and the switch's */
        uint32_t number;             /* of the port */
        int trial_s;                 /* with a new one: how long it stays if nobody ends the trial. 0: it stays */
} Uplink;
/* All copied. */
Uplink *uplink_new(const char *switch_name, const char *nic);
void uplink_free(Uplink *uplink);

/* Of a switch's property `uplink`: it names a card. */
bool uplink_is_nic(const char *text);

/*
 * A card as ip(8) shows it, in the network namespace of the calling thread: {"link": …, "addresses": […], "routes":
 * […], "routes6": […]}. HOSTLER_ERROR_INVALID: there is none of this name.
 */
json_t *uplink_facts(const char *nic, GError **error);
/* The lines of ip(8) that make @uplink out of a card with @facts, and those that undo it. Pure; callers free. */
char *uplink_there(const Uplink *uplink, const json_t *facts);
char *uplink_back(const Uplink *uplink, const json_t *facts);

typedef struct {
        const char *folder; /* absolute */
        int host_fd;        /* the host's network namespace */
        int switch_pid;     /* a process in the switch's */
} UplinkPlace;
/* Makes it if it is not as it should be; what cannot be made is undone. *@ret_made: the port's device is a new one. */
bool uplink_make(const UplinkPlace *place, const Uplink *uplink, bool *ret_made, GError **error);
/* Undoes those that are not among @uplinks (of Uplink). */
bool uplinks_end_others(const UplinkPlace *place, const GPtrArray *uplinks, GError **error);
/* The process that waits for the end of a switch's trial; pid 0: there is none. Any thread. */
ProcessId uplink_trial_process(const char *folder, const char *switch_name);
/* Ends the trial: what was made stays. Any thread. */
void uplink_end_trial(const char *folder, const char *switch_name);
