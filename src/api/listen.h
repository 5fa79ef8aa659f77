/*
 * The daemon's Unix socket: made so that nobody reaches it before it is ready, and never taken from a daemon that
 * lives.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Listener Listener;

/* On the context of listener_open(). @fd_taken: a connected, non-blocking socket. */
typedef void (*ListenerFunc)(int fd_taken, void *data);
/* No more file descriptors: give some back, if that can be done. */
typedef void (*ListenerFullFunc)(void *data);

/*
 * Listens on @path, of any length. The socket is bound under a temporary name in the same folder, given @mode (and
 * @group unless it is (gid_t)-1) and renamed, so it appears complete. A stale socket is replaced. HOSTLER_ERROR_BUSY if
 * a daemon answers on it, HOSTLER_ERROR_EXISTS if something other than a socket is there. Accepts on @context once it
 * runs.
 */
Listener *listener_open(const char *path, mode_t mode, gid_t group, GMainContext *context, ListenerFunc accepted,
                        ListenerFullFunc full, void *data, GError **error);
/* Removes the socket too, if it is still this listener's. */
void listener_close(Listener *listener);
