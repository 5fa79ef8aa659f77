/*
 * See aside.h. Called by jobs where what they wait for is a file system that has failed them already, or is about to be
 * asked for more than a look.
 */
#include "base/aside.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"

#define REMOVE_MS 3000
#define CLOSE_MS 500

/* The thread's and its starter's; whoever is last frees it. */
typedef struct {
        AsideFunc work;
        void *data;
        GDestroyNotify clear;
        GMutex lock;
        GCond changed;
        GError *error;
        bool done, ok;
} Aside;

static void aside_clear(void *data)
{
        Aside *aside = data;
        g_atomic_rc_box_release_full(aside->data, aside->clear);
        g_clear_error(&aside->error);
        g_mutex_clear(&aside->lock);
        g_cond_clear(&aside->changed);
}

static void *aside_thread(void *data)
{
        Aside *aside = data;
        GError *error = NULL;
        bool ok = aside->work(aside->data, &error);
        g_mutex_lock(&aside->lock);
        aside->ok = ok;
        aside->error = error;
        aside->done = true;
        g_cond_signal(&aside->changed);
        g_mutex_unlock(&aside->lock);
        g_atomic_rc_box_release_full(aside, aside_clear);
        return NULL;
}

static bool is_done_by(Aside *aside, int64_t end_us)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&aside->lock);
        while (!aside->done)
                if (!g_cond_wait_until(&aside->changed, &aside->lock, end_us))
                        return aside->done;
        return true;
}

bool aside_run(AsideFunc work, void *data, GDestroyNotify clear, int64_t limit_ms, GError **error)
{
        int64_t end_us = g_get_monotonic_time() + limit_ms * 1000;
        Aside *aside = g_atomic_rc_box_new0(Aside);
        *aside = (Aside){.work = work, .data = g_atomic_rc_box_acquire(data), .clear = clear};
        g_mutex_init(&aside->lock);
        g_cond_init(&aside->changed);
        g_thread_unref(g_thread_new("aside", aside_thread, g_atomic_rc_box_acquire(aside)));
        bool done = is_done_by(aside, end_us), ok = done && aside->ok;
        if (done && !ok)
                g_propagate_error(error, g_steal_pointer(&aside->error));
        g_atomic_rc_box_release_full(aside, aside_clear);
        g_autofree char *limit = duration_format(limit_ms);
        return done ? ok
                    : error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "the file system has not answered for %s",
                                limit);
}

static void nothing_to_clear(void *data)
{
        (void)data;
}

/* ---- removing ---- */

static GMutex lock;
static GHashTable *going; /* of paths: a thread is about to remove them */

static bool is_going(const char *path)
{
        return going && g_hash_table_contains(going, path);
}

bool aside_is_removing(const char *path)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
        return is_going(path);
}

static bool remove_it(void *data, GError **error)
{
        bool ok = dir_remove_durably(data, error);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
        g_hash_table_remove(going, data);
        return ok;
}

/* Whether nobody does already. */
static bool begin_removing(const char *path)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
        if (is_going(path))
                return false;
        if (!going)
                going = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        return g_hash_table_add(going, g_strdup(path));
}

static bool say_late(const char *path, GError **error)
{
        return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL,
                         "%s goes as soon as its file system, which does not answer, lets it", path);
}

bool aside_remove(const char *path, GError **error)
{
        if (!begin_removing(path))
                return say_late(path, error);
        size_t size = strlen(path) + 1;
        char *copy = g_atomic_rc_box_alloc(size);
        memcpy(copy, path, size);
        g_autoptr(GError) problem = NULL;
        bool ok = aside_run(remove_it, copy, nothing_to_clear, REMOVE_MS, &problem);
        g_atomic_rc_box_release(copy);
        if (error_is(problem, HOSTLER_ERROR_UNRESPONSIVE))
                return say_late(path, error);
        if (problem)
                g_propagate_error(error, g_steal_pointer(&problem));
        return ok;
}

/* ---- closing ---- */

static bool close_it(void *data, GError **error)
{
        (void)error;
        close(*(int *)data);
        return true;
}

void aside_close(int fd)
{
        int *copy = g_atomic_rc_box_new(int);
        *copy = fd;
        aside_run(close_it, copy, nothing_to_clear, CLOSE_MS, NULL);
        g_atomic_rc_box_release(copy);
}
