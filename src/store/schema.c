/*
 * Tables and migrations. Forward only: an older daemon refuses a newer file instead of guessing. Called by
 * store_open(), and by the tests with steps of their own.
 */
#include "store/schema.h"

#include "base/error.h"

static bool run(sqlite3 *db, const char *sql, GError **error);
static bool apply(sqlite3 *db, const char *const *steps, int from, GError **error);
static int version_of(sqlite3 *db);

/*
 * A job's arguments lie beside the job and not in it: they may be large (cloud-init user data), and the job's row is
 * rewritten at each step.
 */
const char *const schema_steps[] = {
    "CREATE TABLE vm ("
    "  id TEXT PRIMARY KEY, name TEXT NOT NULL, spec TEXT NOT NULL, runtime TEXT NOT NULL,"
    "  generation INTEGER NOT NULL, created_ms INTEGER NOT NULL, trashed_ms INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX vm_name ON vm (name) WHERE trashed_ms = 0;"
    "CREATE TABLE job ("
    "  id TEXT PRIMARY KEY, verb TEXT NOT NULL, object TEXT NOT NULL, state TEXT NOT NULL, uid INTEGER NOT NULL,"
    "  key TEXT, request_hash TEXT, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT "
    "NULL,"
    "  progress REAL NOT NULL, steps TEXT NOT NULL, journal TEXT NOT NULL, error TEXT, result TEXT) STRICT;"
    "CREATE UNIQUE INDEX job_key ON job (uid, key) WHERE key IS NOT NULL;"
    "CREATE TABLE job_args ("
    "  id TEXT PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE, args TEXT NOT NULL) STRICT;"
    "CREATE TABLE event ("
    "  seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, object TEXT NOT NULL, data TEXT NOT "
    "NULL) STRICT;"
    "CREATE INDEX event_object ON event (object, seq);"
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    "ALTER TABLE vm ADD COLUMN history TEXT NOT NULL DEFAULT '{}';",
    "CREATE TABLE sample ("
    "  object TEXT NOT NULL, level INTEGER NOT NULL, start_ms INTEGER NOT NULL, width INTEGER NOT NULL,"
    "  slots BLOB NOT NULL, PRIMARY KEY (object, level, start_ms)) STRICT, WITHOUT ROWID;",
    /* A switch is the row without a port group. */
    "CREATE TABLE network ("
    "  switch TEXT NOT NULL, portgroup TEXT NOT NULL, spec TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (switch, portgroup)) STRICT, WITHOUT ROWID;",
    "CREATE TABLE address ("
    "  vm TEXT NOT NULL, part TEXT NOT NULL, network TEXT NOT NULL, address TEXT NOT NULL,"
    "  PRIMARY KEY (vm, part), UNIQUE (network, address)) STRICT, WITHOUT ROWID;",
    /* Each on its own, so that who changes one needs no lock around them all. They were one setting. */
    "CREATE TABLE pool (name TEXT PRIMARY KEY, config TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO pool SELECT json_extract(each.value, '$.name'), each.value"
    "  FROM setting, json_each(setting.value) AS each WHERE setting.key = 'pools';"
    "DELETE FROM setting WHERE key = 'pools';",
    NULL,
};

bool schema_migrate(sqlite3 *db, const char *const *steps, GError **error)
{
        int newest = 0;
        while (steps[newest])
                newest++;

        int found = version_of(db);
        if (found < 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "read the database's version: %s",
                                 sqlite3_errmsg(db));
        if (found > newest) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                          "the database was written by a newer Hostler (version %d; this one knows %d)", found, newest);
                return error_hint(error, "install that Hostler again, or use another state folder");
        }
        if (found == newest)
                return true;
        if (!run(db, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE", error))
                return false;
        if (apply(db, steps, found, error) && run(db, "COMMIT", error))
                return true;
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return false;
}

static bool apply(sqlite3 *db, const char *const *steps, int from, GError **error)
{
        for (int version = from; steps[version]; version++) {
                g_autofree char *stamp = g_strdup_printf("PRAGMA user_version=%d", version + 1);
                if (!run(db, steps[version], error) || !run(db, stamp, error))
                        return false;
        }
        return true;
}

static bool run(sqlite3 *db, const char *sql, GError **error)
{
        int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                return true;
        HostlerErrorCode code = (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_READONLY ? HOSTLER_ERROR_READ_ONLY
                                                                                             : HOSTLER_ERROR_FAILED;
        return error_set(error, code, NULL, "bring the database to this version: %s", sqlite3_errmsg(db));
}

static int version_of(sqlite3 *db)
{
        sqlite3_stmt *statement = NULL;
        int version = -1;
        if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW)
                version = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
        return version;
}
