/* The other end of a socket, for the fuzzers of clients; see fuzz.h. */
#include <glib.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener = -1;

static void remove_socket(void)
{
        unlink(address.sun_path);
}

const char *fuzz_socket_path(void)
{
        if (listener >= 0)
                return address.sun_path;
        g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/hostler-fuzz-%d", g_get_tmp_dir(), (int)getpid());
        remove_socket();
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof(address)));
        g_assert_no_errno(listen(listener, 8));
        atexit(remove_socket);
        return address.sun_path;
}

int fuzz_accept(void)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        g_assert_no_errno(fd);
        return fd;
}

bool fuzz_connection_waits(void)
{
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        return poll(&wait, 1, 0) == 1;
}

json_t *fuzz_read(int fd)
{
        g_autoptr(GString) line = g_string_new(NULL);
        unsigned char byte;
        while (read(fd, &byte, 1) == 1 && byte != '\n') {
                if (byte != 0xff)
                        g_string_append_c(line, (char)byte);
        }
        return json_loads(line->str, 0, NULL);
}

void fuzz_write(int fd, const void *data, size_t size)
{
        for (const char *next = data; size > 0;) {
                struct pollfd wait = {.fd = fd, .events = POLLOUT};
                ssize_t count = poll(&wait, 1, 1000) == 1 ? send(fd, next, size, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
                if (count <= 0)
                        return;
                next += count;
                size -= (size_t)count;
        }
}
