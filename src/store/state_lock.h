/*
 * One daemon per state folder: a lock that the kernel holds for the daemon's life and drops with it, however it ends.
 *
 * Nothing has to be removed by hand after a crash: the lock is flock(2) on the open file, not the file's existence. Any
 * thread.
 */
#pragma once

#include <glib.h>

typedef struct StateLock StateLock;

/*
 * Takes DIR/lock and writes the own pid into it. HOSTLER_ERROR_BUSY names the pid that holds it. The file is
 * close-on-exec, so no child keeps it. Freed with state_lock_free(), which gives it up.
 */
StateLock *state_lock_take(const char *dir, GError **error);
void state_lock_free(StateLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateLock, state_lock_free)
