/*
 * When to relieve a host: the constrained Markov decision problem of Beloglazov and Buyya's MHOD (TPDS 24(7), 2013), as
 * few moves as possible while at most a given part of the time is overload, solved exactly. It is a linear program over
 * state-action frequencies y(s, a) (Altman, "Constrained Markov Decision Processes", 1999, ch. 4): minimise sum
 * y(s, relieve) with sum_a y(s', a) - b sum y(s, a) P_a(s, s') = (1 - b) [s' is now], sum y(overloaded, .) <= goal, b =
 * 0.995. Its multiplier is what a step of overload is worth in moves: the price that placement puts on shortage. Pure;
 * any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "sched/chain.h"

typedef struct {
        double relieve[HOST_STATES]; /* probability of relieving in each state */
        double moves;                /* reliefs for each step, in the long run */
        double overload;             /* part of the time overloaded */
        double price;                /* moves that one more step of overload would save */
} Control;

/* @from: the state now. @relieved: what the state will be after relief, a row like the matrix's. HOSTLER_ERROR_FAILED
 * when even relieving all the time does not meet the goal. */
bool control_solve(const ChainMatrix matrix, HostState from, const double relieved[HOST_STATES], double overload_goal,
                   Control *ret_control, GError **error);
