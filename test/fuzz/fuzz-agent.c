/*
 * Fuzzes wire/guest_agent.c: the input is what a hostile guest says, in turns. Whatever it says, each request ends
 * exactly once.
 *
 * In the input, 0x00 ends a turn (the client reads all before the next), 0x01 lets six seconds pass, 0x02 hangs up and
 * '@' stands for the id of the latest sync, without which no guest gets further.
 */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "wire/guest_agent.h"
#include "wire/json_stream.h"

#define REQUEST_MS 8000
#define TURN_MS 6000

/* The guest's side of the port. */
typedef struct {
        int connection;         /* -1: none */
        JsonSplitter *splitter; /* of what the client says */
        json_int_t sync_id;
        int64_t now_ms;
        int asked, ended; /* requests */
} Port;

static void count_end(GuestAgent *agent, const json_t *result, const GError *error, void *user_data)
{
        Port *port = user_data;
        g_assert_true((result == NULL) != (error == NULL));
        port->ended++;
}

static void ask(Port *port, GuestAgent *agent)
{
        guest_agent_send(agent, "guest-info", NULL, REQUEST_MS, count_end, port);
        port->asked++;
}

static void note_sync(json_t *command, void *data)
{
        Port *port = data;
        const json_t *id = json_object_get(json_object_get(command, "arguments"), "id");
        if (json_is_integer(id))
                port->sync_id = json_integer_value(id);
}

static void hang_up(Port *port)
{
        if (port->connection >= 0)
                close(port->connection);
        port->connection = -1;
        g_clear_pointer(&port->splitter, json_splitter_free);
}

/* Lets the client work off everything, and hears what it says. */
static void settle(Port *port)
{
        char bytes[4096];
        ssize_t count = 1;
        while (g_main_context_iteration(NULL, FALSE) || count > 0) {
                if (fuzz_connection_waits()) {
                        hang_up(port);
                        port->connection = fuzz_accept();
                        port->splitter = json_splitter_new(4096);
                }
                count = port->connection >= 0 ? recv(port->connection, bytes, sizeof bytes, MSG_DONTWAIT) : -1;
                if (count > 0)
                        g_assert_true(json_splitter_feed(port->splitter, bytes, (gsize)count, note_sync, port, NULL));
        }
}

static void pass_time(Port *port, GuestAgent *agent, int64_t ms)
{
        port->now_ms += ms;
        clock_set_fake(port->now_ms, port->now_ms);
        ask(port, agent); /* wakes the client: its alarm counts real time */
        settle(port);
}

static void say(Port *port, const uint8_t *bytes, gsize length)
{
        g_autoptr(GString) text = g_string_new_len((const char *)bytes, (gssize)length);
        g_autofree char *id = g_strdup_printf("%lld", (long long)port->sync_id);
        if (memchr(bytes, '@', length))
                g_string_replace(text, "@", id, 8);
        if (port->connection >= 0)
                send(port->connection, text->str, text->len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void play(Port *port, GuestAgent *agent, const uint8_t *data, size_t size)
{
        for (size_t at = 0, length; at < size; at += length + 1) {
                for (length = 0; at + length < size && data[at + length] > 2; length++)
                        continue;
                say(port, data + at, length);
                settle(port);
                if (at + length < size && data[at + length] == 1)
                        pass_time(port, agent, TURN_MS);
                else if (at + length < size && data[at + length] == 2)
                        hang_up(port);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Port guest = {.connection = -1, .now_ms = 1000000};
        Port *port = &guest;
        clock_set_fake(port->now_ms, port->now_ms);
        GuestAgent *agent = guest_agent_connect(fuzz_socket_path(), NULL, NULL);
        g_assert_nonnull(agent);
        ask(port, agent);
        ask(port, agent);
        settle(port);
        play(port, agent, data, size);
        pass_time(port, agent, REQUEST_MS + 1);
        pass_time(port, agent, REQUEST_MS + 1);
        g_assert_cmpint(port->ended, ==, port->asked - 1); /* all but the one that just came */
        guest_agent_close(agent);
        guest_agent_unref(agent);
        settle(port);
        g_assert_cmpint(port->ended, ==, port->asked - 1);
        hang_up(port);
        return 0;
}
