/*
 * The commands there are. What the daemon does is declared beside its code; `cp` is made of other verbs, `help`,
 * `version` and the hidden `complete` ask nobody. Called by the parser, help and completion.
 */
#include "cli/verbs.h"

#include <string.h>

#define WORD(field_name, requirement, text)                                                                            \
        {                                                                                                              \
                .name = field_name, .type = FIELD_STRING, .flags = requirement, .min = 1, .max = 4096, .doc = text     \
        }
#define WORDS(field_name, text)                                                                                        \
        {                                                                                                              \
                .name = field_name, .type = FIELD_LIST_STRING, .min = 0, .max = 64, .doc = text                        \
        }

static const Field cp_fields[] = {
    WORD("from", FIELD_REQUIRED, "File to copy: VM:PATH in a guest, PATH here, or - for standard input."),
    WORD("to", FIELD_REQUIRED,
         "Where to: VM:PATH in a guest, PATH here (a folder keeps the name), or - for standard output."),
};
static const Field help_fields[] = {WORDS("topic", "A verb, a noun, or `properties` with a kind of part.")};
static const Field complete_fields[] = {WORDS("kind", "What to list, and of which object.")};
static const RecordType cp_args = {"cp_args", "", 0, cp_fields, G_N_ELEMENTS(cp_fields)};
static const RecordType help_args = {"help_args", "", 0, help_fields, G_N_ELEMENTS(help_fields)};
static const RecordType complete_args = {"complete_args", "", 0, complete_fields, G_N_ELEMENTS(complete_fields)};
static const RecordType version_args = {"version_args", "", 0, NULL, 0};

static const VerbDecl own_decls[] = {
    {.id = "vm.cp",
     .noun = "vm",
     .name = "cp",
     .args = &cp_args,
     .summary = "Copy a file into or out of a guest",
     .doc = "Copies one file through the guest agent. Exactly one side is in a guest."},
    {.id = "vm.help",
     .noun = "vm",
     .name = "help",
     .args = &help_args,
     .summary = "Explain a verb, a noun or the properties",
     .doc = "`hostler help`, `hostler help start`, `hostler help properties nic`."},
    {.id = "vm.version",
     .noun = "vm",
     .name = "version",
     .args = &version_args,
     .summary = "Print the version",
     .doc = "Of this program; the daemon's own is in its start event."},
    {.id = "vm.complete", .noun = "vm", .name = "complete", .args = &complete_args, .summary = "", .doc = ""},
};

static const CliArg cp_words[] = {
    {.name = "from", .form = CLI_POSITIONAL, .field = &cp_fields[0], .complete = "file"},
    {.name = "to", .form = CLI_POSITIONAL, .field = &cp_fields[1], .complete = "file"},
    {.name = NULL},
};
static const CliArg help_words[] = {{.name = "topic", .form = CLI_REST, .field = &help_fields[0]}, {.name = NULL}};
static const CliArg complete_words[] = {{.name = "kind", .form = CLI_REST, .field = &complete_fields[0]},
                                        {.name = NULL}};
static const CliArg no_words[] = {{.name = NULL}};
static const CliAlias no_aliases[] = {{.name = NULL}};
static const char *const nothing[] = {NULL};
static const char *const cp_examples[] = {"hostler cp web1:/etc/os-release .",
                                          "hostler cp site.conf web1:/etc/site.conf", NULL};

static const CliVerb own_verbs[] = {
    {&own_decls[0], "cp", false, cp_words, no_aliases, nothing, cp_examples},
    {&own_decls[1], "help", false, help_words, no_aliases, nothing, nothing},
    {&own_decls[2], "version", false, no_words, no_aliases, nothing, nothing},
    {&own_decls[3], "complete", false, complete_words, no_aliases, nothing, nothing},
    {.verb = NULL},
};

const CliVerb *cli_verb_next(const CliVerb *previous)
{
        const CliVerb *next = previous ? previous + 1 : hostler_cli_verbs;

        if (next->verb)
                return next;
        return next >= own_verbs && next < own_verbs + G_N_ELEMENTS(own_verbs) ? NULL : own_verbs;
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

bool cli_verb_is_hidden(const CliVerb *verb)
{
        return !*verb->verb->summary;
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
