/* Unit tests of wire/byte_stream.c against a peer in this thread: order, waiting, a peer that goes or takes nothing. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/byte_stream.h"

typedef struct {
        char *dir, *path;
        int listener, peer; /* blocking */
        ByteStream *stream;
        GByteArray *came;
        char *closed;
        bool detach_when_closed;
} Fixture;

static void on_bytes(const void *bytes, gsize length, void *data)
{
        g_byte_array_append(((Fixture *)data)->came, bytes, (guint)length);
}

static void detach(Fixture *fixture)
{
        ByteStream *stream = g_steal_pointer(&fixture->stream);
        stream->ops->detach(stream);
}

static void on_closed(const char *reason, void *data)
{
        Fixture *fixture = data;
        g_assert_null(fixture->closed);
        fixture->closed = g_strdup(reason);
        if (fixture->detach_when_closed)
                detach(fixture);
}

static void set_up(Fixture *fixture, const void *data)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_autoptr(GError) error = NULL;
        *fixture = (Fixture){.dir = g_dir_make_tmp("byte-stream-XXXXXX", NULL), .came = g_byte_array_new()};
        fixture->path = g_build_filename(fixture->dir, "socket", NULL);
        g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
        fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(bind(fixture->listener, (struct sockaddr *)&address, sizeof address));
        g_assert_no_errno(listen(fixture->listener, 1));
        ByteSink sink = {.bytes = on_bytes, .closed = on_closed, .data = fixture};
        byte_stream_connect(fixture->path, &sink, &fixture->stream, &error);
        g_assert_no_error(error);
        fixture->peer = accept(fixture->listener, NULL, NULL);
        g_assert_cmpint(fixture->peer, >=, 0);
}

static void tear_down(Fixture *fixture, const void *data)
{
        if (fixture->stream)
                detach(fixture);
        if (fixture->peer >= 0)
                close(fixture->peer);
        close(fixture->listener);
        g_unlink(fixture->path);
        g_rmdir(fixture->dir);
        g_byte_array_unref(fixture->came);
        g_free(fixture->closed);
        g_free(fixture->path);
        g_free(fixture->dir);
}

static void run_until(Fixture *fixture, guint came)
{
        while (fixture->came->len < came && !fixture->closed)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpmem(fixture->came->data, fixture->came->len, "one two", came);
}

static void test_both_ways(Fixture *fixture, const void *data)
{
        char text[8] = "";
        g_assert_cmpint(write(fixture->peer, "one", 3), ==, 3);
        run_until(fixture, 3);
        fixture->stream->ops->write(fixture->stream, "th", 2);
        fixture->stream->ops->write(fixture->stream, "ree", 3);
        while (recv(fixture->peer, text, sizeof text, MSG_PEEK | MSG_DONTWAIT) < 5)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(read(fixture->peer, text, sizeof text), ==, 5);
        g_assert_cmpstr(text, ==, "three");
}

static void test_hold(Fixture *fixture, const void *data)
{
        g_assert_cmpint(write(fixture->peer, "one", 3), ==, 3);
        run_until(fixture, 3);
        fixture->stream->ops->hold(fixture->stream, true);
        g_assert_cmpint(write(fixture->peer, " two", 4), ==, 4);
        while (g_main_context_iteration(NULL, FALSE))
                ;
        g_assert_cmpuint(fixture->came->len, ==, 3);
        fixture->stream->ops->hold(fixture->stream, false);
        run_until(fixture, 7);
}

/* The sink may let go of the stream in its last call. */
static void test_peer_goes(Fixture *fixture, const void *data)
{
        fixture->detach_when_closed = data != NULL;
        g_assert_cmpint(write(fixture->peer, "one", 3), ==, 3);
        close(fixture->peer);
        fixture->peer = -1;
        run_until(fixture, 3);
        while (!fixture->closed)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpstr(fixture->closed, ==, "the other end has closed");
        if (!fixture->stream)
                return;
        fixture->stream->ops->write(fixture->stream, "x", 1);
        fixture->stream->ops->hold(fixture->stream, false);
        g_assert_false(g_main_context_iteration(NULL, FALSE));
}

static void test_peer_takes_nothing(Fixture *fixture, const void *data)
{
        static const char piece[64 * 1024];
        for (int i = 0; i < 1000 && !fixture->closed; i++) {
                fixture->stream->ops->write(fixture->stream, piece, sizeof piece);
                g_main_context_iteration(NULL, FALSE);
        }
        g_assert_cmpstr(fixture->closed, ==, "the other end takes nothing");
}

static void add(const char *name, const void *data, void (*test)(Fixture *fixture, const void *data))
{
        g_autofree char *path = g_strconcat("/byte-stream/", name, NULL);
        g_test_add(path, Fixture, data, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        add("both-ways", NULL, test_both_ways);
        add("hold", NULL, test_hold);
        add("peer-goes", NULL, test_peer_goes);
        add("peer-goes-and-is-let-go", "yes", test_peer_goes);
        add("peer-takes-nothing", NULL, test_peer_takes_nothing);
        return g_test_run();
}
