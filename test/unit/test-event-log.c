/*
 * The event log: order, numbers, listeners, replay, a full disk.
 */
#include "store/event_log.h"

#include "base/error.h"
#include "base/file.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/mount.h>

typedef struct {
        char *dir, *path;
        GMainContext *context;
        Store *store;
        EventLog *log;
        GArray *heard; /* seq */
        guint handle;
} Fixture;

static void open_log(Fixture *fixture)
{
        g_autoptr(GError) error = NULL;
        fixture->store = store_open(fixture->path, &error);
        g_assert_no_error(error);
        fixture->log = event_log_new(fixture->store, fixture->context);
}

static void close_log(Fixture *fixture)
{
        g_clear_pointer(&fixture->log, event_log_free);
        g_clear_pointer(&fixture->store, store_close);
}

static void set_up(Fixture *fixture, const void *data)
{
        fixture->dir = g_dir_make_tmp("hostler-events-XXXXXX", NULL);
        fixture->path = g_build_filename(fixture->dir, "state.db", NULL);
        fixture->context = g_main_context_new();
        fixture->heard = g_array_new(false, false, sizeof(int64_t));
        open_log(fixture);
}

static void tear_down(Fixture *fixture, const void *data)
{
        close_log(fixture);
        g_main_context_unref(fixture->context);
        g_array_unref(fixture->heard);
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_free(fixture->path);
        g_free(fixture->dir);
}

static void hear(const EventRow *event, void *data)
{
        g_array_append_val(((Fixture *)data)->heard, event->seq);
}

static void hear_once(const EventRow *event, void *data)
{
        hear(event, data);
        event_unlisten(((Fixture *)data)->log, ((Fixture *)data)->handle);
}

static void run(Fixture *fixture)
{
        while (g_main_context_iteration(fixture->context, false))
                ;
}

static void emit(Fixture *fixture, int count)
{
        for (int i = 0; i < count; i++)
                event_emit(fixture->log, "job-queued", "vm/web1", json_pack("{s:i}", "job", i));
}

static void count_row(const EventRow *row, void *data)
{
        int64_t *last = data;
        g_assert_cmpint(row->seq, ==, *last + 1);
        *last = row->seq;
}

static int64_t stored(Fixture *fixture)
{
        int64_t last = store_event_first(fixture->store) - 1;
        g_assert_true(store_event_each(fixture->store, 0, NULL, 1000000, count_row, &last, NULL));
        return last;
}

static void test_order(Fixture *fixture, const void *data)
{
        emit(fixture, 3);
        event_listen(fixture->log, hear, fixture);
        emit(fixture, 100);
        g_assert_cmpint(fixture->heard->len, ==, 0);
        run(fixture);
        g_assert_cmpint(fixture->heard->len, ==, 100);
        for (guint i = 0; i < 100; i++)
                g_assert_cmpint(g_array_index(fixture->heard, int64_t, i), ==, i + 4);
        g_assert_cmpint(stored(fixture), ==, 103);
}

static void *emit_many(void *data)
{
        emit(data, 250);
        return NULL;
}

/* From many threads: every listener hears every number once, in order. */
static void test_threads(Fixture *fixture, const void *data)
{
        GThread *threads[8];
        event_listen(fixture->log, hear, fixture);
        for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
                threads[i] = g_thread_new("emitter", emit_many, fixture);
        while (fixture->heard->len < 2000)
                g_main_context_iteration(fixture->context, true);
        for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
                g_thread_join(threads[i]);
        for (guint i = 0; i < 2000; i++)
                g_assert_cmpint(g_array_index(fixture->heard, int64_t, i), ==, i + 1);
}

static void test_unlisten(Fixture *fixture, const void *data)
{
        fixture->handle = event_listen(fixture->log, hear_once, fixture);
        emit(fixture, 2);
        run(fixture);
        g_assert_cmpint(fixture->heard->len, ==, 1);
}

/* A listener that comes while events are under way hears only what is newer than what it can read from the store. */
static void test_late_listener(Fixture *fixture, const void *data)
{
        guint first = event_listen(fixture->log, hear, fixture);
        emit(fixture, 1);
        event_unlisten(fixture->log, first);
        event_listen(fixture->log, hear, fixture);
        emit(fixture, 1);
        run(fixture);
        g_assert_cmpint(fixture->heard->len, ==, 1);
        g_assert_cmpint(g_array_index(fixture->heard, int64_t, 0), ==, 2);
}

static void test_restart(Fixture *fixture, const void *data)
{
        emit(fixture, 5);
        close_log(fixture);
        open_log(fixture);
        emit(fixture, 5);
        g_assert_cmpint(stored(fixture), ==, 10);
}

static void test_json(Fixture *fixture, const void *data)
{
        EventRow row = {7, 1000, (char *)"job-queued", (char *)"vm/web1", (char *)"{\"job\":\"x\"}"};
        json_t *json = event_to_json(&row);
        g_autofree char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(json);
        g_assert_cmpstr(text, ==,
                        "{\"data\":{\"job\":\"x\"},\"kind\":\"job-queued\",\"object\":\"vm/web1\",\"seq\":7,"
                        "\"time\":\"1970-01-01T00:00:01.000Z\"}");
}

static void fill_disk(const char *path)
{
        g_autofree char *bytes = g_malloc0(8 << 20);
        FILE *file = g_fopen(path, "w");
        setvbuf(file, NULL, _IONBF, 0);
        g_assert_cmpuint(fwrite(bytes, 1, 8 << 20, file), <, 8 << 20);
        fclose(file);
}

/* Listeners go on hearing, with the numbers that the store gets when there is room. */
static void test_full_disk(Fixture *fixture, const void *data)
{
        close_log(fixture);
        if (mount("none", fixture->dir, "tmpfs", 0, "size=8M") < 0) {
                g_test_skip("needs root for a small file system");
                return;
        }
        g_autofree char *ballast = g_build_filename(fixture->dir, "ballast", NULL);
        open_log(fixture);
        event_listen(fixture->log, hear, fixture);
        emit(fixture, 3);
        fill_disk(ballast);
        emit(fixture, 200);
        g_assert_nonnull(store_read_only_reason(fixture->store));
        g_assert_cmpint(stored(fixture), <, 203);
        run(fixture);
        g_assert_cmpint(fixture->heard->len, ==, 203);
        g_assert_cmpint(g_unlink(ballast), ==, 0);
        emit(fixture, 1);
        g_assert_null(store_read_only_reason(fixture->store));
        g_assert_cmpint(stored(fixture), ==, 204);
        run(fixture);
        for (guint i = 0; i < 204; i++)
                g_assert_cmpint(g_array_index(fixture->heard, int64_t, i), ==, i + 1);
        close_log(fixture);
        g_assert_cmpint(umount(fixture->dir), ==, 0);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *path;
                void (*run)(Fixture *fixture, const void *data);
        } tests[] = {
            {"/events/order", test_order},         {"/events/threads", test_threads},
            {"/events/unlisten", test_unlisten},   {"/events/late-listener", test_late_listener},
            {"/events/restart", test_restart},     {"/events/json", test_json},
            {"/events/full-disk", test_full_disk},
        };
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
        return g_test_run();
}
