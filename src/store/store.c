/*
 * The database as a whole: opening, the cached statements, transactions, and how SQLite's failures become errors. What
 * the tables hold is in store_vm.c, store_job.c, store_event.c and store_sample.c.
 *
 * The connection has the file for itself (locking_mode=EXCLUSIVE): no lock calls per transaction, no shared-memory file
 * that a full disk could tear, and a second daemon is refused even without the state lock.
 *
 * What a write costs (`test-job --bench`, 2 cores and a virtual disk that others use too): a plain one 25 µs, an event
 * 50 µs, a durable one the wait for the disk, 0.2 ms when it is idle and 2 to 5 ms when it is not. A whole job with
 * four steps, each journalled, is under 1 ms from submit to its end. Every 1,000 pages of log, some 500 writes, one
 * write carries a checkpoint of about 4 ms.
 */
#include "store/store_internal.h"

#include "base/error.h"
#include "base/file.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool open_database(Store *store, const char *path, GError **error);
static bool create_private(const char *path, GError **error);
static bool set_durability(Store *store, StoreDurability durability, GError **error);
static bool attempt(Store *store, StoreWork work, void *data, GError **error);
static bool make_room(Store *store, GError **failure);
static sqlite3_stmt *prepare(Store *store, const char *sql, GError **error);
static void bind(sqlite3_stmt *statement, const char *types, va_list values);
static bool run(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types,
                va_list values);
static void note_writable(Store *store, sqlite3_stmt *statement, int rc);
static const char *read_only_reason(sqlite3 *db, int rc);
static void finalize(void *statement);
static void take_text(sqlite3_stmt *row, void *data);

Store *store_open(const char *path, GError **error)
{
        g_autoptr(Store) store = g_new0(Store, 1);
        g_mutex_init(&store->lock);
        store->statements = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, finalize);
        store->durable = true;
        if (!open_database(store, path, error) || !schema_migrate(store->db, schema_steps, error))
                return NULL;
        return g_steal_pointer(&store);
}

void store_close(Store *store)
{
        if (!store)
                return;
        g_hash_table_destroy(store->statements);
        sqlite3_close(store->db);
        g_mutex_clear(&store->lock);
        g_free(store);
}

const char *store_read_only_reason(Store *store)
{
        return g_atomic_pointer_get(&store->read_only);
}

char *store_get(Store *store, const char *key)
{
        char *value = NULL;
        store_query(store, take_text, &value, NULL, "SELECT value FROM setting WHERE key = ?1", "t", key);
        return value;
}

bool store_set(Store *store, const char *key, const char *value, GError **error)
{
        return store_write(store, STORE_DURABLE, error,
                           "INSERT INTO setting (key, value) VALUES (?1, ?2) "
                           "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                           "tt", key, value);
}

bool store_write(Store *store, StoreDurability durability, GError **error, const char *sql, const char *types, ...)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
        if (!set_durability(store, durability, error))
                return false;
        g_autoptr(GError) failure = NULL;
        va_list values, again;
        va_start(values, types);
        va_copy(again, values);
        bool ok = run(store, NULL, NULL, &failure, sql, types, values) ||
                  (make_room(store, &failure) && run(store, NULL, NULL, &failure, sql, types, again));
        va_end(again);
        va_end(values);
        if (!ok)
                g_propagate_error(error, g_steal_pointer(&failure));
        return ok;
}

bool store_query(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types, ...)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
        va_list values;
        va_start(values, types);
        bool ok = run(store, each, data, error, sql, types, values);
        va_end(values);
        return ok;
}

bool store_transact(Store *store, StoreDurability durability, StoreWork work, void *data, GError **error)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
        if (!set_durability(store, durability, error))
                return false;
        g_autoptr(GError) failure = NULL;
        bool ok = attempt(store, work, data, &failure) ||
                  (make_room(store, &failure) && attempt(store, work, data, &failure));
        if (!ok)
                g_propagate_error(error, g_steal_pointer(&failure));
        return ok;
}

bool store_execute(Store *store, GError **error, const char *sql, const char *types, ...)
{
        va_list values;
        va_start(values, types);
        bool ok = run(store, NULL, NULL, error, sql, types, values);
        va_end(values);
        return ok;
}

bool store_select(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types, ...)
{
        va_list values;
        va_start(values, types);
        bool ok = run(store, each, data, error, sql, types, values);
        va_end(values);
        return ok;
}

char *store_column_text(sqlite3_stmt *row, int column)
{
        return g_strdup((const char *)sqlite3_column_text(row, column));
}

bool store_error(sqlite3 *db, const char *doing, GError **error)
{
        int rc = sqlite3_extended_errcode(db);
        const char *reason = read_only_reason(db, rc);
        if (reason) {
                error_set(error, HOSTLER_ERROR_READ_ONLY, NULL, "%s: %s", doing, reason);
                return error_hint(error, "make room on the disk of the state folder; running VMs go on meanwhile");
        }
        if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
                return error_set(error, HOSTLER_ERROR_EXISTS, NULL, "%s: %s", doing, sqlite3_errmsg(db));
        if ((rc & 0xff) == SQLITE_BUSY)
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "%s: another process uses the database", doing);
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s: %s", doing, sqlite3_errmsg(db));
}

