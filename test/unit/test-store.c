/*
 * The store: rows, their constraints, schema versions, locks, a full disk, and what a killed process leaves.
 */
#include "store/schema.h"
#include "store/state_lock.h"
#include "store/store.h"

#include "base/error.h"
#include "base/file.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
        char *dir, *path;
        Store *store;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        fixture->dir = g_dir_make_tmp("hostler-store-XXXXXX", NULL);
        fixture->path = g_build_filename(fixture->dir, "state.db", NULL);
        fixture->store = store_open(fixture->path, &error);
        g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, const void *data)
{
        store_close(fixture->store);
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_free(fixture->dir);
        g_free(fixture->path);
}

static void reopen(Fixture *fixture)
{
        g_autoptr(GError) error = NULL;
        store_close(fixture->store);
        fixture->store = store_open(fixture->path, &error);
        g_assert_no_error(error);
}

static VmRow vm(const char *id, const char *name)
{
        return (VmRow){
            .id = (char *)id, .name = (char *)name, .spec = (char *)"{}", .runtime = (char *)"{}", .generation = 1};
}

static JobRow job(const char *id, const char *key)
{
        return (JobRow){.id = (char *)id,
                        .verb = (char *)"vm.start",
                        .object = (char *)"vm/web1",
                        .args = (char *)"{\"vm\":\"web1\"}",
                        .state = (char *)"queued",
                        .steps = (char *)"[]",
                        .journal = (char *)"{}",
                        .key = (char *)key,
                        .request_hash = (char *)(key ? "hash" : NULL),
                        .uid = 1000,
                        .created_ms = 5,
                        .progress = -1};
}

static void collect_vm(const VmRow *row, void *data)
{
        g_ptr_array_add(data, g_strdup_printf("%s %s %s %s %d %d", row->id, row->name, row->spec, row->runtime,
                                              (int)row->generation, (int)row->trashed_ms));
}

static void collect_job(const JobRow *row, void *data)
{
        g_ptr_array_add(data, g_strdup(row->id));
}

static void collect_seq(const EventRow *row, void *data)
{
        g_array_append_val((GArray *)data, row->seq);
}

static GPtrArray *all_vms(Store *store)
{
        GPtrArray *rows = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_vm_each(store, collect_vm, rows, NULL));
        return rows;
}

static void test_vm_rows(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        VmRow a = vm("a", "web1"), b = vm("b", "web2");
        g_assert_true(store_vm_insert(fixture->store, &a, &error) && store_vm_insert(fixture->store, &b, &error));
        b.spec = (char *)"{\"cpu\":{}}";
        b.generation = 2;
        g_assert_true(store_vm_update(fixture->store, &b, 1, &error));
        g_assert_true(store_vm_set_runtime(fixture->store, STORE_PLAIN, "b", "{\"pid\":7}", &error));
        g_assert_true(store_vm_delete(fixture->store, "a", &error) && store_vm_delete(fixture->store, "a", &error));
        g_assert_no_error(error);

        reopen(fixture);
        g_autoptr(GPtrArray) rows = all_vms(fixture->store);
        g_assert_cmpint(rows->len, ==, 1);
        g_assert_cmpstr(rows->pdata[0], ==, "b web2 {\"cpu\":{}} {\"pid\":7} 2 0");
}

static void test_vm_names(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        VmRow a = vm("a", "web1"), b = vm("b", "web1");
        g_assert_true(store_vm_insert(fixture->store, &a, &error));
        g_assert_false(store_vm_insert(fixture->store, &b, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_EXISTS));
        g_assert_cmpstr(error_object(error), ==, "vm/web1");
        g_clear_error(&error);

        a.trashed_ms = 9;
        g_assert_true(store_vm_update(fixture->store, &a, -1, &error));
        g_assert_true(store_vm_insert(fixture->store, &b, &error));
        a.trashed_ms = 0;
        g_assert_false(store_vm_update(fixture->store, &a, -1, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_EXISTS));
}

