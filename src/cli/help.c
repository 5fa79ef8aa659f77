/*
 * Help, made of the declarations: an overview, a verb, a noun. Nothing here is written by hand but headings. Kinds of
 * devices and their properties are help_kind.c's.
 */
#include <string.h>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/table.h"
#include "cli/verbs.h"

static void help_overview(GString *out);
static void help_noun(const CliNoun *noun, GString *out);
static void help_verb(const CliVerb *verb, GString *out);

static bool help_topic(const Invocation *invocation, GString *out, GError **error);

bool command_help(Cli *cli, const Invocation *invocation, GError **error)
{
        bool asked_by_flag = invocation->options.help;
        g_autoptr(GString) out = g_string_new(NULL);

        if (asked_by_flag && invocation->verb)
                help_verb(invocation->verb, out);
        else if (asked_by_flag && invocation->noun)
                help_noun(invocation->noun, out);
        else if (asked_by_flag || !invocation->words)
                help_overview(out);
        else if (!help_topic(invocation, out, error))
                return false;
        return cli_print(out, error);
}

bool command_version(Cli *cli, const Invocation *invocation, GError **error)
{
        g_autoptr(GString) out = g_string_new("hostler " HOSTLER_VERSION "\n");

        return cli_print(out, error);
}

void help_append_rows(GString *out, const char *heading, const GPtrArray *cells, guint n_columns)
{
        const TableLayout layout = {n_columns, NULL, NULL, false};
        g_autoptr(GString) table = g_string_new(NULL);
        g_auto(GStrv) lines = NULL;

        if (!cells->len)
                return;
        table_print(&layout, cells, table);
        g_string_append_printf(out, "\n%s\n", heading);
        lines = g_strsplit(table->str, "\n", -1);
        for (guint i = 0; lines[i] && *lines[i]; i++)
                g_string_append_printf(out, "  %s\n", lines[i]);
}

static GPtrArray *noun_rows(const CliNoun *noun)
{
        GPtrArray *rows = g_ptr_array_new_with_free_func(g_free);

        for (const CliVerb *verb = NULL; (verb = cli_verb_next(verb));) {
                if (!g_str_equal(verb->verb->noun, noun->name) || verb->hidden)
                        continue;
                g_ptr_array_add(rows, cli_verb_title(verb));
                g_ptr_array_add(rows, g_strdup(verb->verb->summary));
        }
        return rows;
}

static void append_noun(const CliNoun *noun, const char *heading, GString *out)
{
        g_autoptr(GPtrArray) rows = noun_rows(noun);

        help_append_rows(out, heading, rows, 2);
}

static void append_globals(GString *out)
{
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);

        for (const CliFlag *flag = hostler_cli_flags; flag->name; flag++) {
                bool optional = g_str_equal(flag->name, "wait");
                g_autofree char *name = flag->short_name ? g_strdup_printf("-%c, --%s", flag->short_name, flag->name)
                                                         : g_strdup_printf("    --%s", flag->name);

                g_ptr_array_add(rows, g_strdup_printf("%s%s%s%s", name, flag->value ? optional ? "[=" : " " : "",
                                                      flag->value ? flag->value : "", optional ? "]" : ""));
                g_ptr_array_add(rows, g_strdup(flag->doc));
        }
        help_append_rows(out, "Flags of every command:", rows, 2);
}

static void help_overview(GString *out)
{
        g_string_append(out, "hostler runs and looks after virtual machines.\n\n"
                             "Usage: hostler [NOUN] VERB [NAME…] [flags]\n");
        append_noun(cli_silent_noun(), "Virtual machines:", out);
        for (const CliNoun *noun = hostler_cli_nouns; noun->name; noun++) {
                g_autofree char *heading = g_strdup_printf("%c%s:", g_ascii_toupper(*noun->plural), noun->plural + 1);

                if (!noun->silent)
                        append_noun(noun, heading, out);
        }
        append_globals(out);
        g_string_append(out, "\nMore: hostler help VERB, hostler help devices, hostler help properties\n");
}

static void help_noun(const CliNoun *noun, GString *out)
{
        g_string_append_printf(out, "%s\n", noun->doc);
        append_noun(noun, "Verbs:", out);
}

const char *help_value_word(const Field *field)
{
        switch (field->type) {
        case FIELD_SIZE:
                return "SIZE";
        case FIELD_DURATION:
                return "TIME";
        case FIELD_INT:
        case FIELD_REAL:
                return "N";
        case FIELD_PATH:
                return "PATH";
        case FIELD_NAME:
                return "NAME";
        case FIELD_BOOL:
                return "on|off";
        case FIELD_LIST_STRING:
                return "LIST";
        default:
                return "TEXT";
        }
}

