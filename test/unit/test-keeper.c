/* Keepers, with shell scripts in QEMU's place: they outlive whoever started them, record every end, and their logs stay
 * small. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "support.h"

enum { LOG_MAX_BYTES = 1024 * 1024 };

typedef struct {
        char *dir;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        fixture->dir = vm_folder_new();
}

/* Waits for the keeper too: it holds the folder's lock until it ends. */
static void tear_down(Fixture *fixture, const void *data)
{
        ProcessId keeper;
        if (keeper_read(fixture->dir, &keeper, NULL, NULL))
                wait_until(!process_id_alive(&keeper));
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_free(fixture->dir);
}

static char *in_dir(const Fixture *fixture, const char *name)
{
        return g_build_filename(fixture->dir, name, NULL);
}

static char *read_in_dir(const Fixture *fixture, const char *name)
{
        g_autofree char *path = in_dir(fixture, name);
        return file_read(path, 4 * LOG_MAX_BYTES, NULL, NULL);
}

static int64_t size_in_dir(const Fixture *fixture, const char *name)
{
        g_autofree char *path = in_dir(fixture, name);
        struct stat st;
        return stat(path, &st) < 0 ? -1 : st.st_size;
}

#define SH(script) ((const char *const[]){"/bin/sh", "-c", script, NULL})

static ProcessId launch_script(const Fixture *fixture, const char *script)
{
        g_autoptr(GError) error = NULL;
        KeeperLaunch launch = {.vm_dir = fixture->dir, .argv = SH(script)};
        ProcessId qemu;

        g_assert_true(keeper_launch(&launch, &qemu, &error));
        g_assert_no_error(error);
        return qemu;
}

static void assert_refused(const KeeperLaunch *launch, HostlerErrorCode code)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *record = g_build_filename(launch->vm_dir, "run/keeper.json", NULL);
        ProcessId qemu;

        g_assert_false(keeper_launch(launch, &qemu, &error));
        g_assert_nonnull(error);
        g_test_message("%s", error->message);
        g_assert_cmpint(error->code, ==, (int)code);
        g_assert_false(g_file_test(record, G_FILE_TEST_EXISTS));
}

static void assert_exit(const Fixture *fixture, bool signalled, int code)
{
        KeeperExit result = wait_exit(fixture->dir);
        g_assert_cmpint(result.signalled, ==, signalled);
        g_assert_cmpint(result.code, ==, code);
        g_assert_cmpint(ABS(result.time_ms - g_get_real_time() / 1000), <, 60 * 1000);
}

