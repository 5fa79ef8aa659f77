/* Unit tests of wire/json_stream.c and unix_connect.c on socket pairs: order, full queues, descriptors, closing,
 * freeing. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "wire/json_stream.h"

typedef struct {
        JsonStream *stream;
        int other; /* the peer's end, blocking */
        int values;
        json_int_t last;
        char *closed; /* the reason */
        bool free_in_callback;
} Pair;

static void on_value(JsonStream *stream, json_t *value, void *data)
{
        Pair *pair = data;
        pair->values++;
        pair->last = json_integer_value(json_object_get(value, "n"));
        if (pair->free_in_callback)
                g_clear_pointer(&pair->stream, json_stream_free);
}

static void on_closed(JsonStream *stream, const GError *reason, void *data)
{
        Pair *pair = data;
        g_assert_null(pair->closed);
        pair->closed = g_strdup(reason->message);
}

static void pair_open(Pair *pair)
{
        int ends[2];
        *pair = (Pair){0};
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
        pair->other = ends[1];
        pair->stream = json_stream_new(ends[0], 4 << 20, NULL, on_value, on_closed, pair);
}

static void pair_close(Pair *pair)
{
        json_stream_free(pair->stream);
        if (pair->other >= 0)
                close(pair->other);
        g_free(pair->closed);
}

