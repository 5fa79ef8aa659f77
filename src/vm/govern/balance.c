/*
 * Plans: the engine of placement (src/sched/place.h), fed with this host's VMs, their measured past, and hosts as
 * somebody describes them. See balance.h. It moves nothing.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "host/host_facts.h"
#include "hostler-handlers.h"
#include "sched/place.h"
#include "vm/govern/balance.h"
#include "vm/govern/rules.h"

#define MIB (1024.0 * 1024)
#define DAY_MS (24 * 3600 * 1000LL)
#define QUARTER_MS (15 * 60 * 1000LL)
/* Samples of five minutes, as the policy was chosen for; where there are too few, of less. */
#define MOST_SAMPLES 288
#define LEAST_SAMPLES 12
#define MIB_PER_SECOND 119.0 /* of a 1 Gbit/s link */
#define WATTS_PER_CPU 12.0
#define IDLE_PART 0.6

typedef struct {
        Manager *manager;
        HostlerBalanceTargetList targets; /* this host first */
        GPtrArray *vms;                   /* of Vm: those that run */
        GPtrArray *pasts;                 /* of GArray of double, one for each: processors, oldest first */
        guint longest;
        int64_t step_ms;
        Placer *placer;
} Balance;

static void balance_clear(Balance *balance)
{
        record_list_clear(&hostler_balance_target_type, &balance->targets);
        g_clear_pointer(&balance->vms, g_ptr_array_unref);
        g_clear_pointer(&balance->pasts, g_ptr_array_unref);
        g_clear_pointer(&balance->placer, placer_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Balance, balance_clear)

/* ---- collect: hosts ---- */

static void describe_here(HostlerBalanceTarget *target)
{
        HostFacts facts = host_facts_read(&host_paths);
        record_init(&hostler_balance_target_type, target);
        target->name = g_strdup(g_get_host_name());
        target->cpus = facts.cpu_limit_percent > 0 ? MIN(facts.cpus, facts.cpu_limit_percent / 100.0) : facts.cpus;
        target->memory = facts.memory_total_bytes;
}

static int host_named(const HostlerBalanceTargetList *targets, const char *name)
{
        for (size_t i = 0; i < targets->count; i++)
                if (strcmp(targets->items[i].name, name) == 0)
                        return (int)i;
        return -1;
}

/* @described takes the place of this host when it bears its name. */
static bool add_target(HostlerBalanceTargetList *targets, const HostlerBalanceTarget *described, GError **error)
{
        int at = host_named(targets, described->name);
        if (at > 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "host %s is described twice", described->name);
        if (at < 0) {
                targets->items = g_renew(HostlerBalanceTarget, targets->items, targets->count + 1);
                at = (int)targets->count++;
        } else {
                record_clear(&hostler_balance_target_type, &targets->items[at]);
        }
        record_copy(&hostler_balance_target_type, described, &targets->items[at]);
        return true;
}

static bool add_targets(const HostlerBalanceTargetList *described, HostlerBalanceTargetList *targets, GError **error)
{
        bool ok = true;
        targets->items = g_new0(HostlerBalanceTarget, 1);
        describe_here(&targets->items[targets->count++]);
        for (size_t i = 0; ok && i < described->count; i++)
                ok = add_target(targets, &described->items[i], error);
        return ok;
}

bool balance_read_hosts(const char *text, HostlerBalanceTargetList *ret_described, GError **error)
{
        json_error_t fault;
        *ret_described = (HostlerBalanceTargetList){0};
        if (!text)
                return true;
        json_auto_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
        if (!json)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "the hosts are no JSON: line %d: %s", fault.line,
                                 fault.text);
        return record_list_from_json(&hostler_balance_target_type, json, "/hosts", ret_described, error);
}

static SchedHost sched_host(const HostlerBalanceTarget *target)
{
        double full = isnan(target->full_watts) ? target->cpus * WATTS_PER_CPU : target->full_watts;
        double idle = isnan(target->idle_watts) ? full * IDLE_PART : MIN(target->idle_watts, full);
        SchedHost host = {
            .cpu = target->cpus, .memory = (double)target->memory / MIB, .maintenance = target->maintenance};
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                host.watts[i] = idle + (full - idle) * i / (SCHED_POWER_POINTS - 1);
        return host;
}

