/*
 * Starting a child exactly as told, and ending everything below this process.
 *
 * A child first waits at a gate, a socket to the keeper: the keeper writes down who the child is, then opens the gate;
 * the child executes its program, which closes its end, or sends back the errno of why it could not.
 *
 * Waits for no ends of single children (vm.c and run.c do).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum { ROUND_MS = 10, CHILDREN_TEXT_BYTES = 4096 };

/* ---- in the child ---- */

static void reset_signals(void)
{
        sigset_t none;

        for (int number = 1; number < NSIG; number++)
                signal(number, SIG_DFL); /* fails for SIGKILL, SIGSTOP and libc's own: those need none */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool set_stdio(int out_fd)
{
        if (out_fd < 0)
                return true;
        int null_fd = open("/dev/null", O_RDONLY);
        return dup2(null_fd, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0 && dup2(out_fd, STDERR_FILENO) >= 0;
}

/* The gate, like all else that is not on the list, closes at exec. */
static bool pass_fds(const FdList *list)
{
        if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                return false;
        for (int i = 0; i < list->count; i++) {
                if (fcntl(list->fds[i], F_SETFD, 0) < 0)
                        return false;
        }
        return true;
}

static bool become_user(uid_t uid, gid_t gid)
{
        if (gid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0))
                return false;
        return !uid || setresuid(uid, uid, uid) == 0;
}

/* QEMU's argv with an `-add-fd` for each set put in; NULL without memory. */
static char **argv_with_sets(const Child *child)
{
        static char texts[LOGS_MAX][64];
        size_t count = 0, at = 0;

        while (child->argv[count])
                count++;
        char **argv = calloc(count + 2 * (size_t)child->n_sets + 1, sizeof *argv);
        if (!argv)
                return NULL;
        argv[at++] = child->argv[0];
        for (int i = 0; i < child->n_sets; i++) {
                snprintf(texts[i], sizeof texts[i], "set=%d,fd=%d", child->sets[i].set, child->sets[i].fd);
                argv[at++] = "-add-fd";
                argv[at++] = texts[i];
        }
        memcpy(argv + at, child->argv + 1, (count - 1) * sizeof *argv);
        return argv;
}

/* Returns only when it failed. */
static void become_program(const Child *child, pid_t keeper)
{
        if (child->own_group) {
                setpgid(0, 0);
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != keeper)
                        return;
        }
        reset_signals();
        if (!set_stdio(child->out_fd) || !pass_fds(child->fds) || !become_user(child->uid, child->gid))
                return;
        char *const *argv = child->n_sets > 0 ? argv_with_sets(child) : child->argv;
        if (argv)
                execvp(argv[0], argv);
}

_Noreturn static void child_body(const Child *child, pid_t keeper, int gate)
{
        char go;

        if (read(gate, &go, 1) == 1) {
                become_program(child, keeper);
                int saved_errno = errno;
                send(gate, &saved_errno, sizeof saved_errno, MSG_NOSIGNAL);
        }
        _exit(127);
}

/* ---- in the keeper ---- */

pid_t child_prepare(const Child *child, int *ret_gate)
{
        int gate[2];
        pid_t keeper = getpid();

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0)
                fail(errno, "Cannot run %s", child->argv[0]);
        pid_t pid = fork();
        if (pid < 0)
                fail(errno, "Cannot run %s", child->argv[0]);
        if (pid == 0) {
                close(gate[0]); /* else the end of the keeper would go unnoticed */
                child_body(child, keeper, gate[1]);
        }
        close(gate[1]);
        *ret_gate = gate[0];
        return pid;
}

int child_execute(int gate_taken)
{
        int child_errno = 0;

        send(gate_taken, "", 1, MSG_NOSIGNAL);
        ssize_t length = read(gate_taken, &child_errno, sizeof child_errno);
        close(gate_taken);
        return length == 0 ? 0 : child_errno;
}

void signals_block(void)
{
        sigset_t waited;

        sigemptyset(&waited);
        sigaddset(&waited, SIGCHLD);
        sigaddset(&waited, SIGTERM);
        sigaddset(&waited, SIGINT);
        sigaddset(&waited, SIGHUP);
        sigprocmask(SIG_SETMASK, &waited, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGCHLD,
               SIG_DFL); /* ignored, it would make the kernel reap children before they are asked how they ended */
}

void subreaper_become(void)
{
        prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Children only, but they hand theirs over to us, the subreaper, as they die. Their pids cannot be reused before we
 * reap them. */
static void signal_children(int number)
{
        char text[CHILDREN_TEXT_BYTES], *end;
        int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

        if (fd >= 0)
                close(fd);
        text[length > 0 ? length : 0] = '\0';
        /* A number that the buffer cut short is followed by its end, not by a blank. */
        for (char *next = text;; next = end) {
                long pid = strtol(next, &end, 10);
                if (end == next || *end != ' ')
                        return;
                kill(pid, number);
        }
}

/* False when there is no child left. */
static bool reap(void)
{
        pid_t pid;
        do {
                pid = waitpid(-1, NULL, WNOHANG);
        } while (pid > 0);
        return pid == 0;
}

/* Until a child ends, or a round has passed. */
static void wait_round(void)
{
        const struct timespec round = {.tv_nsec = ROUND_MS * 1000000};
        sigset_t ends;

        sigemptyset(&ends);
        sigaddset(&ends, SIGCHLD);
        sigtimedwait(&ends, NULL, &round);
}

static long long now_ms(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void children_end(int grace_ms)
{
        long long deadline_ms = now_ms() + grace_ms;

        if (grace_ms > 0)
                signal_children(SIGTERM);
        while (reap()) {
                if (now_ms() >= deadline_ms)
                        signal_children(SIGKILL);
                wait_round();
        }
}
