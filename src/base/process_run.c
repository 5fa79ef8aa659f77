/*
 * Runs one tool to its end: under `hostler-keeper run`, so that nothing of it is left when this process dies, with its
 * output split into lines, bounded and kept.
 *
 * Interprets no tool's output and runs no shell. Called by verbs on worker threads; blocks its thread, needs no main
 * loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

enum {
        OUTPUT_DEFAULT_BYTES = 1024 * 1024,
        LINE_MAX_BYTES = 16 * 1024,
        TAIL_LINES = 5, /* of stderr, kept for the error message */
        TAIL_LINE_BYTES = 300,
        DRAIN_MAX_CHUNKS = 64, /* a pipe holds no more once all its writers are dead */
        KILL_WAIT_MS = 5000,   /* how long the keeper may need to end what it started */
};

typedef enum { RUN_GOES_ON, RUN_ENDED, RUN_TIMED_OUT, RUN_CANCELLED, RUN_TOO_LARGE } RunState;

typedef struct {
        int fd;        /* -1 after its end */
        GString *line; /* what came since the last newline */
} Stream;

typedef struct {
        const ProcessOptions *options;
        Stream out, err;
        GString *kept; /* stdout; NULL: not wanted */
        GQueue tail;   /* last lines of stderr */
        int pid_fd;
        pid_t pid;
        int64_t deadline_ms; /* 0: none */
} Run;

static bool run_start(Run *run, GError **error);
static RunState run_loop(Run *run);
static void run_kill(Run *run);
static bool run_verdict(Run *run, RunState state, GError **error);

