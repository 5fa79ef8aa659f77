/*
 * QMP client: pairs commands with answers by id, hands on events, ends what takes too long.
 *
 * Knows the protocol (capabilities, ids, events), but no command beyond qmp_capabilities and no event. A call is an
 * asynchronous send plus a wait; an alarm on the context ends the late ones. Called by src/vm and src/device through
 * the Vm's connection.
 */
#include "wire/qmp.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "wire/exchange.h"
#include "wire/json_stream.h"

#define REPLY_LIMIT_BYTES (64 << 20)
#define RETRY_EAGER_MS 1
#define RETRY_EAGER_TRIES 200
#define RETRY_MS 10

/* A command under way. */
typedef struct {
        char *command;
        int64_t timeout_ms;
        int64_t deadline_ms;
        Waiter *waiter;     /* the thread blocked on it, which hears even of qmp_close(); NULL: a send */
        QmpReplyFunc reply; /* of a send */
        void *user_data;
} Pending;

struct Qmp {
        gint references;
        GMainContext *context;
        QmpEventFunc event;
        QmpClosedFunc closed;
        void *user_data;
        GSource *alarm;

        GMutex mutex;        /* guards what follows; held while sending, which neither blocks nor calls back */
        JsonStream *stream;  /* NULL once closed by either end */
        GHashTable *pending; /* id → Pending */
        guint last_id;
        int64_t alarm_ms;  /* when the alarm is set to */
        bool established;  /* qmp_connect() has succeeded, so that the closed callback is due */
        bool shut;         /* by qmp_close() */
        bool fd_under_way; /* QEMU keeps only the descriptor that came last: one command at a time may carry one */
        GCond fd_arrived;
};

static void pending_free(void *data)
{
        Pending *pending = data;
        g_free(pending->command);
        g_free(pending);
}

static bool set_late(GError **error, const char *command, int64_t timeout_ms)
{
        g_autofree char *limit = duration_format(timeout_ms);
        return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "QEMU did not answer %s within %s", command, limit);
}

static bool is_shut(Qmp *qmp)
{
        g_mutex_lock(&qmp->mutex);
        bool shut = qmp->shut;
        g_mutex_unlock(&qmp->mutex);
        return shut;
}

static void end_pending(Qmp *qmp, Pending *pending_taken, json_t *result_taken, GError *error_taken)
{
        if (pending_taken->waiter) {
                waiter_answer(pending_taken->waiter, result_taken, error_taken);
        } else {
                if (!is_shut(qmp))
                        pending_taken->reply(qmp, result_taken, error_taken, pending_taken->user_data);
                json_decref(result_taken);
                g_clear_error(&error_taken);
        }
        pending_free(pending_taken);
}

/* Ends every command of @pending with the error that fits it; @reason is why the connection is closed, NULL: it is
 * open. */
static void end_all(Qmp *qmp, GList *pending_taken, const char *reason)
{
        for (GList *link = pending_taken; link; link = link->next) {
                Pending *pending = link->data;
                GError *error = NULL;
                if (reason)
                        error_set(&error, HOSTLER_ERROR_FAILED, NULL, "%s: the connection to QEMU is closed: %s",
                                  pending->command, reason);
                else
                        set_late(&error, pending->command, pending->timeout_ms);
                end_pending(qmp, pending, NULL, error);
        }
        g_list_free(pending_taken);
}

/* Mutex held. Takes out the commands whose deadline is not after @now_ms and sets the alarm for the next. */
static GList *take_due(Qmp *qmp, int64_t now_ms)
{
        GList *due = NULL;
        GHashTableIter iter;
        gpointer value;
        qmp->alarm_ms = INT64_MAX;
        g_hash_table_iter_init(&iter, qmp->pending);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Pending *pending = value;
                if (pending->deadline_ms <= now_ms) {
                        g_hash_table_iter_steal(&iter);
                        due = g_list_prepend(due, pending);
                } else {
                        qmp->alarm_ms = MIN(qmp->alarm_ms, pending->deadline_ms);
                }
        }
        alarm_set(qmp->alarm, qmp->alarm_ms);
        return due;
}

static gboolean on_alarm(gpointer data)
{
        Qmp *alive = data;
        if (!ref_if_alive(&alive->references))
                return G_SOURCE_REMOVE;
        g_autoptr(Qmp) qmp = alive;
        g_mutex_lock(&qmp->mutex);
        GList *due = take_due(qmp, clock_monotonic_ms());
        const char *reason = qmp->stream ? NULL : "it had ended before";
        g_mutex_unlock(&qmp->mutex);
        end_all(qmp, due, reason);
        return G_SOURCE_CONTINUE;
}

