/*
 * Shell scripts for guests. The one place besides the devices' own snippets that names a shell; it is the guest's, and
 * what it is given as words it does not read as script. Called where something must be done in a guest
 * (vm/clone/identity.c).
 */
#include "device/guest_script.h"

bool guest_script_run(GuestAgent *agent, const char *script, const char *const *words, GBytes *input,
                      int64_t timeout_ms, GCancellable *cancellable, GuestExecResult *ret_result, GError **error)
{
        const char *argv[4 + GUEST_SCRIPT_WORDS + 1] = {"sh", "-c", script, "hostler"};
        for (size_t i = 0; i < GUEST_SCRIPT_WORDS && words[i]; i++)
                argv[4 + i] = words[i];
        return guest_agent_exec(agent, argv, input, timeout_ms, cancellable, ret_result, error);
}
