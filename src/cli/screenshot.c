/*
 * `hostler screenshot VM FILE`: what a screen shows, as a PNG in a file that appears whole or not at all, or on
 * standard output.
 */
#include <unistd.h>

#include "base/file.h"
#include "cli/bytes.h"
#include "cli/cli.h"

enum { PICTURE_MS = 120000 };

bool command_screenshot(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *path = json_string_value(json_object_get(invocation->local, "file"));
        json_auto_t *reply = NULL;
        gsize length = 0;

        if (!cli_call(cli, "vm", "screenshot", json_incref(invocation->args), PICTURE_MS, &reply, error))
                return false;
        const char *data = json_string_value(json_object_get(reply, "data"));
        if (g_str_equal(path, "-"))
                return bytes_write_base64(STDOUT_FILENO, data, error);
        g_autofree guchar *bytes = data && *data ? g_base64_decode(data, &length) : NULL;
        if (!length)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
        return file_write_atomic(path, bytes, length, 0666, false, error);
}