static void test_vm_generation(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        VmRow a = vm("a", "web1"), other = vm("x", "other");
        g_assert_true(store_vm_insert(fixture->store, &a, &error));
        a.generation = 2;
        g_assert_false(store_vm_update(fixture->store, &a, 7, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_PRECONDITION));
        g_clear_error(&error);
        g_assert_false(store_vm_update(fixture->store, &other, -1, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NOT_FOUND));
        g_clear_error(&error);
        g_assert_true(store_vm_update(fixture->store, &a, 1, &error));
}

/* A4: of many writers that saw the same generation one wins. */
static void *race_update(void *data)
{
        VmRow a = vm("a", "web1");
        a.generation = 2;
        return GINT_TO_POINTER(store_vm_update(data, &a, 1, NULL));
}

static void test_vm_race(Fixture *fixture, const void *data)
{
        VmRow a = vm("a", "web1");
        g_assert_true(store_vm_insert(fixture->store, &a, NULL));
        GThread *threads[16];
        int won = 0;
        for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
                threads[i] = g_thread_new("writer", race_update, fixture->store);
        for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
                won += GPOINTER_TO_INT(g_thread_join(threads[i]));
        g_assert_cmpint(won, ==, 1);
}

static void test_many_vms(Fixture *fixture, const void *data)
{
        for (int i = 0; i < 600; i++) {
                g_autofree char *id = g_strdup_printf("%04d", i);
                VmRow row = vm(id, id);
                g_assert_true(store_vm_insert(fixture->store, &row, NULL));
        }
        g_autoptr(GPtrArray) rows = all_vms(fixture->store);
        g_assert_cmpint(rows->len, ==, 600);
        g_assert_true(g_str_has_prefix(rows->pdata[599], "0599"));
}

static void test_job_rows(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        JobRow row = job("1", "key"), again = job("2", "key"), read = {0};
        g_assert_true(store_job_insert(fixture->store, &row, &error));
        g_assert_false(store_job_insert(fixture->store, &again, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_EXISTS));
        g_clear_error(&error);
        again.uid = 1001;
        g_assert_true(store_job_insert(fixture->store, &again, &error));

        row.state = (char *)"running";
        row.args = NULL;
        row.started_ms = 6;
        g_assert_true(store_job_update(fixture->store, STORE_PLAIN, &row, &error));
        reopen(fixture);
        g_assert_true(store_job_by_key(fixture->store, 1000, "key", &read, &error));
        g_assert_cmpstr(read.id, ==, "1");
        g_assert_cmpstr(read.state, ==, "running");
        g_assert_cmpstr(read.args, ==, "{\"vm\":\"web1\"}");
        g_assert_cmpstr(read.request_hash, ==, "hash");
        g_assert_cmpint(read.started_ms, ==, 6);
        g_assert_null(read.error);
        job_row_clear(&read);
        g_assert_false(store_job_get(fixture->store, "nine", &read, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NOT_FOUND));
}

static void test_job_secrets(Fixture *fixture, const void *data)
{
        JobRow row = job("1", NULL);
        row.args = (char *)"{\"password\":\"canary-7f3a\"}";
        g_assert_true(store_job_insert(fixture->store, &row, NULL));
        row.args = (char *)"{}";
        g_assert_true(store_job_update(fixture->store, STORE_PLAIN, &row, NULL));
        store_close(fixture->store);
        fixture->store = NULL;

        g_autofree char *bytes = NULL;
        gsize length = 0;
        g_assert_true(g_file_get_contents(fixture->path, &bytes, &length, NULL));
        g_assert_null(memmem(bytes, length, "canary-7f3a", 11));
}

static void test_job_list(Fixture *fixture, const void *data)
{
        for (int i = 0; i < 700; i++) {
                g_autofree char *id = g_strdup_printf("%04d", i);
                JobRow row = job(id, NULL);
                if (i % 2)
                        row.state = (char *)"done";
                g_assert_true(store_job_insert(fixture->store, &row, NULL));
        }
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_job_each(fixture->store, NULL, NULL, NULL, 650, collect_job, all, NULL));
        g_assert_cmpint(all->len, ==, 650);
        g_assert_cmpstr(all->pdata[0], ==, "0699");
        g_assert_cmpstr(all->pdata[649], ==, "0050");

        g_autoptr(GPtrArray) some = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_job_each(fixture->store, "done", "vm/web1", "0010", 3, collect_job, some, NULL));
        g_assert_cmpint(some->len, ==, 3);
        g_assert_cmpstr(some->pdata[0], ==, "0009");
        g_assert_cmpstr(some->pdata[2], ==, "0005");
}

