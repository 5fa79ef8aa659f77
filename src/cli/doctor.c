/*
 * `hostler doctor`: one line per check, and under a warning the command that mends it.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"

static void append_check(Cli *cli, const json_t *check, int width, GString *out)
{
        bool ok = json_is_true(json_object_get(check, "ok"));
        const char *name = json_string_value(json_object_get(check, "name"));
        const char *detail = json_string_value(json_object_get(check, "detail"));
        const char *hint = json_string_value(json_object_get(check, "hint"));
        g_autofree char *safe_name = text_safe(name ? name : "");

        g_string_append_printf(out, "%s%-4s%s  %-*s  ", cli->colour ? state_colour(ok ? "running" : "paused") : "",
                               ok ? "ok" : "warn", cli->colour ? COLOUR_OFF : "", width, safe_name);
        text_append_safe(out, detail ? detail : "", -1);
        g_string_append_c(out, '\n');
        if (!ok && hint && *hint) {
                g_string_append(out, "      ");
                text_append_safe(out, hint, -1);
                g_string_append_c(out, '\n');
        }
}

bool command_doctor(Cli *cli, const Invocation *invocation, GError **error)
{
        json_auto_t *checks = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        size_t index;
        json_t *check;
        int width = 0;

        if (cli->options->format != OUTPUT_TABLE || cli->options->columns)
                return run_verb(cli, invocation, error);
        if (!cli_call(cli, "doctor", "show", json_incref(invocation->args), 0, &checks, error))
                return false;
        json_array_foreach (checks, index, check) {
                const char *name = json_string_value(json_object_get(check, "name"));
                width = MAX(width, (int)strlen(name ? name : ""));
        }
        json_array_foreach (checks, index, check)
                append_check(cli, check, width, out);
        return cli_print(out, error);
}
