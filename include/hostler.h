/*
 * libhostler: the C client of Hostler's daemon. One function per verb (hostler-verbs.h, generated), typed arguments and
 * results (hostler-types.h, generated), no GLib types.
 *
 * A HostlerClient is one connection and belongs to one thread at a time. Functions return true on success; on failure
 * they fill *error (which may be NULL) and touch no result. Everything given out is owned by the caller and freed by
 * the function named.
 */
#ifndef HOSTLER_H
#define HOSTLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "hostler-errors.h"
#include "hostler-types.h"

typedef struct HostlerClient HostlerClient;

typedef struct {
        HostlerErrorCode code;
        char *name; /* "not-found" */
        char *title, *detail, *object, *hint;
        char **causes; /* "pointer: detail", NULL-terminated */
        char *problem; /* the whole problem document */
} HostlerError;
void hostler_error_clear(HostlerError *error);

/*
 * Connects to the daemon on @socket_path; NULL: $HOSTLER_SOCKET, else the session daemon's, else the system's. With
 * @start a session daemon that is not running is started first.
 */
HostlerClient *hostler_connect(const char *socket_path, bool start, HostlerError *error);
void hostler_close(HostlerClient *client);

/* What a call may carry beside its arguments. Zeroed: nothing. */
typedef struct {
        const char *idempotency_key;
        bool dry_run;       /* jobs only: *ret_result becomes the step plan */
        int64_t timeout_ms; /* of one request; 0: 60 s */
} HostlerCallOptions;

/*
 * Any verb by its id ("vm.start") with arguments as JSON text (NULL: none), the way the generated functions call it.
 * For a job *ret_result is the accepted job. JSON text, freed with free().
 */
bool hostler_call(HostlerClient *client, const char *verb, const char *args, const HostlerCallOptions *options,
                  char **ret_result, HostlerError *error);

/*
 * Waits until job @id has ended; @progress (may be NULL) is called on every change and may return false to stop waiting
 * (HOSTLER_ERROR_TIMEOUT). A failed job is an error: the job's own.
 */
typedef bool (*HostlerProgressFunc)(const HostlerJob *job, void *data);
bool hostler_job_wait_end(HostlerClient *client, const char *id, int64_t timeout_ms, HostlerProgressFunc progress,
                          void *data, HostlerJob *ret_job, HostlerError *error);

/* Events after @since (-1: only new ones) until @event returns false or the daemon goes away. Blocks. */
typedef bool (*HostlerEventFunc)(const HostlerEvent *event, void *data);
bool hostler_events(HostlerClient *client, int64_t since, const char *object, HostlerEventFunc event, void *data,
                    HostlerError *error);

/* A raw byte stream to the VM's serial console: *ret_fd is a connected stream socket. Blocks until it is attached. */
typedef struct HostlerStream HostlerStream;
HostlerStream *hostler_console_attach(HostlerClient *client, const char *vm, int *ret_fd, HostlerError *error);
/* The same to a viewer of one of its screens (RFB, RFC 6143); @output NULL: the first. */
HostlerStream *hostler_vnc_attach(HostlerClient *client, const char *vm, const char *output, int *ret_fd,
                                  HostlerError *error);
/* Ends it; *ret_reason (may be NULL) says why the other end closed, if it did. */
void hostler_stream_close(HostlerStream *stream, char **ret_reason);

#include "hostler-verbs.h"

#ifdef __cplusplus
}
#endif
#endif
