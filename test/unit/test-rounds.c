/*
 * Whole rounds of placement on random fleets, judged by sums of the test's own: no round makes what it minimises
 * (place.h) worse, nor what hosts are short of now. Prints what a round of 1,000 VMs takes.
 */
#include "sched/place.h"

#include <math.h>
#include <time.h>

#include "sched/fleet.h"

#define ROUNDS 40

typedef struct {
        SchedHost *hosts;
        SchedVm *vms;
        unsigned n_hosts, n_vms;
        int *where;
        double *level, *demand;
        double dearest; /* idle watts for one unit of capacity, where that is most */
        PlacePolicy policy;
        GRand *random;
        Placer *placer;
} World;

static SchedHost random_host(GRand *random)
{
        SchedHost host = {.cpu = 1000 * g_rand_int_range(random, 3, 13),
                          .memory = g_rand_boolean(random) ? 1024 * g_rand_int_range(random, 16, 65) : 0};
        double idle = g_rand_double_range(random, 40, 160), slope = g_rand_double_range(random, 2, 12);
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                host.watts[i] = idle + slope * i;
        return host;
}

/* @alike: all hosts. */
static World *world_new(guint32 seed, unsigned n_hosts, unsigned n_vms, bool alike)
{
        World *world = g_new0(World, 1);
        world->random = g_rand_new_with_seed(seed);
        world->n_hosts = n_hosts;
        world->n_vms = n_vms;
        world->hosts = g_new(SchedHost, n_hosts);
        world->vms = g_new(SchedVm, n_vms);
        world->where = g_new(int, n_vms);
        world->level = g_new(double, n_vms);
        world->demand = g_new(double, n_vms);
        world->policy = place_policy((PlaceStyle)(seed % 3));
        for (unsigned i = 0; i < n_hosts; i++) {
                world->hosts[i] = alike && i > 0 ? world->hosts[0] : random_host(world->random);
                world->dearest = MAX(world->dearest, world->hosts[i].watts[0] / world->hosts[i].cpu);
        }
        double heat = g_rand_double_range(world->random, 0.1, 0.6);
        for (unsigned i = 0; i < n_vms; i++) {
                double size = 250 * g_rand_int_range(world->random, 1, 9);
                double memory = 256 * g_rand_int_range(world->random, 1, 9);
                world->where[i] = (int)(i % n_hosts);
                world->vms[i] = (SchedVm){size, size, memory, memory / 62.5, world->where[i]};
                world->level[i] = size * heat * g_rand_double_range(world->random, 0.2, 1.5);
        }
        world->placer = placer_new(&world->policy, world->hosts, n_hosts, world->vms, n_vms, NULL, 0, NULL);
        g_assert_nonnull(world->placer);
        return world;
}

