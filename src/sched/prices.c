/*
 * Which kinds of hosts to keep on, as a linear program over groups of identical hosts: minimise idle watts times hosts
 * on plus watts per load times load, so that load and memory have room. Its dual prices are the scheduling weights: in
 * a fleet short of memory a GiB is dear and processor nearly free.
 */
#include <math.h>
#include <string.h>

#include "sched/decide.h"
#include "sched/lp.h"

typedef struct {
        const SchedHost *host; /* one of them */
        double count;
} Group;

static bool same(const SchedHost *a, const SchedHost *b)
{
        return a->cpu == b->cpu && a->core == b->core && a->memory == b->memory &&
               memcmp(a->watts, b->watts, sizeof a->watts) == 0;
}

static GArray *groups_of(const Fleet *fleet)
{
        GArray *groups = g_array_new(FALSE, FALSE, sizeof(Group));
        for (unsigned i = 0; i < fleet->n_hosts; i++) {
                const SchedHost *host = &fleet->hosts[i].spec;
                Group *group = NULL;
                if (host->maintenance)
                        continue;
                for (guint j = 0; j < groups->len && !group; j++)
                        if (same(g_array_index(groups, Group, j).host, host))
                                group = &g_array_index(groups, Group, j);
                if (group)
                        group->count++;
                else
                        g_array_append_val(groups, ((Group){host, 1}));
        }
        return groups;
}

typedef struct {
        double mean, variance, memory;
        bool counts_memory;
} Wanted;

static Wanted wanted_of(const Fleet *fleet)
{
        Wanted wanted = {0};
        for (unsigned i = 0; i < fleet->n_units; i++) {
                const Unit *unit = &fleet->units[i];
                if (!unit->present)
                        continue;
                wanted.mean += unit->mean;
                wanted.variance += unit->variance;
                wanted.memory += unit->memory;
        }
        for (unsigned i = 0; i < fleet->n_hosts; i++)
                wanted.counts_memory = wanted.counts_memory || fleet->hosts[i].spec.memory > 0;
        return wanted;
}

/* Share of a host's capacity left to mean load when the variance is spread over as many hosts as the load needs. */
static double usable(const PlacePolicy *policy, const Wanted *wanted, double cpu)
{
        double hosts = MAX(wanted->mean / cpu, 1);
        return CLAMP(1 - policy->packing_margin * sqrt(wanted->variance / hosts) / cpu, 0.25, 1);
}

/* Two columns (hosts on, load) for each group; row 0 is load, row 1 memory, then one for each group's capacity. */
static void add_group(Lp *lp, const Fleet *fleet, const Wanted *wanted, const Group *group)
{
        const SchedHost *host = group->host;
        double slope = (host->watts[SCHED_POWER_POINTS - 1] - host->watts[0]) / host->cpu;
        double memory = host->memory > 0 ? host->memory : MAX(wanted->memory, 1);
        const int memory_row = 1, load_row = 0;
        const double one = 1;
        int columns[2] = {lp_add_column(lp, host->watts[0], 0, group->count, 1, &memory_row, &memory),
                          lp_add_column(lp, slope, 0, LP_INFINITY, 1, &load_row, &one)};

        lp_add_row(lp, 0, LP_INFINITY, 2, columns,
                   (double[]){host->cpu * usable(&fleet->policy, wanted, host->cpu), -1});
}

bool fleet_prices(const Fleet *fleet, Prices *ret_prices)
{
        g_autoptr(Lp) lp = lp_new();
        g_autoptr(GArray) groups = groups_of(fleet);
        Wanted wanted = wanted_of(fleet);

        *ret_prices = (Prices){0};
        lp_add_row(lp, wanted.mean, LP_INFINITY, 0, NULL, NULL);
        lp_add_row(lp, wanted.counts_memory ? wanted.memory : 0, LP_INFINITY, 0, NULL, NULL);
        for (guint i = 0; i < groups->len; i++)
                add_group(lp, fleet, &wanted, &g_array_index(groups, Group, i));
        if (groups->len == 0 || !lp_solve(lp, NULL))
                return false;
        *ret_prices =
            (Prices){.cpu = MAX(lp_price(lp, 0), 0), .memory = MAX(lp_price(lp, 1), 0), .watts = lp_objective(lp)};
        return true;
}
