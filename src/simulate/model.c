/* The model of model.h: each step is cut where moves end; between cuts nothing changes. */
#include "simulate/model.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "sched/hosts_on.h"
#include "sched/lp.h"

#define JOULES_PER_KWH 3.6e6
#define PRICE_OF_SHORTAGE 26 /* of capacity that idles: as the policy `balanced` has it */

typedef struct {
        const Scenario *scenario;
        int *where, *target; /* of each VM; target -1: it is not moving */
        double *demand, *memory, *load, *wanted;
        unsigned *vms; /* on each host */
        bool *failed, *receives;
        GArray *moves;
        /* Sums. */
        double joules, asked, given, lost_moving, active_seconds, short_seconds, decision_ms, hosts_on;
        unsigned n_moves, refused;
} Model;

double host_watts(const SchedHost *host, double load)
{
        double at = CLAMP(load / host->cpu, 0, 1) * (SCHED_POWER_POINTS - 1);
        int below = MIN((int)at, SCHED_POWER_POINTS - 2);
        return host->watts[below] + (at - below) * (host->watts[below + 1] - host->watts[below]);
}

void model_result_clear(ModelResult *result)
{
        g_free(result->steps);
}

static Model *model_new(const Scenario *scenario)
{
        Model *model = g_new0(Model, 1);
        model->scenario = scenario;
        model->where = g_new(int, scenario->n_vms);
        model->target = g_new(int, scenario->n_vms);
        model->demand = g_new(double, scenario->n_vms);
        model->memory = g_new0(double, scenario->n_hosts);
        model->load = g_new(double, scenario->n_hosts);
        model->wanted = g_new(double, scenario->n_hosts);
        model->vms = g_new(unsigned, scenario->n_hosts);
        model->failed = g_new0(bool, scenario->n_hosts);
        model->receives = g_new(bool, scenario->n_hosts);
        model->moves = g_array_new(FALSE, FALSE, sizeof(ModelMove));
        for (unsigned i = 0; i < scenario->n_vms; i++) {
                model->where[i] = scenario->vms[i].host;
                model->target[i] = -1;
                if (model->where[i] >= 0)
                        model->memory[model->where[i]] += scenario->vms[i].memory;
        }
        return model;
}

static void model_free(Model *model)
{
        g_free(model->where);
        g_free(model->target);
        g_free(model->demand);
        g_free(model->memory);
        g_free(model->load);
        g_free(model->wanted);
        g_free(model->vms);
        g_free(model->failed);
        g_free(model->receives);
        g_array_unref(model->moves);
        g_free(model);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Model, model_free)

/* The first hosts that are in use fail: their VMs are nowhere. */
static void fail(Model *model)
{
        unsigned left = model->scenario->fail_hosts;
        for (unsigned host = 0; host < model->scenario->n_hosts && left > 0; host++) {
                bool used = false;
                for (unsigned i = 0; i < model->scenario->n_vms; i++)
                        if (model->where[i] == (int)host) {
                                model->where[i] = -1;
                                used = true;
                        }
                model->failed[host] = used;
                left -= used;
        }
}

static void begin_moves(Model *model)
{
        const Scenario *scenario = model->scenario;
        for (guint i = 0; i < model->moves->len; i++) {
                const ModelMove *move = &g_array_index(model->moves, ModelMove, i);
                const SchedVm *vm = &scenario->vms[move->vm];
                bool sane = move->to >= 0 && move->to < (int)scenario->n_hosts && !model->failed[move->to] &&
                            model->target[move->vm] < 0 && model->where[move->vm] != move->to;
                bool room = sane && (scenario->hosts[move->to].memory <= 0 ||
                                     model->memory[move->to] + vm->memory <= scenario->hosts[move->to].memory);
                if (!room) {
                        model->refused++;
                        continue;
                }
                model->memory[move->to] += vm->memory;
                model->n_moves += model->where[move->vm] >= 0;
                if (model->where[move->vm] < 0)
                        model->where[move->vm] = move->to; /* started anew, not moved */
                else
                        model->target[move->vm] = move->to;
        }
}

/* Ends moves that take @seconds or less; returns when the next ends, infinite when none is left. */
static double end_moves(Model *model, double seconds)
{
        double next = INFINITY;
        for (guint i = 0; i < model->moves->len; i++) {
                unsigned vm = g_array_index(model->moves, ModelMove, i).vm;
                double takes = model->scenario->vms[vm].move_seconds;
                if (model->target[vm] < 0)
                        continue;
                if (takes > seconds) {
                        next = MIN(next, takes);
                        continue;
                }
                model->memory[model->where[vm]] -= model->scenario->vms[vm].memory;
                model->where[vm] = model->target[vm];
                model->target[vm] = -1;
        }
        return next;
}

