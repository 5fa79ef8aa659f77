/* Host chains: see chain.h. Seven states, so plain elimination and plain iteration are quick enough and easily read. */
#include "sched/chain.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#define SMALLEST_WINDOW 32
#define AGREEMENT 2.0 /* standard errors by which windows may differ */
#define PRIOR 0.5     /* transitions of "stays as it is" that each row starts with */
#define SWEEPS 20000
#define STILL 1e-13
#define NEVER 1e12

const char *const host_state_names[HOST_STATES] = {"off", "idle", "low", "normal", "high", "overloaded", "failing"};

HostState host_state(bool on, bool failing, double load)
{
        if (failing || isnan(load))
                return HOST_FAILING;
        if (!on)
                return HOST_OFF;
        if (load < 0.02)
                return HOST_IDLE;
        if (load < 0.3)
                return HOST_LOW;
        if (load < 0.75)
                return HOST_NORMAL;
        return load <= 1 ? HOST_HIGH : HOST_OVERLOADED;
}

void chain_add(Chain *chain, HostState state)
{
        chain->states[chain->count++ % CHAIN_HISTORY] = (unsigned char)state;
}

HostState chain_now(const Chain *chain)
{
        return chain->count ? chain->states[(chain->count - 1) % CHAIN_HISTORY] : HOST_OFF;
}

static void count(const Chain *chain, unsigned window, ChainMatrix ret_counts)
{
        unsigned last = chain->count, n = MIN(MIN(window, CHAIN_HISTORY), last);
        memset(ret_counts, 0, sizeof(ChainMatrix));
        for (unsigned i = last - n; i + 1 < last; i++)
                ret_counts[chain->states[i % CHAIN_HISTORY]][chain->states[(i + 1) % CHAIN_HISTORY]]++;
}

static double row_total(const double *row)
{
        double total = 0;
        for (int i = 0; i < HOST_STATES; i++)
                total += row[i];
        return total;
}

/* Whether the longer window's row says what the shorter one's does, as far as so few transitions can tell. */
static bool agree(const double *shorter, const double *longer)
{
        double few = row_total(shorter), many = row_total(longer);
        if (few < 1)
                return true;
        for (int i = 0; i < HOST_STATES; i++) {
                double p = longer[i] / many;
                double error = sqrt(MAX(p * (1 - p), 1 / many) / few);
                if (fabs(shorter[i] / few - p) > AGREEMENT * error)
                        return false;
        }
        return true;
}

void chain_matrix(const Chain *chain, ChainMatrix ret_matrix)
{
        ChainMatrix longer;
        count(chain, SMALLEST_WINDOW, ret_matrix);
        for (int from = 0; from < HOST_STATES; from++)
                for (unsigned window = 2 * SMALLEST_WINDOW; window <= CHAIN_HISTORY; window *= 2) {
                        count(chain, window, longer);
                        if (!agree(ret_matrix[from], longer[from]))
                                break;
                        memcpy(ret_matrix[from], longer[from], sizeof longer[from]);
                }
        for (int from = 0; from < HOST_STATES; from++) {
                ret_matrix[from][from] += PRIOR;
                double total = row_total(ret_matrix[from]);
                for (int to = 0; to < HOST_STATES; to++)
                        ret_matrix[from][to] /= total;
        }
}

void chain_stationary(const ChainMatrix matrix, HostState from, double ret_share[HOST_STATES])
{
        double next[HOST_STATES], change = 1;

        for (int i = 0; i < HOST_STATES; i++)
                ret_share[i] = i == (int)from;
        for (int sweep = 0; sweep < SWEEPS && change > STILL; sweep++) {
                change = 0;
                for (int to = 0; to < HOST_STATES; to++) {
                        next[to] = ret_share[to]; /* half stays: a chain that alternates settles too */
                        for (int i = 0; i < HOST_STATES; i++)
                                next[to] += ret_share[i] * matrix[i][to];
                }
                for (int i = 0; i < HOST_STATES; i++) {
                        change = MAX(change, fabs(next[i] / 2 - ret_share[i]));
                        ret_share[i] = next[i] / 2;
                }
        }
}

/* Gauss elimination with pivoting of a x = b; what a singular column leaves open is infinite. */
static void eliminate(double a[HOST_STATES][HOST_STATES + 1], double *ret_x)
{
        for (int column = 0; column < HOST_STATES; column++) {
                int pivot = column;
                for (int row = column + 1; row < HOST_STATES; row++)
                        if (fabs(a[row][column]) > fabs(a[pivot][column]))
                                pivot = row;
                for (int i = 0; i <= HOST_STATES; i++) {
                        double swapped = a[column][i];
                        a[column][i] = a[pivot][i];
                        a[pivot][i] = swapped;
                }
                for (int row = 0; row < HOST_STATES && fabs(a[column][column]) > 1e-14; row++) {
                        double factor = row == column ? 0 : a[row][column] / a[column][column];
                        for (int i = column; i <= HOST_STATES; i++)
                                a[row][i] -= factor * a[column][i];
                }
        }
        for (int i = 0; i < HOST_STATES; i++)
                ret_x[i] = fabs(a[i][i]) > 1e-14 ? a[i][HOST_STATES] / a[i][i] : INFINITY;
}

/* States from which @target will surely be entered: not those from which another state can be reached that cannot
 * reach it. */
static void surely_reaching(const ChainMatrix matrix, HostState target, bool *ret_surely)
{
        bool can[HOST_STATES] = {false};
        can[target] = true;
        for (int round = 0; round < HOST_STATES; round++)
                for (int from = 0; from < HOST_STATES; from++)
                        for (int to = 0; to < HOST_STATES; to++)
                                can[from] = can[from] || (matrix[from][to] > 0 && can[to]);
        memcpy(ret_surely, can, sizeof can);
        for (int round = 0; round < HOST_STATES; round++)
                for (int from = 0; from < HOST_STATES; from++)
                        for (int to = 0; to < HOST_STATES; to++)
                                if (from != (int)target && matrix[from][to] > 0 && !ret_surely[to])
                                        ret_surely[from] = false;
}

void chain_time_to(const ChainMatrix matrix, HostState target, double ret_steps[HOST_STATES])
{
        double a[HOST_STATES][HOST_STATES + 1] = {{0}};
        bool surely[HOST_STATES];

        surely_reaching(matrix, target, surely);
        for (int from = 0; from < HOST_STATES; from++) {
                bool open = surely[from] && from != (int)target;
                for (int to = 0; to < HOST_STATES; to++)
                        a[from][to] = (from == to) - (open && to != (int)target && surely[to] ? matrix[from][to] : 0);
                a[from][HOST_STATES] = open;
        }
        eliminate(a, ret_steps);
        for (int i = 0; i < HOST_STATES; i++)
                if (!surely[i] || ret_steps[i] > NEVER)
                        ret_steps[i] = INFINITY;
}

double chain_within(const ChainMatrix matrix, HostState from, HostState target, unsigned steps)
{
        double reached[HOST_STATES] = {0}, next[HOST_STATES];
        if (from == target)
                return 1;
        for (unsigned step = 0; step < steps; step++) {
                for (int i = 0; i < HOST_STATES; i++) {
                        next[i] = 0;
                        for (int to = 0; to < HOST_STATES; to++)
                                next[i] += matrix[i][to] * (to == (int)target ? 1 : reached[to]);
                }
                memcpy(reached, next, sizeof reached);
        }
        return reached[from];
}

double chain_visit(const ChainMatrix matrix, HostState state)
{
        return matrix[state][state] < 1 ? 1 / (1 - matrix[state][state]) : INFINITY;
}