static bool open_database(Store *store, const char *path, GError **error)
{
        if (!create_private(path, error))
                return false;
        int rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                 NULL);
        g_autofree char *doing = g_strdup_printf("open the database %s", path);
        if (!store->db)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s: %s", doing, sqlite3_errstr(rc));
        /* Waits for a daemon that is just ending; the size limit gives back what a burst of writes took. */
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(
                    store->db,
                    "PRAGMA busy_timeout=2000; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                    "PRAGMA foreign_keys=ON; PRAGMA secure_delete=FAST; PRAGMA journal_size_limit=8388608;",
                    NULL, NULL, NULL);
        return rc == SQLITE_OK || store_error(store->db, doing, error);
}

/* SQLite gives the log the database's own mode, so this one open decides who can read either. */
static bool create_private(const char *path, GError **error)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "open the database %s", path);
        close(fd);
        return true;
}

static bool set_durability(Store *store, StoreDurability durability, GError **error)
{
        bool durable = durability == STORE_DURABLE;
        if (store->durable == durable)
                return true;
        const char *pragma = durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
        if (sqlite3_exec(store->db, pragma, NULL, NULL, NULL) != SQLITE_OK)
                return store_error(store->db, "set the database's durability", error);
        store->durable = durable;
        return true;
}

static bool attempt(Store *store, StoreWork work, void *data, GError **error)
{
        if (!store_execute(store, error, "BEGIN IMMEDIATE", ""))
                return false;
        if (work(store, data, error) && store_execute(store, error, "COMMIT", "")) {
                g_atomic_pointer_set(&store->read_only, NULL);
                return true;
        }
        /* A full disk has SQLite roll back by itself. */
        if (!sqlite3_get_autocommit(store->db))
                store_execute(store, NULL, "ROLLBACK", "");
        return false;
}

/*
 * When the log cannot grow: what it holds may fit into the database as it is, and then it starts again at its
 * beginning. True, and no *@failure any more, if it was all moved.
 */
static bool make_room(Store *store, GError **failure)
{
        int pages = 0, moved = 0;
        if (!error_is(*failure, HOSTLER_ERROR_READ_ONLY) ||
            sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved) != SQLITE_OK ||
            pages != moved)
                return false;
        g_clear_error(failure);
        return true;
}

static sqlite3_stmt *prepare(Store *store, const char *sql, GError **error)
{
        sqlite3_stmt *statement = g_hash_table_lookup(store->statements, sql);
        if (statement)
                return statement;
        if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
                store_error(store->db, "use the database", error);
                return NULL;
        }
        g_hash_table_insert(store->statements, (char *)sql, statement);
        return statement;
}

static void bind_bytes(sqlite3_stmt *statement, int index, GBytes *bytes)
{
        gsize size;
        const void *data = g_bytes_get_data(bytes, &size);
        sqlite3_bind_blob64(statement, index, data, size, SQLITE_STATIC);
}

static void bind(sqlite3_stmt *statement, const char *types, va_list values)
{
        for (int i = 0; types[i]; i++) {
                if (types[i] == 't')
                        sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1, SQLITE_STATIC);
                else if (types[i] == 'i')
                        sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
                else if (types[i] == 'b')
                        bind_bytes(statement, i + 1, va_arg(values, GBytes *));
                else
                        sqlite3_bind_double(statement, i + 1, va_arg(values, double));
        }
}

static bool run(Store *store, StoreRowFunc each, void *data, GError **error, const char *sql, const char *types,
                va_list values)
{
        sqlite3_stmt *statement = prepare(store, sql, error);
        if (!statement)
                return false;
        bind(statement, types, values);
        int rc;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
                if (each)
                        each(statement, data);
        note_writable(store, statement, rc);
        bool ok = rc == SQLITE_DONE || store_error(store->db, "use the database", error);
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
        return ok;
}

/* Only a change that has landed proves that the disk takes writes again: not a read, not one that awaits its COMMIT. */
static void note_writable(Store *store, sqlite3_stmt *statement, int rc)
{
        const char *reason = read_only_reason(store->db, rc);
        if (reason)
                g_atomic_pointer_set(&store->read_only, reason);
        else if (rc == SQLITE_DONE && !sqlite3_stmt_readonly(statement) && sqlite3_get_autocommit(store->db))
                g_atomic_pointer_set(&store->read_only, NULL);
}

static const char *read_only_reason(sqlite3 *db, int rc)
{
        int primary = rc & 0xff;
        int saved_errno = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN ? sqlite3_system_errno(db) : 0;
        if (primary == SQLITE_FULL || saved_errno == ENOSPC)
                return "the disk is full";
        if (primary == SQLITE_READONLY || saved_errno == EROFS)
                return "the file system is read-only";
        return saved_errno == EDQUOT ? "the disk quota is used up" : NULL;
}

static void finalize(void *statement)
{
        sqlite3_finalize(statement);
}

static void take_text(sqlite3_stmt *row, void *data)
{
        *(char **)data = store_column_text(row, 0);
}
