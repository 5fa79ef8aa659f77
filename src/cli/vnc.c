/*
 * `hostler vnc`: a port of 127.0.0.1 where this user's VNC viewers see a screen, each through a stream of its own. One
 * thread; nothing but the making of a stream blocks. Other users of this machine can connect to the port too, and are
 * turned away: the daemon's socket is not theirs, so this may not be a way around it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/text.h"

enum {
        FIRST_PORT = 5900,
        LAST_PORT = 5999,
        PIECE_BYTES = 65536,
        VIEWERS_MAX = 16,
        FIXED_FDS = 2, /* the listener and the interrupt */
};

/* Bytes on their way from one socket to another; nothing is read while there are some. */
typedef struct {
        int from, to;
        char bytes[PIECE_BYTES];
        gsize start, end;
} Lane;

typedef struct {
        HostlerStream *stream;
        Lane in, out; /* from the viewer, to the viewer */
} Viewer;

typedef struct {
        Cli *cli;
        const json_t *args;
        const char *vm;
        int listener;
        GPtrArray *viewers; /* of Viewer */
} Proxy;

/* ---- viewers ---- */

static bool attach(Proxy *proxy, int *ret_fd, HostlerStream **ret_stream, GError **error)
{
        *ret_stream = client_stream_attach(proxy->cli->client, verb_find("vm", "vnc"), proxy->args, ret_fd, error);
        return *ret_stream != NULL;
}

static void say(const Proxy *proxy, const char *text)
{
        g_autofree char *safe = text_safe(text);
        fprintf(stderr, "%s: %s\n", proxy->vm, safe);
}

static void viewer_free(gpointer data)
{
        Viewer *viewer = data;

        close(viewer->in.from);
        close(viewer->out.from);
        client_stream_close(viewer->stream, NULL);
        g_free(viewer);
}

/* Who owns the other end of a connection on this machine: /proc/net/tcp has its row too, the other way round. */
static bool owner_of_peer(int fd, uid_t *ret_owner)
{
        struct sockaddr_in ours, theirs;
        socklen_t our_size = sizeof ours, their_size = sizeof theirs;
        char line[512];
        bool found = false;
        FILE *table = fopen("/proc/net/tcp", "re");

        if (!table || getsockname(fd, (struct sockaddr *)&ours, &our_size) < 0 ||
            getpeername(fd, (struct sockaddr *)&theirs, &their_size) < 0)
                their_size = 0;
        while (!found && their_size && fgets(line, sizeof line, table)) {
                unsigned from, from_port, to, to_port, owner;
                found = sscanf(line, "%*d: %8X:%4X %8X:%4X %*X %*X:%*X %*X:%*X %*X %u", &from, &from_port, &to,
                               &to_port, &owner) == 5 &&
                        from == theirs.sin_addr.s_addr && from_port == ntohs(theirs.sin_port) &&
                        to == ours.sin_addr.s_addr && to_port == ntohs(ours.sin_port);
                *ret_owner = found ? (uid_t)owner : *ret_owner;
        }
        if (table)
                fclose(table);
        return found;
}

static bool is_welcome(const Proxy *proxy, int fd)
{
        uid_t owner = 0;

        if (proxy->viewers->len < VIEWERS_MAX && owner_of_peer(fd, &owner) && (owner == getuid() || owner == 0))
                return true;
        say(proxy,
            proxy->viewers->len < VIEWERS_MAX ? "another user's viewer was turned away" : "there are too many viewers");
        return false;
}

static void accept_viewer(Proxy *proxy)
{
        g_autoptr(GError) error = NULL;
        autoclose int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
        HostlerStream *stream;
        int remote;

        if (fd < 0 || !is_welcome(proxy, fd))
                return;
        if (!attach(proxy, &remote, &stream, &error)) {
                say(proxy, error->message);
                return;
        }
        Viewer *viewer = g_new(Viewer, 1);
        viewer->stream = stream;
        viewer->in = (Lane){.from = fd, .to = remote};
        viewer->out = (Lane){.from = remote, .to = fd};
        fd_steal(&fd);
        g_ptr_array_add(proxy->viewers, viewer);
}

/* ---- bytes ---- */

static bool is_later(void)
{
        return errno == EAGAIN || errno == EINTR;
}

