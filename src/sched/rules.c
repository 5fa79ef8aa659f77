/*
 * Rules become structure before the first round: VMs that must be together are one unit, so no later step can part
 * them; what else a rule says is looked up by fleet_allows(). Rules that no placement could keep are refused here.
 */
#include "sched/rules.h"

#include <math.h>

#include "base/error.h"
#include "sched/decide.h"

static bool refuse(GError **error, const char *object, const char *text, const char *first, const char *second)
{
        return error_set(error, HOSTLER_ERROR_INVALID, object, "rules \"%s\" and \"%s\" contradict each other: %s",
                         first, second, text);
}

static bool check_numbers(const Fleet *fleet, const SchedRule *rule, GError **error)
{
        for (unsigned i = 0; i < rule->n_vms; i++)
                if (rule->vms[i] >= fleet->n_vms)
                        return error_set(error, HOSTLER_ERROR_INVALID, rule->name, "rule \"%s\" names VM %u of %u",
                                         rule->name, rule->vms[i], fleet->n_vms);
        for (unsigned i = 0; i < rule->n_hosts; i++)
                if (rule->hosts[i] >= fleet->n_hosts)
                        return error_set(error, HOSTLER_ERROR_INVALID, rule->name, "rule \"%s\" names host %u of %u",
                                         rule->name, rule->hosts[i], fleet->n_hosts);
        return true;
}

static unsigned root_of(unsigned *parent, unsigned vm)
{
        while (parent[vm] != vm)
                vm = parent[vm] = parent[parent[vm]];
        return vm;
}

/* Union-find over the rules of the first kind; @name: of the rule that brought each in. */
static void join(unsigned *parent, const char **name, const SchedRule *rule)
{
        for (unsigned i = 0; i < rule->n_vms; i++) {
                name[rule->vms[i]] = rule->name;
                if (i > 0) {
                        unsigned one = root_of(parent, rule->vms[0]), other = root_of(parent, rule->vms[i]);
                        parent[MAX(one, other)] = MIN(one, other);
                }
        }
}

static void unit_add(Unit *unit, const SchedVm *vm, unsigned number)
{
        unit->vms = g_renew(unsigned, unit->vms, unit->n_vms + 1);
        unit->vms[unit->n_vms++] = number;
        unit->cpu += vm->cpu;
        unit->core = MAX(unit->core, vm->core);
        unit->memory += vm->memory;
        unit->move_seconds = MAX(unit->move_seconds, vm->move_seconds);
}

static void make_units(Fleet *fleet, const SchedVm *vms, unsigned *parent)
{
        fleet->units = g_new0(Unit, MAX(fleet->n_vms, 1));
        fleet->unit_of = g_new(unsigned, MAX(fleet->n_vms, 1));
        for (unsigned i = 0; i < fleet->n_vms; i++) {
                unsigned root = root_of(parent, i);
                fleet->unit_of[i] = root == i ? fleet->n_units++ : fleet->unit_of[root];
                unit_add(&fleet->units[fleet->unit_of[i]], &vms[i], i);
        }
        for (unsigned i = 0; i < fleet->n_units; i++) {
                Unit *unit = &fleet->units[i];
                unit->home = unit->host = unit->next = unit->previous = -1;
                unit->moved = -INFINITY;
        }
}

/* What the rule takes from a unit's hosts; false when nothing is left. */
static bool restrict_hosts(const Fleet *fleet, Unit *unit, const SchedRule *rule)
{
        bool only = rule->kind == RULE_ONLY_ON, left = false;
        g_autofree bool *named = g_new0(bool, MAX(fleet->n_hosts, 1));

        for (unsigned i = 0; i < rule->n_hosts; i++)
                named[rule->hosts[i]] = true;
        if (!unit->forbidden)
                unit->forbidden = g_new0(bool, MAX(fleet->n_hosts, 1));
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                unit->forbidden[i] = unit->forbidden[i] || named[i] != only;
                left = left || !unit->forbidden[i];
        }
        return left;
}

static bool apply_hosts(Fleet *fleet, const SchedRule *rule, const char **restricted_by, const char **joined_by,
                        GError **error)
{
        for (unsigned i = 0; i < rule->n_vms; i++) {
                unsigned number = fleet->unit_of[rule->vms[i]];
                const char *before = restricted_by[number] ? restricted_by[number] : joined_by[rule->vms[i]];
                if (!restrict_hosts(fleet, &fleet->units[number], rule))
                        return refuse(error, rule->name, "no host is left", before ? before : rule->name, rule->name);
                restricted_by[number] = rule->name;
        }
        return true;
}

