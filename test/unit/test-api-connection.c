/*
 * The daemon's socket and the account of connections: who may take the place, who is cut off when.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/connection.h"
#include "api/listen.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

/* ---- the socket ---- */

static void take_none(int fd_taken, void *data)
{
        close(fd_taken);
}

static void not_full(void *data)
{
        g_assert_not_reached();
}

static Listener *open_at(const char *path, GError **error)
{
        return listener_open(path, 0600, AUTH_NO_GROUP, g_main_context_default(), take_none, not_full, NULL, error);
}

static void test_listen(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-listen-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "socket", NULL);
        g_autoptr(GError) error = NULL;
        struct stat status;

        Listener *first = open_at(path, &error);
        g_assert_no_error(error);
        g_assert_cmpint(stat(path, &status), ==, 0);
        g_assert_cmpint(status.st_mode & 07777, ==, 0600);
        g_assert_null(open_at(path, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_BUSY);
        listener_close(first);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        g_assert_true(dir_remove(dir, NULL));
}

/* What a killed daemon leaves is replaced; what is no socket is not touched. */
static void test_listen_stale(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-listen-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "socket", NULL);
        g_autofree char *file = g_build_filename(dir, "file", NULL);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_autoptr(GError) error = NULL;

        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
        close(fd);
        Listener *listener = open_at(path, &error);
        g_assert_no_error(error);

        g_assert_true(g_file_set_contents(file, "text", -1, NULL));
        g_assert_null(open_at(file, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_EXISTS);
        g_clear_error(&error);
        g_assert_true(g_file_test(file, G_FILE_TEST_IS_REGULAR));

        /* Another daemon's socket at the same place is not this one's to remove. */
        g_assert_cmpint(rename(file, path), ==, 0);
        listener_close(listener);
        g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
        g_autofree char *nowhere = g_build_filename(dir, "no", "socket", NULL);
        g_assert_null(open_at(nowhere, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_assert_true(dir_remove(dir, NULL));
}

static void test_listen_long_path(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-listen-XXXXXX", NULL);
        g_autofree char *deep = g_strnfill(200, 'd');
        g_autofree char *folder = g_build_filename(dir, deep, NULL);
        g_autofree char *path = g_build_filename(folder, "socket", NULL);
        g_autoptr(GError) error = NULL;

        g_assert_true(dir_ensure(folder, NULL));
        Listener *listener = open_at(path, &error);
        g_assert_no_error(error);
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
        listener_close(listener);
        g_assert_true(dir_remove(dir, NULL));
}

static void count_one(int fd_taken, void *data)
{
        close(fd_taken);
        ++*(unsigned *)data;
}

static void count_full(void *data)
{
        *(unsigned *)data += 100;
}

/* Without descriptors the caller is told, and once there are some again it goes on. */
static void test_listen_without_descriptors(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-listen-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "socket", NULL);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct rlimit limit, none;
        unsigned count = 0;

        Listener *listener =
            listener_open(path, 0600, AUTH_NO_GROUP, g_main_context_default(), count_one, count_full, &count, NULL);
        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), next = dup(fd);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
        close(next);
        getrlimit(RLIMIT_NOFILE, &limit);
        none = limit;
        none.rlim_cur = (rlim_t)next;
        setrlimit(RLIMIT_NOFILE, &none);
        while (count < 100)
                g_main_context_iteration(NULL, true);
        setrlimit(RLIMIT_NOFILE, &limit);
        while (count % 100 == 0)
                g_main_context_iteration(NULL, true);
        close(fd);
        listener_close(listener);
        g_assert_true(dir_remove(dir, NULL));
}

/* ---- the account ---- */

static void keep_ready(GIOStream *stream, GSocketAddress *address, void *data)
{
        g_ptr_array_add(data, g_object_ref(address));
}

typedef struct {
        Connections *connections;
        GPtrArray *ready; /* GSocketAddress: those that libsoup would hold */
} Account;

static Account account_new(Role role)
{
        AuthRule rule = {.system_mode = role == ROLE_OPERATOR, .owner = getuid(), .operators = getgid()};
        Account account = {.ready = g_ptr_array_new_with_free_func(g_object_unref)};

        clock_set_fake(1000, 1000);
        account.connections = connections_new(&rule, g_main_context_default(), keep_ready, account.ready);
        return account;
}

static void account_free(Account *account)
{
        g_ptr_array_unref(account->ready);
        connections_free(account->connections);
        clock_set_fake(-1, -1);
}

static int client_new(Account *account)
{
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        connections_accept(account->connections, pair[1]);
        return pair[0];
}

static Connection *speak(Account *account, int fd)
{
        guint before = account->ready->len;

        g_assert_cmpint(send(fd, "G", 1, MSG_NOSIGNAL), ==, 1);
        while (account->ready->len == before)
                g_main_context_iteration(NULL, true);
        return connection_of(account->ready->pdata[before]);
}

