/*
 * The daemon's side of hostler-keeper: its command line, its one-line answer, and the files it leaves.
 *
 * Talks to no QEMU and watches nobody. Called by vm/ at launch and adoption, and by device/ for what runs beside QEMU.
 */
#include "base/keeper_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

enum { ANSWER_WAIT_MS = 10 * 1000, ANSWER_BYTES = 2048, FILE_LIMIT_BYTES = 4096 };
enum { END_WAIT_MS = 3 * 1000, KILL_WAIT_MS = 1000 };

/* ---- launching ---- */

static void add_number(GPtrArray *argv, const char *option, int number)
{
        g_ptr_array_add(argv, g_strdup(option));
        g_ptr_array_add(argv, g_strdup_printf("%d", number));
}

static void add_text(GPtrArray *argv, const char *option, const char *text)
{
        g_ptr_array_add(argv, g_strdup(option));
        g_ptr_array_add(argv, g_strdup(text));
}

static void add_argv(GPtrArray *argv, const char *const *more)
{
        for (; *more; more++)
                g_ptr_array_add(argv, g_strdup(*more));
}

static void add_log(GPtrArray *argv, const KeeperLog *log)
{
        g_autofree char *set = g_strdup_printf("%d", log->fd_set);
        g_ptr_array_add(argv, g_strdup(log->link ? "--pipe" : "--log"));
        g_ptr_array_add(argv, g_strdup_printf("%s:%" G_GINT64_FORMAT ":%s", log->link ? log->link : set, log->max_bytes,
                                              log->name));
}

static void add_helper(GPtrArray *argv, const KeeperHelper *helper)
{
        g_ptr_array_add(argv, g_strdup("--helper"));
        for (gsize i = 0; i < helper->n_fds; i++)
                add_number(argv, "--pass-fd", helper->fds[i]);
        add_argv(argv, helper->argv);
        g_ptr_array_add(argv, g_strdup("--"));
}

static char **launch_argv(const KeeperLaunch *launch)
{
        GPtrArray *argv = g_ptr_array_new();

        g_ptr_array_add(argv, process_sibling("hostler-keeper"));
        g_ptr_array_add(argv, g_strdup("vm"));
        add_text(argv, "--dir", launch->vm_dir);
        for (gsize i = 0; i < launch->n_logs; i++)
                add_log(argv, &launch->logs[i]);
        if (launch->again)
                g_ptr_array_add(argv, g_strdup("--again"));
        if (launch->tie_fd)
                add_number(argv, "--tie", launch->tie_fd);
        if (launch->uid)
                add_number(argv, "--uid", launch->uid);
        if (launch->gid)
                add_number(argv, "--gid", launch->gid);
        for (gsize i = 0; i < launch->n_fds; i++)
                add_number(argv, "--pass-fd", launch->fds[i]);
        for (gsize i = 0; i < launch->n_helpers; i++)
                add_helper(argv, &launch->helpers[i]);
        g_ptr_array_add(argv, g_strdup("--"));
        add_argv(argv, launch->argv);
        g_ptr_array_add(argv, NULL);
        return (char **)g_ptr_array_free(argv, FALSE);
}

/* What would shift the keeper's arguments; it checks all else itself. */
static bool check_helpers(const KeeperLaunch *launch, GError **error)
{
        for (gsize i = 0; i < launch->n_helpers; i++) {
                const char *const *argv = launch->helpers[i].argv;
                if (!argv[0] || argv[0][0] != '/' || g_strv_contains(argv, "--"))
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL,
                                         "A helper is an absolute path and arguments that are not \"--\"");
        }
        return true;
}

/* Every descriptor that QEMU or a helper is to get, for the keeper to pass on, and its own. g_array_free(). */
static GArray *all_fds(const KeeperLaunch *launch)
{
        GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
        g_array_append_vals(fds, launch->fds, launch->n_fds);
        if (launch->tie_fd)
                g_array_append_val(fds, launch->tie_fd);
        for (gsize i = 0; i < launch->n_helpers; i++)
                g_array_append_vals(fds, launch->helpers[i].fds, launch->helpers[i].n_fds);
        return fds;
}

/* Starts the keeper; its answer comes on @ret_answer_fd. What is started here only forks the keeper proper, and ends.
 */
static bool start_keeper(const KeeperLaunch *launch, int *ret_answer_fd, GError **error)
{
        autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        int ends[2];
        pid_t pid;

        if (null_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
                return error_set_errno(error, errno, NULL, "Cannot start a keeper");
        autoclose int read_fd = ends[0], write_fd = ends[1];
        g_auto(GStrv) argv = launch_argv(launch);
        g_autoptr(GArray) fds = all_fds(launch);
        ChildStart start = {
            .argv = argv,
            .directory = "/",
            .stdio = {null_fd, write_fd, write_fd},
            .fds = (const int *)fds->data,
            .n_fds = fds->len,
        };
        if (!child_start(&start, &pid, error))
                return false;
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                continue;
        *ret_answer_fd = fd_steal(&read_fd);
        return true;
}

/* Until the keeper has closed its end; false when the time limit came first. */
static bool read_answer(int fd, char *answer)
{
        int64_t deadline_ms = clock_monotonic_ms() + ANSWER_WAIT_MS;
        gsize length = 0;
        ssize_t n = 1;

        while (n > 0 && length < ANSWER_BYTES - 1) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                int n_ready = poll(&ready, 1, MAX(deadline_ms - clock_monotonic_ms(), 0));
                if (n_ready == 0)
                        return false;
                if (n_ready < 0)
                        continue;
                n = read(fd, answer + length, ANSWER_BYTES - 1 - length);
                length += MAX(n, 0);
        }
        answer[length] = '\0';
        return true;
}

