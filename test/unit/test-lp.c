/*
 * Our linear programs and allocation against another solver, GLPK, which ends each with its simplex in rational
 * arithmetic (glp_exact): thousands of random programs of the kinds that we solve, among them degenerate ones and those
 * without a solution or an end; and weighted max-min fairness in nested pools as the sequence of linear programs that
 * defines it.
 */
#include "sched/lp.h"

#include <glpk.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "sched/allocate.h"

#define MOST 48
#define CLOSE 1e-6
/* What one pool got may lie a rounding under what those in it hold. */
#define ROUNDING 1e-9

typedef struct {
        int columns, rows;
        double cost[MOST], lower[MOST], upper[MOST];
        double row_lower[MOST], row_upper[MOST];
        double matrix[MOST][MOST]; /* [row][column] */
} Program;

typedef enum { SOLVED, INFEASIBLE, UNBOUNDED } Outcome;

/* ---- programs ---- */

static int column(Program *program, double cost, double lower, double upper)
{
        g_assert_cmpint(program->columns, <, MOST);
        program->cost[program->columns] = cost;
        program->lower[program->columns] = lower;
        program->upper[program->columns] = upper;
        return program->columns++;
}

static int row(Program *program, double lower, double upper)
{
        g_assert_cmpint(program->rows, <, MOST);
        program->row_lower[program->rows] = lower;
        program->row_upper[program->rows] = upper;
        return program->rows++;
}

static double between(GRand *random, double low, double high)
{
        return g_rand_double_range(random, low, high);
}

static bool one_in(GRand *random, int n)
{
        return g_rand_int_range(random, 0, n) == 0;
}

/* Parts of VMs on hosts that are on in parts: processors and memory of each, watts at idle and under load. Sometimes
 * more than the hosts have. */
static void make_fleet(GRand *random, Program *program)
{
        int hosts = g_rand_int_range(random, 1, 5), vms = g_rand_int_range(random, 1, 7), on[5];
        double cpu[6], memory[6], size = between(random, 0.5, 4);
        for (int vm = 0; vm < vms; vm++) {
                cpu[vm] = between(random, 0.1, size);
                memory[vm] = between(random, 0.5, 16);
                row(program, 1, 1);
        }
        for (int host = 0; host < hosts; host++) {
                double slope = between(random, 5, 20);
                int load = row(program, 0, LP_INFINITY), pages = row(program, 0, LP_INFINITY);
                on[host] = column(program, between(random, 50, 200), 0, 1);
                program->matrix[load][on[host]] = between(random, 2, 16);
                program->matrix[pages][on[host]] = between(random, 8, 64);
                for (int vm = 0; vm < vms; vm++) {
                        int part = column(program, slope * cpu[vm], 0, LP_INFINITY);
                        program->matrix[vm][part] = 1;
                        program->matrix[load][part] = -cpu[vm];
                        program->matrix[pages][part] = -memory[vm];
                }
        }
}

/* The poorest share of VMs whose parts come from any of several hosts, in pools within pools with limits, each VM with
 * a reservation and a limit: as much as can be. Sometimes reservations exceed what there is. */
static void make_pools(GRand *random, Program *program)
{
        int hosts = g_rand_int_range(random, 1, 4), pools = g_rand_int_range(random, 1, 5);
        int vms = g_rand_int_range(random, 1, 8), parent[5], poorest = column(program, -1, 0, 1000);
        for (int host = 0; host < hosts; host++)
                row(program, -LP_INFINITY, between(random, 1, 16));
        for (int pool = 0; pool < pools; pool++) {
                parent[pool] = g_rand_int_range(random, -1, pool);
                row(program, -LP_INFINITY, one_in(random, 2) ? LP_INFINITY : between(random, 0.5, 10));
        }
        for (int vm = 0; vm < vms; vm++) {
                double reservation = one_in(random, 2) ? 0 : between(random, 0, 3);
                int fair = row(program, 0, LP_INFINITY);
                int whole = row(program, reservation, reservation + between(random, 0, 9));
                int pool = g_rand_int_range(random, -1, pools);
                program->matrix[fair][poorest] = -between(random, 0.1, 4);
                for (int host = 0; host < hosts; host++) {
                        int part = column(program, 0, 0, LP_INFINITY);
                        program->matrix[host][part] = program->matrix[fair][part] = program->matrix[whole][part] = 1;
                        for (int in = pool; in >= 0; in = parent[in])
                                program->matrix[hosts + in][part] = 1;
                }
        }
}

/* Small whole numbers, many alike: corners with more bounds than they need, programs with no solution or no end, free
 * and fixed variables, equations twice. */