static void test_exit_code(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;

        launch_script(fixture, "echo out; echo err >&2; pwd; exit 7");
        assert_exit(fixture, false, 7);
        g_autofree char *log = read_in_dir(fixture, "qemu.log");
        g_assert_true(g_str_has_prefix(log, "---- 2"));
        g_assert_nonnull(strstr(log, "\nout\nerr\n"));
        g_assert_nonnull(strstr(log, "/run\n"));

        g_assert_cmpint(launch_script(fixture, "exec sleep 1000 0").pid, >, 1);
        KeeperExit result;
        g_assert_false(keeper_exit_read(fixture->dir, &result, &error)); /* the earlier end is not this one's */
        g_assert_cmpint(error->code, ==, HOSTLER_ERROR_NOT_FOUND);
        ProcessId keeper, qemu;
        g_assert_true(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        g_assert_true(process_id_kill(&qemu, SIGKILL));
        assert_exit(fixture, true, SIGKILL);
        wait_until(!process_id_alive(&keeper));
        g_assert_false(keeper_read(fixture->dir, &keeper, &qemu, NULL));
}

static void test_end_by_keeper(Fixture *fixture, const void *data)
{
        ProcessId keeper, qemu;

        launch_script(fixture, "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.01; done");
        wait_until(({
                g_autofree char *log = read_in_dir(fixture, "qemu.log");
                log &&strstr(log, "ready");
        }));
        g_assert_true(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        g_assert_true(process_id_kill(&keeper, SIGTERM));
        assert_exit(fixture, false, 4);
        g_autofree char *log = read_in_dir(fixture, "qemu.log");
        g_assert_nonnull(strstr(log, "bye"));
        wait_until(!process_id_alive(&keeper));
}

/* What is tied to a pipe ends with it, if it was not untied before. */
static void test_tie(Fixture *fixture, const void *data)
{
        for (int untie = 0; untie <= 1; untie++) {
                int ends[2];
                g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
                KeeperLaunch launch = {
                    .vm_dir = fixture->dir, .argv = SH("ls /proc/self/fd; exec sleep 1000"), .tie_fd = ends[0]};
                ProcessId keeper, qemu;
                g_assert_true(keeper_launch(&launch, &qemu, NULL));
                g_assert_true(keeper_read(fixture->dir, &keeper, NULL, NULL));
                close(ends[0]);
                if (untie)
                        g_assert_true(keeper_untie(ends[1]));
                close(ends[1]);
                if (untie) {
                        g_usleep(100000); /* nothing is to happen */
                        g_assert_true(process_id_alive(&qemu) && process_id_alive(&keeper));
                        keeper_end(fixture->dir);
                }
                wait_until(!process_id_alive(&keeper));
                g_assert_false(process_id_alive(&qemu));
                assert_exit(fixture, true, SIGTERM);
        }
}

/* The daemon is killed: the VM goes on in a session of its own, and its end is recorded all the same. */
static void test_launcher_killed(Fixture *fixture, const void *data)
{
        ProcessId keeper, qemu;
        pid_t launcher = fork();

        if (launcher == 0) {
                setsid();
                launch_script(fixture, "exec sleep 1000");
                pause();
        }
        wait_until(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        wait_until(process_id_alive(&qemu));
        g_assert_cmpint(kill(-launcher, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(launcher, NULL, 0), ==, launcher);
        g_usleep(50 * 1000);
        g_assert_true(process_id_alive(&keeper));
        g_assert_true(process_id_alive(&qemu));
        g_assert_cmpint(getsid(qemu.pid), !=, launcher);
        g_assert_true(process_id_kill(&qemu, SIGKILL));
        assert_exit(fixture, true, SIGKILL);
        wait_until(!process_id_alive(&keeper));
}

/* The keeper is killed: QEMU goes on and keeps the folder locked; nobody records its end. */
static void test_keeper_killed(Fixture *fixture, const void *data)
{
        ProcessId keeper, qemu;
        KeeperLaunch again = {.vm_dir = fixture->dir, .argv = SH("exit 0")};
        g_autoptr(GError) error = NULL;
        KeeperExit result;

        launch_script(fixture, "trap '' PIPE; while :; do echo still here; sleep 0.01; done");
        g_assert_true(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        g_assert_true(process_id_kill(&keeper, SIGKILL));
        wait_until(!process_id_alive(&keeper));
        g_usleep(100 * 1000);
        g_assert_true(process_id_alive(&qemu));

        g_assert_false(keeper_launch(&again, &qemu, &error));
        g_assert_cmpint(error->code, ==, HOSTLER_ERROR_BUSY);
        g_assert_true(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        g_assert_true(process_id_kill(&qemu, SIGKILL));
        wait_until(!process_id_alive(&qemu));
        g_assert_false(keeper_exit_read(fixture->dir, &result, NULL));
        launch_script(fixture, "exit 0");
        assert_exit(fixture, false, 0);
}

/* What @fixture's keeper runs, once it is another one than @old. */
static ProcessId wait_successor(const Fixture *fixture, const ProcessId *old)
{
        ProcessId program = *old;

        wait_until(keeper_read(fixture->dir, NULL, &program, NULL) && program.pid != old->pid &&
                   process_id_alive(&program));
        return program;
}

/* A program beside a VM comes back when it is killed or fails, under the same keeper; exit code 0 is its end. */
static void test_again(Fixture *fixture, const void *data)
{
        KeeperLaunch launch = {.vm_dir = fixture->dir,
                               .argv = SH("until [ -e fail ] || [ -e end ]; do sleep 0.01; done; [ -e end ]"),
                               .again = true};
        g_autofree char *fail = in_dir(fixture, "run/fail"), *end = in_dir(fixture, "run/end");
        ProcessId first, second, third, keeper;

        g_assert_true(keeper_launch(&launch, &first, NULL));
        g_assert_true(keeper_read(fixture->dir, &keeper, NULL, NULL));
        g_assert_true(process_id_kill(&first, SIGKILL));
        second = wait_successor(fixture, &first);
        g_assert_true(file_write_atomic(fail, "", 0, 0600, false, NULL));
        third = wait_successor(fixture, &second);
        g_assert_true(process_id_alive(&keeper));
        g_assert_true(file_write_atomic(end, "", 0, 0600, false, NULL));
        wait_until(!process_id_alive(&keeper));
        g_assert_false(process_id_alive(&third));
        assert_exit(fixture, false, 0);
}

/* Told to end, it is not started again, whatever its exit code; nor is it left when its keeper is dead. */
static void test_again_end(Fixture *fixture, const void *data)
{
        KeeperLaunch launch = {.vm_dir = fixture->dir, .argv = SH("exec sleep 1000"), .again = true};
        ProcessId program, keeper;

        keeper_end(fixture->dir);
        g_assert_true(keeper_launch(&launch, &program, NULL));
        keeper_end(fixture->dir);
        g_assert_false(process_id_alive(&program));
        g_assert_false(keeper_read(fixture->dir, NULL, NULL, NULL));

        g_assert_true(keeper_launch(&launch, &program, NULL));
        g_assert_true(keeper_read(fixture->dir, &keeper, NULL, NULL));
        g_assert_true(process_id_kill(&keeper, SIGKILL));
        wait_until(!process_id_alive(&keeper));
        keeper_end(fixture->dir);
        g_assert_false(process_id_alive(&program));

        g_assert_true(keeper_launch(&launch, &program, NULL));
        g_assert_true(process_id_kill(&program, SIGSTOP));
        keeper_end(fixture->dir); /* one that does not react at all */
        g_assert_false(process_id_alive(&program));
}

static void test_refusals(Fixture *fixture, const void *data)
{
        g_autofree char *run = in_dir(fixture, "run");
        KeeperHelper missing = {.argv = (const char *const[]){"/no/such/helper", NULL}};
        KeeperHelper dashes = {.argv = (const char *const[]){"/bin/sh", "--", NULL}};

        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = (const char *const[]){"/no/such/qemu", NULL}},
                       HOSTLER_ERROR_NOT_FOUND);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = (const char *const[]){run, NULL}},
                       HOSTLER_ERROR_DENIED);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .helpers = &missing, .n_helpers = 1},
                       HOSTLER_ERROR_NOT_FOUND);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .helpers = &dashes, .n_helpers = 1},
                       HOSTLER_ERROR_FAILED);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .fds = (const int[]){1}, .n_fds = 1},
                       HOSTLER_ERROR_FAILED);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .fds = (const int[]){999}, .n_fds = 1},
                       HOSTLER_ERROR_FAILED);
        const KeeperLog bad_logs[] = {
            {"../x", 1, LOG_MAX_BYTES},         {"", 1, LOG_MAX_BYTES},        {"x", -1, LOG_MAX_BYTES},
            {"x", 1, KEEPER_LOG_MIN_BYTES - 1}, {"x", 1, G_MAXINT64},          {"x", 0, LOG_MAX_BYTES, "../x"},
            {"x", 0, LOG_MAX_BYTES, "a/b"},     {"..", 0, LOG_MAX_BYTES, "x"},
        };
        for (gsize i = 0; i < G_N_ELEMENTS(bad_logs); i++)
                assert_refused(
                    &(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .logs = &bad_logs[i], .n_logs = 1},
                    HOSTLER_ERROR_FAILED);
        KeeperLog many[KEEPER_LOGS_MAX + 1];
        for (gsize i = 0; i < G_N_ELEMENTS(many); i++)
                many[i] = (KeeperLog){"x", (int)i, LOG_MAX_BYTES};
        assert_refused(
            &(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH(""), .logs = many, .n_logs = G_N_ELEMENTS(many)},
            HOSTLER_ERROR_FAILED);
        g_assert_cmpint(g_rmdir(run), ==, 0);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH("")}, HOSTLER_ERROR_NOT_FOUND);
}

