/*
 * `hostler-keeper vm`: starts a VM's helpers and QEMU, keeps their output, records how QEMU ended, ends the helpers.
 * With `--again` "QEMU" is another program beside a VM, one that is started again when it fails.
 *
 * It is nobody's child, so it outlives the daemon; QEMU outlives it in turn should it be killed (QEMU ignores SIGPIPE,
 * so logs without a reader do no harm). Started by keeper_launch(), which reads "ok PID START_TICKS" from stdout.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum {
        LOCK_WAIT_MS = 3000, /* an earlier keeper may still be ending its helpers */
        LOCK_ROUND_MS = 5,
        HELPER_GRACE_MS = 1000,
        AGAIN_MS = 500,
        OUTPUT_MAX_BYTES = 1024 * 1024,
        PIPE_BYTES = 256 * 1024, /* less than is drained at the end */
        DRAIN_MAX_CHUNKS = 64,   /* a helper that never stops writing must not hold up exit.json */
};

/* What is written to a pipe, and the file that it is kept in. */
typedef struct {
        int fd, write_fd;
        Log log;
} Stream;

typedef struct {
        VmOptions options;
        int dir_fd, lock_fd, exit_fd, signal_fd;
        Stream output;         /* what QEMU and the helpers write */
        Stream logs[LOGS_MAX]; /* what the guest writes; as many as in the options */
        FdSet sets[LOGS_MAX];  /* QEMU's ends of those that it has by number */
        int n_sets;
        pid_t qemu;
        bool ended;
        bool told;  /* to end */
        int status; /* of waitpid() */
} Vm;

/* ---- getting ready ---- */

/* The smallest wanted descriptor from @from on, or -1. */
static int next_in(const FdList *list, int from, int best)
{
        for (int i = 0; i < list->count; i++) {
                if (list->fds[i] >= from && (best < 0 || list->fds[i] < best))
                        best = list->fds[i];
        }
        return best;
}

/* Of those that are passed on. */
static int next_passed(const VmOptions *options, int from)
{
        int best = next_in(&options->fds, from, -1);
        for (int i = 0; i < options->n_helpers; i++)
                best = next_in(&options->helpers[i].fds, from, best);
        return best;
}

static int next_wanted(const VmOptions *options, int from)
{
        int best = next_passed(options, from), tie = options->tie_fd;
        return tie >= from && (best < 0 || tie < best) ? tie : best;
}

static void close_strangers(const VmOptions *options)
{
        int from = 3, next;

        while ((next = next_wanted(options, from)) >= 0) {
                if (next > from)
                        close_range(from, next - 1, 0);
                from = next + 1;
        }
        close_range(from, ~0U, 0);
}

/* The keeper must not hold a tap or a disk's lock longer than QEMU does. */
static void close_passed(const VmOptions *options)
{
        int next;
        for (int from = 3; (next = next_passed(options, from)) >= 0; from = next + 1)
                close(next);
}

/* A session of its own, and a process that does not lead it: no terminal, no parent. */
static void detach(void)
{
        setsid();
        pid_t pid = fork();
        if (pid < 0)
                fail(errno, "Cannot detach");
        if (pid > 0)
                _exit(0);
}

