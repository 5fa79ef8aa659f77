/*
 * The pretended verbs, the daemon around them, and the HTTP client. Names decide what a VM does: `error-CODE` fails
 * with that code, `none` is not there.
 */
#include "api-daemon.h"

#include <gio/gunixsocketaddress.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-records.h"

/* ---- verbs ---- */

static bool check_name(const char *name, GError **error)
{
        if (g_str_equal(name, "none"))
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, "vm/none", "there is no VM `none`");
        for (const ErrorDecl *decl = error_decls; decl->name; decl++)
                if (g_str_has_prefix(name, "error-") && g_str_equal(name + strlen("error-"), decl->name))
                        return error_set(error, decl->code, "vm/x", "asked to fail");
        return true;
}

static void fill_vm(Manager *manager, const char *name, HostlerVm *vm)
{
        record_init(&hostler_vm_type, vm);
        vm->id = g_strdup("00000000-0000-0000-0000-000000000001");
        vm->name = g_strdup(name);
        vm->created = g_strdup("2026-01-01T00:00:00.000Z");
        vm->status = g_malloc0(sizeof(*vm->status));
        record_init(&hostler_vm_status_type, vm->status);
        g_mutex_lock(&manager->lock);
        vm->generation = manager->generation;
        vm->status->power = manager->power;
        g_mutex_unlock(&manager->lock);
}

static bool fake_show(const Call *call, const void *args, void *ret_result, GError **error)
{
        const HostlerVmShowArgs *show = args;

        if (!check_name(show->vm, error))
                return false;
        fill_vm(call->manager, show->vm, ret_result);
        return true;
}

static bool fake_ls(const Call *call, const void *args, void *ret_result, GError **error)
{
        const HostlerVmLsArgs *ls = args;
        HostlerVmList *list = ret_result;

        list->count = ls->limit == HOSTLER_UNSET ? 3 : (size_t)ls->limit;
        list->items = calloc(list->count, sizeof(HostlerVm));
        for (size_t i = 0; i < list->count; i++) {
                g_autofree char *name = g_strdup_printf("vm%zu", i);
                fill_vm(call->manager, name, &list->items[i]);
        }
        return true;
}

/* Waits for the gate, looking at @cancellable every few milliseconds. */
static bool wait_for_gate(Manager *manager, GCancellable *cancellable, GError **error)
{
        bool open = false;

        while (!open && !g_cancellable_is_cancelled(cancellable)) {
                g_mutex_lock(&manager->lock);
                if (!manager->gate)
                        g_cond_wait_until(&manager->changed, &manager->lock, g_get_monotonic_time() + 5000);
                open = manager->gate;
                g_mutex_unlock(&manager->lock);
        }
        return open || error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "cancelled");
}

static void count(Manager *manager, unsigned *counter)
{
        g_mutex_lock(&manager->lock);
        (*counter)++;
        g_cond_broadcast(&manager->changed);
        g_mutex_unlock(&manager->lock);
}

static bool fake_exec(const Call *call, const void *args, void *ret_result, GError **error)
{
        HostlerExecResult *result = ret_result;

        count(call->manager, &call->manager->executed);
        if (!wait_for_gate(call->manager, call->cancellable, error)) {
                count(call->manager, &call->manager->cancelled);
                return false;
        }
        record_init(&hostler_exec_result_type, result);
        result->exit_code = 7;
        return true;
}

static bool fake_write(const Call *call, const void *args, void *ret_result, GError **error)
{
        return true;
}

static bool fake_job_show(const Call *call, const void *args, void *ret_result, GError **error)
{
        return job_get(call->manager->jobs, ((const HostlerJobShowArgs *)args)->job, ret_result, error);
}

static bool fake_job_cancel(const Call *call, const void *args, void *ret_result, GError **error)
{
        return job_cancel(call->manager->jobs, ((const HostlerJobCancelArgs *)args)->job, error);
}

static bool fake_job_ls(const Call *call, const void *args, void *ret_result, GError **error)
{
        return job_list(call->manager->jobs, args, ret_result, error);
}

static bool fake_start(Job *job, const void *args, void *ret_result, GError **error)
{
        Manager *manager = job_manager(job);

        if (!check_name(((const HostlerVmStartArgs *)args)->vm, error))
                return false;
        if (job_step(job, "launch", "start QEMU")) {
                count(manager, &manager->started);
                if (!wait_for_gate(manager, job_cancellable(job), error))
                        return false;
        }
        job_step(job, "cont", "let the guest run");
        return true;
}

