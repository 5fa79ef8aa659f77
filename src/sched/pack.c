/*
 * Packing a whole fleet anew: the first round, and whenever hosts on are far more than the linear program says. Hosts
 * that do most for their power are filled one after the other; among equals the one whose VMs are dearest to move. What
 * is on a host stays. VMs go in order of volatility (variance to mean): hosts then hold either calm VMs, which can
 * stand close, or lively ones, which share one reserve. Where memory is what runs out, patterns of sizes come first.
 */
#include <math.h>

#include "sched/decide.h"
#include "sched/pattern.h"

#define LOOK_AHEAD 2048 /* VMs tried for one host after the first that does not fit */
#define MOST_CLASSES 64
#define FULL 0.995 /* of the margin: not worth looking further */

typedef struct {
        Fleet *fleet;
        GArray *left; /* of int: units in order, -1 when placed */
        PatternClass *classes;
        GArray **members; /* for each class, indexes into @left */
        int *class_of;    /* for each index into @left; -1: none */
        unsigned n_classes;
        GHashTable *patterns; /* room → counts */
} Packing;

typedef struct {
        unsigned host;
        double merit, staying;
} Rank;

static double volatility(const Unit *unit)
{
        return unit->variance / (unit->mean + unit->cpu * 1e-3);
}

static int by_volatility(const void *a, const void *b, void *data)
{
        const Unit *units = data;
        int one = *(const int *)a, other = *(const int *)b;
        double first = volatility(&units[one]), second = volatility(&units[other]);
        if (first != second)
                return first > second ? -1 : 1;
        return one < other ? -1 : one > other;
}

static int by_merit(const void *a, const void *b)
{
        const Rank *one = a, *other = b;
        if (one->merit != other->merit)
                return one->merit < other->merit ? -1 : 1;
        if (one->staying != other->staying)
                return one->staying > other->staying ? -1 : 1;
        return one->host < other->host ? -1 : one->host > other->host;
}

/* Watts of the host, as full as the scarcer resource lets it be, for each watt's worth that it gives. What moving its
 * VMs away would cost counts for it, as if lost in one interval. */
static double merit(const Fleet *fleet, const Host *host, const Prices *prices, double load_for_memory, double staying)
{
        double cpu = host->spec.cpu, memory = host->spec.memory;
        double load = memory > 0 ? MIN(memory * load_for_memory, cpu) : cpu;
        double watts =
            host->spec.watts[0] + (host->spec.watts[SCHED_POWER_POINTS - 1] - host->spec.watts[0]) * load / cpu;
        const PlacePolicy *policy = &fleet->policy;
        watts -= policy->shortage_price * host->idle_price * policy->move_loss * staying / policy->interval_seconds;
        double worth = prices->cpu * load + prices->memory * memory;
        return worth > 0 ? watts / worth : watts / cpu;
}

static GArray *ranked(const Fleet *fleet, const Prices *prices)
{
        GArray *ranks = g_array_sized_new(FALSE, FALSE, sizeof(Rank), fleet->n_hosts);
        g_autofree double *staying = g_new0(double, fleet->n_hosts);
        double mean = 0, memory = 0;

        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (!unit->present)
                        continue;
                mean += unit->mean;
                memory += unit->memory;
                if (unit->home >= 0)
                        staying[unit->home] += unit->move_seconds * unit->demand;
        }
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                Rank rank = {i, merit(fleet, &fleet->hosts[i], prices, memory > 0 ? mean / memory : 0, staying[i]),
                             staying[i]};
                g_array_append_val(ranks, rank);
        }
        g_array_sort(ranks, by_merit);
        return ranks;
}

static bool place(Packing *packing, unsigned host, guint at, double margin)
{
        int unit = g_array_index(packing->left, int, at);
        if (unit < 0 || !fleet_fits(packing->fleet, host, &packing->fleet->units[unit], margin))
                return false;
        fleet_put(packing->fleet, (unsigned)unit, (int)host);
        g_array_index(packing->left, int, at) = -1;
        if (packing->class_of && packing->class_of[at] >= 0)
                packing->classes[packing->class_of[at]].count--;
        return true;
}

static void keep_residents(Packing *packing, unsigned host, const GArray *residents, double margin)
{
        for (guint i = 0; residents && i < residents->len; i++)
                place(packing, host, g_array_index(residents, guint, i), margin);
}

