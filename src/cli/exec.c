/*
 * `hostler exec VM -- COMMAND…`: the command's output on our stdout and stderr as it is, its exit code ours.
 */
#include <unistd.h>

#include "cli/bytes.h"
#include "cli/cli.h"

enum {
        INPUT_LIMIT_BYTES = 524288, /* what the agent's one message can carry */
        DEFAULT_MS = 3600000,
        REPLY_MS = 30000,
};

static bool add_input(json_t *args, GError **error)
{
        gsize length;
        g_autofree guchar *bytes = bytes_read(STDIN_FILENO, INPUT_LIMIT_BYTES + 1, &length, error);

        if (!bytes)
                return false;
        if (length > INPUT_LIMIT_BYTES) {
                error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "standard input is larger than 512 KiB");
                return error_hint(error, "copy it with hostler cp first");
        }
        g_autofree char *text = g_base64_encode(bytes, length);
        json_object_set_new(args, "input", json_string(text));
        return true;
}

static json_t *exec_args(const Invocation *invocation, GError **error)
{
        json_auto_t *args = json_copy(invocation->args);
        json_t *command = json_array();

        for (char **word = invocation->words; *word; word++)
                json_array_append_new(command, json_string(*word));
        json_object_set_new(args, "command", command);
        if (json_is_true(json_object_get(invocation->local, "stdin")) && !add_input(args, error))
                return NULL;
        return json_incref(args);
}

bool command_exec(Cli *cli, const Invocation *invocation, GError **error)
{
        const json_t *timeout = json_object_get(invocation->args, "timeout");
        int64_t timeout_ms = (timeout ? json_integer_value(timeout) : DEFAULT_MS) + REPLY_MS;
        json_t *args = exec_args(invocation, error);
        json_auto_t *reply = NULL;

        if (!args || !cli_call(cli, "vm", "exec", args, timeout_ms, &reply, error))
                return false;
        if (!bytes_write_base64(STDOUT_FILENO, json_string_value(json_object_get(reply, "out")), error) ||
            !bytes_write_base64(STDERR_FILENO, json_string_value(json_object_get(reply, "err")), error))
                return false;
        if (json_is_true(json_object_get(reply, "truncated")))
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL,
                                 "the command wrote more than 16 MiB; the rest is lost");
        cli->exit_code = (int)json_integer_value(json_object_get(reply, "exit_code"));
        return true;
}
