/*
 * Holds requests on the main loop until a look at their object says that they can be answered. Events that come during
 * a look are not lost: it is repeated. dispatch.c hands the exchanges over; nothing else knows of them.
 */
#include "api/poll.h"

#include "base/error.h"
#include "hostler-records.h"

typedef struct Poll Poll;
/* Worker thread: fills exchange->reply if the poll is over; must if @last. */
typedef void (*LookFunc)(Poll *poll, Exchange *exchange, bool last);

struct Poll {
        Exchange *exchange;
        LookFunc look;
        char *object;   /* "vm/web1"; written by a look */
        char *job;      /* its id, NULL for a VM */
        bool looking;   /* a worker has the exchange */
        bool again;     /* something happened meanwhile */
        bool over;      /* the time is up or the client has gone */
        bool last_look; /* what the worker is told of `over` */
        GSource *timer;
        GList link;
};

struct Polls {
        ApiServer *server;
        guint listener;
        GQueue all;
};

static void poll_free(Poll *poll)
{
        g_queue_unlink(&poll->exchange->server->polls->all, &poll->link);
        g_source_destroy(poll->timer);
        g_source_unref(poll->timer);
        g_free(poll->object);
        g_free(poll->job);
        g_free(poll);
}

static bool job_has_ended(const HostlerJob *job)
{
        return job->state != HOSTLER_JOB_STATE_QUEUED && job->state != HOSTLER_JOB_STATE_RUNNING;
}

static void look_at_job(Poll *poll, Exchange *exchange, bool last)
{
        const VerbDecl *decl = exchange->route.decl;
        g_autoptr(GError) error = NULL;
        HostlerJob job;

        if (!job_get(exchange->server->hooks.jobs, poll->job, &job, &error)) {
                exchange->reply = reply_problem(error, 0);
                return;
        }
        if (job_has_ended(&job) || (last && !decl->streams)) {
                exchange->reply = reply_result(decl, &job);
        } else if (last) {
                g_autofree char *object = g_strconcat("job/", poll->job, NULL);
                error_set(&error, HOSTLER_ERROR_TIMEOUT, object, "%s of %s has not ended; it is %s", job.verb,
                          job.object, job.state == HOSTLER_JOB_STATE_QUEUED ? "queued" : "running");
                exchange->reply = reply_problem(error, 0);
        }
        record_clear(&hostler_job_type, &job);
}

static void look_at_vm(Poll *poll, Exchange *exchange, bool last)
{
        const ApiHooks *hooks = &exchange->server->hooks;
        const HostlerVmWaitArgs *args = exchange->request.args;
        const char *what = record_field(exchange->route.decl->args, "for")->values->values[args->for_];
        g_autoptr(GError) error = NULL;
        bool reached = false;
        HostlerVm vm;

        if (!hooks->vm_wait_check(hooks->manager, args->vm, args->for_, &reached, &vm, &error)) {
                exchange->reply = reply_problem(error, 0);
                return;
        }
        g_free(poll->object);
        poll->object = g_strconcat("vm/", vm.name, NULL);
        if (reached) {
                exchange->reply = reply_result(exchange->route.decl, &vm);
        } else if (last) {
                error_set(&error, HOSTLER_ERROR_TIMEOUT, poll->object, "%s has not come to `%s`", vm.name, what);
                exchange->reply = reply_problem(error, 0);
        }
        record_clear(&hostler_vm_type, &vm);
}

static void take_look(Exchange *exchange)
{
        Poll *poll = exchange->data;

        poll->look(poll, exchange, poll->last_look);
}

static void look(Poll *poll);

static void looked(Exchange *exchange)
{
        Poll *poll = exchange->data;

        poll->looking = false;
        if (exchange->reply.status != 0) {
                poll_free(poll);
                exchange_reply(exchange);
        } else if (poll->again || poll->over) {
                look(poll);
        }
}

static void look(Poll *poll)
{
        Exchange *exchange = poll->exchange;
        g_autoptr(GError) error = NULL;

        poll->looking = true;
        poll->again = false;
        poll->last_look = poll->over;
        if (exchange_run(exchange, take_look, looked, &error))
                return;
        poll_free(poll);
        exchange_fail(exchange, error);
}

static void end(Poll *poll)
{
        poll->over = true;
        if (!poll->looking)
                look(poll);
}

static gboolean time_is_up(void *data)
{
        end(data);
        return G_SOURCE_REMOVE;
}

static void client_has_gone(Exchange *exchange)
{
        end(exchange->data);
}

static bool concerns(const Poll *poll, const EventRow *event, const char *ended_job)
{
        if (poll->job)
                return g_strcmp0(poll->job, ended_job) == 0;
        return g_strcmp0(poll->object, event->object) == 0 || g_str_equal(event->kind, "vm-changed");
}

static void on_event(const EventRow *event, void *data)
{
        Polls *polls = data;
        bool ended = g_str_equal(event->kind, "job-ended");
        json_t *fields = ended && event->data ? json_loads(event->data, 0, NULL) : NULL;
        const char *ended_job = json_string_value(json_object_get(fields, "job"));

        for (GList *item = polls->all.head, *next = NULL; item; item = next) {
                Poll *poll = item->data;
                next = item->next;
                if (poll->looking)
                        poll->again = true;
                else if (concerns(poll, event, ended_job))
                        look(poll);
        }
        json_decref(fields);
}

Polls *polls_new(ApiServer *server)
{
        Polls *polls = g_new0(Polls, 1);

        polls->server = server;
        polls->listener = event_listen(server->hooks.events, on_event, polls);
        return polls;
}

void polls_free(Polls *polls)
{
        event_unlisten(polls->server->hooks.events, polls->listener);
        while (polls->all.head) {
                Poll *poll = polls->all.head->data;
                Exchange *exchange = poll->exchange;
                poll_free(poll);
                exchange_release(exchange);
        }
        g_free(polls);
}

bool poll_wanted(Exchange *exchange)
{
        if (!g_str_equal(exchange->route.decl->id, "job.show"))
                return false;
        const HostlerJobShowArgs *args = exchange->request.args;
        return args->wait != HOSTLER_UNSET && args->wait > 0;
}

void poll_start(Exchange *exchange)
{
        const char *verb = exchange->route.decl->id;
        Poll *poll = g_new0(Poll, 1);
        int64_t timeout_ms;

        if (g_str_equal(verb, "vm.wait")) {
                const HostlerVmWaitArgs *args = exchange->request.args;
                poll->look = look_at_vm;
                timeout_ms = args->timeout;
        } else {
                /* job.show and job.wait: both begin with the job's id. */
                const HostlerJobShowArgs *show = exchange->request.args;
                const HostlerJobWaitArgs *wait = exchange->request.args;
                poll->look = look_at_job;
                poll->job = g_strdup(exchange->route.decl->streams ? wait->job : show->job);
                timeout_ms = exchange->route.decl->streams ? wait->timeout : show->wait;
        }
        poll->exchange = exchange;
        poll->timer = g_timeout_source_new((guint)timeout_ms);
        poll->link.data = poll;
        g_source_set_callback(poll->timer, time_is_up, poll, NULL);
        g_source_attach(poll->timer, exchange->server->context);
        g_queue_push_tail_link(&exchange->server->polls->all, &poll->link);
        exchange->data = poll;
        exchange->gone = client_has_gone;
        look(poll);
}