static void pass_event(Qmp *qmp, const char *event, const json_t *message)
{
        const json_t *timestamp = json_object_get(message, "timestamp");
        json_int_t seconds = json_integer_value(json_object_get(timestamp, "seconds"));
        json_int_t microseconds = json_integer_value(json_object_get(timestamp, "microseconds"));
        bool known =
            seconds > 0 && seconds < G_MAXINT64 / 1000 && microseconds >= 0; /* QEMU says -1 when its clock failed */
        int64_t unix_ms = known ? seconds * 1000 + microseconds / 1000 : clock_unix_ms();
        qmp->event(qmp, event, json_object_get(message, "data"), unix_ms, qmp->user_data);
}

static Pending *take_pending(Qmp *qmp, const json_t *id)
{
        json_int_t number = json_integer_value(id);
        gpointer pending = NULL;
        if (number <= 0 || number > G_MAXUINT)
                return NULL;
        g_mutex_lock(&qmp->mutex);
        g_hash_table_steal_extended(qmp->pending, GUINT_TO_POINTER(number), NULL, &pending);
        g_mutex_unlock(&qmp->mutex);
        return pending;
}

static void pass_answer(Qmp *qmp, json_t *message)
{
        Pending *pending = take_pending(qmp, json_object_get(message, "id"));
        if (!pending)
                return; /* the greeting, or an answer nobody waits for any more */
        GError *error = NULL;
        json_t *result = exchange_answer(message, "QEMU", pending->command, &error);
        end_pending(qmp, pending, result, error);
}

static void on_value(JsonStream *stream, json_t *value, void *data)
{
        Qmp *alive = data;
        if (!ref_if_alive(&alive->references))
                return;
        g_autoptr(Qmp) qmp = alive;
        const char *event = json_string_value(json_object_get(value, "event"));
        if (event)
                pass_event(qmp, event, value);
        else
                pass_answer(qmp, value);
}

/* Mutex held. */
static GList *take_all(Qmp *qmp)
{
        GList *all = g_hash_table_get_values(qmp->pending);
        g_hash_table_steal_all(qmp->pending);
        return all;
}

static void on_closed(JsonStream *stream, const GError *reason, void *data)
{
        Qmp *alive = data;
        if (!ref_if_alive(&alive->references))
                return;
        g_autoptr(Qmp) qmp = alive;
        g_mutex_lock(&qmp->mutex);
        qmp->stream = NULL;
        GList *pending = take_all(qmp);
        bool established = qmp->established;
        g_mutex_unlock(&qmp->mutex);
        end_all(qmp, pending, reason->message);
        if (established && !is_shut(qmp))
                qmp->closed(qmp, reason, qmp->user_data);
        json_stream_free(stream);
}

static Qmp *qmp_new(int fd_taken, GMainContext *context, QmpEventFunc event, QmpClosedFunc closed, void *user_data)
{
        Qmp *qmp = g_new0(Qmp, 1);
        qmp->references = 1;
        qmp->context = g_main_context_ref(context ? context : g_main_context_default());
        qmp->event = event;
        qmp->closed = closed;
        qmp->user_data = user_data;
        qmp->pending = g_hash_table_new_full(NULL, NULL, NULL, pending_free);
        qmp->alarm_ms = INT64_MAX;
        g_mutex_init(&qmp->mutex);
        g_cond_init(&qmp->fd_arrived);
        qmp->alarm = alarm_new(qmp->context, on_alarm, qmp);
        g_mutex_lock(&qmp->mutex); /* its callbacks wait until it stands in the struct */
        qmp->stream = json_stream_new(fd_taken, REPLY_LIMIT_BYTES, qmp->context, on_value, on_closed, qmp);
        g_mutex_unlock(&qmp->mutex);
        return qmp;
}

/*
 * Sends a command. When sending fails the stream is about to report that it is closed, and that ends the command; when
 * it has reported so already, the alarm ends it at once.
 */