static bool is_full(const Packing *packing, const Host *host, double margin)
{
        double taken = host->mean + margin * sqrt(MAX(host->variance, 0));
        return taken > FULL * host->spec.cpu ||
               host->demand > FULL * packing->fleet->policy.fill_limit * host->spec.cpu ||
               (host->spec.memory > 0 && host->memory > FULL * host->spec.memory);
}

/* Up to @wanted of the class. On slow cores only those that they are fast enough for, or else the calmest first. */
static void take(Packing *packing, unsigned host, const GArray *members, unsigned wanted, double margin)
{
        const Fleet *fleet = packing->fleet;
        unsigned tried = 0;

        for (int pass = 0; pass < 2; pass++)
                for (guint i = 0; i < members->len && wanted > 0 && tried < LOOK_AHEAD; i++) {
                        if (is_full(packing, &fleet->hosts[host], margin))
                                return;
                        guint at = g_array_index(members, guint, pass ? members->len - 1 - i : i);
                        int unit = g_array_index(packing->left, int, at);
                        if (unit < 0)
                                continue;
                        bool slow = fleet_core_limit(&fleet->hosts[host], &fleet->units[unit]) < INFINITY;
                        if (slow != pass)
                                continue;
                        tried++;
                        wanted -= place(packing, host, at, margin);
                }
}

/* Many hosts have as much room: a pattern is kept as long as there are VMs enough for it. */
static const unsigned *best_pattern(Packing *packing, gint64 room)
{
        unsigned *known = g_hash_table_lookup(packing->patterns, GSIZE_TO_POINTER(room));
        bool good = known;

        for (unsigned i = 0; good && i < packing->n_classes; i++)
                good = known[i] <= packing->classes[i].count;
        if (good)
                return known;
        unsigned *counts = g_new(unsigned, packing->n_classes);
        pattern_fill(packing->classes, packing->n_classes, (double)room, counts);
        g_hash_table_insert(packing->patterns, GSIZE_TO_POINTER(room), counts);
        return counts;
}

static void fill_by_pattern(Packing *packing, unsigned number, double margin)
{
        const Host *host = &packing->fleet->hosts[number];
        const unsigned *counts = best_pattern(packing, (gint64)(host->spec.memory - host->memory));
        for (unsigned i = 0; i < packing->n_classes; i++)
                take(packing, number, packing->members[i], counts[i], margin);
}

/* Returns the first index that is still to be placed. */
static guint fill_in_order(Packing *packing, unsigned number, guint from, double margin)
{
        unsigned refused = 0;
        while (from < packing->left->len && g_array_index(packing->left, int, from) < 0)
                from++;
        for (guint at = from; at < packing->left->len && refused < LOOK_AHEAD; at++) {
                if (is_full(packing, &packing->fleet->hosts[number], margin))
                        break;
                if (g_array_index(packing->left, int, at) >= 0 && !place(packing, number, at, margin))
                        refused++;
        }
        return from;
}

/* The unit's class, a new one if need be; -1 when there are too many. */
static int class_of(Packing *packing, GHashTable *known, Unit *unit)
{
        gpointer number = g_hash_table_lookup(known, &unit->memory);
        if (number)
                return GPOINTER_TO_INT(number) - 1;
        if (packing->n_classes == MOST_CLASSES || unit->memory <= 0)
                return -1;
        int class = (int)packing->n_classes++;
        packing->members[class] = g_array_new(FALSE, FALSE, sizeof(guint));
        packing->classes[class].memory = unit->memory;
        g_hash_table_insert(known, &unit->memory, GINT_TO_POINTER(class + 1));
        return class;
}

/* Sorts units into classes of equal memory and prices them. */
static void classify(Packing *packing, const Host *typical)
{
        g_autoptr(GHashTable) known = g_hash_table_new(g_double_hash, g_double_equal);
        double hosts;

        packing->classes = g_new0(PatternClass, MOST_CLASSES);
        packing->members = g_new0(GArray *, MOST_CLASSES);
        packing->patterns = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        packing->class_of = g_new(int, packing->left->len);
        for (guint at = 0; at < packing->left->len; at++) {
                Unit *unit = &packing->fleet->units[g_array_index(packing->left, int, at)];
                int class = packing->class_of[at] = class_of(packing, known, unit);
                if (class < 0)
                        continue;
                g_array_append_val(packing->members[class], at);
                packing->classes[class].count++;
                packing->classes[class].cpu += unit->mean;
        }
        for (unsigned i = 0; i < packing->n_classes; i++)
                packing->classes[i].cpu /= packing->classes[i].count;
        pattern_prices(packing->classes, packing->n_classes, typical->spec.memory, typical->spec.cpu, &hosts);
}