static void make_degenerate(GRand *random, Program *program)
{
        static const double bounds[] = {-LP_INFINITY, -1, 0, 0, 0, 1, 2};
        int columns = g_rand_int_range(random, 1, 9), rows = g_rand_int_range(random, 1, 10);
        for (int i = 0; i < columns; i++) {
                double lower = bounds[g_rand_int_range(random, 0, G_N_ELEMENTS(bounds))];
                double upper = one_in(random, 2) ? LP_INFINITY : MAX(lower, 0) + g_rand_int_range(random, 0, 3);
                column(program, g_rand_int_range(random, -2, 4), lower, upper);
        }
        for (int i = 0; i < rows; i++) {
                double lower = bounds[g_rand_int_range(random, 0, G_N_ELEMENTS(bounds))];
                bool same = i > 0 && one_in(random, 4);
                row(program, same ? program->row_lower[i - 1] : lower,
                    same ? program->row_upper[i - 1] : MAX(lower, 0) + (one_in(random, 2) ? 0 : LP_INFINITY));
                for (int j = 0; j < columns; j++)
                        program->matrix[i][j] = same ? program->matrix[i - 1][j] : g_rand_int_range(random, -1, 3);
        }
}

/* ---- two solvers ---- */

static Outcome solve_ours(const Program *program, Lp *lp)
{
        g_autoptr(GError) error = NULL;
        for (int j = 0; j < program->columns; j++)
                lp_add_column(lp, program->cost[j], program->lower[j], program->upper[j], 0, NULL, NULL);
        for (int i = 0; i < program->rows; i++) {
                int n = 0, columns[MOST];
                double coefficients[MOST];
                for (int j = 0; j < program->columns; j++)
                        if (program->matrix[i][j] != 0) {
                                columns[n] = j;
                                coefficients[n++] = program->matrix[i][j];
                        }
                lp_add_row(lp, program->row_lower[i], program->row_upper[i], n, columns, coefficients);
        }
        if (lp_solve(lp, &error))
                return SOLVED;
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        return strstr(error->message, "no bound") ? UNBOUNDED : INFEASIBLE;
}

static int kind_of(double lower, double upper)
{
        if (lower <= -LP_INFINITY)
                return upper >= LP_INFINITY ? GLP_FR : GLP_UP;
        if (upper >= LP_INFINITY)
                return GLP_LO;
        return lower == upper ? GLP_FX : GLP_DB;
}

static glp_prob *load(const Program *program, bool with_costs)
{
        glp_prob *problem = glp_create_prob();
        glp_add_cols(problem, program->columns);
        glp_add_rows(problem, program->rows);
        for (int j = 0; j < program->columns; j++) {
                double lower = program->lower[j], upper = program->upper[j];
                glp_set_col_bnds(problem, j + 1, kind_of(lower, upper), lower, upper);
                glp_set_obj_coef(problem, j + 1, with_costs ? program->cost[j] : 0);
        }
        for (int i = 0; i < program->rows; i++) {
                int n = 0, columns[MOST + 1];
                double lower = program->row_lower[i], upper = program->row_upper[i], coefficients[MOST + 1];
                glp_set_row_bnds(problem, i + 1, kind_of(lower, upper), lower, upper);
                for (int j = 0; j < program->columns; j++)
                        if (program->matrix[i][j] != 0) {
                                columns[++n] = j + 1;
                                coefficients[n] = program->matrix[i][j];
                        }
                glp_set_mat_row(problem, i + 1, n, columns, coefficients);
        }
        return problem;
}

/* The quick simplex leads the exact one to where it begins. */
static int solve(glp_prob *problem)
{
        glp_smcp quietly;
        glp_init_smcp(&quietly);
        quietly.msg_lev = GLP_MSG_OFF;
        glp_simplex(problem, &quietly);
        g_assert_cmpint(glp_exact(problem, &quietly), ==, 0);
        return glp_get_status(problem);
}

static Outcome solve_theirs(const Program *program, double *ret_objective, double *ret_values)
{
        glp_prob *problem = load(program, true);
        Outcome outcome = solve(problem) == GLP_OPT ? SOLVED : UNBOUNDED;
        *ret_objective = glp_get_obj_val(problem);
        for (int j = 0; j < program->columns; j++)
                ret_values[j] = glp_get_col_prim(problem, j + 1);
        glp_delete_prob(problem);
        if (outcome == SOLVED)
                return outcome;
        /* With nothing to gain there always is an end: then only constraints can be what is wrong. */
        problem = load(program, false);
        outcome = solve(problem) == GLP_OPT ? UNBOUNDED : INFEASIBLE;
        glp_delete_prob(problem);
        return outcome;
}

/* ---- comparing ---- */

static void assert_within(double value, double lower, double upper)
{
        double slack = CLOSE * MAX(fabs(value), 1);
        g_assert_cmpfloat(value, >=, lower - slack);
        g_assert_cmpfloat(value, <=, upper + slack);
}

