/*
 * Guest agent client: one request at a time, each begun by a sync, so that a late answer or an agent that died cannot
 * mislead it.
 *
 * All of the protocol runs on the context's thread: callers put requests into a queue and wake it by the alarm, which
 * also ends what is late. Between requests nothing is read and nothing is kept, whatever the guest sends. Knows no
 * command but guest-sync-delimited. Called by src/vm; guest_agent_exec.c and guest_agent_file.c are built on
 * guest_agent_call().
 */
#include "wire/guest_agent.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "wire/exchange.h"
#include "wire/json_stream.h"

#define REPLY_LIMIT_BYTES (24 << 20) /* guest-exec-status with 16 MiB of output, in base64 */
#define STALLED_MS 1000              /* how late the context may be before a caller leaves without it */
#define SENTINEL "\xff"

/* What somebody wants from the agent. */
typedef struct {
        char *command;
        json_t *arguments;
        int64_t timeout_ms;
        int64_t deadline_ms;
        int64_t answer_ms; /* how long it may take once the command is sent */
        GCancellable *cancellable;
        Waiter *waiter;            /* the thread blocked on it, which hears even of guest_agent_close(); NULL: a send */
        GuestAgentReplyFunc reply; /* of a send */
        void *user_data;
} Request;

struct GuestAgent {
        gint references;
        char *path;
        GMainContext *context;
        GSource *alarm;

        /* the context's thread only */
        JsonStream *stream; /* NULL: to be opened by the next request */
        int connected_fd;   /* for the first stream; -1: connect anew */
        Request *current;
        bool synced; /* the current request's command is sent */
        json_int_t sync_id;
        int64_t current_due_ms;

        GMutex mutex; /* guards what follows */
        GQueue waiting;
        bool shut;
};

static void request_free(Request *request)
{
        g_free(request->command);
        json_decref(request->arguments);
        g_clear_object(&request->cancellable);
        g_free(request);
}

static bool is_shut(GuestAgent *agent)
{
        g_mutex_lock(&agent->mutex);
        bool shut = agent->shut;
        g_mutex_unlock(&agent->mutex);
        return shut;
}

static void end_request(GuestAgent *agent, Request *request_taken, json_t *result_taken, GError *error_taken)
{
        if (request_taken->waiter) {
                waiter_answer(request_taken->waiter, result_taken, error_taken);
        } else {
                if (!is_shut(agent))
                        request_taken->reply(agent, result_taken, error_taken, request_taken->user_data);
                json_decref(result_taken);
                g_clear_error(&error_taken);
        }
        request_free(request_taken);
}

/* Ends the current request. What else the guest says is not read until the next one has skipped it. */
static void end_current(GuestAgent *agent, json_t *result_taken, GError *error_taken)
{
        if (agent->stream) {
                json_stream_skip_to_sentinel(agent->stream);
                json_stream_pause(agent->stream, true);
        }
        alarm_set(agent->alarm, 0);
        end_request(agent, g_steal_pointer(&agent->current), result_taken, error_taken);
}