static void add_up(Model *model)
{
        const Scenario *scenario = model->scenario;
        memset(model->load, 0, scenario->n_hosts * sizeof *model->load);
        memset(model->wanted, 0, scenario->n_hosts * sizeof *model->wanted);
        memset(model->vms, 0, scenario->n_hosts * sizeof *model->vms);
        memset(model->receives, 0, scenario->n_hosts * sizeof *model->receives);
        for (unsigned i = 0; i < scenario->n_vms; i++) {
                int host = model->where[i];
                if (host < 0)
                        continue;
                double most = scenario->hosts[host].core > 0 && scenario->vms[i].core > scenario->hosts[host].core
                                  ? scenario->vms[i].cpu * scenario->hosts[host].core / scenario->vms[i].core
                                  : scenario->vms[i].cpu;
                model->wanted[host] += model->demand[i];
                model->load[host] += MIN(model->demand[i], most);
                model->vms[host]++;
                if (model->target[i] >= 0)
                        model->receives[model->target[i]] = true;
        }
}

static void account(Model *model, double seconds, ModelStep *step)
{
        const Scenario *scenario = model->scenario;
        double joules = 0, asked = 0, given = 0;

        for (unsigned i = 0; i < scenario->n_vms; i++) {
                asked += model->demand[i] * seconds;
                if (model->target[i] >= 0)
                        model->lost_moving += model->demand[i] * MODEL_MOVE_LOSS * seconds;
        }
        for (unsigned host = 0; host < scenario->n_hosts; host++) {
                if (model->vms[host] == 0 && !model->receives[host])
                        continue;
                double capacity = scenario->hosts[host].cpu, used = MIN(model->load[host], capacity);
                joules += host_watts(&scenario->hosts[host], used) * seconds;
                given += used * seconds;
                model->active_seconds += seconds;
                if (used < model->wanted[host] * (1 - 1e-9) || model->receives[host])
                        model->short_seconds += seconds;
        }
        model->joules += joules;
        model->asked += asked;
        model->given += given;
        step->kwh += (float)(joules / JOULES_PER_KWH);
        step->unserved += (float)(asked > 0 ? (asked - given) / asked * seconds / scenario->interval_seconds : 0);
}

static void simulate(Model *model, ModelStep *step)
{
        double interval = model->scenario->interval_seconds, at = 0;
        while (at < interval) {
                double next = MIN(end_moves(model, at), interval);
                add_up(model);
                account(model, next - at, step);
                at = next;
        }
        end_moves(model, INFINITY);
        for (unsigned host = 0; host < model->scenario->n_hosts; host++)
                step->hosts_on += model->vms[host] > 0;
}

static void run_step(Model *model, const Policy *policy, void *state, unsigned number, ModelStep *step)
{
        const Scenario *scenario = model->scenario;
        if ((int)number == scenario->fail_step)
                fail(model);
        for (unsigned i = 0; i < scenario->n_vms; i++)
                model->demand[i] = scenario->demand[(gsize)i * scenario->steps + number];
        g_array_set_size(model->moves, 0);
        gint64 from = g_get_monotonic_time();
        policy->decide(state, scenario, number, model->where, model->demand, model->failed, model->moves);
        model->decision_ms = MAX(model->decision_ms, (double)(g_get_monotonic_time() - from) / 1000);
        unsigned before = model->n_moves;
        begin_moves(model);
        step->moves = (float)(model->n_moves - before);
        simulate(model, step);
        model->hosts_on += step->hosts_on;
}

bool model_run(const Scenario *scenario, const Policy *policy, void (*step)(unsigned done, unsigned of, void *data),
               void *data, ModelResult *ret_result, GError **error)
{
        g_autoptr(Model) model = model_new(scenario);
        void *state = policy->start(scenario, error);
        ModelStep *steps = g_new0(ModelStep, scenario->steps);

        if (!state) {
                g_free(steps);
                return false;
        }
        for (unsigned i = 0; i < scenario->steps; i++) {
                run_step(model, policy, state, i, &steps[i]);
                if (step)
                        step(i + 1, scenario->steps, data);
        }
        policy->end(state);
        double missing = model->asked - model->given + model->lost_moving;
        *ret_result =
            (ModelResult){.policy = policy->name,
                          .kwh = model->joules / JOULES_PER_KWH,
                          .slatah = model->active_seconds > 0 ? model->short_seconds / model->active_seconds : 0,
                          .pdm = model->asked > 0 ? model->lost_moving / model->asked : 0,
                          .unserved = model->asked > 0 ? missing / model->asked : 0,
                          .hosts_on = model->hosts_on / scenario->steps,
                          .decision_ms = model->decision_ms,
                          .moves = model->n_moves,
                          .refused = model->refused,
                          .steps = steps,
                          .n_steps = scenario->steps};
        return true;
}

