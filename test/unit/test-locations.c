/* The one rule of where a daemon is, with every way of saying it. */
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <unistd.h>

#include "base/locations.h"

static void set_environment(const char *state, const char *socket, const char *runtime)
{
        g_unsetenv("HOSTLER_STATE");
        g_unsetenv("HOSTLER_SOCKET");
        g_unsetenv("XDG_RUNTIME_DIR");
        if (state)
                g_setenv("HOSTLER_STATE", state, true);
        if (socket)
                g_setenv("HOSTLER_SOCKET", socket, true);
        if (runtime)
                g_setenv("XDG_RUNTIME_DIR", runtime, true);
}

static void expect(const char *state, const char *socket, const char *want_state, const char *want_socket)
{
        g_auto(Locations) found = {0};

        locations_for_client(state, socket, &found);
        g_assert_cmpstr(found.state, ==, want_state);
        g_assert_cmpstr(found.socket, ==, want_socket);
}

static void test_client(void)
{
        g_autofree char *state = g_build_filename(g_get_user_state_dir(), "hostler", NULL);
        g_autofree char *socket = g_build_filename(state, "api.sock", NULL);

        set_environment(NULL, NULL, NULL);
        expect(NULL, NULL, state, socket);
        set_environment(NULL, NULL, "/run/user/7");
        expect(NULL, NULL, state, "/run/user/7/hostler/api.sock");
        set_environment("/s", NULL, "/run/user/7");
        expect(NULL, NULL, "/s", "/s/api.sock");
        expect("/t", NULL, "/t", "/t/api.sock");
        expect(NULL, "/x.sock", NULL, "/x.sock");
        set_environment("/s", "/x.sock", NULL);
        expect(NULL, NULL, "/s", "/x.sock");
        expect("/t", NULL, "/t", "/t/api.sock");
        expect("/t", "/y.sock", "/t", "/y.sock");
        set_environment(NULL, "/x.sock", NULL);
        expect(NULL, NULL, NULL, "/x.sock");
}

static void test_daemon(void)
{
        g_auto(Locations) system = {0}, session = {0};
        g_autofree char *state = g_build_filename(g_get_user_state_dir(), "hostler", NULL);

        set_environment("/s", NULL, NULL);
        locations_for_daemon(true, NULL, NULL, &system);
        g_assert_cmpstr(system.state, ==, "/var/lib/hostler");
        g_assert_cmpstr(system.socket, ==, "/run/hostler/api.sock");
        set_environment(NULL, NULL, NULL);
        locations_for_daemon(false, NULL, "/x.sock", &session);
        g_assert_cmpstr(session.state, ==, state);
        g_assert_cmpstr(session.socket, ==, "/x.sock");
}

static void test_long_path(void)
{
        g_autofree char *top = g_dir_make_tmp("hostler-XXXXXX", NULL);
        g_autofree char *long_name = g_strnfill(120, 'a');
        g_autofree char *directory = g_build_filename(top, long_name, NULL);
        g_autofree char *path = g_build_filename(directory, "api.sock", NULL);
        g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);
        g_autoptr(GError) error = NULL;
        int fd;

        g_assert_null(socket_address_for_path(path, &fd, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
        g_autoptr(GSocketAddress) address = socket_address_for_path(path, &fd, &error);
        g_assert_no_error(error);
        g_assert_true(g_socket_bind(socket, address, false, &error));
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
        close(fd);
        unlink(path);
        rmdir(directory);
        rmdir(top);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/locations/client", test_client);
        g_test_add_func("/locations/daemon", test_daemon);
        g_test_add_func("/locations/long-path", test_long_path);
        return g_test_run();
}
