/*
 * The command line: what its files share. A command is a function of one Invocation; it prints data on stdout,
 * everything else on stderr, and fails with a GError whose declared exit code becomes the process's. One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/cli_decl.h"
#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/parse.h"
#include "client/client.h"

typedef struct {
        const Options *options;
        Interrupt *interrupt;
        HostlerClient *client; /* NULL until cli_client() */
        int exit_code;         /* of a command that succeeded */
        bool out_is_terminal, err_is_terminal;
        bool colour; /* stdout */
} Cli;

typedef bool (*CommandFunc)(Cli *cli, const Invocation *invocation, GError **error);

/* The connection, made at first use; the session daemon is started if need be. NULL and error when there is none. */
HostlerClient *cli_client(Cli *cli, GError **error);
/* One call without more ado. @args_taken; *@ret_reply is a tree (null without an answer), owned by the caller.
 * @timeout_ms 0: the usual. */
bool cli_call(Cli *cli, const char *noun, const char *verb, json_t *args_taken, int64_t timeout_ms, json_t **ret_reply,
              GError **error);
/* Everything to stdout. False when nobody takes it (a closed pipe, a full disk). */
bool cli_print(const GString *text, GError **error);

/* ---- commands: one file each, named by `cli` in the declarations; NULL is run_verb ---- */
bool run_verb(Cli *cli, const Invocation *invocation, GError **error);
bool command_capture(Cli *cli, const Invocation *invocation, GError **error);
bool command_console(Cli *cli, const Invocation *invocation, GError **error);
bool command_exec(Cli *cli, const Invocation *invocation, GError **error);
bool command_cp(Cli *cli, const Invocation *invocation, GError **error);
bool command_device_read(Cli *cli, const Invocation *invocation, GError **error);
bool command_doctor(Cli *cli, const Invocation *invocation, GError **error);
bool command_event_watch(Cli *cli, const Invocation *invocation, GError **error);
bool command_job_wait(Cli *cli, const Invocation *invocation, GError **error);
bool command_metrics(Cli *cli, const Invocation *invocation, GError **error);
bool command_nic_stats(Cli *cli, const Invocation *invocation, GError **error);
bool command_screenshot(Cli *cli, const Invocation *invocation, GError **error);
bool command_show(Cli *cli, const Invocation *invocation, GError **error);
bool command_simulate(Cli *cli, const Invocation *invocation, GError **error);
bool command_top(Cli *cli, const Invocation *invocation, GError **error);
bool command_vnc(Cli *cli, const Invocation *invocation, GError **error);
bool command_wait(Cli *cli, const Invocation *invocation, GError **error);
bool command_help(Cli *cli, const Invocation *invocation, GError **error);
bool command_complete(Cli *cli, const Invocation *invocation, GError **error);
bool command_version(Cli *cli, const Invocation *invocation, GError **error);
