/*
 * The database's tables, and the way from any older version of them to the newest.
 *
 * The version is SQLite's own PRAGMA user_version: it lies in the file's header and changes with the transaction that
 * earns it.
 */
#pragma once

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>

/* SQL that takes version n to n + 1 at index n; ends with NULL. A released step is never edited: changes are a new
 * step. */
extern const char *const schema_steps[];

/*
 * Runs the steps that @db lacks, all in one durable transaction: after a crash the file is of the old version or of the
 * newest. HOSTLER_ERROR_UNSUPPORTED if the file is newer than @steps; then and on any other error it is unchanged.
 */
bool schema_migrate(sqlite3 *db, const char *const *steps, GError **error);