static void world_free(World *world)
{
        placer_free(world->placer);
        g_rand_free(world->random);
        g_free(world->hosts);
        g_free(world->vms);
        g_free(world->where);
        g_free(world->level);
        g_free(world->demand);
        g_free(world);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static const GArray *ask(World *world)
{
        placer_begin(world->placer);
        for (unsigned i = 0; i < world->n_vms; i++) {
                double factor = g_rand_double(world->random) < 0.08 ? 3 : g_rand_double_range(world->random, 0.4, 1.5);
                world->demand[i] = MIN(world->level[i] * factor, world->vms[i].cpu);
                g_assert_true(placer_sample(world->placer, i, world->where[i], world->demand[i]));
        }
        return placer_decide(world->placer);
}

/* ---- sums ---- */

typedef struct {
        double watts;     /* idle power, and what is expected to be short at the price of the host it is short on */
        double dear;      /* and at the dearest host's */
        double expected;  /* short in the next interval */
        double short_now; /* asked for and not there */
} Totals;

typedef struct {
        double demand, mean, variance, cumulant;
        unsigned vms;
} Sum;

/* Of each host with the VMs as @where says, without the fleet's drift. */
static Sum *sums_of(const World *world, const int *where)
{
        Sum *sums = g_new0(Sum, world->n_hosts);
        for (unsigned i = 0; i < world->n_vms; i++) {
                const Forecast *forecast = placer_forecast(world->placer, i);
                double cpu = world->vms[i].cpu;
                Sum *sum = &sums[where[i]];
                sum->demand += world->demand[i];
                sum->mean += forecast->mean * cpu;
                sum->variance += forecast_variance(forecast, &world->policy.forecast) * cpu * cpu;
                sum->cumulant += forecast_cumulant(forecast) * cpu * cpu * cpu;
                sum->vms++;
        }
        return sums;
}

/* The placer's own means, after its moves, say what drift it reckons with. */
static double trend_of(const World *world, const int *after)
{
        g_autofree Sum *sums = sums_of(world, after);
        double with = 0, without = 0;
        for (unsigned i = 0; i < world->n_hosts; i++) {
                double mean, variance, shortage;
                placer_host(world->placer, i, &mean, &variance, &shortage);
                with += mean;
                without += sums[i].mean;
        }
        return with / without;
}

static Totals totals_of(const World *world, const int *where, double trend, bool check)
{
        g_autofree Sum *sums = sums_of(world, where);
        Totals totals = {0};
        for (unsigned i = 0; i < world->n_hosts; i++) {
                const SchedHost *host = &world->hosts[i];
                double mean, variance, shortage, own = 0;
                if (sums[i].vms > 0)
                        own = expected_shortage(world->policy.tail, host->cpu, sums[i].mean * trend, sums[i].variance,
                                                sums[i].cumulant);
                placer_host(world->placer, i, &mean, &variance, &shortage);
                if (check)
                        g_assert_cmpfloat(fabs(own - shortage), <=, 1e-6 * host->cpu);
                double idle = sums[i].vms > 0 ? host->watts[0] : 0, price = world->policy.shortage_price * own;
                totals.watts += idle + price * host->watts[0] / host->cpu;
                totals.dear += idle + price * world->dearest;
                totals.expected += own;
                totals.short_now += MAX(sums[i].demand - host->cpu, 0);
        }
        return totals;
}

/* ---- no round makes anything worse ---- */

typedef struct {
        unsigned calm, reasons[MOVE_BALANCE + 1];
} Seen;

/* Over the rounds in which it must pay, in the watts of the host that is left. */
static double cost_of(const World *world, const PlaceMove *move)
{
        const SchedHost *home = &world->hosts[move->from];
        const PlacePolicy *policy = &world->policy;
        double lost = world->vms[move->vm].move_seconds * world->demand[move->vm] * policy->move_loss +
                      policy->move_overhead * home->cpu;
        return lost * policy->shortage_price * home->watts[0] / home->cpu /
               (policy->empty_horizon * policy->interval_seconds);
}

/* Rebalancing weighs what is short alike wherever it is; all else at the price of its host, moves included. Where hosts
 * are alike both are the same. */
static void judge_calm(const Totals *old, const Totals *new, unsigned balancing, unsigned moves, bool alike,
                       double cost)
{
        double slack = 1e-9 * old->watts;
        if (balancing == moves) {
                g_assert_cmpfloat(new->expected, <, old->expected);
                g_assert_cmpfloat(new->dear, <, old->dear + slack);
        } else if (balancing == 0) {
                g_assert_cmpfloat(new->watts + cost, <=, old->watts + slack);
        }
        if (alike)
                g_assert_cmpfloat(new->watts, <=, old->watts + slack);
}

static void judge(World *world, const GArray *moves, bool alike, Seen *seen)
{
        g_autofree int *after = g_memdup2(world->where, world->n_vms * sizeof *after);
        unsigned balancing = 0;
        double cost = 0;
        for (guint i = 0; i < moves->len; i++) {
                const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                after[move->vm] = move->to;
                cost += cost_of(world, move);
                balancing += move->reason == MOVE_BALANCE;
                seen->reasons[move->reason]++;
        }
        double trend = trend_of(world, after);
        Totals old = totals_of(world, world->where, trend, false), new = totals_of(world, after, trend, true);
        g_assert_cmpfloat(new.short_now, <=, old.short_now + 1e-9 * old.watts);
        if (old.short_now == 0 && moves->len > 0) {
                judge_calm(&old, &new, balancing, moves->len, alike, cost);
                seen->calm++;
        }
        for (unsigned i = 0; i < world->n_vms; i++)
                world->where[i] = after[i];
}

static void test_nothing_worse(void)
{
        Seen seen = {0};
        for (guint32 seed = 1; seed <= 120; seed++) {
                bool alike = seed % 2;
                g_autoptr(World) world = world_new(seed, 4 + seed % 20, 20 + 7 * (seed % 20), alike);
                for (int round = 0; round < ROUNDS; round++)
                        judge(world, ask(world), alike, &seen);
        }
        /* Of everything there was some. */
        g_assert_cmpuint(seen.calm, >, 100);
        g_assert_cmpuint(seen.reasons[MOVE_RELIEF], >, 100);
        g_assert_cmpuint(seen.reasons[MOVE_PACK], >, 100);
        g_assert_cmpuint(seen.reasons[MOVE_EMPTY], >, 100);
        g_assert_cmpuint(seen.reasons[MOVE_BALANCE], >, 100);
}

/* ---- what a round takes ---- */

static void test_takes(void)
{
        g_autoptr(World) world = world_new(2, 100, 1000, false);
        double first_ms = 0, longest_ms = 0;
        for (int round = 0; round < ROUNDS; round++) {
                clock_t from = clock();
                const GArray *moves = ask(world);
                double took_ms = (double)(clock() - from) * 1000 / CLOCKS_PER_SEC;
                first_ms = round == 0 ? took_ms : first_ms;
                longest_ms = round == 0 ? 0 : MAX(longest_ms, took_ms);
                for (guint i = 0; i < moves->len; i++)
                        world->where[g_array_index(moves, PlaceMove, i).vm] = g_array_index(moves, PlaceMove, i).to;
        }
        g_test_message("100 hosts, 1,000 VMs: first round %.1f ms of processor, longest later one %.1f ms", first_ms,
                       longest_ms);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/rounds/nothing-worse", test_nothing_worse);
        g_test_add_func("/rounds/takes", test_takes);
        return g_test_run();
}
