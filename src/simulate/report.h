/* What came of a simulation: as a table, as JSON, and as pictures in a folder. */
#pragma once

#include <jansson.h>

#include "simulate/model.h"

/* One row for each result, and the bound. Appends. */
void report_table(GString *out, const Scenario *scenario, const ModelResult *results, unsigned n, double bound_kwh);
/* {"traces", "hosts", "vms", "steps", "bound_kwh", "policies": [{"policy", "kwh", "to_bound", …}]}. Caller owns it. */
json_t *report_json(const Scenario *scenario, const ModelResult *results, unsigned n, double bound_kwh);
/* table.txt, and energy.svg, unserved.svg, moves.svg, hosts.svg: a line for each result over the steps. */
bool report_write(const char *folder, const Scenario *scenario, const ModelResult *results, unsigned n,
                  double bound_kwh, GError **error);