char *help_default_text(const Field *field)
{
        json_auto_t *value = field->default_value ? json_loads(field->default_value, JSON_DECODE_ANY, NULL) : NULL;

        if (!value || json_is_false(value))
                return NULL;
        if (json_is_true(value))
                return g_strdup("on");
        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        if (field->type == FIELD_SIZE)
                return size_format(json_integer_value(value));
        if (field->type == FIELD_DURATION)
                return duration_format(json_integer_value(value));
        return g_strdup(field->default_value);
}

char *help_enum_text(const Field *field)
{
        return g_strjoinv("|", (char **)field->values->values + 1);
}

static char *flag_title(const CliArg *arg)
{
        g_autofree char *values = arg->field->type == FIELD_ENUM ? help_enum_text(arg->field) : NULL;
        g_autofree char *name = arg->short_name ? g_strdup_printf("-%c, --%s", arg->short_name, arg->name)
                                                : g_strdup_printf("    --%s", arg->name);

        if (arg->form == CLI_SWITCH)
                return g_steal_pointer(&name);
        return g_strdup_printf("%s %s", name, arg->from_file ? "FILE" : values ? values : help_value_word(arg->field));
}

static char *arg_doc(const CliArg *arg)
{
        g_autofree char *preset = help_default_text(arg->field);
        bool stated = preset && arg->form != CLI_SWITCH;

        return g_strdup_printf("%s%s%s%s", arg->field->doc, stated ? " Default: " : "", stated ? preset : "",
                               stated ? "." : "");
}

static void append_arguments(const CliVerb *verb, GString *out)
{
        g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) flags = g_ptr_array_new_with_free_func(g_free);

        for (const CliArg *arg = verb->args; arg->name; arg++) {
                bool flag = arg->form == CLI_FLAG || arg->form == CLI_SWITCH;
                g_autofree char *values = !flag && arg->field->type == FIELD_ENUM ? help_enum_text(arg->field) : NULL;
                g_autofree char *upper = g_ascii_strup(arg->name, -1);

                g_ptr_array_add(flag ? flags : words, flag ? flag_title(arg)
                                                      : arg->form == CLI_ASSIGNMENTS
                                                          ? g_strdup("PROP=VALUE")
                                                          : g_strdup(values ? values : upper));
                g_ptr_array_add(flag ? flags : words, arg_doc(arg));
        }
        help_append_rows(out, "Arguments:", words, 2);
        help_append_rows(out, "Flags:", flags, 2);
}

static void help_verb(const CliVerb *verb, GString *out)
{
        g_autofree char *usage = cli_verb_usage(verb);

        g_string_append_printf(out, "%s.\n\nUsage: %s\n\n%s\n", verb->verb->summary, usage, verb->verb->doc);
        append_arguments(verb, out);
        if (verb->aliases->name)
                g_string_append(out, "\nOther names:\n");
        for (const CliAlias *alias = verb->aliases; alias->name; alias++)
                g_string_append_printf(out, "  hostler %s\n", alias->name);
        if (*verb->examples)
                g_string_append(out, "\nExamples:\n");
        for (const char *const *example = verb->examples; *example; example++)
                g_string_append_printf(out, "  %s\n", *example);
        g_string_append(out, "\nFlags of every command: hostler help\n");
}

static bool help_topic(const Invocation *invocation, GString *out, GError **error)
{
        const char *first = invocation->words[0];
        const char *second = invocation->words[1];
        const CliNoun *noun = cli_noun_find(first);
        const CliVerb *verb =
            cli_verb_find(noun && second ? noun->name : cli_silent_noun()->name, noun && second ? second : first, NULL);

        const KindDecl *kind = second ? NULL : kind_by_word(first);

        if (g_str_equal(first, "properties"))
                return help_properties(second, out, error);
        if (g_str_equal(first, "devices") && !second) {
                help_devices(out);
                return true;
        }
        if (noun && !second && cli_only_verb(noun))
                verb = cli_only_verb(noun);
        if (verb)
                help_verb(verb, out);
        else if (noun && !second)
                help_noun(noun, out);
        if (kind && (verb || noun))
                g_string_append_c(out, '\n');
        if (kind)
                help_kind(kind, out);
        if (!verb && !kind && !(noun && !second)) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "there is no help on %s%s%s", first, second ? " " : "",
                          second ? second : "");
                return error_hint(error, "hostler help");
        }
        return true;
}
