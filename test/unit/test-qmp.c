/* Unit tests of wire/qmp.c against a scripted QEMU: answers in any order, refusals, silence, events, closing from both
 * ends. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "fake/fake_qmp.h"
#include "fake/loop_thread.h"
#include "wire/qmp.h"

#define CONNECT_MS 5000

typedef struct {
        char *folder;
        char *path;
        LoopThread *loop;
        FakePeer *fake;
        Qmp *qmp;
        GMutex mutex; /* guards what follows */
        GCond changed;
        GString *log; /* what callbacks saw: "STOP 1700000000500\n", "closed\n", … */
} Fixture;

static void note(Fixture *fixture, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(Fixture *fixture, const char *format, ...)
{
        va_list list;
        va_start(list, format);
        g_mutex_lock(&fixture->mutex);
        g_string_append_vprintf(fixture->log, format, list);
        g_cond_broadcast(&fixture->changed);
        g_mutex_unlock(&fixture->mutex);
        va_end(list);
}

static void wait_noted(Fixture *fixture, const char *text)
{
        int64_t deadline_us = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
        g_mutex_lock(&fixture->mutex);
        while (!strstr(fixture->log->str, text))
                if (!g_cond_wait_until(&fixture->changed, &fixture->mutex, deadline_us))
                        g_error("no \"%s\" in: %s", text, fixture->log->str);
        g_mutex_unlock(&fixture->mutex);
}

static void on_event(Qmp *qmp, const char *event, const json_t *data, int64_t unix_ms, void *user_data)
{
        note(user_data, "%s %" G_GINT64_FORMAT " %d\n", event, unix_ms, (int)json_object_size(data));
}

static void on_closed(Qmp *qmp, const GError *reason, void *user_data)
{
        note(user_data, "closed\n");
}

static void on_reply(Qmp *qmp, const json_t *result, const GError *error, void *user_data)
{
        note(user_data, "reply %s\n", error ? error_decl_of(error)->name : "ok");
}

static void fixture_open(Fixture *fixture, const FakeStep *script)
{
        *fixture = (Fixture){0};
        fixture->folder = g_dir_make_tmp("hostler-XXXXXX", NULL);
        fixture->path = g_build_filename(fixture->folder, "qmp", NULL);
        fixture->loop = loop_thread_new();
        fixture->log = g_string_new(NULL);
        g_mutex_init(&fixture->mutex);
        g_cond_init(&fixture->changed);
        fixture->fake = fake_qmp_new(fixture->path, script);
}

static bool fixture_connect(Fixture *fixture, int64_t timeout_ms, GError **error)
{
        GMainContext *context = loop_thread_context(fixture->loop);
        fixture->qmp = qmp_connect(fixture->path, false, timeout_ms, context, on_event, on_closed, fixture, error);
        return fixture->qmp != NULL;
}

static void start(Fixture *fixture, const FakeStep *script)
{
        g_autoptr(GError) error = NULL;
        fixture_open(fixture, script);
        fixture_connect(fixture, CONNECT_MS, &error);
        g_assert_no_error(error);
}

static void close_qmp(void *data)
{
        qmp_close(data);
}

static void fixture_close(Fixture *fixture)
{
        if (fixture->qmp)
                loop_thread_run(fixture->loop, close_qmp, fixture->qmp);
        qmp_unref(fixture->qmp);
        loop_thread_free(fixture->loop);
        fake_peer_free(fixture->fake);
        g_assert_no_errno(g_rmdir(fixture->folder));
        g_free(fixture->folder);
        g_free(fixture->path);
        g_string_free(fixture->log, TRUE);
        g_cond_clear(&fixture->changed);
        g_mutex_clear(&fixture->mutex);
}

static void test_call(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "query-status", NULL},
            {FAKE_REPLY, NULL, "{\"running\": true}"},
            {FAKE_EXPECT, "cont", "{\"a\": [1, \"x\"]}"},
            {FAKE_REPLY},
            {FAKE_END},
        };
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        start(&fixture, script);
        g_assert_true(qmp_call(fixture.qmp, "query-status", NULL, &result, &error));
        g_assert_true(json_is_true(json_object_get(result, "running")));
        json_decref(result);
        g_assert_true(qmp_call(fixture.qmp, "cont", json_pack("{s:[i,s]}", "a", 1, "x"), NULL, &error));
        g_assert_cmpint(qmp_idle_ms(fixture.qmp), <, 5000);
        fixture_close(&fixture);
}

