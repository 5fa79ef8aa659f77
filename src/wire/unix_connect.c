/*
 * Connecting to Unix sockets, however long their path. Never blocks, never retries; that is the caller's (qmp.c,
 * guest_agent.c, the client).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "wire/json_stream.h"

/* Fills in @ret_address; for a long path *@ret_folder is what must stay open until connected (else -1). */
static bool address_of(const char *path, struct sockaddr_un *ret_address, int *ret_folder, GError **error)
{
        *ret_folder = -1;
        ret_address->sun_family = AF_UNIX;
        if (g_strlcpy(ret_address->sun_path, path, sizeof ret_address->sun_path) < sizeof ret_address->sun_path)
                return true;
        g_autofree char *folder = g_path_get_dirname(path);
        g_autofree char *name = g_path_get_basename(path);
        *ret_folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*ret_folder < 0)
                return error_set_errno(error, errno, NULL, "open %s", folder);
        int length =
            g_snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s", *ret_folder, name);
        if ((size_t)length < sizeof ret_address->sun_path)
                return true;
        close(*ret_folder);
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "connect to %s: the file name is too long", path);
}

static bool set_connect_error(GError **error, int saved_errno, const char *path)
{
        if (saved_errno == ECONNREFUSED)
                return error_set(error, HOSTLER_ERROR_UNREACHABLE, NULL, "nobody listens on %s", path);
        if (saved_errno == EAGAIN)
                return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "the process behind %s accepts no connection",
                                 path);
        return error_set_errno(error, saved_errno, NULL, "connect to %s", path);
}

int unix_connect(const char *path, GError **error)
{
        struct sockaddr_un address = {0};
        int folder;
        if (!address_of(path, &address, &folder, error))
                return -1;
        int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int saved_errno =
            socket_fd < 0 || connect(socket_fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
        if (folder >= 0)
                close(folder);
        if (saved_errno == 0)
                return socket_fd;
        set_connect_error(error, saved_errno, path);
        if (socket_fd >= 0)
                close(socket_fd);
        return -1;
}