/* "ok PID START_TICKS" or "error ERRNO TEXT", and a newline. */
static bool parse_answer(char *answer, ProcessId *ret_qemu, GError **error)
{
        int pid, saved_errno, text_at = 0;
        unsigned long long start_ticks;

        if (sscanf(answer, "ok %d %llu", &pid, &start_ticks) == 2) {
                *ret_qemu = (ProcessId){.pid = pid, .start_ticks = start_ticks};
                return true;
        }
        if (sscanf(answer, "error %d %n", &saved_errno, &text_at) == 1 && text_at > 0) {
                g_autofree char *text = g_utf8_make_valid(g_strchomp(answer + text_at), -1);
                return error_set_errno(error, saved_errno, NULL, "%s", text);
        }
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "The keeper ended without an answer");
}

bool keeper_launch(const KeeperLaunch *launch, ProcessId *ret_qemu, GError **error)
{
        autoclose int answer_fd = -1;
        char answer[ANSWER_BYTES];

        if (!check_helpers(launch, error) || !start_keeper(launch, &answer_fd, error))
                return false;
        if (!read_answer(answer_fd, answer))
                return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "The keeper did not answer in %d s",
                                 ANSWER_WAIT_MS / 1000);
        return parse_answer(answer, ret_qemu, error);
}

bool keeper_untie(int write_fd)
{
        /* Nobody is killed by a pipe that is closed: the daemon ignores SIGPIPE. */
        return write(write_fd, "u", 1) == 1;
}

/* ---- ending ---- */

/* True when it is gone. */
static bool end_process(const ProcessId *id, int number, int timeout_ms)
{
        autoclose int fd = process_id_open(id);
        struct pollfd ended = {.fd = fd, .events = POLLIN};

        if (fd < 0)
                return true;
        process_id_kill(id, number);
        return poll(&ended, 1, timeout_ms) > 0;
}

/* The keeper first: it would start the program again. */
void keeper_end(const char *vm_dir)
{
        ProcessId keeper, program;

        if (!keeper_read(vm_dir, &keeper, &program, NULL))
                return;
        if (!end_process(&keeper, SIGTERM, END_WAIT_MS))
                end_process(&keeper, SIGKILL, KILL_WAIT_MS);
        /* What it runs now, should it have been started again meanwhile; nothing, when the keeper has done its work. */
        if (!keeper_read(vm_dir, NULL, &program, NULL))
                return;
        if (!end_process(&program, SIGTERM, KILL_WAIT_MS))
                end_process(&program, SIGKILL, KILL_WAIT_MS);
}

/* ---- reading ---- */

/*
 * A file of ours, as JSON. Where QEMU has a user of its own and may write in run/, whatever it puts there is not ours:
 * its pids would be signalled with our rights.
 */
static json_t *read_record(const char *vm_dir, const char *name, GError **error)
{
        g_autofree char *path = g_build_filename(vm_dir, name, NULL);
        autoclose int fd = file_open_beneath(vm_dir, name, O_RDONLY | O_NONBLOCK, 0, error);
        char text[FILE_LIMIT_BYTES];
        struct stat st;

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
                error_set(error, HOSTLER_ERROR_DENIED, NULL, "%s was not written by Hostler", path);
                return NULL;
        }
        ssize_t length = read(fd, text, sizeof text);
        json_t *json = length > 0 ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (!json)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s is damaged", path);
        return json;
}

static bool read_id(json_t *json, const char *name, ProcessId *ret_id)
{
        json_int_t pid, start_ticks;

        if (json_unpack(json, "{s:{s:I,s:I}}", name, "pid", &pid, "start_ticks", &start_ticks) < 0)
                return false;
        *ret_id = (ProcessId){.pid = pid, .start_ticks = start_ticks};
        return pid > 1 && pid <= INT_MAX && start_ticks > 0;
}

bool keeper_read(const char *vm_dir, ProcessId *ret_keeper, ProcessId *ret_qemu, GError **error)
{
        json_auto_t *json = read_record(vm_dir, "run/keeper.json", error);
        ProcessId keeper, qemu;
        const char *boot_id;

        if (!json)
                return false;
        if (json_unpack(json, "{s:s}", "boot_id", &boot_id) < 0 || !read_id(json, "keeper", &keeper) ||
            !read_id(json, "qemu", &qemu))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s/run/keeper.json is damaged", vm_dir);
        if (!g_str_equal(boot_id, host_boot_id()))
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "%s ran before the host was started", vm_dir);
        if (ret_keeper)
                *ret_keeper = keeper;
        if (ret_qemu)
                *ret_qemu = qemu;
        return true;
}

bool keeper_exit_read(const char *vm_dir, KeeperExit *ret_exit, GError **error)
{
        json_auto_t *json = read_record(vm_dir, "exit.json", error);
        json_int_t time_ms;
        int code = -1, number = -1;

        if (!json)
                return false;
        if (json_unpack(json, "{s:I,s?i,s?i}", "time_ms", &time_ms, "code", &code, "signal", &number) < 0 ||
            (code < 0) == (number < 0))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s/exit.json is damaged", vm_dir);
        *ret_exit = (KeeperExit){.time_ms = time_ms, .signalled = number >= 0, .code = MAX(code, number)};
        return true;
}
