/* What the files of `hostler help` share. Texts are appended to @out; those that are returned are owned by the caller.
 */
#pragma once

#include "cli/cli.h"

/* ---- help.c ---- */
/* Rows of @n_columns cells under a heading; nothing at all when there are none. */
void help_append_rows(GString *out, const char *heading, const GPtrArray *cells, guint n_columns);
/* "SIZE", "on|off": what a value of the field looks like; static. */
const char *help_value_word(const Field *field);
/* NULL: there is none worth saying. */
char *help_default_text(const Field *field);
/* "table|json|yaml" */
char *help_enum_text(const Field *field);

/* ---- help_kind.c ---- */
/* Every kind with its models. */
void help_devices(GString *out);
/* One kind, its models and its properties. */
void help_kind(const KindDecl *kind, GString *out);
/* @kind_name NULL: of all kinds. HOSTLER_ERROR_NOT_FOUND when there is no such kind. */
bool help_properties(const char *kind_name, GString *out, GError **error);
