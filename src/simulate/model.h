/*
 * The fleet in a computer: what hosts draw, what VMs get, while a policy moves them.
 *
 * At each step demand is what the traces say until the next. A move takes move_seconds, during which the VM runs at its
 * source and loses 10 % of its demand, and holds memory on both sides. A host that is short gives each of its VMs the
 * same part of what it wants. A host with VMs draws what its power curve says; others draw nothing. Measures as in
 * Beloglazov and Buyya, "Optimal online deterministic algorithms…", CCPE 24(13), 2012: SLATAH is the part of the hosts'
 * active time in which they were short or received a VM, PDM the demand lost by moves, unserved all demand not met.
 */
#pragma once

#include "simulate/scenario.h"

#define MODEL_MOVE_LOSS 0.1

typedef struct {
        unsigned vm;
        int to;
} ModelMove;

/* Who decides. decide() appends to @moves; @where is where each VM is (-1: nowhere), @demand what each wants now. */
typedef struct {
        const char *name;
        void *(*start)(const Scenario *scenario, GError **error);
        void (*decide)(void *state, const Scenario *scenario, unsigned step, const int *where, const double *demand,
                       const bool *failed, GArray *moves);
        void (*end)(void *state);
} Policy;

typedef struct {
        float kwh, unserved, moves, hosts_on; /* of one step; unserved: part of demand */
} ModelStep;

typedef struct {
        const char *policy;
        double kwh, slatah, pdm, unserved, hosts_on, decision_ms;
        unsigned moves, refused; /* refused: to a host without room, or nowhere */
        ModelStep *steps;        /* owned */
        unsigned n_steps;
} ModelResult;

void model_result_clear(ModelResult *result);

/* @step: called after each, NULL: not. */
bool model_run(const Scenario *scenario, const Policy *policy, void (*step)(unsigned done, unsigned of, void *data),
               void *data, ModelResult *ret_result, GError **error);

/* Least energy of any policy that knows the future and serves all demand: for each step the linear program of which
 * hosts to keep on, hosts divisible, VMs divisible (kWh). */
double model_bound(const Scenario *scenario);
/* Hosts that are on, on average, in the best plan of one who knows the day: as many of the mean host as demand needs,
 * where waking one costs a step of its idle power. */
double model_hosts_on(const Scenario *scenario);
double host_watts(const SchedHost *host, double load);
