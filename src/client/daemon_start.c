/*
 * Starting the session daemon on first use: hostlerd in the background, its output in STATE/daemon.log. Not for the
 * system daemon, which an administrator starts. Called by client_open().
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "client/transport.h"

enum {
        START_LIMIT_MS = 5000,
        START_POLL_US = 5000,
        LOG_LIMIT_BYTES = 4 << 20,
};

static char *find_daemon(GError **error);
static int open_log(const char *path, GError **error);
static bool spawn(const char *program, const Locations *locations, int log_fd, GPid *ret_pid, GError **error);
static bool wait_until_answers(const Locations *locations, GPid pid, const char *log, GError **error);
static bool start_failed(const char *log, const char *what, GError **error);

bool daemon_answers(const char *path)
{
        int directory_fd;
        g_autoptr(GSocketAddress) address = socket_address_for_path(path, &directory_fd, NULL);
        g_autoptr(GSocket) probe = address ? g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL) : NULL;
        bool answers = probe && g_socket_connect(probe, address, NULL, NULL);

        if (directory_fd >= 0)
                close(directory_fd);
        return answers;
}

bool daemon_start(const Locations *locations, GError **error)
{
        g_autofree char *program = find_daemon(error);
        g_autofree char *log = g_build_filename(locations->state, "daemon.log", NULL);
        g_autofree char *socket_directory = g_path_get_dirname(locations->socket);
        GPid pid;

        if (!program || !dir_ensure(locations->state, error) || !dir_ensure(socket_directory, error))
                return false;
        int log_fd = open_log(log, error);
        if (log_fd < 0)
                return false;
        bool spawned = spawn(program, locations, log_fd, &pid, error);
        close(log_fd);
        return spawned && wait_until_answers(locations, pid, log, error);
}

static char *find_daemon(GError **error)
{
        char *program = process_sibling("hostlerd");

        if (!program || access(program, X_OK) < 0) {
                g_free(program);
                program = g_find_program_in_path("hostlerd");
        }
        if (!program) {
                error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL,
                          "no daemon runs and the program hostlerd is not found");
                error_hint(error, "install Hostler, or name a running daemon with --socket PATH");
        }
        return program;
}

/* Grows with every start of a daemon, so one that is large is begun anew. */
static int open_log(const char *path, GError **error)
{
        struct stat status;
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                error_set_errno(error, errno, NULL, "cannot open %s", path);
        else if (fstat(fd, &status) == 0 && status.st_size > LOG_LIMIT_BYTES)
                (void)!ftruncate(fd, 0);
        return fd;
}

/* The daemon must outlive the terminal and must not inherit what the command line does with signals. */
static void become_background(void *data)
{
        sigset_t none;

        setsid();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool spawn(const char *program, const Locations *locations, int log_fd, GPid *ret_pid, GError **error)
{
        const char *argv[] = {program, "--state", locations->state, "--socket", locations->socket, NULL};
        int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        g_autoptr(GError) failure = NULL;

        bool spawned = g_spawn_async_with_fds("/", (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, become_background,
                                              NULL, ret_pid, null_fd, log_fd, log_fd, &failure);
        close(null_fd);
        if (!spawned)
                return error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL, "cannot start %s: %s", program,
                                 failure->message);
        return true;
}

static bool wait_until_answers(const Locations *locations, GPid pid, const char *log, GError **error)
{
        int64_t deadline = clock_monotonic_ms() + START_LIMIT_MS;
        bool gone = false;

        while (clock_monotonic_ms() < deadline) {
                if (daemon_answers(locations->socket))
                        return true;
                /* Somebody else's daemon may have won the race for the state folder: then ours is gone and theirs
                 * answers soon. */
                if (gone)
                        return start_failed(log, "the daemon ended at once", error);
                gone = waitpid(pid, NULL, WNOHANG) == pid;
                g_usleep(gone ? 200000 : START_POLL_US);
        }
        return start_failed(log, "the daemon was started but does not answer within five seconds", error);
}

static bool start_failed(const char *log, const char *what, GError **error)
{
        g_autofree char *text = file_read(log, LOG_LIMIT_BYTES + (1 << 20), NULL, NULL);
        const char *last = "";

        if (text) {
                g_strchomp(text);
                const char *newline = strrchr(text, '\n');
                last = newline ? newline + 1 : text;
        }
        error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL, "%s%s%s", what, *last ? ": " : "", last);
        return error_hint(error, "cat %s", log);
}