/* A price other than nothing is one of a bound that is reached: at the lower one a rise costs, at the upper one it
 * saves. */
static void assert_priced(double price, double value, double lower, double upper)
{
        double slack = CLOSE * MAX(fabs(value), 1);
        if (price > CLOSE)
                g_assert_cmpfloat(value, <=, lower + slack);
        if (price < -CLOSE)
                g_assert_cmpfloat(value, >=, upper - slack);
}

/* Feasible, and with prices that prove it to be the best. */
static void check_solution(const Program *program, const Lp *lp)
{
        double reduced[MOST];
        memcpy(reduced, program->cost, sizeof reduced);
        for (int i = 0; i < program->rows; i++) {
                double activity = 0;
                for (int j = 0; j < program->columns; j++) {
                        activity += program->matrix[i][j] * lp_value(lp, j);
                        reduced[j] -= program->matrix[i][j] * lp_price(lp, i);
                }
                assert_within(activity, program->row_lower[i], program->row_upper[i]);
                assert_priced(lp_price(lp, i), activity, program->row_lower[i], program->row_upper[i]);
        }
        for (int j = 0; j < program->columns; j++) {
                assert_within(lp_value(lp, j), program->lower[j], program->upper[j]);
                assert_priced(reduced[j], lp_value(lp, j), program->lower[j], program->upper[j]);
        }
}

/* Returns how many of each outcome there were. */
static void compare(unsigned seed, int rounds, void (*make)(GRand *, Program *), int ret_outcomes[3])
{
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        memset(ret_outcomes, 0, 3 * sizeof *ret_outcomes);
        for (int round = 0; round < rounds; round++) {
                g_autoptr(Lp) lp = lp_new();
                Program program = {0};
                double objective, values[MOST];
                make(random, &program);
                Outcome theirs = solve_theirs(&program, &objective, values), ours = solve_ours(&program, lp);
                if (ours != theirs)
                        g_error("program %d: %d, but GLPK says %d", round, ours, theirs);
                ret_outcomes[ours]++;
                if (ours != SOLVED)
                        continue;
                g_assert_cmpfloat_with_epsilon(lp_objective(lp), objective, CLOSE * MAX(fabs(objective), 1));
                check_solution(&program, lp);
        }
}

static void test_fleets(void)
{
        int outcomes[3];
        compare(31, 1000, make_fleet, outcomes);
        g_assert_cmpint(outcomes[SOLVED], >, 300);
        g_assert_cmpint(outcomes[INFEASIBLE], >, 50);
}

static void test_pools(void)
{
        int outcomes[3];
        compare(32, 1000, make_pools, outcomes);
        g_assert_cmpint(outcomes[SOLVED], >, 300);
        g_assert_cmpint(outcomes[INFEASIBLE], >, 50);
}

static void test_degenerate(void)
{
        int outcomes[3];
        compare(33, 2000, make_degenerate, outcomes);
        for (Outcome outcome = SOLVED; outcome <= UNBOUNDED; outcome++)
                g_assert_cmpint(outcomes[outcome], >, 100);
}

/* ---- fairness, by its definition ---- */

#define CLAIMANTS 14

static double most_of(const Claim *claim)
{
        return MIN(claim->limit, claim->demand);
}

/* The greatest lambda with x_i >= lambda s_i for all that are not @settled, R_i <= x_i <= u_i, sum x <= C. */
static double poorest(double capacity, const Claim *claims, int n, const bool *settled, double *granted)
{
        Program program = {0};
        double objective;
        int lambda = column(&program, -1, 0, LP_INFINITY), all = row(&program, -LP_INFINITY, capacity * (1 + ROUNDING));
        for (int i = 0; i < n; i++) {
                double most = most_of(&claims[i]), least = settled[i] ? most : MIN(claims[i].reservation, most);
                int part = column(&program, 0, least, most);
                program.matrix[all][part] = 1;
                if (settled[i])
                        continue;
                int fair = row(&program, 0, LP_INFINITY);
                program.matrix[fair][part] = 1;
                program.matrix[fair][lambda] = -claims[i].shares;
        }
        g_assert_cmpint(solve_theirs(&program, &objective, granted), ==, SOLVED);
        memmove(granted, granted + 1, (size_t)n * sizeof *granted);
        return -objective;
}

/* Whoever has all it wants at this lambda keeps that, and the others are made less poor, until nobody has. */
static void fill_by_programs(double capacity, const Claim *claims, int n, double *ret_granted)
{
        bool settled[CLAIMANTS] = {false};
        double wanted = 0;
        for (int i = 0; i < n; i++)
                wanted += ret_granted[i] = most_of(&claims[i]);
        for (bool more = wanted > capacity; more;) {
                double lambda = poorest(capacity, claims, n, settled, ret_granted);
                more = false;
                for (int i = 0; i < n; i++)
                        if (!settled[i] && most_of(&claims[i]) <= lambda * claims[i].shares * (1 + ROUNDING))
                                more = settled[i] = true;
        }
}