/* What is left of a failed start: an empty lock and the log. */
static void test_failed_start_leaves_nothing(Fixture *fixture, const void *data)
{
        KeeperHelper helper = {.argv = SH("echo $$ > pid; exec sleep 1000")};
        g_autofree char *pid_file = in_dir(fixture, "run/pid"), *reserved = in_dir(fixture, ".exit.json");

        assert_refused(
            &(KeeperLaunch){
                .vm_dir = fixture->dir,
                .argv = (const char *const[]){"/no/such/qemu", NULL},
                .helpers = &helper,
                .n_helpers = 1,
            },
            HOSTLER_ERROR_NOT_FOUND);
        wait_until(!pid_in_file(pid_file) || !pid_lives(pid_in_file(pid_file)));
        g_assert_false(g_file_test(reserved, G_FILE_TEST_EXISTS));
}

static void test_descriptors(Fixture *fixture, const void *data)
{
        int passed[2], helpers[2], stranger[2];
        g_assert_cmpint(pipe2(passed, O_CLOEXEC) | pipe2(helpers, O_CLOEXEC) | pipe(stranger), ==, 0);
        g_autofree char *script = g_strdup_printf("until [ -e go ]; do sleep 0.01; done; cd /proc/self/fd; echo qemu "
                                                  ">%d; [ ! -e %d ] && [ ! -e %d ] && [ ! -e %d ]",
                                                  passed[1], helpers[1], stranger[0], stranger[1]);
        g_autofree char *helper_script =
            g_strdup_printf("cd /proc/self/fd; [ ! -e %d ] && [ ! -e %d ] && echo helper >%d; exec sleep 1000",
                            passed[1], stranger[1], helpers[1]);
        KeeperHelper helper = {.argv = SH(helper_script), .fds = &helpers[1], .n_fds = 1};
        KeeperLaunch launch = {
            .vm_dir = fixture->dir,
            .argv = SH(script),
            .fds = &passed[1],
            .n_fds = 1,
            .helpers = &helper,
            .n_helpers = 1,
        };
        g_autofree char *go = in_dir(fixture, "run/go");
        char text[16] = "";
        ProcessId qemu;

        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        close(passed[1]);
        close(helpers[1]);
        g_assert_cmpint(read(helpers[0], text, sizeof text), ==, 7);
        g_assert_cmpint(memcmp(text, "helper\n", 7), ==, 0);
        g_assert_true(file_write_atomic(go, "", 0, 0600, false, NULL));
        g_assert_cmpint(read(passed[0], text, sizeof text), ==, 5);
        assert_exit(fixture, false, 0);
        g_assert_cmpint(read(passed[0], text, sizeof text), ==, 0); /* nobody else holds it open, the keeper neither */
        for (int i = 0; i < 2; i++)
                g_assert_cmpint(close(stranger[i]), ==, 0);
        close(passed[0]);
        close(helpers[0]);
}

