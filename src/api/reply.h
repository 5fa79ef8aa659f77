/*
 * What is sent back: a status, a few headers and a text, built on any thread and sent on the main loop.
 */
#pragma once

#include <libsoup/soup.h>
#include <stdbool.h>

#include "base/declare.h"

typedef struct {
        guint status;
        const char *type; /* content type, static */
        char *body;       /* NULL: none */
        gsize length;
        char *etag, *location, *allow; /* header values or NULL */
} Reply;
void reply_clear(Reply *reply);

/* Any text; @body_taken. */
Reply reply_text(guint status, const char *type, char *body_taken);
/* JSON, freed. */
Reply reply_json(guint status, json_t *json_taken);
/*
 * A result struct as @decl declares it: a record, a list (as a JSON array), or nothing (204). A record with a
 * generation gets it as its strong ETag. @result: struct of decl->result, or of its list; borrowed.
 */
Reply reply_result(const VerbDecl *decl, const void *result);
/* RFC 9457 problem document with the error's declared status; @status overrides it unless 0 (405 has no error of its
 * own). */
Reply reply_problem(const GError *error, guint status);
/* Fills @message, which soup then writes. Clears @reply. */
void reply_send(Reply *reply, SoupServerMessage *message);
/* The whole HTTP response as bytes for a connection that is closed after it. */
char *reply_raw(const Reply *reply);

/* Bytes that a result struct of @decl takes; 0 without a result. */
size_t result_size(const VerbDecl *decl);
void result_clear(const VerbDecl *decl, void *result);