static void submit(Qmp *qmp, Pending *pending_taken, json_t *arguments_taken, int fd)
{
        g_mutex_lock(&qmp->mutex);
        qmp->last_id = qmp->last_id == G_MAXUINT ? 1 : qmp->last_id + 1;
        json_t *id = json_integer(qmp->last_id);
        json_t *document = exchange_command(pending_taken->command, arguments_taken, id);
        bool shut = qmp->shut;
        if (!shut)
                g_hash_table_insert(qmp->pending, GUINT_TO_POINTER(qmp->last_id), pending_taken);
        if (qmp->stream)
                json_stream_send(qmp->stream, document, NULL, fd, NULL);
        else
                pending_taken->deadline_ms = 0;
        if (!shut && pending_taken->deadline_ms < qmp->alarm_ms) {
                qmp->alarm_ms = pending_taken->deadline_ms;
                alarm_set(qmp->alarm, qmp->alarm_ms);
        }
        g_mutex_unlock(&qmp->mutex);
        json_decref(document);
        json_decref(id);
        json_decref(arguments_taken);
        if (shut)
                end_all(qmp, g_list_prepend(NULL, pending_taken), "it was given up");
}

static Pending *pending_new(const char *command, int64_t timeout_ms)
{
        Pending *pending = g_new0(Pending, 1);
        pending->command = g_strdup(command);
        pending->timeout_ms = timeout_ms;
        pending->deadline_ms = clock_monotonic_ms() + timeout_ms;
        return pending;
}

static bool call(Qmp *qmp, const char *command, json_t *arguments_taken, int fd, int64_t timeout_ms,
                 GCancellable *cancellable, json_t **ret_result, GError **error)
{
        g_autoptr(Waiter) waiter = waiter_new();
        int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
        Pending *pending = pending_new(command, timeout_ms);
        pending->waiter = waiter;
        submit(qmp, pending, arguments_taken, fd);
        WaitEnd end = waiter_wait(waiter, deadline_ms, cancellable);
        if (end == WAIT_ANSWERED)
                return waiter_take(waiter, ret_result, error);
        if (end == WAIT_CANCELLED)
                return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "%s was cancelled before QEMU answered",
                                 command);
        return set_late(error, command, timeout_ms);
}

/* QEMU makes the socket some 20 to 40 ms after exec; to look often is cheaper than to start late. */
static int connect_when_there(const char *path, int64_t deadline_ms, GError **error)
{
        for (int tries = 0;; tries++) {
                int64_t pause_ms = tries < RETRY_EAGER_TRIES ? RETRY_EAGER_MS : RETRY_MS;
                g_autoptr(GError) fault = NULL;
                int fd = unix_connect(path, &fault);
                bool may_come = error_is(fault, HOSTLER_ERROR_NOT_FOUND) ||
                                error_is(fault, HOSTLER_ERROR_UNREACHABLE) ||
                                error_is(fault, HOSTLER_ERROR_UNRESPONSIVE);
                if (fd >= 0)
                        return fd;
                if (!may_come || clock_monotonic_ms() + pause_ms > deadline_ms) {
                        g_propagate_error(error, g_steal_pointer(&fault));
                        return -1;
                }
                g_usleep((gulong)pause_ms * 1000);
        }
}

/* The socket may have closed since the capabilities were agreed on, before anybody would have been told. */
static bool establish(Qmp *qmp, const char *path, GError **error)
{
        g_mutex_lock(&qmp->mutex);
        qmp->established = qmp->stream != NULL;
        bool established = qmp->established;
        g_mutex_unlock(&qmp->mutex);
        return established ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU closed the connection on %s at once", path);
}

Qmp *qmp_connect(const char *path, bool wait_for_socket, int64_t timeout_ms, GMainContext *context, QmpEventFunc event,
                 QmpClosedFunc closed, void *user_data, GError **error)
{
        int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
        int fd = wait_for_socket ? connect_when_there(path, deadline_ms, error) : unix_connect(path, error);
        if (fd < 0)
                return NULL;
        g_autoptr(Qmp) qmp = qmp_new(fd, context, event, closed, user_data);
        /* QEMU greets before it reads, so there is nothing to wait for: one round trip instead of two. */
        int64_t left_ms = MAX(deadline_ms - clock_monotonic_ms(), 0);
        if (!call(qmp, "qmp_capabilities", NULL, -1, left_ms, NULL, NULL, error) || !establish(qmp, path, error))
                return NULL;
        return g_steal_pointer(&qmp);
}

Qmp *qmp_ref(Qmp *qmp)
{
        g_atomic_int_inc(&qmp->references);
        return qmp;
}

