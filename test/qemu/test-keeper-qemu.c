/* The keeper with a real QEMU: where the serial port's bytes go, who outlives whom, and what SIGPIPE does (nothing). */
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "support.h"

/* SeaBIOS speaks on the serial port of a machine without graphics. */
static const char *const qemu_argv[] = {
    "/usr/bin/qemu-system-x86_64",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-m",
    "32",
    "-machine",
    "pc,accel=tcg,graphics=off",
    "-chardev",
    "socket,id=serial0,path=serial0.sock,server=on,wait=off,logfile=/dev/fdset/1,logappend=on",
    "-serial",
    "chardev:serial0",
    NULL,
};

static bool console_says(const char *dir, const char *text)
{
        g_autofree char *path = g_build_filename(dir, "console.log", NULL);
        g_autofree char *log = file_read(path, 1024 * 1024, NULL, NULL);
        return log && strstr(log, text);
}

static ProcessId launch(const char *dir)
{
        KeeperLaunch options = {
            .vm_dir = dir, .argv = qemu_argv, .logs = &(KeeperLog){"console.log", 1, 1024 * 1024}, .n_logs = 1};
        g_autoptr(GError) error = NULL;
        ProcessId qemu;

        g_assert_true(keeper_launch(&options, &qemu, &error));
        g_assert_no_error(error);
        return qemu;
}

static bool have_qemu(void)
{
        if (g_file_test(qemu_argv[0], G_FILE_TEST_IS_EXECUTABLE))
                return true;
        g_test_skip("QEMU is not installed");
        return false;
}

static void test_console(void)
{
        if (!have_qemu())
                return;
        g_autofree char *dir = vm_folder_new(), *sock = g_build_filename(dir, "run/serial0.sock", NULL);
        ProcessId keeper, qemu = launch(dir);

        wait_until(console_says(dir, "No bootable device"));
        g_assert_true(g_file_test(sock, G_FILE_TEST_EXISTS));
        g_assert_true(keeper_read(dir, &keeper, NULL, NULL));
        g_assert_true(process_id_kill(&qemu, SIGTERM));
        KeeperExit result = wait_exit(dir);
        g_assert_false(result.signalled);
        g_assert_cmpint(result.code, ==, 0);
        g_assert_true(console_says(dir, "No bootable device"));
        wait_until(!process_id_alive(&keeper));
        g_assert_true(dir_remove(dir, NULL));
}

/* The keeper dies before the firmware says a word: QEMU then writes into pipes that nobody reads, and goes on. */
static void test_keeper_killed(void)
{
        if (!have_qemu())
                return;
        g_autofree char *dir = vm_folder_new();
        ProcessId keeper, qemu = launch(dir);

        g_assert_true(keeper_read(dir, &keeper, NULL, NULL));
        g_assert_true(process_id_kill(&keeper, SIGKILL));
        wait_until(!process_id_alive(&keeper));
        g_usleep(2 * G_USEC_PER_SEC);
        g_assert_true(process_id_alive(&qemu));
        g_assert_true(process_id_kill(&qemu, SIGKILL));
        wait_until(!process_id_alive(&qemu));
        g_assert_true(dir_remove(dir, NULL));
}

/* What QEMU says when it refuses its command line is there as soon as the end is. */
static void test_refused_command_line(void)
{
        if (!have_qemu())
                return;
        g_autofree char *dir = vm_folder_new(), *path = g_build_filename(dir, "qemu.log", NULL);
        KeeperLaunch options = {.vm_dir = dir, .argv = (const char *const[]){qemu_argv[0], "-no-such-option", NULL}};
        ProcessId qemu;

        g_assert_true(keeper_launch(&options, &qemu, NULL));
        KeeperExit result = wait_exit(dir);
        g_autofree char *log = file_read(path, 1024 * 1024, NULL, NULL);
        g_assert_cmpint(result.code, ==, 1);
        g_assert_nonnull(strstr(log, "-no-such-option: invalid option"));
        g_assert_true(dir_remove(dir, NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/keeper-qemu/console", test_console);
        g_test_add_func("/keeper-qemu/keeper-killed", test_keeper_killed);
        g_test_add_func("/keeper-qemu/refused-command-line", test_refused_command_line);
        return g_test_run();
}