/* Compares what those in @pool got of what the pool got, and goes down. @needs: of each, what is reserved with all
 * below. */
static void check_pool(double capacity, const Claimant *all, int n, int pool, const double *needs)
{
        Claim claims[CLAIMANTS] = {{0}};
        int members[CLAIMANTS], count = 0;
        double granted[CLAIMANTS + 1];
        for (int i = 0; i < n; i++)
                if (all[i].pool == pool) {
                        claims[count] = all[i].claim;
                        claims[count].reservation = MIN(needs[i], all[i].claim.limit);
                        members[count++] = i;
                }
        fill_by_programs(capacity, claims, count, granted);
        for (int i = 0; i < count; i++) {
                const Claimant *member = &all[members[i]];
                g_assert_cmpfloat_with_epsilon(member->granted, granted[i], CLOSE * MAX(capacity, 1));
                if (member->is_pool)
                        check_pool(member->granted, all, n, members[i], needs);
        }
}

static int make_tree(GRand *random, Claimant *all)
{
        int pools = g_rand_int_range(random, 0, 5), n = pools + g_rand_int_range(random, 1, CLAIMANTS - pools + 1);
        for (int i = 0; i < n; i++) {
                double limit = one_in(random, 3) ? between(random, 0, 12) : ALLOCATE_UNLIMITED;
                double reservation = one_in(random, 3) ? MIN(limit, between(random, 0, 1.5)) : 0;
                all[i] = (Claimant){.claim = {reservation, limit, between(random, 0.1, 8), 0},
                                    .pool = i > 0 && pools > 0 ? g_rand_int_range(random, -1, MIN(i, pools)) : -1,
                                    .is_pool = i < pools,
                                    .expandable = !one_in(random, 4)};
                if (i >= pools)
                        all[i].claim.demand = one_in(random, 6) ? 0 : between(random, 0, 9);
                if (one_in(random, 4)) /* many alike */
                        all[i].claim.shares = 1;
        }
        return n;
}

static void needs_of(const Claimant *all, int n, double *ret_needs)
{
        memset(ret_needs, 0, (size_t)n * sizeof *ret_needs);
        for (int i = n - 1; i >= 0; i--) {
                double own = all[i].claim.reservation;
                ret_needs[i] = all[i].is_pool && all[i].expandable ? MAX(own, ret_needs[i]) : own;
                if (all[i].pool >= 0)
                        ret_needs[all[i].pool] += ret_needs[i];
        }
}

static void test_fairness(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(34);
        int compared = 0;
        for (int round = 0; round < 1000; round++) {
                Claimant all[CLAIMANTS];
                double needs[CLAIMANTS], capacity = between(random, 0.5, 30);
                int n = make_tree(random, all);
                needs_of(all, n, needs);
                if (!allocate(capacity, all, (unsigned)n, NULL))
                        continue; /* reservations cannot be kept */
                check_pool(capacity, all, n, -1, needs);
                compared++;
        }
        g_assert_cmpint(compared, >, 500);
}

/* Programs that the solver would die of, or that have nothing to solve. */
static void test_empty(void)
{
        g_autoptr(Lp) nothing = lp_new(), rows = lp_new(), columns = lp_new();
        g_autoptr(GError) error = NULL;

        g_assert_true(lp_solve(nothing, &error));
        g_assert_no_error(error);
        g_assert_cmpfloat(lp_objective(nothing), ==, 0);

        lp_add_row(rows, -1, 0, 0, NULL, NULL);
        g_assert_true(lp_solve(rows, &error));
        g_assert_no_error(error);
        g_assert_cmpfloat(lp_price(rows, 0), ==, 0);
        lp_add_row(rows, 1, LP_INFINITY, 0, NULL, NULL);
        g_assert_false(lp_solve(rows, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        g_clear_error(&error);

        lp_add_column(columns, 2, 3, 5, 0, NULL, NULL);
        g_assert_true(lp_solve(columns, &error));
        g_assert_no_error(error);
        g_assert_cmpfloat(lp_value(columns, 0), ==, 3);
        g_assert_cmpfloat(lp_objective(columns), ==, 6);
        lp_add_column(columns, -1, 0, LP_INFINITY, 0, NULL, NULL);
        g_assert_false(lp_solve(columns, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
}

int main(int argc, char **argv)
{
        glp_term_out(GLP_OFF);
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/lp/empty", test_empty);
        g_test_add_func("/lp/fleets", test_fleets);
        g_test_add_func("/lp/pools", test_pools);
        g_test_add_func("/lp/degenerate", test_degenerate);
        g_test_add_func("/lp/fairness", test_fairness);
        int failed = g_test_run();
        glp_free_env();
        return failed;
}
