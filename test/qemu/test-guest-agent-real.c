/*
 * wire/guest_agent*.c against a real qemu-ga, run on this host behind a Unix socket. Programs and files are this
 * host's, inside a temporary folder. Skipped where there is no qemu-ga in PATH, /usr/sbin or $QEMU_GA.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "fake/loop_thread.h"
#include "wire/guest_agent.h"

typedef struct {
        char *folder;
        GPid pid;
        LoopThread *loop;
        GuestAgent *agent;
} Fixture;

static char *find_agent(void)
{
        const char *named = g_getenv("QEMU_GA");
        char *found = g_find_program_in_path(named ? named : "qemu-ga");
        return found ? found : g_find_program_in_path("/usr/sbin/qemu-ga");
}

static void spawn(Fixture *fixture, const char *program)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(fixture->folder, "agent", NULL);
        const char *const argv[] = {program, "--method",   "unix-listen",   "--path",
                                    path,    "--statedir", fixture->folder, NULL};
        GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL;
        g_spawn_async(fixture->folder, (char **)argv, NULL, flags, NULL, NULL, &fixture->pid, &error);
        g_assert_no_error(error);
}

/* False (and the test skipped) without a qemu-ga. */
static bool start(Fixture *fixture)
{
        g_autofree char *program = find_agent();
        if (!program) {
                g_test_skip("there is no qemu-ga");
                return false;
        }
        *fixture = (Fixture){.folder = g_dir_make_tmp("hostler-XXXXXX", NULL), .loop = loop_thread_new()};
        g_autofree char *path = g_build_filename(fixture->folder, "agent", NULL);
        spawn(fixture, program);
        for (int i = 0; i < 500 && !fixture->agent; i++, g_usleep(10000))
                fixture->agent = guest_agent_connect(path, loop_thread_context(fixture->loop), NULL);
        g_assert_nonnull(fixture->agent);
        return true;
}

static void close_agent(void *data)
{
        guest_agent_close(data);
}

static void stop(Fixture *fixture)
{
        loop_thread_run(fixture->loop, close_agent, fixture->agent);
        guest_agent_unref(fixture->agent);
        loop_thread_free(fixture->loop);
        kill(fixture->pid, SIGKILL);
        waitpid(fixture->pid, NULL, 0);
        g_assert_true(dir_remove(fixture->folder, NULL));
        g_free(fixture->folder);
}

static void test_calls(void)
{
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        if (!start(&fixture))
                return;
        g_assert_true(guest_agent_call(fixture.agent, "guest-info", NULL, 5000, NULL, &result, &error));
        g_assert_true(json_is_string(json_object_get(result, "version")));
        json_decref(result);
        g_assert_false(guest_agent_call(fixture.agent, "guest-nonsense", NULL, 5000, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

static void assert_runs(Fixture *fixture, const char *const *argv, GBytes *input, int exit_code, gconstpointer out,
                        gsize length)
{
        g_autoptr(GError) error = NULL;
        GuestExecResult result = {0};
        guest_agent_exec(fixture->agent, argv, input, 20000, NULL, &result, &error);
        g_assert_no_error(error);
        g_assert_cmpint(result.exit_code, ==, exit_code);
        g_assert_cmpmem(g_bytes_get_data(result.out, NULL), g_bytes_get_size(result.out), out, length);
        guest_exec_result_clear(&result);
}

static void test_exec(void)
{
        static const char *const cat[] = {"cat", NULL};
        static const char *const fails[] = {"false", NULL};
        static const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
        static const char *const zeros[] = {"head", "-c", "12000000", "/dev/zero", NULL};
        static const char *const missing[] = {"/no/such/program", NULL};
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        GuestExecResult result;
        if (!start(&fixture))
                return;
        g_autofree char *noise = g_malloc(1000000);
        for (gsize i = 0; i < 1000000; i++)
                noise[i] = (char)g_random_int();
        g_autoptr(GBytes) input = g_bytes_new(noise, 1000000);
        g_autofree char *nothing = g_malloc0(12000000);
        assert_runs(&fixture, cat, input, 0, noise, 1000000);
        assert_runs(&fixture, fails, NULL, 1, "", 0);
        assert_runs(&fixture, killed, NULL, 128 + 9, "", 0);
        assert_runs(&fixture, zeros, NULL, 0, nothing, 12000000);
        g_assert_false(guest_agent_exec(fixture.agent, missing, NULL, 5000, NULL, &result, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

static void test_files(void)
{
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = NULL;
        bool eof;
        if (!start(&fixture))
                return;
        g_autofree char *path = g_build_filename(fixture.folder, "file", NULL);
        g_autofree char *data = g_malloc(2500000);
        for (gsize i = 0; i < 2500000; i++)
                data[i] = (char)(i * 7 + i / 255);
        g_autoptr(GBytes) first = g_bytes_new(data, 2000000);
        g_autoptr(GBytes) second = g_bytes_new(data + 2000000, 500000);
        g_assert_true(guest_agent_file_write(fixture.agent, path, 0, first, &error));
        g_assert_true(guest_agent_file_write(fixture.agent, path, 2000000, second, &error));
        g_autofree char *stored = file_read(path, 1 << 24, &(gsize){0}, &error);
        g_assert_cmpmem(stored, 2500000, data, 2500000);
        g_assert_true(guest_agent_file_read(fixture.agent, path, 0, 1 << 20, &bytes, &eof, &error));
        g_assert_cmpint(g_bytes_get_size(bytes), ==, 1 << 20);
        g_assert_false(eof);
        g_clear_pointer(&bytes, g_bytes_unref);
        g_assert_true(guest_agent_file_read(fixture.agent, path, 2400000, 1 << 20, &bytes, &eof, &error));
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), data + 2400000, 100000);
        g_assert_true(eof);
        g_clear_pointer(&bytes, g_bytes_unref);
        g_assert_false(guest_agent_file_read(fixture.agent, "/no/such/file", 0, 10, &bytes, &eof, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_FAILED);
        stop(&fixture);
}

/* Standing still and coming back, and a new agent after a reboot: the next command finds its way. */
static void test_comes_back(void)
{
        Fixture fixture;
        g_autoptr(GError) error = NULL;
        if (!start(&fixture))
                return;
        g_assert_true(guest_agent_call(fixture.agent, "guest-ping", NULL, 5000, NULL, NULL, &error));
        kill(fixture.pid, SIGSTOP);
        g_assert_false(guest_agent_call(fixture.agent, "guest-ping", NULL, 200, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NO_AGENT);
        g_clear_error(&error);
        kill(fixture.pid, SIGCONT);
        g_assert_true(guest_agent_call(fixture.agent, "guest-ping", NULL, 5000, NULL, NULL, &error));
        kill(fixture.pid, SIGKILL);
        waitpid(fixture.pid, NULL, 0);
        g_autofree char *program = find_agent();
        spawn(&fixture, program);
        bool back = false;
        for (int i = 0; i < 100 && !back; i++, g_usleep(20000))
                back = guest_agent_call(fixture.agent, "guest-ping", NULL, 5000, NULL, NULL, NULL);
        g_assert_true(back);
        stop(&fixture);
}

int main(int argc, char **argv)
{
        g_unsetenv("LD_PRELOAD"); /* the sanitizer's, not for the programs we start */
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/guest-agent-real/calls", test_calls);
        g_test_add_func("/guest-agent-real/exec", test_exec);
        g_test_add_func("/guest-agent-real/files", test_files);
        g_test_add_func("/guest-agent-real/comes-back", test_comes_back);
        return g_test_run();
}
