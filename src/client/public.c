/*
 * The public face of libhostler: <hostler.h> in C types, over client.h. Carries values across and nothing else. The
 * generated functions of hostler-verbs.h stand on hostler_call().
 */
#include "client/public.h"
#include "base/error.h"
#include "client/client.h"
#include "hostler-records.h"

enum { POLL_MS = 500 };

static char *take_string(const json_t *problem, const char *name);
static char **take_causes(const json_t *problem);
static const VerbDecl *verb_by_id(const char *id, GError **error);
static json_t *parse_args(const char *args, GError **error);

bool public_error(GError *failure_taken, HostlerError *error)
{
        g_autoptr(GError) failure = failure_taken;

        if (!error)
                return false;
        json_auto_t *problem = error_to_json(failure);
        *error = (HostlerError){
            .code = error_decl_of(failure)->code,
            .name = take_string(problem, "code"),
            .title = take_string(problem, "title"),
            .detail = take_string(problem, "detail"),
            .object = take_string(problem, "object"),
            .hint = take_string(problem, "hint"),
            .causes = take_causes(problem),
            .problem = json_dumps(problem, JSON_COMPACT),
        };
        return false;
}

ClientOptions public_options(const HostlerCallOptions *options)
{
        if (!options)
                return (ClientOptions){0};
        return (ClientOptions){
            .idempotency_key = options->idempotency_key,
            .dry_run = options->dry_run,
            .timeout_ms = options->timeout_ms,
        };
}

void hostler_error_clear(HostlerError *error)
{
        free(error->name);
        free(error->title);
        free(error->detail);
        free(error->object);
        free(error->hint);
        free(error->problem);
        g_strfreev(error->causes);
        *error = (HostlerError){0};
}

HostlerClient *hostler_connect(const char *socket_path, bool start, HostlerError *error)
{
        GError *failure = NULL;
        HostlerClient *client = client_open(NULL, socket_path, start, &failure);

        if (!client)
                public_error(failure, error);
        return client;
}

void hostler_close(HostlerClient *client)
{
        if (client)
                client_close(client);
}

bool hostler_call(HostlerClient *client, const char *verb, const char *args, const HostlerCallOptions *options,
                  char **ret_result, HostlerError *error)
{
        ClientOptions client_options = public_options(options);
        GError *failure = NULL;
        const VerbDecl *decl = verb_by_id(verb, &failure);
        json_auto_t *json = decl ? parse_args(args, &failure) : NULL;

        return (json && client_call(client, decl, json, &client_options, ret_result, NULL, &failure)) ||
               public_error(failure, error);
}

bool hostler_job_wait_end(HostlerClient *client, const char *id, int64_t timeout_ms, HostlerProgressFunc progress,
                          void *data, HostlerJob *ret_job, HostlerError *error)
{
        GError *failure = NULL;
        HostlerJob job;

        if (!client_job_wait(client, id, timeout_ms, POLL_MS, progress, data, NULL, &job, &failure))
                return public_error(failure, error);
        failure = client_job_error(&job);
        if (!failure && ret_job) {
                *ret_job = job;
                return true;
        }
        record_clear(&hostler_job_type, &job);
        return !failure || public_error(failure, error);
}

typedef struct {
        HostlerEventFunc event;
        void *data;
        GError *failure;
} EventRelay;

static bool relay_event(const char *text, void *data)
{
        EventRelay *relay = data;
        json_auto_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        HostlerEvent event;

        if (!record_from_json(&hostler_event_type, json, "", &event, &relay->failure))
                return false;
        bool go_on = relay->event(&event, relay->data);
        record_clear(&hostler_event_type, &event);
        return go_on;
}

bool hostler_events(HostlerClient *client, int64_t since, const char *object, HostlerEventFunc event, void *data,
                    HostlerError *error)
{
        EventRelay relay = {.event = event, .data = data};
        GError *failure = NULL;

        if (!client_events(client, since, object, relay_event, &relay, NULL, &failure))
                return public_error(failure, error);
        return !relay.failure || public_error(relay.failure, error);
}

static HostlerStream *attach(HostlerClient *client, const char *verb, json_t *args_taken, int *ret_fd,
                             HostlerError *error)
{
        json_auto_t *args = args_taken;
        GError *failure = NULL;
        HostlerStream *stream = client_stream_attach(client, verb_find("vm", verb), args, ret_fd, &failure);

        if (!stream)
                public_error(failure, error);
        return stream;
}

HostlerStream *hostler_console_attach(HostlerClient *client, const char *vm, int *ret_fd, HostlerError *error)
{
        return attach(client, "console", json_pack("{s:s}", "vm", vm), ret_fd, error);
}

HostlerStream *hostler_vnc_attach(HostlerClient *client, const char *vm, const char *output, int *ret_fd,
                                  HostlerError *error)
{
        return attach(client, "vnc", json_pack("{s:s, s:s*}", "vm", vm, "output", output), ret_fd, error);
}

void hostler_stream_close(HostlerStream *stream, char **ret_reason)
{
        if (stream)
                client_stream_close(stream, ret_reason);
}

static char *take_string(const json_t *problem, const char *name)
{
        return g_strdup(json_string_value(json_object_get(problem, name)));
}

static char **take_causes(const json_t *problem)
{
        GPtrArray *causes = g_ptr_array_new();
        size_t index;
        json_t *cause;

        json_array_foreach (json_object_get(problem, "causes"), index, cause) {
                const char *pointer = json_string_value(json_object_get(cause, "pointer"));
                const char *detail = json_string_value(json_object_get(cause, "detail"));

                g_ptr_array_add(causes, g_strconcat(pointer ? pointer : "", pointer && *pointer ? ": " : "",
                                                    detail ? detail : "", NULL));
        }
        g_ptr_array_add(causes, NULL);
        return (char **)g_ptr_array_free(causes, false);
}

static const VerbDecl *verb_by_id(const char *id, GError **error)
{
        g_auto(GStrv) words = g_strsplit(id, ".", 2);
        const VerbDecl *verb = g_strv_length(words) == 2 ? verb_find(words[0], words[1]) : NULL;

        if (!verb)
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "there is no verb %s", id);
        return verb;
}

static json_t *parse_args(const char *args, GError **error)
{
        json_error_t fault;
        json_t *json = args ? json_loads(args, JSON_REJECT_DUPLICATES, &fault) : json_object();

        if (json_is_object(json))
                return json;
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "the arguments are not a JSON object%s%s", json ? "" : ": ",
                  json ? "" : fault.text);
        json_decref(json);
        return NULL;
}
