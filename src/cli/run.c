/*
 * The generic command: any declared verb. A call is asked and printed; a job is handed in and waited for, several
 * targets side by side. Called by main.c for verbs without a command of their own, and by those that begin like it.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "cli/show.h"
#include "hostler-records.h"

enum { WATCH_US = 1000000 };

static bool merge_file(const Invocation *invocation, GError **error);
static bool run_call(Cli *cli, const Invocation *invocation, GError **error);
static bool watch_call(Cli *cli, const Invocation *invocation, GError **error);

bool run_verb(Cli *cli, const Invocation *invocation, GError **error)
{
        if (!merge_file(invocation, error))
                return false;
        if (invocation->verb->verb->kind == VERB_JOB)
                return run_jobs(cli, invocation, error);
        return cli->options->watch ? watch_call(cli, invocation, error) : run_call(cli, invocation, error);
}

/* -f FILE.json lies under what the words say. */
static bool merge_file(const Invocation *invocation, GError **error)
{
        const char *text = json_string_value(json_object_get(invocation->local, "file"));
        json_t *said = json_object_get(invocation->args, "spec");
        json_error_t fault;

        if (!text)
                return true;
        json_t *spec = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
        if (!json_is_object(spec)) {
                json_decref(spec);
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "--file is not a JSON object%s%s",
                                 spec ? "" : ": ", spec ? "" : fault.text);
        }
        if (said)
                json_object_update_recursive(spec, said);
        json_object_set_new(invocation->args, "spec", spec);
        return true;
}

static bool print_reply(Cli *cli, const VerbDecl *verb, const Result *result, GError **error)
{
        if (!verb->result)
                return true;
        if (verb->result_shape == RESULT_ONE && cli->options->format == OUTPUT_TABLE && !cli->options->columns)
                return show_record(cli, result, error);
        return output_result(cli, result, error);
}

/* What is in the trash is listed by what matters there. */
static const char *const *columns_of(const Invocation *invocation)
{
        static const char *const trash[] = {"name", "trashed", "expires", "spec.memory.size", "id", NULL};
        bool is_trash = invocation->verb->verb->result == &hostler_vm_type &&
                        json_is_true(json_object_get(invocation->args, "trash"));
        return is_trash ? trash : invocation->verb->columns;
}

static bool run_call(Cli *cli, const Invocation *invocation, GError **error)
{
        const VerbDecl *verb = invocation->verb->verb;
        ClientOptions options = {.dry_run = cli->options->dry_run, .timeout_ms = cli->options->timeout_ms};
        g_autofree char *text = NULL;
        gsize length;

        if (!cli_client(cli, error) ||
            !client_call(cli->client, verb, invocation->args, &options, &text, &length, error))
                return false;
        Result result = {verb->result, verb->result_shape, columns_of(invocation), text, length};
        return print_reply(cli, verb, &result, error);
}

static bool watch_call(Cli *cli, const Invocation *invocation, GError **error)
{
        GString clear = {.str = (char *)"\033[H\033[2J", .len = strlen("\033[H\033[2J")};

        for (;;) {
                if (cli->out_is_terminal && !cli_print(&clear, error))
                        return false;
                if (!run_call(cli, invocation, error))
                        return false;
                g_usleep(WATCH_US);
        }
}
