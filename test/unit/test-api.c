/*
 * The API as a client sees it: jobs, long polls, replays, races, limits, roles. The server, store and job queue are
 * real.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api-daemon.h"
#include "api/connection.h"
#include "api/request.h"
#include "base/error.h"

#define SET_BODY "{\"spec\":{\"cpu\":{\"count\":2}}}"

typedef struct {
        Daemon daemon;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        daemon_init(&fixture->daemon);
        daemon_up(&fixture->daemon);
}

static void tear_down(Fixture *fixture, const void *data)
{
        daemon_open_gate(&fixture->daemon, true);
        daemon_down(&fixture->daemon);
        daemon_clear(&fixture->daemon);
}

static void assert_answer(Daemon *daemon, const char *method, const char *target, const char *headers, const char *body,
                          int status, const char *code)
{
        g_auto(Response) response = http_call(daemon, method, target, headers, body);

        if (response.status != status)
                g_test_message("%s %s: %s", method, target, response.text);
        g_assert_cmpint(response.status, ==, status);
        if (code)
                g_assert_cmpstr(response_code(&response), ==, code);
}

static const char *member(const Response *response, const char *name)
{
        return json_string_value(json_object_get(response->json, name));
}

/* ---- pages and calls ---- */

static void test_pages(Fixture *fixture, const void *data)
{
        g_auto(Response) version = http_call(&fixture->daemon, "GET", "/v1/version", NULL, NULL);
        g_auto(Response) metrics = http_call(&fixture->daemon, "GET", "/metrics", NULL, NULL);
        g_autofree char *type = response_header(&metrics, "Content-Type");

        g_assert_cmpstr(member(&version, "version"), ==, "1.2.3");
        g_assert_cmpstr(member(&version, "mode"), ==, "session");
        g_assert_true(g_str_has_prefix(type, "application/openmetrics-text"));
        g_assert_true(g_str_has_suffix(metrics.text, "# EOF\n"));
        assert_answer(&fixture->daemon, "GET", "/", NULL, NULL, 200, NULL);
        assert_answer(&fixture->daemon, "GET", "/v1/openapi.json", NULL, NULL, 200, NULL);
}

static void test_calls(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_auto(Response) show = http_call(daemon, "GET", "/v1/vms/web1", NULL, NULL);
        g_auto(Response) list = http_call(daemon, "GET", "/v1/vms", NULL, NULL);
        g_autofree char *etag = response_header(&show, "ETag");
        g_autofree char *type = response_header(&show, "Content-Type");

        g_assert_cmpint(show.status, ==, 200);
        g_assert_cmpstr(etag, ==, "\"1\"");
        g_assert_cmpstr(type, ==, "application/json");
        g_assert_cmpstr(member(&show, "name"), ==, "web1");
        g_assert_cmpint((int)json_array_size(list.json), ==, 3);
        assert_answer(daemon, "POST", "/v1/vms/web1/files/put", NULL, "{\"file\":\"/a\",\"data\":\"\"}", 204, NULL);
        assert_answer(daemon, "GET", "/v1/vms?limit=5000", NULL, NULL, 200, NULL);
}

static guint count_files(void)
{
        g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
        guint count = 0;
        while (g_dir_read_name(dir))
                count++;
        return count;
}

/* Each connection is ended by its one answer, and its descriptor given back, whoever closes first. */
static void test_connections_end(Fixture *fixture, const void *data)
{
        guint before = count_files();
        for (int i = 0; i < 50; i++) {
                g_auto(Response) response = {0};
                int fd = http_connect(fixture->daemon.socket);
                char byte;
                http_send(fd, "GET", "/v1/vms/web1", NULL, NULL);
                g_assert_true(http_receive(fd, "GET", "/v1/vms/web1", &response));
                g_assert_cmpint(response.status, ==, 200);
                g_assert_cmpint(read(fd, &byte, 1), ==, 0);
                close(fd);
        }
        for (int i = 0; i < 500 && count_files() > before + 3; i++)
                g_usleep(10000);
        g_assert_cmpuint(count_files(), <=, before + 3);
}

/* A2: every code that a verb can fail with has its declared status. */
static void test_every_error(Fixture *fixture, const void *data)
{
        for (const ErrorDecl *decl = error_decls; decl->name; decl++) {
                g_autofree char *target = g_strdup_printf("/v1/vms/error-%s", decl->name);
                assert_answer(&fixture->daemon, "GET", target, NULL, NULL, decl->http_status, decl->name);
        }
}

