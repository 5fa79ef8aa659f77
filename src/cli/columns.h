/*
 * Columns: dotted paths into a declared record, read out of JSON text in one pass.
 *
 * "status.cpus|spec.cpu.count" is the first of the two that is there; a list on the way gives all its values, joined by
 * commas. Values are made readable by the declared type of their field: sizes as 4G, times as ages, bools as on/off;
 * everything is safe for a terminal.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "base/record.h"
#include "cli/json_text.h"

typedef struct Columns Columns;

/*
 * @paths: NULL-terminated; each a path, or the header of one of @known (NULL-terminated, may be empty). Both empty:
 * every scalar field. NULL and HOSTLER_ERROR_USAGE with near names when a path leads nowhere.
 */
Columns *columns_new(const RecordType *type, const char *const *paths, const char *const *known, GError **error);
void columns_free(Columns *columns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Columns, columns_free)

guint columns_count(const Columns *columns);
/* "CPUS" for "status.cpus|spec.cpu.count". Borrowed. */
const char *columns_header(const Columns *columns, guint column);
/* The values of this column say how something is doing (a VM's power, a job's state). */
bool columns_is_state(const Columns *columns, guint column);
/* Reads one object; appends columns_count() cells, owned by @chunk, to @cells. False if it is not JSON. @now_ms: for
 * ages. */
bool columns_read(Columns *columns, JsonReader *reader, int64_t now_ms, GStringChunk *chunk, GPtrArray *cells);
/* The readable text of one JSON value of @field (NULL: unknown), appended to @out. */
bool columns_read_value(const Field *field, JsonReader *reader, int64_t now_ms, GString *out);