static void test_job_prune(Fixture *fixture, const void *data)
{
        for (int i = 0; i < 10; i++) {
                g_autofree char *id = g_strdup_printf("%d", i);
                JobRow row = job(id, id);
                row.ended_ms = i == 0 ? 0 : 100 + i;
                g_assert_true(store_job_insert(fixture->store, &row, NULL));
        }
        /* 1 to 7 are old enough, but of those the newest 4 of all ended ones (6 to 9) stay; 0 has not ended. */
        g_assert_true(store_job_prune(fixture->store, 108, 4, NULL));
        g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_job_each(fixture->store, NULL, NULL, NULL, 100, collect_job, left, NULL));
        g_ptr_array_add(left, NULL);
        g_autofree char *ids = g_strjoinv(" ", (char **)left->pdata);
        g_assert_cmpstr(ids, ==, "9 8 7 6 0");

        JobRow row = {0};
        g_assert_false(store_job_by_key(fixture->store, 1000, "7", &row, NULL));
        g_assert_true(store_job_by_key(fixture->store, 1000, "8", &row, NULL));
        job_row_clear(&row);
}

static void test_events(Fixture *fixture, const void *data)
{
        for (int i = 1; i <= 600; i++) {
                EventRow row = {.time_ms = i,
                                .kind = (char *)"k",
                                .object = (char *)(i % 2 ? "vm/a" : "vm/b"),
                                .data = (char *)"{}"};
                g_assert_true(store_event_append(fixture->store, &row, NULL));
                g_assert_cmpint(row.seq, ==, i);
        }
        g_autoptr(GArray) seqs = g_array_new(false, false, sizeof(int64_t));
        g_assert_true(store_event_each(fixture->store, 10, NULL, 550, collect_seq, seqs, NULL));
        g_assert_cmpint(seqs->len, ==, 550);
        g_assert_cmpint(g_array_index(seqs, int64_t, 549), ==, 560);
        g_array_set_size(seqs, 0);
        g_assert_true(store_event_each(fixture->store, 0, "vm/b", 1000, collect_seq, seqs, NULL));
        g_assert_cmpint(seqs->len, ==, 300);

        g_assert_true(store_event_prune(fixture->store, 0, NULL));
        reopen(fixture);
        g_assert_cmpint(store_event_first(fixture->store), ==, 600);
        EventRow row = {.kind = (char *)"k", .data = (char *)"{}"};
        g_assert_true(store_event_append(fixture->store, &row, NULL));
        g_assert_cmpint(row.seq, ==, 601);
}

static void test_settings(Fixture *fixture, const void *data)
{
        g_assert_null(store_get(fixture->store, "probe"));
        g_assert_true(store_set(fixture->store, "probe", "tcg", NULL) &&
                      store_set(fixture->store, "probe", "kvm", NULL));
        reopen(fixture);
        g_autofree char *value = store_get(fixture->store, "probe");
        g_assert_cmpstr(value, ==, "kvm");
}

static void test_private(Fixture *fixture, const void *data)
{
        const char *names[] = {"state.db", "state.db-wal"};
        for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
                g_autofree char *path = g_build_filename(fixture->dir, names[i], NULL);
                GStatBuf status;
                g_assert_cmpint(g_stat(path, &status), ==, 0);
                g_assert_cmpint(status.st_mode & 0777, ==, 0600);
        }
}

static void test_second_opener(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(Store) other = store_open(fixture->path, &error);
        g_assert_null(other);
        g_assert_true(error_is(error, HOSTLER_ERROR_BUSY));
}

static void test_not_a_database(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(fixture->dir, "junk.db", NULL);
        g_autofree char *junk = g_strnfill(8192, 'x');
        g_assert_true(g_file_set_contents(path, junk, -1, NULL));
        g_autoptr(Store) store = store_open(path, &error);
        g_assert_null(store);
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
}

