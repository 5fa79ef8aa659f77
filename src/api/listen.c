/*
 * Makes, watches and removes the daemon's socket. libsoup's own listener is not used: it stops for ever at the first
 * failed accept(), and one moment without file descriptors would leave a daemon that nobody can reach. server.c owns
 * the one listener.
 */
#include "api/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/file.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define FULL_PAUSE_MS 100

struct Listener {
        int dir_fd, fd;
        char *name; /* in the folder */
        dev_t device;
        ino_t inode;
        GMainContext *context;
        GSource *source; /* accepting, or the pause while there are no descriptors */
        ListenerFunc accepted;
        ListenerFullFunc full;
        void *data;
};

static void watch(Listener *listener);

/* sun_path holds 108 bytes; through the folder's descriptor only the name counts. */
static bool address_of(int dir_fd, const char *name, struct sockaddr_un *ret_address, GError **error)
{
        *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
        int length =
            snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);

        if (length < (int)sizeof(ret_address->sun_path))
                return true;
        return error_set(error, HOSTLER_ERROR_USAGE, NULL, "the socket's name %s is too long", name);
}

static bool somebody_answers(int dir_fd, const char *name)
{
        struct sockaddr_un address;

        if (!address_of(dir_fd, name, &address, NULL))
                return false;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        /* EAGAIN: its backlog is full, so it lives. */
        bool answers = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN;
        close(fd);
        return answers;
}

static bool place_is_free(int dir_fd, const char *name, const char *path, GError **error)
{
        struct stat status;

        if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT || error_set_errno(error, errno, NULL, "cannot look at %s", path);
        if (!S_ISSOCK(status.st_mode))
                return error_set(error, HOSTLER_ERROR_EXISTS, NULL, "%s is there and is not a socket", path);
        if (somebody_answers(dir_fd, name))
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "a daemon answers on %s already", path);
        return true;
}

/* Nobody can connect before listen(), which comes after the mode is set. */
static bool bind_socket(Listener *listener, const char *temporary, mode_t mode, gid_t group, GError **error)
{
        struct sockaddr_un address;
        struct stat status;

        if (!address_of(listener->dir_fd, temporary, &address, error))
                return false;
        listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_set_errno(error, errno, NULL, "cannot make the socket %s", listener->name);
        if (fchmodat(listener->dir_fd, temporary, mode, 0) < 0 ||
            (group != (gid_t)-1 && fchownat(listener->dir_fd, temporary, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0) ||
            fstatat(listener->dir_fd, temporary, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            listen(listener->fd, BACKLOG) < 0 ||
            renameat(listener->dir_fd, temporary, listener->dir_fd, listener->name) < 0) {
                error_set_errno(error, errno, NULL, "cannot set up the socket %s", listener->name);
                unlinkat(listener->dir_fd, temporary, 0);
                return false;
        }
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
        return true;
}

static gboolean pause_over(void *data)
{
        watch(data);
        return G_SOURCE_REMOVE;
}

static void set_source(Listener *listener, GSource *source_taken, GSourceFunc func)
{
        if (listener->source) {
                g_source_destroy(listener->source);
                g_source_unref(listener->source);
        }
        listener->source = source_taken;
        if (!source_taken)
                return;
        g_source_set_callback(source_taken, func, listener, NULL);
        g_source_attach(source_taken, listener->context);
}

static gboolean accept_some(int fd, GIOCondition condition, void *data)
{
        Listener *listener = data;

        for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
                int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (accepted >= 0) {
                        listener->accepted(accepted, listener->data);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        listener->full(listener->data);
                        set_source(listener, g_timeout_source_new(FULL_PAUSE_MS), pause_over);
                        return G_SOURCE_REMOVE;
                }
                if (errno == EAGAIN)
                        break;
        }
        return G_SOURCE_CONTINUE;
}

static void watch(Listener *listener)
{
        set_source(listener, g_unix_fd_source_new(listener->fd, G_IO_IN), G_SOURCE_FUNC(accept_some));
}

Listener *listener_open(const char *path, mode_t mode, gid_t group, GMainContext *context, ListenerFunc accepted,
                        ListenerFullFunc full, void *data, GError **error)
{
        g_autofree char *folder = g_path_get_dirname(path);
        Listener *listener = g_new(Listener, 1);

        *listener = (Listener){
            .dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
            .fd = -1,
            .name = g_path_get_basename(path),
            .context = g_main_context_ref(context),
            .accepted = accepted,
            .full = full,
            .data = data,
        };
        g_autofree char *temporary = g_strdup_printf(".%.40s.%08x", listener->name, g_random_int());
        bool good = listener->dir_fd >= 0 || error_set_errno(error, errno, NULL, "cannot open the folder %s", folder);

        if (!good || !place_is_free(listener->dir_fd, listener->name, path, error) ||
            !bind_socket(listener, temporary, mode, group, error)) {
                listener_close(listener);
                return NULL;
        }
        watch(listener);
        return listener;
}

void listener_close(Listener *listener)
{
        struct stat status;

        if (!listener)
                return;
        set_source(listener, NULL, NULL);
        if (listener->inode != 0 && fstatat(listener->dir_fd, listener->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_dev == listener->device && status.st_ino == listener->inode)
                unlinkat(listener->dir_fd, listener->name, 0);
        if (listener->fd >= 0)
                close(listener->fd);
        if (listener->dir_fd >= 0)
                close(listener->dir_fd);
        g_main_context_unref(listener->context);
        g_free(listener->name);
        g_free(listener);
}