static void test_refusal(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "device_del"}, {FAKE_REFUSE, NULL, "DeviceNotFound"}, {FAKE_END}};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        start(&fixture, script);
        g_assert_false(qmp_call(fixture.qmp, "device_del", NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        g_assert_cmpstr(error->message, ==, "QEMU refused device_del: as the script says ");
        g_assert_cmpstr(qmp_error_class(error), ==, "DeviceNotFound");
        error_wrap(&error, HOSTLER_ERROR_FAILED, "vm/web1", "remove disk1");
        g_assert_cmpstr(qmp_error_class(error), ==, "DeviceNotFound");
        fixture_close(&fixture);
}

static gpointer call_slow(gpointer data)
{
        json_t *result = NULL;
        g_assert_true(qmp_call(data, "slow", NULL, &result, NULL));
        return result;
}

static void test_answers_out_of_order(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "slow"},
            {FAKE_EVENT, "RESUME"},
            {FAKE_EXPECT, "quick"},
            {FAKE_RAW, NULL,
             "{\"return\": {}, \"id\": 999}{\"return\": 1, \"id\": \"x\"}{\"return\": 1}{\"error\": {}}[1]"},
            {FAKE_REPLY, "quick", "2"},
            {FAKE_REPLY, "slow", "1"},
            {FAKE_END},
        };
        Fixture fixture;
        json_t *result = NULL;
        start(&fixture, script);
        g_autoptr(GThread) thread = g_thread_new("slow", call_slow, fixture.qmp);
        wait_noted(&fixture, "RESUME");
        g_assert_true(qmp_call(fixture.qmp, "quick", NULL, &result, NULL));
        g_assert_cmpint(json_integer_value(result), ==, 2);
        json_decref(result);
        result = g_thread_join(g_steal_pointer(&thread));
        g_assert_cmpint(json_integer_value(result), ==, 1);
        json_decref(result);
        fixture_close(&fixture);
}

/* All are sent before the first is answered, and all answered before it returns. */
static void test_all_at_once(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "object-add", "{\"a\": 1}"},
            {FAKE_EXPECT, "netdev_add", NULL},
            {FAKE_EXPECT, "device_add", NULL},
            {FAKE_REPLY, "object-add", NULL},
            {FAKE_REFUSE, "netdev_add", "GenericError"},
            {FAKE_REFUSE, "device_add", "DeviceNotFound"},
            {FAKE_EXPECT, "cont", NULL},
            {FAKE_REPLY},
            {FAKE_END},
        };
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        json_auto_t *arguments = json_pack("{s:i}", "a", 1);
        const QmpRequest requests[] = {{"object-add", arguments}, {"netdev_add", NULL}, {"device_add", NULL}};
        const QmpRequest last[] = {{"cont", NULL}};
        start(&fixture, script);
        g_assert_false(qmp_call_all(fixture.qmp, requests, G_N_ELEMENTS(requests), &error));
        g_assert_cmpstr(qmp_error_class(error), ==, "GenericError");
        g_clear_error(&error);
        g_assert_true(qmp_call_all(fixture.qmp, last, 1, &error));
        g_assert_true(qmp_call_all(fixture.qmp, NULL, 0, &error));
        fixture_close(&fixture);
}

static void test_events(void)
{
        static const FakeStep script[] = {
            {FAKE_EVENT, "STOP"},
            {FAKE_EVENT, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}"},
            {FAKE_RAW, NULL, "{\"event\": \"ODD\", \"timestamp\": {\"seconds\": -1, \"microseconds\": -1}}"},
            {FAKE_END},
        };
        Fixture fixture;
        start(&fixture, script);
        wait_noted(&fixture, "ODD");
        g_assert_true(g_str_has_prefix(fixture.log->str, "STOP 1700000000500 0\nSHUTDOWN 1700000000500 2\nODD "));
        fixture_close(&fixture);
}

