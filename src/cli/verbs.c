/*
 * The commands there are, verbs of the daemon and the command line's own, all declared. Called by the parser, help and
 * completion.
 */
#include "cli/verbs.h"

#include <string.h>

const CliVerb *cli_verb_next(const CliVerb *previous)
{
        const CliVerb *next = previous ? previous + 1 : hostler_cli_verbs;
        const CliVerb *last_command = hostler_cli_commands;

        if (next->verb)
                return next;
        while (last_command[1].verb)
                last_command++;
        return previous == last_command ? NULL : hostler_cli_commands;
}

static const CliAlias *find_alias(const CliVerb *verb, const char *name)
{
        for (const CliAlias *alias = verb->aliases; alias->name; alias++)
                if (g_str_equal(alias->name, name))
                        return alias;
        return NULL;
}

const CliVerb *cli_verb_find(const char *noun, const char *name, const CliAlias **ret_alias)
{
        for (const CliVerb *verb = NULL; (verb = cli_verb_next(verb));) {
                const CliAlias *alias = find_alias(verb, name);

                if (!g_str_equal(verb->verb->noun, noun) || (!alias && !g_str_equal(verb->verb->name, name)))
                        continue;
                if (ret_alias)
                        *ret_alias = alias;
                return verb;
        }
        return NULL;
}

const CliNoun *cli_noun_find(const char *name)
{
        for (const CliNoun *noun = hostler_cli_nouns; noun->name; noun++)
                if (g_str_equal(noun->name, name) || g_str_equal(noun->plural, name))
                        return noun;
        return NULL;
}

const CliNoun *cli_silent_noun(void)
{
        const CliNoun *noun = hostler_cli_nouns;

        while (!noun->silent)
                noun++;
        return noun;
}

const CliVerb *cli_only_verb(const CliNoun *noun)
{
        const CliVerb *only = NULL;

        for (const CliVerb *verb = NULL; (verb = cli_verb_next(verb));) {
                if (!g_str_equal(verb->verb->noun, noun->name))
                        continue;
                if (only)
                        return NULL;
                only = verb;
        }
        return only;
}

char *cli_verb_title(const CliVerb *verb)
{
        const CliNoun *noun = cli_noun_find(verb->verb->noun);

        if (noun->silent)
                return g_strdup(verb->verb->name);
        if (cli_only_verb(noun))
                return g_strdup(noun->name);
        return g_strdup_printf("%s %s", noun->name, verb->verb->name);
}

static void append_word(GString *usage, const CliVerb *verb, const CliArg *arg)
{
        bool required = arg->field->flags & FIELD_REQUIRED;
        g_autofree char *name = g_ascii_strup(arg->name, -1);

        if (arg->form == CLI_ASSIGNMENTS)
                g_string_append(usage, required ? "PROP=VALUE… " : "[PROP=VALUE…] ");
        else if (arg->form == CLI_REST)
                g_string_append_printf(usage, required ? "[--] %s… " : "[%s…] ", name);
        else if (arg->form == CLI_POSITIONAL)
                g_string_append_printf(usage, required ? "%s%s " : "[%s%s] ", name,
                                       verb->many && arg == verb->args ? "…" : "");
        else if (required && arg->form == CLI_FLAG)
                g_string_append_printf(usage, "--%s %s ", arg->name, name);
}

char *cli_verb_usage(const CliVerb *verb)
{
        g_autofree char *title = cli_verb_title(verb);
        GString *usage = g_string_new(NULL);

        g_string_append_printf(usage, "hostler %s ", title);
        for (const CliArg *arg = verb->args; arg->name; arg++)
                append_word(usage, verb, arg);
        g_string_append(usage, "[flags]");
        return g_string_free(usage, false);
}
