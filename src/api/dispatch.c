/*
 * From a checked request to the verb's function. Verbs run on worker threads here; what only waits or streams is handed
 * on and takes no thread. server.c calls dispatch() once per request.
 */
#include "api/dispatch.h"

#include "api/bridge.h"
#include "api/events.h"
#include "api/poll.h"
#include "base/error.h"
#include "hostler-records.h"

/* Worker thread. */
static void run_call(Exchange *exchange)
{
        const VerbDecl *decl = exchange->route.decl;
        g_autofree void *result = g_malloc0(result_size(decl));
        g_autoptr(GError) error = NULL;
        Call call = {
            .manager = exchange->server->hooks.manager,
            .caller = exchange->caller,
            .cancellable = exchange->cancellable,
        };

        if (!verb_handler(decl)->call(&call, exchange->request.args, result, &error)) {
                exchange->reply = reply_problem(error, 0);
                return;
        }
        exchange->reply = reply_result(decl, result);
        result_clear(decl, result);
}

static bool is_urgent(const VerbDecl *decl, const void *args)
{
        if (decl->urgent || !decl->urgent_if)
                return decl->urgent;
        const Field *field = record_field(decl->args, decl->urgent_if);
        return *(const bool *)((const char *)args + field->offset);
}

static bool accept(Exchange *exchange, const char *id, GError **error)
{
        HostlerJob job;

        if (!job_get(exchange->server->hooks.jobs, id, &job, error))
                return false;
        g_autoptr(GString) text = g_string_new(NULL);
        record_print(&hostler_job_type, &job, text);
        record_clear(&hostler_job_type, &job);
        exchange->reply = reply_text(SOUP_STATUS_ACCEPTED, "application/json", g_strdup(text->str));
        exchange->reply.location = g_strconcat("/v1/jobs/", id, NULL);
        return true;
}

static bool takes_spec(const VerbDecl *decl)
{
        for (size_t i = 0; i < decl->args->n_fields; i++)
                if (decl->args->fields[i].type == FIELD_PATCH)
                        return true;
        return false;
}

/*
 * A spec that is wrong in itself is refused at once, with all its faults, and makes no job. Other refusals of the plan
 * may no longer hold when the job has its turn.
 */
static bool spec_is_valid(Exchange *exchange, const JobRequest *request, GError **error)
{
        g_autoptr(GError) local = NULL;
        if (!takes_spec(exchange->route.decl))
                return true;
        json_auto_t *steps = job_plan(exchange->server->hooks.jobs, request, &local);
        if (steps || !error_is(local, HOSTLER_ERROR_INVALID))
                return true;
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

static bool submit(Exchange *exchange, const JobRequest *request, GError **error)
{
        g_autofree char *id = NULL;

        return spec_is_valid(exchange, request, error) &&
               job_submit(exchange->server->hooks.jobs, request, &id, error) && accept(exchange, id, error);
}

static bool plan(Exchange *exchange, const JobRequest *request, GError **error)
{
        json_t *steps = job_plan(exchange->server->hooks.jobs, request, error);

        if (!steps)
                return false;
        exchange->reply = reply_json(SOUP_STATUS_OK, json_pack("{s:o}", "steps", steps));
        return true;
}

static bool run_new(Exchange *exchange, JobRequest *request, GError **error)
{
        const ApiHooks *hooks = &exchange->server->hooks;
        GError *refusal = NULL;
        g_autofree char *turn_key = hooks->turn_key(hooks->manager, exchange->route.decl, request->args, &refusal);

        if (refusal) {
                g_propagate_error(error, refusal);
                return false;
        }
        request->turn_key = turn_key;
        return request->dry_run ? plan(exchange, request, error) : submit(exchange, request, error);
}

/*
 * Worker thread: writing the job's row may take as long as the disk does. A replay comes first: the object may be gone,
 * by that very job.
 */
static void run_job(Exchange *exchange)
{
        const VerbDecl *decl = exchange->route.decl;
        const void *args = exchange->request.args;
        g_autoptr(GError) error = NULL;
        g_autofree char *object = verb_object(decl, args), *known = NULL;
        JobRequest request = {
            .verb = verb_handler(decl),
            .args = args,
            .object = object,
            .caller = &exchange->caller,
            .key = exchange->request.key,
            .dry_run = exchange->request.dry_run,
            .urgent = is_urgent(decl, args),
        };

        if (!request.dry_run && job_find(exchange->server->hooks.jobs, &request, &known, &error))
                accept(exchange, known, &error);
        else if (!error)
                run_new(exchange, &request, &error);
        if (error)
                exchange->reply = reply_problem(error, 0);
}

static ExchangeFunc stream_of(const VerbDecl *decl)
{
        static const struct {
                const char *verb;
                ExchangeFunc start;
        } streams[] = {
            {"event.watch", events_start}, {"job.wait", poll_start}, {"vm.wait", poll_start},
            {"vm.console", bridge_start},  {"vm.vnc", bridge_start}, {"vm.capture", bridge_start},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(streams); i++)
                if (g_str_equal(streams[i].verb, decl->id))
                        return streams[i].start;
        return NULL;
}

void dispatch(Exchange *exchange)
{
        const VerbDecl *decl = exchange->route.decl;
        ExchangeFunc stream = poll_wanted(exchange) ? poll_start : stream_of(decl);
        g_autoptr(GError) error = NULL;

        if (stream)
                stream(exchange);
        else if (!exchange_run(exchange, decl->kind == VERB_JOB ? run_job : run_call, exchange_reply, &error))
                exchange_fail(exchange, error);
}
