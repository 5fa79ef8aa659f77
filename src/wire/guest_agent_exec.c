/*
 * Running a program in the guest to its end, over guest_agent_call(). Blocks the caller, polling as the agent has no
 * way to tell. The agent cannot end a program, so a cancelled or late one goes on in the guest. Called by src/vm.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "wire/exchange.h"
#include "wire/guest_agent.h"

#define START_MS 30000 /* with input to carry */
#define INPUT_LIMIT_BYTES (2 << 20)
#define POLL_FIRST_MS 20
#define POLL_LAST_MS 500
#define SILENCE_MS 30000 /* a guest under load may miss polls this long */

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

static bool start(GuestAgent *agent, const char *const *argv, GBytes *input, GCancellable *cancellable,
                  json_int_t *ret_pid, GError **error)
{
        if (input && g_bytes_get_size(input) > INPUT_LIMIT_BYTES)
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "input for %s: over %d bytes", argv[0],
                                 INPUT_LIMIT_BYTES);
        json_t *arguments = exec_arguments(argv, input, error);
        json_t *result = NULL;
        if (!arguments || !guest_agent_call(agent, "guest-exec", arguments, START_MS, cancellable, &result, error))
                return false;
        json_t *pid = json_object_get(result, "pid");
        bool started = json_is_integer(pid);
        *ret_pid = json_integer_value(pid);
        json_decref(result);
        return started ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "run %s: the guest agent gave no process id", argv[0]);
}

static bool is_silence(const GError *error)
{
        return error_is(error, HOSTLER_ERROR_NO_AGENT) || error_is(error, HOSTLER_ERROR_UNRESPONSIVE);
}

/* One poll. True with *@ret_status NULL while the program runs, or while the agent has been silent since @heard_ms only
 * shortly. */
static bool poll_status(GuestAgent *agent, json_int_t pid, int64_t *heard_ms, GCancellable *cancellable,
                        json_t **ret_status, GError **error)
{
        g_autoptr(GError) fault = NULL;
        json_t *status = NULL;
        *ret_status = NULL;
        if (!guest_agent_call(agent, "guest-exec-status", json_pack("{s:I}", "pid", pid), GUEST_AGENT_TIMEOUT_MS,
                              cancellable, &status, &fault)) {
                if (is_silence(fault) && clock_monotonic_ms() - *heard_ms < SILENCE_MS)
                        return true;
                g_propagate_error(error, g_steal_pointer(&fault));
                return false;
        }
        *heard_ms = clock_monotonic_ms();
        if (json_is_true(json_object_get(status, "exited")))
                *ret_status = status;
        else
                json_decref(status);
        return true;
}

/* The last status, owned by the caller. */
static json_t *wait_for_exit(GuestAgent *agent, const char *program, json_int_t pid, int64_t timeout_ms,
                             GCancellable *cancellable, GError **error)
{
        int64_t heard_ms = clock_monotonic_ms();
        int64_t deadline_ms = timeout_ms > 0 ? heard_ms + timeout_ms : INT64_MAX;
        json_t *status = NULL;
        for (int64_t pause_ms = POLL_FIRST_MS; !status; pause_ms = MIN(pause_ms * 3 / 2, POLL_LAST_MS)) {
                if (clock_monotonic_ms() >= deadline_ms) {
                        g_autofree char *limit = duration_format(timeout_ms);
                        error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s still runs in the guest after %s", program,
                                  limit);
                        return NULL;
                }
                if (!wait_ms(pause_ms, cancellable, error) ||
                    !poll_status(agent, pid, &heard_ms, cancellable, &status, error))
                        return NULL;
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
        json_int_t pid = 0;
        json_t *status = NULL;
        if (!start(agent, argv, input, cancellable, &pid, error) ||
            !(status = wait_for_exit(agent, argv[0], pid, timeout_ms, cancellable, error)))
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
        json_decref(status);
        return true;
}

void guest_exec_result_clear(GuestExecResult *result)
{
        g_clear_pointer(&result->out, g_bytes_unref);
        g_clear_pointer(&result->err, g_bytes_unref);
        *result = (GuestExecResult){0};
}
