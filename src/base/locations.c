/*
 * Where a daemon keeps its state and listens. Only says so: makes no folder, opens no socket. Called by the daemon at
 * its start and by the client library before it connects.
 */
#include "base/locations.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

static char *absolute_or_null(const char *said, const char *variable);
static char *default_state(void);
static char *default_socket(const char *state);

void locations_clear(Locations *locations)
{
        g_clear_pointer(&locations->state, g_free);
        g_clear_pointer(&locations->socket, g_free);
}

void locations_for_client(const char *state, const char *socket, Locations *ret_locations)
{
        g_autofree char *said_state = absolute_or_null(state, "HOSTLER_STATE");
        g_autofree char *said_socket = absolute_or_null(socket, "HOSTLER_SOCKET");

        /* A path on the command line is meant; the other one lying around in the environment belongs to another daemon.
         */
        if (state && !socket)
                g_clear_pointer(&said_socket, g_free);
        if (socket && !state)
                g_clear_pointer(&said_state, g_free);

        *ret_locations = (Locations){.chosen = said_state || said_socket};
        if (said_socket) {
                ret_locations->socket = g_steal_pointer(&said_socket);
                ret_locations->state = g_steal_pointer(&said_state);
        } else if (said_state) {
                ret_locations->socket = g_build_filename(said_state, "api.sock", NULL);
                ret_locations->state = g_steal_pointer(&said_state);
        } else {
                ret_locations->state = default_state();
                ret_locations->socket = default_socket(ret_locations->state);
        }
}

void locations_for_daemon(bool system, const char *state, const char *socket, Locations *ret_locations)
{
        if (system) {
                *ret_locations = (Locations){
                    .state = g_canonicalize_filename(state ? state : "/var/lib/hostler", NULL),
                    .socket = g_canonicalize_filename(socket ? socket : "/run/hostler/api.sock", NULL),
                    .chosen = state || socket,
                };
                return;
        }
        locations_for_client(state, socket, ret_locations);
        if (!ret_locations->state)
                ret_locations->state = default_state();
}

GSocketAddress *socket_address_for_path(const char *path, int *ret_directory_fd, GError **error)
{
        *ret_directory_fd = -1;
        if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path))
                return g_unix_socket_address_new(path);

        g_autofree char *directory = g_path_get_dirname(path);
        g_autofree char *name = g_path_get_basename(path);
        int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                error_set_errno(error, errno, NULL, "cannot open %s", directory);
                return NULL;
        }
        g_autofree char *shorter = g_strdup_printf("/proc/self/fd/%d/%s", fd, name);
        *ret_directory_fd = fd;
        return g_unix_socket_address_new(shorter);
}

static char *absolute_or_null(const char *said, const char *variable)
{
        const char *path = said ? said : g_getenv(variable);

        return path && *path ? g_canonicalize_filename(path, NULL) : NULL;
}

static char *default_state(void)
{
        return g_build_filename(g_get_user_state_dir(), "hostler", NULL);
}

static char *default_socket(const char *state)
{
        const char *runtime = g_getenv("XDG_RUNTIME_DIR");

        if (runtime && g_path_is_absolute(runtime))
                return g_build_filename(runtime, "hostler", "api.sock", NULL);
        return g_build_filename(state, "api.sock", NULL);
}
