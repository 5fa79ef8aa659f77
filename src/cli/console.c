/*
 * `hostler console`: the terminal becomes the guest's serial console until Ctrl-] or the other end goes. The bytes are
 * the guest's and pass as they are; everything else Hostler prints is escaped. `--log` prints what was kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/bytes.h"
#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/text.h"

enum {
        DETACH_KEY = 0x1d, /* Ctrl-] */
        PIECE_BYTES = 16384,
        LOG_BYTES = 524288,
        SILENCE_MS = 2000, /* after the end of what was piped in, the guest may still be answering */
};

/* Where the bytes typed so far wait while the daemon does not take them; not read on until they are gone. */
typedef struct {
        int fd;
        bool interactive, input_open, has_sent, detached;
        char pending[PIECE_BYTES];
        gsize pending_length;
} Link;

static bool print_log(Cli *cli, const char *vm, GError **error);
static bool attach(Cli *cli, const char *vm, GError **error);
static void carry(Link *link, GCancellable *cancellable);
static bool take_input(Link *link);
static bool send_pending(Link *link);
static bool take_output(Link *link);

bool command_console(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *vm = json_string_value(json_object_get(invocation->args, "vm"));

        if (json_is_true(json_object_get(invocation->local, "log")))
                return print_log(cli, vm, error);
        return attach(cli, vm, error);
}

static bool print_log(Cli *cli, const char *vm, GError **error)
{
        json_auto_t *reply = NULL;
        json_t *args = json_pack("{s:s, s:i}", "vm", vm, "bytes", LOG_BYTES);

        return cli_call(cli, "vm", "console-log", args, 0, &reply, error) &&
               bytes_write_base64(STDOUT_FILENO, json_string_value(json_object_get(reply, "data")), error);
}

static bool attach(Cli *cli, const char *vm, GError **error)
{
        Link link = {.input_open = true};
        g_autofree char *reason = NULL;

        if (!cli_client(cli, error))
                return false;
        json_auto_t *args = json_pack("{s:s}", "vm", vm);
        HostlerStream *stream = client_stream_attach(cli->client, verb_find("vm", "console"), args, &link.fd, error);
        if (!stream)
                return false;

        GCancellable *cancellable = interrupt_arm(cli->interrupt);
        if (isatty(STDIN_FILENO)) {
                fprintf(stderr, "%s: attached; Ctrl-] detaches\n", vm);
                link.interactive = terminal_raw();
        }
        carry(&link, cancellable);
        terminal_restore();
        interrupt_disarm(cli->interrupt);
        close(link.fd);
        client_stream_close(stream, &reason);

        g_autofree char *safe = text_safe(reason ? reason : "");
        bool ours = link.detached || interrupt_signal(cli->interrupt);
        if (link.interactive || (!ours && *safe))
                fprintf(stderr, "\r\n%s: %s%s\n", vm, ours ? "detached" : "closed: ",
                        ours    ? ""
                        : *safe ? safe
                                : "the console has ended");
        return true;
}

/*
 * Until either side is done. What is piped in is followed by its answer: `echo ls | hostler console web1` ends when the
 * guest falls silent. With nothing to send the output is followed for as long as there is any.
 */
static void carry(Link *link, GCancellable *cancellable)
{
        struct pollfd fds[3] = {
            {.fd = link->fd}, {.fd = STDIN_FILENO}, {.fd = g_cancellable_get_fd(cancellable), .events = POLLIN}};
        bool going = true;

        while (going) {
                fds[0].events = (short)(POLLIN | (link->pending_length ? POLLOUT : 0));
                fds[1].fd = link->input_open && !link->pending_length ? STDIN_FILENO : -1;
                fds[1].events = POLLIN;
                bool answered = link->has_sent && !link->input_open && !link->pending_length;
                int ready = poll(fds, G_N_ELEMENTS(fds), answered ? SILENCE_MS : -1);
                if (ready < 0 && errno == EINTR)
                        continue;
                if (ready <= 0 || fds[2].revents)
                        return;
                if (fds[1].revents)
                        going = take_input(link);
                if (going && link->pending_length)
                        going = send_pending(link);
                if (going && fds[0].revents & (POLLIN | POLLHUP | POLLERR))
                        going = take_output(link);
        }
}

static bool take_input(Link *link)
{
        ssize_t got = read(STDIN_FILENO, link->pending, sizeof(link->pending));

        if (got < 0 && (errno == EINTR || errno == EAGAIN))
                return true;
        if (got <= 0) {
                link->input_open = false;
                return !link->interactive;
        }
        const char *key = link->interactive ? memchr(link->pending, DETACH_KEY, (gsize)got) : NULL;
        link->detached = key;
        link->pending_length = key ? (gsize)(key - link->pending) : (gsize)got;
        if (key && link->pending_length)
                send_pending(link);
        return !key;
}

static bool send_pending(Link *link)
{
        ssize_t sent = send(link->fd, link->pending, link->pending_length, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0)
                return errno == EAGAIN || errno == EINTR;
        link->has_sent = true;
        link->pending_length -= (gsize)sent;
        memmove(link->pending, link->pending + sent, link->pending_length);
        return true;
}

static bool take_output(Link *link)
{
        char piece[PIECE_BYTES];
        ssize_t got = recv(link->fd, piece, sizeof(piece), MSG_DONTWAIT);

        if (got < 0)
                return errno == EAGAIN || errno == EINTR;
        return got > 0 && bytes_write(STDOUT_FILENO, piece, (gsize)got, NULL);
}