static void run_clear(Run *run)
{
        fd_close(&run->out.fd);
        fd_close(&run->err.fd);
        fd_close(&run->pid_fd);
        g_string_free(run->out.line, TRUE);
        g_string_free(run->err.line, TRUE);
        if (run->kept)
                g_string_free(run->kept, TRUE);
        g_queue_clear_full(&run->tail, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

bool process_run(const ProcessOptions *options, char **ret_stdout, GError **error)
{
        g_auto(Run) run = {
            .options = options,
            .out = {.fd = -1, .line = g_string_new(NULL)},
            .err = {.fd = -1, .line = g_string_new(NULL)},
            .kept = ret_stdout ? g_string_new(NULL) : NULL,
            .tail = G_QUEUE_INIT,
            .pid_fd = -1,
            .deadline_ms = options->timeout_ms > 0 ? clock_monotonic_ms() + options->timeout_ms : 0,
        };

        if (!run_start(&run, error))
                return false;
        RunState state = run_loop(&run);
        if (state != RUN_ENDED)
                run_kill(&run);
        if (!run_verdict(&run, state, error))
                return false;
        if (ret_stdout)
                *ret_stdout = g_string_free(g_steal_pointer(&run.kept), FALSE);
        return true;
}

json_t *process_run_json(const ProcessOptions *options, GError **error)
{
        g_autofree char *text = NULL;
        json_error_t fault;
        if (!process_run(options, &text, error))
                return NULL;
        json_t *answer = json_loads(*g_strstrip(text) ? text : "[]", 0, &fault);
        if (!answer)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s answers what is no JSON: %s", options->argv[0],
                          fault.text);
        return answer;
}

/* ---- starting ---- */

/* The tool's full path; caller frees. Tools for the administrator (mkfs, ip) are often outside a user's PATH. */
static char *find_tool(const char *name)
{
        if (strchr(name, '/'))
                return g_strdup(name);
        g_autofree char *search = child_search_path();
        g_auto(GStrv) folders = g_strsplit(search, ":", -1);

        for (char **folder = folders; *folder; folder++) {
                g_autofree char *path = g_build_filename(*folder, name, NULL);
                if (**folder == '/' && access(path, X_OK) == 0 && !g_file_test(path, G_FILE_TEST_IS_DIR))
                        return g_steal_pointer(&path);
        }
        return NULL;
}

/* stdin as a file in memory: nobody has to feed it, and the tool cannot block on it. -1 and errno. */
static int open_input(const char *text)
{
        if (!text)
                return open("/dev/null", O_RDONLY | O_CLOEXEC);
        autoclose int fd = memfd_create("input", MFD_CLOEXEC);
        gsize length = strlen(text);
        if (fd < 0 || pwrite(fd, text, length, 0) != (ssize_t)length)
                return -1;
        return fd_steal(&fd);
}

/* @ret_write_end is the child's. Only our end is non-blocking: the two ends of a pipe have flags of their own. */
static bool open_output(Stream *stream, int *ret_write_end)
{
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return false;
        stream->fd = fds[0];
        *ret_write_end = fds[1];
        return fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

static char **keeper_argv(const char *const *argv, const char *tool)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_autofree char *keeper = process_sibling("hostler-keeper");
        g_autofree char *parent = g_strdup_printf("%d", (int)getpid());

        g_strv_builder_add_many(builder, keeper, "run", "--parent", parent, "--", tool, NULL);
        g_strv_builder_addv(builder, (const char **)argv + 1);
        return g_strv_builder_end(builder);
}

static bool run_start(Run *run, GError **error)
{
        const ProcessOptions *options = run->options;
        const char *name = options->argv[0];
        g_autofree char *tool = find_tool(name);
        autoclose int in = open_input(options->input), out = -1, err = -1;

        if (!tool)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s is not installed", name);
        if (in < 0 || !open_output(&run->out, &out) || !open_output(&run->err, &err))
                return error_set_errno(error, errno, NULL, "Cannot run %s", name);

        g_auto(GStrv) argv = keeper_argv(options->argv, tool);
        ChildStart start = {
            .argv = argv,
            .environment = options->environment,
            .directory = options->directory ? options->directory : "/",
            .stdio = {in, out, err},
        };
        if (!child_start(&start, &run->pid, error))
                return false;
        run->pid_fd = pidfd_open(run->pid, 0);
        if (run->pid_fd >= 0)
                return true;
        int saved_errno = errno;
        kill(run->pid, SIGTERM); /* not reaped yet: the pid is still ours */
        waitpid(run->pid, NULL, 0);
        return error_set_errno(error, saved_errno, NULL, "Cannot run %s", name);
}

/* ---- reading ---- */

static void tail_add(GQueue *tail, const char *line)
{
        const char *cut = g_utf8_offset_to_pointer(line, MIN(g_utf8_strlen(line, -1), TAIL_LINE_BYTES));
        g_queue_push_tail(tail, g_strndup(line, cut - line));
        if (g_queue_get_length(tail) > TAIL_LINES)
                g_free(g_queue_pop_head(tail));
}

/* Ends the line: what goes on from here into messages, JSON and terminals is clean text. */
static void flush_line(Run *run, Stream *stream)
{
        g_autofree char *text = g_utf8_make_valid(stream->line->str, stream->line->len);
        g_string_truncate(stream->line, 0);
        for (char *c = text; *c; c++) {
                if (g_ascii_iscntrl(*c))
                        *c = ' ';
        }
        if (!*text)
                return;
        if (stream == &run->err)
                tail_add(&run->tail, text);
        if (run->options->line)
                run->options->line(text, run->options->line_data);
}

static void add_bytes(Run *run, Stream *stream, const char *data, gsize length)
{
        for (gsize i = 0; i < length; i++) {
                if (data[i] != '\n' && data[i] != '\r')
                        g_string_append_c(stream->line, data[i]);
                if (data[i] == '\n' || data[i] == '\r' || stream->line->len >= LINE_MAX_BYTES)
                        flush_line(run, stream);
        }
}

static bool keep_bytes(Run *run, const char *data, gsize length)
{
        gsize limit = run->options->output_limit_bytes ? run->options->output_limit_bytes : OUTPUT_DEFAULT_BYTES;
        if (length > limit - run->kept->len)
                return false;
        g_string_append_len(run->kept, data, length);
        return true;
}

/* Reads one chunk; closes the stream at its end. @ret_more: there may be another chunk. */
static RunState read_stream(Run *run, Stream *stream, bool *ret_more)
{
        char chunk[8192];
        ssize_t n = stream->fd < 0 ? 0 : read(stream->fd, chunk, sizeof chunk);

        *ret_more = n > 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return RUN_GOES_ON;
        if (n <= 0) {
                flush_line(run, stream);
                fd_close(&stream->fd);
                stream->fd = -1;
                return RUN_GOES_ON;
        }
        add_bytes(run, stream, chunk, n);
        bool fits = stream != &run->out || !run->kept || keep_bytes(run, chunk, n);
        return fits ? RUN_GOES_ON : RUN_TOO_LARGE;
}

/* What is still in the pipe when the child has ended. */
static RunState drain(Run *run, Stream *stream)
{
        RunState state = RUN_GOES_ON;
        bool more = true;

        for (int i = 0; i < DRAIN_MAX_CHUNKS && more && state == RUN_GOES_ON; i++)
                state = read_stream(run, stream, &more);
        flush_line(run, stream);
        return state;
}

static int poll_timeout(const Run *run)
{
        if (!run->deadline_ms)
                return -1;
        return CLAMP(run->deadline_ms - clock_monotonic_ms(), 0, 60 * 1000);
}

static RunState run_step(Run *run, int cancel_fd)
{
        struct pollfd polls[] = {
            {.fd = run->pid_fd, .events = POLLIN},
            {.fd = run->out.fd, .events = POLLIN},
            {.fd = run->err.fd, .events = POLLIN},
            {.fd = cancel_fd, .events = POLLIN},
        };
        RunState state = RUN_GOES_ON;
        bool more;

        poll(polls, G_N_ELEMENTS(polls), poll_timeout(run));
        if (g_cancellable_is_cancelled(run->options->cancellable))
                return RUN_CANCELLED;
        if (polls[1].revents)
                state = read_stream(run, &run->out, &more);
        if (polls[2].revents)
                read_stream(run, &run->err, &more);
        if (state != RUN_GOES_ON)
                return state;
        if (polls[0].revents) {
                drain(run, &run->err);
                state = drain(run, &run->out);
                return state == RUN_GOES_ON ? RUN_ENDED : state;
        }
        return run->deadline_ms && clock_monotonic_ms() >= run->deadline_ms ? RUN_TIMED_OUT : RUN_GOES_ON;
}

static RunState run_loop(Run *run)
{
        int cancel_fd = run->options->cancellable ? g_cancellable_get_fd(run->options->cancellable) : -1;
        RunState state = RUN_GOES_ON;

        while (state == RUN_GOES_ON)
                state = run_step(run, cancel_fd);
        if (cancel_fd >= 0)
                g_cancellable_release_fd(run->options->cancellable);
        return state;
}

/* ---- ending ---- */

/* The keeper kills everything below it. One that cannot (its child hangs in the kernel) must not hold the caller up for
 * ever. */
static void run_kill(Run *run)
{
        struct pollfd ended = {.fd = run->pid_fd, .events = POLLIN};

        pidfd_send_signal(run->pid_fd, SIGTERM, NULL, 0);
        if (poll(&ended, 1, KILL_WAIT_MS) == 0)
                pidfd_send_signal(run->pid_fd, SIGKILL, NULL, 0);
}

static char *tail_text(const GQueue *tail)
{
        GString *text = g_string_new(NULL);
        for (const GList *line = tail->head; line; line = line->next)
                g_string_append_printf(text, "%s%s", text->len ? "; " : ": ", (const char *)line->data);
        return g_string_free(text, FALSE);
}

static bool run_verdict(Run *run, RunState state, GError **error)
{
        const char *name = run->options->argv[0];
        g_autofree char *tail = tail_text(&run->tail);
        int status = 0;

        while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
                continue;
        switch (state) {
        case RUN_TIMED_OUT:
                return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s was ended after %.1f s%s", name,
                                 run->options->timeout_ms / 1000.0, tail);
        case RUN_CANCELLED:
                return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "%s was cancelled", name);
        case RUN_TOO_LARGE:
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "%s printed more than the limit", name);
        default:
                break;
        }
        if (WIFSIGNALED(status))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s: %s%s", name, strsignal(WTERMSIG(status)),
                                 tail);
        if (WEXITSTATUS(status) != 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s failed with exit code %d%s", name,
                                 WEXITSTATUS(status), tail);
        return true;
}
