/*
 * Policies to compare with: never, threshold, regression; see policies.h. Written for clarity, not for ten thousand
 * hosts: each move looks at all hosts.
 */
#include <math.h>
#include <string.h>

#include "simulate/policies.h"

#define HISTORY 10
#define THRESHOLD 0.8
#define UNTIL_KNOWN 0.7 /* limit of the regression while there are too few samples */
#define SAFETY 1.2

typedef struct {
        bool regression;
        double *history; /* [vm * HISTORY + step % HISTORY] */
        double *trend;   /* of each VM, its demand extrapolated by one step */
        double *load, *ahead, *memory;
        unsigned *vms;
        int *where;
        bool *excluded;
} Reference;

static void *start(bool regression, const Scenario *scenario)
{
        Reference *state = g_new0(Reference, 1);
        state->regression = regression;
        state->history = g_new0(double, (gsize)scenario->n_vms *HISTORY);
        state->trend = g_new0(double, scenario->n_vms);
        state->load = g_new(double, scenario->n_hosts);
        state->ahead = g_new(double, scenario->n_hosts);
        state->memory = g_new(double, scenario->n_hosts);
        state->vms = g_new(unsigned, scenario->n_hosts);
        state->where = g_new(int, scenario->n_vms);
        state->excluded = g_new(bool, scenario->n_hosts);
        return state;
}

static void *start_threshold(const Scenario *scenario, GError **error)
{
        return start(false, scenario);
}

static void *start_regression(const Scenario *scenario, GError **error)
{
        return start(true, scenario);
}

static void end(void *data)
{
        Reference *state = data;
        g_free(state->history);
        g_free(state->trend);
        g_free(state->load);
        g_free(state->ahead);
        g_free(state->memory);
        g_free(state->vms);
        g_free(state->where);
        g_free(state->excluded);
        g_free(state);
}

static void put(Reference *state, const Scenario *scenario, const double *demand, unsigned vm, int host, double sign)
{
        state->load[host] += sign * demand[vm];
        state->ahead[host] += sign * state->trend[vm];
        state->memory[host] += sign * scenario->vms[vm].memory;
        state->vms[host] += sign > 0 ? 1 : -1;
}

/* The ordinary least squares line through the last ten samples, one step on. */
static double extrapolate(const double *history, unsigned step)
{
        double mean = 0, slope = 0;
        for (int k = 0; k < HISTORY; k++) {
                double value = history[(step + 1 + (unsigned)k) % HISTORY];
                mean += value / HISTORY;
                slope += value * (k - 4.5) / 82.5;
        }
        return mean + slope * 5.5;
}

static void collect(Reference *state, const Scenario *scenario, unsigned step, const int *where, const double *demand)
{
        memset(state->load, 0, scenario->n_hosts * sizeof *state->load);
        memset(state->ahead, 0, scenario->n_hosts * sizeof *state->ahead);
        memset(state->memory, 0, scenario->n_hosts * sizeof *state->memory);
        memset(state->vms, 0, scenario->n_hosts * sizeof *state->vms);
        for (unsigned i = 0; i < scenario->n_vms; i++) {
                state->history[(gsize)i * HISTORY + step % HISTORY] = demand[i];
                state->trend[i] = step + 1 >= HISTORY ? extrapolate(&state->history[(gsize)i * HISTORY], step) : 0;
                state->where[i] = where[i];
                if (where[i] >= 0)
                        put(state, scenario, demand, i, where[i], 1);
        }
}

static bool over(const Reference *state, const Scenario *scenario, unsigned step, unsigned host)
{
        double capacity = scenario->hosts[host].cpu;
        if (!state->regression)
                return state->load[host] > THRESHOLD * capacity;
        if (step + 1 < HISTORY)
                return state->load[host] > UNTIL_KNOWN * capacity;
        return state->ahead[host] * SAFETY >= capacity;
}

/* Where its power grows least and nothing is overloaded by it; hosts that are off only when no other will do. */
static int best_host(Reference *state, const Scenario *scenario, unsigned step, const double *demand,
                     const bool *failed, unsigned vm)
{
        int best = -1;
        double least = INFINITY;

        for (unsigned i = 0; i < scenario->n_hosts; i++) {
                const SchedHost *host = &scenario->hosts[i];
                if (state->excluded[i] || failed[i] || (int)i == state->where[vm] || host->core < demand[vm] ||
                    state->load[i] + demand[vm] > host->cpu ||
                    (host->memory > 0 && state->memory[i] + scenario->vms[vm].memory > host->memory))
                        continue;
                double before = state->vms[i] ? host_watts(host, state->load[i]) : 0;
                double watts = host_watts(host, state->load[i] + demand[vm]) - before;
                if (watts >= least)
                        continue;
                put(state, scenario, demand, vm, (int)i, 1);
                bool too_much = state->vms[i] > 1 && over(state, scenario, step, i);
                put(state, scenario, demand, vm, (int)i, -1);
                if (too_much)
                        continue;
                least = watts;
                best = (int)i;
        }
        return best;
}

