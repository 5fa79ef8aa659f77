/*
 * The API's streams as a client sees them: server-sent events and the console's WebSocket. The server and store are
 * real.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api-daemon.h"
#include "api/request.h"
#include "base/error.h"

typedef struct {
        Daemon daemon;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        daemon_init(&fixture->daemon);
        daemon_up(&fixture->daemon);
}

static void tear_down(Fixture *fixture, const void *data)
{
        daemon_open_gate(&fixture->daemon, true);
        daemon_down(&fixture->daemon);
        daemon_clear(&fixture->daemon);
}

/* ---- events ---- */

typedef struct {
        int fd;
        FILE *file;
} Stream;

static Stream stream_open(Daemon *daemon, const char *target, const char *headers)
{
        Stream stream = {.fd = http_connect(daemon->socket)};
        char line[4096];

        http_send(stream.fd, "GET", target, headers, NULL);
        stream.file = fdopen(stream.fd, "r");
        g_assert_nonnull(fgets(line, sizeof(line), stream.file));
        g_assert_true(g_str_has_prefix(line, "HTTP/1.1 200"));
        return stream;
}

/* The number of the next event; 0 at the end of the stream. Lines that are not `id:` are chunk sizes, comments and
 * other fields. */
static int64_t stream_next(Stream *stream)
{
        char line[4096];

        while (fgets(line, sizeof(line), stream->file))
                if (g_str_has_prefix(line, "id: "))
                        return g_ascii_strtoll(line + strlen("id: "), NULL, 10);
        return 0;
}

static void emit_many(Daemon *daemon)
{
        for (int i = 0; i < 700; i++)
                event_emit(daemon->manager.events, "vm-changed", i % 2 ? "vm/web1" : "vm/web2",
                           json_pack("{s:i}", "generation", i));
}

static gpointer emit_more(gpointer data)
{
        Daemon *daemon = data;

        for (int i = 0; i < 1500; i++)
                event_emit(daemon->manager.events, "vm-changed", "vm/web1", json_pack("{s:i}", "generation", i));
        return NULL;
}

/* A5: replay and life join without gap or duplicate while events rain, also across a restart of the daemon. */
static void test_event_replay(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        int64_t last = 0;

        daemon_do(daemon, emit_many);
        GThread *rain = g_thread_new("rain", emit_more, daemon);
        Stream stream = stream_open(daemon, "/v1/events/stream?since=0", NULL);
        for (; last < 1000; last++)
                g_assert_cmpint(stream_next(&stream), ==, last + 1);
        g_thread_join(rain);
        daemon_down(daemon);
        for (int64_t next; (next = stream_next(&stream)) != 0; last = next)
                g_assert_cmpint(next, ==, last + 1);
        fclose(stream.file);

        daemon_up(daemon);
        g_autofree char *header =
            g_strdup_printf("Last-Event-ID: %" G_GINT64_FORMAT "\r\nAccept: text/event-stream\r\n", last);
        stream = stream_open(daemon, "/v1/events", header);
        daemon_do(daemon, emit_many);
        for (; last < 2900; last++)
                g_assert_cmpint(stream_next(&stream), ==, last + 1);
        fclose(stream.file);
}

static void test_event_filter(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;

        daemon_do(daemon, emit_many);
        Stream stream = stream_open(daemon, "/v1/events/stream?since=0&object=vm/web1", NULL);
        for (int i = 1; i <= 350; i++)
                g_assert_cmpint(stream_next(&stream), ==, 2 * i);
        daemon_do(daemon, emit_many);
        g_assert_cmpint(stream_next(&stream), ==, 702);
        fclose(stream.file);
}

/* Without `since` only what is new. */
static void test_event_new_only(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;

        daemon_do(daemon, emit_many);
        Stream stream = stream_open(daemon, "/v1/events/stream", NULL);
        daemon_do(daemon, emit_many);
        g_assert_cmpint(stream_next(&stream), ==, 701);
        fclose(stream.file);
}

