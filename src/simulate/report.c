/* Tables, JSON and SVG line charts of simulations. The charts need nothing but a browser. */
#include "simulate/report.h"

#include <errno.h>

#include "base/file.h"

#define WIDTH 900
#define HEIGHT 360
#define LEFT 70
#define TOP 40
#define RIGHT 150
#define BOTTOM 40
#define GRID 4

static const char *const colours[] = {"#0b62a4", "#d1495b", "#2e8b57", "#8a5a9e", "#b8860b", "#444444"};

typedef enum { ENERGY, UNSERVED, MOVES, HOSTS, CHARTS } Chart;
static const struct {
        const char *file, *title;
} charts[CHARTS] = {[ENERGY] = {"energy.svg", "Energy, kWh a step"},
                    [UNSERVED] = {"unserved.svg", "Demand not served, % of a step"},
                    [MOVES] = {"moves.svg", "Migrations, sum so far"},
                    [HOSTS] = {"hosts.svg", "Hosts on"}};

void report_table(GString *out, const Scenario *scenario, const ModelResult *results, unsigned n, double bound_kwh)
{
        g_string_append_printf(out, "%s: %u VMs, %u hosts, %u steps\n", scenario->name, scenario->n_vms,
                               scenario->n_hosts, scenario->steps);
        g_string_append_printf(out, "%-12s %10s %8s %10s %9s %9s %11s %9s %12s\n", "POLICY", "KWH", "x BOUND",
                               "MIGRATIONS", "SLATAH %", "PDM %", "UNSERVED %", "HOSTS ON", "DECISION MS");
        g_string_append_printf(out, "%-12s %10.2f %8.3f %10s %9s %9s %11s %9.1f\n", "bound", bound_kwh, 1.0, "", "", "",
                               "", model_hosts_on(scenario));
        for (unsigned i = 0; i < n; i++) {
                const ModelResult *r = &results[i];
                g_string_append_printf(out, "%-12s %10.2f %8.3f %10u %9.3f %9.5f %11.4f %9.1f %12.1f\n", r->policy,
                                       r->kwh, r->kwh / bound_kwh, r->moves, r->slatah * 100, r->pdm * 100,
                                       r->unserved * 100, r->hosts_on, r->decision_ms);
        }
}

json_t *report_json(const Scenario *scenario, const ModelResult *results, unsigned n, double bound_kwh)
{
        json_t *rows = json_array();
        for (unsigned i = 0; i < n; i++) {
                const ModelResult *r = &results[i];
                json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "policy",
                                                      r->policy, "kwh", r->kwh, "to_bound", r->kwh / bound_kwh,
                                                      "migrations", (int)r->moves, "refused", (int)r->refused, "slatah",
                                                      r->slatah, "pdm", r->pdm, "unserved", r->unserved, "hosts_on",
                                                      r->hosts_on, "decision_ms", r->decision_ms));
        }
        return json_pack("{s:s, s:i, s:i, s:i, s:f, s:f, s:o}", "traces", scenario->name, "hosts",
                         (int)scenario->n_hosts, "vms", (int)scenario->n_vms, "steps", (int)scenario->steps,
                         "bound_kwh", bound_kwh, "bound_hosts_on", model_hosts_on(scenario), "policies", rows);
}

static double value_at(const ModelResult *result, Chart chart, unsigned step, double *sum)
{
        const ModelStep *at = &result->steps[step];
        *sum += at->moves;
        switch (chart) {
        case ENERGY:
                return at->kwh;
        case UNSERVED:
                return at->unserved * 100;
        case HOSTS:
                return at->hosts_on;
        default:
                return *sum;
        }
}

static double largest(const ModelResult *results, unsigned n, Chart chart)
{
        double most = 0;
        for (unsigned i = 0; i < n; i++) {
                double sum = 0;
                for (unsigned step = 0; step < results[i].n_steps; step++)
                        most = MAX(most, value_at(&results[i], chart, step, &sum));
        }
        return most > 0 ? most : 1;
}

static void draw_frame(GString *out, Chart chart, double most, unsigned steps)
{
        g_string_append_printf(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"24\" font-size=\"16\">%s</text>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, charts[chart].title);
        for (int i = 0; i <= GRID; i++) {
                int y = HEIGHT - BOTTOM - i * (HEIGHT - TOP - BOTTOM) / GRID;
                g_string_append_printf(out,
                                       "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#dddddd\"/>"
                                       "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.3g</text>\n",
                                       LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, most * i / GRID);
        }
        g_string_append_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">step %u</text>\n", WIDTH - RIGHT,
                               HEIGHT - 14, steps);
}

static void draw_line(GString *out, const ModelResult *result, Chart chart, double most, unsigned number)
{
        const char *colour = colours[number % G_N_ELEMENTS(colours)];
        double sum = 0;

        g_string_append_printf(out, "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"%s\" points=\"", colour);
        for (unsigned step = 0; step < result->n_steps; step++) {
                double x = LEFT + (double)step / MAX(result->n_steps - 1, 1) * (WIDTH - LEFT - RIGHT);
                double y = HEIGHT - BOTTOM - value_at(result, chart, step, &sum) / most * (HEIGHT - TOP - BOTTOM);
                g_string_append_printf(out, "%.1f,%.1f ", x, y);
        }
        g_string_append_printf(out, "\"/>\n<text x=\"%d\" y=\"%u\" fill=\"%s\">%s</text>\n", WIDTH - RIGHT + 12,
                               TOP + 20 * number + 12, colour, result->policy);
}

static bool write_text(const char *folder, const char *name, const GString *text, GError **error)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        return file_write_atomic(path, text->str, text->len, 0644, false, error);
}

bool report_write(const char *folder, const Scenario *scenario, const ModelResult *results, unsigned n,
                  double bound_kwh, GError **error)
{
        g_autoptr(GString) table = g_string_new(NULL);

        if (g_mkdir_with_parents(folder, 0755) < 0)
                return error_set_errno(error, errno, NULL, "making %s", folder);
        report_table(table, scenario, results, n, bound_kwh);
        if (!write_text(folder, "table.txt", table, error))
                return false;
        for (Chart chart = 0; chart < CHARTS; chart++) {
                g_autoptr(GString) out = g_string_new(NULL);
                double most = largest(results, n, chart);
                draw_frame(out, chart, most, scenario->steps);
                for (unsigned i = 0; i < n; i++)
                        draw_line(out, &results[i], chart, most, i);
                g_string_append(out, "</svg>\n");
                if (!write_text(folder, charts[chart].file, out, error))
                        return false;
        }
        return true;
}
