/*
 * A round of placement from samples to moves: collect (forecasts, sums), weigh (prices), act (rules, packing or else
 * relief, waking, balance, emptying, in this order), and keep what the next round needs. Each step is a file of its
 * own; see decide.h.
 */
#include "sched/place.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "sched/decide.h"
#include "sched/rules.h"

/* Sizes whose cubes can be added up and divided without overflow. */
#define SMALLEST 1e-6
#define LARGEST 1e15
#define PACK_ABOVE 1.5 /* and later when its hosts take this many times the least power */

const char *const move_reasons[] = {"relief", "rule", "maintenance", "pack", "empty", "balance"};

typedef struct {
        Forecast forecast;
        SchedVm spec;
        double demand;
        int host;
        bool seen, dropped;
} VmState;

struct Placer {
        Fleet fleet;
        VmState *vms;
        GArray *moves;
        Prices prices;
        unsigned dropped;
        double *mean_before, *short_before; /* of each host */
};

PlacePolicy place_policy(PlaceStyle style)
{
        static const double price[] = {[PLACE_SAFE] = 100, [PLACE_BALANCED] = 26, [PLACE_ECO] = 15};
        return (PlacePolicy){
            .forecast = {.window_samples = 15,
                         .variance_window_samples = 125,
                         .prior_share = 0.07,
                         .prior_pull = 0.65,
                         .prior_samples = 1.2,
                         .prior_spread = 0.09,
                         .prior_skew = 0.5,
                         .trend_gain = 0.2},
            .shortage_price = price[style],
            .tail = 1.15,
            .fill_limit = 0.98,
            .packing_margin = 2.3,
            .move_overhead = 0.02,
            .relief_opening = 0.03,
            .empty_opening = 0.05,
            .balance_opening = 0.001,
            .balance_gain = 0.00003,
            .empty_horizon = 7.5,
            .balance_moves = 16,
            .hold_rounds = 3,
            .interval_seconds = 300,
            .move_loss = 0.1,
        };
}

static bool is_size(double value, double least)
{
        return isfinite(value) && value >= least && value <= LARGEST;
}

static bool host_is_sane(const SchedHost *host)
{
        bool sane = is_size(host->cpu, SMALLEST) && is_size(host->core, 0) && is_size(host->memory, 0);
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                sane = sane && is_size(host->watts[i], 0);
        return sane && host->watts[SCHED_POWER_POINTS - 1] >= SMALLEST;
}

static bool vm_is_sane(const SchedVm *vm)
{
        return is_size(vm->cpu, SMALLEST) && is_size(vm->core, 0) && is_size(vm->memory, 0) &&
               is_size(vm->move_seconds, 0);
}

static bool check(const SchedHost *hosts, unsigned n_hosts, const SchedVm *vms, unsigned n_vms, GError **error)
{
        for (unsigned i = 0; i < n_hosts; i++)
                if (!host_is_sane(&hosts[i]))
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                         "host %u: its size or power is no positive number of a sensible size", i);
        for (unsigned i = 0; i < n_vms; i++) {
                if (!vm_is_sane(&vms[i]))
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                         "VM %u: its size is no positive number of a sensible size", i);
                if (vms[i].host >= (int)n_hosts)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "VM %u is said to be on host %d of %u", i,
                                         vms[i].host, n_hosts);
        }
        return true;
}

static void copy_hosts(Fleet *fleet, const SchedHost *hosts, unsigned n)
{
        fleet->hosts = g_new0(Host, MAX(n, 1));
        fleet->on = g_new(unsigned, MAX(n, 1));
        fleet->ranked = g_new(unsigned, MAX(n, 1));
        fleet->n_hosts = n;
        for (unsigned i = 0; i < n; i++) {
                fleet->hosts[i] = (Host){.spec = hosts[i], .first = -1};
                /* Where idling is free, the power at full load stands in for it: shortage must have some price. */
                double watts = hosts[i].watts[0] > 0 ? hosts[i].watts[0] : hosts[i].watts[SCHED_POWER_POINTS - 1];
                fleet->hosts[i].idle_price = watts / hosts[i].cpu;
                fleet->ranked[i] = i;
        }
}

static int by_power(const void *a, const void *b, void *data)
{
        const Host *hosts = data;
        unsigned one = *(const unsigned *)a, other = *(const unsigned *)b;
        double first = hosts[one].spec.watts[SCHED_POWER_POINTS - 1] / hosts[one].spec.cpu;
        double second = hosts[other].spec.watts[SCHED_POWER_POINTS - 1] / hosts[other].spec.cpu;
        if (first != second)
                return first < second ? -1 : 1;
        return one < other ? -1 : one > other;
}

