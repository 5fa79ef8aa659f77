/*
 * QEMU guest agent client (docs: QEMU "docs/interop/qemu-ga-ref"): guest-sync-delimited first, then one command at a
 * time.
 *
 * The guest is not trusted: replies have size and depth limits, strings are checked to be UTF-8 without control
 * characters by the callers that show them. The agent may be absent, restart, or answer late: a late answer is thrown
 * away by its sync id. Thread rules and ownership as in qmp.h.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct GuestAgent GuestAgent;

#define GUEST_AGENT_TIMEOUT_MS 5000

typedef void (*GuestAgentReplyFunc)(GuestAgent *agent, const json_t *result, const GError *error, void *user_data);

/* Connects to QEMU's end of the port. Succeeds whether or not an agent runs in the guest. */
GuestAgent *guest_agent_connect(const char *path, GMainContext *context, GError **error);
GuestAgent *guest_agent_ref(GuestAgent *agent);
void guest_agent_unref(GuestAgent *agent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestAgent, guest_agent_unref)
void guest_agent_close(GuestAgent *agent);

/* Blocks; re-syncs by itself when the last exchange went wrong. HOSTLER_ERROR_NO_AGENT when nobody answers in time. */
bool guest_agent_call(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GCancellable *cancellable, json_t **ret_result, GError **error);
void guest_agent_send(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t timeout_ms,
                      GuestAgentReplyFunc reply, void *user_data);
/* Sends a command that answers only by failing (guest-shutdown, guest-suspend-ram): true unless it failed within
 * @grace_ms. */
bool guest_agent_order(GuestAgent *agent, const char *command, json_t *arguments_taken, int64_t grace_ms,
                       GError **error);

/* Runs a program to its end (guest-exec + status polls at 20 ms growing to 500 ms). Output is raw bytes, owned by the
 * caller. */
typedef struct {
        int exit_code; /* 128 + signal when killed by one */
        GBytes *out, *err;
        bool truncated;
} GuestExecResult;
bool guest_agent_exec(GuestAgent *agent, const char *const *argv, GBytes *input, int64_t timeout_ms,
                      GCancellable *cancellable, GuestExecResult *ret_result, GError **error);
void guest_exec_result_clear(GuestExecResult *result);
/*
 * Pieces of files through guest-file-*: open, seek, read or write, close, in one call. Paths are the guest's.
 * Reading gives at most @max_bytes (≤ 1 MiB) from @offset, fewer only at the end (*ret_eof). Writing at offset 0
 * creates or truncates.
 */
bool guest_agent_file_read(GuestAgent *agent, const char *guest_path, int64_t offset, gsize max_bytes,
                           GBytes **ret_bytes, bool *ret_eof, GError **error);
bool guest_agent_file_write(GuestAgent *agent, const char *guest_path, int64_t offset, GBytes *bytes, GError **error);