/* A helper that ignores SIGTERM and has left a process in another session behind: both end with QEMU, after the record
 * is written. */
static void test_helpers_end(Fixture *fixture, const void *data)
{
        KeeperHelper helper = {.argv = SH("trap '' TERM; setsid sh -c 'echo $$ > deep; sleep 1000' & echo $$ > top; "
                                          "while :; do sleep 1; done")};
        KeeperLaunch launch = {
            .vm_dir = fixture->dir,
            .argv = SH("until [ -s top ] && [ -s deep ]; do sleep 0.01; done; exit 1"),
            .helpers = &helper,
            .n_helpers = 1,
        };
        g_autofree char *top = in_dir(fixture, "run/top"), *deep = in_dir(fixture, "run/deep");
        ProcessId qemu;

        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        assert_exit(fixture, false, 1);
        wait_until(!pid_lives(pid_in_file(top)) && !pid_lives(pid_in_file(deep)));
        launch_script(fixture, "exit 2"); /* waits for the old keeper instead of running beside it */
        assert_exit(fixture, false, 2);
}

static void test_confinement(Fixture *fixture, const void *data)
{
        signal(SIGUSR1, SIG_IGN);
        launch_script(fixture, "grep -E '^(NoNewPrivs|SigBlk|SigIgn):' /proc/self/status; umask; touch made");
        assert_exit(fixture, false, 0);
        signal(SIGUSR1, SIG_DFL);
        g_autofree char *log = read_in_dir(fixture, "qemu.log"), *made = in_dir(fixture, "run/made");
        struct stat st;

        g_assert_nonnull(strstr(log, "NoNewPrivs:\t1\n"));
        g_assert_nonnull(strstr(log, "SigBlk:\t0000000000000000\n"));
        /* Signals 32 and 33 are libc's own: posix_spawn leaves them ignored until the first thread claims them. */
        g_assert_cmphex(g_ascii_strtoull(strstr(log, "SigIgn:\t") + 8, NULL, 16) & ~(G_GUINT64_CONSTANT(3) << 31), ==,
                        0);
        g_assert_nonnull(strstr(log, "0077\n"));
        g_assert_cmpint(stat(made, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 0777, ==, 0600);
}

static void test_user(Fixture *fixture, const void *data)
{
        KeeperLaunch launch = {.vm_dir = fixture->dir, .argv = SH("id -u; id -g; id -G"), .uid = 65534, .gid = 65533};
        ProcessId qemu;

        if (geteuid() != 0) {
                g_test_skip("only root may give a process to another user");
                return;
        }
        g_assert_cmpint(chmod(fixture->dir, 0755), ==, 0);
        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        assert_exit(fixture, false, 0);
        g_autofree char *log = read_in_dir(fixture, "qemu.log");
        g_assert_nonnull(strstr(log, "\n65534\n65533\n65533\n"));
}

/* ---- logs ---- */

static void test_log_rotation(Fixture *fixture, const void *data)
{
        launch_script(fixture,
                      "i=0; while [ $i -lt 300 ]; do head -c 10000 /dev/zero; i=$((i+1)); sleep 0.001; done; echo end");
        assert_exit(fixture, false, 0);
        g_assert_cmpint(size_in_dir(fixture, "qemu.log"), <=, LOG_MAX_BYTES);
        g_assert_cmpint(size_in_dir(fixture, "qemu.log.1"), <=, LOG_MAX_BYTES);
        g_assert_cmpint(size_in_dir(fixture, "qemu.log.1"), >, LOG_MAX_BYTES / 2);
        g_assert_cmpint(size_in_dir(fixture, "qemu.log.2"), ==, -1);
        g_autofree char *path = in_dir(fixture, "qemu.log"), *log = NULL;
        gsize length;
        log = file_read(path, LOG_MAX_BYTES, &length, NULL);
        g_assert_cmpmem(log + length - 4, 4, "end\n", 4);
}

/* In QEMU's place: a script that finds the descriptor in its `-add-fd set=3,fd=N`. */
static void test_console_log(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "fake-qemu");
        const char *script =
            "#!/bin/sh\n[ \"$1\" = -add-fd ] && [ \"$3\" = -x ] || exit 9\ncase $2 in set=3,*) ;; *) exit 8; esac\n"
            "exec >/proc/self/fd/${2##*fd=}\nprintf 'boot\\r\\n'; head -c 2500000 /dev/zero; printf 'login: '\n";
        KeeperLaunch launch = {
            .vm_dir = fixture->dir,
            .argv = (const char *const[]){path, "-x", NULL},
            .logs = &(KeeperLog){"console.log", 3, LOG_MAX_BYTES},
            .n_logs = 1,
        };
        ProcessId qemu;

        g_assert_true(file_write_atomic(path, script, strlen(script), 0700, false, NULL));
        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        assert_exit(fixture, false, 0);
        g_assert_cmpint(size_in_dir(fixture, "console.log"), >, 0);
        g_assert_cmpint(size_in_dir(fixture, "console.log"), <=, LOG_MAX_BYTES);
        g_assert_cmpint(size_in_dir(fixture, "console.log.1"), <=, LOG_MAX_BYTES);
        g_autofree char *log_path = in_dir(fixture, "console.log"), *log = NULL;
        gsize length;
        log = file_read(log_path, LOG_MAX_BYTES, &length, NULL);
        g_assert_cmpmem(log + length - 7, 7, "login: ", 7);
}

