/* Unit tests of wire/guest_agent*.c against a scripted agent: syncs, lateness, queueing, garbage, floods, programs,
 * files. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "fake/fake_agent.h"
#include "fake/loop_thread.h"
#include "wire/guest_agent.h"

typedef struct {
        char *folder;
        LoopThread *loop;
        FakePeer *fake;
        GuestAgent *agent;
        gint replies; /* of guest_agent_send(), atomic */
} Fixture;

static void start(Fixture *fixture, const FakeStep *script)
{
        g_autoptr(GError) error = NULL;
        *fixture = (Fixture){0};
        fixture->folder = g_dir_make_tmp("hostler-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(fixture->folder, "agent", NULL);
        fixture->loop = loop_thread_new();
        fixture->fake = fake_agent_new(path, script);
        fixture->agent = guest_agent_connect(path, loop_thread_context(fixture->loop), &error);
        g_assert_no_error(error);
}

static void close_agent(void *data)
{
        guest_agent_close(data);
}

static void stop(Fixture *fixture)
{
        loop_thread_run(fixture->loop, close_agent, fixture->agent);
        guest_agent_unref(fixture->agent);
        loop_thread_free(fixture->loop);
        fake_peer_free(fixture->fake);
        g_assert_no_errno(g_rmdir(fixture->folder));
        g_free(fixture->folder);
}

static void assert_answers(Fixture *fixture, const char *command, int64_t timeout_ms, const char *expected)
{
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        guest_agent_call(fixture->agent, command, NULL, timeout_ms, NULL, &result, &error);
        g_assert_no_error(error);
        g_autofree char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
        g_assert_cmpstr(text, ==, expected);
        json_decref(result);
}

static void assert_fails(Fixture *fixture, const char *command, int64_t timeout_ms, int code)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(guest_agent_call(fixture->agent, command, NULL, timeout_ms, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, code);
}

static void test_call(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-ping"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-info", "{\"a\": 1}"},
            {FAKE_REPLY, NULL, "{\"version\": \"7.2\"}"},
            {FAKE_EXPECT, "guest-nonsense"},
            {FAKE_REFUSE, NULL, "CommandNotFound"},
            {FAKE_END},
        };
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        start(&fixture, script);
        assert_answers(&fixture, "guest-ping", 5000, "{}");
        g_assert_true(
            guest_agent_call(fixture.agent, "guest-info", json_pack("{s:i}", "a", 1), 5000, NULL, &result, &error));
        g_assert_cmpstr(json_string_value(json_object_get(result, "version")), ==, "7.2");
        json_decref(result);
        assert_fails(&fixture, "guest-nonsense", 5000, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

/* Nobody is there; then somebody comes, who must not find the old command waiting. */
static void test_absent(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-sync-delimited"},
            {FAKE_EXPECT, "guest-ping"},
            {FAKE_REPLY},
            {FAKE_END},
        };
        Fixture fixture;
        start(&fixture, script);
        int64_t began_ms = clock_monotonic_ms();
        assert_fails(&fixture, "guest-shutdown", 100, HOSTLER_ERROR_NO_AGENT);
        g_assert_cmpint(clock_monotonic_ms() - began_ms, <, 3000);
        assert_answers(&fixture, "guest-ping", 5000, "{}");
        stop(&fixture);
}

/* The answer to the first command comes while the second waits for its sync, complete with an old sync and half a
 * value. */
static void test_late_answer(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-slow"},
            {FAKE_EXPECT, "guest-sync-delimited"},
            {FAKE_REPLY, "guest-slow", "\"late\""},
            {FAKE_RAW, NULL, "\xff{\"return\": 12345}\n\xff{\"return\": \"unfini"},
            {FAKE_RAW, NULL, "\xff{\"return\": \"text\"}{\"error\": {}}"},
            {FAKE_REPLY, "guest-sync-delimited", "0"},
            {FAKE_END},
        };
        Fixture fixture;
        start(&fixture, script);
        assert_fails(&fixture, "guest-slow", 100, HOSTLER_ERROR_UNRESPONSIVE);
        assert_fails(&fixture, "guest-next", 200, HOSTLER_ERROR_NO_AGENT);
        stop(&fixture);

        static const FakeStep recovered[] = {
            {FAKE_EXPECT, "guest-slow"},
            {FAKE_PAUSE, .number = 200},
            {FAKE_REPLY, NULL, "\"late\""},
            {FAKE_RAW, NULL, "{\"return\": \"unfini"},
            {FAKE_EXPECT, "guest-next"},
            {FAKE_REPLY, NULL, "\"right\""},
            {FAKE_END},
        };
        start(&fixture, recovered);
        assert_fails(&fixture, "guest-slow", 100, HOSTLER_ERROR_UNRESPONSIVE);
        assert_answers(&fixture, "guest-next", 5000, "\"right\"");
        stop(&fixture);
}

