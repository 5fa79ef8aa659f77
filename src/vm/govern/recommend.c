/*
 * The mode of balancing and its recommendations: see recommend.h. Both are one setting of the store, so that they
 * outlive the daemon.
 *
 * `turn` is held by whoever makes a plan and puts it in place of the last; `lock` guards the state alone.
 */
#include "vm/govern/recommend.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "vm/govern/balance.h"
#include "vm/govern/govern.h"

#define SETTING "balance"

struct Recommender {
        Manager *manager;
        GMutex turn;
        int64_t due_ms; /* under the turn */
        GMutex lock;
        HostlerBalanceState state;
};

Recommender *recommender_new(Manager *manager)
{
        Recommender *recommender = g_new0(Recommender, 1);
        g_autofree char *text = store_get(manager_store(manager), SETTING);
        json_auto_t *json = text ? json_loads(text, 0, NULL) : NULL;
        recommender->manager = manager;
        g_mutex_init(&recommender->turn);
        g_mutex_init(&recommender->lock);
        if (!json || !record_from_json(&hostler_balance_state_type, json, "/balance", &recommender->state, NULL))
                record_init(&hostler_balance_state_type, &recommender->state);
        return recommender;
}

void recommender_free(Recommender *recommender)
{
        if (!recommender)
                return;
        record_clear(&hostler_balance_state_type, &recommender->state);
        g_mutex_clear(&recommender->turn);
        g_mutex_clear(&recommender->lock);
        g_free(recommender);
}

static void copy_state(Recommender *recommender, HostlerBalanceState *ret_state)
{
        g_mutex_lock(&recommender->lock);
        record_copy(&hostler_balance_state_type, &recommender->state, ret_state);
        g_mutex_unlock(&recommender->lock);
}

/* ---- what changed ---- */

static bool same_move(const HostlerRecommendation *one, const HostlerRecommendation *other)
{
        return strcmp(one->vm, other->vm) == 0 && strcmp(one->from, other->from) == 0 &&
               strcmp(one->to, other->to) == 0;
}

static const HostlerRecommendation *find(const HostlerBalanceState *state, const HostlerRecommendation *wanted)
{
        for (size_t i = 0; i < state->moves.count; i++)
                if (same_move(&state->moves.items[i], wanted))
                        return &state->moves.items[i];
        return NULL;
}

static bool differ(const HostlerBalanceState *one, const HostlerBalanceState *other)
{
        for (size_t i = 0; i < one->moves.count; i++)
                if (!find(other, &one->moves.items[i]))
                        return true;
        return one->mode != other->mode || one->moves.count != other->moves.count ||
               g_strcmp0(one->fault, other->fault) != 0;
}

static void tell(Recommender *recommender, const HostlerBalanceState *state)
{
        GString *moves = g_string_new(NULL);
        for (size_t i = 0; i < state->moves.count; i++) {
                const HostlerRecommendation *move = &state->moves.items[i];
                g_string_append_printf(moves, "%s%s to %s (%s)", i > 0 ? ", " : "", move->vm, move->to, move->reason);
        }
        event_emit(manager_events(recommender->manager), "balance-changed", "",
                   json_pack("{s:s, s:I, s:s, s:s}", "mode", hostler_balance_mode_enum.values[state->mode], "count",
                             (json_int_t)state->moves.count, "moves", moves->str, "advice",
                             state->fault    ? state->fault
                             : state->advice ? state->advice
                                             : ""));
        g_string_free(moves, TRUE);
}

