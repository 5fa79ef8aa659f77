/*
 * The API: HTTP over the daemon's Unix socket, dispatched over the declared verbs.
 *
 * Beside the verbs it answers GET / (a hint), /metrics, /v1/version and /v1/openapi.json. Everything here runs on one
 * main context (the thread-default one of api_server_new()); verbs run on worker threads. It knows nothing of VMs: what
 * it needs of them comes through ApiHooks.
 *
 * Limits, each with its own answer: connections and their times (connection.h), bodies, depth and queries (request.h),
 * calls at once (exchange.h), event streams' queues (events.h), byte streams' queues (bridge.h).
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "api/auth.h"
#include "base/declare.h"
#include "job/job.h"
#include "store/event_log.h"
#include "store/store.h"
#include "wire/byte_stream.h"

typedef struct ApiServer ApiServer;

/* Everything is borrowed and must outlive the server. Functions run on worker threads unless said otherwise. */
typedef struct {
        JobQueue *jobs;
        EventLog *events; /* delivers on the server's context */
        Store *store;
        Manager *manager;
        AuthRule auth;
        const char *version; /* of the product */
        const char *openapi; /* the OpenAPI document, JSON text */
        const char *origin;  /* the one Origin that requests may carry; NULL: none (right for a Unix socket) */

        /* What a job must hold alone ("vm/<uuid>"; owned by the caller), NULL: nothing, or NULL and @error set. */
        char *(*turn_key)(Manager *manager, const VerbDecl *decl, const void *args, GError **error);
        /*
         * Looks whether @vm has come to @what. False and @error when there is no such VM or it can no longer come to
         * it. Else @ret_vm is filled (record_clear(&hostler_vm_type, …)) whether it is reached or not.
         */
        bool (*vm_wait_check)(Manager *manager, const char *vm, HostlerWaitFor what, bool *ret_reached,
                              HostlerVm *ret_vm, GError **error);
        /* The stream of a verb that is one (vm.console, vm.vnc). On the server's context; must not block. Bytes may
         * come from within the call. */
        bool (*stream_attach)(Manager *manager, const VerbDecl *decl, const void *args, const ByteSink *sink,
                              ByteStream **ret_stream, GError **error);
        /* OpenMetrics text (https://openmetrics.io), ending with "# EOF\n"; never asks QEMU. Owned by the caller. */
        char *(*metrics)(Manager *manager);
} ApiHooks;

/*
 * Listens on @socket_path: 0600 in session mode; 0660 and the operators' group in system mode. Ignores SIGPIPE from
 * here on. Errors as listener_open() (listen.h). @hooks is copied.
 */
ApiServer *api_server_new(const ApiHooks *hooks, const char *socket_path, GError **error);
/* Stops listening, cancels calls under way and waits for them (runs the context), cuts everybody off, removes the
 * socket. */
void api_server_free(ApiServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApiServer, api_server_free)
