/*
 * Waiting for a guest: short long-polls of `wait`, and a look at the VM in between for how far it has come. Called by
 * `hostler wait` and by jobs with --wait=STATE.
 */
#include "cli/boot_wait.h"

#include <string.h>

#include "base/clock.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "hostler-records.h"

enum {
        DEFAULT_MS = 600000,
        LOOK_MS = 250,
        REPLY_MS = 30000,
};

/* Marks every phase between the last seen and now: several may pass between two looks. */
static int mark_phases(Cli *cli, Progress *progress, const json_t *vm, int seen)
{
        const char *phase = json_string_value(json_object_get(json_object_get(vm, "status"), "phase"));
        const char *const *names = record_field(&hostler_vm_status_type, "phase")->values->values;
        int now = 0;

        for (int i = 1; phase && names[i]; i++)
                if (g_str_equal(names[i], phase))
                        now = i;
        for (int i = seen + 1; i <= now; i++)
                progress_mark(progress, names[i]);
        if (cli->err_is_terminal)
                progress_update(progress, -1, phase);
        return MAX(seen, now);
}

static bool timed_out(const char *vm, const char *condition, int phase, GError **error)
{
        const char *const *names = record_field(&hostler_vm_status_type, "phase")->values->values;

        error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s has not come to %s in time%s%s", vm, condition,
                  phase ? "; it has reached " : "", names[phase]);
        return error_hint(error, "hostler console --log %s", vm);
}

static bool look(Cli *cli, const char *vm, Progress *progress, int *phase, GError **error)
{
        json_auto_t *reply = NULL;

        if (!cli_call(cli, "vm", "show", json_pack("{s:s}", "vm", vm), 0, &reply, error))
                return false;
        *phase = mark_phases(cli, progress, reply, *phase);
        return true;
}

/* True: it holds now, and *@ret_vm is set; or it does not yet, and *@ret_vm is NULL. */
static bool poll_condition(Cli *cli, const char *vm, const char *condition, int64_t wait_ms, char **ret_vm,
                           GError **error)
{
        json_auto_t *args =
            json_pack("{s:s, s:s, s:I}", "vm", vm, "for", condition, "timeout", (json_int_t)MAX(wait_ms, 1));
        ClientOptions options = {.timeout_ms = wait_ms + REPLY_MS};
        g_autoptr(GError) failure = NULL;

        if (client_call(cli->client, verb_find("vm", "wait"), args, &options, ret_vm, NULL, &failure))
                return true;
        if (error_is(failure, HOSTLER_ERROR_TIMEOUT))
                return true;
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
}

bool boot_wait(Cli *cli, const char *vm, const char *condition, int64_t timeout_ms, char **ret_vm, GError **error)
{
        g_autofree char *label = g_strdup_printf("wait for %s: %s", vm, condition);
        g_autoptr(Progress) progress = progress_new(label, cli->err_is_terminal);
        int64_t deadline = clock_monotonic_ms() + (timeout_ms ? timeout_ms : DEFAULT_MS);
        g_autofree char *reply = NULL;
        int phase = 0;

        if (!cli_client(cli, error))
                return false;
        while (!reply) {
                int64_t left_ms = deadline - clock_monotonic_ms();

                if (left_ms <= 0)
                        return timed_out(vm, condition, phase, error);
                if (!poll_condition(cli, vm, condition, MIN(left_ms, LOOK_MS), &reply, error))
                        return false;
                if (!reply && !look(cli, vm, progress, &phase, error))
                        return false;
        }
        json_auto_t *tree = json_loads(reply, JSON_REJECT_DUPLICATES, NULL);
        mark_phases(cli, progress, tree, phase);
        *ret_vm = g_steal_pointer(&reply);
        return true;
}

bool command_wait(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *vm = json_string_value(json_object_get(invocation->args, "vm"));
        const char *condition = json_string_value(json_object_get(invocation->args, "for"));
        int64_t timeout_ms = json_integer_value(json_object_get(invocation->args, "timeout"));
        g_autofree char *reply = NULL;

        if (!boot_wait(cli, vm, condition, timeout_ms, &reply, error))
                return false;
        Result result = {&hostler_vm_type, RESULT_ONE, output_columns(&hostler_vm_type), reply, strlen(reply)};
        return output_result(cli, &result, error);
}
