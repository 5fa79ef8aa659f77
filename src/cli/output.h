/* What a verb gives, printed the way that was asked for. */
#pragma once

#include <stdbool.h>

#include "base/declare.h"
#include "cli/cli.h"

/* A reply as it came: a record, or a list of them when @shape says so. */
typedef struct {
        const RecordType *type;
        ResultShape shape;
        const char *const *columns; /* declared ones; NULL-terminated, may be empty */
        const char *text;
        gsize length;
} Result;

/* Table (of one row for a single record), JSON as it came but indented, YAML or names. */
bool output_result(Cli *cli, const Result *result, GError **error);
/* The same without a declared type: JSON and YAML as above, else the tree is shown as a table of its members. */
bool output_json(Cli *cli, const char *text, gsize length, GError **error);
/* The columns that a record type is listed by: those of its noun's `ls`. Never NULL. */
const char *const *output_columns(const RecordType *type);
/* A `-o yaml` document of any JSON. */
void yaml_print(const json_t *value, GString *out);
