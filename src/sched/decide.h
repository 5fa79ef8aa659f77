/* The kinds of decision that make up a round, in the order in which place.c asks for them. Used inside sched only. Each
 * plans moves with fleet_put() and leaves the reason in the unit. */
#pragma once

#include "sched/fleet.h"

/* Plans the move and says why. */
void fleet_move(Fleet *fleet, unsigned unit, int host, MoveReason reason);

/* rules.c: units that are where a rule or maintenance does not want them, or nowhere. */
void decide_rules(Fleet *fleet);
/* relieve.c: every host that is asked for more than it has. */
void decide_relief(Fleet *fleet);
/* keep.c: how many hosts are on, and how many the dynamic program wants on in the next interval. */
typedef struct {
        unsigned on, wanted;
} KeepPlan;
KeepPlan fleet_keep(const Fleet *fleet);
/* balance.c: where more hosts are wanted, one is woken if the shortage it takes off the others is worth its power. */
void decide_waking(Fleet *fleet, const KeepPlan *keep);
/* balance.c: moves whose gain in expected shortage is worth them. */
void decide_balance(Fleet *fleet);
/* empty.c: where fewer are wanted, takes hosts out of use when the others take their load for less than they need idle.
 */
void decide_empty(Fleet *fleet, const KeepPlan *keep);

typedef struct {
        double cpu, memory; /* watts for one unit more */
        double watts;       /* of the whole fleet, at best */
} Prices;
/* prices.c: the linear program of which hosts to keep on. False when they cannot carry the load; prices are then 0. */
bool fleet_prices(const Fleet *fleet, Prices *ret_prices);
/* pack.c: plans all units anew. Undoes itself and is false when that does not pay. */
bool decide_packing(Fleet *fleet, const Prices *prices);
