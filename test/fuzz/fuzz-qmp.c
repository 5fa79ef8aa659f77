/*
 * A QEMU that says anything: the first byte chooses whether the rest comes instead of the greeting or after the
 * negotiation. The client must end each call and its connection, whatever came.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/qmp.h"

#define CALL_LIMIT_MS 2000

typedef struct {
        const uint8_t *data;
        size_t size;
} Script;

typedef struct {
        GMutex mutex;
        GCond changed;
        Qmp *qmp;
        bool closed;
} Closing;

static void negotiate(int fd)
{
        static const char greeting[] =
            "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7},\"package\":\"\"},"
            "\"capabilities\":[]}}\n";
        fuzz_write(fd, greeting, strlen(greeting));
        json_t *command = fuzz_read(fd);
        json_t *id = json_object_get(command, "id");
        json_t *reply = json_pack("{s:{}, s:O*}", "return", "id", id);
        char *text = json_dumps(reply, JSON_COMPACT);
        fuzz_write(fd, text, strlen(text));
        free(text);
        json_decref(reply);
        json_decref(command);
}

static gpointer play(gpointer data)
{
        Script *script = data;
        char rest[4096];
        int fd = fuzz_accept();
        if (script->data[0] & 1)
                negotiate(fd);
        fuzz_write(fd, script->data + 1, script->size - 1);
        shutdown(fd, SHUT_WR);
        while (read(fd, rest, sizeof(rest)) > 0)
                continue;
        close(fd);
        return NULL;
}

static gpointer run_loop(gpointer data)
{
        g_main_loop_run(data);
        return NULL;
}

static GMainContext *context_of_loop(void)
{
        static GMainContext *context;
        if (!context) {
                context = g_main_context_new();
                g_thread_unref(g_thread_new("loop", run_loop, g_main_loop_new(context, false)));
        }
        return context;
}

static void on_event(Qmp *qmp, const char *event, const json_t *data, int64_t unix_ms, void *user_data)
{
        if (!event)
                abort();
}

static void on_closed(Qmp *qmp, const GError *reason, void *user_data)
{
        if (!reason)
                abort();
}

static gboolean close_there(gpointer data)
{
        Closing *closing = data;
        qmp_close(closing->qmp);
        g_mutex_lock(&closing->mutex);
        closing->closed = true;
        g_cond_signal(&closing->changed);
        g_mutex_unlock(&closing->mutex);
        return G_SOURCE_REMOVE;
}

static void close_and_wait(Qmp *qmp)
{
        Closing closing = {.qmp = qmp};
        g_mutex_init(&closing.mutex);
        g_cond_init(&closing.changed);
        g_main_context_invoke(context_of_loop(), close_there, &closing);
        g_mutex_lock(&closing.mutex);
        while (!closing.closed)
                g_cond_wait(&closing.changed, &closing.mutex);
        g_mutex_unlock(&closing.mutex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        Script script = {.data = data, .size = size};
        const char *path = fuzz_socket_path();
        GThread *peer = g_thread_new("peer", play, &script);
        Qmp *qmp = qmp_connect(path, false, CALL_LIMIT_MS, context_of_loop(), on_event, on_closed, NULL, NULL);
        if (qmp) {
                json_t *result = NULL;
                if (qmp_call_full(qmp, "query-status", NULL, CALL_LIMIT_MS, NULL, &result, NULL) && !result)
                        abort();
                json_decref(result);
                close_and_wait(qmp);
                qmp_unref(qmp);
        }
        g_thread_join(peer);
        return 0;
}
