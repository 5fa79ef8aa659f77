/* A main context that runs on a thread of its own. Called by tests of everything that has callbacks. */
#include "fake/loop_thread.h"

struct LoopThread {
        GMainContext *context;
        GMainLoop *loop;
        GThread *thread;
};

typedef struct {
        void (*func)(void *data);
        void *data;
        GMutex mutex;
        GCond changed;
        gboolean done;
} Errand;

static gpointer run(gpointer data)
{
        LoopThread *loop = data;
        g_main_context_push_thread_default(loop->context);
        g_main_loop_run(loop->loop);
        g_main_context_pop_thread_default(loop->context);
        return NULL;
}

static gboolean run_errand(gpointer data)
{
        Errand *errand = data;
        errand->func(errand->data);
        g_mutex_lock(&errand->mutex);
        errand->done = TRUE;
        g_cond_signal(&errand->changed);
        g_mutex_unlock(&errand->mutex);
        return G_SOURCE_REMOVE;
}

LoopThread *loop_thread_new(void)
{
        LoopThread *loop = g_new0(LoopThread, 1);
        loop->context = g_main_context_new();
        loop->loop = g_main_loop_new(loop->context, FALSE);
        loop->thread = g_thread_new("loop", run, loop);
        return loop;
}

GMainContext *loop_thread_context(LoopThread *loop)
{
        return loop->context;
}

void loop_thread_run(LoopThread *loop, void (*func)(void *data), void *data)
{
        Errand errand = {.func = func, .data = data};
        g_mutex_init(&errand.mutex);
        g_cond_init(&errand.changed);
        g_autoptr(GSource) source = g_idle_source_new();
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        g_source_set_callback(source, run_errand, &errand, NULL);
        g_source_attach(source, loop->context);
        g_mutex_lock(&errand.mutex);
        while (!errand.done)
                g_cond_wait(&errand.changed, &errand.mutex);
        g_mutex_unlock(&errand.mutex);
        g_cond_clear(&errand.changed);
        g_mutex_clear(&errand.mutex);
}

static void quit(void *data)
{
        g_main_loop_quit(data);
}

void loop_thread_free(LoopThread *loop)
{
        loop_thread_run(loop, quit, loop->loop);
        g_thread_join(loop->thread);
        g_main_loop_unref(loop->loop);
        g_main_context_unref(loop->context);
        g_free(loop);
}
