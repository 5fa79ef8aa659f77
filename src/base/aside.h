/*
 * Work on files whose file system may never answer: frozen, or on a server that is gone. Nobody can be called back from
 * that, so such work is done on a thread that can be left behind.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* False with @error set. @data: what was given to aside_run(). */
typedef bool (*AsideFunc)(void *data, GError **error);
/*
 * Runs @work(@data) on a thread of its own, and waits for it for at most @limit_ms. HOSTLER_ERROR_UNRESPONSIVE when it
 * is not done by then: it goes on by itself, as long as the process lives, and what comes of it nobody hears. @data is
 * a g_atomic_rc_box of which the thread holds a reference, given back with @clear. Any thread.
 */
bool aside_run(AsideFunc work, void *data, GDestroyNotify clear, int64_t limit_ms, GError **error);
/*
 * dir_remove_durably() of a file or folder. HOSTLER_ERROR_UNRESPONSIVE when it is not gone within a few seconds; then
 * it goes as soon as the file system answers.
 */
bool aside_remove(const char *path, GError **error);
/* Whether it is about to go: what is written there now would go with it. */
bool aside_is_removing(const char *path);
/* Closes a descriptor, for which a file system may want to write first; waits for that no longer than a moment. */
void aside_close(int fd);
