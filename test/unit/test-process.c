/* Processes: identity, and tools that are run to their end, with nothing left of them. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/process_memory.h"
#include "support.h"

/* A child that only waits; the caller kills and reaps it. */
static pid_t start_sleeper(const char *name)
{
        pid_t pid = fork();
        if (pid == 0) {
                if (name)
                        prctl(PR_SET_NAME, name);
                pause();
                _exit(0);
        }
        return pid;
}

static void kill_sleeper(pid_t pid)
{
        kill(pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void test_id(void)
{
        pid_t pid = start_sleeper(NULL);
        ProcessId id, self;

        g_assert_true(process_id_of(pid, &id));
        g_assert_cmpint(id.pid, ==, pid);
        g_assert_true(process_id_of(getpid(), &self));
        g_assert_cmpuint(id.start_ticks, >=, self.start_ticks);
        g_assert_true(process_id_alive(&id));

        g_assert_true(process_id_kill(&id, SIGKILL));
        wait_until(!process_id_alive(&id)); /* a zombie now: nobody reaped it yet */
        g_assert_cmpint(process_id_open(&id), ==, -1);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        g_assert_false(process_id_of(pid, &id));
        g_assert_false(process_id_of(0, &id));
        g_assert_false(process_id_of(-1, &id));
}

static void test_id_reused_pid(void)
{
        pid_t pid = start_sleeper(NULL);
        ProcessId id;

        g_assert_true(process_id_of(pid, &id));
        id.start_ticks--; /* as if another process had had this pid before */
        g_assert_false(process_id_alive(&id));
        g_assert_cmpint(process_id_open(&id), ==, -1);
        g_assert_false(process_id_kill(&id, SIGKILL));
        g_usleep(20 * 1000);
        g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, 0);
        kill_sleeper(pid);
}

static void test_id_hostile_name(void)
{
        pid_t pid = start_sleeper("x) Z 1\n1 (");
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int)pid);
        ProcessId id, self;

        wait_until(({
                g_autofree char *name = file_read(path, 64, NULL, NULL);
                name &&strchr(name, ')');
        }));
        g_assert_true(process_id_of(pid, &id));
        g_assert_true(process_id_of(getpid(), &self));
        g_assert_cmpuint(id.start_ticks, >=, self.start_ticks);
        kill_sleeper(pid);
}

static void test_host(void)
{
        g_autofree char *keeper = process_sibling("hostler-keeper");
        g_autofree char *none = process_sibling("hostler-none");

        g_assert_cmpuint(strlen(host_boot_id()), ==, 36);
        g_assert_true(g_path_is_absolute(keeper));
        g_assert_cmpint(access(keeper, X_OK), ==, 0);
        g_assert_true(g_path_is_absolute(none));
}

/* ---- process_run ---- */

#define SH(script) ((const char *const[]){"sh", "-c", script, NULL})

static void assert_run_error(const ProcessOptions *options, HostlerErrorCode code, const char *message)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *out = NULL;

        g_assert_false(process_run(options, &out, &error));
        g_assert_null(out);
        g_assert_nonnull(error);
        g_assert_cmpint(error->code, ==, (int)code);
        if (message)
                g_assert_cmpstr(error->message, ==, message);
}

static void test_run_output(void)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *out = NULL, *where = NULL, *environment = NULL;
        ProcessOptions options = {.argv = SH("cat; echo; echo no >&2"), .input = "a 'b' $c\n"};

        g_assert_true(process_run(&options, &out, &error));
        g_assert_cmpstr(out, ==, "a 'b' $c\n\n");

        options = (ProcessOptions){.argv = SH("pwd; read x || echo empty"), .directory = "/usr"};
        g_assert_true(process_run(&options, &where, &error));
        g_assert_cmpstr(where, ==, "/usr\nempty\n");

        g_setenv("HOSTLER_SECRET", "x", TRUE);
        options = (ProcessOptions){.argv = (const char *const[]){"env", NULL}};
        g_assert_true(process_run(&options, &environment, &error));
        g_assert_null(strstr(environment, "HOSTLER_SECRET"));
        g_assert_nonnull(strstr(environment, "LC_ALL=C.UTF-8"));
        g_unsetenv("HOSTLER_SECRET");

        options = (ProcessOptions){.argv = SH("exit 0")};
        g_assert_true(process_run(&options, NULL, NULL));
}