/* Reads when there is nothing, then writes what there is. False when either end has gone. */
static bool lane_move(Lane *lane)
{
        if (lane->start == lane->end) {
                ssize_t got = recv(lane->from, lane->bytes, sizeof lane->bytes, MSG_DONTWAIT);
                if (got <= 0)
                        return got < 0 && is_later();
                lane->start = 0;
                lane->end = (gsize)got;
        }
        ssize_t sent = send(lane->to, lane->bytes + lane->start, lane->end - lane->start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
                return is_later();
        lane->start += (gsize)sent;
        return true;
}

/* A socket is read only when what came from it before has been passed on. */
static struct pollfd wishes(const Lane *from_it, const Lane *to_it)
{
        bool reads = from_it->start == from_it->end, writes = to_it->start < to_it->end;

        return (struct pollfd){.fd = reads || writes ? from_it->from : -1,
                               .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))};
}

static GArray *poll_fds(const Proxy *proxy, GCancellable *cancellable)
{
        GArray *fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
        struct pollfd fixed[FIXED_FDS] = {{.fd = proxy->listener, .events = POLLIN},
                                          {.fd = g_cancellable_get_fd(cancellable), .events = POLLIN}};

        g_array_append_vals(fds, fixed, FIXED_FDS);
        for (guint i = 0; i < proxy->viewers->len; i++) {
                const Viewer *viewer = proxy->viewers->pdata[i];
                struct pollfd pair[] = {wishes(&viewer->in, &viewer->out), wishes(&viewer->out, &viewer->in)};
                g_array_append_vals(fds, pair, 2);
        }
        return fds;
}

static void serve(Proxy *proxy, GCancellable *cancellable)
{
        for (;;) {
                g_autoptr(GArray) array = poll_fds(proxy, cancellable);
                struct pollfd *fds = (struct pollfd *)(void *)array->data;
                int ready = poll(fds, array->len, -1);
                if (ready < 0 && errno == EINTR)
                        continue;
                if (ready < 0 || fds[1].revents)
                        return;
                for (guint i = proxy->viewers->len; i > 0; i--) {
                        Viewer *viewer = proxy->viewers->pdata[i - 1];
                        const struct pollfd *pair = fds + FIXED_FDS + (i - 1) * 2;
                        if ((pair[0].revents || pair[1].revents) &&
                            (!lane_move(&viewer->in) || !lane_move(&viewer->out)))
                                g_ptr_array_remove_index(proxy->viewers, i - 1);
                }
                if (fds[0].revents)
                        accept_viewer(proxy);
        }
}

/* ---- the port ---- */

/* -1 when somebody else has it. */
static int listen_on(unsigned port)
{
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, VIEWERS_MAX) == 0)
                return fd;
        if (fd >= 0)
                close(fd);
        return -1;
}

static bool open_port(Proxy *proxy, const json_t *wanted, unsigned *ret_port, GError **error)
{
        unsigned first = wanted ? (unsigned)json_integer_value(wanted) : FIRST_PORT;
        unsigned last = wanted ? first : LAST_PORT;

        for (*ret_port = first; *ret_port <= last; ++*ret_port)
                if ((proxy->listener = listen_on(*ret_port)) >= 0)
                        return true;
        error_set(error, HOSTLER_ERROR_EXISTS, NULL, "nothing can listen on port %u of 127.0.0.1", first);
        return error_hint(error, "another one: --port NUMBER");
}

/* What is wrong with the screen is better said now than to the first viewer. */
static bool try_screen(Proxy *proxy, GError **error)
{
        HostlerStream *stream;
        int fd;

        if (!attach(proxy, &fd, &stream, error))
                return false;
        close(fd);
        client_stream_close(stream, NULL);
        return true;
}

bool command_vnc(Cli *cli, const Invocation *invocation, GError **error)
{
        g_autoptr(GPtrArray) viewers = g_ptr_array_new_with_free_func(viewer_free);
        Proxy proxy = {.cli = cli,
                       .args = invocation->args,
                       .vm = json_string_value(json_object_get(invocation->args, "vm")),
                       .viewers = viewers};
        g_autoptr(GString) address = g_string_new(NULL);
        unsigned port;

        if (!cli_client(cli, error) || !try_screen(&proxy, error) ||
            !open_port(&proxy, json_object_get(invocation->local, "port"), &port, error))
                return false;
        autoclose int listener = proxy.listener;
        GCancellable *cancellable = interrupt_arm(cli->interrupt);
        g_string_printf(address, "vnc://127.0.0.1:%u\n", port);
        bool done = cli_print(address, error);
        if (done && cli->err_is_terminal)
                say(&proxy, "open this address in a VNC viewer; Ctrl-C ends it");
        if (done)
                serve(&proxy, cancellable);
        interrupt_disarm(cli->interrupt);
        return done;
}
