/* Waiting for a guest to come up, with the phases of its boot as they are reached. */
#pragma once

#include "cli/cli.h"

/*
 * Until @vm is "running", has an "agent", an "ip", or is "off"; @timeout_ms 0: ten minutes. *@ret_vm: the VM as JSON
 * text, caller frees. HOSTLER_ERROR_TIMEOUT says how far it came.
 */
bool boot_wait(Cli *cli, const char *vm, const char *condition, int64_t timeout_ms, char **ret_vm, GError **error);