static void test_refusals(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;

        assert_answer(daemon, "GET", "/v1/vms/none", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "GET", "/v1/vmz", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "POST", "/v1/vms/none/start", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "POST", "/v1/vms/none/start?dryRun=true", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "GET", "/v1/vms/a%0Ab", NULL, NULL, 422, "invalid");
        assert_answer(daemon, "GET", "/v1/vms?limit=0", NULL, NULL, 422, "invalid");
        assert_answer(daemon, "POST", "/v1/vms", NULL, "{", 400, "usage");
        assert_answer(daemon, "GET", "/v1/vms/web1/console", NULL, NULL, 400, "usage");
        assert_answer(daemon, "GET", "/v1/vms", "Origin: http://evil.example\r\n", NULL, 403, "denied");
        assert_answer(daemon, "GET", "/v1/vms", "Origin: null\r\n", NULL, 403, "denied");
        assert_answer(daemon, "GET", "/v1/events/stream", "Last-Event-ID: x\r\n", NULL, 400, "usage");
}

static void test_method_not_allowed(Fixture *fixture, const void *data)
{
        g_auto(Response) response = http_call(&fixture->daemon, "PUT", "/v1/vms/web1", NULL, NULL);
        g_autofree char *allow = response_header(&response, "Allow");

        g_assert_cmpint(response.status, ==, 405);
        g_assert_cmpstr(response_code(&response), ==, "usage");
        g_assert_cmpstr(allow, ==, "GET, PATCH, DELETE");
}

/* The client goes away while its call runs: the call is told. */
static void test_call_is_cancelled(Fixture *fixture, const void *data)
{
        Manager *manager = &fixture->daemon.manager;
        int fd = http_connect(fixture->daemon.socket);

        http_send(fd, "POST", "/v1/vms/web1/exec", NULL, "{\"command\":[\"sleep\",\"9\"]}");
        g_mutex_lock(&manager->lock);
        while (manager->executed == 0)
                g_cond_wait(&manager->changed, &manager->lock);
        close(fd);
        while (manager->cancelled == 0)
                g_cond_wait(&manager->changed, &manager->lock);
        g_mutex_unlock(&manager->lock);
}

/* ---- jobs ---- */

static char *start_job(Daemon *daemon, const char *headers)
{
        g_auto(Response) response = http_call(daemon, "POST", "/v1/vms/web1/start", headers, NULL);

        return response_job(&response);
}

static void assert_job(Daemon *daemon, const char *id, const char *query, const char *state)
{
        g_autofree char *target = g_strconcat("/v1/jobs/", id, query, NULL);
        g_auto(Response) response = http_call(daemon, "GET", target, NULL, NULL);

        g_assert_cmpint(response.status, ==, 200);
        g_assert_cmpstr(member(&response, "state"), ==, state);
}

/* A thread has taken it up; it stands at the gate. */
static void wait_for_running(Daemon *daemon, const char *id)
{
        g_autofree char *target = g_strconcat("/v1/jobs/", id, "?wait=50ms", NULL);
        for (int i = 0; i < 200; i++) {
                g_auto(Response) response = http_call(daemon, "GET", target, NULL, NULL);
                if (g_str_equal(member(&response, "state"), "running"))
                        return;
        }
        g_assert_not_reached();
}

static void test_job_to_its_end(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_autofree char *id = start_job(daemon, NULL);

        wait_for_running(daemon, id);
        daemon_open_gate(daemon, true);
        assert_job(daemon, id, "?wait=30s", "done");
        assert_job(daemon, id, "/wait?timeout=30s", "done");
        assert_job(daemon, id, "", "done");
        assert_answer(daemon, "GET", "/v1/jobs/nosuch", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "GET", "/v1/jobs/nosuch?wait=1s", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "GET", "/v1/jobs?limit=5", NULL, NULL, 200, NULL);
}

static void test_job_wait_times_out(Fixture *fixture, const void *data)
{
        g_autofree char *id = start_job(&fixture->daemon, NULL);
        g_autofree char *target = g_strdup_printf("/v1/jobs/%s/wait?timeout=50ms", id);

        assert_answer(&fixture->daemon, "GET", target, NULL, NULL, 504, "timeout");
}

