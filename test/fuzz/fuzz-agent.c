/*
 * A guest that says anything: the first byte chooses whether its bytes come instead of the answer to the sync or after
 * it. Each command must be answered or refused, once.
 */
#include <glib.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/guest_agent.h"

#define LIMIT_MS 1000

static void on_reply(GuestAgent *agent, const json_t *result, const GError *error, void *user_data)
{
        int *replies = user_data;
        (*replies)++;
        if ((result == NULL) == (error == NULL))
                abort();
}

/* Lets the client work until it has sent something, or its command has ended. */
static bool wait_for_bytes(GMainContext *context, int fd, const int *replies)
{
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        while (*replies == 0 && poll(&wait, 1, 0) == 0)
                g_main_context_iteration(context, true);
        return *replies == 0;
}

static void answer_sync(GMainContext *context, int fd, const int *replies)
{
        if (!wait_for_bytes(context, fd, replies))
                return;
        json_t *command = fuzz_read(fd);
        g_autofree char *answer =
            g_strdup_printf("\xff{\"return\":%" JSON_INTEGER_FORMAT "}\n",
                            json_integer_value(json_object_get(json_object_get(command, "arguments"), "id")));
        fuzz_write(fd, answer, strlen(answer));
        json_decref(command);
        wait_for_bytes(context, fd, replies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        int replies = 0;
        g_autoptr(GMainContext) context = g_main_context_new();
        GuestAgent *agent = guest_agent_connect(fuzz_socket_path(), context, NULL);
        int fd = fuzz_accept();
        guest_agent_send(agent, "guest-info", NULL, LIMIT_MS, on_reply, &replies);
        if (data[0] & 1)
                answer_sync(context, fd, &replies);
        fuzz_write(fd, data + 1, size - 1);
        close(fd);
        while (replies == 0)
                g_main_context_iteration(context, true);
        guest_agent_close(agent);
        guest_agent_unref(agent);
        if (replies != 1)
                abort();
        return 0;
}
