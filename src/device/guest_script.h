/* Shell scripts that run in a guest, through its agent. Blocks; any thread but the main loop's. */
#pragma once

#include "wire/guest_agent.h"

/*
 * Runs @script by the guest's /bin/sh with @words (NULL-terminated) as $1, $2…, which are never part of the script's
 * text. The rest as guest_agent_exec(). Anything but exit code 0 is the caller's to judge.
 */
bool guest_script_run(GuestAgent *agent, const char *script, const char *const *words, GBytes *input,
                      int64_t timeout_ms, GCancellable *cancellable, GuestExecResult *ret_result, GError **error);
