/*
 * The client's inside: what libhostler's public functions and the command line stand on. GLib types; <hostler.h> has
 * none.
 *
 * A HostlerClient belongs to one thread at a time. Everything blocks; a cancellable ends it with
 * HOSTLER_ERROR_CANCELLED.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/declare.h"
#include "hostler.h"

/*
 * Finds the daemon by the rule of base/locations.h and makes sure that it answers; with @start a session daemon that
 * does not run is started. HOSTLER_ERROR_UNREACHABLE with a hint otherwise. Free with client_close().
 */
HostlerClient *client_open(const char *state, const char *socket, bool start, GError **error);
void client_close(HostlerClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostlerClient, client_close)

typedef struct {
        const char *idempotency_key; /* NULL: none */
        bool dry_run;
        int64_t timeout_ms; /* of one request; 0: 60 s */
        GCancellable *cancellable;
} ClientOptions;

/* One call with arguments as a JSON object (borrowed, NULL: none). @ret_body: the reply's text, NUL-terminated; caller
 * frees. */
bool client_call(HostlerClient *client, const VerbDecl *verb, const json_t *args, const ClientOptions *options,
                 char **ret_body, gsize *ret_length, GError **error);

/*
 * Waits for the end of job @id, asking again every @interval_ms at the latest (@progress wants news; the end comes at
 * once). HOSTLER_ERROR_TIMEOUT when @timeout_ms (0: none) is over or @progress (may be NULL) returned false; the job
 * goes on. True when the job has ended in any way: see job->state and job->error. Clear with
 * record_clear(&hostler_job_type, …).
 */
bool client_job_wait(HostlerClient *client, const char *id, int64_t timeout_ms, int64_t interval_ms,
                     HostlerProgressFunc progress, void *data, GCancellable *cancellable, HostlerJob *ret_job,
                     GError **error);
/* The error of a job that has ended: NULL when it is done. Owned by the caller. */
GError *client_job_error(const HostlerJob *job);

/*
 * The event stream after @since (-1: only new ones); @object NULL: all. Blocks until @event returns false (true), the
 * daemon goes away (HOSTLER_ERROR_UNREACHABLE) or it is cancelled. @text is the event's JSON as it came, borrowed.
 */
typedef bool (*ClientEventFunc)(const char *text, void *data);
bool client_events(HostlerClient *client, int64_t since, const char *object, ClientEventFunc event, void *data,
                   GCancellable *cancellable, GError **error);

/* A verb that is a stream of bytes, as hostler_console_attach() and hostler_stream_close() in <hostler.h>. @args is
 * borrowed; @client must outlive the stream. */
HostlerStream *client_stream_attach(HostlerClient *client, const VerbDecl *verb, const json_t *args, int *ret_fd,
                                    GError **error);
void client_stream_close(HostlerStream *stream, char **ret_reason);

/* Replaces the connection after the daemon went away; starts nothing. */
void client_reset(HostlerClient *client);
