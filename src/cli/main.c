/*
 * hostler: the command line, a thin client of the daemon's API. Parses, runs the command, and turns its error into an
 * exit code.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/problem.h"

static const struct {
        const char *name;
        CommandFunc run;
} commands[] = {
    {"capture", command_capture},
    {"complete", command_complete},
    {"console", command_console},
    {"cp", command_cp},
    {"device_read", command_device_read},
    {"doctor", command_doctor},
    {"event_watch", command_event_watch},
    {"exec", command_exec},
    {"help", command_help},
    {"job_wait", command_job_wait},
    {"metrics", command_metrics},
    {"nic_stats", command_nic_stats},
    {"screenshot", command_screenshot},
    {"show", command_show},
    {"simulate", command_simulate},
    {"top", command_top},
    {"version", command_version},
    {"vnc", command_vnc},
    {"wait", command_wait},
};

static CommandFunc find_command(const Invocation *invocation)
{
        if (invocation->options.version)
                return command_version;
        if (invocation->options.help)
                return command_help;
        for (gsize i = 0; invocation->verb->command && i < G_N_ELEMENTS(commands); i++)
                if (g_str_equal(commands[i].name, invocation->verb->command))
                        return commands[i].run;
        return run_verb;
}

HostlerClient *cli_client(Cli *cli, GError **error)
{
        if (!cli->client)
                cli->client = client_open(cli->options->state, cli->options->socket, true, error);
        return cli->client;
}

bool cli_call(Cli *cli, const char *noun, const char *verb, json_t *args_taken, int64_t timeout_ms, json_t **ret_reply,
              GError **error)
{
        json_auto_t *args = args_taken;
        ClientOptions options = {.timeout_ms = timeout_ms};
        g_autofree char *text = NULL;
        gsize length;

        if (!cli_client(cli, error) ||
            !client_call(cli->client, verb_find(noun, verb), args, &options, &text, &length, error))
                return false;
        json_t *reply =
            !length ? json_null() : json_loadb(text, length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (!reply)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
        *ret_reply = reply;
        return true;
}

bool cli_print(const GString *text, GError **error)
{
        if (fwrite(text->str, 1, text->len, stdout) == text->len && fflush(stdout) == 0)
                return true;
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "cannot write to standard output: %s", g_strerror(errno));
}

int main(int argc, char **argv)
{
        g_auto(Invocation) invocation = {0};
        g_autoptr(GError) error = NULL;
        Cli cli = {
            .interrupt = interrupt_new(),
            .options = &invocation.options,
            .out_is_terminal = isatty(STDOUT_FILENO),
            .err_is_terminal = isatty(STDERR_FILENO),
        };
        const char *no_colour = g_getenv("NO_COLOR");

        cli.colour = cli.out_is_terminal && !(no_colour && *no_colour);
        bool done = parse_words((const char *const *)argv + 1, &invocation, &error) &&
                    find_command(&invocation)(&cli, &invocation, &error);
        if (!done)
                problem_print(error, invocation.options.format);
        if (cli.client)
                client_close(cli.client);
        return done ? cli.exit_code : error_decl_of(error)->exit_code;
}
