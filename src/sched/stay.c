/* The dynamic program of stay.h. Called by outlook.c. */
#include "sched/stay.h"

#include <glib.h>
#include <string.h>

static double expected(const double *row, const double *values)
{
        double sum = 0;
        for (int to = 0; to < HOST_STATES; to++)
                sum += row[to] * values[to];
        return sum;
}

Stay stay_or_move(const ChainMatrix matrix, HostState now, double move_cost, unsigned horizon)
{
        double best[HOST_STATES] = {0}, never[HOST_STATES] = {0};
        Stay result = {0};
        for (unsigned h = 0; h < horizon; h++) {
                double next_best[HOST_STATES], next_never[HOST_STATES];
                for (int state = 0; state < HOST_STATES; state++) {
                        double cost = state == HOST_OVERLOADED;
                        double wait = cost + expected(matrix[state], best);
                        next_best[state] = MIN(move_cost, wait);
                        next_never[state] = cost + expected(matrix[state], never);
                        if (state == (int)now)
                                result.move = move_cost < wait;
                }
                memcpy(best, next_best, sizeof best);
                memcpy(never, next_never, sizeof never);
        }
        result.best = best[now];
        result.stay = never[now];
        return result;
}
