/*
 * The expected shortage of a host: Edgeworth's series to the third cumulant. A single VM that may leap makes a sum
 * skew, and the plain normal tail then promises half of the shortage that comes. Called for every host and every move
 * that is thought of, so the normal loss comes from a table.
 */
#include <math.h>

#include "sched/fleet.h"

#define TABLE_FROM (-6.0)
#define TABLE_TO 8.0
#define TABLE_STEP 0.01
#define TABLE_CELLS 1400
#define LARGEST_SKEW 1.5 /* the series means nothing beyond */
#define SMALLEST_SKEW (-1.0)
#define LEAST_PART 0.3 /* of the normal loss, however light the tail */

static double density(double z)
{
        return exp(-z * z / 2) / sqrt(2 * G_PI);
}

static const double *loss_table(void)
{
        static double table[TABLE_CELLS + 2];
        static gsize made;

        if (g_once_init_enter(&made)) {
                for (int i = 0; i < TABLE_CELLS + 2; i++) {
                        double z = TABLE_FROM + i * TABLE_STEP;
                        table[i] = density(z) - z * erfc(z * G_SQRT2 / 2) / 2;
                }
                g_once_init_leave(&made, 1);
        }
        return table;
}

double normal_loss(double z)
{
        if (z >= TABLE_TO)
                return 0;
        if (z <= TABLE_FROM)
                return -z;
        const double *table = loss_table();
        double at = (z - TABLE_FROM) / TABLE_STEP;
        int cell = (int)at;
        return table[cell] + (at - cell) * (table[cell + 1] - table[cell]);
}

double expected_shortage(double tail, double capacity, double mean, double variance, double cumulant)
{
        double least = capacity * capacity * 1e-6;
        double plain = sqrt(MAX(variance, least)), deviation = tail * plain;
        double z = (capacity - mean) / deviation;

        if (z >= TABLE_TO)
                return 0;
        double loss = normal_loss(z), normal = density(z), square = z * z;
        double skew = CLAMP(cumulant / (plain * plain * plain), SMALLEST_SKEW, LARGEST_SKEW);
        double series = loss + skew / 6 * z * normal + skew * skew / 72 * (square * square - 6 * square + 3) * normal;
        return deviation * MAX(series, LEAST_PART * loss);
}
