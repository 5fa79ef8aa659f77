/*
 * Where a daemon keeps its state and listens: one rule for the daemon, the client library and the command line.
 *
 *   state:  what was said, else $HOSTLER_STATE, else $XDG_STATE_HOME/hostler, else ~/.local/state/hostler
 *   socket: what was said, else $HOSTLER_SOCKET, else STATE/api.sock when the state was said by either way, else
 *           $XDG_RUNTIME_DIR/hostler/api.sock, else STATE/api.sock
 *
 * The system daemon has /var/lib/hostler and /run/hostler/api.sock. Pure but for the environment; any thread.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

typedef struct {
        char *state; /* NULL when only a socket was said: then nobody knows, and no daemon can be started for it */
        char *socket;
        bool chosen; /* the caller or the environment said something: no other daemon will do */
} Locations;
void locations_clear(Locations *locations);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Locations, locations_clear)

/* For a client. @state and @socket: what the command line says, or NULL. Relative paths are made absolute. */
void locations_for_client(const char *state, const char *socket, Locations *ret_locations);
/* For a daemon: as for a client, but the state is always known; @system changes the defaults. */
void locations_for_daemon(bool system, const char *state, const char *socket, Locations *ret_locations);

/*
 * The address of a Unix socket whose path may be longer than sun_path: then *@ret_directory_fd is the folder, which
 * must stay open while the address is in use (else -1), and the address goes through /proc/self/fd. NULL and error when
 * there is no such folder.
 */
GSocketAddress *socket_address_for_path(const char *path, int *ret_directory_fd, GError **error);
