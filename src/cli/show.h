/* One record for a person: its members, the parts of its spec, its lists. */
#pragma once

#include "cli/output.h"

bool show_record(Cli *cli, const Result *result, GError **error);
