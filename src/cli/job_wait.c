/*
 * `hostler job wait ID`: what a command that was left with Ctrl-C would have gone on doing.
 */
#include <string.h>

#include "cli/jobs.h"
#include "cli/output.h"

bool command_job_wait(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *id = json_string_value(json_object_get(invocation->args, "job"));
        const json_t *timeout = json_object_get(invocation->args, "timeout");
        g_autofree char *label = g_strdup_printf("job %s", id);
        g_autofree char *result = NULL;

        if (!cli_client(cli, error) || !job_follow(cli, id, label, json_integer_value(timeout), NULL, &result, error))
                return false;
        if (!result || cli->options->format == OUTPUT_TABLE)
                return true;
        return output_json(cli, result, strlen(result), error);
}
