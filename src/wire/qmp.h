/*
 * QMP client: one connection to one QEMU (docs: QEMU "QMP protocol specification", docs/interop/qmp-spec).
 *
 * Many commands may be under way at once; each has an id and a time limit of its own. Calls block only their caller. A
 * QEMU that is silent makes its own calls end with HOSTLER_ERROR_UNRESPONSIVE and nothing else. When the socket closes
 * every pending call ends with HOSTLER_ERROR_FAILED. Callbacks run on the main context given at connect, one at a time,
 * in the order in which QEMU sent; they may call anything here but the calls that block.
 *
 * Reference counted: the last unref may happen on any thread and closes what is still open. An integer beyond int64 in
 * a result (blockstats have 18446744073709551615) is a JSON real, every other an integer. Results are up to 64 MiB.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Qmp Qmp;

#define QMP_TIMEOUT_MS 10000

/* @event: "SHUTDOWN", …; @data: object or NULL, borrowed; @unix_ms: QEMU's own timestamp (ours if it has none). */
typedef void (*QmpEventFunc)(Qmp *qmp, const char *event, const json_t *data, int64_t unix_ms, void *user_data);
/* QEMU closed the connection, or broke the protocol; after the replies of all pending sends. @reason is borrowed. */
typedef void (*QmpClosedFunc)(Qmp *qmp, const GError *reason, void *user_data);
/* @result: the "return" value, borrowed, or NULL with @error set (borrowed). */
typedef void (*QmpReplyFunc)(Qmp *qmp, const json_t *result, const GError *error, void *user_data);

/*
 * Connects to the Unix socket @path and negotiates capabilities; blocks the caller at most @timeout_ms (must not be the
 * thread that runs @context). With @wait_for_socket it retries, every 1 to 10 ms, while there is no socket or nobody
 * listens. An event may come before this returns. Errors: HOSTLER_ERROR_NOT_FOUND or _UNREACHABLE (no socket, no
 * listener), _UNRESPONSIVE (no answer in time), _FAILED (hung up, or not QMP).
 */
Qmp *qmp_connect(const char *path, bool wait_for_socket, int64_t timeout_ms, GMainContext *context, QmpEventFunc event,
                 QmpClosedFunc closed, void *user_data, GError **error);
Qmp *qmp_ref(Qmp *qmp);
void qmp_unref(Qmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qmp, qmp_unref)
/*
 * No callback runs after this returns (call it on the context's thread, a callback will do). Pending calls end with
 * HOSTLER_ERROR_FAILED, pending sends end unheard. The connection is ours to close, so the closed callback stays away.
 */
void qmp_close(Qmp *qmp);

/*
 * Sends @command with @arguments_taken (NULL: none) and waits for its reply. Any thread but the context's.
 * QEMU's refusal is HOSTLER_ERROR_FAILED with its text; no reply in @timeout_ms is HOSTLER_ERROR_UNRESPONSIVE;
 * @cancellable (may be NULL) ends the wait with HOSTLER_ERROR_CANCELLED, not the command.
 * @ret_result (NULL: not wanted) is owned by the caller.
 */
bool qmp_call_full(Qmp *qmp, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                   GCancellable *cancellable, json_t **ret_result, GError **error);
bool qmp_call(Qmp *qmp, const char *command, json_t *arguments_taken, json_t **ret_result, GError **error);
typedef struct {
        const char *command;
        json_t *arguments; /* borrowed; NULL: none */
} QmpRequest;
/*
 * Sends all of them before the first reply is waited for. QEMU carries them out in this order, also those behind one
 * that fails; the first failure is the error. Returns when all have been answered. Any thread but the context's.
 */
bool qmp_call_all(Qmp *qmp, const QmpRequest *requests, size_t count, GError **error);
/* The class of the refusal that this error is about, however often it was wrapped ("GenericError", "DeviceNotFound"),
 * or NULL. */
const char *qmp_error_class(const GError *error);
/* Asynchronous; any thread. @reply runs on the context, exactly once, or never after qmp_close. */
void qmp_send(Qmp *qmp, const char *command, json_t *arguments_taken, int64_t timeout_ms, QmpReplyFunc reply,
              void *user_data);
/*
 * qmp_call() that carries the descriptor @fd (SCM_RIGHTS), for `getfd` and `add-fd`. @fd is borrowed. QEMU keeps only
 * the descriptor that came last, so these calls take turns, within the same time limit.
 */
bool qmp_call_with_fd(Qmp *qmp, const char *command, json_t *arguments_taken, int fd, json_t **ret_result,
                      GError **error);
/* Milliseconds (monotonic) since the last byte came from QEMU; INT64_MAX once closed. */
int64_t qmp_idle_ms(Qmp *qmp);