/* Two columns for each kind of host, as in placement's own program; only the right-hand sides change from step to step.
 */
static Lp *bound_program(const Scenario *scenario, double load, double memory)
{
        Lp *lp = lp_new();
        const int rows[2] = {0, 1};
        lp_add_row(lp, load, LP_INFINITY, 0, NULL, NULL);
        lp_add_row(lp, memory, LP_INFINITY, 0, NULL, NULL);
        g_autofree bool *counted = g_new0(bool, scenario->n_hosts);
        for (unsigned i = 0; i < scenario->n_hosts; i++) {
                const SchedHost *host = &scenario->hosts[i];
                double alike = 0, slope = INFINITY, room = host->memory > 0 ? host->memory : MAX(memory, 1);
                for (unsigned j = i; j < scenario->n_hosts && !counted[i]; j++)
                        if (memcmp(host, &scenario->hosts[j], sizeof *host) == 0) {
                                alike++;
                                counted[j] = j > i;
                        }
                if (counted[i] || alike == 0)
                        continue;
                /* The power curve from below: the line through idle that no point lies under. */
                for (int k = 1; k < SCHED_POWER_POINTS; k++)
                        slope =
                            MIN(slope, (host->watts[k] - host->watts[0]) / (host->cpu * k / (SCHED_POWER_POINTS - 1)));
                int columns[2] = {lp_add_column(lp, host->watts[0], 0, alike, 1, &rows[1], &room),
                                  lp_add_column(lp, slope, 0, LP_INFINITY, 1, &rows[0], (double[]){1})};
                lp_add_row(lp, 0, LP_INFINITY, 2, columns, (double[]){host->cpu, -1});
        }
        return lp;
}

double model_bound(const Scenario *scenario)
{
        double joules = 0, memory = 0;
        for (unsigned i = 0; i < scenario->n_vms; i++)
                memory += scenario->vms[i].memory;
        for (unsigned step = 0; step < scenario->steps; step++) {
                double load = 0;
                for (unsigned i = 0; i < scenario->n_vms; i++)
                        load += scenario->demand[(gsize)i * scenario->steps + step];
                bool counts = scenario->hosts[0].memory > 0;
                g_autoptr(Lp) lp = bound_program(scenario, load, counts ? memory : 0);
                if (lp_solve(lp, NULL))
                        joules += lp_objective(lp) * scenario->interval_seconds;
        }
        return joules / JOULES_PER_KWH;
}

static SchedHost mean_host(const Scenario *scenario)
{
        SchedHost mean = {0};
        for (unsigned i = 0; i < scenario->n_hosts; i++) {
                mean.cpu += scenario->hosts[i].cpu / scenario->n_hosts;
                mean.watts[0] += scenario->hosts[i].watts[0] / scenario->n_hosts;
        }
        return mean;
}

/* Of each number of mean hosts in each step. */
static double *running_costs(const Scenario *scenario, const SchedHost *host)
{
        gsize width = (gsize)scenario->n_hosts + 1;
        double *running = g_new(double, width *MAX(scenario->steps, 1));
        double short_price = PRICE_OF_SHORTAGE * host->watts[0] / host->cpu;
        for (unsigned step = 0; step < scenario->steps; step++) {
                double demand = 0;
                for (unsigned i = 0; i < scenario->n_vms; i++)
                        demand += scenario->demand[(gsize)i * scenario->steps + step];
                for (unsigned n = 0; n < width; n++)
                        running[width * step + n] = hosts_on_running(n, host->cpu, host->watts[0], short_price, demand);
        }
        return running;
}

double model_hosts_on(const Scenario *scenario)
{
        SchedHost host = mean_host(scenario);
        g_autofree double *running = running_costs(scenario, &host);
        g_autofree unsigned *on = g_new(unsigned, MAX(scenario->steps, 1));
        HostsOn plan = {.running = running, .steps = scenario->steps, .most = scenario->n_hosts, .wake = host.watts[0]};
        double sum = 0;
        hosts_on_plan(&plan, scenario->n_hosts, on);
        for (unsigned step = 0; step < scenario->steps; step++)
                sum += on[step];
        return sum / MAX(scenario->steps, 1);
}