/* A file that is opened by its name, twice, as QEMU does with recordings. */
static void test_link(Fixture *fixture, const void *data)
{
        g_autofree char *link = in_dir(fixture, "run/sound.wav");
        const char *script =
            "printf one > sound.wav; [ -L sound.wav ] || exit 9; head -c 2500000 /dev/zero > sound.wav; printf two > "
            "sound.wav";
        KeeperLaunch launch = {
            .vm_dir = fixture->dir,
            .argv = SH(script),
            .logs = &(KeeperLog){"sound.pcm", 0, LOG_MAX_BYTES, "sound.wav"},
            .n_logs = 1,
        };
        ProcessId qemu;

        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        assert_exit(fixture, false, 0);
        g_assert_cmpint(size_in_dir(fixture, "sound.pcm"), >, 3);
        g_assert_cmpint(size_in_dir(fixture, "sound.pcm"), <=, LOG_MAX_BYTES);
        g_assert_cmpint(size_in_dir(fixture, "sound.pcm.1"), <=, LOG_MAX_BYTES);
        g_autofree char *path = in_dir(fixture, "sound.pcm"), *log = NULL;
        gsize length;
        log = file_read(path, LOG_MAX_BYTES, &length, NULL);
        g_assert_cmpmem(log + length - 3, 3, "two", 3);
        g_assert_false(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
}

static void assert_file(const Fixture *fixture, const char *name, const char *text)
{
        g_autofree char *found = read_in_dir(fixture, name);
        g_assert_cmpstr(found, ==, text);
}

/* As many logs as there may be, each with its own file, of its own size, and nothing of another's. */
static void test_many_logs(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "fake-qemu");
        const char *script =
            "#!/bin/sh\nwhile [ \"$1\" = -add-fd ]; do\n        set=${2#set=}; set=${set%%,*}\n"
            "        printf \"log $set\" > /proc/self/fd/${2##*fd=}\n        last=/proc/self/fd/${2##*fd=}\n"
            "        shift 2\ndone\n[ \"$1\" = -x ] || exit 9\n"
            "i=0; while [ $i -lt 40 ]; do head -c 1000 /dev/zero; i=$((i+1)); sleep 0.002; done > $last\n";
        KeeperLog logs[KEEPER_LOGS_MAX];
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        for (int i = 0; i < KEEPER_LOGS_MAX; i++) {
                char *name = g_strdup_printf("port%d.out", i);
                logs[i] = (KeeperLog){name, 100 + i, i == KEEPER_LOGS_MAX - 1 ? KEEPER_LOG_MIN_BYTES : LOG_MAX_BYTES};
                g_ptr_array_add(names, name);
        }
        KeeperLaunch launch = {
            .vm_dir = fixture->dir,
            .argv = (const char *const[]){path, "-x", NULL},
            .logs = logs,
            .n_logs = KEEPER_LOGS_MAX,
        };
        ProcessId qemu;

        g_assert_true(file_write_atomic(path, script, strlen(script), 0700, false, NULL));
        g_assert_true(keeper_launch(&launch, &qemu, NULL));
        assert_exit(fixture, false, 0);
        for (int i = 0; i < KEEPER_LOGS_MAX - 1; i++) {
                g_autofree char *text = g_strdup_printf("log %d", 100 + i);
                assert_file(fixture, logs[i].name, text);
        }
        g_assert_cmpint(size_in_dir(fixture, "port63.out"), >, 0);
        g_assert_cmpint(size_in_dir(fixture, "port63.out"), <=, KEEPER_LOG_MIN_BYTES);
        g_assert_cmpint(size_in_dir(fixture, "port63.out.1"), >, 0);
        g_assert_cmpint(size_in_dir(fixture, "port63.out.1"), <=, KEEPER_LOG_MIN_BYTES);
}

