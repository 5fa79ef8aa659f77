/*
 * Looks at folders that may never answer: see pool_answers.h. Called by types of pools before they touch theirs, so
 * that a share without its server costs one thread and no job, no round of measurements and no end of the daemon.
 */
#include "storage/pool_answers.h"

#include <errno.h>

#include "base/error.h"
#include "base/file.h"

#define WAIT_US (3 * G_USEC_PER_SEC)

/* The thread's and its starter's; whoever is last frees it. */
typedef struct {
        char *folder;
        int references;
        bool done;
        int code; /* errno */
        struct statvfs space;
} Look;

static GMutex lock; /* of all below, and of all looks */
static GCond changed;
static GHashTable *silent; /* of folders: a thread waits for them */

static void look_unref(Look *look)
{
        if (--look->references > 0)
                return;
        g_free(look->folder);
        g_free(look);
}

static gpointer look_there(gpointer data)
{
        Look *look = data;
        struct statvfs space;
        int code = statvfs(look->folder, &space) < 0 ? errno : 0;
        g_mutex_lock(&lock);
        look->space = space;
        look->code = code;
        look->done = true;
        g_hash_table_remove(silent, look->folder);
        g_cond_broadcast(&changed);
        look_unref(look);
        g_mutex_unlock(&lock);
        return NULL;
}

/* Under the lock. */
static bool start_look(Look *look)
{
        if (!silent)
                silent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        look->references++;
        g_autoptr(GThread) thread = g_thread_try_new("pool", look_there, look, NULL);
        if (!thread)
                look->references--;
        return thread != NULL;
}

/* Under the lock. Of many who ask about one folder at a time each has a thread, until one has waited in vain. */
static bool look_in_time(Look *look)
{
        int64_t deadline_us = g_get_monotonic_time() + WAIT_US;
        if (silent && g_hash_table_contains(silent, look->folder))
                return false;
        if (!start_look(look))
                return false;
        while (!look->done)
                if (!g_cond_wait_until(&changed, &lock, deadline_us))
                        break;
        if (!look->done)
                g_hash_table_add(silent, g_strdup(look->folder));
        return look->done;
}

bool pool_answers(const char *folder, struct statvfs *ret_space, GError **error)
{
        Look *look = g_new0(Look, 1);
        look->folder = g_strdup(folder);
        look->references = 1;
        g_mutex_lock(&lock);
        bool answered = look_in_time(look);
        int code = look->code;
        *ret_space = look->space;
        look_unref(look);
        g_mutex_unlock(&lock);
        if (answered)
                return code == 0 || error_set_errno(error, code, NULL, "cannot look at %s", folder);
        error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "%s does not answer", folder);
        return error_hint(error, "see whether the server of what is mounted there runs");
}