/* A child writes until it is killed; what it was told is written must be there, and numbers go on without a gap. */
static int write_until_killed(const char *path)
{
        int pipes[2];
        g_assert_cmpint(pipe(pipes), ==, 0);
        pid_t child = fork();
        if (child == 0) {
                Store *store = store_open(path, NULL);
                for (;;) {
                        EventRow row = {.kind = (char *)"k", .data = (char *)"{}"};
                        int32_t seq = store_event_append(store, &row, NULL) ? (int32_t)row.seq : -1;
                        if (write(pipes[1], &seq, sizeof seq) < 0)
                                _exit(1);
                }
        }
        close(pipes[1]);
        int32_t seq = 0, last = 0;
        for (int i = 0; i < 300 && read(pipes[0], &seq, sizeof seq) == sizeof seq; i++)
                last = seq;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &seq, sizeof seq) == sizeof seq)
                last = seq;
        close(pipes[0]);
        return last;
}

static void test_killed_writer(Fixture *fixture, const void *data)
{
        store_close(fixture->store);
        fixture->store = NULL;
        for (int round = 0; round < 5; round++) {
                int last = write_until_killed(fixture->path);
                g_assert_cmpint(last, >, 0);
                reopen(fixture);
                g_autoptr(GArray) seqs = g_array_new(false, false, sizeof(int64_t));
                g_assert_true(store_event_each(fixture->store, 0, NULL, 1000000, collect_seq, seqs, NULL));
                g_assert_cmpint(seqs->len, >=, last);
                for (guint i = 0; i < seqs->len; i++)
                        g_assert_cmpint(g_array_index(seqs, int64_t, i), ==, i + 1);
                store_close(fixture->store);
                fixture->store = NULL;
        }
}

static void test_full_disk(Fixture *fixture, const void *data)
{
        g_autofree char *mount_point = g_build_filename(fixture->dir, "small", NULL);
        g_assert_cmpint(g_mkdir(mount_point, 0700), ==, 0);
        if (mount("none", mount_point, "tmpfs", 0, "size=1M") < 0) {
                g_test_skip("needs root for a small file system");
                return;
        }
        g_autofree char *path = g_build_filename(mount_point, "state.db", NULL);
        g_autofree char *ballast = g_build_filename(mount_point, "ballast", NULL);
        g_autoptr(GError) error = NULL;
        Store *store = store_open(path, &error);
        g_assert_no_error(error);
        VmRow first = vm("a", "first"), second = vm("b", "second");
        g_assert_true(store_vm_insert(store, &first, &error));
        g_assert_null(store_read_only_reason(store));

        g_autofree char *bytes = g_malloc0(1 << 20);
        FILE *file = g_fopen(ballast, "w");
        setvbuf(file, NULL, _IONBF, 0);
        g_assert_cmpuint(fwrite(bytes, 1, 1 << 20, file), <, 1 << 20);
        fclose(file);

        g_assert_false(store_vm_insert(store, &second, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_READ_ONLY));
        g_clear_error(&error);
        g_assert_cmpstr(store_read_only_reason(store), ==, "the disk is full");
        JobRow refused = job("1", NULL);
        g_assert_false(store_job_insert(store, &refused, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_READ_ONLY));
        g_clear_error(&error);
        g_autoptr(GPtrArray) rows = all_vms(store);
        g_assert_cmpint(rows->len, ==, 1);

        g_assert_cmpint(g_unlink(ballast), ==, 0);
        g_assert_true(store_vm_insert(store, &second, &error));
        g_assert_no_error(error);
        g_assert_null(store_read_only_reason(store));
        store_close(store);
        store = store_open(path, &error);
        g_assert_no_error(error);
        g_autoptr(GPtrArray) again = all_vms(store);
        g_assert_cmpint(again->len, ==, 2);
        store_close(store);
        g_assert_cmpint(umount(mount_point), ==, 0);
}