static void fill_disk(const Fixture *fixture)
{
        g_autofree char *path = in_dir(fixture, "filler");
        autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        while (write(fd, path, 1) == 1)
                continue;
        g_assert_cmpint(errno, ==, ENOSPC);
        g_assert_cmpint(dir_free_bytes(fixture->dir), ==, 0);
}

static void test_full_disk(Fixture *fixture, const void *data)
{
        g_autofree char *run = in_dir(fixture, "run");

        if (mount("none", fixture->dir, "tmpfs", 0, "size=128k,mode=700") < 0) {
                g_test_skip("needs to mount a small tmpfs");
                return;
        }
        g_assert_true(dir_ensure(run, NULL));
        launch_script(fixture,
                      "i=0; while [ $i -lt 40 ]; do head -c 10000 /dev/zero; i=$((i+1)); sleep 0.005; done; exit 5");
        assert_exit(fixture, false, 5);
        fill_disk(fixture);
        assert_refused(&(KeeperLaunch){.vm_dir = fixture->dir, .argv = SH("exit 0")}, HOSTLER_ERROR_READ_ONLY);
        assert_exit(fixture, false, 5); /* a start that failed has not forgotten the last end */
        wait_until(umount(fixture->dir) == 0 || errno != EBUSY); /* the keeper goes after the record */
}

