/*
 * From the text of a request to a verb's checked arguments. Knows no HTTP library; pure, any thread.
 *
 * GET and DELETE take their arguments from the query string, the other methods from a JSON object in the body; what a
 * path names comes from the path alone. Beside the arguments a request may carry `?dryRun=true` and Idempotency-Key
 * (jobs only) and If-Match (verbs with an argument `generation` only, RFC 9110 section 13.1.1 with a strong tag). What
 * a verb cannot honour is refused.
 */
#pragma once

#include <stdbool.h>

#include "api/route.h"

#define REQUEST_BODY_LIMIT (1024 * 1024) /* bytes */
#define REQUEST_DEPTH_LIMIT 32           /* of nested arrays and objects */
#define REQUEST_QUERY_LIMIT 64           /* parameters */
#define REQUEST_KEY_LIMIT 255            /* bytes of an Idempotency-Key, printable ASCII */

/* The request as it came. All borrowed; each may be NULL but the method. */
typedef struct {
        const char *method, *query, *content_type, *if_match, *idempotency_key;
        const char *body;
        gsize body_length;
} RequestText;

typedef struct {
        void *args; /* struct of decl->args, NULL if the verb has none */
        char *key;  /* idempotency key or NULL */
        bool dry_run;
} Request;
void request_clear(const VerbDecl *decl, Request *request);

/*
 * HOSTLER_ERROR_USAGE: not JSON, not UTF-8, duplicate keys, malformed query or header. HOSTLER_ERROR_TOO_LARGE: over a
 * limit above. HOSTLER_ERROR_INVALID: every fault of the arguments with its JSON pointer. On error @ret_request holds
 * nothing.
 */
bool request_read(const Route *route, const RequestText *text, Request *ret_request, GError **error);
/* The body's JSON object alone; an empty body is {}. Owned by the caller. */
json_t *request_body(const char *body, gsize length, GError **error);