static bool fake_set(Job *job, const void *args, void *ret_result, GError **error)
{
        const HostlerVmSetArgs *set = args;
        Manager *manager = job_manager(job);
        bool good;

        *(HostlerPropertyChangeList *)ret_result = (HostlerPropertyChangeList){0};
        g_mutex_lock(&manager->lock);
        good = set->generation == HOSTLER_UNSET || set->generation == manager->generation;
        if (good && !job_is_dry_run(job))
                manager->generation++;
        g_mutex_unlock(&manager->lock);
        return good || error_set(error, HOSTLER_ERROR_PRECONDITION, "vm/web1", "the generation is another one now");
}

/* The table of handlers, which is constant in the daemon: here it is filled with those that are pretended, by name. */
extern Verb fake_handlers[128] __asm__("verb_handlers");
Verb fake_handlers[128];

const Verb *verb_handler(const VerbDecl *decl)
{
        return &fake_handlers[decl - hostler_verbs];
}

static void fill_handlers(void)
{
        static const struct {
                const char *verb;
                bool (*call)(const Call *call, const void *args, void *ret_result, GError **error);
                bool (*job)(Job *job, const void *args, void *ret_result, GError **error);
        } fakes[] = {
            {"vm.show", fake_show, NULL},   {"vm.ls", fake_ls, NULL},          {"vm.exec", fake_exec, NULL},
            {"file.put", fake_write, NULL}, {"job.show", fake_job_show, NULL}, {"job.cancel", fake_job_cancel, NULL},
            {"job.ls", fake_job_ls, NULL},  {"vm.start", NULL, fake_start},    {"vm.set", NULL, fake_set},
        };

        if (fake_handlers[0].decl)
                return;
        for (size_t i = 0; hostler_verbs[i].id; i++) {
                g_assert_cmpuint(i, <, G_N_ELEMENTS(fake_handlers) - 1);
                fake_handlers[i].decl = &hostler_verbs[i];
                for (size_t j = 0; j < G_N_ELEMENTS(fakes); j++) {
                        if (!g_str_equal(fakes[j].verb, hostler_verbs[i].id))
                                continue;
                        fake_handlers[i].call = fakes[j].call;
                        fake_handlers[i].job = fakes[j].job;
                }
        }
}

/* ---- hooks ---- */

static char *turn_key(Manager *manager, const VerbDecl *decl, const void *args, GError **error)
{
        g_autofree char *object = verb_object(decl, args);

        if (g_str_equal(object, "vm/none")) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no VM `none`");
                return NULL;
        }
        return g_steal_pointer(&object);
}

static bool vm_wait_check(Manager *manager, const char *vm, HostlerWaitFor what, bool *ret_reached, HostlerVm *ret_vm,
                          GError **error)
{
        if (!check_name(vm, error))
                return false;
        fill_vm(manager, vm, ret_vm);
        *ret_reached = ret_vm->status->power == HOSTLER_POWER_RUNNING;
        return true;
}

/* Echoes in capitals; `x` ends it. */
static void stream_write(ByteStream *stream, const void *bytes, gsize length)
{
        Manager *manager = ((DaemonStream *)stream)->manager;
        g_autofree char *text = g_ascii_strup(bytes, (gssize)length);

        if (g_str_equal(text, "X"))
                manager->sink.closed("the guest has gone", manager->sink.data);
        else
                manager->sink.bytes(text, length, manager->sink.data);
}

static void stream_detach(ByteStream *stream)
{
        Manager *manager = ((DaemonStream *)stream)->manager;

        g_mutex_lock(&manager->lock);
        manager->sink.data = NULL;
        g_mutex_unlock(&manager->lock);
}

static bool stream_attach(Manager *manager, const VerbDecl *decl, const void *args, const ByteSink *sink,
                          ByteStream **ret_stream, GError **error)
{
        static const ByteStreamOps ops = {.write = stream_write, .detach = stream_detach};
        const HostlerVmConsoleArgs *console = args;

        if (!check_name(console->vm, error))
                return false;
        manager->sink = *sink;
        manager->stream = (DaemonStream){.stream = {.ops = &ops}, .manager = manager};
        *ret_stream = &manager->stream.stream;
        sink->bytes("login: ", strlen("login: "), sink->data);
        return true;
}

static char *metrics(Manager *manager)
{
        return g_strdup("# TYPE hostler_vms gauge\nhostler_vms 3\n# EOF\n");
}

/* ---- daemon ---- */