/* A hundred polls are held without a thread each, and all end with the job. */
static void test_many_polls(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_autofree char *id = start_job(daemon, NULL);
        g_autofree char *target = g_strdup_printf("/v1/jobs/%s?wait=30s", id);
        int fds[100];

        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
                fds[i] = http_connect(daemon->socket);
                http_send(fds[i], "GET", target, NULL, NULL);
        }
        assert_answer(daemon, "GET", "/v1/vms", NULL, NULL, 200, NULL);
        daemon_open_gate(daemon, true);
        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
                g_auto(Response) response = {0};
                g_assert_true(http_receive(fds[i], "GET", target, &response));
                g_assert_cmpstr(member(&response, "state"), ==, "done");
                close(fds[i]);
        }
}

static void test_job_cancel(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_autofree char *id = start_job(daemon, NULL);
        g_autofree char *target = g_strconcat("/v1/jobs/", id, NULL);

        assert_answer(daemon, "DELETE", target, NULL, NULL, 204, NULL);
        assert_job(daemon, id, "?wait=30s", "cancelled");
}

static void test_dry_run(Fixture *fixture, const void *data)
{
        g_auto(Response) response = http_call(&fixture->daemon, "POST", "/v1/vms/web1/start?dryRun=true", NULL, NULL);
        json_t *steps = json_object_get(response.json, "steps");

        g_assert_cmpint(response.status, ==, 200);
        g_assert_cmpint((int)json_array_size(steps), ==, 2);
        g_assert_cmpstr(json_string_value(json_object_get(json_array_get(steps, 0), "name")), ==, "launch");
        g_assert_cmpint((int)fixture->daemon.manager.started, ==, 0);
}

/* A3: the same key and request give the same job, also after a restart; another request is refused. */
static void test_idempotent_replay(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        const char *key = "Idempotency-Key: k-1\r\n";

        daemon_open_gate(daemon, true);
        g_autofree char *first = start_job(daemon, key);
        g_autofree char *second = start_job(daemon, key);
        g_assert_cmpstr(first, ==, second);
        assert_job(daemon, first, "?wait=30s", "done");
        assert_answer(daemon, "POST", "/v1/vms/web2/start", key, NULL, 422, "key-reused");
        daemon_down(daemon);
        daemon_up(daemon);
        g_autofree char *third = start_job(daemon, key);
        g_assert_cmpstr(first, ==, third);
        g_assert_cmpint((int)daemon->manager.started, ==, 1);
}

/* A4: a hundred changes of generation 1 at once, one wins. */
static void test_etag_race(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        unsigned done = 0, refused = 0;
        int fds[100];

        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
                fds[i] = http_connect(daemon->socket);
                http_send(fds[i], "PATCH", "/v1/vms/web1", "If-Match: \"1\"\r\n", SET_BODY);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
                g_auto(Response) response = {0};
                g_assert_true(http_receive(fds[i], "PATCH", "/v1/vms/web1", &response));
                g_autofree char *id = response_job(&response);
                g_autofree char *target = g_strdup_printf("/v1/jobs/%s?wait=30s", id);
                g_auto(Response) end = http_call(daemon, "GET", target, NULL, NULL);
                const json_t *error = json_object_get(end.json, "error");
                done += g_strcmp0(member(&end, "state"), "done") == 0;
                refused += g_strcmp0(json_string_value(json_object_get(error, "code")), "precondition") == 0;
                close(fds[i]);
        }
        g_assert_cmpuint(done, ==, 1);
        g_assert_cmpuint(refused, ==, G_N_ELEMENTS(fds) - 1);
        g_assert_cmpint(daemon->manager.generation, ==, 2);
}

/* ---- waiting for a VM ---- */

static void set_running(Daemon *daemon)
{
        g_mutex_lock(&daemon->manager.lock);
        daemon->manager.power = HOSTLER_POWER_RUNNING;
        g_mutex_unlock(&daemon->manager.lock);
        event_emit(daemon->manager.events, "vm-power", "vm/other",
                   json_pack("{s:s, s:s}", "power", "running", "reason", "started"));
        event_emit(daemon->manager.events, "vm-power", "vm/web1",
                   json_pack("{s:s, s:s}", "power", "running", "reason", "started"));
}

