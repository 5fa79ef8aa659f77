/* Patterns of memory sizes: see pattern.h. Sizes are rounded up to cells, so a pattern always fits. */
#include "sched/pattern.h"

#include <math.h>

#include "sched/lp.h"

#define MEMORY_CELLS 4096 /* most; up to that a cell is one unit of memory */
#define CPU_CELLS 24
#define MOST_PATTERNS 200
#define GAIN 1e-6

typedef struct {
        int memory_cells, cpu_cells;
        int *memory, *cpu; /* cells of each class */
} Grid;

static int cells(double size, double all, int n)
{
        return (int)MIN(ceil(size / all * n - 1e-9), G_MAXINT / 2);
}

static Grid grid_new(const PatternClass *classes, unsigned n, double memory, double cpu)
{
        Grid grid = {.memory_cells = (int)MIN(floor(memory), MEMORY_CELLS),
                     .cpu_cells = CPU_CELLS,
                     .memory = g_new(int, n),
                     .cpu = g_new(int, n)};
        for (unsigned i = 0; i < n; i++) {
                grid.memory[i] = MAX(cells(classes[i].memory, memory, grid.memory_cells), 1);
                grid.cpu[i] = cpu > 0 ? cells(classes[i].cpu, cpu, CPU_CELLS) : 0;
        }
        return grid;
}

static void grid_clear(Grid *grid)
{
        g_free(grid->memory);
        g_free(grid->cpu);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Grid, grid_clear)

/* Unbounded knapsack over memory and processor; @counts: the best pattern. Returns its value. */
static double best_pattern(const PatternClass *classes, unsigned n, const Grid *grid, double *counts)
{
        int width = grid->cpu_cells + 1, size = (grid->memory_cells + 1) * width;
        g_autofree float *value = g_new0(float, size);
        g_autofree short *last = g_new(short, size);

        for (int at = 0; at < size; at++) {
                int m = at / width, c = at % width;
                last[at] = -1;
                for (unsigned i = 0; i < n; i++) {
                        if (grid->memory[i] > m || grid->cpu[i] > c)
                                continue;
                        float with = value[at - grid->memory[i] * width - grid->cpu[i]] + (float)classes[i].price;
                        if (with > value[at] + 1e-7f) {
                                value[at] = with;
                                last[at] = (short)i;
                        }
                }
        }
        for (unsigned i = 0; i < n; i++)
                counts[i] = 0;
        for (int at = size - 1; last[at] >= 0; at -= grid->memory[last[at]] * width + grid->cpu[last[at]])
                counts[last[at]]++;
        double total = 0;
        for (unsigned i = 0; i < n; i++)
                total += counts[i] * classes[i].price;
        return total;
}

static void add_pattern(Lp *lp, unsigned n, const double *counts)
{
        g_autofree int *rows = g_new(int, n);
        for (unsigned i = 0; i < n; i++)
                rows[i] = (int)i;
        lp_add_column(lp, 1, 0, LP_INFINITY, (int)n, rows, counts);
}

static Lp *first_program(const PatternClass *classes, unsigned n)
{
        Lp *lp = lp_new();
        g_autofree double *counts = g_new0(double, n);

        for (unsigned i = 0; i < n; i++)
                lp_add_row(lp, classes[i].count, LP_INFINITY, 0, NULL, NULL);
        for (unsigned i = 0; i < n; i++) {
                counts[i] = 1;
                add_pattern(lp, n, counts);
                counts[i] = 0;
        }
        return lp;
}

bool pattern_prices(PatternClass *classes, unsigned n, double memory, double cpu, double *ret_hosts)
{
        g_auto(Grid) grid = grid_new(classes, n, memory, cpu);
        g_autoptr(Lp) lp = first_program(classes, n);
        g_autofree double *counts = g_new(double, n);
        bool fits = true;

        for (unsigned i = 0; i < n; i++) {
                fits = fits && grid.memory[i] <= grid.memory_cells && grid.cpu[i] <= grid.cpu_cells;
                classes[i].price = 0;
        }
        for (int round = 0; fits && round < MOST_PATTERNS && lp_solve(lp, NULL); round++) {
                for (unsigned i = 0; i < n; i++)
                        classes[i].price = lp_price(lp, (int)i);
                double value = best_pattern(classes, n, &grid, counts);
                *ret_hosts = lp_objective(lp) / MAX(value, 1);
                if (value <= 1 + GAIN)
                        break;
                add_pattern(lp, n, counts);
        }
        return fits;
}

void pattern_fill(const PatternClass *classes, unsigned n, double memory, unsigned *ret_counts)
{
        int size = (int)CLAMP(floor(memory), 0, MEMORY_CELLS);
        g_autofree double *value = g_new0(double, size + 1);
        g_autofree unsigned *taken = g_new0(unsigned, (gsize)(size + 1) * n);

        for (unsigned i = 0; i < n; i++) {
                int each = MAX(cells(classes[i].memory, MAX(memory, 1), size), 1);
                for (int m = size; m >= each; m--)
                        for (unsigned k = 1; k <= classes[i].count && (int)k * each <= m; k++) {
                                double with = value[m - (int)k * each] + k * classes[i].price;
                                if (with > value[m] + 1e-9) {
                                        value[m] = with;
                                        taken[(gsize)m * n + i] = k;
                                }
                        }
        }
        for (int i = (int)n - 1, m = size; i >= 0; i--) {
                ret_counts[i] = taken[(gsize)m * n + i];
                m -= (int)ret_counts[i] * MAX(cells(classes[i].memory, MAX(memory, 1), size), 1);
        }
}