static gpointer run(gpointer data)
{
        static const JobOperation operations[] = {{NULL}};
        Daemon *daemon = data;
        Manager *manager = &daemon->manager;
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(daemon->dir, "state.db", NULL);

        g_main_context_push_thread_default(daemon->context);
        g_autoptr(Store) store = store_open(path, &error);
        g_assert_no_error(error);
        g_autoptr(EventLog) events = event_log_new(store, daemon->context);
        JobQueue *jobs = job_queue_new(store, events, manager, operations);
        job_queue_recover(jobs, &error);
        g_assert_no_error(error);
        manager->jobs = jobs;
        manager->store = store;
        manager->events = events;
        ApiHooks hooks = {
            .jobs = jobs,
            .events = events,
            .store = store,
            .manager = manager,
            .auth = daemon->rule,
            .version = "1.2.3",
            .openapi = "{}",
            .turn_key = turn_key,
            .vm_wait_check = vm_wait_check,
            .stream_attach = stream_attach,
            .metrics = metrics,
        };
        daemon->api = api_server_new(&hooks, daemon->socket, &error);
        g_assert_no_error(error);
        g_main_loop_run(daemon->loop);
        api_server_free(daemon->api);
        job_queue_free(jobs);
        g_main_context_pop_thread_default(daemon->context);
        return NULL;
}

void daemon_init(Daemon *daemon)
{
        fill_handlers();
        *daemon = (Daemon){.rule = {.owner = getuid(), .operators = AUTH_NO_GROUP}};
        daemon->dir = g_dir_make_tmp("hostler-api-XXXXXX", NULL);
        daemon->socket = g_build_filename(daemon->dir, "socket", NULL);
        g_mutex_init(&daemon->manager.lock);
        g_cond_init(&daemon->manager.changed);
        daemon->manager.generation = 1;
        daemon->manager.power = HOSTLER_POWER_OFF;
}

static gboolean is_up(void *data)
{
        Daemon *daemon = data;

        g_mutex_lock(&daemon->manager.lock);
        g_cond_broadcast(&daemon->manager.changed);
        daemon->manager.context = daemon->context;
        g_mutex_unlock(&daemon->manager.lock);
        return G_SOURCE_REMOVE;
}

void daemon_up(Daemon *daemon)
{
        daemon->context = g_main_context_new();
        daemon->loop = g_main_loop_new(daemon->context, false);
        g_autoptr(GSource) source = g_idle_source_new();
        g_source_set_callback(source, is_up, daemon, NULL);
        g_source_attach(source, daemon->context);
        daemon->thread = g_thread_new("daemon", run, daemon);
        g_mutex_lock(&daemon->manager.lock);
        while (!daemon->manager.context)
                g_cond_wait(&daemon->manager.changed, &daemon->manager.lock);
        g_mutex_unlock(&daemon->manager.lock);
}

static void quit(Daemon *daemon)
{
        g_main_loop_quit(daemon->loop);
}

typedef struct {
        Daemon *daemon;
        void (*func)(Daemon *daemon);
        bool done;
} Errand;

static gboolean do_errand(void *data)
{
        Errand *errand = data;
        Manager *manager = &errand->daemon->manager;

        errand->func(errand->daemon);
        g_mutex_lock(&manager->lock);
        errand->done = true;
        g_cond_broadcast(&manager->changed);
        g_mutex_unlock(&manager->lock);
        return G_SOURCE_REMOVE;
}

void daemon_do(Daemon *daemon, void (*func)(Daemon *daemon))
{
        Errand errand = {daemon, func, false};
        g_autoptr(GSource) source = g_idle_source_new();

        g_source_set_callback(source, do_errand, &errand, NULL);
        g_source_attach(source, daemon->context);
        g_mutex_lock(&daemon->manager.lock);
        while (!errand.done)
                g_cond_wait(&daemon->manager.changed, &daemon->manager.lock);
        g_mutex_unlock(&daemon->manager.lock);
}

void daemon_down(Daemon *daemon)
{
        daemon_do(daemon, quit);
        g_thread_join(daemon->thread);
        g_main_loop_unref(daemon->loop);
        g_main_context_unref(daemon->context);
        daemon->manager.context = NULL;
}

void daemon_clear(Daemon *daemon)
{
        g_assert_false(g_file_test(daemon->socket, G_FILE_TEST_EXISTS));
        g_assert_true(dir_remove(daemon->dir, NULL));
        g_free(daemon->dir);
        g_free(daemon->socket);
        g_mutex_clear(&daemon->manager.lock);
        g_cond_clear(&daemon->manager.changed);
}