static gboolean tear_down(gpointer data)
{
        Qmp *qmp = data;
        qmp_close(qmp);
        g_source_unref(qmp->alarm);
        g_hash_table_unref(qmp->pending);
        g_main_context_unref(qmp->context);
        g_cond_clear(&qmp->fd_arrived);
        g_mutex_clear(&qmp->mutex);
        g_free(qmp);
        return G_SOURCE_REMOVE;
}

void qmp_unref(Qmp *qmp)
{
        if (!qmp || !g_atomic_int_dec_and_test(&qmp->references))
                return;
        if (qmp->shut)
                tear_down(qmp);
        else
                g_main_context_invoke(qmp->context, tear_down, qmp);
}

void qmp_close(Qmp *qmp)
{
        g_mutex_lock(&qmp->mutex);
        qmp->shut = true;
        JsonStream *stream = g_steal_pointer(&qmp->stream);
        GList *pending = take_all(qmp);
        g_mutex_unlock(&qmp->mutex);
        g_source_destroy(qmp->alarm);
        json_stream_free(stream);
        end_all(qmp, pending, "it was given up");
}

bool qmp_call_full(Qmp *qmp, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                   GCancellable *cancellable, json_t **ret_result, GError **error)
{
        return call(qmp, command, arguments_taken, -1, timeout_ms, cancellable, ret_result, error);
}

bool qmp_call(Qmp *qmp, const char *command, json_t *arguments_taken, json_t **ret_result, GError **error)
{
        return call(qmp, command, arguments_taken, -1, QMP_TIMEOUT_MS, NULL, ret_result, error);
}

bool qmp_call_all(Qmp *qmp, const QmpRequest *requests, size_t count, GError **error)
{
        int64_t deadline_ms = clock_monotonic_ms() + QMP_TIMEOUT_MS;
        g_autofree Waiter **waiters = g_new0(Waiter *, count + 1);
        bool ok = true;
        for (size_t i = 0; i < count; i++) {
                Pending *pending = pending_new(requests[i].command, QMP_TIMEOUT_MS);
                waiters[i] = pending->waiter = waiter_new();
                submit(qmp, pending, json_incref(requests[i].arguments), -1);
        }
        for (size_t i = 0; i < count; i++) {
                g_autoptr(Waiter) waiter = waiters[i];
                bool answered = waiter_wait(waiter, deadline_ms, NULL) == WAIT_ANSWERED;
                if (ok)
                        ok = answered ? waiter_take(waiter, NULL, error)
                                      : set_late(error, requests[i].command, QMP_TIMEOUT_MS);
        }
        return ok;
}

const char *qmp_error_class(const GError *error)
{
        return error_tag(error);
}

void qmp_send(Qmp *qmp, const char *command, json_t *arguments_taken, int64_t timeout_ms, QmpReplyFunc reply,
              void *user_data)
{
        Pending *pending = pending_new(command, timeout_ms);
        pending->reply = reply;
        pending->user_data = user_data;
        submit(qmp, pending, arguments_taken, -1);
}

bool qmp_call_with_fd(Qmp *qmp, const char *command, json_t *arguments_taken, int fd, json_t **ret_result,
                      GError **error)
{
        int64_t give_up_us = g_get_monotonic_time() + QMP_TIMEOUT_MS * 1000;
        g_mutex_lock(&qmp->mutex);
        bool free_to_go = !qmp->fd_under_way;
        while (!free_to_go && g_cond_wait_until(&qmp->fd_arrived, &qmp->mutex, give_up_us))
                free_to_go = !qmp->fd_under_way;
        qmp->fd_under_way = true;
        g_mutex_unlock(&qmp->mutex);
        if (!free_to_go) {
                json_decref(arguments_taken);
                return set_late(error, command, QMP_TIMEOUT_MS);
        }
        bool done = call(qmp, command, arguments_taken, fd, QMP_TIMEOUT_MS, NULL, ret_result, error);
        g_mutex_lock(&qmp->mutex);
        qmp->fd_under_way = false;
        g_cond_signal(&qmp->fd_arrived);
        g_mutex_unlock(&qmp->mutex);
        return done;
}

int64_t qmp_idle_ms(Qmp *qmp)
{
        g_mutex_lock(&qmp->mutex);
        int64_t idle_ms = qmp->stream ? json_stream_idle_ms(qmp->stream) : INT64_MAX;
        g_mutex_unlock(&qmp->mutex);
        return idle_ms;
}
