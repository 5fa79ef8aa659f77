/* The linear program of control.h: two columns (stay, relieve) for each state. */
#include "sched/control.h"

#include <math.h>

#include "sched/lp.h"

#define GOAL (HOST_STATES) /* row of the overload; the rows before it: flow into each state */
#define FUTURE 0.995       /* what the next step counts for; without it the program could choose where to begin */

static void add_action(Lp *lp, int state, const double *next, double cost)
{
        int rows[HOST_STATES + 1], n = 0;
        double coefficients[HOST_STATES + 1];

        for (int to = 0; to < HOST_STATES; to++) {
                double flow = (to == state) - FUTURE * next[to];
                if (flow == 0)
                        continue;
                rows[n] = to;
                coefficients[n++] = flow;
        }
        if (state == HOST_OVERLOADED) {
                rows[n] = GOAL;
                coefficients[n++] = 1;
        }
        lp_add_column(lp, cost, 0, LP_INFINITY, n, rows, coefficients);
}

bool control_solve(const ChainMatrix matrix, HostState from, const double relieved[HOST_STATES], double overload_goal,
                   Control *ret_control, GError **error)
{
        g_autoptr(Lp) lp = lp_new();

        for (int state = 0; state < HOST_STATES; state++)
                lp_add_row(lp, state == (int)from ? 1 - FUTURE : 0, state == (int)from ? 1 - FUTURE : 0, 0, NULL, NULL);
        lp_add_row(lp, -LP_INFINITY, overload_goal, 0, NULL, NULL);
        for (int state = 0; state < HOST_STATES; state++) {
                add_action(lp, state, matrix[state], 0);
                add_action(lp, state, relieved, 1);
        }
        if (!lp_solve(lp, error))
                return false;
        *ret_control = (Control){.moves = lp_objective(lp), .price = fabs(lp_price(lp, GOAL))};
        for (int state = 0; state < HOST_STATES; state++) {
                double stay = lp_value(lp, 2 * state), relieve = lp_value(lp, 2 * state + 1);
                if (state == HOST_OVERLOADED)
                        ret_control->overload = stay + relieve;
                ret_control->relieve[state] = stay + relieve > 1e-12 ? relieve / (stay + relieve) : 0;
        }
        return true;
}
