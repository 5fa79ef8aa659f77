/*
 * What the store's tables (store_vm.c, store_job.c, store_event.c, store_sample.c) share: statements under one lock.
 * Only for src/store.
 *
 * Statements are SQL literals, prepared once and found again by the literal's address. Their parameters come as
 * variable arguments described by @types, one letter each: t text (const char *, NULL is SQL NULL), i int64_t, r
 * double, b GBytes *.
 */
#pragma once

#include "store/store.h"

#include <sqlite3.h>
#include <stdarg.h>

/* Rows read at a time by the _each functions, so that a long list neither holds the lock long nor fills memory. */
#define STORE_PAGE 256

struct Store {
        GMutex lock; /* around everything below */
        sqlite3 *db;
        GHashTable *statements; /* SQL literal → sqlite3_stmt */
        bool durable;           /* what PRAGMA synchronous stands at */
        const char *read_only;  /* static text or NULL; atomic */
};

typedef void (*StoreRowFunc)(sqlite3_stmt *row, void *data);
typedef bool (*StoreWork)(Store *store, void *data, GError **error);

/* One statement as its own transaction. Takes the lock. HOSTLER_ERROR_EXISTS on a broken UNIQUE constraint. */
bool store_write(Store *store, StoreDurability durability, GError **error, const char *sql, const char *types, ...);
/* Calls @each for every row, under the lock: it may only copy. */
bool store_query(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types, ...);
/* Runs @work, which uses store_execute and store_select, under the lock in one transaction: all of it, or on false
 * nothing. */
bool store_transact(Store *store, StoreDurability durability, StoreWork work, void *data, GError **error);

/* ---- with the lock held, from @work ---- */
bool store_execute(Store *store, GError **error, const char *sql, const char *types, ...);
bool store_select(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types, ...);

/* A copy of a text column, NULL for SQL NULL. Caller frees. */
char *store_column_text(sqlite3_stmt *row, int column);
/* Sets the error for what @db said last, after "@doing: ". Returns false. */
bool store_error(sqlite3 *db, const char *doing, GError **error);
