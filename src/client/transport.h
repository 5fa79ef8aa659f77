/*
 * What the files of this folder share: the connection, and requests as they go out. Threads and ownership as in
 * client.h.
 */
#pragma once

#include <libsoup/soup.h>

#include "base/locations.h"
#include "client/client.h"

struct HostlerClient {
        Locations locations;
        bool start; /* a daemon that is not there may be started */
        GSocketAddress *address;
        int directory_fd; /* keeps @address valid when its path is long; -1 otherwise */
        SoupSession *session;
        guint timeout_s; /* of @session: silence longer than this ends a request */
};

/* A request as it goes out. Pure; see request.c for the rules. */
typedef struct {
        char *target;   /* path and query */
        char *body;     /* JSON or NULL */
        char *if_match; /* header value or NULL */
} ClientRequest;
bool client_request_build(const VerbDecl *verb, const json_t *args, bool dry_run, ClientRequest *ret_request,
                          GError **error);
void client_request_clear(ClientRequest *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ClientRequest, client_request_clear)

SoupMessage *client_message(HostlerClient *client, const char *method, const char *target);
/* The session with at least this limit of silence. Borrowed. */
SoupSession *client_session(HostlerClient *client, int64_t timeout_ms);
/* Turns an error of the transport into ours, in place. Returns false. */
bool client_transport_error(HostlerClient *client, GError **error);
/* Sets the error that a refusing reply (status 400 and up) carries. Returns false. */
bool client_problem(guint status, const char *body, GError **error);

/* True when somebody accepts connections on @path. */
bool daemon_answers(const char *path);
/* Starts hostlerd in the background on these locations and waits, at most five seconds, until it answers. */
bool daemon_start(const Locations *locations, GError **error);