static unsigned hosts_for(const Fleet *fleet, const GArray *members)
{
        unsigned n = 0;
        for (unsigned host = 0; host < fleet->n_hosts; host++) {
                bool any = false;
                for (guint i = 0; i < members->len && !any; i++) {
                        const Unit *unit = &fleet->units[g_array_index(members, unsigned, i)];
                        any = !unit->forbidden || !unit->forbidden[host];
                }
                n += any;
        }
        return n;
}

static bool apply_apart(Fleet *fleet, const SchedRule *rule, const char **joined_by, GError **error)
{
        GArray *members = g_array_new(FALSE, FALSE, sizeof(unsigned));
        unsigned index = fleet->apart->len;

        g_ptr_array_add(fleet->apart, members);
        for (unsigned i = 0; i < rule->n_vms; i++) {
                unsigned number = fleet->unit_of[rule->vms[i]];
                Unit *unit = &fleet->units[number];
                for (guint j = 0; j < members->len; j++)
                        if (g_array_index(members, unsigned, j) == number)
                                return refuse(error, rule->name, "the same VMs are to be together and apart",
                                              joined_by[rule->vms[i]] ? joined_by[rule->vms[i]] : rule->name,
                                              rule->name);
                g_array_append_val(members, number);
                if (!unit->apart)
                        unit->apart = g_array_new(FALSE, FALSE, sizeof(unsigned));
                g_array_append_val(unit->apart, index);
        }
        unsigned hosts = hosts_for(fleet, members);
        if (members->len > hosts)
                return error_set(error, HOSTLER_ERROR_INVALID, rule->name,
                                 "rule \"%s\" keeps %u VMs apart, but there are %u hosts for them", rule->name,
                                 members->len, hosts);
        return true;
}

bool rules_apply(Fleet *fleet, const SchedVm *vms, const SchedRule *rules, unsigned n_rules, GError **error)
{
        g_autofree unsigned *parent = g_new(unsigned, MAX(fleet->n_vms, 1));
        g_autofree const char **joined_by = g_new0(const char *, MAX(fleet->n_vms, 1));
        g_autofree const char **restricted_by = g_new0(const char *, MAX(fleet->n_vms, 1));

        for (unsigned i = 0; i < fleet->n_vms; i++)
                parent[i] = i;
        for (unsigned i = 0; i < n_rules; i++) {
                if (!check_numbers(fleet, &rules[i], error))
                        return false;
                if (rules[i].kind == RULE_TOGETHER)
                        join(parent, joined_by, &rules[i]);
        }
        make_units(fleet, vms, parent);
        for (unsigned i = 0; i < n_rules; i++)
                if ((rules[i].kind == RULE_ONLY_ON || rules[i].kind == RULE_NEVER_ON) &&
                    !apply_hosts(fleet, &rules[i], restricted_by, joined_by, error))
                        return false;
        for (unsigned i = 0; i < n_rules; i++)
                if (rules[i].kind == RULE_APART && !apply_apart(fleet, &rules[i], joined_by, error))
                        return false;
        return true;
}

/* Where the unit is, it may not be. */
static bool is_unwanted(Fleet *fleet, Unit *unit)
{
        if (unit->home < 0)
                return true;
        Host *host = &fleet->hosts[unit->home];
        return host->spec.maintenance || !fleet_allows(fleet, (unsigned)unit->home, unit);
}

void decide_rules(Fleet *fleet)
{
        for (unsigned i = 0; i < fleet->n_units; i++) {
                Unit *unit = &fleet->units[i];
                if (!unit->present || unit->held || !is_unwanted(fleet, unit))
                        continue;
                MoveReason reason = unit->home < 0                              ? MOVE_PACK
                                    : fleet->hosts[unit->home].spec.maintenance ? MOVE_MAINTENANCE
                                                                                : MOVE_RULE;
                int where = fleet_cheapest(fleet, unit, fleet->policy.empty_opening, true, NULL);
                if (where >= 0)
                        fleet_move(fleet, i, where, reason);
        }
}