static void write_text(const Pair *pair, const char *text)
{
        g_assert_cmpint(send(pair->other, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

static void run_until_closed(const Pair *pair)
{
        while (!pair->closed)
                g_main_context_iteration(NULL, TRUE);
}

static void test_receive(void)
{
        Pair pair;
        pair_open(&pair);
        write_text(&pair, "{\"n\": 1}\r\n{\"n\": 2}{\"n\"");
        while (pair.values < 2)
                g_main_context_iteration(NULL, TRUE);
        write_text(&pair, ": 3}");
        while (pair.values < 3)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(pair.last, ==, 3);
        g_assert_cmpint(json_stream_idle_ms(pair.stream), <, 5000);
        pair_close(&pair);
}

/* What came before the end is still passed on, also when writing fails first: QEMU's last event counts. */
static void test_last_words(void)
{
        Pair pair;
        pair_open(&pair);
        write_text(&pair, "{\"n\": 7}");
        close(pair.other);
        pair.other = -1;
        json_t *value = json_object();
        g_autoptr(GError) error = NULL;
        g_assert_false(json_stream_send(pair.stream, value, NULL, -1, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        run_until_closed(&pair);
        g_assert_cmpint(pair.last, ==, 7);
        g_assert_false(json_stream_send(pair.stream, value, NULL, -1, NULL));
        json_decref(value);
        pair_close(&pair);
}

static void test_garbage_closes(void)
{
        Pair pair;
        pair_open(&pair);
        write_text(&pair, "{\"n\": 1} Segmentation fault");
        run_until_closed(&pair);
        g_assert_cmpint(pair.values, ==, 1);
        g_assert_nonnull(strstr(pair.closed, "not JSON"));
        pair_close(&pair);
}

static void test_free_in_callback(void)
{
        Pair pair;
        pair_open(&pair);
        pair.free_in_callback = true;
        write_text(&pair, "{\"n\": 1}{\"n\": 2}{\"n\": 3}");
        while (pair.stream)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(pair.values, ==, 1);
        pair_close(&pair);
}

/* More than a socket holds: lets the stream read meanwhile. */
static void write_much(const Pair *pair, const GString *text)
{
        for (gsize at = 0; at < text->len && !pair->closed;) {
                ssize_t count = send(pair->other, text->str + at, text->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
                at += count > 0 ? (gsize)count : 0;
                g_main_context_iteration(NULL, FALSE);
        }
}

/* {"n": @number, "text": "xxx…"}, of @length bytes, with @end for its last. */
static GString *large_value(int number, gsize length, char end)
{
        GString *text = g_string_new(NULL);
        g_string_printf(text, "{\"n\": %d, \"text\": \"", number);
        g_string_set_size(text, length);
        gsize begun = strlen(text->str);
        memset(text->str + begun, 'x', length - begun);
        text->str[length - 2] = '"';
        text->str[length - 1] = end;
        return text;
}

/* Large values are parsed elsewhere; what follows them still comes after them. */
static void test_large_values(void)
{
        Pair pair;
        pair_open(&pair);
        g_autoptr(GString) text = large_value(1, 1 << 20, '}');
        g_string_append(text, "{\"n\": 2}{\"n\"");
        write_much(&pair, text);
        while (pair.values < 2)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(pair.last, ==, 2);
        g_autoptr(GString) again = large_value(4, 3 << 20, '}');
        g_string_prepend(again, ": 3}");
        write_much(&pair, again);
        while (pair.values < 4)
                g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(pair.last, ==, 4);
        pair_close(&pair);
}

static void test_large_garbage_closes(void)
{
        Pair pair;
        pair_open(&pair);
        g_autoptr(GString) text = large_value(1, 1 << 20, ']');
        g_string_append(text, "{\"n\": 2}");
        write_much(&pair, text);
        run_until_closed(&pair);
        g_assert_cmpint(pair.values, ==, 0);
        pair_close(&pair);
}

static bool send_large(Pair *pair)
{
        g_autoptr(GString) text = large_value(1, 1 << 20, '}');
        g_string_append(text, "{\"n\": 2}");
        write_much(pair, text);
        for (int i = 0; i < 5; i++)
                g_main_context_iteration(NULL, FALSE);
        return pair->values == 0;
}

/* Neither a freed stream nor one that skips hears of what is still being parsed. */
static void test_large_value_dropped(void)
{
        Pair pair;
        pair_open(&pair);
        send_large(&pair);
        g_clear_pointer(&pair.stream, json_stream_free);
        int values = pair.values;
        g_usleep(100000);
        while (g_main_context_iteration(NULL, FALSE))
                continue;
        g_assert_cmpint(pair.values, ==, values);
        pair_close(&pair);

        pair_open(&pair);
        bool parsing = send_large(&pair);
        json_stream_skip_to_sentinel(pair.stream);
        write_text(&pair, "{\"n\": 3}\xff{\"n\": 4}");
        while (pair.last != 4)
                g_main_context_iteration(NULL, TRUE);
        if (parsing)
                g_assert_cmpint(pair.values, ==, 1);
        pair_close(&pair);
}

/* More than a socket holds, so that it goes through the queue; the other end must see every byte in order. */
static void test_queue_keeps_order(void)
{
        Pair pair;
        pair_open(&pair);
        g_autofree char *text = g_strnfill(100000, 'x');
        json_t *value = json_pack("{s:s}", "text", text);
        g_autofree char *line = json_dumps(value, JSON_COMPACT);
        gsize length = strlen(line) + 2; /* sentinel and newline */
        for (int i = 0; i < 20; i++)
                g_assert_true(json_stream_send(pair.stream, value, "\xff", -1, NULL));
        g_autofree char *got = g_malloc(length * 20);
        for (gsize count = 0; count < length * 20;) {
                while (g_main_context_iteration(NULL, FALSE))
                        continue;
                ssize_t now = recv(pair.other, got + count, length * 20 - count, MSG_DONTWAIT);
                count += now > 0 ? (gsize)now : 0;
        }
        for (int i = 0; i < 20; i++) {
                g_assert_cmpint((guchar)got[length * i], ==, 0xff);
                g_assert_cmpmem(got + length * i + 1, length - 2, line, length - 2);
                g_assert_cmpint(got[length * (i + 1) - 1], ==, '\n');
        }
        json_decref(value);
        pair_close(&pair);
}

static void test_full_queue_closes(void)
{
        Pair pair;
        pair_open(&pair);
        g_autofree char *text = g_strnfill(1000000, 'x');
        json_t *value = json_pack("{s:s}", "text", text);
        g_autoptr(GError) error = NULL;
        int sent = 0;
        while (json_stream_send(pair.stream, value, NULL, -1, &error))
                sent++;
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNRESPONSIVE);
        g_assert_cmpint(sent, <=, 6);
        run_until_closed(&pair);
        json_decref(value);
        pair_close(&pair);
}

static int receive_fd(int socket_fd)
{
        char bytes[256], control[CMSG_SPACE(sizeof(int))];
        struct iovec piece = {bytes, sizeof bytes};
        struct msghdr message = {
            .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        g_assert_cmpint(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC), >, 0);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int fd = -1;
        if (header)
                memcpy(&fd, CMSG_DATA(header), sizeof fd);
        return fd;
}

static void test_passes_descriptor(void)
{
        Pair pair;
        pair_open(&pair);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        json_t *value = json_object();
        g_assert_true(json_stream_send(pair.stream, value, NULL, null, NULL));
        int received = receive_fd(pair.other);
        struct stat ours, theirs;
        g_assert_no_errno(fstat(null, &ours));
        g_assert_no_errno(fstat(received, &theirs));
        g_assert_cmpint(ours.st_rdev, ==, theirs.st_rdev);
        g_assert_true(json_stream_send(pair.stream, value, NULL, -1, NULL));
        g_assert_cmpint(receive_fd(pair.other), ==, -1);
        close(received);
        close(null);
        json_decref(value);
        pair_close(&pair);
}

static int listen_in(const char *folder, const char *name)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_autofree char *previous = g_get_current_dir();
        g_assert_no_errno(g_chdir(folder));
        g_strlcpy(address.sun_path, name, sizeof address.sun_path);
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof address));
        g_assert_no_errno(listen(listener, 0));
        g_assert_no_errno(g_chdir(previous));
        return listener;
}

static void test_unix_connect(void)
{
        g_autofree char *top = g_dir_make_tmp("hostler-XXXXXX", NULL);
        g_autofree char *long_name = g_strnfill(200, 'd');
        g_autofree char *folder = g_build_filename(top, long_name, NULL);
        g_autofree char *path = g_build_filename(folder, "qmp", NULL);
        g_autoptr(GError) error = NULL;
        g_assert_no_errno(g_mkdir(folder, 0700));
        g_assert_cmpint(unix_connect(path, &error), ==, -1);
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_clear_error(&error);

        int listener = listen_in(folder, "qmp");
        int first = unix_connect(path, &error);
        g_assert_no_error(error);
        g_assert_cmpint(first, >=, 0);
        g_assert_cmpint(unix_connect(path, &error), ==, -1); /* the backlog is full */
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNRESPONSIVE);
        g_clear_error(&error);

        close(listener);
        g_assert_cmpint(unix_connect(path, &error), ==, -1);
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNREACHABLE);
        close(first);
        g_assert_true(dir_remove(top, NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/json-stream/receive", test_receive);
        g_test_add_func("/json-stream/last-words", test_last_words);
        g_test_add_func("/json-stream/garbage-closes", test_garbage_closes);
        g_test_add_func("/json-stream/free-in-callback", test_free_in_callback);
        g_test_add_func("/json-stream/large-values", test_large_values);
        g_test_add_func("/json-stream/large-garbage-closes", test_large_garbage_closes);
        g_test_add_func("/json-stream/large-value-dropped", test_large_value_dropped);
        g_test_add_func("/json-stream/queue-keeps-order", test_queue_keeps_order);
        g_test_add_func("/json-stream/full-queue-closes", test_full_queue_closes);
        g_test_add_func("/json-stream/passes-descriptor", test_passes_descriptor);
        g_test_add_func("/json-stream/unix-connect", test_unix_connect);
        return g_test_run();
}
