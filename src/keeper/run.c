/*
 * `hostler-keeper run [--parent PID] -- CMD ARG…`: a tool that leaves nothing behind. When the tool ends, when SIGTERM
 * comes, or when the parent dies, everything that the tool started is killed; the exit code or signal is passed on.
 *
 * Keeps no time and reads no output: process_run() does both.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum { EXIT_NOT_RUN = 127, EXIT_BY_SIGNAL = 128 };

/*
 * prctl(2): the signal comes when the parent's *thread* dies. process_run() blocks its thread until we end, so that is
 * when the process dies. A parent that was dead before the call sends none, so look after asking.
 */
static void watch_parent(pid_t parent)
{
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_BY_SIGNAL + SIGTERM);
}

/* Ends as the child did. */
static int pass_on(int status)
{
        if (!WIFSIGNALED(status))
                return WEXITSTATUS(status);

        const struct rlimit no_core = {0};
        sigset_t all;
        setrlimit(RLIMIT_CORE, &no_core);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        sigfillset(&all);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        return EXIT_BY_SIGNAL + WTERMSIG(status);
}

/* The signal that ended the wait: SIGCHLD when @tool ended, as @ret_status says. */
static int wait_for_end(pid_t tool, int *ret_status)
{
        sigset_t waited;
        sigprocmask(SIG_SETMASK, NULL, &waited);

        for (;;) {
                int status, number = sigwaitinfo(&waited, NULL);
                pid_t pid;

                if (number > 0 && number != SIGCHLD)
                        return number;
                while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                        if (pid != tool)
                                continue;
                        *ret_status = status;
                        return SIGCHLD;
                }
        }
}

int run_main(char **argv)
{
        static const FdList none;
        pid_t parent = getppid();

        if (argv[0] && argv[1] && strcmp(argv[0], "--parent") == 0) {
                parent = number_parse(argv[0], argv[1]);
                argv += 2;
        }
        if (!argv[0] || strcmp(argv[0], "--") != 0 || !argv[1])
                fail(EINVAL, "hostler-keeper run [--parent PID] -- CMD ARG...");

        close_range(3, ~0U, 0);
        signals_block();
        watch_parent(parent);
        subreaper_become();

        Child child = {.argv = argv + 1, .fds = &none, .out_fd = -1, .own_group = true};
        int gate, status = 0;
        pid_t tool = child_prepare(&child, &gate);
        int failed = child_execute(gate);
        if (failed) {
                dprintf(STDERR_FILENO, "Cannot run %s: %s\n", argv[1], strerror(failed));
                return EXIT_NOT_RUN;
        }

        int number = wait_for_end(tool, &status);
        if (number != SIGCHLD)
                kill(-tool, SIGKILL); /* most of it at one blow; a reaped tool's number may be another group's by now */
        children_end(0);
        return number == SIGCHLD ? pass_on(status) : EXIT_BY_SIGNAL + number;
}
