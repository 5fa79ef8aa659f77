/*
 * Move, or stay and see: optimal stopping on a chain of states over a finite horizon, solved by dynamic programming.
 *
 *     V_0(s) = 0,  V_h(s) = min(move_cost, cost(s) + sum_t P(s, t) V_{h-1}(t))
 *
 * where cost is 1 for a step of overload: staying keeps the right to move later, so an overload that passes by itself
 * is waited for, and one that lasts is left. Pure; any thread.
 */
#pragma once

#include "sched/chain.h"

typedef struct {
        bool move;   /* moving now is the best there is */
        double best; /* expected cost of the best there is, in steps of overload */
        double stay; /* of never moving */
} Stay;

/* @move_cost: of a move, in steps of overload; > 0. */
Stay stay_or_move(const ChainMatrix matrix, HostState now, double move_cost, unsigned horizon);
