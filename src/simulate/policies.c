/*
 * Placement as a policy of the model: the Placer that production uses, fed with the model's samples. That is all there
 * is between them.
 */
#include "simulate/policies.h"

#include <string.h>

static void *start(PlaceStyle style, const Scenario *scenario, GError **error)
{
        PlacePolicy policy = place_policy(style);
        policy.interval_seconds = scenario->interval_seconds;
        policy.move_loss = MODEL_MOVE_LOSS;
        return placer_new(&policy, scenario->hosts, scenario->n_hosts, scenario->vms, scenario->n_vms, NULL, 0, error);
}

static void *start_safe(const Scenario *scenario, GError **error)
{
        return start(PLACE_SAFE, scenario, error);
}

static void *start_balanced(const Scenario *scenario, GError **error)
{
        return start(PLACE_BALANCED, scenario, error);
}

static void *start_eco(const Scenario *scenario, GError **error)
{
        return start(PLACE_ECO, scenario, error);
}

static void decide(void *state, const Scenario *scenario, unsigned step, const int *where, const double *demand,
                   const bool *failed, GArray *moves)
{
        for (unsigned i = 0; i < scenario->n_hosts; i++)
                if (failed[i])
                        placer_set_maintenance(state, i, true);
        placer_begin(state);
        for (unsigned i = 0; i < scenario->n_vms; i++)
                placer_sample(state, i, where[i], demand[i]);
        const GArray *decided = placer_decide(state);
        for (guint i = 0; i < decided->len; i++) {
                const PlaceMove *move = &g_array_index(decided, PlaceMove, i);
                g_array_append_val(moves, ((ModelMove){move->vm, move->to}));
        }
}

static void end(void *state)
{
        placer_free(state);
}

static const Policy placements[] = {
    {"balanced", start_balanced, decide, end}, {"safe", start_safe, decide, end}, {"eco", start_eco, decide, end}, {0}};

const Policy *policy_find(const char *name)
{
        for (const Policy *policy = placements; policy->name; policy++)
                if (g_str_equal(policy->name, name))
                        return policy;
        for (const Policy *policy = reference_policies; policy->name; policy++)
                if (g_str_equal(policy->name, name))
                        return policy;
        return NULL;
}
