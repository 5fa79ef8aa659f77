/* One record for a person: its members, the parts of its spec, its lists. */
#pragma once

#include "cli/output.h"

bool show_record(Cli *cli, const Result *result, GError **error);
/* The kind of one part of a spec as the API gives it: what it says, else what its name implies. NULL: neither. */
const KindDecl *spec_part_kind(const char *name, const json_t *part);
