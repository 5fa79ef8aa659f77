/*
 * The one error: GError in one domain whose codes are declared in src/base/errors.toml with HTTP status, CLI exit code
 * and title.
 *
 * Beyond GError's message (what was being done, to what, and why it failed) an error carries the object it is about
 * ("vm/web1"), causes (JSON pointer and sentence each) and a hint (the next command to run). Any thread.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "hostler-errors.h" /* generated: HostlerErrorCode HOSTLER_ERROR_…, error_decls[] */

#define HOSTLER_ERROR (hostler_error_quark())
GQuark hostler_error_quark(void);

typedef struct {
        HostlerErrorCode code;
        const char *name; /* "not-found": the `code` of the problem document */
        int http_status;
        int exit_code;
        const char *title;
        const char *doc;
} ErrorDecl;
extern const ErrorDecl error_decls[];
const ErrorDecl *error_decl(HostlerErrorCode code);
const ErrorDecl *error_decl_of(const GError *error); /* foreign domains count as HOSTLER_ERROR_FAILED */

/* Sets *@error (which may be NULL). @object may be NULL. Always returns false, so that `return error_set(…)` reads
 * well. */
bool error_set(GError **error, HostlerErrorCode code, const char *object, const char *format, ...) G_GNUC_PRINTF(4, 5);
/* Adds the next thing to do. No-op on NULL. Returns false. */
bool error_hint(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Adds a cause; @pointer is a JSON pointer or NULL. No-op on NULL. */
void error_cause(GError **error, const char *pointer, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Turns any error into HOSTLER_ERROR @code about @object, keeping its text after "@format: ". Returns false. */
bool error_wrap(GError **error, HostlerErrorCode code, const char *object, const char *format, ...) G_GNUC_PRINTF(4, 5);
/* A word for the code that called, never shown (QEMU's class of a refusal); kept by error_wrap(). No-op on NULL. NULL
 * when there is none. */
void error_set_tag(GError **error, const char *tag);
const char *error_tag(const GError *error);
bool error_is(const GError *error, HostlerErrorCode code);
const char *error_object(const GError *error);

/* RFC 9457 problem document {type,title,status,code,detail,object,causes,hint} and back. Owned by the caller. */
json_t *error_to_json(const GError *error);
GError *error_from_json(const json_t *problem);