/* With the turn. */
static bool put(Recommender *recommender, HostlerBalanceState *state_taken, GError **error)
{
        json_auto_t *json = record_to_json(&hostler_balance_state_type, state_taken, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        if (!store_set(manager_store(recommender->manager), SETTING, text, error)) {
                record_clear(&hostler_balance_state_type, state_taken);
                return false;
        }
        HostlerBalanceState old = recommender->state;
        bool changed = differ(&old, state_taken);
        g_mutex_lock(&recommender->lock);
        recommender->state = *state_taken;
        g_mutex_unlock(&recommender->lock);
        if (changed)
                tell(recommender, state_taken);
        recommender->due_ms = clock_monotonic_ms() + state_taken->every;
        record_clear(&hostler_balance_state_type, &old);
        return true;
}

/* ---- planning ---- */

static void take_move(const HostlerBalanceMove *move, const HostlerBalanceState *before,
                      HostlerRecommendation *ret_recommendation)
{
        record_init(&hostler_recommendation_type, ret_recommendation);
        ret_recommendation->vm = g_strdup(move->vm);
        ret_recommendation->from = g_strdup(move->from);
        ret_recommendation->to = g_strdup(move->to);
        ret_recommendation->reason = g_strdup(move->reason);
        ret_recommendation->why = g_strdup(move->why);
        ret_recommendation->seconds = move->seconds;
        const HostlerRecommendation *known = find(before, ret_recommendation);
        ret_recommendation->since = known ? g_strdup(known->since) : time_format(clock_unix_ms());
}

static void take_plan(const HostlerBalancePlan *plan, HostlerBalanceState *state)
{
        HostlerRecommendationList moves = {.items = g_new0(HostlerRecommendation, plan->moves.count + 1)};
        for (size_t i = 0; i < plan->moves.count; i++)
                take_move(&plan->moves.items[i], state, &moves.items[moves.count++]);
        record_list_clear(&hostler_recommendation_type, &state->moves);
        state->moves = moves;
        state->advice = g_strdup(plan->advice);
}

/* Puts what a plan says into @state. What cannot be planned is not recommended: false, with `fault` saying why. */
static bool plan(Recommender *recommender, HostlerBalanceState *state, GError **error)
{
        g_autoptr(GError) fault = NULL;
        HostlerBalancePlan made;
        g_clear_pointer(&state->planned, g_free);
        g_clear_pointer(&state->advice, g_free);
        g_clear_pointer(&state->fault, g_free);
        state->planned = time_format(clock_unix_ms());
        if (balance_make(recommender->manager, &state->hosts, state->style, &made, &fault)) {
                take_plan(&made, state);
                record_clear(&hostler_balance_plan_type, &made);
                return true;
        }
        record_list_clear(&hostler_recommendation_type, &state->moves);
        state->moves = (HostlerRecommendationList){0};
        state->fault = g_strdup(fault->message);
        g_propagate_error(error, g_steal_pointer(&fault));
        return false;
}

void recommend_round(Recommender *recommender)
{
        HostlerBalanceState state;
        g_autoptr(GMutexLocker) turn = g_mutex_locker_new(&recommender->turn);
        if (recommender->state.mode != HOSTLER_BALANCE_MODE_MANUAL || clock_monotonic_ms() < recommender->due_ms)
                return;
        copy_state(recommender, &state);
        plan(recommender, &state, NULL);
        put(recommender, &state, NULL);
}

/* ---- verbs ---- */

bool balance_show(const Call *call, const HostlerBalanceShowArgs *args, HostlerBalanceState *ret_result, GError **error)
{
        copy_state(govern_recommender(call->manager), ret_result);
        return true;
}

bool balance_ls(const Call *call, const HostlerBalanceLsArgs *args, HostlerRecommendationList *ret_result,
                GError **error)
{
        HostlerBalanceState state;
        copy_state(govern_recommender(call->manager), &state);
        *ret_result = state.moves;
        state.moves = (HostlerRecommendationList){0};
        record_clear(&hostler_balance_state_type, &state);
        return true;
}

/* With the turn: @state_taken with a plan, if one can be made, in place of the last. */
static bool adopt(Recommender *recommender, HostlerBalanceState *state_taken, HostlerBalanceState *ret_result,
                  GError **error)
{
        if (!plan(recommender, state_taken, error)) {
                record_clear(&hostler_balance_state_type, state_taken);
                return false;
        }
        if (!put(recommender, state_taken, error))
                return false;
        copy_state(recommender, ret_result);
        return true;
}

bool balance_manual(const Call *call, const HostlerBalanceManualArgs *args, HostlerBalanceState *ret_result,
                    GError **error)
{
        Recommender *recommender = govern_recommender(call->manager);
        HostlerBalanceTargetList hosts;
        HostlerBalanceState state;
        if (!balance_read_hosts(args->hosts, &hosts, error))
                return false;
        g_autoptr(GMutexLocker) turn = g_mutex_locker_new(&recommender->turn);
        copy_state(recommender, &state);
        state.mode = HOSTLER_BALANCE_MODE_MANUAL;
        state.style = args->style;
        state.every = args->every;
        if (args->hosts) {
                record_list_clear(&hostler_balance_target_type, &state.hosts);
                state.hosts = hosts;
        }
        if (state.hosts.count > 0)
                return adopt(recommender, &state, ret_result, error);
        record_clear(&hostler_balance_state_type, &state);
        error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is nowhere to move to: nobody has described other hosts");
        return error_hint(error, "hostler balance manual --hosts FILE");
}

bool balance_run(const Call *call, const HostlerBalanceRunArgs *args, HostlerBalanceState *ret_result, GError **error)
{
        Recommender *recommender = govern_recommender(call->manager);
        HostlerBalanceState state;
        g_autoptr(GMutexLocker) turn = g_mutex_locker_new(&recommender->turn);
        copy_state(recommender, &state);
        if (state.mode == HOSTLER_BALANCE_MODE_MANUAL)
                return adopt(recommender, &state, ret_result, error);
        record_clear(&hostler_balance_state_type, &state);
        error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "balancing is off");
        return error_hint(error, "hostler balance manual --hosts FILE, or, once: hostler balance plan --hosts FILE");
}

bool balance_off(const Call *call, const HostlerBalanceOffArgs *args, HostlerBalanceState *ret_result, GError **error)
{
        Recommender *recommender = govern_recommender(call->manager);
        HostlerBalanceState state, next;
        g_autoptr(GMutexLocker) turn = g_mutex_locker_new(&recommender->turn);
        copy_state(recommender, &state);
        record_init(&hostler_balance_state_type, &next);
        next.style = state.style;
        next.every = state.every;
        next.hosts = state.hosts;
        state.hosts = (HostlerBalanceTargetList){0};
        record_clear(&hostler_balance_state_type, &state);
        if (!put(recommender, &next, error))
                return false;
        copy_state(recommender, ret_result);
        return true;
}

bool balance_auto(const Call *call, const HostlerBalanceAutoArgs *args, HostlerBalanceState *ret_result, GError **error)
{
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                  "moves cannot be carried out: no VM can be migrated to another host by this daemon yet");
        return error_hint(error, "hostler balance manual --hosts FILE keeps recommendations");
}
