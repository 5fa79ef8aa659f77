/* Verbs that are jobs: handed in, waited for, shown. */
#pragma once

#include "cli/cli.h"

/*
 * Runs @invocation's verb once, or once for each of its names, side by side. Ctrl-C leaves the jobs alone and says how
 * to wait for them (HOSTLER_ERROR_TIMEOUT, exit code 7). When some of several fail, each failure is printed and the
 * exit code is that of HOSTLER_ERROR_PARTLY.
 */
bool run_jobs(Cli *cli, const Invocation *invocation, GError **error);

/* Waits for job @id with progress named @label. *@ret_result (may be NULL): the job's result or NULL; caller frees with
 * g_free(). */
bool job_follow(Cli *cli, const char *id, const char *label, int64_t timeout_ms, char **ret_object, char **ret_result,
                GError **error);