/* For each host, the indexes of what is on it. */
static GArray **residents_of(const Packing *packing)
{
        GArray **residents = g_new0(GArray *, packing->fleet->n_hosts);
        for (guint at = 0; at < packing->left->len; at++) {
                int home = packing->fleet->units[g_array_index(packing->left, int, at)].home;
                if (home < 0)
                        continue;
                if (!residents[home])
                        residents[home] = g_array_new(FALSE, FALSE, sizeof(guint));
                g_array_append_val(residents[home], at);
        }
        return residents;
}

static void fill(Packing *packing, const GArray *ranks, GArray **residents)
{
        double margin = packing->fleet->policy.packing_margin;
        guint from = 0;

        for (guint i = 0; i < ranks->len && from < packing->left->len; i++) {
                unsigned host = g_array_index(ranks, Rank, i).host;
                keep_residents(packing, host, residents[host], margin);
                if (packing->classes)
                        fill_by_pattern(packing, host, margin);
                from = fill_in_order(packing, host, from, margin);
        }
}

static void packing_clear(Packing *packing)
{
        for (unsigned i = 0; i < packing->n_classes; i++)
                g_array_unref(packing->members[i]);
        g_free(packing->members);
        g_free(packing->classes);
        g_free(packing->class_of);
        g_clear_pointer(&packing->patterns, g_hash_table_unref);
        g_array_unref(packing->left);
}

/* All that may move, in the order in which it is placed, taken off its host. */
static GArray *take_all(Fleet *fleet)
{
        GArray *left = g_array_new(FALSE, FALSE, sizeof(int));
        for (int i = 0; i < (int)fleet->n_units; i++)
                if (fleet->units[i].present && !fleet->units[i].held)
                        g_array_append_val(left, i);
        g_array_sort_with_data(left, by_volatility, fleet->units);
        for (guint at = 0; at < left->len; at++)
                fleet_put(fleet, (unsigned)g_array_index(left, int, at), -1);
        return left;
}

static double idle_watts(const Fleet *fleet)
{
        double watts = 0;
        for (unsigned i = 0; i < fleet->n_hosts; i++)
                watts += fleet->hosts[i].n_units > 0 ? fleet->hosts[i].spec.watts[0] : 0;
        return watts;
}

/* What found no place goes back home. */
static void send_home(Fleet *fleet)
{
        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (unit->present && unit->home >= 0 && unit->host < 0)
                        fleet_put(fleet, i, unit->home);
        }
}

/* Where each unit was planned to be before, by rules. */
static int *places_of(const Fleet *fleet)
{
        int *places = g_new(int, MAX(fleet->n_units, 1));
        for (unsigned i = 0; i < fleet->n_units; i++)
                places[i] = fleet->units[i].host;
        return places;
}

static void undo(Fleet *fleet, const int *places)
{
        for (unsigned i = 0; i < fleet->n_units; i++)
                if (fleet->units[i].present && fleet->units[i].host != places[i])
                        fleet_put(fleet, i, places[i]);
}

static bool pays(const Fleet *fleet, double before)
{
        double saved = (before - idle_watts(fleet)) * fleet->policy.interval_seconds * fleet->policy.empty_horizon;
        double cost = 0;
        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (unit->present && unit->home >= 0 && unit->host != unit->home)
                        cost += fleet_move_cost(fleet, unit) * fleet->hosts[unit->home].idle_price;
        }
        return saved > cost * fleet->policy.shortage_price;
}

bool decide_packing(Fleet *fleet, const Prices *prices)
{
        double before = idle_watts(fleet);
        g_autofree int *places = places_of(fleet);
        g_autoptr(GArray) ranks = ranked(fleet, prices);
        Packing packing = {.fleet = fleet, .left = take_all(fleet)};
        GArray **residents = residents_of(&packing);

        if (prices->memory > 0 && ranks->len > 0)
                classify(&packing, &fleet->hosts[g_array_index(ranks, Rank, 0).host]);
        fill(&packing, ranks, residents);
        send_home(fleet);
        for (unsigned i = 0; i < fleet->n_hosts; i++)
                g_clear_pointer(&residents[i], g_array_unref);
        g_free(residents);
        packing_clear(&packing);
        bool worth = pays(fleet, before);
        if (!worth)
                undo(fleet, places);
        for (unsigned i = 0; worth && i < fleet->n_units; i++)
                if (fleet->units[i].host != places[i])
                        fleet->units[i].reason = MOVE_PACK;
        fleet_list(fleet);
        return worth;
}
