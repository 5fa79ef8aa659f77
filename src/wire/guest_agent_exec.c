/*
 * Running a program in the guest to its end, over guest_agent_call(). Blocks the caller, polling as the agent has no
 * way to tell. The agent cannot end a program, so a cancelled or late one goes on in the guest. Called by src/vm.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "wire/exchange.h"
#include "wire/guest_agent.h"

#define INPUT_LIMIT_BYTES (2 << 20)
#define POLL_FIRST_MS 20
#define POLL_LAST_MS 500
#define EXCHANGE_MS 30000 /* the first may carry input, the last carries all the output */
#define ABSENT_MS 30000   /* a guest under load may not answer syncs this long */

/* A program that was started in the guest. */
typedef struct {
        GuestAgent *agent;
        const char *name;
        json_int_t pid;
        int64_t timeout_ms;
        int64_t deadline_ms; /* INT64_MAX: none */
        int64_t heard_ms;    /* when the agent answered last */
        int64_t took_ms;     /* how long it took to */
        GCancellable *cancellable;
} Program;

static bool exchange(const Program *program, const char *command, json_t *arguments_taken, json_t **ret_result,
                     GError **error)
{
        int64_t limit_ms = CLAMP(program->deadline_ms - clock_monotonic_ms(), GUEST_AGENT_TIMEOUT_MS, EXCHANGE_MS);
        return guest_agent_call(program->agent, command, arguments_taken, limit_ms, program->cancellable, ret_result,
                                error);
}

/* NULL and HOSTLER_ERROR_INVALID if JSON cannot carry it. */
static json_t *exec_arguments(const char *const *argv, GBytes *input, GError **error)
{
        json_t *rest = json_array();
        json_t *arguments = json_pack("{s:o, s:b}", "arg", rest, "capture-output", 1);
        bool valid = json_object_set_new(arguments, "path", json_string(argv[0])) == 0;
        for (gsize i = 1; valid && argv[i]; i++)
                valid = json_array_append_new(rest, json_string(argv[i])) == 0;
        if (!valid) {
                json_decref(arguments);
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "a program and its arguments must be UTF-8");
                return NULL;
        }
        if (input) {
                gsize length;
                const guchar *bytes = g_bytes_get_data(input, &length);
                g_autofree char *text = g_base64_encode(bytes, length);
                json_object_set_new(arguments, "input-data", json_string(text));
        }
        return arguments;
}

static bool start(Program *program, const char *const *argv, GBytes *input, GError **error)
{
        if (input && g_bytes_get_size(input) > INPUT_LIMIT_BYTES)
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "input for %s: over %d bytes", program->name,
                                 INPUT_LIMIT_BYTES);
        json_t *arguments = exec_arguments(argv, input, error);
        json_auto_t *result = NULL;
        if (!arguments || !exchange(program, "guest-exec", arguments, &result, error))
                return false;
        const json_t *pid = json_object_get(result, "pid");
        program->pid = json_integer_value(pid);
        program->heard_ms = clock_monotonic_ms();
        return json_is_integer(pid) || error_set(error, HOSTLER_ERROR_FAILED, NULL,
                                                 "run %s: the guest agent gave no process id", program->name);
}

/* Only then may a poll be repeated: the agent forgets a program once it has told of its end. */
static bool was_not_sent(const GError *error)
{
        return error_is(error, HOSTLER_ERROR_NO_AGENT) || error_is(error, HOSTLER_ERROR_BUSY);
}

/* One poll. True with *@ret_status NULL while the program runs, or while the agent is silent, but not for long yet. */
static bool poll_status(Program *program, json_t **ret_status, GError **error)
{
        g_autoptr(GError) fault = NULL;
        json_t *arguments = json_pack("{s:I}", "pid", program->pid);
        int64_t asked_ms = clock_monotonic_ms();
        if (exchange(program, "guest-exec-status", arguments, ret_status, &fault)) {
                program->heard_ms = clock_monotonic_ms();
                program->took_ms = program->heard_ms - asked_ms;
                if (!json_is_true(json_object_get(*ret_status, "exited")))
                        g_clear_pointer(ret_status, json_decref);
                return true;
        }
        if (was_not_sent(fault) && clock_monotonic_ms() - program->heard_ms < ABSENT_MS)
                return true;
        g_propagate_error(error, g_steal_pointer(&fault));
        return false;
}

/* The last status, owned by the caller. It is asked for once at least, however little time there was. */
static json_t *wait_for_exit(Program *program, GError **error)
{
        json_t *status = NULL;
        for (int64_t pause_ms = POLL_FIRST_MS; !status; pause_ms = MIN(pause_ms * 3 / 2, POLL_LAST_MS)) {
                /* A guest that is slow to answer has better things to do than to be asked. */
                if (!wait_ms(MAX(pause_ms, program->took_ms), program->cancellable, error) ||
                    !poll_status(program, &status, error))
                        return NULL;
                if (!status && clock_monotonic_ms() >= program->deadline_ms) {
                        g_autofree char *limit = duration_format(program->timeout_ms);
                        error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s still runs in the guest after %s",
                                  program->name, limit);
                        return NULL;
                }
        }
        return status;
}

static GBytes *decode(const json_t *base64)
{
        const char *text = json_string_value(base64);
        gsize length = 0;
        guchar *bytes = text ? g_base64_decode(text, &length) : NULL;
        return g_bytes_new_take(bytes, length);
}

bool guest_agent_exec(GuestAgent *agent, const char *const *argv, GBytes *input, int64_t timeout_ms,
                      GCancellable *cancellable, GuestExecResult *ret_result, GError **error)
{
        Program program = {.agent = agent, .name = argv[0], .timeout_ms = timeout_ms, .cancellable = cancellable};
        program.deadline_ms = timeout_ms > 0 ? clock_monotonic_ms() + timeout_ms : INT64_MAX;
        json_auto_t *status = start(&program, argv, input, error) ? wait_for_exit(&program, error) : NULL;
        if (!status)
                return false;
        const json_t *signal = json_object_get(status, "signal");
        json_int_t code = signal ? 128 + (json_integer_value(signal) & 0x7f)
                                 : json_integer_value(json_object_get(status, "exitcode"));
        *ret_result = (GuestExecResult){
            .exit_code = (int)CLAMP(code, G_MININT, G_MAXINT),
            .out = decode(json_object_get(status, "out-data")),
            .err = decode(json_object_get(status, "err-data")),
            .truncated = json_is_true(json_object_get(status, "out-truncated")) ||
                         json_is_true(json_object_get(status, "err-truncated")),
        };
        return true;
}

void guest_exec_result_clear(GuestExecResult *result)
{
        g_clear_pointer(&result->out, g_bytes_unref);
        g_clear_pointer(&result->err, g_bytes_unref);
        *result = (GuestExecResult){0};
}