static void test_vm_wait(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        const char *target = "/v1/vms/web1/wait?for=running&timeout=30s";
        g_auto(Response) response = {0};
        int fd = http_connect(daemon->socket);

        assert_answer(daemon, "GET", "/v1/vms/none/wait?for=running", NULL, NULL, 404, "not-found");
        assert_answer(daemon, "GET", "/v1/vms/web1/wait?for=running&timeout=20ms", NULL, NULL, 504, "timeout");
        assert_answer(daemon, "GET", "/v1/vms/web1/wait?for=supper", NULL, NULL, 422, "invalid");
        http_send(fd, "GET", target, NULL, NULL);
        g_usleep(50000);
        daemon_do(daemon, set_running);
        g_assert_true(http_receive(fd, "GET", target, &response));
        g_assert_cmpint(response.status, ==, 200);
        g_assert_cmpstr(json_string_value(json_object_get(json_object_get(response.json, "status"), "power")), ==,
                        "running");
        close(fd);
}

/* ---- limits ---- */

/* Sends what a bare client might; the answer's status, or 0 when the connection just ends. */
static int raw_status(Daemon *daemon, const char *head, const char *filler, size_t fillers)
{
        g_autofree char *text = g_strnfill(4096, '\0');
        int fd = http_connect(daemon->socket), status = 0;

        send(fd, head, strlen(head), MSG_NOSIGNAL);
        for (size_t i = 0; i < fillers; i++)
                if (send(fd, filler, strlen(filler), MSG_NOSIGNAL) < 0)
                        break;
        if (recv(fd, text, 4095, 0) > 12)
                status = atoi(text + strlen("HTTP/1.1 "));
        close(fd);
        return status;
}

