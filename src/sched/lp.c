/* COIN-OR CLP behind five functions: see lp.h. */
#include "sched/lp.h"

#include <coin/Clp_C_Interface.h>

#include "base/error.h"

#define SOLVED 0
#define INFEASIBLE 1
#define UNBOUNDED 2

struct Lp {
        Clp_Simplex *model;
        int rows, columns;
};

Lp *lp_new(void)
{
        Lp *lp = g_new0(Lp, 1);
        lp->model = Clp_newModel();
        Clp_setLogLevel(lp->model, 0);
        return lp;
}

void lp_free(Lp *lp)
{
        Clp_deleteModel(lp->model);
        g_free(lp);
}

int lp_add_column(Lp *lp, double cost, double lower, double upper, int n, const int *rows, const double *coefficients)
{
        const CoinBigIndex starts[2] = {0, n};
        Clp_addColumns(lp->model, 1, &lower, &upper, &cost, starts, rows, coefficients);
        return lp->columns++;
}

int lp_add_row(Lp *lp, double lower, double upper, int n, const int *columns, const double *coefficients)
{
        const CoinBigIndex starts[2] = {0, n};
        Clp_addRows(lp->model, 1, &lower, &upper, starts, columns, coefficients);
        return lp->rows++;
}

/* CLP reads past the end of a program without variables: every row of it is 0. */
static int solve_without_columns(const Lp *lp)
{
        for (int row = 0; row < lp->rows; row++)
                if (Clp_rowLower(lp->model)[row] > 0 || Clp_rowUpper(lp->model)[row] < 0)
                        return INFEASIBLE;
        return SOLVED;
}

static int solve(Lp *lp)
{
        if (lp->columns == 0)
                return solve_without_columns(lp);
        /* Not Clp_initialSolve(): what it does beforehand to make a program smaller loses memory (CoinUtils 2.11,
         * implied_free_action), and ours are small. */
        Clp_primal(lp->model, 0);
        return Clp_status(lp->model);
}

bool lp_solve(Lp *lp, GError **error)
{
        int status = solve(lp);
        if (status == SOLVED)
                return true;
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s",
                         status == INFEASIBLE  ? "no solution satisfies all constraints"
                         : status == UNBOUNDED ? "the objective has no bound"
                                               : "the linear program could not be solved");
}

double lp_objective(const Lp *lp)
{
        return Clp_objectiveValue(lp->model);
}

double lp_value(const Lp *lp, int column)
{
        return Clp_getColSolution(lp->model)[column];
}

double lp_price(const Lp *lp, int row)
{
        return Clp_getRowPrice(lp->model)[row];
}