static bool is_open(int fd)
{
        char c;

        return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static void sweep_at(Account *account, int64_t ms)
{
        clock_set_fake(ms, ms);
        connections_sweep(account->connections);
}

static void test_time_limits(void)
{
        Account account = account_new(ROLE_ADMIN);
        int idle = client_new(&account), slow = client_new(&account), served = client_new(&account);

        speak(&account, slow);
        connection_enter(speak(&account, served), CONNECTION_SERVING);
        sweep_at(&account, 1000 + API_REQUEST_MS - 1);
        g_assert_true(is_open(idle) && is_open(slow) && is_open(served));
        sweep_at(&account, 1000 + API_REQUEST_MS);
        g_assert_true(is_open(idle) && !is_open(slow) && is_open(served));
        sweep_at(&account, 1000 + API_IDLE_MS);
        g_assert_true(!is_open(idle) && is_open(served));

        /* An answer that is not taken. */
        Connection *connection = connection_of(account.ready->pdata[1]);
        connection_enter(connection, CONNECTION_WRITING);
        sweep_at(&account, 1000 + 2 * API_IDLE_MS - 1);
        g_assert_true(is_open(served));
        connection_progress(connection);
        sweep_at(&account, 1000 + 2 * API_IDLE_MS);
        g_assert_true(is_open(served));
        sweep_at(&account, 1000 + 4 * API_IDLE_MS);
        g_assert_false(is_open(served));
        g_assert_cmpuint(connections_count(account.connections), ==, 0);
        close(idle);
        close(slow);
        close(served);
        account_free(&account);
}

/* Fills the account to @limit with half-sent requests and one that is served; the next one takes the oldest half-sent
 * one's place. */
static void check_limit(Role role, guint limit)
{
        Account account = account_new(role);
        g_autofree int *fds = g_new(int, limit + 1);

        for (guint i = 0; i < limit; i++) {
                clock_set_fake(1000 + i, 1000 + i);
                fds[i] = client_new(&account);
                Connection *connection = speak(&account, fds[i]);
                if (i == 0)
                        connection_enter(connection, CONNECTION_SERVING);
        }
        g_assert_true(is_open(fds[1]));
        fds[limit] = client_new(&account);
        g_assert_cmpuint(connections_count(account.connections), ==, limit);
        g_assert_true(is_open(fds[0]) && !is_open(fds[1]) && is_open(fds[2]) && is_open(fds[limit]));
        for (guint i = 0; i <= limit; i++)
                close(fds[i]);
        account_free(&account);
}

static void test_limit(void)
{
        check_limit(ROLE_ADMIN, API_CONNECTIONS);
}

/* The system calls themselves change this thread only, unlike the C library's functions. */
static gpointer as_operator(gpointer data)
{
        if (getuid() == 0) {
                g_assert_cmpint(syscall(SYS_setgroups, 0, NULL), ==, 0);
                g_assert_cmpint(syscall(SYS_setresgid, 4242, 4242, 4242), ==, 0);
                g_assert_cmpint(syscall(SYS_setresuid, 4242, 4242, 4242), ==, 0);
        }
        check_limit(ROLE_OPERATOR, API_CONNECTIONS_PER_UID);
        return NULL;
}

static void test_limit_of_user(void)
{
        g_thread_join(g_thread_new("operator", as_operator, NULL));
}

/* All are being served: the new one is told so. */
static void test_refused(void)
{
        Account account = account_new(ROLE_ADMIN);
        g_autofree int *fds = g_new(int, API_CONNECTIONS + 1);
        char text[512] = "";

        for (int i = 0; i < API_CONNECTIONS; i++) {
                fds[i] = client_new(&account);
                connection_enter(speak(&account, fds[i]), CONNECTION_SERVING);
        }
        fds[API_CONNECTIONS] = client_new(&account);
        g_assert_cmpint(recv(fds[API_CONNECTIONS], text, sizeof(text) - 1, 0), >, 0);
        g_assert_true(g_str_has_prefix(text, "HTTP/1.1 429 "));
        g_assert_nonnull(strstr(text, "\"too-many\""));
        g_assert_false(connections_evict(account.connections));
        for (int i = 0; i <= API_CONNECTIONS; i++)
                close(fds[i]);
        account_free(&account);
}

int main(int argc, char **argv)
{
        struct rlimit limit;

        g_test_init(&argc, &argv, NULL);
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        g_test_add_func("/api/listen/modes", test_listen);
        g_test_add_func("/api/listen/stale", test_listen_stale);
        g_test_add_func("/api/listen/long-path", test_listen_long_path);
        g_test_add_func("/api/listen/without-descriptors", test_listen_without_descriptors);
        g_test_add_func("/api/connection/time-limits", test_time_limits);
        g_test_add_func("/api/connection/limit", test_limit);
        g_test_add_func("/api/connection/limit-of-user", test_limit_of_user);
        g_test_add_func("/api/connection/refused", test_refused);
        return g_test_run();
}