static void move(Reference *state, const Scenario *scenario, const double *demand, unsigned vm, int to, GArray *moves)
{
        if (state->where[vm] >= 0)
                put(state, scenario, demand, vm, state->where[vm], -1);
        put(state, scenario, demand, vm, to, 1);
        state->where[vm] = to;
        g_array_append_val(moves, ((ModelMove){vm, to}));
}

/* The VM on the host that moves quickest; -1: none. */
static int quickest(const Reference *state, const Scenario *scenario, int host)
{
        int best = -1;
        for (unsigned i = 0; i < scenario->n_vms; i++)
                if (state->where[i] == host && (best < 0 || scenario->vms[i].memory < scenario->vms[best].memory))
                        best = (int)i;
        return best;
}

static void relieve(Reference *state, const Scenario *scenario, unsigned step, const double *demand, const bool *failed,
                    GArray *moves)
{
        for (unsigned host = 0; host < scenario->n_hosts; host++)
                state->excluded[host] = state->vms[host] > 0 && over(state, scenario, step, host);
        for (unsigned host = 0; host < scenario->n_hosts; host++)
                while (state->excluded[host] && state->vms[host] > 0 && over(state, scenario, step, host)) {
                        int vm = quickest(state, scenario, (int)host);
                        int to = vm < 0 ? -1 : best_host(state, scenario, step, demand, failed, (unsigned)vm);
                        if (to < 0)
                                break;
                        move(state, scenario, demand, (unsigned)vm, to, moves);
                }
}

/* All that is on the host goes elsewhere, or nothing does. */
static bool empty(Reference *state, const Scenario *scenario, unsigned step, const double *demand, const bool *failed,
                  unsigned host, GArray *moves)
{
        guint before = moves->len;
        for (unsigned i = 0; i < scenario->n_vms; i++) {
                if (state->where[i] != (int)host)
                        continue;
                int to = best_host(state, scenario, step, demand, failed, i);
                if (to >= 0 && state->vms[to] > 0) {
                        move(state, scenario, demand, i, to, moves);
                        continue;
                }
                for (guint k = before; k < moves->len; k++) {
                        unsigned vm = g_array_index(moves, ModelMove, k).vm;
                        put(state, scenario, demand, vm, state->where[vm], -1);
                        put(state, scenario, demand, vm, (int)host, 1);
                        state->where[vm] = (int)host;
                }
                g_array_set_size(moves, before);
                return false;
        }
        for (guint k = before; k < moves->len; k++)
                state->excluded[g_array_index(moves, ModelMove, k).to] = true;
        return true;
}

static void consolidate(Reference *state, const Scenario *scenario, unsigned step, const double *demand,
                        const bool *failed, GArray *moves)
{
        g_autofree bool *tried = g_memdup2(state->excluded, scenario->n_hosts * sizeof *state->excluded);
        for (;;) {
                int least = -1;
                for (unsigned i = 0; i < scenario->n_hosts; i++)
                        if (!tried[i] && !state->excluded[i] && state->vms[i] > 0 &&
                            (least < 0 ||
                             state->load[i] / scenario->hosts[i].cpu < state->load[least] / scenario->hosts[least].cpu))
                                least = (int)i;
                if (least < 0)
                        return;
                tried[least] = true;
                bool was = state->excluded[least];
                state->excluded[least] = true;
                state->excluded[least] = empty(state, scenario, step, demand, failed, (unsigned)least, moves) || was;
        }
}

/* Starts again what a failed host left nowhere, and moves nothing. */
static void decide_never(void *data, const Scenario *scenario, unsigned step, const int *where, const double *demand,
                         const bool *failed, GArray *moves)
{
        Reference *state = data;
        collect(state, scenario, step, where, demand);
        memset(state->excluded, 0, scenario->n_hosts * sizeof *state->excluded);
        for (unsigned i = 0; i < scenario->n_vms; i++) {
                int to = where[i] < 0 ? best_host(state, scenario, step, demand, failed, i) : -1;
                if (to >= 0)
                        move(state, scenario, demand, i, to, moves);
        }
}

static void decide(void *data, const Scenario *scenario, unsigned step, const int *where, const double *demand,
                   const bool *failed, GArray *moves)
{
        Reference *state = data;
        decide_never(state, scenario, step, where, demand, failed, moves);
        relieve(state, scenario, step, demand, failed, moves);
        consolidate(state, scenario, step, demand, failed, moves);
}

const Policy reference_policies[] = {{"never", start_threshold, decide_never, end},
                                     {"threshold", start_threshold, decide, end},
                                     {"regression", start_regression, decide, end},
                                     {0}};
