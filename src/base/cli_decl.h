/*
 * Declared commands: the table that the command line parses, completes and helps by. Static data made by
 * tools/declare.py.
 *
 * `hostler [NOUN] VERB [ARGUMENTS]`: a verb is found by its noun and its name or alias; the silent noun need not be
 * written. What a word becomes is said by its argument's field: field_parse_text(arg->field, word) gives the JSON value
 * for arguments[arg->field->name] of hostler_call(client, verb->verb->id, …).
 */
#pragma once

#include "base/declare.h"

typedef enum {
        CLI_POSITIONAL, /* one word */
        CLI_REST,       /* all remaining words, each an element of the list; after `--` if they may begin with a dash */
        CLI_ASSIGNMENTS, /* every remaining PROP=VALUE word; their patches are merged (spec_patch_from_assignment) */
        CLI_SWITCH,      /* --name: true */
        CLI_FLAG,        /* --name VALUE or --name=VALUE; a list takes commas, or the flag again */
} CliForm;

typedef struct {
        const char *name; /* as written: "to-ram"; of positional ones what help calls them */
        CliForm form;
        char short_name;      /* 'y' for -y; 0: none */
        const Field *field;   /* type, range, enum values, default, doc, FIELD_REQUIRED; for client_only ones its offset
                                 means nothing */
        bool client_only;     /* not in the request: the command itself acts on it */
        bool from_file;       /* the word is a file's path, its text is the value; "-": standard input */
        const char *complete; /* NULL: nothing (enums: field->values); else KIND of `hostler complete KIND`: vm trash
                                 disk device kind model setting image job property snapshot; "file": a path here */
} CliArg;

/* Another name of a verb, with arguments preset. */
typedef struct {
        const char *name;   /* "power-off" */
        const char *preset; /* JSON object merged under the arguments: "{\"hard\": true}" */
} CliAlias;

typedef struct {
        const VerbDecl *verb;    /* its noun, name, args, result, summary, doc */
        const char *command;     /* NULL: the generic command; else the name of a hand-written one ("console") */
        bool many;               /* the first positional argument may be given several times: one call each */
        const CliArg *args;      /* positional ones in order, then flags; ends with name NULL */
        const CliAlias *aliases; /* ends with name NULL */
        /* Of the result, for tables: "status.cpus|spec.cpu.count" is the first that is there; a list on the way: all,
         * comma-separated. */
        const char *const *columns;  /* NULL-terminated; empty: every scalar field */
        const char *const *examples; /* NULL-terminated */
        bool hidden;                 /* not shown by help and completion */
} CliVerb;
/* Ends with verb NULL. Verbs that have no command (they are parts of others) are not in it. */
extern const CliVerb hostler_cli_verbs[];
/* The same for the command line's own commands (cp, help): their verbs have no method and no path. Ends with verb NULL.
 */
extern const CliVerb hostler_cli_commands[];

/* A flag of every command. */
typedef struct {
        const char *name;  /* "no-headers" */
        char short_name;   /* 0: none */
        const char *value; /* what help calls its value; NULL: it has none */
        const char *doc;
} CliFlag;
extern const CliFlag hostler_cli_flags[]; /* ends with name NULL */

typedef struct {
        const char *name, *plural;
        const char *parent; /* NULL or the noun that its verbs name first: `hostler disk add VM …` */
        bool silent;
        const char *doc;
} CliNoun;
extern const CliNoun hostler_cli_nouns[]; /* ends with name NULL */