static void count_reply(GuestAgent *agent, const json_t *result, const GError *error, void *user_data)
{
        Fixture *fixture = user_data;
        g_assert_no_error(error);
        g_atomic_int_inc(&fixture->replies);
}

static void test_queue(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-one"},
            {FAKE_PAUSE, .number = 100},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-two"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-three"},
            {FAKE_REPLY, NULL, "3"},
            {FAKE_END},
        };
        Fixture fixture;
        start(&fixture, script);
        guest_agent_send(fixture.agent, "guest-one", NULL, 5000, count_reply, &fixture);
        guest_agent_send(fixture.agent, "guest-two", NULL, 5000, count_reply, &fixture);
        assert_fails(&fixture, "guest-impatient", 20, HOSTLER_ERROR_BUSY);
        assert_answers(&fixture, "guest-three", 5000, "3");
        g_assert_cmpint(g_atomic_int_get(&fixture.replies), ==, 2);
        stop(&fixture);
}

static gpointer cancel_soon(gpointer data)
{
        g_usleep(50000);
        g_cancellable_cancel(data);
        return NULL;
}

/* A cancelled command makes room at once, and one that waits is never sent. */
static void test_cancel(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-slow"}, {FAKE_EXPECT, "guest-ping"}, {FAKE_REPLY}, {FAKE_END}};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        start(&fixture, script);
        int64_t began_ms = clock_monotonic_ms();
        GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
        g_assert_false(guest_agent_call(fixture.agent, "guest-slow", NULL, 60000, cancellable, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_CANCELLED);
        g_thread_join(thread);
        g_clear_error(&error);
        g_assert_false(guest_agent_call(fixture.agent, "guest-never", NULL, 60000, cancellable, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_CANCELLED);
        assert_answers(&fixture, "guest-ping", 5000, "{}");
        g_assert_cmpint(clock_monotonic_ms() - began_ms, <, 5000);
        stop(&fixture);
}

static void test_order(void)
{
        static const FakeStep silent[] = {{FAKE_EXPECT, "guest-shutdown"}, {FAKE_SILENCE}};
        static const FakeStep gone[] = {{FAKE_EXPECT, "guest-shutdown"}, {FAKE_CLOSE}, {FAKE_END}};
        static const FakeStep refused[] = {
            {FAKE_EXPECT, "guest-shutdown"}, {FAKE_REFUSE, NULL, "GenericError"}, {FAKE_END}};
        Fixture fixture;
        start(&fixture, silent);
        g_assert_true(guest_agent_order(fixture.agent, "guest-shutdown", NULL, 100, NULL));
        stop(&fixture);
        start(&fixture, gone);
        g_assert_true(guest_agent_order(fixture.agent, "guest-shutdown", NULL, 5000, NULL));
        stop(&fixture);
        start(&fixture, refused);
        g_assert_false(guest_agent_order(fixture.agent, "guest-shutdown", NULL, 5000, NULL));
        stop(&fixture);
}

/* Each is a guest that breaks the protocol after the command; the next command works on a new connection. */
static void assert_survives(FakeStep breach)
{
        const FakeStep script[] = {
            {FAKE_EXPECT, "guest-info"}, breach, {FAKE_EXPECT, "guest-ping"}, {FAKE_REPLY}, {FAKE_END}};
        Fixture fixture;
        start(&fixture, script);
        assert_fails(&fixture, "guest-info", 1000, HOSTLER_ERROR_UNRESPONSIVE);
        assert_answers(&fixture, "guest-ping", 5000, "{}");
        stop(&fixture);
}

static void test_hostile(void)
{
        assert_survives((FakeStep){FAKE_RAW, NULL, "Welcome to Debian! login: "});
        assert_survives((FakeStep){FAKE_RAW, NULL, "{\"return\": [}]}"});
        assert_survives((FakeStep){FAKE_RAW, NULL, "{\"return\": {\"never\": \"finished"});
        assert_survives((FakeStep){FAKE_FLOOD, NULL, "[", 1000});
        assert_survives((FakeStep){FAKE_FLOOD, NULL, "{\"return\": \"xxxxxxxxxxxxxxxxxxxxxxxx", 2 << 20});
        assert_survives((FakeStep){FAKE_FLOOD, NULL, "        \n\xff", 1 << 20});
}

static void test_exec(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-exec",
             "{\"path\": \"cat\", \"arg\": [\"-n\", \"f\"], \"capture-output\": true, \"input-data\": \"aGkA\"}"},
            {FAKE_REPLY, NULL, "{\"pid\": 77}"},
            {FAKE_EXPECT, "guest-exec-status", "{\"pid\": 77}"},
            {FAKE_REPLY, NULL, "{\"exited\": false}"},
            {FAKE_EXPECT, "guest-exec-status", "{\"pid\": 77}"},
            {FAKE_REPLY, NULL,
             "{\"exited\": true, \"exitcode\": 3, \"out-data\": \"AAH/\", \"err-data\": \"b2Rk\", \"err-truncated\": "
             "true}"},
            {FAKE_EXPECT, "guest-exec"},
            {FAKE_REPLY, NULL, "{\"pid\": 78}"},
            {FAKE_EXPECT, "guest-exec-status"},
            {FAKE_REPLY, NULL, "{\"exited\": true, \"signal\": 9}"},
            {FAKE_END},
        };
        static const char *const argv[] = {"cat", "-n", "f", NULL};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) input = g_bytes_new("hi", 3);
        GuestExecResult result;
        start(&fixture, script);
        g_assert_true(guest_agent_exec(fixture.agent, argv, input, 10000, NULL, &result, &error));
        g_assert_cmpint(result.exit_code, ==, 3);
        g_assert_cmpmem(g_bytes_get_data(result.out, NULL), g_bytes_get_size(result.out), "\x00\x01\xff", 3);
        g_assert_cmpmem(g_bytes_get_data(result.err, NULL), g_bytes_get_size(result.err), "odd", 3);
        g_assert_true(result.truncated);
        guest_exec_result_clear(&result);
        g_assert_true(guest_agent_exec(fixture.agent, argv, NULL, 0, NULL, &result, &error));
        g_assert_cmpint(result.exit_code, ==, 128 + 9);
        g_assert_cmpint(g_bytes_get_size(result.out), ==, 0);
        guest_exec_result_clear(&result);
        stop(&fixture);
}

