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

/* Whoever in @pool holds most of what is reserved there; -1: nobody is in it. */
static int holder_of(const Tree *tree, int pool, const double *needs)
{
        int holder = -1;
        for (unsigned i = tree->starts[pool + 1]; i < tree->starts[pool + 2]; i++) {
                int member = (int)tree->members[i];
                if (holder < 0 || needs[member] > needs[holder])
                        holder = member;
        }
        return holder;
}

/* Reservations and demand of pools, from the leaves up; @ret_needs: of each claimant, what is reserved with all below.
 * False: they cannot be kept. */
static bool add_up(double capacity, Claimant *claimants, unsigned n, const Tree *tree, double *ret_needs,
                   Shortage *ret_shortage)
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
                *ret_shortage = (Shortage){pool, has, needs, holder_of(tree, pool, ret_needs)};
                if (needs > has * (1 + 1e-12))
                        return false;
                if (pool >= 0) {
                        claimants[pool].claim.demand = demand;
                        ret_needs[pool] = reserved(&claimants[pool], needs);
                }
        }
        return true;
}

static bool refuse(const Claimant *claimants, const Shortage *shortage, GError **error)
{
        const char *pool = shortage->pool < 0 ? "the host" : name_of(&claimants[shortage->pool]);
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "%s has %g for reservations of %g; %s holds most",
                         pool, shortage->has, shortage->needed,
                         shortage->holder < 0 ? "nobody" : name_of(&claimants[shortage->holder]));
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
        Shortage shortage;
        if (!add_up(capacity, claimants, n, &tree, needs, &shortage))
                return refuse(claimants, &shortage, error);
        share_out(capacity, claimants, &tree, -1, needs);
        for (unsigned i = 0; i < n; i++)
                if (claimants[i].is_pool)
                        share_out(claimants[i].granted, claimants, &tree, (int)i, needs);
        return true;
}

bool allocate_anyway(double capacity, Claimant *claimants, unsigned n)
{
        if (allocate(capacity, claimants, n, NULL))
                return true;
        for (unsigned i = 0; i < n; i++)
                claimants[i].claim.reservation = 0;
        return allocate(capacity, claimants, n, NULL);
}

bool allocate_keeps(double capacity, const Claimant *claimants, unsigned n, Shortage *ret_shortage)
{
        g_autofree Claimant *all = g_memdup2(claimants, n * sizeof *claimants);
        g_auto(Tree) tree = tree_of(claimants, n);
        g_autofree double *needs = g_new(double, MAX(n, 1));
        return add_up(capacity, all, n, &tree, needs, ret_shortage);
}

double allocate_reserved(const Claimant *claimants, unsigned n, int pool)
{
        g_autofree double *needs = g_new0(double, n + 1);
        for (int i = (int)n - 1; i > pool; i--) {
                double own =
                    claimants[i].is_pool ? reserved(&claimants[i], needs[i + 1]) : claimants[i].claim.reservation;
                needs[claimants[i].pool + 1] += own;
        }
        return needs[pool + 1];
}

/* Three digits, or all of a large number. */
static char *amount_text(double amount)
{
        return fabs(amount) < 1000 ? g_strdup_printf("%.3g", amount) : g_strdup_printf("%.0f", amount);
}

/* One level of it. */
static void explain_level(GString *out, const Claimant *claimants, unsigned n, unsigned which)
{
        const Claimant *claimant = &claimants[which];
        double shares = 0;

        for (unsigned i = 0; i < n; i++)
                if (claimants[i].pool == claimant->pool && claimants[i].claim.demand > 0)
                        shares += claimants[i].claim.shares;
        g_autofree char *granted = amount_text(claimant->granted), *demand = amount_text(claimant->claim.demand);
        g_string_append_printf(out, "%s of %s wanted: ", granted, demand);
        if (g_strcmp0(claimant->bound, "shares") == 0)
                g_string_append_printf(out, "%g of %g shares%s%s", claimant->claim.shares, shares,
                                       claimant->pool >= 0 ? " in " : "",
                                       claimant->pool >= 0 ? name_of(&claimants[claimant->pool]) : "");
        else
                g_string_append_printf(out, "its %s", claimant->bound ? claimant->bound : "demand");
}

char *allocate_explain(const Claimant *claimants, unsigned n, unsigned which)
{
        GString *out = g_string_new(NULL);
        explain_level(out, claimants, n, which);
        for (int pool = claimants[which].pool; pool >= 0; pool = claimants[pool].pool) {
                g_string_append_printf(out, "; %s ", name_of(&claimants[pool]));
                explain_level(out, claimants, n, (unsigned)pool);
        }
        return g_string_free(out, FALSE);
}

char *allocate_path(const Claimant *claimants, unsigned which)
{
        int pool = claimants[which].pool;
        GString *path = pool < 0 ? NULL : g_string_new(NULL);
        for (; pool >= 0; pool = claimants[pool].pool) {
                g_string_prepend(path, path->len ? "/" : "");
                g_string_prepend(path, name_of(&claimants[pool]));
        }
        return path ? g_string_free(path, FALSE) : NULL;
}
