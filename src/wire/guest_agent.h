/*
 * QEMU guest agent client (docs: QEMU "docs/interop/qemu-ga-ref"): one command at a time, in order of arrival, and
 * before each a guest-sync-delimited with a random id.
 *
 * QEMU's end of the port stays connected whatever the guest does: the agent may be absent, restart with its guest, or
 * answer late. So every command first makes sure that somebody is there now and throws away what came before, and it is
 * sent only after that: an agent that starts later finds nothing old to do. When nobody answers, or what comes is not
 * the protocol, the connection is closed and the next command makes a new one.
 *
 * The guest is not trusted: replies have size and depth limits (24 MiB, as in json_stream.h), nothing is read between
 * commands, and strings are checked to be UTF-8 without control characters by the callers that show them; those in
 * error messages are printable. Thread rules and ownership as in qmp.h.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct GuestAgent GuestAgent;

#define GUEST_AGENT_TIMEOUT_MS 5000

typedef void (*GuestAgentReplyFunc)(GuestAgent *agent, const json_t *result, const GError *error, void *user_data);

/* Connects to QEMU's end of the port; never blocks. Succeeds whether or not an agent runs in the guest. Errors as
 * unix_connect(). */
GuestAgent *guest_agent_connect(const char *path, GMainContext *context, GError **error);
GuestAgent *guest_agent_ref(GuestAgent *agent);
void guest_agent_unref(GuestAgent *agent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestAgent, guest_agent_unref)
/* As qmp_close(). */
void guest_agent_close(GuestAgent *agent);

/*
 * Blocks; @timeout_ms counts from the call and includes waiting for one's turn. Errors: HOSTLER_ERROR_NO_AGENT when the
 * sync is not answered in time (at most GUEST_AGENT_TIMEOUT_MS), _UNRESPONSIVE when the command then is not or the
 * connection breaks, _BUSY when others had the agent all the time, _FAILED when it refuses, _CANCELLED (the command may
 * still be carried out).
 */
bool guest_agent_call(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GCancellable *cancellable, json_t **ret_result, GError **error);
void guest_agent_send(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GuestAgentReplyFunc reply, void *user_data);
/*
 * Blocks. Sends a command that answers only by failing (guest-shutdown, guest-suspend-ram): true unless it failed
 * within
 * @grace_ms of being sent.
 */
bool guest_agent_order(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t grace_ms,
                       GError **error);

/*
 * Runs a program to its end (guest-exec, then status polls at 20 ms growing to 500 ms); blocks. @argv[0] is looked up
 * in the guest's PATH. @input (NULL: none) is at most 2 MiB. @timeout_ms 0: no limit. Output is raw bytes, owned by the
 * caller, at most 16 MiB in all. The agent cannot end a program: after HOSTLER_ERROR_TIMEOUT or _CANCELLED it goes on
 * in the guest. An agent that falls silent is given 30 s to come back.
 */
typedef struct {
        int exit_code; /* 128 + signal when killed by one */
        GBytes *out, *err;
        bool truncated;
} GuestExecResult;
bool guest_agent_exec(GuestAgent *agent, const char *const *argv, GBytes *input, int64_t timeout_ms,
                      GCancellable *cancellable, GuestExecResult *ret_result, GError **error);
void guest_exec_result_clear(GuestExecResult *result);
/*
 * Pieces of files through guest-file-*: open, seek, read or write, close, in one call; blocks. Paths are the guest's.
 * Reading gives at most @max_bytes (≤ 1 MiB) from @offset, fewer only at the end (*ret_eof). Writing at offset 0
 * creates or truncates, elsewhere the file must exist.
 */
bool guest_agent_file_read(GuestAgent *agent, const char *guest_path, int64_t offset, gsize max_bytes,
                           GBytes **ret_bytes, bool *ret_eof, GError **error);
bool guest_agent_file_write(GuestAgent *agent, const char *guest_path, int64_t offset, GBytes *bytes, GError **error);