static int version_of(sqlite3 *db)
{
        sqlite3_stmt *statement;
        g_assert_cmpint(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
        int version = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
        return version;
}

/* All that there are and one more; g_free. */
static const char **steps_and(const char *step)
{
        g_autoptr(GPtrArray) steps = g_ptr_array_new();
        for (int i = 0; schema_steps[i]; i++)
                g_ptr_array_add(steps, (char *)schema_steps[i]);
        g_ptr_array_add(steps, (char *)step);
        g_ptr_array_add(steps, NULL);
        return (const char **)g_ptr_array_free(g_steal_pointer(&steps), FALSE);
}

/* A file of this version, made here, with data in it, is brought to a next one that only this test knows. */
static void test_migration(Fixture *fixture, const void *data)
{
        g_autofree const char **more = steps_and("ALTER TABLE vm ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'");
        g_autofree const char **broken = steps_and("ALTER TABLE vm ADD COLUMN colour TEXT; NONSENSE");
        int newest = (int)g_strv_length((char **)more) - 1;
        g_autoptr(GError) error = NULL;
        VmRow row = vm("a", "web1");
        g_assert_true(store_vm_insert(fixture->store, &row, NULL));
        store_close(g_steal_pointer(&fixture->store));

        sqlite3 *db;
        g_assert_cmpint(sqlite3_open(fixture->path, &db), ==, SQLITE_OK);
        g_assert_cmpint(version_of(db), ==, newest);
        g_assert_false(schema_migrate(db, broken, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_FAILED));
        g_clear_error(&error);
        g_assert_cmpint(version_of(db), ==, newest);
        g_assert_true(schema_migrate(db, more, &error));
        g_assert_cmpint(version_of(db), ==, newest + 1);
        g_assert_true(schema_migrate(db, more, &error));
        g_assert_cmpint(sqlite3_exec(db, "UPDATE vm SET colour = 'blue' WHERE name = 'web1'", NULL, NULL, NULL), ==,
                        SQLITE_OK);
        g_assert_cmpint(sqlite3_changes(db), ==, 1);
        sqlite3_close(db);

        g_autoptr(Store) store = store_open(fixture->path, &error);
        g_assert_null(store);
        g_assert_true(error_is(error, HOSTLER_ERROR_UNSUPPORTED));
}

/* All up to, and without, the first that says @text; g_free. */
static const char **steps_before(const char *text)
{
        g_autoptr(GPtrArray) steps = g_ptr_array_new();
        for (int i = 0; !strstr(schema_steps[i], text); i++)
                g_ptr_array_add(steps, (char *)schema_steps[i]);
        g_ptr_array_add(steps, NULL);
        return (const char **)g_ptr_array_free(g_steal_pointer(&steps), FALSE);
}

static void add_config(const char *config, void *data)
{
        g_ptr_array_add(data, g_strdup(config));
}

static GPtrArray *all_pools(Store *store)
{
        g_autoptr(GError) error = NULL;
        GPtrArray *configs = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(store_pool_each(store, add_config, configs, &error));
        g_assert_no_error(error);
        return configs;
}

static void test_pools(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_assert_true(store_pool_put(fixture->store, "slow", "{\"name\":\"slow\"}", &error));
        g_assert_true(store_pool_put(fixture->store, "fast", "{}", &error));
        g_assert_true(store_pool_put(fixture->store, "fast", "{\"name\":\"fast\"}", &error));
        g_assert_no_error(error);
        reopen(fixture);
        g_autoptr(GPtrArray) both = all_pools(fixture->store);
        g_assert_cmpint(both->len, ==, 2);
        g_assert_cmpstr(both->pdata[0], ==, "{\"name\":\"fast\"}");
        g_assert_true(store_pool_delete(fixture->store, "fast", &error));
        g_assert_true(store_pool_delete(fixture->store, "fast", &error));
        g_autoptr(GPtrArray) one = all_pools(fixture->store);
        g_assert_cmpint(one->len, ==, 1);
}

/* A file of the version in which all pools were one setting; @setting: NULL: there were none. */
static void migrate_pools(const char *path, const char *setting)
{
        g_autofree const char **older = steps_before("CREATE TABLE pool");
        g_autoptr(GError) error = NULL;
        sqlite3 *db;
        g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
        g_assert_true(schema_migrate(db, older, &error));
        g_assert_no_error(error);
        g_autofree char *sql =
            g_strdup_printf("INSERT INTO setting VALUES ('other', 'stays')%s%s%s", setting ? ", ('pools', '" : "",
                            setting ? setting : "", setting ? "')" : "");
        g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
        sqlite3_close(db);
}

/* What is in the store once it has opened such a file. */
static GPtrArray *migrated_pools(const char *dir, const char *setting)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(dir, "older.db", NULL);
        migrate_pools(path, setting);
        g_autoptr(Store) store = store_open(path, &error);
        g_assert_no_error(error);
        g_autofree char *other = store_get(store, "other"), *gone = store_get(store, "pools");
        g_assert_cmpstr(other, ==, "stays");
        g_assert_null(gone);
        GPtrArray *pools = all_pools(store);
        g_assert_cmpint(g_unlink(path), ==, 0);
        return pools;
}

