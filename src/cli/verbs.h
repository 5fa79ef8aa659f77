/* The commands there are: declared ones, and the few that are the command line's own. Static data, any thread. */
#pragma once

#include "base/cli_decl.h"

/* Steps through all; NULL begins and ends. */
const CliVerb *cli_verb_next(const CliVerb *previous);
/* By noun and name or alias; *@ret_alias (may be NULL) is the alias by which it was found, or NULL. NULL when there is
 * none. */
const CliVerb *cli_verb_find(const char *noun, const char *name, const CliAlias **ret_alias);
const CliNoun *cli_noun_find(const char *name); /* by singular or plural */
const CliNoun *cli_silent_noun(void);
/* The noun's only verb, or NULL when it has several. */
const CliVerb *cli_only_verb(const CliNoun *noun);
/* "disk add", or "start" for the silent noun. Caller frees. */
char *cli_verb_title(const CliVerb *verb);
/* "VM [PROP=VALUE…] [flags]" of a verb's usage line. Caller frees. */
char *cli_verb_usage(const CliVerb *verb);