/* ---- records ---- */

static void write_record(const Fixture *fixture, const char *name, const char *text)
{
        g_autofree char *path = in_dir(fixture, name);
        g_assert_true(file_write_atomic(path, text, strlen(text), 0600, false, NULL));
}

static void assert_unreadable(const Fixture *fixture, HostlerErrorCode code)
{
        g_autoptr(GError) error = NULL;
        ProcessId keeper, qemu;

        g_assert_false(keeper_read(fixture->dir, &keeper, &qemu, &error));
        g_assert_cmpint(error->code, ==, (int)code);
}

static void test_foreign_records(Fixture *fixture, const void *data)
{
        g_autofree char *good =
            g_strdup_printf("{\"keeper\":{\"pid\":2,\"start_ticks\":3},\"qemu\":{\"pid\":4,\"start_ticks\":5},"
                            "\"boot_id\":\"%s\"}",
                            host_boot_id());
        g_autofree char *path = in_dir(fixture, "run/keeper.json"), *other = in_dir(fixture, "other.json");
        ProcessId keeper, qemu;

        assert_unreadable(fixture, HOSTLER_ERROR_NOT_FOUND);
        write_record(fixture, "run/keeper.json", good);
        g_assert_true(keeper_read(fixture->dir, &keeper, &qemu, NULL));
        g_assert_cmpint(keeper.pid + qemu.pid, ==, 6);
        g_assert_cmpuint(keeper.start_ticks + qemu.start_ticks, ==, 8);
        g_assert_false(process_id_alive(&qemu)); /* whoever has pid 4 now did not start then */

        g_assert_cmpint(chmod(path, 0620), ==, 0);
        assert_unreadable(fixture, HOSTLER_ERROR_DENIED);
        g_assert_cmpint(g_rename(path, other), ==, 0);
        g_assert_cmpint(symlink("../other.json", path), ==, 0);
        assert_unreadable(fixture, HOSTLER_ERROR_DENIED);

        write_record(fixture, "run/keeper.json",
                     "{\"keeper\":{\"pid\":2,\"start_ticks\":3},\"qemu\":{\"pid\":4,\"start_ticks\":5},"
                     "\"boot_id\":\"00000000-0000-0000-0000-000000000000\"}");
        assert_unreadable(fixture, HOSTLER_ERROR_NOT_FOUND);
        const char *const damaged[] = {"", "{", "[]", "{\"keeper\":{\"pid\":-1,\"start_ticks\":3}}", "{\"boot_id\":7}"};
        for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
                write_record(fixture, "run/keeper.json", damaged[i]);
                assert_unreadable(fixture, HOSTLER_ERROR_FAILED);
        }
        g_assert_cmpint(g_unlink(path), ==, 0);
}

static void test_foreign_exits(Fixture *fixture, const void *data)
{
        const char *const damaged[] = {"", "{}", "{\"time_ms\":1}", "{\"time_ms\":1,\"code\":0,\"signal\":9}",
                                       "{\"code\":0}"};
        KeeperExit result;

        for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
                g_autoptr(GError) error = NULL;
                write_record(fixture, "exit.json", damaged[i]);
                g_assert_false(keeper_exit_read(fixture->dir, &result, &error));
                g_assert_cmpint(error->code, ==, HOSTLER_ERROR_FAILED);
        }
}

#define ADD(path, function) g_test_add("/keeper/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        ADD("exit-code", test_exit_code);
        ADD("end-by-keeper", test_end_by_keeper);
        ADD("tie", test_tie);
        ADD("launcher-killed", test_launcher_killed);
        ADD("keeper-killed", test_keeper_killed);
        ADD("again", test_again);
        ADD("again-end", test_again_end);
        ADD("refusals", test_refusals);
        ADD("failed-start-leaves-nothing", test_failed_start_leaves_nothing);
        ADD("descriptors", test_descriptors);
        ADD("helpers-end", test_helpers_end);
        ADD("confinement", test_confinement);
        ADD("user", test_user);
        ADD("log-rotation", test_log_rotation);
        ADD("console-log", test_console_log);
        ADD("link", test_link);
        ADD("many-logs", test_many_logs);
        ADD("full-disk", test_full_disk);
        ADD("foreign-records", test_foreign_records);
        ADD("foreign-exits", test_foreign_exits);
        return g_test_run();
}