static void test_run_failure(void)
{
        ProcessOptions options = {.argv = SH("for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3")};
        assert_run_error(&options, HOSTLER_ERROR_FAILED,
                         "sh failed with exit code 3: line 3; line 4; line 5; line 6; line 7");
        options.argv = SH("printf 'a\\033[2Jb\\377' >&2; exit 1");
        assert_run_error(&options, HOSTLER_ERROR_FAILED, "sh failed with exit code 1: a [2Jb\357\277\275");
        options.argv = SH("kill -9 $$");
        assert_run_error(&options, HOSTLER_ERROR_FAILED, "sh: Killed");
        options.argv = (const char *const[]){"hostler-no-such-tool", NULL};
        assert_run_error(&options, HOSTLER_ERROR_FAILED, "hostler-no-such-tool is not installed");
        options.argv = (const char *const[]){"/", NULL};
        assert_run_error(&options, HOSTLER_ERROR_FAILED,
                         "/ failed with exit code 127: Cannot run /: Permission denied");
        options = (ProcessOptions){.argv = SH("true"), .directory = "/no/such/folder"};
        assert_run_error(&options, HOSTLER_ERROR_NOT_FOUND, NULL);
}

static void test_run_limits(void)
{
        ProcessOptions options = {.argv = SH("head -c 1001 /dev/zero; sleep 100"), .output_limit_bytes = 1000};
        gint64 start = g_get_monotonic_time();

        assert_run_error(&options, HOSTLER_ERROR_TOO_LARGE, NULL);
        options = (ProcessOptions){.argv = SH("echo waiting >&2; sleep 100"), .timeout_ms = 200};
        assert_run_error(&options, HOSTLER_ERROR_TIMEOUT, "sh was ended after 0.2 s: waiting");
        g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);

        options = (ProcessOptions){.argv = SH("head -c 1000 /dev/zero"), .output_limit_bytes = 1000};
        g_autofree char *out = NULL;
        g_assert_true(process_run(&options, &out, NULL));
        options.argv = SH("head -c 3000000 /dev/zero"); /* nobody wants it: no limit */
        g_assert_true(process_run(&options, NULL, NULL));
}

static void *cancel_soon(void *cancellable)
{
        g_usleep(100 * 1000);
        g_cancellable_cancel(cancellable);
        return NULL;
}

static void test_run_cancel(void)
{
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        ProcessOptions options = {.argv = SH("trap '' TERM; sleep 100"), .cancellable = cancellable};
        GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);

        assert_run_error(&options, HOSTLER_ERROR_CANCELLED, "sh was cancelled");
        g_thread_join(thread);
        assert_run_error(&options, HOSTLER_ERROR_CANCELLED, NULL);
}

static void add_line(const char *line, void *lines)
{
        g_ptr_array_add(lines, g_strdup(line));
}

static void test_run_lines(void)
{
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
        ProcessOptions options = {
            .argv = SH("printf '10%%\\r20%%\\r\\n\\nlast\\tone'; sleep 0.1; echo err >&2; head -c 20000 /dev/zero"),
            .line = add_line,
            .line_data = lines,
        };

        g_assert_true(process_run(&options, NULL, NULL));
        g_assert_cmpuint(lines->len, ==, 5);
        g_assert_cmpstr(lines->pdata[0], ==, "10%");
        g_assert_cmpstr(lines->pdata[1], ==, "20%");
        for (guint i = 0; i < lines->len; i++)
                g_assert_true(g_utf8_validate(lines->pdata[i], -1, NULL));
        g_assert_true(g_str_has_prefix(lines->pdata[4], "\357\277\275"));
}

/* A tool that leaves a grandchild in another session behind, which even ignores SIGTERM; its pid goes to a file. */
static const char *const leaving_script = "setsid sh -c 'trap \"\" TERM HUP; echo $$ > \"$0\"; sleep 1000' \"$0\" & "
                                          "while ! [ -s \"$0\" ]; do sleep 0.01; done; $1";

