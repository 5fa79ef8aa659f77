/* Hard rules: turned into units, sets of forbidden hosts and lists of those that stand apart; contradictions are named.
 * Used inside sched only. */
#pragma once

#include "sched/fleet.h"

/* Makes the fleet's units of @vms. HOSTLER_ERROR_INVALID names the rule, or both rules, that cannot be kept. */
bool rules_apply(Fleet *fleet, const SchedVm *vms, const SchedRule *rules, unsigned n_rules, GError **error);
