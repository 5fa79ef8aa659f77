/*
 * Trees of resource pools: checks the numbers, adds demand and reservations up from the leaves, and fills from the top.
 * Filling itself is allocate.c's.
 */
#include <math.h>

#include "base/error.h"
#include "sched/allocate.h"

/* Claimants of each pool, as one array: members[starts[pool + 1]] to members[starts[pool + 2]]; pool -1 is the top. */
typedef struct {
        unsigned *starts, *members;
} Tree;

static void tree_clear(Tree *tree)
{
        g_free(tree->starts);
        g_free(tree->members);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tree, tree_clear)

/* A counting sort by pool, stable. */
static Tree tree_of(const Claimant *claimants, unsigned n)
{
        Tree tree = {.starts = g_new0(unsigned, n + 2), .members = g_new(unsigned, MAX(n, 1))};
        for (unsigned i = 0; i < n; i++)
                tree.starts[claimants[i].pool + 1]++;
        for (unsigned i = 1; i < n + 2; i++)
                tree.starts[i] += tree.starts[i - 1];
        for (unsigned i = n; i-- > 0;)
                tree.members[--tree.starts[claimants[i].pool + 1]] = i;
        return tree;
}

static const char *name_of(const Claimant *claimant)
{
        return claimant->name ? claimant->name : "a claimant";
}

static bool check(const Claimant *claimants, unsigned n, GError **error)
{
        for (unsigned i = 0; i < n; i++) {
                const Claim *claim = &claimants[i].claim;
                const char *name = name_of(&claimants[i]), *fault = NULL;
                int pool = claimants[i].pool;
                if (pool < -1 || pool >= (int)i || (pool >= 0 && !claimants[pool].is_pool))
                        fault = "is in a pool that does not stand before it";
                else if (!isfinite(claim->reservation) || claim->reservation < 0 || isnan(claim->limit) ||
                         claim->limit < 0)
                        fault = "has a reservation or limit that is no size";
                else if (claim->limit < claim->reservation)
                        fault = "has a limit below its reservation";
                else if (!isfinite(claim->shares) || claim->shares <= 0)
                        fault = "has shares that are not positive";
                else if (!claimants[i].is_pool && (!isfinite(claim->demand) || claim->demand < 0))
                        fault = "has a demand that is no size";
                if (fault)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s %s", name, fault);
        }
        return true;
}

/* What the pool must get so that those in it can have what is reserved for them. */
static double reserved(const Claimant *pool, double members)
{
        return pool->expandable ? MAX(pool->claim.reservation, members) : pool->claim.reservation;
}

static bool refuse(const Claimant *claimants, const Tree *tree, int pool, double has, double needed, GError **error)
{
        unsigned holder = tree->members[tree->starts[pool + 1]];
        for (unsigned i = tree->starts[pool + 1]; i < tree->starts[pool + 2]; i++)
                if (claimants[tree->members[i]].claim.reservation > claimants[holder].claim.reservation)
                        holder = tree->members[i];
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "%s has %g for reservations of %g; %s holds most, %g",
                         pool < 0 ? "the host" : name_of(&claimants[pool]), has, needed, name_of(&claimants[holder]),
                         claimants[holder].claim.reservation);
}

/* Reservations and demand of pools, from the leaves up; @ret_needs: of each claimant, what is reserved with all below.
 */
static bool add_up(double capacity, Claimant *claimants, unsigned n, const Tree *tree, double *ret_needs,
                   GError **error)
{
        for (int pool = (int)n - 1; pool >= -1; pool--) {
                double needs = 0, demand = 0;
                if (pool >= 0 && !claimants[pool].is_pool) {
                        ret_needs[pool] = claimants[pool].claim.reservation;
                        continue;
                }
                for (unsigned i = tree->starts[pool + 1]; i < tree->starts[pool + 2]; i++) {
                        const Claimant *member = &claimants[tree->members[i]];
                        needs += ret_needs[tree->members[i]];
                        demand += MIN(member->claim.demand, member->claim.limit);
                }
                double has = pool < 0                     ? capacity
                             : claimants[pool].expandable ? claimants[pool].claim.limit
                                                          : claimants[pool].claim.reservation;
                if (needs > has * (1 + 1e-12))
                        return refuse(claimants, tree, pool, has, needs, error);
                if (pool >= 0) {
                        claimants[pool].claim.demand = demand;
                        ret_needs[pool] = reserved(&claimants[pool], needs);
                }
        }
        return true;
}

