/*
 * A linear program: minimise cost times x, rows and columns within bounds. The only file that knows the solver, COIN-OR
 * CLP (Forrest et al., "COIN-OR Linear Programming Solver", dual and primal simplex). A program that was solved keeps
 * its basis, so columns or rows added later are solved from there. Pure; one thread at a time per Lp.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define LP_INFINITY 1e300

typedef struct Lp Lp;

Lp *lp_new(void);
void lp_free(Lp *lp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lp, lp_free)

/* A new variable, lower <= x <= upper, with its coefficients in @n rows that are there. Returns its index. */
int lp_add_column(Lp *lp, double cost, double lower, double upper, int n, const int *rows, const double *coefficients);
/* A new constraint, lower <= row <= upper, over @n columns that are there. Returns its index. */
int lp_add_row(Lp *lp, double lower, double upper, int n, const int *columns, const double *coefficients);
/* HOSTLER_ERROR_FAILED when nothing satisfies all rows, or there is no end to what can be gained. */
bool lp_solve(Lp *lp, GError **error);

/* Of the last solution. */
double lp_objective(const Lp *lp);
double lp_value(const Lp *lp, int column);
/* Dual price: what the objective grows by when the row's bound that binds grows by one. */
double lp_price(const Lp *lp, int row);
