/*
 * `hostler simulate`: becomes hostler-simulate, which links the solver, with the checked arguments as one JSON object.
 */
#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "cli/cli.h"

bool command_simulate(Cli *cli, const Invocation *invocation, GError **error)
{
        g_autofree char *program = process_sibling("hostler-simulate");
        json_auto_t *args = json_copy(invocation->args);

        json_object_update(args, invocation->local);
        json_object_set_new(args, "json", json_boolean(cli->options->format == OUTPUT_JSON));
        char *text = json_dumps(args, JSON_COMPACT);
        execl(program, program, text, NULL);
        return error_set_errno(error, errno, NULL, "starting %s", program);
}