static void test_pools_migration(Fixture *fixture, const void *data)
{
        g_autoptr(GPtrArray) two =
            migrated_pools(fixture->dir, "[{\"name\":\"fast\",\"type\":\"dir\",\"path\":\"/srv/it''s \\u00fc\"},"
                                         "{\"name\":\"slow\",\"type\":\"dir\",\"path\":\"/mnt\"}]");
        g_assert_cmpint(two->len, ==, 2);
        g_assert_cmpstr(two->pdata[0], ==, "{\"name\":\"fast\",\"type\":\"dir\",\"path\":\"/srv/it's \\u00fc\"}");
        g_assert_cmpstr(two->pdata[1], ==, "{\"name\":\"slow\",\"type\":\"dir\",\"path\":\"/mnt\"}");
        g_autoptr(GPtrArray) none = migrated_pools(fixture->dir, "[]");
        g_autoptr(GPtrArray) never = migrated_pools(fixture->dir, NULL);
        g_assert_cmpint(none->len + never->len, ==, 0);
}

static void test_state_lock(void)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *dir = g_dir_make_tmp("hostler-lock-XXXXXX", NULL);
        StateLock *lock = state_lock_take(dir, &error);
        g_assert_no_error(error);
        g_assert_null(state_lock_take(dir, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_BUSY));
        g_autofree char *pid = g_strdup_printf("process %d", (int)getpid());
        g_assert_nonnull(strstr(error->message, pid));
        g_clear_error(&error);
        state_lock_free(lock);
        lock = state_lock_take(dir, &error);
        g_assert_no_error(error);
        state_lock_free(lock);
        g_assert_true(dir_remove(dir, NULL));
}

static void test_state_lock_dies_with_holder(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-lock-XXXXXX", NULL);
        int pipes[2];
        g_assert_cmpint(pipe(pipes), ==, 0);
        pid_t child = fork();
        if (child == 0) {
                char ok = state_lock_take(dir, NULL) ? 'y' : 'n';
                if (write(pipes[1], &ok, 1) == 1)
                        pause();
                _exit(1);
        }
        char ok = 0;
        g_assert_cmpint(read(pipes[0], &ok, 1), ==, 1);
        g_assert_cmpint(ok, ==, 'y');
        g_assert_null(state_lock_take(dir, NULL));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        g_autoptr(StateLock) lock = state_lock_take(dir, NULL);
        g_assert_nonnull(lock);
        g_assert_true(dir_remove(dir, NULL));
        close(pipes[0]);
        close(pipes[1]);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *path;
                void (*run)(Fixture *fixture, const void *data);
        } tests[] = {
            {"/store/vm/rows", test_vm_rows},
            {"/store/vm/names", test_vm_names},
            {"/store/vm/generation", test_vm_generation},
            {"/store/vm/race", test_vm_race},
            {"/store/vm/many", test_many_vms},
            {"/store/job/rows", test_job_rows},
            {"/store/job/secrets", test_job_secrets},
            {"/store/job/list", test_job_list},
            {"/store/job/prune", test_job_prune},
            {"/store/events", test_events},
            {"/store/settings", test_settings},
            {"/store/private", test_private},
            {"/store/second-opener", test_second_opener},
            {"/store/not-a-database", test_not_a_database},
            {"/store/killed-writer", test_killed_writer},
            {"/store/full-disk", test_full_disk},
            {"/store/migration", test_migration},
            {"/store/pools", test_pools},
            {"/store/pools/migration", test_pools_migration},
        };
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
        g_test_add_func("/state-lock/refuses", test_state_lock);
        g_test_add_func("/state-lock/dies-with-holder", test_state_lock_dies_with_holder);
        return g_test_run();
}