static const char *bound_of(const Claim *claim, double granted)
{
        double slack = 1e-9 * MAX(granted, 1);
        if (granted >= claim->demand - slack)
                return "demand";
        if (granted >= claim->limit - slack)
                return "limit";
        return fabs(granted - claim->reservation) <= slack ? "reservation" : "shares";
}

static void share_out(double capacity, Claimant *claimants, const Tree *tree, int pool, const double *needs)
{
        unsigned first = tree->starts[pool + 1], n = tree->starts[pool + 2] - first;
        g_autofree Claim *claims = g_new(Claim, MAX(n, 1));
        g_autofree double *granted = g_new(double, MAX(n, 1));

        for (unsigned i = 0; i < n; i++) {
                unsigned member = tree->members[first + i];
                claims[i] = claimants[member].claim;
                claims[i].reservation = MIN(needs[member], claims[i].limit);
        }
        double level = allocate_fill(capacity, claims, n, granted);
        for (unsigned i = 0; i < n; i++) {
                Claimant *member = &claimants[tree->members[first + i]];
                member->granted = granted[i];
                member->level = level;
                member->bound = bound_of(&claims[i], granted[i]);
        }
}

bool allocate(double capacity, Claimant *claimants, unsigned n, GError **error)
{
        if (!isfinite(capacity) || capacity < 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "the capacity is no size");
        if (!check(claimants, n, error))
                return false;
        g_auto(Tree) tree = tree_of(claimants, n);
        g_autofree double *needs = g_new(double, MAX(n, 1));
        if (!add_up(capacity, claimants, n, &tree, needs, error))
                return false;
        share_out(capacity, claimants, &tree, -1, needs);
        for (unsigned i = 0; i < n; i++)
                if (claimants[i].is_pool)
                        share_out(claimants[i].granted, claimants, &tree, (int)i, needs);
        return true;
}

bool allocate_admit(double capacity, const Claimant *claimants, unsigned n, int pool, double reservation,
                    GError **error)
{
        g_autofree Claimant *all = g_new(Claimant, n + 1);
        for (unsigned i = 0; i < n; i++)
                all[i] = claimants[i];
        all[n] = (Claimant){.claim = {reservation, ALLOCATE_UNLIMITED, 1, 0}, .pool = pool, .name = "the new VM"};
        if (!check(all, n + 1, error))
                return false;
        g_auto(Tree) tree = tree_of(all, n + 1);
        g_autofree double *needs = g_new(double, n + 1);
        return add_up(capacity, all, n + 1, &tree, needs, error);
}

char *allocate_explain(const Claimant *claimants, unsigned n, unsigned which)
{
        const Claimant *claimant = &claimants[which];
        double shares = 0;

        for (unsigned i = 0; i < n; i++)
                if (claimants[i].pool == claimant->pool && claimants[i].claim.demand > 0)
                        shares += claimants[i].claim.shares;
        if (g_strcmp0(claimant->bound, "shares") == 0)
                return g_strdup_printf("%.3g of %.3g wanted: %g of %g shares%s%s", claimant->granted,
                                       claimant->claim.demand, claimant->claim.shares, shares,
                                       claimant->pool >= 0 ? " in " : "",
                                       claimant->pool >= 0 ? name_of(&claimants[claimant->pool]) : "");
        return g_strdup_printf("%.3g of %.3g wanted: its %s", claimant->granted, claimant->claim.demand,
                               claimant->bound ? claimant->bound : "demand");
}
