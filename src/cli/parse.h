/*
 * From words to an Invocation: `hostler [NOUN] VERB [ARGUMENTS]`, by the declared table (base/cli_decl.h). Pure but for
 * the files that arguments name.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/cli_decl.h"

typedef enum { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME } OutputFormat;

/* What every command understands. */
typedef struct {
        char *socket, *state; /* NULL: by the rule of base/locations.h */
        OutputFormat format;
        char **columns;     /* NULL: the declared ones */
        char *wait_for;     /* "running", "agent", "ip" or NULL: the end of the job is enough */
        int64_t timeout_ms; /* of waiting; 0: none */
        bool no_headers, watch, dry_run, yes, detach, help, version;
} Options;

typedef struct {
        Options options;
        const CliNoun *noun; /* what was named, even when no verb was; NULL: none */
        const CliVerb *verb; /* NULL: only help or the version is wanted */
        char **words;        /* of the verb's CLI_REST argument, as written; NULL: none */
        char **names;        /* a `many` verb's targets: one call each; NULL: not such a verb */
        json_t *args;        /* of the call, but for the target of a `many` verb */
        json_t *local;       /* arguments that only the command line acts on */
} Invocation;

/*
 * @words: without the program's name, NULL-terminated. HOSTLER_ERROR_USAGE with near names when they make no sense,
 * HOSTLER_ERROR_INVALID when a value is wrong. @ret_invocation->options holds what was understood even then (for how
 * the error is shown).
 */
bool parse_words(const char *const *words, Invocation *ret_invocation, GError **error);
void invocation_clear(Invocation *invocation);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Invocation, invocation_clear)

/* The name of the argument that a `many` verb's targets are: "vm". */
const char *cli_target_name(const CliVerb *verb);