static void emit_big(Daemon *daemon)
{
        g_autofree char *text = g_strnfill(100000, 'a');

        for (int i = 0; i < 40; i++)
                event_emit(daemon->manager.events, "vm-condition", "vm/web1",
                           json_pack("{s:s, s:b, s:s}", "type", "x", "present", 1, "detail", text));
}

/* A reader who does not read is cut off; the daemon does not keep what he misses. */
static void test_event_slow_reader(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        Stream stream = stream_open(daemon, "/v1/events/stream", NULL);
        int64_t last = 0;

        daemon_do(daemon, emit_big);
        daemon_do(daemon, emit_big);
        g_usleep(200000);
        for (int64_t next; (next = stream_next(&stream)) != 0; last = next)
                g_assert_cmpint(next, ==, last + 1);
        g_assert_cmpint(last, <, 40);
        fclose(stream.file);
}

/* ---- console ---- */

static void send_frame(int fd, guint8 opcode, const char *text)
{
        guint8 frame[64] = {0x80 | opcode, 0x80 | (guint8)strlen(text), 0, 0, 0, 0};

        memcpy(frame + 6, text, strlen(text));
        g_assert_cmpint(send(fd, frame, 6 + strlen(text), MSG_NOSIGNAL), >, 0);
}

/* A short unmasked frame from the server. */
static guint8 receive_frame(int fd, char *text)
{
        guint8 head[2];

        g_assert_cmpint(recv(fd, head, 2, MSG_WAITALL), ==, 2);
        g_assert_cmpint(head[1], <, 126);
        if (head[1] > 0)
                g_assert_cmpint(recv(fd, text, head[1], MSG_WAITALL), ==, head[1]);
        text[head[1]] = '\0';
        return head[0] & 0x0f;
}

static int console_open(Daemon *daemon, const char *vm)
{
        g_autofree char *target = g_strdup_printf("/v1/vms/%s/console", vm);
        int fd = http_connect(daemon->socket);
        g_autoptr(GString) head = g_string_new(NULL);
        char c;

        http_send(fd, "GET", target,
                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                  NULL);
        while (!strstr(head->str, "\r\n\r\n") && recv(fd, &c, 1, 0) == 1)
                g_string_append_c(head, c);
        if (g_str_has_prefix(head->str, "HTTP/1.1 101"))
                return fd;
        g_assert_true(g_str_has_prefix(head->str, "HTTP/1.1 404"));
        close(fd);
        return -1;
}

static void test_console(Fixture *fixture, const void *data)
{
        char text[128];

        g_assert_cmpint(console_open(&fixture->daemon, "none"), ==, -1);
        int fd = console_open(&fixture->daemon, "web1");
        g_assert_cmpint(receive_frame(fd, text), ==, 2);
        g_assert_cmpstr(text, ==, "login: ");
        send_frame(fd, 2, "hello");
        g_assert_cmpint(receive_frame(fd, text), ==, 2);
        g_assert_cmpstr(text, ==, "HELLO");
        send_frame(fd, 1, "x");
        g_assert_cmpint(receive_frame(fd, text), ==, 8);
        g_assert_cmpstr(text + 2, ==, "the guest has gone");
        close(fd);
}

static void test_console_at_stop(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        char text[128];
        int fd = console_open(daemon, "web1");

        receive_frame(fd, text);
        daemon_down(daemon);
        g_assert_cmpint(receive_frame(fd, text), ==, 8);
        g_assert_cmpstr(text + 2, ==, "the daemon is stopping");
        close(fd);
        g_assert_null(daemon->manager.sink.data);
        daemon_up(daemon);
}

static void add(const char *name, void (*test)(Fixture *fixture, const void *data))
{
        g_autofree char *path = g_strconcat("/api/", name, NULL);

        g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        add("event-replay", test_event_replay);
        add("event-filter", test_event_filter);
        add("event-new-only", test_event_new_only);
        add("event-slow-reader", test_event_slow_reader);
        add("console", test_console);
        add("console-at-stop", test_console_at_stop);
        return g_test_run();
}
