/*
 * Tells ThreadSanitizer what GLib's locks and queues order. GLib is not built with it and locks by bare futexes, so
 * every use of a GMutex would look like a race.
 *
 * Loaded before GLib (LD_PRELOAD) by test/run for the tests of build-tsan; nothing else uses it. Each function calls
 * GLib's own and adds a release before what hands over, an acquire after what takes over.
 */
#include <dlfcn.h>
#include <gio/gio.h>

/* <sanitizer/tsan_interface.h> is clang's; libtsan of either compiler has these. */
void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define REAL(name)                                                                                                     \
        static __typeof__(&name) real;                                                                                 \
        if (!real)                                                                                                     \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define TAKES(name, type)                                                                                              \
        void name(type *lock)                                                                                          \
        {                                                                                                              \
                REAL(name);                                                                                            \
                real(lock);                                                                                            \
                __tsan_acquire(lock);                                                                                  \
        }

#define TRIES(name, type)                                                                                              \
        gboolean name(type *lock)                                                                                      \
        {                                                                                                              \
                REAL(name);                                                                                            \
                gboolean taken = real(lock);                                                                           \
                if (taken)                                                                                             \
                        __tsan_acquire(lock);                                                                          \
                return taken;                                                                                          \
        }

#define GIVES(name, type)                                                                                              \
        void name(type *lock)                                                                                          \
        {                                                                                                              \
                REAL(name);                                                                                            \
                __tsan_release(lock);                                                                                  \
                real(lock);                                                                                            \
        }

/* The last reference may be anyone's: whoever frees comes after all the others' uses. */
#define DROPS(name, type)                                                                                              \
        void name(type object)                                                                                         \
        {                                                                                                              \
                REAL(name);                                                                                            \
                __tsan_release((void *)object);                                                                        \
                __tsan_acquire((void *)object);                                                                        \
                real(object);                                                                                          \
        }

TAKES(g_mutex_lock, GMutex)
TRIES(g_mutex_trylock, GMutex)
GIVES(g_mutex_unlock, GMutex)
TAKES(g_rec_mutex_lock, GRecMutex)
GIVES(g_rec_mutex_unlock, GRecMutex)
TAKES(g_rw_lock_reader_lock, GRWLock)
GIVES(g_rw_lock_reader_unlock, GRWLock)
TAKES(g_rw_lock_writer_lock, GRWLock)
GIVES(g_rw_lock_writer_unlock, GRWLock)

#undef g_object_unref
DROPS(g_object_unref, gpointer)
DROPS(g_bytes_unref, GBytes *)
DROPS(g_source_unref, GSource *)
DROPS(g_main_context_unref, GMainContext *)

void g_cond_wait(GCond *cond, GMutex *mutex)
{
        REAL(g_cond_wait);
        __tsan_release(mutex);
        real(cond, mutex);
        __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
        REAL(g_cond_wait_until);
        __tsan_release(mutex);
        gboolean signalled = real(cond, mutex, end_time);
        __tsan_acquire(mutex);
        return signalled;
}

void g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
        REAL(g_async_queue_push);
        __tsan_release(queue);
        real(queue, data);
}

gpointer g_async_queue_pop(GAsyncQueue *queue)
{
        REAL(g_async_queue_pop);
        gpointer data = real(queue);
        __tsan_acquire(queue);
        return data;
}

gpointer g_async_queue_try_pop(GAsyncQueue *queue)
{
        REAL(g_async_queue_try_pop);
        gpointer data = real(queue);
        __tsan_acquire(queue);
        return data;
}

gpointer g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
        REAL(g_async_queue_timeout_pop);
        gpointer data = real(queue, timeout);
        __tsan_acquire(queue);
        return data;
}

gboolean g_atomic_ref_count_dec(gatomicrefcount *count)
{
        REAL(g_atomic_ref_count_dec);
        __tsan_release(count);
        gboolean last = real(count);
        __tsan_acquire(count);
        return last;
}

/* ---- functions handed to another thread ---- */

typedef struct {
        GSourceFunc source;
        GFunc worker;
        gpointer data;
        GDestroyNotify notify;
} Handed;

static Handed *hand_over(GSourceFunc source, GFunc worker, gpointer data, GDestroyNotify notify)
{
        Handed *handed = g_new0(Handed, 1);
        *handed = (Handed){.source = source, .worker = worker, .data = data, .notify = notify};
        __tsan_release(handed);
        return handed;
}

static gboolean run_source(gpointer data)
{
        Handed *handed = data;
        __tsan_acquire(handed);
        gboolean again = handed->source(handed->data);
        __tsan_release(handed);
        return again;
}

static void end_source(gpointer data)
{
        Handed *handed = data;
        __tsan_acquire(handed);
        if (handed->notify)
                handed->notify(handed->data);
        g_free(handed);
}

void g_main_context_invoke_full(GMainContext *context, gint priority, GSourceFunc function, gpointer data,
                                GDestroyNotify notify)
{
        REAL(g_main_context_invoke_full);
        real(context, priority, run_source, hand_over(function, NULL, data, notify), end_source);
}

void g_main_context_invoke(GMainContext *context, GSourceFunc function, gpointer data)
{
        g_main_context_invoke_full(context, G_PRIORITY_DEFAULT, function, data, NULL);
}

guint g_idle_add_full(gint priority, GSourceFunc function, gpointer data, GDestroyNotify notify)
{
        REAL(g_idle_add_full);
        return real(priority, run_source, hand_over(function, NULL, data, notify), end_source);
}

guint g_idle_add(GSourceFunc function, gpointer data)
{
        return g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, function, data, NULL);
}

/* Idle sources and timers call a GSourceFunc; one may be made on a thread for the loop of another. */
void g_source_set_callback(GSource *source, GSourceFunc function, gpointer data, GDestroyNotify notify)
{
        REAL(g_source_set_callback);
        if (source->source_funcs == &g_idle_funcs || source->source_funcs == &g_timeout_funcs)
                real(source, run_source, hand_over(function, NULL, data, notify), end_source);
        else
                real(source, function, data, notify);
}

/* Sources with a function of their own shape (sockets, descriptors) are called with the context's lock taken and given.
 */
guint g_source_attach(GSource *source, GMainContext *context)
{
        REAL(g_source_attach);
        __tsan_release(source);
        return real(source, context);
}

/* A pool's function runs for many pushes: it takes over from all of them so far. */
static void run_worker(gpointer data, gpointer user_data)
{
        Handed *handed = user_data;
        __tsan_acquire(handed);
        __tsan_acquire(data);
        handed->worker(data, handed->data);
}

GThreadPool *g_thread_pool_new(GFunc function, gpointer user_data, gint max_threads, gboolean exclusive, GError **error)
{
        REAL(g_thread_pool_new);
        return real(run_worker, hand_over(NULL, function, user_data, NULL), max_threads, exclusive, error);
}

gboolean g_thread_pool_push(GThreadPool *pool, gpointer data, GError **error)
{
        REAL(g_thread_pool_push);
        __tsan_release(data);
        return real(pool, data, error);
}
