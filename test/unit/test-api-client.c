/*
 * The real client against the real server: what one sends the other understands.
 */
#include <string.h>
#include <unistd.h>

#include "api-daemon.h"
#include "base/error.h"
#include "client/client.h"
#include "hostler-records.h"

typedef struct {
        Daemon daemon;
        HostlerClient *client;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;

        daemon_init(&fixture->daemon);
        daemon_up(&fixture->daemon);
        fixture->client = client_open(NULL, fixture->daemon.socket, false, &error);
        g_assert_no_error(error);
}

static void tear_down(Fixture *fixture, const void *data)
{
        client_close(fixture->client);
        daemon_open_gate(&fixture->daemon, true);
        daemon_down(&fixture->daemon);
        daemon_clear(&fixture->daemon);
}

static json_t *call(Fixture *fixture, const char *noun, const char *name, const char *args, bool dry_run,
                    GError **error)
{
        json_auto_t *json = json_loads(args, 0, NULL);
        ClientOptions options = {.dry_run = dry_run};
        g_autofree char *body = NULL;
        gsize length = 0;

        if (!client_call(fixture->client, verb_find(noun, name), json, &options, &body, &length, error))
                return NULL;
        return json_loads(body, 0, NULL);
}

static void test_calls(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *list = call(fixture, "vm", "ls", "{\"limit\":2}", false, &error);

        g_assert_no_error(error);
        g_assert_cmpint((int)json_array_size(list), ==, 2);
        g_assert_null(call(fixture, "vm", "show", "{\"vm\":\"none\"}", false, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_assert_cmpstr(error_object(error), ==, "vm/none");
}

static void test_dry_run(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *plan = call(fixture, "vm", "start", "{\"vm\":\"web1\"}", true, &error);

        g_assert_no_error(error);
        g_assert_cmpint((int)json_array_size(json_object_get(plan, "steps")), ==, 2);
}

static bool open_gate(const HostlerJob *job, void *data)
{
        daemon_open_gate(data, true);
        return true;
}

static void test_job(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        HostlerJob job;

        json_auto_t *accepted = call(fixture, "vm", "start", "{\"vm\":\"web1\"}", false, &error);
        g_assert_no_error(error);
        const char *id = json_string_value(json_object_get(accepted, "id"));
        g_assert_true(
            client_job_wait(fixture->client, id, 30000, 100, open_gate, &fixture->daemon, NULL, &job, &error));
        g_assert_no_error(error);
        g_assert_cmpint(job.state, ==, HOSTLER_JOB_STATE_DONE);
        record_clear(&hostler_job_type, &job);
}

static void test_precondition(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        HostlerJob job;

        json_auto_t *accepted = call(
            fixture, "vm", "set", "{\"vm\":\"web1\",\"generation\":7,\"spec\":{\"cpu\":{\"count\":2}}}", false, &error);
        g_assert_no_error(error);
        const char *id = json_string_value(json_object_get(accepted, "id"));
        g_assert_true(client_job_wait(fixture->client, id, 30000, 1000, NULL, NULL, NULL, &job, &error));
        g_autoptr(GError) failure = client_job_error(&job);
        g_assert_error(failure, HOSTLER_ERROR, HOSTLER_ERROR_PRECONDITION);
        record_clear(&hostler_job_type, &job);
}

typedef struct {
        json_int_t last;
        unsigned count;
} Seen;

static bool see(const char *text, void *data)
{
        Seen *seen = data;
        json_auto_t *event = json_loads(text, 0, NULL);
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));

        g_assert_cmpint((int)seq, ==, (int)seen->last + 1);
        seen->last = seq;
        return ++seen->count < 200;
}

static void emit_many(Daemon *daemon)
{
        for (int i = 0; i < 200; i++)
                event_emit(daemon->manager.events, "vm-changed", "vm/web1", json_pack("{s:i}", "generation", i));
}

static void test_events(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        Seen seen = {0};

        daemon_do(&fixture->daemon, emit_many);
        g_assert_true(client_events(fixture->client, 0, NULL, see, &seen, NULL, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(seen.count, ==, 200);
}

static void read_text(int fd, const char *expected)
{
        char text[64] = "";
        size_t length = 0;

        while (length < strlen(expected)) {
                ssize_t count = read(fd, text + length, sizeof(text) - 1 - length);
                g_assert_cmpint(count, >, 0);
                length += (size_t)count;
        }
        g_assert_cmpstr(text, ==, expected);
}

static void test_console(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *reason = NULL;
        json_auto_t *none = json_pack("{s:s}", "vm", "none"), *args = json_pack("{s:s}", "vm", "web1");
        const VerbDecl *verb = verb_find("vm", "console");
        char byte;
        int fd;

        g_assert_null(client_stream_attach(fixture->client, verb, none, &fd, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_clear_error(&error);
        HostlerStream *stream = client_stream_attach(fixture->client, verb, args, &fd, &error);
        g_assert_no_error(error);
        read_text(fd, "login: ");
        g_assert_cmpint(write(fd, "hello", 5), ==, 5);
        read_text(fd, "HELLO");
        g_assert_cmpint(write(fd, "x", 1), ==, 1);
        g_assert_cmpint(read(fd, &byte, 1), ==, 0);
        client_stream_close(stream, &reason);
        g_assert_cmpstr(reason, ==, "the guest has gone");
        close(fd);
}

static void add(const char *name, void (*test)(Fixture *fixture, const void *data))
{
        g_autofree char *path = g_strconcat("/api/client/", name, NULL);

        g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        add("calls", test_calls);
        add("dry-run", test_dry_run);
        add("job", test_job);
        add("precondition", test_precondition);
        add("events", test_events);
        add("console", test_console);
        return g_test_run();
}
