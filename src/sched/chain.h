/*
 * The Markov chain of a host's states: what it has done is counted, what it will do is read off the matrix.
 *
 * Transitions are counted over sliding windows of several sizes and the longest that agrees with the next shorter is
 * believed (after Luiz and Beloglazov, "Managing Overloaded Hosts for Dynamic Consolidation of Virtual Machines",
 * TPDS 24(7), 2013), with a small count added everywhere along the diagonal so that nothing is certain. Pure; any
 * thread.
 */
#pragma once

#include <stdbool.h>

typedef enum {
        HOST_OFF,
        HOST_IDLE,
        HOST_LOW,
        HOST_NORMAL,
        HOST_HIGH,
        HOST_OVERLOADED,
        HOST_FAILING,
        HOST_STATES,
} HostState;
extern const char *const host_state_names[HOST_STATES];

/* @load: share of capacity asked for; not a number counts as failing. */
HostState host_state(bool on, bool failing, double load);

#define CHAIN_HISTORY 256

typedef struct {
        unsigned char states[CHAIN_HISTORY]; /* a ring */
        unsigned count;                      /* seen in all */
} Chain;

typedef double ChainMatrix[HOST_STATES][HOST_STATES]; /* [from][to], rows add up to 1 */

void chain_add(Chain *chain, HostState state);
HostState chain_now(const Chain *chain);
void chain_matrix(const Chain *chain, ChainMatrix ret_matrix);

/* pi = pi P, from where the chain is now: states that cannot be reached have 0. */
void chain_stationary(const ChainMatrix matrix, HostState from, double ret_share[HOST_STATES]);
/* Expected steps until @target is first entered, (I - Q) t = 1; infinite where it may never be. 0 at @target. */
void chain_time_to(const ChainMatrix matrix, HostState target, double ret_steps[HOST_STATES]);
/* Probability that @target is entered within @steps. */
double chain_within(const ChainMatrix matrix, HostState from, HostState target, unsigned steps);
/* Expected steps a visit lasts, 1 / (1 - p). Infinite when it is never left. */
double chain_visit(const ChainMatrix matrix, HostState state);
