/*
 * Placement on made-up fleets: the properties that hold whatever the load (rules, memory, hold time, order of samples),
 * and what it does with a host that is short, empty or in maintenance.
 */
#include "sched/place.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "sched/fleet.h"
#include "sched/pattern.h"

#define HOSTS 24
#define VMS 120

typedef struct {
        SchedHost hosts[HOSTS];
        SchedVm vms[VMS];
        unsigned n_hosts, n_vms;
        int where[VMS];
        double demand[VMS], level[VMS];
        GRand *random;
        Placer *placer;
} World;

static SchedHost host_of(double cpu, double memory)
{
        SchedHost host = {.cpu = cpu, .core = cpu, .memory = memory};
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                host.watts[i] = 90 + 4 * i;
        return host;
}

static World *world_new(guint32 seed, unsigned n_hosts, unsigned n_vms, double memory)
{
        World *world = g_new0(World, 1);
        world->random = g_rand_new_with_seed(seed);
        world->n_hosts = n_hosts;
        world->n_vms = n_vms;
        for (unsigned i = 0; i < n_hosts; i++)
                world->hosts[i] = host_of(i % 2 ? 4000 : 5000, memory);
        for (unsigned i = 0; i < n_vms; i++) {
                double size = 500 * g_rand_int_range(world->random, 1, 5);
                double ram = 512 * g_rand_int_range(world->random, 1, 4);
                world->vms[i] = (SchedVm){size, size, ram, ram / 62.5, (int)(i % n_hosts)};
                world->where[i] = world->vms[i].host;
                world->level[i] = size * g_rand_double_range(world->random, 0.05, 0.3);
        }
        return world;
}

