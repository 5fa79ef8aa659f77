/*
 * Shell scripts for guests. The one place besides the devices' own snippets that names a shell; it is the guest's, and
 * what it is given as words it does not read as script. Called where something must be done in a guest
 * (vm/clone/identity.c, vm/device/info.c).
 */
#include "device/guest_script.h"

bool guest_script_run(GuestAgent *agent, const char *script, const char *const *words, GBytes *input,
                      int64_t timeout_ms, GCancellable *cancellable, GuestExecResult *ret_result, GError **error)
{
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        const char *const first[] = {"sh", "-c", script, "hostler"};
        for (size_t i = 0; i < G_N_ELEMENTS(first); i++)
                g_ptr_array_add(argv, (gpointer)first[i]);
        for (; *words; words++)
                g_ptr_array_add(argv, (gpointer)*words);
        g_ptr_array_add(argv, NULL);
        return guest_agent_exec(agent, (const char *const *)argv->pdata, input, timeout_ms, cancellable, ret_result,
                                error);
}