static void test_body_limits(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_autofree char *kib = g_strnfill(1024, 'a');
        g_autofree char *chunk = g_strconcat("400\r\n", kib, "\r\n", NULL);

        g_assert_cmpint(
            raw_status(daemon, "POST /v1/vms HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", kib, 2000), ==,
            413);
        g_assert_cmpint(
            raw_status(daemon, "POST /v1/vms HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 2000),
            ==, 413);
        /* Over the headers' limit libsoup ends the connection, whatever it says. */
        g_assert_cmpint(raw_status(daemon, "GET /v1/vms HTTP/1.1\r\nX: ", kib, 500), !=, 200);
        g_assert_cmpint(raw_status(daemon, "GET / HTTP/1.0\r\n\r\n", "", 0), ==, 200);
        g_assert_cmpint(raw_status(daemon, "nonsense\r\n\r\n", "", 0), ==, 400);
        assert_answer(daemon, "GET", "/v1/vms", NULL, NULL, 200, NULL);
}

/* Half a MiB of multi-range header would become gigabytes of answer. */
static void test_ranges_are_ignored(Fixture *fixture, const void *data)
{
        assert_answer(&fixture->daemon, "GET", "/v1/vms", "Range: bytes=0-1,0-2,0-3\r\n", NULL, 200, NULL);
}

static void drip(const int *fds)
{
        for (size_t i = 0; i < 1000; i++)
                if (fds[i] >= 0)
                        send(fds[i], "G", 1, MSG_NOSIGNAL);
}

/* A7: a thousand clients that never end their request; others are served at once, and the slow are cut off. */
static void test_slow_clients(Fixture *fixture, const void *data)
{
        Daemon *daemon = &fixture->daemon;
        g_autofree int *fds = g_new(int, 1000);

        for (size_t i = 0; i < 1000; i++)
                fds[i] = http_connect(daemon->socket);
        drip(fds);
        assert_answer(daemon, "GET", "/v1/vms/web1", NULL, NULL, 200, NULL);
        int slow = 0; /* on a busy machine one or the other is, whoever else asks */
        for (int i = 0; i < 50; i++) {
                drip(fds);
                int64_t before = g_get_monotonic_time();
                assert_answer(daemon, "GET", "/v1/vms/web1", NULL, NULL, 200, NULL);
                slow += g_get_monotonic_time() - before > 500000;
        }
        g_assert_cmpint(slow, <=, 5);
        for (size_t i = 0; i < 1000; i++)
                if (fds[i] >= 0)
                        close(fds[i]);
}

/* ---- roles ---- */

typedef struct {
        Daemon *daemon;
        uid_t uid;
        gid_t gid;
        int fd;
} Visitor;

/* The system calls themselves change this thread only, unlike the C library's functions. */
static gpointer visit(gpointer data)
{
        Visitor *visitor = data;

        g_assert_cmpint(syscall(SYS_setgroups, 0, NULL), ==, 0);
        g_assert_cmpint(syscall(SYS_setresgid, visitor->gid, visitor->gid, visitor->gid), ==, 0);
        g_assert_cmpint(syscall(SYS_setresuid, visitor->uid, visitor->uid, visitor->uid), ==, 0);
        visitor->fd = http_connect(visitor->daemon->socket);
        return NULL;
}

static int status_as(Daemon *daemon, uid_t uid, gid_t gid, const char *method, const char *target, const char *body)
{
        Visitor visitor = {daemon, uid, gid, -1};
        g_auto(Response) response = {0};

        g_thread_join(g_thread_new("visitor", visit, &visitor));
        g_assert_cmpint(visitor.fd, >=, 0);
        http_send(visitor.fd, method, target, NULL, body);
        g_assert_true(http_receive(visitor.fd, method, target, &response));
        close(visitor.fd);
        return response.status;
}

/* A8: every endpoint as nobody, operator and root, decided by the kernel's word. */
static void test_roles(void)
{
        Daemon daemon;

        if (getuid() != 0) {
                g_test_skip("needs root to be somebody else");
                return;
        }
        daemon_init(&daemon);
        daemon.rule = (AuthRule){.system_mode = true, .operators = 12345};
        daemon_up(&daemon);
        daemon_open_gate(&daemon, true);
        struct stat status;
        g_assert_cmpint(stat(daemon.socket, &status), ==, 0);
        g_assert_cmpint(status.st_mode & 0777, ==, 0660);
        g_assert_cmpint(status.st_gid, ==, 12345);
        g_assert_cmpint(chmod(daemon.dir, 0755) | chmod(daemon.socket, 0666), ==, 0);

        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++) {
                g_autoptr(GRegex) parameters = g_regex_new("\\{[a-z_]+\\}", 0, 0, NULL);
                g_autofree char *path = g_regex_replace_literal(parameters, verb->path, -1, 0, "x1", 0, NULL);
                g_assert_cmpint(status_as(&daemon, 4242, 4242, verb->method, path, NULL), ==, 403);
                if (verb->role > ROLE_OPERATOR)
                        g_assert_cmpint(status_as(&daemon, 4242, 12345, verb->method, path, NULL), ==, 403);
        }
        g_assert_cmpint(status_as(&daemon, 4242, 4242, "GET", "/", NULL), ==, 403);
        g_assert_cmpint(status_as(&daemon, 4242, 4242, "GET", "/metrics", NULL), ==, 403);
        g_assert_cmpint(status_as(&daemon, 4242, 4242, "GET", "/nowhere", NULL), ==, 403);
        g_assert_cmpint(status_as(&daemon, 4242, 12345, "GET", "/v1/vms", NULL), ==, 200);
        g_assert_cmpint(status_as(&daemon, 4242, 12345, "POST", "/v1/vms/web1/start", NULL), ==, 202);
        g_assert_cmpint(status_as(&daemon, 0, 0, "POST", "/v1/vms/web1/start", NULL), ==, 202);
        daemon_down(&daemon);
        daemon_clear(&daemon);
}

static void add(const char *name, void (*test)(Fixture *fixture, const void *data))
{
        g_autofree char *path = g_strconcat("/api/", name, NULL);

        g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
        struct rlimit limit;

        g_test_init(&argc, &argv, NULL);
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        add("pages", test_pages);
        add("calls", test_calls);
        add("connections-end", test_connections_end);
        add("every-error", test_every_error);
        add("refusals", test_refusals);
        add("method-not-allowed", test_method_not_allowed);
        add("call-cancelled", test_call_is_cancelled);
        add("job", test_job_to_its_end);
        add("job-wait-timeout", test_job_wait_times_out);
        add("many-polls", test_many_polls);
        add("job-cancel", test_job_cancel);
        add("dry-run", test_dry_run);
        add("idempotent-replay", test_idempotent_replay);
        add("etag-race", test_etag_race);
        add("vm-wait", test_vm_wait);
        add("body-limits", test_body_limits);
        add("ranges", test_ranges_are_ignored);
        add("slow-clients", test_slow_clients);
        g_test_add_func("/api/roles", test_roles);
        return g_test_run();
}
