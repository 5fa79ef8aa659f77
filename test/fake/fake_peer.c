/*
 * A scripted other end of a JSON socket. One thread accepts one connection after another and plays the script; faults
 * are kept and fail the test in fake_peer_free(), on the test's own thread. Called by fake_qmp.c and fake_agent.c.
 */
#include "fake/fake_peer.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/json_stream.h"

#define PLAY_LIMIT_MS 5000
#define COMMAND_LIMIT_BYTES (64 << 20)

struct FakePeer {
        const FakeProtocol *protocol;
        char *path;
        int listener;
        int stop; /* eventfd */
        GThread *thread;

        /* the thread's own */
        const FakeStep *step;
        int connection; /* -1: none */
        JsonSplitter *splitter;
        GQueue received; /* json_t *, not looked at yet */
        GPtrArray *open; /* json_t *, expected and not answered yet; the last is the newest */

        GMutex mutex; /* guards what follows */
        GCond changed;
        bool played;
        char *fault;
};

static void set_fault(FakePeer *peer, const char *what, const char *detail)
{
        g_mutex_lock(&peer->mutex);
        if (!peer->fault)
                peer->fault = g_strdup_printf("%s: %s", what, detail);
        g_mutex_unlock(&peer->mutex);
}

/* True when @fd can be read, false when the peer is to stop. */
static bool wait_readable(FakePeer *peer, int fd)
{
        struct pollfd watched[] = {{.fd = peer->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        while (poll(watched, 2, -1) < 0 && errno == EINTR)
                continue;
        return !watched[0].revents;
}

static void hang_up(FakePeer *peer)
{
        if (peer->connection >= 0)
                close(peer->connection);
        peer->connection = -1;
        g_clear_pointer(&peer->splitter, json_splitter_free);
}

static bool send_bytes(FakePeer *peer, const char *bytes, gsize length)
{
        while (length > 0) {
                ssize_t count = send(peer->connection, bytes, length, MSG_NOSIGNAL);
                if (count <= 0)
                        return false;
                bytes += count;
                length -= (gsize)count;
        }
        return true;
}

static void send_value(FakePeer *peer, json_t *value_taken, const char *prefix)
{
        g_autofree char *text = json_dumps(value_taken, JSON_COMPACT);
        g_autofree char *line = g_strconcat(prefix, text, "\r\n", NULL);
        json_decref(value_taken);
        send_bytes(peer, line, strlen(line));
}

static const char *name_of(const json_t *command)
{
        const char *name = json_string_value(json_object_get(command, "execute"));
        return name ? name : "(no command)";
}

static void send_answer(FakePeer *peer, const json_t *command, json_t *answer_taken)
{
        json_t *id = json_object_get(command, "id");
        if (id)
                json_object_set(answer_taken, "id", id);
        send_value(peer, answer_taken, g_strcmp0(name_of(command), peer->protocol->prefix_of) ? "" : "\xff");
}

static void keep_command(json_t *value, void *data)
{
        FakePeer *peer = data;
        g_queue_push_tail(&peer->received, json_incref(value));
}

/* Accepts when there is no connection, then reads once. False when the peer is to stop. */
static bool receive(FakePeer *peer)
{
        char bytes[4096];
        if (!wait_readable(peer, peer->connection >= 0 ? peer->connection : peer->listener))
                return false;
        if (peer->connection < 0) {
                peer->connection = accept(peer->listener, NULL, NULL);
                peer->splitter = json_splitter_new(COMMAND_LIMIT_BYTES);
                if (peer->protocol->greeting)
                        send_bytes(peer, peer->protocol->greeting, strlen(peer->protocol->greeting));
                return true;
        }
        ssize_t count = recv(peer->connection, bytes, sizeof bytes, 0);
        if (count <= 0)
                hang_up(peer);
        else if (!json_splitter_feed(peer->splitter, bytes, (gsize)count, keep_command, peer, NULL))
                set_fault(peer, "not JSON", bytes);
        return true;
}

/* The next command that the script must know about; answers the others itself. NULL when the peer is to stop. */
static json_t *next_command(FakePeer *peer, const char *expected)
{
        for (;;) {
                json_t *command = g_queue_pop_head(&peer->received);
                if (!command && !receive(peer))
                        return NULL;
                if (!command)
                        continue;
                json_t *answer = g_strcmp0(name_of(command), expected) ? peer->protocol->answer(command) : NULL;
                if (!answer)
                        return command;
                send_answer(peer, command, answer);
                json_decref(command);
        }
}

static json_t *parse(const char *json)
{
        json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
        g_assert_nonnull(value);
        return value;
}

static bool expect(FakePeer *peer, const FakeStep *step)
{
        json_t *command = next_command(peer, step->name);
        if (!command)
                return false;
        g_autofree char *text = json_dumps(command, JSON_COMPACT);
        if (strcmp(name_of(command), step->name) != 0)
                set_fault(peer, step->name, text);
        json_t *arguments = step->json ? parse(step->json) : NULL;
        if (arguments && !json_equal(arguments, json_object_get(command, "arguments")))
                set_fault(peer, step->json, text);
        json_decref(arguments);
        g_ptr_array_add(peer->open, command);
        return true;
}

static void answer_open(FakePeer *peer, const char *name, json_t *answer_taken)
{
        for (guint i = peer->open->len; i-- > 0;) {
                json_t *command = peer->open->pdata[i];
                if (name && strcmp(name_of(command), name) != 0)
                        continue;
                send_answer(peer, command, answer_taken);
                g_ptr_array_remove_index(peer->open, i);
                return;
        }
        json_decref(answer_taken);
        set_fault(peer, "nothing to answer", name);
}

static void send_event(FakePeer *peer, const FakeStep *step)
{
        json_t *event = json_pack("{s:s, s:{s:i, s:i}}", "event", step->name, "timestamp", "seconds", 1700000000,
                                  "microseconds", 500000);
        if (step->json)
                json_object_set_new(event, "data", parse(step->json));
        send_value(peer, event, "");
}

static void flood(FakePeer *peer, const FakeStep *step)
{
        gsize length = strlen(step->json);
        int per_block = MAX(65536 / (int)length, 1);
        g_autoptr(GString) block = g_string_new(NULL);
        for (int i = 0; i < per_block; i++)
                g_string_append(block, step->json);
        for (int left = step->number; left > 0; left -= per_block)
                if (!send_bytes(peer, block->str, (gsize)MIN(left, per_block) * length))
                        return;
}

static bool play_step(FakePeer *peer, const FakeStep *step)
{
        bool sends = step->action >= FAKE_REPLY && step->action <= FAKE_FLOOD;
        while (sends && peer->connection < 0)
                if (!receive(peer))
                        return false;
        switch (step->action) {
        case FAKE_EXPECT:
                return expect(peer, step);
        case FAKE_REPLY:
                answer_open(peer, step->name, json_pack("{s:o}", "return", parse(step->json ? step->json : "{}")));
                return true;
        case FAKE_REFUSE:
                answer_open(peer, step->name,
                            json_pack("{s:{s:s, s:s}}", "error", "class", step->json, "desc", "as the script says\a"));
                return true;
        case FAKE_EVENT:
                send_event(peer, step);
                return true;
        case FAKE_RAW:
                send_bytes(peer, step->json, strlen(step->json));
                return true;
        case FAKE_FLOOD:
                flood(peer, step);
                return true;
        case FAKE_PAUSE:
                g_usleep((gulong)step->number * 1000);
                return true;
        case FAKE_CLOSE:
                hang_up(peer);
                return true;
        case FAKE_SILENCE:
        case FAKE_END:
                return false;
        }
        return false;
}

static gpointer play(gpointer data)
{
        FakePeer *peer = data;
        while (play_step(peer, peer->step))
                peer->step++;
        g_mutex_lock(&peer->mutex);
        peer->played = peer->step->action == FAKE_END || peer->step->action == FAKE_SILENCE;
        g_cond_signal(&peer->changed);
        g_mutex_unlock(&peer->mutex);
        for (json_t *command; (command = next_command(peer, NULL)); json_decref(command))
                if (peer->step->action == FAKE_END)
                        set_fault(peer, "after the script's end", name_of(command));
        return NULL;
}

static int listen_on(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_assert_cmpint(g_strlcpy(address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        unlink(path);
        g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof address));
        g_assert_no_errno(listen(listener, 4));
        return listener;
}

FakePeer *fake_peer_new(const FakeProtocol *protocol, const char *path, const FakeStep *script)
{
        FakePeer *peer = g_new0(FakePeer, 1);
        peer->protocol = protocol;
        peer->path = g_strdup(path);
        peer->listener = listen_on(path);
        peer->stop = eventfd(0, EFD_CLOEXEC);
        peer->step = script;
        peer->connection = -1;
        peer->open = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
        g_queue_init(&peer->received);
        g_mutex_init(&peer->mutex);
        g_cond_init(&peer->changed);
        peer->thread = g_thread_new("fake", play, peer);
        return peer;
}

static bool wait_played(FakePeer *peer)
{
        int64_t deadline_us = g_get_monotonic_time() + PLAY_LIMIT_MS * 1000;
        g_mutex_lock(&peer->mutex);
        while (!peer->played && g_cond_wait_until(&peer->changed, &peer->mutex, deadline_us))
                continue;
        bool played = peer->played;
        g_mutex_unlock(&peer->mutex);
        return played;
}

void fake_peer_free(FakePeer *peer)
{
        if (!wait_played(peer))
                g_error("the script still waits for %s", peer->step->name);
        g_assert_cmpint(write(peer->stop, &(uint64_t){1}, sizeof(uint64_t)), ==, sizeof(uint64_t));
        g_thread_join(peer->thread);
        g_assert_cmpstr(peer->fault, ==, NULL);
        hang_up(peer);
        close(peer->listener);
        close(peer->stop);
        unlink(peer->path);
        g_queue_clear_full(&peer->received, (GDestroyNotify)json_decref);
        g_ptr_array_unref(peer->open);
        g_cond_clear(&peer->changed);
        g_mutex_clear(&peer->mutex);
        g_free(peer->path);
        g_free(peer);
}