static void open_dir(Vm *vm)
{
        vm->dir_fd = open(vm->options.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (vm->dir_fd < 0 || fchdir(vm->dir_fd) < 0 || chdir("run") < 0)
                fail(errno, "Cannot go to %s/run", vm->options.dir);
}

/* flock(2) locks belong to the open file, which QEMU shares: the folder stays locked while either of the two lives. */
static void lock_dir(Vm *vm)
{
        const struct timespec round = {.tv_nsec = LOCK_ROUND_MS * 1000000};

        vm->lock_fd = openat(vm->dir_fd, "lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (vm->lock_fd < 0)
                fail(errno, "Cannot make %s/lock", vm->options.dir);
        for (int waited_ms = 0; flock(vm->lock_fd, LOCK_EX | LOCK_NB) < 0; waited_ms += LOCK_ROUND_MS) {
                if (waited_ms >= LOCK_WAIT_MS)
                        fail(EBUSY, "Another QEMU runs in %s", vm->options.dir);
                nanosleep(&round, NULL);
        }
}

/* Non-blocking at our end; at the writers' too, where losing bytes is better than waiting for a keeper that hangs. */
static void open_pipe(Stream *stream, bool may_lose)
{
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
                fail(errno, "Cannot make a pipe");
        if (may_lose)
                fcntl(fds[1], F_SETFL, O_NONBLOCK);
        stream->fd = fds[0];
        stream->write_fd = fds[1];
}

static void open_logs(Vm *vm)
{
        const VmOptions *options = &vm->options;

        log_open(&vm->output.log, vm->dir_fd, "qemu.log", OUTPUT_MAX_BYTES);
        open_pipe(&vm->output, true);
        for (int i = 0; i < options->n_logs; i++) {
                log_open(&vm->logs[i].log, vm->dir_fd, options->logs[i].name, options->logs[i].max_bytes);
                open_pipe(&vm->logs[i], false); /* QEMU sets the flag as it wants it */
        }
}

static void open_signals(Vm *vm)
{
        sigset_t waited;

        signals_block();
        sigprocmask(SIG_SETMASK, NULL, &waited);
        vm->signal_fd = signalfd(-1, &waited, SFD_CLOEXEC | SFD_NONBLOCK);
        if (vm->signal_fd < 0)
                fail(errno, "Cannot make a signal descriptor");
}

/* ---- starting ---- */

static void start_helpers(Vm *vm)
{
        for (int i = 0; i < vm->options.n_helpers; i++) {
                Helper *helper = &vm->options.helpers[i];
                Child child = {.argv = helper->argv, .fds = &helper->fds, .out_fd = vm->output.write_fd};
                int gate;

                helper->pid = child_prepare(&child, &gate);
                int failed = child_execute(gate);
                if (failed)
                        fail(failed, "Cannot run %s", helper->argv[0]);
        }
}

static void note_start(Vm *vm)
{
        time_t now = time(NULL);
        struct tm utc;
        char text[32];

        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
        log_printf(&vm->output.log, "---- %s %s starts with pid %d\n", text, vm->options.argv[0], (int)vm->qemu);
}

/*
 * QEMU opens this pipe by a name in run/, which leads to the descriptor that it has under the same number. Opened anew
 * it blocks, so it has room for what a keeper cannot take for a moment, held up by its disk.
 */
static void make_link(const VmOptions *options, const LogOption *log, int write_fd)
{
        char target[64];

        snprintf(target, sizeof target, "/proc/self/fd/%d", write_fd);
        unlink(log->link);
        if (symlink(target, log->link) < 0 || fchown(write_fd, options->uid, options->gid) < 0)
                fail(errno, "Cannot make %s/run/%s", options->dir, log->link);
        fcntl(write_fd, F_SETPIPE_SZ, PIPE_BYTES);
}

/* Whoever else opened it would open a descriptor of his own. */
static void remove_links(const VmOptions *options)
{
        for (int i = 0; i < options->n_logs; i++) {
                if (options->logs[i].link)
                        unlink(options->logs[i].link);
        }
}

/* QEMU gets the writing ends. */
static void pass_logs(Vm *vm)
{
        VmOptions *options = &vm->options;

        for (int i = 0; i < options->n_logs; i++) {
                if (options->logs[i].link)
                        make_link(options, &options->logs[i], vm->logs[i].write_fd);
                else
                        vm->sets[vm->n_sets++] = (FdSet){.set = options->logs[i].set, .fd = vm->logs[i].write_fd};
                options->fds.fds[options->fds.count++] = vm->logs[i].write_fd;
        }
}

/*
 * keeper.json is there before QEMU executes, so nothing ever runs that a restarted daemon could not find. 0 or an
 * errno; then the child ends by itself.
 */
static int run_qemu(Vm *vm)
{
        VmOptions *options = &vm->options;
        int gate;
        Child child = {
            .argv = options->argv,
            .fds = &options->fds,
            .out_fd = vm->output.write_fd,
            .sets = vm->sets,
            .n_sets = vm->n_sets,
            .uid = options->uid,
            .gid = options->gid,
        };
        vm->qemu = child_prepare(&child, &gate);
        vm->ended = false;
        note_start(vm);
        int failed = record_running(vm->qemu);
        if (failed) {
                close(gate);
                return failed;
        }
        exit_forget(vm->dir_fd);
        return child_execute(gate);
}

/* Only what may have to be started again keeps open what it is given. */
static void start_qemu(Vm *vm)
{
        VmOptions *options = &vm->options;
        int shared_lock_fd = fcntl(vm->lock_fd, F_DUPFD_CLOEXEC, 3);

        if (shared_lock_fd < 0 || options->fds.count + 1 + options->n_logs > FD_LIST_MAX)
                fail(E2BIG, "Too many descriptors");
        options->fds.fds[options->fds.count++] = shared_lock_fd;
        pass_logs(vm);
        int failed = run_qemu(vm);
        if (failed) {
                record_not_running();
                exit_release(vm->dir_fd);
                fail(failed, "Cannot start %s", options->argv[0]);
        }
        if (options->again)
                return;
        close_passed(options);
        close(vm->output.write_fd);
}

static void report(const Vm *vm)
{
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        dprintf(STDOUT_FILENO, "ok %d %llu\n", (int)vm->qemu, start_ticks_of(vm->qemu));
        for (int fd = 0; fd < 3; fd++)
                dup2(null_fd, fd);
        close(null_fd);
}

/* ---- keeping ---- */

static void note_helper_end(Vm *vm, pid_t pid, int status)
{
        for (int i = 0; i < vm->options.n_helpers; i++) {
                const Helper *helper = &vm->options.helpers[i];
                if (helper->pid == pid)
                        log_printf(&vm->output.log, "---- %s ended by %s %d\n", helper->argv[0],
                                   WIFSIGNALED(status) ? "signal" : "exit code",
                                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
}

static void reap_ended(Vm *vm)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid != vm->qemu) {
                        note_helper_end(vm, pid, status);
                        continue;
                }
                vm->ended = true;
                vm->status = status;
        }
}

/* The keeper asks QEMU to, and ends with it: so the record is written in this case too. */
static void tell_to_end(Vm *vm)
{
        vm->told = true;
        if (!vm->ended)
                kill(vm->qemu, SIGTERM);
}

static void handle_signals(Vm *vm)
{
        struct signalfd_siginfo info;

        while (read(vm->signal_fd, &info, sizeof info) == sizeof info) {
                if (info.ssi_signo == SIGCHLD)
                        reap_ended(vm);
                if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
                        continue;
                tell_to_end(vm);
        }
}

/* A byte unties; that the other end was closed without one means that nobody will ever want what is kept here. */
static void look_at_tie(Vm *vm)
{
        char byte;
        ssize_t n = read(vm->options.tie_fd, &byte, 1);

        if (n < 0)
                return;
        close(vm->options.tie_fd);
        vm->options.tie_fd = -1;
        if (n == 0)
                tell_to_end(vm);
}

static bool pump(Stream *stream)
{
        return log_pump(&stream->log, &stream->fd);
}

static void drain(Stream *stream)
{
        for (int i = 0; i < DRAIN_MAX_CHUNKS && pump(stream); i++)
                continue;
}

/* Waits for something to do, and does it. False when @timeout_ms have passed without. */
static bool keep_once(Vm *vm, int timeout_ms)
{
        int n_logs = vm->options.n_logs;
        struct pollfd polls[3 + LOGS_MAX] = {
            {.fd = vm->signal_fd, .events = POLLIN},
            {.fd = vm->output.fd, .events = POLLIN},
            {.fd = vm->options.tie_fd, .events = POLLIN},
        };
        for (int i = 0; i < n_logs; i++)
                polls[3 + i] = (struct pollfd){.fd = vm->logs[i].fd, .events = POLLIN};
        int ready = poll(polls, (nfds_t)(3 + n_logs), timeout_ms);
        pump(&vm->output);
        for (int i = 0; i < n_logs; i++)
                pump(&vm->logs[i]);
        handle_signals(vm);
        if (polls[2].revents)
                look_at_tie(vm);
        return ready != 0;
}

static bool has_failed(const Vm *vm)
{
        return !WIFEXITED(vm->status) || WEXITSTATUS(vm->status) != 0;
}

/* One that cannot be executed any more counts as one that failed. */
static void start_again(Vm *vm)
{
        while (!vm->told && keep_once(vm, AGAIN_MS))
                continue;
        if (!vm->told && run_qemu(vm) != 0)
                vm->ended = true;
}

static void keep(Vm *vm)
{
        do {
                if (vm->ended)
                        start_again(vm);
                while (!vm->ended)
                        keep_once(vm, -1);
        } while (vm->options.again && !vm->told && has_failed(vm));
}

/* QEMU's last words are in the log before anybody can know that it ended. */
static void finish(Vm *vm)
{
        drain(&vm->output);
        for (int i = 0; i < vm->options.n_logs; i++)
                drain(&vm->logs[i]);
        remove_links(&vm->options);
        exit_record(vm->dir_fd, vm->exit_fd, vm->status);
        record_not_running();
        children_end(HELPER_GRACE_MS);
}

int vm_main(char **argv)
{
        static Vm vm; /* large: its pages are only made when touched */

        options_parse(argv, &vm.options);
        close_strangers(&vm.options);
        detach();
        umask(077);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        subreaper_become();
        open_signals(&vm);
        open_dir(&vm);
        lock_dir(&vm);
        open_logs(&vm);
        start_helpers(&vm);
        vm.exit_fd = exit_reserve(vm.dir_fd);
        start_qemu(&vm);
        report(&vm);
        keep(&vm);
        finish(&vm);
        return 0;
}