static void test_exec_fails(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-exec"},
            {FAKE_REPLY, NULL, "{\"pid\": 77}"},
            {FAKE_EXPECT, "guest-exec-status"}, /* once, and the time is up, however slow this machine is */
            {FAKE_REPLY, NULL, "{\"exited\": false}"},
            {FAKE_EXPECT, "guest-exec"},
            {FAKE_REPLY, NULL, "{\"pid\": \"x\"}"},
            {FAKE_END},
        };
        static const char *const argv[] = {"sleep", NULL};
        static const char *const not_text[] = {"echo", "\xff\xfe", NULL};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        GuestExecResult result;
        start(&fixture, script);
        g_assert_false(guest_agent_exec(fixture.agent, argv, NULL, 1, NULL, &result, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_TIMEOUT);
        g_clear_error(&error);
        g_assert_false(guest_agent_exec(fixture.agent, argv, NULL, 1000, NULL, &result, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        g_clear_error(&error);
        g_assert_false(guest_agent_exec(fixture.agent, not_text, NULL, 1000, NULL, &result, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_INVALID);
        g_clear_error(&error);
        g_autofree char *much = g_malloc0((2 << 20) + 1);
        g_autoptr(GBytes) input = g_bytes_new(much, (2 << 20) + 1);
        g_assert_false(guest_agent_exec(fixture.agent, argv, input, 1000, NULL, &result, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_TOO_LARGE);
        stop(&fixture);
}

static void test_file_read(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-file-open", "{\"path\": \"/etc/motd\", \"mode\": \"r\"}"},
            {FAKE_REPLY, NULL, "1000"},
            {FAKE_EXPECT, "guest-file-seek", "{\"handle\": 1000, \"offset\": 5000000000, \"whence\": \"set\"}"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-file-read", "{\"handle\": 1000, \"count\": 1048576}"},
            {FAKE_REPLY, NULL, "{\"count\": 2, \"buf-b64\": \"aGk=\", \"eof\": false}"},
            {FAKE_EXPECT, "guest-file-read", "{\"handle\": 1000, \"count\": 1048574}"},
            {FAKE_REPLY, NULL, "{\"count\": 0, \"buf-b64\": \"\", \"eof\": true}"},
            {FAKE_EXPECT, "guest-file-close", "{\"handle\": 1000}"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-file-open"},
            {FAKE_REPLY, NULL, "1001"},
            {FAKE_EXPECT, "guest-file-read"},
            {FAKE_REPLY, NULL, "{\"count\": 3, \"buf-b64\": \"AAAAAAAA\", \"eof\": false}"},
            {FAKE_EXPECT, "guest-file-close", "{\"handle\": 1001}"},
            {FAKE_REPLY},
            {FAKE_END},
        };
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = NULL;
        bool eof = false;
        start(&fixture, script);
        g_assert_true(guest_agent_file_read(fixture.agent, "/etc/motd", 5000000000, 9 << 20, &bytes, &eof, &error));
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "hi", 2);
        g_assert_true(eof);
        g_assert_false(
            guest_agent_file_read(fixture.agent, "/etc/motd", 0, 3, &bytes, &eof, &error)); /* more than asked for */
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

static void test_file_write(void)
{
        static const FakeStep script[] = {
            {FAKE_EXPECT, "guest-file-open", "{\"path\": \"/f\", \"mode\": \"w\"}"},
            {FAKE_REPLY, NULL, "5"},
            {FAKE_EXPECT, "guest-file-write", "{\"handle\": 5, \"buf-b64\": \"aGkA\"}"},
            {FAKE_REPLY, NULL, "{\"count\": 1, \"eof\": false}"},
            {FAKE_EXPECT, "guest-file-write", "{\"handle\": 5, \"buf-b64\": \"aQA=\"}"},
            {FAKE_REPLY, NULL, "{\"count\": 2, \"eof\": false}"},
            {FAKE_EXPECT, "guest-file-close"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-file-open", "{\"path\": \"/f\", \"mode\": \"r+\"}"},
            {FAKE_REPLY, NULL, "6"},
            {FAKE_EXPECT, "guest-file-seek", "{\"handle\": 6, \"offset\": 3, \"whence\": \"set\"}"},
            {FAKE_REPLY},
            {FAKE_EXPECT, "guest-file-write"},
            {FAKE_REPLY, NULL, "{\"count\": 3, \"eof\": false}"},
            {FAKE_EXPECT, "guest-file-close"},
            {FAKE_REFUSE, NULL, "GenericError"}, /* the guest's disk is full */
            {FAKE_END},
        };
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = g_bytes_new("hi", 3);
        start(&fixture, script);
        g_assert_true(guest_agent_file_write(fixture.agent, "/f", 0, bytes, &error));
        g_assert_false(guest_agent_file_write(fixture.agent, "/f", 3, bytes, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

static gpointer call_forever(gpointer data)
{
        Fixture *fixture = data;
        assert_fails(fixture, "guest-slow", 60000, HOSTLER_ERROR_FAILED);
        return NULL;
}

static void test_close(void)
{
        static const FakeStep script[] = {{FAKE_EXPECT, "guest-slow"}, {FAKE_SILENCE}};
        Fixture fixture;
        start(&fixture, script);
        GThread *thread = g_thread_new("forever", call_forever, &fixture);
        g_usleep(100000);
        guest_agent_send(fixture.agent, "guest-ping", NULL, 5000, count_reply, &fixture);
        loop_thread_run(fixture.loop, close_agent, fixture.agent);
        g_thread_join(thread);
        assert_fails(&fixture, "guest-ping", 5000, HOSTLER_ERROR_FAILED);
        g_assert_cmpint(g_atomic_int_get(&fixture.replies), ==, 0);
        stop(&fixture);
}

static json_t *unsent;

static void send_and_close(void *data)
{
        Fixture *fixture = data;
        guest_agent_send(fixture->agent, "guest-ping", json_incref(unsent), 5000, count_reply, fixture);
        guest_agent_close(fixture->agent);
}

/* What waits while nothing is under way is given up too. */
static void test_close_before_the_first(void)
{
        static const FakeStep script[] = {{FAKE_SILENCE}};
        Fixture fixture;
        start(&fixture, script);
        unsent = json_object();
        loop_thread_run(fixture.loop, send_and_close, &fixture);
        g_assert_cmpuint(unsent->refcount, ==, 1);
        json_decref(unsent);
        g_assert_cmpint(g_atomic_int_get(&fixture.replies), ==, 0);
        stop(&fixture);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/guest-agent/call", test_call);
        g_test_add_func("/guest-agent/absent", test_absent);
        g_test_add_func("/guest-agent/late-answer", test_late_answer);
        g_test_add_func("/guest-agent/queue", test_queue);
        g_test_add_func("/guest-agent/cancel", test_cancel);
        g_test_add_func("/guest-agent/order", test_order);
        g_test_add_func("/guest-agent/hostile", test_hostile);
        g_test_add_func("/guest-agent/exec", test_exec);
        g_test_add_func("/guest-agent/exec-fails", test_exec_fails);
        g_test_add_func("/guest-agent/file-read", test_file_read);
        g_test_add_func("/guest-agent/file-write", test_file_write);
        g_test_add_func("/guest-agent/close", test_close);
        g_test_add_func("/guest-agent/close-before-the-first", test_close_before_the_first);
        return g_test_run();
}