Placer *placer_new(const PlacePolicy *policy, const SchedHost *hosts, unsigned n_hosts, const SchedVm *vms,
                   unsigned n_vms, const SchedRule *rules, unsigned n_rules, GError **error)
{
        if (!check(hosts, n_hosts, vms, n_vms, error))
                return NULL;
        g_autoptr(Placer) placer = g_new0(Placer, 1);
        Fleet *fleet = &placer->fleet;
        fleet->policy = *policy;
        fleet->n_vms = n_vms;
        fleet->apart = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
        copy_hosts(fleet, hosts, n_hosts);
        g_qsort_with_data(fleet->ranked, (int)n_hosts, sizeof *fleet->ranked, by_power, fleet->hosts);
        placer->vms = g_new0(VmState, MAX(n_vms, 1));
        for (unsigned i = 0; i < n_vms; i++)
                placer->vms[i] = (VmState){.spec = vms[i], .host = vms[i].host};
        placer->moves = g_array_new(FALSE, FALSE, sizeof(PlaceMove));
        placer->mean_before = g_new0(double, MAX(n_hosts, 1));
        placer->short_before = g_new0(double, MAX(n_hosts, 1));
        fleet->trend = 1;
        if (!rules_apply(fleet, vms, rules, n_rules, error))
                return NULL;
        return g_steal_pointer(&placer);
}

void placer_free(Placer *placer)
{
        fleet_clear(&placer->fleet);
        g_free(placer->vms);
        g_array_unref(placer->moves);
        g_free(placer->mean_before);
        g_free(placer->short_before);
        g_free(placer);
}

void placer_begin(Placer *placer)
{
        g_array_set_size(placer->moves, 0);
        for (unsigned i = 0; i < placer->fleet.n_vms; i++)
                placer->vms[i].seen = placer->vms[i].dropped = false;
}

bool placer_sample(Placer *placer, unsigned vm, int host, double demand)
{
        if (vm >= placer->fleet.n_vms) {
                placer->dropped++;
                return false;
        }
        VmState *state = &placer->vms[vm];
        state->seen = true;
        state->dropped = !isfinite(demand) || demand < 0 || host >= (int)placer->fleet.n_hosts;
        if (state->dropped) {
                placer->dropped++;
                return false;
        }
        state->host = MAX(host, -1);
        state->demand = MIN(demand, state->spec.cpu);
        return true;
}

void placer_learn(Placer *placer)
{
        const PlacePolicy *policy = &placer->fleet.policy;
        double asked = 0, expected = 0;

        for (unsigned i = 0; i < placer->fleet.n_vms; i++) {
                VmState *state = &placer->vms[i];
                if (!state->seen || state->dropped)
                        continue;
                if (state->forecast.samples > 0) {
                        asked += state->demand;
                        expected += state->forecast.mean * state->spec.cpu;
                }
                forecast_add(&state->forecast, &policy->forecast, state->demand / state->spec.cpu);
        }
        forecast_trend_add(&placer->fleet.trend, &policy->forecast, asked, expected);
}

static void add_vm(const Placer *placer, Unit *unit, const VmState *state)
{
        const PlacePolicy *policy = &placer->fleet.policy;
        double cpu = state->spec.cpu;

        if (!unit->present)
                unit->home = state->host;
        unit->present = true;
        unit->held = unit->held || state->dropped;
        unit->demand += state->demand;
        unit->mean += state->forecast.mean * cpu * placer->fleet.trend;
        unit->variance += forecast_variance(&state->forecast, &policy->forecast) * cpu * cpu;
        unit->cumulant += forecast_cumulant(&state->forecast) * cpu * cpu * cpu;
}

static void collect(Placer *placer)
{
        Fleet *fleet = &placer->fleet;
        for (unsigned i = 0; i < fleet->n_hosts; i++)
                fleet->hosts[i] = (Host){.spec = fleet->hosts[i].spec,
                                         .idle_price = fleet->hosts[i].idle_price,
                                         .first = -1,
                                         .listed = true};
        for (unsigned i = 0; i < fleet->n_units; i++) {
                Unit *unit = &fleet->units[i];
                unit->present = unit->held = false;
                unit->demand = unit->mean = unit->variance = unit->cumulant = 0;
                unit->host = unit->next = unit->previous = -1;
                for (unsigned j = 0; j < unit->n_vms; j++) {
                        const VmState *state = &placer->vms[unit->vms[j]];
                        if (!state->seen)
                                continue;
                        add_vm(placer, unit, state);
                        if (state->host >= 0)
                                fleet->hosts[state->host].memory += state->spec.memory;
                }
                if (unit->present && unit->home >= 0)
                        fleet_put(fleet, i, unit->home);
        }
        fleet_list(fleet);
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                placer->mean_before[i] = fleet->hosts[i].mean;
                placer->short_before[i] = fleet->hosts[i].shortage;
        }
}