static void end_current_with(GuestAgent *agent, HostlerErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void end_current_with(GuestAgent *agent, HostlerErrorCode code, const char *format, ...)
{
        va_list list;
        va_start(list, format);
        g_autofree char *text = g_strdup_vprintf(format, list);
        va_end(list);
        GError *error = NULL;
        error_set(&error, code, NULL, "%s: %s", agent->current->command, text);
        end_current(agent, NULL, error);
}

static void send_command(GuestAgent *agent)
{
        Request *request = agent->current;
        json_t *document = exchange_command(request->command, request->arguments, NULL);
        json_stream_send(agent->stream, document, NULL, -1, NULL); /* when this fails the stream is about to close */
        json_decref(document);
        int64_t answer_due_ms = clock_monotonic_ms() + request->answer_ms;
        agent->synced = true;
        agent->current_due_ms = MIN(request->deadline_ms, answer_due_ms);
        alarm_set(agent->alarm, 0);
}

static void on_value(JsonStream *stream, json_t *value, void *data)
{
        GuestAgent *alive = data;
        if (!ref_if_alive(&alive->references))
                return;
        g_autoptr(GuestAgent) agent = alive;
        if (!agent->current)
                return;
        if (!agent->synced) {
                const json_t *id = json_object_get(value, "return");
                if (json_is_integer(id) && json_integer_value(id) == agent->sync_id)
                        send_command(agent);
                return;
        }
        GError *error = NULL;
        json_t *result = exchange_answer(value, "the guest agent", agent->current->command, &error);
        end_current(agent, result, error);
}

static void on_closed(JsonStream *stream, const GError *reason, void *data)
{
        GuestAgent *alive = data;
        if (!ref_if_alive(&alive->references))
                return;
        g_autoptr(GuestAgent) agent = alive;
        g_autofree char *text = g_strdup(reason->message);
        g_clear_pointer(&agent->stream, json_stream_free);
        HostlerErrorCode code = agent->synced ? HOSTLER_ERROR_UNRESPONSIVE : HOSTLER_ERROR_NO_AGENT;
        if (agent->current)
                end_current_with(agent, code, "the connection to the guest agent broke: %s", text);
}

static bool open_stream(GuestAgent *agent, GError **error)
{
        int fd = agent->connected_fd >= 0 ? agent->connected_fd : unix_connect(agent->path, error);
        agent->connected_fd = -1;
        if (fd >= 0)
                agent->stream = json_stream_new(fd, REPLY_LIMIT_BYTES, agent->context, on_value, on_closed, agent);
        return fd >= 0;
}

/*
 * Sends the sync. The command follows only when that is answered: an agent that comes up minutes later must not find a
 * shutdown waiting for it.
 */
static void begin(GuestAgent *agent, Request *request_taken)
{
        g_autoptr(GError) error = NULL;
        agent->current = request_taken;
        agent->synced = false;
        agent->current_due_ms = MIN(request_taken->deadline_ms, clock_monotonic_ms() + GUEST_AGENT_TIMEOUT_MS);
        if (!agent->stream && !open_stream(agent, &error)) {
                end_current_with(agent, HOSTLER_ERROR_NO_AGENT, "%s", error->message);
                return;
        }
        agent->sync_id = (json_int_t)g_random_int() + 1;
        json_t *arguments = json_pack("{s:I}", "id", agent->sync_id);
        json_t *sync = exchange_command("guest-sync-delimited", arguments, NULL);
        json_stream_skip_to_sentinel(agent->stream);
        json_stream_pause(agent->stream, false);
        json_stream_send(agent->stream, sync, SENTINEL, -1, NULL); /* when this fails the stream is about to close */
        json_decref(sync);
        json_decref(arguments);
}

static int64_t due_ms(const Request *request)
{
        return g_cancellable_is_cancelled(request->cancellable) ? 0 : request->deadline_ms;
}

static void end_late_waiting(GuestAgent *agent, Request *request_taken)
{
        GError *error = NULL;
        if (g_cancellable_is_cancelled(request_taken->cancellable))
                error_set(&error, HOSTLER_ERROR_CANCELLED, NULL, "%s was cancelled", request_taken->command);
        else
                error_set(&error, HOSTLER_ERROR_BUSY, NULL,
                          "%s: the guest agent was busy with other commands all the time", request_taken->command);
        end_request(agent, request_taken, NULL, error);
}

static void end_late_current(GuestAgent *agent)
{
        g_autofree char *limit = duration_format(agent->current->timeout_ms);
        if (g_cancellable_is_cancelled(agent->current->cancellable)) {
                end_current_with(agent, HOSTLER_ERROR_CANCELLED, "cancelled");
        } else if (agent->synced) {
                end_current_with(agent, HOSTLER_ERROR_UNRESPONSIVE, "the guest agent did not answer within %s", limit);
        } else {
                /* Closing throws away what waits in QEMU for an agent that may come up later. */
                g_clear_pointer(&agent->stream, json_stream_free);
                end_current_with(agent, HOSTLER_ERROR_NO_AGENT, "no guest agent answers in this VM");
        }
}

/* The next request to begin or, when @late, to end; NULL: none. */
static Request *take_waiting(GuestAgent *agent, bool late)
{
        int64_t now_ms = clock_monotonic_ms();
        Request *found = NULL;
        g_mutex_lock(&agent->mutex);
        for (GList *link = agent->waiting.head; link && !found; link = link->next)
                if (!late || due_ms(link->data) <= now_ms)
                        found = link->data;
        if (found)
                g_queue_remove(&agent->waiting, found);
        g_mutex_unlock(&agent->mutex);
        return found;
}

static void set_next_alarm(GuestAgent *agent)
{
        g_mutex_lock(&agent->mutex); /* a request that arrives now sets it after us */
        bool cancelled = agent->current && g_cancellable_is_cancelled(agent->current->cancellable);
        int64_t next_ms = !agent->current ? INT64_MAX : cancelled ? 0 : agent->current_due_ms;
        for (GList *link = agent->waiting.head; link; link = link->next)
                next_ms = MIN(next_ms, agent->current ? due_ms(link->data) : 0);
        if (!agent->shut)
                alarm_set(agent->alarm, next_ms);
        g_mutex_unlock(&agent->mutex);
}

/* Ends what is late, begins what is next. */
static gboolean on_alarm(gpointer data)
{
        GuestAgent *alive = data;
        if (!ref_if_alive(&alive->references))
                return G_SOURCE_REMOVE;
        g_autoptr(GuestAgent) agent = alive;
        Request *request;
        while ((request = take_waiting(agent, true)))
                end_late_waiting(agent, request);
        if (agent->current && MIN(agent->current_due_ms, due_ms(agent->current)) <= clock_monotonic_ms())
                end_late_current(agent);
        if (!agent->current && (request = take_waiting(agent, false)))
                begin(agent, request);
        set_next_alarm(agent);
        return G_SOURCE_CONTINUE;
}

GuestAgent *guest_agent_connect(const char *path, GMainContext *context, GError **error)
{
        int fd = unix_connect(path, error);
        if (fd < 0)
                return NULL;
        GuestAgent *agent = g_new0(GuestAgent, 1);
        agent->references = 1;
        agent->path = g_strdup(path);
        agent->context = g_main_context_ref(context ? context : g_main_context_default());
        agent->connected_fd = fd;
        g_mutex_init(&agent->mutex);
        g_queue_init(&agent->waiting);
        agent->alarm = alarm_new(agent->context, on_alarm, agent);
        return agent;
}

GuestAgent *guest_agent_ref(GuestAgent *agent)
{
        g_atomic_int_inc(&agent->references);
        return agent;
}

static gboolean tear_down(gpointer data)
{
        GuestAgent *agent = data;
        guest_agent_close(agent);
        g_source_unref(agent->alarm);
        g_main_context_unref(agent->context);
        g_mutex_clear(&agent->mutex);
        g_free(agent->path);
        g_free(agent);
        return G_SOURCE_REMOVE;
}

void guest_agent_unref(GuestAgent *agent)
{
        if (!agent || !g_atomic_int_dec_and_test(&agent->references))
                return;
        if (agent->shut)
                tear_down(agent);
        else
                g_main_context_invoke(agent->context, tear_down, agent);
}

static void end_given_up(GuestAgent *agent, Request *request_taken)
{
        GError *error = NULL;
        error_set(&error, HOSTLER_ERROR_FAILED, NULL, "%s: the connection to the guest agent was given up",
                  request_taken->command);
        end_request(agent, request_taken, NULL, error);
}

void guest_agent_close(GuestAgent *agent)
{
        g_mutex_lock(&agent->mutex);
        agent->shut = true;
        g_mutex_unlock(&agent->mutex);
        g_source_destroy(agent->alarm);
        g_clear_pointer(&agent->stream, json_stream_free);
        if (agent->connected_fd >= 0)
                close(agent->connected_fd);
        agent->connected_fd = -1;
        Request *request = g_steal_pointer(&agent->current);
        if (request)
                end_given_up(agent, request);
        while ((request = take_waiting(agent, false)))
                end_given_up(agent, request);
}

static void enqueue(GuestAgent *agent, Request *request_taken)
{
        g_mutex_lock(&agent->mutex);
        bool shut = agent->shut;
        if (!shut) {
                g_queue_push_tail(&agent->waiting, request_taken);
                alarm_set(agent->alarm, 0);
        }
        g_mutex_unlock(&agent->mutex);
        if (shut)
                end_given_up(agent, request_taken);
}

static Request *request_new(const char *command, json_t *arguments_taken, int64_t timeout_ms)
{
        Request *request = g_new0(Request, 1);
        request->command = g_strdup(command);
        request->arguments = arguments_taken;
        request->timeout_ms = timeout_ms;
        request->deadline_ms = clock_monotonic_ms() + timeout_ms;
        request->answer_ms = timeout_ms;
        return request;
}

/* Queues a request and waits for its end. */
static bool await(GuestAgent *agent, Request *request_taken, GCancellable *cancellable, json_t **ret_result,
                  GError **error)
{
        g_autoptr(Waiter) waiter = waiter_new();
        g_autofree char *command = g_strdup(request_taken->command);
        int64_t leave_ms = request_taken->deadline_ms + STALLED_MS;
        request_taken->waiter = waiter;
        request_taken->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
        enqueue(agent, request_taken);
        WaitEnd end = waiter_wait(waiter, leave_ms, cancellable);
        if (end == WAIT_ANSWERED)
                return waiter_take(waiter, ret_result, error);
        if (end == WAIT_LATE)
                return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s: the main loop stands still", command);
        g_mutex_lock(&agent->mutex);
        alarm_set(agent->alarm, 0); /* so that it leaves the queue, or makes room for the next */
        g_mutex_unlock(&agent->mutex);
        return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "%s was cancelled before the guest agent answered",
                         command);
}

bool guest_agent_call(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GCancellable *cancellable, json_t **ret_result, GError **error)
{
        Request *request = request_new(command, arguments_taken, timeout_ms);
        return await(agent, request, cancellable, ret_result, error);
}

void guest_agent_send(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GuestAgentReplyFunc reply, void *user_data)
{
        Request *request = request_new(command, arguments_taken, timeout_ms);
        request->reply = reply;
        request->user_data = user_data;
        enqueue(agent, request);
}

bool guest_agent_order(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t grace_ms,
                       GError **error)
{
        g_autoptr(GError) fault = NULL;
        Request *request = request_new(command, arguments_taken, GUEST_AGENT_TIMEOUT_MS + grace_ms);
        request->answer_ms = grace_ms;
        /* Silence and a broken connection, once the command is sent, are what obeying looks like. */
        if (await(agent, request, NULL, NULL, &fault) || error_is(fault, HOSTLER_ERROR_UNRESPONSIVE))
                return true;
        g_propagate_error(error, g_steal_pointer(&fault));
        return false;
}