/* ---- collect: VMs ---- */

static GArray *past_of(Balance *balance, Vm *vm, int64_t since_ms, GError **error)
{
        int64_t now_ms = clock_unix_ms();
        g_autoptr(GArray) points = monitor_read(manager_monitor(balance->manager), vm_id(vm), now_ms - since_ms, now_ms,
                                                now_ms, MOST_SAMPLES, &balance->step_ms, error);
        if (!points)
                return NULL;
        GArray *past = g_array_new(FALSE, FALSE, sizeof(double));
        for (guint i = 0; i < points->len; i++) {
                const float *values = g_array_index(points, SeriesPoint, i).values;
                double waited = isnan(values[METRIC_WAIT]) ? 0 : values[METRIC_WAIT];
                double wanted = values[METRIC_CPU] + waited;
                if (!isnan(wanted))
                        g_array_append_val(past, wanted);
        }
        return past;
}

static void array_unref(gpointer array)
{
        g_array_unref(array);
}

static bool read_pasts(Balance *balance, int64_t since_ms, GError **error)
{
        g_clear_pointer(&balance->pasts, g_ptr_array_unref);
        balance->pasts = g_ptr_array_new_with_free_func(array_unref);
        balance->longest = 0;
        for (guint i = 0; i < balance->vms->len; i++) {
                GArray *past = past_of(balance, g_ptr_array_index(balance->vms, i), since_ms, error);
                if (!past)
                        return false;
                g_ptr_array_add(balance->pasts, past);
                balance->longest = MAX(balance->longest, past->len);
        }
        return true;
}

static bool collect_vms(Balance *balance, GError **error)
{
        g_autoptr(GPtrArray) all = manager_vms(balance->manager, false);
        balance->vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref);
        for (guint i = 0; i < all->len; i++)
                if (vm_power(g_ptr_array_index(all, i)) == HOSTLER_POWER_RUNNING)
                        g_ptr_array_add(balance->vms, vm_ref(g_ptr_array_index(all, i)));
        return read_pasts(balance, DAY_MS, error) &&
               (balance->longest >= LEAST_SAMPLES || read_pasts(balance, QUARTER_MS, error));
}

static SchedVm sched_vm(Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerCpuProps *cpu = spec_part(&spec->value, "cpu")->props;
        const HostlerMemoryProps *memory = spec_part(&spec->value, "memory")->props;
        double mib = (double)memory->size / MIB;
        return (SchedVm){.cpu = (double)cpu->count, .core = 1, .memory = mib, .move_seconds = mib / MIB_PER_SECOND};
}

/* ---- weigh: rules ---- */

typedef struct {
        HostlerRuleConfigList configs;
        GArray *rules;    /* of SchedRule */
        GPtrArray *lists; /* of GArray of unsigned, what they name */
} Rules;