void daemon_open_gate(Daemon *daemon, bool open)
{
        g_mutex_lock(&daemon->manager.lock);
        daemon->manager.gate = open;
        g_cond_broadcast(&daemon->manager.changed);
        g_mutex_unlock(&daemon->manager.lock);
}

/* ---- HTTP ---- */

void response_clear(Response *response)
{
        g_free(response->headers);
        g_free(response->text);
        json_decref(response->json);
        *response = (Response){0};
}

char *response_header(const Response *response, const char *name)
{
        g_auto(GStrv) lines = g_strsplit(response->headers, "\r\n", -1);
        size_t length = strlen(name);

        for (char **line = lines; *line; line++)
                if (!g_ascii_strncasecmp(*line, name, length) && (*line)[length] == ':')
                        return g_strdup(g_strstrip(*line + length + 1));
        return NULL;
}

int http_connect(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        g_assert_cmpint(fd, >=, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
                return fd;
        close(fd);
        return -1;
}

void http_send(int fd, const char *method, const char *target, const char *headers, const char *body)
{
        g_autofree char *text =
            g_strdup_printf("%s %s HTTP/1.1\r\nHost: hostler\r\n%s%sContent-Length: %zu\r\n\r\n%s", method, target,
                            headers ? headers : "", body ? "Content-Type: application/json\r\n" : "",
                            body ? strlen(body) : 0, body ? body : "");
        size_t sent = 0, length = strlen(text);

        while (sent < length) {
                ssize_t count = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
                if (count <= 0)
                        break;
                sent += (size_t)count;
        }
}

static void record_response(const char *method, const char *target, const Response *response)
{
        const char *path = g_getenv("HOSTLER_API_RECORD");

        if (!path)
                return;
        g_autofree char *type = response_header(response, "Content-Type");
        json_t *line =
            json_pack("{s:s, s:s, s:i, s:s?, s:O?, s:s?}", "method", method, "path", target, "status", response->status,
                      "type", type, "json", response->json, "text", response->json ? NULL : response->text);
        FILE *file = fopen(path, "a");
        json_dumpf(line, file, JSON_COMPACT);
        fputc('\n', file);
        fclose(file);
        json_decref(line);
}

bool http_receive(int fd, const char *method, const char *target, Response *ret_response)
{
        g_autoptr(GString) text = g_string_new(NULL);
        char piece[65536];
        const char *end = NULL;
        gsize wanted = G_MAXSIZE;

        *ret_response = (Response){0};
        while (text->len < wanted) {
                ssize_t count = recv(fd, piece, sizeof(piece), 0);
                if (count <= 0)
                        return false;
                g_string_append_len(text, piece, count);
                if (end || !(end = strstr(text->str, "\r\n\r\n")))
                        continue;
                ret_response->headers = g_strndup(text->str, (gsize)(end - text->str));
                g_autofree char *length = response_header(ret_response, "Content-Length");
                wanted = (gsize)(end - text->str) + 4 + (length ? strtoul(length, NULL, 10) : 0);
        }
        ret_response->status = atoi(text->str + strlen("HTTP/1.1 "));
        ret_response->text = g_strdup(strstr(text->str, "\r\n\r\n") + 4);
        ret_response->json = json_loads(ret_response->text, 0, NULL);
        record_response(method, target, ret_response);
        return true;
}

Response http_call(Daemon *daemon, const char *method, const char *target, const char *headers, const char *body)
{
        Response response;
        int fd = http_connect(daemon->socket);

        g_assert_cmpint(fd, >=, 0);
        http_send(fd, method, target, headers, body);
        g_assert_true(http_receive(fd, method, target, &response));
        close(fd);
        return response;
}

const char *response_code(const Response *response)
{
        g_autofree char *type = response_header(response, "Content-Type");

        g_assert_cmpstr(type, ==, "application/problem+json");
        g_assert_cmpint(json_integer_value(json_object_get(response->json, "status")), ==, response->status);
        g_assert_nonnull(json_string_value(json_object_get(response->json, "title")));
        g_assert_nonnull(json_string_value(json_object_get(response->json, "detail")));
        return json_string_value(json_object_get(response->json, "code"));
}

char *response_job(const Response *response)
{
        g_autofree char *location = response_header(response, "Location");

        g_assert_cmpint(response->status, ==, 202);
        const char *id = json_string_value(json_object_get(response->json, "id"));
        g_autofree char *expected = g_strconcat("/v1/jobs/", id, NULL);
        g_assert_cmpstr(location, ==, expected);
        return g_strdup(id);
}
