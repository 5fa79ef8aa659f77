/*
 * The fleet as one round of placement sees it: hosts with the sums of what stands on them, and units, which are what
 * moves: a VM, or all VMs that a rule keeps together. Used inside sched only; place.h says what the numbers mean.
 *
 * A unit that is planned elsewhere still holds its memory at home until the round is over, as a migration does.
 */
#pragma once

#include "sched/place.h"

#define FLEET_CANDIDATES 64 /* hosts looked at for one move; the fleet may have thousands */

typedef struct {
        unsigned *vms, n_vms;
        double cpu, core, memory, move_seconds;
        double demand, mean, variance, cumulant;
        double moved;       /* round of the last move */
        int home, host;     /* where it is; where it will be. -1: nowhere */
        int next, previous; /* on the same host */
        bool present, held;
        GArray *apart;   /* of unsigned: rules it shares with others; NULL: none */
        bool *forbidden; /* for each host; NULL: none is */
        MoveReason reason;
} Unit;

typedef struct {
        SchedHost spec;
        double demand, mean, variance, cumulant, memory;
        double core_short; /* expected for want of fast cores */
        double shortage;   /* expected, all in all */
        double idle_price; /* idle watts for one unit of capacity */
        unsigned n_units;
        int first;
        bool opened; /* something arrives in this round */
        bool listed; /* in @on */
} Host;

typedef struct {
        PlacePolicy policy;
        Host *hosts;
        unsigned n_hosts;
        Unit *units;
        unsigned n_units;
        unsigned *unit_of; /* for each VM */
        unsigned n_vms;
        GPtrArray *apart;   /* of GArray of unsigned: units of each rule */
        unsigned *on, n_on; /* hosts with VMs */
        unsigned *ranked;   /* all hosts, those that do most for their power first */
        double round;
        double trend; /* what VMs ask for together, to what their forecasts say: the fleet's common drift */
} Fleet;

/* Loss function of the standard normal, E[(Z - z)+]. */
double normal_loss(double z);
/* E[(X - capacity)+], see place.h. @tail as in PlacePolicy. */
double expected_shortage(double tail, double capacity, double mean, double variance, double cumulant);

/* Takes the unit from the host it is planned on (if any) to @host (-1: nowhere), sums included. */
void fleet_put(Fleet *fleet, unsigned unit, int host);
/* Expected shortage that the host would gain with, or lose without, the unit. */
double fleet_added(const Fleet *fleet, unsigned host, const Unit *unit);
double fleet_relieved(const Fleet *fleet, const Unit *unit);
/* Whether rules, maintenance and memory allow it, and today's load leaves room. @margin > 0: and M + margin sqrt(V) <=
 * C; 0: what is to be expected is the caller's to price. */
bool fleet_fits(const Fleet *fleet, unsigned host, const Unit *unit, double margin);
bool fleet_allows(const Fleet *fleet, unsigned host, const Unit *unit); /* rules, maintenance, memory alone */
/* The host where the unit costs least, in watts, among those that are on, or -1. @opening: of a host where nothing has
 * arrived yet, in its idle power. @wake: a host that is off may be it, for its idle power. */
int fleet_cheapest(Fleet *fleet, const Unit *unit, double opening, bool wake, double *ret_watts);
/* Demand that is lost by the move and its overhead: capacity times seconds. */
double fleet_move_cost(const Fleet *fleet, const Unit *unit);
/* May be moved in this round: present, its sample good, and still at home. Enough for who leaves a host that is short.
 */
bool fleet_movable(const Fleet *fleet, const Unit *unit);
/* And its hold time is over: for all that could wait. */
bool fleet_rested(const Fleet *fleet, const Unit *unit);
/* What a unit gets at most on a host with slow cores; infinite where they are fast enough. */
double fleet_core_limit(const Host *host, const Unit *unit);
bool host_is_short(const Host *host);
/* Lists @on anew, hosts with most room first when there are more than FLEET_CANDIDATES. */
void fleet_list(Fleet *fleet);
void fleet_clear(Fleet *fleet);