static void test_silence(void)
{
        static const FakeStep script[] = {{FAKE_SILENCE}};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        start(&fixture, script);
        int64_t began_ms = clock_monotonic_ms();
        qmp_send(fixture.qmp, "query-a", NULL, 200, on_reply, &fixture);
        g_assert_false(qmp_call_full(fixture.qmp, "query-b", NULL, 100, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNRESPONSIVE);
        wait_noted(&fixture, "reply unresponsive");
        g_assert_cmpint(clock_monotonic_ms() - began_ms, >=, 200);
        g_assert_cmpint(clock_monotonic_ms() - began_ms, <, 3000);
        fixture_close(&fixture);
}

static gpointer cancel_soon(gpointer data)
{
        g_usleep(50000);
        g_cancellable_cancel(data);
        return NULL;
}

static void test_cancel(void)
{
        static const FakeStep script[] = {{FAKE_SILENCE}};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        start(&fixture, script);
        GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
        g_assert_false(qmp_call_full(fixture.qmp, "query-a", NULL, 60000, cancellable, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_CANCELLED);
        g_thread_join(thread);
        g_clear_error(&error);
        g_assert_false(qmp_call_full(fixture.qmp, "query-a", NULL, 60000, cancellable, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_CANCELLED);
        fixture_close(&fixture);
}

static void test_qemu_dies(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "query-a"}, {FAKE_EXPECT, "quit"}, {FAKE_EVENT, "SHUTDOWN"}, {FAKE_CLOSE}, {FAKE_END}};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        start(&fixture, script);
        qmp_send(fixture.qmp, "query-a", NULL, 60000, on_reply, &fixture);
        g_assert_false(qmp_call(fixture.qmp, "quit", NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        wait_noted(&fixture, "closed");
        g_assert_cmpstr(fixture.log->str, ==, "SHUTDOWN 1700000000500 0\nreply failed\nclosed\n");
        g_clear_error(&error);
        g_assert_false(qmp_call(fixture.qmp, "cont", NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        g_string_truncate(fixture.log, 0);
        qmp_send(fixture.qmp, "cont", NULL, 60000, on_reply, &fixture);
        wait_noted(&fixture, "reply failed");
        g_assert_cmpint(qmp_idle_ms(fixture.qmp), ==, INT64_MAX);
        fixture_close(&fixture);
}

static gpointer call_forever(gpointer data)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(qmp_call_full(data, "forever", NULL, 60000, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        return NULL;
}

/* Whoever is blocked is let go, nobody else hears anything more. */
static void test_close(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "query-a"}, {FAKE_EXPECT, "forever"}, {FAKE_EVENT, "STOP"}, {FAKE_SILENCE}};
        Fixture fixture;
        start(&fixture, script);
        qmp_send(fixture.qmp, "query-a", NULL, 60000, on_reply, &fixture);
        GThread *thread = g_thread_new("forever", call_forever, fixture.qmp);
        wait_noted(&fixture, "STOP");
        loop_thread_run(fixture.loop, close_qmp, fixture.qmp);
        g_thread_join(thread);
        qmp_send(fixture.qmp, "query-b", NULL, 60000, on_reply, &fixture);
        g_assert_null(strstr(fixture.log->str, "reply"));
        g_assert_null(strstr(fixture.log->str, "closed"));
        fixture_close(&fixture);
}

/* A worker that lets go of the last reference leaves the tearing down to the context's thread. */
static void test_last_unref_elsewhere(void)
{
        static const FakeStep script[] = {{FAKE_EVENT, "STOP"}, {FAKE_EVENT, "RESUME"}, {FAKE_SILENCE}};
        Fixture fixture;
        start(&fixture, script);
        qmp_unref(qmp_ref(fixture.qmp));
        g_clear_pointer(&fixture.qmp, qmp_unref);
        fixture_close(&fixture);
}

static void assert_does_not_connect(const FakeStep *script, int code)
{
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        fixture_open(&fixture, script);
        g_assert_false(fixture_connect(&fixture, 200, &error));
        g_assert_error(error, HOSTLER_ERROR, code);
        g_assert_cmpstr(fixture.log->str, ==, "");
        fixture_close(&fixture);
}

static void test_connect_fails(void)
{
        static const FakeStep garbage[] = {{FAKE_RAW, NULL, "SSH-2.0-OpenSSH_9.2\r\n"}, {FAKE_SILENCE}};
        static const FakeStep refusal[] = {
            {FAKE_EXPECT, "qmp_capabilities"}, {FAKE_REFUSE, NULL, "GenericError"}, {FAKE_END}};
        static const FakeStep silence[] = {{FAKE_EXPECT, "qmp_capabilities"}, {FAKE_SILENCE}};
        static const FakeStep hang_up[] = {{FAKE_EXPECT, "qmp_capabilities"}, {FAKE_CLOSE}, {FAKE_END}};
        assert_does_not_connect(garbage, HOSTLER_ERROR_FAILED);
        assert_does_not_connect(refusal, HOSTLER_ERROR_FAILED);
        assert_does_not_connect(silence, HOSTLER_ERROR_UNRESPONSIVE);
        assert_does_not_connect(hang_up, HOSTLER_ERROR_FAILED);
}

static gpointer start_fake_late(gpointer data)
{
        static const FakeStep script[] = {{FAKE_SILENCE}};
        g_usleep(60000);
        return fake_qmp_new(data, script);
}

static void test_waits_for_socket(void)
{
        g_autofree char *folder = g_dir_make_tmp("hostler-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(folder, "qmp", NULL);
        g_autoptr(GError) error = NULL;
        LoopThread *loop = loop_thread_new();
        GMainContext *context = loop_thread_context(loop);
        g_assert_null(qmp_connect(path, false, CONNECT_MS, context, on_event, on_closed, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_clear_error(&error);
        g_assert_null(qmp_connect(path, true, 20, context, on_event, on_closed, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_clear_error(&error);

        GThread *thread = g_thread_new("late", start_fake_late, path);
        Qmp *qmp = qmp_connect(path, true, CONNECT_MS, context, on_event, on_closed, NULL, &error);
        g_assert_no_error(error);
        FakePeer *fake = g_thread_join(thread);
        loop_thread_run(loop, close_qmp, qmp);
        qmp_unref(qmp);
        loop_thread_free(loop);
        fake_peer_free(fake);
        g_assert_no_errno(g_rmdir(folder));
}

/* Descriptors go one command at a time: the second may only be sent when the first is answered. */
static gpointer call_with_fd(gpointer data)
{
        g_assert_true(qmp_call_with_fd(data, "getfd", json_pack("{s:s}", "fdname", "a"), STDIN_FILENO, NULL, NULL));
        return NULL;
}

static void test_descriptors_take_turns(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "getfd"},
            {FAKE_PAUSE, .number = 100},
            {FAKE_EVENT, "STOP"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "getfd"},
            {FAKE_REPLY},
            {FAKE_END},
        };
        Fixture fixture;
        start(&fixture, script);
        GThread *first = g_thread_new("first", call_with_fd, fixture.qmp);
        GThread *second = g_thread_new("second", call_with_fd, fixture.qmp);
        g_thread_join(first);
        g_thread_join(second);
        fixture_close(&fixture);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/qmp/call", test_call);
        g_test_add_func("/qmp/refusal", test_refusal);
        g_test_add_func("/qmp/answers-out-of-order", test_answers_out_of_order);
        g_test_add_func("/qmp/all-at-once", test_all_at_once);
        g_test_add_func("/qmp/events", test_events);
        g_test_add_func("/qmp/silence", test_silence);
        g_test_add_func("/qmp/cancel", test_cancel);
        g_test_add_func("/qmp/qemu-dies", test_qemu_dies);
        g_test_add_func("/qmp/close", test_close);
        g_test_add_func("/qmp/last-unref-elsewhere", test_last_unref_elsewhere);
        g_test_add_func("/qmp/connect-fails", test_connect_fails);
        g_test_add_func("/qmp/waits-for-socket", test_waits_for_socket);
        g_test_add_func("/qmp/descriptors-take-turns", test_descriptors_take_turns);
        return g_test_run();
}