static void rules_clear(Rules *rules)
{
        record_list_clear(&hostler_rule_config_type, &rules->configs);
        g_clear_pointer(&rules->rules, g_array_unref);
        g_clear_pointer(&rules->lists, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rules, rules_clear)

static unsigned vm_number(const Balance *balance, const char *id)
{
        unsigned i = 0;
        while (i < balance->vms->len && strcmp(vm_id(g_ptr_array_index(balance->vms, i)), id) != 0)
                i++;
        return i;
}

static GArray *numbers_of_vms(const Balance *balance, char *const *ids)
{
        GArray *numbers = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (; ids && *ids; ids++) {
                unsigned number = vm_number(balance, *ids);
                if (number < balance->vms->len)
                        g_array_append_val(numbers, number);
        }
        return numbers;
}

static GArray *numbers_of_hosts(const Balance *balance, char *const *names)
{
        GArray *numbers = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (; names && *names; names++) {
                int number = host_named(&balance->targets, *names);
                if (number >= 0)
                        g_array_append_val(numbers, number);
        }
        return numbers;
}

/* Rules of VMs that do not run, or of hosts that nobody described, are about those who are left. */
static Rules collect_rules(const Balance *balance)
{
        static const SchedRuleKind kinds[] = {[HOSTLER_RULE_KIND_TOGETHER] = RULE_TOGETHER,
                                              [HOSTLER_RULE_KIND_APART] = RULE_APART,
                                              [HOSTLER_RULE_KIND_ONLY_ON] = RULE_ONLY_ON,
                                              [HOSTLER_RULE_KIND_NEVER_ON] = RULE_NEVER_ON};
        Rules rules = {.rules = g_array_new(FALSE, FALSE, sizeof(SchedRule)),
                       .lists = g_ptr_array_new_with_free_func(array_unref)};
        rules_load(balance->manager, &rules.configs);
        for (size_t i = 0; i < rules.configs.count; i++) {
                const HostlerRuleConfig *config = &rules.configs.items[i];
                GArray *vms = numbers_of_vms(balance, config->vms), *hosts = numbers_of_hosts(balance, config->hosts);
                SchedRule rule = {kinds[config->kind],           config->name, (const unsigned *)vms->data, vms->len,
                                  (const unsigned *)hosts->data, hosts->len};
                g_ptr_array_add(rules.lists, vms);
                g_ptr_array_add(rules.lists, hosts);
                if (vms->len > 0)
                        g_array_append_val(rules.rules, rule);
        }
        return rules;
}

/* ---- decide ---- */

static bool make_placer(Balance *balance, HostlerPlaceStyle style, GError **error)
{
        static const PlaceStyle styles[] = {[HOSTLER_PLACE_STYLE_SAFE] = PLACE_SAFE,
                                            [HOSTLER_PLACE_STYLE_BALANCED] = PLACE_BALANCED,
                                            [HOSTLER_PLACE_STYLE_ECO] = PLACE_ECO};
        PlacePolicy policy = place_policy(styles[style]);
        g_autofree SchedHost *hosts = g_new0(SchedHost, balance->targets.count);
        g_autofree SchedVm *vms = g_new0(SchedVm, balance->vms->len + 1);
        g_auto(Rules) rules = collect_rules(balance);
        policy.interval_seconds = MAX((double)balance->step_ms / 1000, 2);
        for (size_t i = 0; i < balance->targets.count; i++)
                hosts[i] = sched_host(&balance->targets.items[i]);
        for (guint i = 0; i < balance->vms->len; i++)
                vms[i] = sched_vm(g_ptr_array_index(balance->vms, i));
        balance->placer = placer_new(&policy, hosts, (unsigned)balance->targets.count, vms, balance->vms->len,
                                     (const SchedRule *)rules.rules->data, rules.rules->len, error);
        return balance->placer != NULL;
}

/* The past round by round, all VMs here; the last one is now. */
static const GArray *decide(Balance *balance)
{
        for (guint back = MAX(balance->longest, 1); back-- > 0;) {
                placer_begin(balance->placer);
                for (guint i = 0; i < balance->vms->len; i++) {
                        const GArray *past = g_ptr_array_index(balance->pasts, i);
                        if (back < past->len)
                                placer_sample(balance->placer, i, 0, g_array_index(past, double, past->len - 1 - back));
                        else if (back == 0)
                                placer_sample(balance->placer, i, 0, 0);
                }
                if (back > 0)
                        placer_learn(balance->placer);
        }
        return placer_decide(balance->placer);
}

/* ---- tell ---- */

static double rounded(double value)
{
        return round(value * 1000) / 1000;
}

static char *name_of(const Balance *balance, unsigned vm)
{
        return vm_name(g_ptr_array_index(balance->vms, vm));
}

static void tell_move(const Balance *balance, const PlaceMove *move, HostlerBalanceMove *ret_move)
{
        const HostlerBalanceTarget *from = &balance->targets.items[move->from], *to = &balance->targets.items[move->to];
        SchedVm vm = sched_vm(g_ptr_array_index(balance->vms, move->vm));
        record_init(&hostler_balance_move_type, ret_move);
        ret_move->vm = name_of(balance, move->vm);
        ret_move->from = g_strdup(from->name);
        ret_move->to = g_strdup(to->name);
        ret_move->reason = g_strdup(move_reasons[move->reason]);
        ret_move->seconds = rounded(vm.move_seconds);
        ret_move->why =
            g_strdup_printf("%s is expected to carry %.2f of %g processors instead of %.2f, %s %.2f of %g instead of "
                            "%.2f; of both %.2f will be missing on average instead of %.2f",
                            from->name, move->from_after, from->cpus, move->from_before, to->name, move->to_after,
                            to->cpus, move->to_before, move->short_after, move->short_before);
}

static void tell_host(const Balance *balance, const GArray *moves, unsigned which, HostlerBalanceHost *ret_host)
{
        const HostlerBalanceTarget *target = &balance->targets.items[which];
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        g_autofree unsigned *where = g_new0(unsigned, balance->vms->len + 1);
        double mean, variance, missing, before = 0, load = 0;
        for (guint i = 0; i < moves->len; i++)
                where[g_array_index(moves, PlaceMove, i).vm] = (unsigned)g_array_index(moves, PlaceMove, i).to;
        for (guint i = 0; i < balance->vms->len; i++) {
                const GArray *past = g_ptr_array_index(balance->pasts, i);
                g_autofree char *name = name_of(balance, i);
                if (where[i] == which)
                        g_strv_builder_add(names, name);
                before += which == 0 ? placer_forecast(balance->placer, i)->mean *
                                           sched_vm(g_ptr_array_index(balance->vms, i)).cpu
                                     : 0;
                load += which == 0 && past->len > 0 ? g_array_index(past, double, past->len - 1) : 0;
        }
        placer_host(balance->placer, which, &mean, &variance, &missing);
        record_init(&hostler_balance_host_type, ret_host);
        ret_host->name = g_strdup(target->name);
        ret_host->cpus = target->cpus;
        ret_host->memory = target->memory;
        ret_host->load = rounded(load);
        ret_host->expected_before = rounded(before);
        ret_host->expected_after = rounded(mean);
        ret_host->deviation_after = rounded(sqrt(variance));
        ret_host->short_after = rounded(missing);
        ret_host->vms = g_strv_builder_end(names);
}

static char *advice_of(const Balance *balance, const GArray *moves, const PlaceState *state)
{
        if (balance->vms->len == 0)
                return g_strdup("no VM runs: there is nothing to place");
        if (balance->targets.count == 1)
                return g_strdup_printf(
                    "there is one host, so nothing can be moved; %.2f processors will be missing here "
                    "on average",
                    state->expected_short);
        if (moves->len == 0)
                return g_strdup("nothing is worth moving");
        return g_strdup_printf(
            "%u moves; then %u of %zu hosts are in use, and %.2f processors will be missing on average", moves->len,
            state->hosts_on, balance->targets.count, state->expected_short);
}

static void tell(const Balance *balance, HostlerPlaceStyle style, const GArray *moves, HostlerBalancePlan *ret_plan)
{
        PlaceState state = placer_state(balance->placer);
        record_init(&hostler_balance_plan_type, ret_plan);
        ret_plan->style = style;
        ret_plan->samples = balance->longest;
        ret_plan->step = balance->step_ms;
        ret_plan->cpu_price = rounded(state.cpu_price);
        ret_plan->memory_price = rounded(state.memory_price * 1024);
        ret_plan->hosts.items = g_new0(HostlerBalanceHost, balance->targets.count);
        for (unsigned i = 0; i < balance->targets.count; i++)
                tell_host(balance, moves, i, &ret_plan->hosts.items[ret_plan->hosts.count++]);
        ret_plan->moves.items = g_new0(HostlerBalanceMove, moves->len + 1);
        for (guint i = 0; i < moves->len; i++)
                tell_move(balance, &g_array_index(moves, PlaceMove, i),
                          &ret_plan->moves.items[ret_plan->moves.count++]);
        ret_plan->advice = advice_of(balance, moves, &state);
}

bool balance_make(Manager *manager, const HostlerBalanceTargetList *described, HostlerPlaceStyle style,
                  HostlerBalancePlan *ret_plan, GError **error)
{
        g_auto(Balance) balance = {.manager = manager};
        if (!add_targets(described, &balance.targets, error) || !collect_vms(&balance, error) ||
            !make_placer(&balance, style, error))
                return false;
        tell(&balance, style, decide(&balance), ret_plan);
        return true;
}

bool balance_plan(const Call *call, const HostlerBalancePlanArgs *args, HostlerBalancePlan *ret_result, GError **error)
{
        HostlerBalanceTargetList described;
        if (!balance_read_hosts(args->hosts, &described, error))
                return false;
        bool ok = balance_make(call->manager, &described, args->style, ret_result, error);
        record_list_clear(&hostler_balance_target_type, &described);
        return ok;
}