static void test_run_leaves_nothing(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-run-XXXXXX", NULL);
        g_autofree char *file = g_build_filename(dir, "pid", NULL);
        const char *const ends[] = {"sh", "-c", leaving_script, file, "exit 0", NULL};
        const char *const hangs[] = {"sh", "-c", leaving_script, file, "sleep 1000", NULL};
        ProcessOptions options = {.argv = ends};

        g_assert_true(process_run(&options, NULL, NULL));
        g_assert_cmpint(pid_in_file(file), >, 0);
        g_assert_false(pid_lives(pid_in_file(file)));

        g_assert_cmpint(g_unlink(file), ==, 0);
        options = (ProcessOptions){.argv = hangs, .timeout_ms = 1000};
        assert_run_error(&options, HOSTLER_ERROR_TIMEOUT, NULL);
        g_assert_cmpint(pid_in_file(file), >, 0);
        g_assert_false(pid_lives(pid_in_file(file)));
        g_assert_true(dir_remove(dir, NULL));
}

static void test_run_caller_killed(void)
{
        g_autofree char *dir = g_dir_make_tmp("hostler-run-XXXXXX", NULL);
        g_autofree char *file = g_build_filename(dir, "pid", NULL);
        const char *const argv[] = {"sh", "-c", leaving_script, file, "sleep 1000", NULL};
        pid_t caller = fork();

        if (caller == 0) {
                process_run(&(ProcessOptions){.argv = argv}, NULL, NULL);
                _exit(0);
        }
        wait_until(pid_in_file(file) > 0);
        pid_t left = pid_in_file(file);
        g_assert_true(pid_lives(left));
        kill_sleeper(caller);
        wait_until(!pid_lives(left));
        g_assert_true(dir_remove(dir, NULL));
}

/* ---- memory that is kept from being written ---- */

#define PROTECTED_BYTES 65536

/* In the child: a page that nobody lets it write; NULL where the kernel does not allow that. */
static char *protect(void)
{
        char *memory = mmap(NULL, PROTECTED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
        struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
        struct uffdio_range range = {.start = (uintptr_t)memory, .len = PROTECTED_BYTES};
        struct uffdio_register all = {.range = range, .mode = UFFDIO_REGISTER_MODE_WP};
        struct uffdio_writeprotect no = {.range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
        memset(memory, 1, PROTECTED_BYTES);
        return faults >= 0 && ioctl(faults, UFFDIO_API, &api) == 0 && ioctl(faults, UFFDIO_REGISTER, &all) == 0 &&
                       ioctl(faults, UFFDIO_WRITEPROTECT, &no) == 0
                   ? memory
                   : NULL;
}

/* Says on @fd that it is about to write, and that it has; ends with 77 where it cannot be protected. */
static pid_t start_writer(int fd)
{
        pid_t pid = fork();
        if (pid == 0) {
                char *memory = protect();
                if (!memory)
                        _exit(77);
                bool said = write(fd, "a", 1) == 1;
                memory[5000] = 2;
                _exit(said && write(fd, "b", 1) == 1 ? 0 : 1);
        }
        return pid;
}

static bool hears(int fd, char wanted, int timeout_ms)
{
        char byte = 0;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        return poll(&poll_fd, 1, timeout_ms) == 1 && read(fd, &byte, 1) == 1 && byte == wanted;
}

static void test_memory_unprotected(void)
{
        int ends[2], status;
        ProcessId id;
        g_assert_true(pipe2(ends, O_CLOEXEC) == 0);
        pid_t pid = start_writer(ends[1]);
        close(ends[1]);
        g_assert_true(process_id_of(pid, &id));
        if (hears(ends[0], 'a', 10000)) {
                g_assert_false(hears(ends[0], 'b', 100));
                g_assert_true(process_memory_can_unprotect(&id));
                process_memory_unprotect(&id);
                g_assert_true(hears(ends[0], 'b', 10000));
        }
        close(ends[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                return g_test_skip("userfaultfd is not allowed here");
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
        g_assert_false(process_memory_can_unprotect(&id));
        process_memory_unprotect(&id);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/process/id", test_id);
        g_test_add_func("/process/id-reused-pid", test_id_reused_pid);
        g_test_add_func("/process/id-hostile-name", test_id_hostile_name);
        g_test_add_func("/process/host", test_host);
        g_test_add_func("/process/run-output", test_run_output);
        g_test_add_func("/process/run-failure", test_run_failure);
        g_test_add_func("/process/run-limits", test_run_limits);
        g_test_add_func("/process/run-cancel", test_run_cancel);
        g_test_add_func("/process/run-lines", test_run_lines);
        g_test_add_func("/process/run-leaves-nothing", test_run_leaves_nothing);
        g_test_add_func("/process/run-caller-killed", test_run_caller_killed);
        g_test_add_func("/process/memory-unprotected", test_memory_unprotected);
        return g_test_run();
}