void fleet_move(Fleet *fleet, unsigned unit, int host, MoveReason reason)
{
        fleet_put(fleet, unit, host);
        fleet->hosts[host].opened = true;
        fleet->units[unit].reason = reason;
}

static double watts_now(const Fleet *fleet)
{
        double watts = 0;
        for (unsigned i = 0; i < fleet->n_on; i++) {
                const Host *host = &fleet->hosts[fleet->on[i]];
                double slope = (host->spec.watts[SCHED_POWER_POINTS - 1] - host->spec.watts[0]) / host->spec.cpu;
                watts += host->spec.watts[0] + slope * host->mean;
        }
        return watts;
}

/* True when everything was planned anew. */
static bool pack_if_far_off(Placer *placer)
{
        Fleet *fleet = &placer->fleet;
        if (!fleet_prices(fleet, &placer->prices))
                return false;
        if (fleet->round > 1 && watts_now(fleet) < PACK_ABOVE * placer->prices.watts)
                return false;
        return decide_packing(fleet, &placer->prices);
}

static bool move_fits_memory(const Fleet *fleet, const VmState *state, int host)
{
        const Host *target = &fleet->hosts[host];
        return target->spec.memory <= 0 || target->memory + state->spec.memory <= target->spec.memory;
}

static void tell(Placer *placer, unsigned vm, const Unit *unit, MoveReason reason)
{
        const Host *hosts = placer->fleet.hosts;
        int from = placer->vms[vm].host, to = unit->host;
        PlaceMove move = {.vm = vm, .from = from, .to = to, .reason = reason};

        move.to_before = placer->mean_before[to];
        move.to_after = hosts[to].mean;
        move.short_before = placer->short_before[to];
        move.short_after = hosts[to].shortage;
        if (from >= 0) {
                move.from_before = placer->mean_before[from];
                move.from_after = hosts[from].mean;
                move.short_before += placer->short_before[from];
                move.short_after += hosts[from].shortage;
        }
        g_array_append_val(placer->moves, move);
}

/* The moves of all units, and of VMs that are not where the rest of their unit is. */
static void tell_all(Placer *placer)
{
        Fleet *fleet = &placer->fleet;
        for (unsigned i = 0; i < fleet->n_units; i++) {
                Unit *unit = &fleet->units[i];
                if (!unit->present || unit->host < 0 || unit->held)
                        continue;
                for (unsigned j = 0; j < unit->n_vms; j++) {
                        const VmState *state = &placer->vms[unit->vms[j]];
                        bool stray = state->host != unit->home;
                        if (!state->seen || state->host == unit->host ||
                            (stray && !move_fits_memory(fleet, state, unit->host)))
                                continue;
                        tell(placer, unit->vms[j], unit, stray ? MOVE_RULE : unit->reason);
                        unit->moved = fleet->round;
                }
        }
}

const GArray *placer_decide(Placer *placer)
{
        Fleet *fleet = &placer->fleet;
        fleet->round++;
        placer_learn(placer);
        collect(placer);
        decide_rules(fleet);
        if (!pack_if_far_off(placer)) {
                decide_relief(fleet);
                KeepPlan keep = fleet_keep(fleet);
                decide_waking(fleet, &keep);
                decide_balance(fleet);
                decide_empty(fleet, &keep);
        }
        tell_all(placer);
        return placer->moves;
}

void placer_set_maintenance(Placer *placer, unsigned host, bool maintenance)
{
        placer->fleet.hosts[host].spec.maintenance = maintenance;
}

PlaceState placer_state(const Placer *placer)
{
        PlaceState state = {
            .dropped = placer->dropped, .cpu_price = placer->prices.cpu, .memory_price = placer->prices.memory};
        for (unsigned i = 0; i < placer->fleet.n_hosts; i++) {
                const Host *host = &placer->fleet.hosts[i];
                state.hosts_on += host->n_units > 0;
                state.short_now += host_is_short(host);
                state.load += host->demand;
                state.expected_load += host->mean;
                state.expected_short += host->shortage;
        }
        return state;
}

void placer_host(const Placer *placer, unsigned host, double *ret_mean, double *ret_variance, double *ret_short)
{
        *ret_mean = placer->fleet.hosts[host].mean;
        *ret_variance = placer->fleet.hosts[host].variance;
        *ret_short = placer->fleet.hosts[host].shortage;
}

const Forecast *placer_forecast(const Placer *placer, unsigned vm)
{
        return &placer->vms[vm].forecast;
}