static void world_free(World *world)
{
        g_clear_pointer(&world->placer, placer_free);
        g_rand_free(world->random);
        g_free(world);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void start(World *world, const SchedRule *rules, unsigned n_rules)
{
        g_autoptr(GError) error = NULL;
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        world->placer =
            placer_new(&policy, world->hosts, world->n_hosts, world->vms, world->n_vms, rules, n_rules, &error);
        g_assert_no_error(error);
}

static void draw(World *world)
{
        for (unsigned i = 0; i < world->n_vms; i++) {
                double factor = g_rand_double(world->random) < 0.1 ? 4 : g_rand_double_range(world->random, 0.3, 1.5);
                world->demand[i] = MIN(world->level[i] * factor, world->vms[i].cpu);
        }
}

static const GArray *ask(World *world)
{
        placer_begin(world->placer);
        for (unsigned i = 0; i < world->n_vms; i++)
                g_assert_true(placer_sample(world->placer, i, world->where[i], world->demand[i]));
        return placer_decide(world->placer);
}

static void carry_out(World *world, const GArray *moves)
{
        for (guint i = 0; i < moves->len; i++) {
                const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                g_assert_cmpint(world->where[move->vm], ==, move->from);
                g_assert_cmpint(move->to, !=, move->from);
                world->where[move->vm] = move->to;
        }
}

static unsigned hosts_on(const World *world)
{
        unsigned n = 0;
        bool on[HOSTS] = {false};
        for (unsigned i = 0; i < world->n_vms; i++)
                on[world->where[i]] = true;
        for (unsigned i = 0; i < world->n_hosts; i++)
                n += on[i];
        return n;
}

/* Also while they move: memory is held on both sides. */
static void assert_memory(const World *world, const GArray *moves)
{
        double held[HOSTS] = {0};
        for (unsigned i = 0; i < world->n_vms; i++)
                held[world->where[i]] += world->vms[i].memory;
        for (guint i = 0; i < moves->len; i++) {
                const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                held[move->to] += world->vms[move->vm].memory;
        }
        for (unsigned i = 0; i < world->n_hosts; i++)
                g_assert_cmpfloat(held[i], <=, world->hosts[i].memory);
}

static void test_rules_hold(void)
{
        const unsigned pair[] = {0, 24, 48}, apart[] = {1, 2, 3, 4, 5, 6}, some[] = {7, 8, 9}, here[] = {2, 3, 5};
        const SchedRule rules[] = {{RULE_TOGETHER, "pair", pair, 3, NULL, 0},
                                   {RULE_APART, "quorum", apart, 6, NULL, 0},
                                   {RULE_ONLY_ON, "licence", some, 3, here, 3},
                                   {RULE_NEVER_ON, "noise", apart, 2, here, 3}};
        for (guint32 seed = 1; seed <= 8; seed++) {
                g_autoptr(World) world = world_new(seed, HOSTS, VMS, 16384);
                start(world, rules, G_N_ELEMENTS(rules));
                for (int round = 1; round <= 40; round++) {
                        draw(world);
                        const GArray *moves = ask(world);
                        assert_memory(world, moves);
                        carry_out(world, moves);
                        if (round < 3) /* it starts out against the rules */
                                continue;
                        g_assert_cmpint(world->where[0], ==, world->where[24]);
                        g_assert_cmpint(world->where[0], ==, world->where[48]);
                        for (int i = 1; i <= 6; i++)
                                for (int j = i + 1; j <= 6; j++)
                                        g_assert_cmpint(world->where[i], !=, world->where[j]);
                        for (int i = 7; i <= 9; i++)
                                g_assert_true(world->where[i] == 2 || world->where[i] == 3 || world->where[i] == 5);
                        for (int i = 1; i <= 2; i++)
                                g_assert_true(world->where[i] != 2 && world->where[i] != 3 && world->where[i] != 5);
                }
                g_assert_cmpuint(hosts_on(world), <, HOSTS);
        }
}

/* At once, though packing anew would not pay, and told as what it is. */
static void test_rule_first(void)
{
        const unsigned both[] = {0, 1};
        const SchedRule rule = {RULE_APART, "pair", both, 2, NULL, 0};
        const SchedVm vms[] = {{.cpu = 1, .memory = 100, .move_seconds = 1, .host = 0},
                               {.cpu = 1, .memory = 100, .move_seconds = 1, .host = 0}};
        SchedHost hosts[2] = {{.cpu = 8, .memory = 4096}, {.cpu = 8, .memory = 4096}};
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                hosts[0].watts[i] = hosts[1].watts[i] = 50 + i;
        g_autoptr(Placer) placer = placer_new(&policy, hosts, 2, vms, 2, &rule, 1, NULL);
        for (int past = 0; past < 20; past++) {
                placer_begin(placer);
                placer_sample(placer, 0, 0, 0.9);
                placer_sample(placer, 1, 0, 0.8 + past % 2 * 0.1);
                if (past < 19)
                        placer_learn(placer);
        }
        const GArray *moves = placer_decide(placer);
        g_assert_cmpuint(moves->len, ==, 1);
        g_assert_cmpint(g_array_index(moves, PlaceMove, 0).reason, ==, MOVE_RULE);
        g_assert_cmpint(g_array_index(moves, PlaceMove, 0).to, ==, 1);
        g_assert_cmpfloat(placer_forecast(placer, 0)->samples, >=, 15);
}

static void assert_refused(const SchedRule *rules, unsigned n, const char *first, const char *second)
{
        g_autoptr(World) world = world_new(1, 3, 10, 0);
        g_autoptr(GError) error = NULL;
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        g_assert_null(placer_new(&policy, world->hosts, 3, world->vms, 10, rules, n, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        g_assert_nonnull(strstr(error->message, first));
        g_assert_nonnull(strstr(error->message, second));
}

static void test_contradictions(void)
{
        const unsigned vms[] = {1, 2, 3, 4}, one[] = {0}, other[] = {1}, wrong[] = {99};
        assert_refused((SchedRule[]){{RULE_TOGETHER, "tied", vms, 2, NULL, 0}, {RULE_APART, "loose", vms, 2, NULL, 0}},
                       2, "\"tied\"", "\"loose\"");
        assert_refused((SchedRule[]){{RULE_ONLY_ON, "left", vms, 1, one, 1}, {RULE_ONLY_ON, "right", vms, 1, other, 1}},
                       2, "\"left\"", "\"right\"");
        assert_refused((SchedRule[]){{RULE_ONLY_ON, "in", vms, 1, one, 1}, {RULE_NEVER_ON, "out", vms, 1, one, 1}}, 2,
                       "\"in\"", "\"out\"");
        assert_refused((SchedRule[]){{RULE_APART, "many", vms, 4, NULL, 0}}, 1, "\"many\"", "3 hosts");
        assert_refused((SchedRule[]){{RULE_APART, "nobody", wrong, 1, NULL, 0}}, 1, "\"nobody\"", "VM 99");
}

static void test_bad_sizes(void)
{
        g_autoptr(World) world = world_new(1, 3, 10, 0);
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        world->hosts[1].cpu = NAN;
        g_assert_null(placer_new(&policy, world->hosts, 3, world->vms, 10, NULL, 0, NULL));
        world->hosts[1].cpu = 4000;
        world->vms[4].memory = -1;
        g_assert_null(placer_new(&policy, world->hosts, 3, world->vms, 10, NULL, 0, NULL));
        world->vms[4].memory = 1;
        world->vms[4].host = 3;
        g_assert_null(placer_new(&policy, world->hosts, 3, world->vms, 10, NULL, 0, NULL));
}

/* The order of samples in a round changes nothing. */
static void test_order(void)
{
        g_autoptr(World) world = world_new(3, HOSTS, VMS, 16384);
        start(world, NULL, 0);
        Placer *first = world->placer;
        start(world, NULL, 0);
        for (int round = 0; round < 30; round++) {
                draw(world);
                g_autoptr(GArray) moves = g_array_copy((GArray *)ask(world));
                placer_begin(first);
                for (unsigned i = VMS; i-- > 0;)
                        placer_sample(first, i, world->where[i], world->demand[i]);
                const GArray *others = placer_decide(first);
                g_assert_cmpmem(moves->data, moves->len * sizeof(PlaceMove), others->data,
                                others->len * sizeof(PlaceMove));
                carry_out(world, moves);
        }
        placer_free(first);
}

static void test_hold(void)
{
        g_autoptr(World) world = world_new(5, HOSTS, VMS, 16384);
        g_autoptr(GError) error = NULL;
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        int moved[VMS];
        unsigned n = 0;

        g_assert_cmpfloat(policy.hold_rounds, ==, 3);
        world->placer = placer_new(&policy, world->hosts, HOSTS, world->vms, VMS, NULL, 0, &error);
        memset(moved, -1, sizeof moved);
        for (int round = 0; round < 60; round++) {
                draw(world);
                const GArray *moves = ask(world);
                for (guint i = 0; i < moves->len; i++) {
                        const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                        if (moved[move->vm] >= 0 && move->reason != MOVE_PACK && move->reason != MOVE_RELIEF)
                                g_assert_cmpint(round - moved[move->vm], >=, 3);
                        moved[move->vm] = round;
                        n++;
                }
                carry_out(world, moves);
        }
        g_assert_cmpuint(n, >, 50);
}

/* Moves say what they are good for, and rebalancing makes nothing worse by its own measure. */
static void test_balance_gains(void)
{
        unsigned balanced = 0;
        for (guint32 seed = 1; seed <= 6; seed++) {
                g_autoptr(World) world = world_new(seed, HOSTS, VMS, 0);
                start(world, NULL, 0);
                for (int round = 0; round < 40; round++) {
                        draw(world);
                        const GArray *moves = ask(world);
                        for (guint i = 0; moves->len == 1 && i < moves->len; i++) {
                                const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                                if (move->reason != MOVE_BALANCE)
                                        continue;
                                g_assert_cmpfloat(move->short_after, <, move->short_before);
                                balanced++;
                        }
                        carry_out(world, moves);
                }
        }
        g_assert_cmpuint(balanced, >, 0);
}

/* Nobody is short, nobody is expected to be: after the packing nothing moves any more. */
static void test_calm(void)
{
        g_autoptr(World) world = world_new(9, HOSTS, VMS, 0);
        start(world, NULL, 0);
        unsigned late = 0;
        for (int round = 0; round < 60; round++) {
                for (unsigned i = 0; i < world->n_vms; i++)
                        world->demand[i] = world->level[i];
                const GArray *moves = ask(world);
                late += round >= 50 ? moves->len : 0;
                carry_out(world, moves);
        }
        g_assert_cmpuint(late, ==, 0);
        g_assert_cmpuint(hosts_on(world), <, HOSTS / 2);
}

/* A host that is asked for more than it has gets rid of enough at once. */
static void test_relief(void)
{
        g_autoptr(World) world = world_new(2, 4, 20, 0);
        for (unsigned i = 0; i < 20; i++) {
                world->vms[i] = (SchedVm){2000, 2000, 1024, 16, (int)(i % 4)};
                world->where[i] = (int)(i % 4);
        }
        start(world, NULL, 0);
        for (int round = 0; round < 20; round++) {
                for (unsigned i = 0; i < 20; i++)
                        world->demand[i] = 600;
                carry_out(world, ask(world));
        }
        int crowded = world->where[0];
        for (unsigned i = 0; i < 20; i++)
                world->demand[i] = world->where[i] == crowded ? 1500 : 300;
        const GArray *moves = ask(world);
        g_assert_cmpint(g_array_index(moves, PlaceMove, 0).reason, ==, MOVE_RELIEF);
        carry_out(world, moves);
        for (int host = 0; host < 4; host++) {
                double load = 0;
                for (unsigned i = 0; i < 20; i++)
                        load += world->where[i] == host ? world->demand[i] : 0;
                g_assert_cmpfloat(load, <=, world->hosts[host].cpu);
        }
}

/* Nobody is short yet, but two hosts are likely to be: a third is woken, and what it takes off them is worth its idle
 * power. When they calm down it goes again. */
static void test_waking(void)
{
        g_autoptr(World) world = world_new(6, 4, 16, 0);
        PlacePolicy policy = place_policy(PLACE_BALANCED);
        double before = 0;
        for (unsigned i = 0; i < 16; i++) {
                world->hosts[i % 4].cpu = 4000;
                world->vms[i] = (SchedVm){2000, 2000, 512, 8, (int)(i % 2)};
                world->where[i] = (int)(i % 2);
        }
        start(world, NULL, 0);
        for (int past = 0; past < 40; past++) {
                placer_begin(world->placer);
                for (unsigned i = 0; i < 16; i++)
                        placer_sample(world->placer, i, world->where[i],
                                      past < 39 ? g_rand_double_range(world->random, 0, 950) : 450);
                if (past < 39)
                        placer_learn(world->placer);
        }
        const GArray *moves = placer_decide(world->placer);
        g_assert_cmpuint(moves->len, >, 0);
        for (int from = 0; from < 2; from++)
                for (guint i = 0, seen = 0; i < moves->len && !seen; i++) {
                        const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                        seen = move->from == from;
                        before += seen ? move->short_before : 0;
                }
        for (guint i = 0; i < moves->len; i++)
                g_assert_cmpint(g_array_index(moves, PlaceMove, i).to, >=, 2);
        double after = placer_state(world->placer).expected_short;
        g_assert_cmpuint(placer_state(world->placer).hosts_on, ==, 3);
        g_assert_cmpfloat((before - after) * policy.shortage_price * 90 / 4000, >, 90);
        carry_out(world, moves);
        for (int round = 0; round < 60; round++) {
                for (unsigned i = 0; i < 16; i++)
                        world->demand[i] = 150;
                carry_out(world, ask(world));
        }
        g_assert_cmpuint(hosts_on(world), ==, 1);
}

static void test_maintenance(void)
{
        g_autoptr(World) world = world_new(4, HOSTS, VMS, 32768);
        start(world, NULL, 0);
        for (int round = 0; round < 10; round++) {
                draw(world);
                carry_out(world, ask(world));
        }
        unsigned host = (unsigned)world->where[0];
        placer_set_maintenance(world->placer, host, true);
        draw(world);
        carry_out(world, ask(world));
        for (int round = 0; round < 10; round++) {
                for (unsigned i = 0; i < VMS; i++)
                        g_assert_cmpint(world->where[i], !=, host);
                draw(world);
                carry_out(world, ask(world));
        }
}

/* A sample that makes no sense is dropped and counted, and its VM not touched; one that is missing is no VM. */
static void test_bad_samples(void)
{
        g_autoptr(World) world = world_new(4, HOSTS, VMS, 0);
        start(world, NULL, 0);
        for (int round = 0; round < 20; round++) {
                draw(world);
                placer_begin(world->placer);
                for (unsigned i = 2; i < VMS; i++)
                        placer_sample(world->placer, i, world->where[i], world->demand[i]);
                g_assert_false(placer_sample(world->placer, 0, world->where[0], round % 2 ? NAN : -5));
                g_assert_false(placer_sample(world->placer, VMS, 0, 1));
                g_assert_false(placer_sample(world->placer, 2, HOSTS, 1));
                const GArray *moves = placer_decide(world->placer);
                for (guint i = 0; i < moves->len; i++)
                        g_assert_cmpuint(g_array_index(moves, PlaceMove, i).vm, >, 2);
                carry_out(world, moves);
        }
        g_assert_cmpuint(placer_state(world->placer).dropped, ==, 60);
}

/* Against the integral itself, for the normal law and for one that is skew. */
static void test_shortage(void)
{
        for (double z = -3; z <= 5; z += 0.37) {
                double loss = 0, step = 1e-3;
                for (double x = z; x < 12; x += step)
                        loss += (x + step / 2 - z) * exp(-(x + step / 2) * (x + step / 2) / 2) / sqrt(2 * G_PI) * step;
                g_assert_cmpfloat_with_epsilon(expected_shortage(1, 1000 + 100 * z, 1000, 10000, 0), 100 * loss, 0.02);
        }
        /* Gamma law, shape 16: mean 16, variance 16, third cumulant 32. */
        double loss = 0, step = 1e-3;
        for (double x = 24; x < 100; x += step)
                loss += (x - 24) * exp(15 * log(x) - x - lgamma(16)) * step;
        double normal = expected_shortage(1, 24, 16, 16, 0), skew = expected_shortage(1, 24, 16, 16, 32);
        g_assert_cmpfloat(fabs(skew - loss), <, fabs(normal - loss) / 4);
}

/* Two of 1740 and one of 613 fill 4096; best-fit of the large ones alone wastes the rest. */
static void test_patterns(void)
{
        PatternClass classes[] = {
            {.memory = 613, .count = 100}, {.memory = 870, .count = 100}, {.memory = 1740, .count = 200}};
        unsigned counts[3];
        double hosts = 0;

        g_assert_true(pattern_prices(classes, 3, 4096, 0, &hosts));
        g_assert_cmpfloat_with_epsilon(hosts, 125, 0.01);
        pattern_fill(classes, 3, 4096, counts);
        g_assert_cmpfloat(counts[0] * 613 + counts[1] * 870 + counts[2] * 1740, <=, 4096);
        g_assert_cmpfloat_with_epsilon(counts[1] / 2.0 + counts[2], 2, 1e-9);
        PatternClass giant = {.memory = 5000, .count = 1};
        g_assert_false(pattern_prices(&giant, 1, 4096, 0, &hosts));
}

/* How long a round takes at 10,000 hosts and 100,000 VMs: the first, which packs, and the longest of those after it. */
static void bench(void)
{
        const unsigned n_hosts = 10000, n_vms = 100000;
        g_autoptr(GRand) random = g_rand_new_with_seed(1);
        g_autofree SchedHost *hosts = g_new(SchedHost, n_hosts);
        g_autofree SchedVm *vms = g_new(SchedVm, n_vms);
        g_autofree double *level = g_new(double, n_vms);
        g_autofree int *where = g_new(int, n_vms);
        PlacePolicy policy = place_policy(PLACE_BALANCED);

        for (unsigned i = 0; i < n_hosts; i++)
                hosts[i] = host_of(i % 2 ? 20000 : 24000, 65536);
        for (unsigned i = 0; i < n_vms; i++) {
                double size = 500 * g_rand_int_range(random, 1, 9), ram = 512 * g_rand_int_range(random, 1, 9);
                vms[i] = (SchedVm){size, size, ram, ram / 62.5, (int)(i % n_hosts)};
                where[i] = vms[i].host;
                level[i] = size * g_rand_double_range(random, 0.02, 0.5);
        }
        g_autoptr(Placer) placer = placer_new(&policy, hosts, n_hosts, vms, n_vms, NULL, 0, NULL);
        gint64 first = 0, later = 0;
        for (int round = 0; round < 12; round++) {
                clock_t from = clock();
                placer_begin(placer);
                for (unsigned i = 0; i < n_vms; i++)
                        placer_sample(placer, i, where[i],
                                      MIN(level[i] * g_rand_double_range(random, 0.3, 2), vms[i].cpu));
                const GArray *moves = placer_decide(placer);
                gint64 took = clock() - from;
                first = round ? first : took;
                later = round ? MAX(later, took) : 0;
                for (guint i = 0; i < moves->len; i++)
                        where[g_array_index(moves, PlaceMove, i).vm] = g_array_index(moves, PlaceMove, i).to;
        }
        g_print("%u hosts, %u VMs: first round %.0f ms of processor, longest later %.0f ms, %u hosts on\n", n_hosts,
                n_vms, (double)first * 1e3 / CLOCKS_PER_SEC, (double)later * 1e3 / CLOCKS_PER_SEC,
                placer_state(placer).hosts_on);
}

int main(int argc, char **argv)
{
        if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
                bench();
                return 0;
        }
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/place/rules-hold", test_rules_hold);
        g_test_add_func("/place/rule-first", test_rule_first);
        g_test_add_func("/place/contradictions", test_contradictions);
        g_test_add_func("/place/bad-sizes", test_bad_sizes);
        g_test_add_func("/place/order", test_order);
        g_test_add_func("/place/hold", test_hold);
        g_test_add_func("/place/balance-gains", test_balance_gains);
        g_test_add_func("/place/calm", test_calm);
        g_test_add_func("/place/relief", test_relief);
        g_test_add_func("/place/waking", test_waking);
        g_test_add_func("/place/maintenance", test_maintenance);
        g_test_add_func("/place/bad-samples", test_bad_samples);
        g_test_add_func("/place/shortage", test_shortage);
        g_test_add_func("/place/patterns", test_patterns);
        return g_test_run();
}
