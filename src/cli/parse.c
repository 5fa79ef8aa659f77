/*
 * The parser of the command line. Knows the forms of arguments and the flags of every command; what verbs there are and
 * what they take is declared. Called by main.c and, for what is typed so far, complete.c.
 */
#include "cli/parse.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/record.h"
#include "base/units.h"
#include "cli/verbs.h"

enum { FILE_LIMIT_BYTES = 1 << 20 };

typedef struct {
        const char *const *word; /* the next one */
        Invocation *to;
        const CliAlias *alias;
        const CliArg *positional; /* the next to fill */
        GPtrArray *names, *rest;
        GPtrArray *faults; /* of PROP=VALUE words: all are looked at before any is complained of */
        bool literal;      /* after `--`: words are never flags */
} Parser;

static bool parse_flag(Parser *parser, const char *word, GError **error);
static bool parse_noun_or_verb(Parser *parser, const char *word, GError **error);
static bool parse_argument(Parser *parser, const char *word, GError **error);
static bool check_complete(Parser *parser, GError **error);
static bool usage_error(const Invocation *to, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

bool parse_words(const char *const *words, Invocation *ret_invocation, GError **error)
{
        *ret_invocation = (Invocation){.args = json_object(), .local = json_object()};
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) rest = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) faults = faults_new();
        Parser parser = {.word = words, .to = ret_invocation, .names = names, .rest = rest, .faults = faults};

        while (*parser.word) {
                const char *word = *parser.word++;
                bool flag = word[0] == '-' && word[1] && !parser.literal;
                bool understood;

                if (flag && g_str_equal(word, "--")) {
                        parser.literal = true;
                        continue;
                }
                if (flag)
                        understood = parse_flag(&parser, word, error);
                else if (!ret_invocation->verb)
                        understood = parse_noun_or_verb(&parser, word, error);
                else
                        understood = parse_argument(&parser, word, error);
                if (!understood)
                        return false;
        }
        if (!faults_check(faults, NULL, error))
                return error_hint(error, "hostler help properties");
        return check_complete(&parser, error);
}

void invocation_clear(Invocation *invocation)
{
        g_free(invocation->options.socket);
        g_free(invocation->options.state);
        g_free(invocation->options.wait_for);
        g_strfreev(invocation->options.columns);
        g_strfreev(invocation->words);
        g_strfreev(invocation->names);
        json_decref(invocation->args);
        json_decref(invocation->local);
        *invocation = (Invocation){0};
}

const char *cli_target_name(const CliVerb *verb)
{
        return verb->args->field->name;
}

/* ---- nouns and verbs ---- */

static char **verb_names(const char *noun)
{
        GPtrArray *names = g_ptr_array_new();

        for (const CliVerb *verb = NULL; (verb = cli_verb_next(verb));) {
                if (!g_str_equal(verb->verb->noun, noun) || verb->hidden)
                        continue;
                g_ptr_array_add(names, g_strdup(verb->verb->name));
                for (const CliAlias *alias = verb->aliases; alias->name; alias++)
                        g_ptr_array_add(names, g_strdup(alias->name));
        }
        for (const CliNoun *other = hostler_cli_nouns; g_str_equal(noun, cli_silent_noun()->name) && other->name;
             other++)
                g_ptr_array_add(names, g_strdup(other->name));
        g_ptr_array_add(names, NULL);
        return (char **)g_ptr_array_free(names, false);
}

static bool hint_near(GError **error, const char *word, const char *const *candidates)
{
        g_auto(GStrv) near = names_near(word, candidates);

        if (!*near)
                return error_hint(error, "hostler help");
        g_autofree char *listed = g_strjoinv(", ", near);
        return error_hint(error, "did you mean %s?", listed);
}

/* What is meant by `nic add`, and else what there is. */
static bool hint_verbs(GError **error, const char *noun, const char *word, char **names)
{
        g_auto(GStrv) near = names_near(word, (const char *const *)names);

        if (*near)
                return hint_near(error, word, (const char *const *)names);
        if (kind_find(noun) && cli_verb_find("device", word, NULL))
                return error_hint(error, "`hostler device %s` is for all kinds of devices", word);
        g_autofree char *listed = g_strjoinv(", ", names);
        return error_hint(error, "%s has: %s", noun, listed);
}

static bool choose_verb(Parser *parser, const char *noun, const char *word, GError **error)
{
        parser->to->verb = cli_verb_find(noun, word, &parser->alias);
        if (parser->to->verb) {
                parser->positional = parser->to->verb->args;
                return true;
        }
        g_auto(GStrv) names = verb_names(noun);
        if (parser->to->noun) {
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s has no verb %s", noun, word);
                return hint_verbs(error, noun, word, names);
        }
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "there is no verb or noun %s", word);
        return hint_near(error, word, (const char *const *)names);
}

static bool parse_noun_or_verb(Parser *parser, const char *word, GError **error)
{
        const CliNoun *silent = cli_silent_noun();

        if (parser->to->noun)
                return choose_verb(parser, parser->to->noun->name, word, error);
        const CliNoun *noun = cli_noun_find(word);
        if (!noun || cli_verb_find(silent->name, word, NULL))
                return choose_verb(parser, silent->name, word, error);

        parser->to->noun = noun;
        const CliVerb *only = cli_only_verb(noun);
        bool named = only && *parser->word && g_str_equal(*parser->word, only->verb->name);
        return !only || named || choose_verb(parser, noun->name, only->verb->name, error);
}

/* ---- flags ---- */

/* "name" of "--name=value", the value or NULL in @ret_value. */
static char *split_flag(const char *word, const char **ret_value)
{
        const char *name = word + strspn(word, "-");
        const char *equals = strchr(name, '=');

        *ret_value = equals ? equals + 1 : NULL;
        return g_strndup(name, equals ? (gsize)(equals - name) : strlen(name));
}

static const CliArg *find_arg(const CliVerb *verb, const char *word, const char *name)
{
        bool is_long = g_str_has_prefix(word, "--");

        for (const CliArg *arg = verb ? verb->args : NULL; arg && arg->name; arg++) {
                if (arg->form != CLI_SWITCH && arg->form != CLI_FLAG)
                        continue;
                if (is_long ? g_str_equal(arg->name, name) : arg->short_name && name[0] == arg->short_name && !name[1])
                        return arg;
        }
        return NULL;
}

static const CliFlag *find_global(const char *word, const char *name)
{
        bool is_long = g_str_has_prefix(word, "--");

        for (const CliFlag *flag = hostler_cli_flags; flag->name; flag++)
                if (is_long ? g_str_equal(flag->name, name)
                            : flag->short_name && name[0] == flag->short_name && !name[1])
                        return flag;
        return NULL;
}

static bool take_value(Parser *parser, const char *flag, const char **value, GError **error)
{
        if (!*value && *parser->word)
                *value = *parser->word++;
        return *value || usage_error(parser->to, error, "%s needs a value", flag);
}

static bool read_value_file(const char *path, char **ret_text, GError **error)
{
        const char *file = g_str_equal(path, "-") ? "/dev/stdin" : path;

        *ret_text = file_read(file, FILE_LIMIT_BYTES, NULL, error);
        return *ret_text;
}

static bool wrong_value(const CliArg *arg, GError **error)
{
        g_autofree char *upper = g_ascii_strup(arg->name, -1);
        bool flag = arg->form == CLI_FLAG || arg->form == CLI_SWITCH;

        return error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s%s", flag ? "--" : "", flag ? arg->name : upper);
}

static bool store_value(Parser *parser, const CliArg *arg, const char *text, GError **error)
{
        json_t *target = arg->client_only ? parser->to->local : parser->to->args;
        const char *name = arg->field->name;
        g_autofree char *file = NULL;
        json_t *value;

        if (arg->from_file) {
                if (!read_value_file(text, &file, error))
                        return false;
                value = json_string(file);
        } else {
                value = field_parse_text(arg->field, text, error);
        }
        if (!value) {
                if (file)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not UTF-8 text", text);
                return wrong_value(arg, error);
        }
        json_t *earlier = json_object_get(target, name);
        if (json_is_array(earlier) && json_is_array(value)) {
                json_array_extend(earlier, value);
                json_decref(value);
                return true;
        }
        json_object_set_new(target, name, value);
        return true;
}

static bool parse_verb_flag(Parser *parser, const CliArg *arg, const char *word, const char *value, GError **error)
{
        if (arg->form == CLI_SWITCH && !value)
                value = "on";
        return take_value(parser, word, &value, error) && store_value(parser, arg, value, error);
}

static bool set_format(Options *options, const char *value, GError **error)
{
        static const char *const formats[] = {"table", "json", "yaml", "name", NULL};

        for (int i = 0; formats[i]; i++) {
                if (!g_str_equal(formats[i], value))
                        continue;
                options->format = (OutputFormat)i;
                return true;
        }
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "there is no output format %s", value);
        return error_hint(error, "formats: table, json, yaml, name");
}

/* `--wait ip` and `--wait=ip`; any other word after it is an argument. */
static bool set_wait(Parser *parser, const char *value, GError **error)
{
        static const char *const states[] = {"running", "agent", "ip", NULL};
        bool follows = !value && *parser->word && g_strv_contains(states, *parser->word);

        if (follows)
                value = *parser->word++;
        if (value && !g_strv_contains(states, value))
                return usage_error(parser->to, error, "--wait knows running, agent and ip, not %s", value);
        g_free(parser->to->options.wait_for);
        parser->to->options.wait_for = g_strdup(value);
        return true;
}

static void set_text(char **option, const char *value)
{
        g_free(*option);
        *option = g_strdup(value);
}

static bool set_global_value(Parser *parser, const CliFlag *flag, const char *value, GError **error)
{
        Options *options = &parser->to->options;

        if (flag->short_name == 'o')
                return set_format(options, value, error);
        if (g_str_equal(flag->name, "timeout"))
                return (duration_parse(value, &options->timeout_ms) && options->timeout_ms > 0) ||
                       usage_error(parser->to, error, "--timeout is a time such as 90s or 2h, not %s", value);
        if (g_str_equal(flag->name, "socket"))
                set_text(&options->socket, value);
        else if (g_str_equal(flag->name, "state"))
                set_text(&options->state, value);
        else {
                g_strfreev(options->columns);
                options->columns = g_strsplit(value, ",", -1);
        }
        return true;
}

static bool parse_global_flag(Parser *parser, const CliFlag *flag, const char *word, const char *value, GError **error)
{
        Options *options = &parser->to->options;
        struct {
                const char *name;
                bool *option;
        } switches[] = {
            {"no-headers", &options->no_headers}, {"watch", &options->watch}, {"dry-run", &options->dry_run},
            {"detach", &options->detach},         {"yes", &options->yes},     {"help", &options->help},
            {"version", &options->version},
        };

        if (g_str_equal(flag->name, "wait"))
                return set_wait(parser, value, error);
        if (flag->value)
                return take_value(parser, word, &value, error) && set_global_value(parser, flag, value, error);
        for (gsize i = 0; i < G_N_ELEMENTS(switches); i++)
                if (g_str_equal(switches[i].name, flag->name))
                        *switches[i].option = true;
        return !value || usage_error(parser->to, error, "--%s takes no value", flag->name);
}

static bool unknown_flag(Parser *parser, const char *word, const char *name, GError **error)
{
        g_autoptr(GPtrArray) known = g_ptr_array_new();

        for (const CliArg *arg = parser->to->verb ? parser->to->verb->args : NULL; arg && arg->name; arg++)
                if (arg->form == CLI_SWITCH || arg->form == CLI_FLAG)
                        g_ptr_array_add(known, (char *)arg->name);
        for (const CliFlag *flag = hostler_cli_flags; flag->name; flag++)
                g_ptr_array_add(known, (char *)flag->name);
        g_ptr_array_add(known, NULL);

        g_auto(GStrv) near = names_near(name, (const char *const *)known->pdata);
        if (!*near)
                return usage_error(parser->to, error, "there is no flag %s", word);
        g_autofree char *listed = g_strjoinv(", --", near);
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "there is no flag %s", word);
        return error_hint(error, "did you mean --%s?", listed);
}

/* `--no-start` undoes a declared switch. */
static const CliArg *find_negated(const CliVerb *verb, const char *word, const char *name)
{
        const CliArg *arg = g_str_has_prefix(name, "no-") ? find_arg(verb, word, name + strlen("no-")) : NULL;

        return arg && arg->form == CLI_SWITCH ? arg : NULL;
}

static bool parse_flag(Parser *parser, const char *word, GError **error)
{
        const char *value;
        g_autofree char *name = split_flag(word, &value);
        const CliArg *arg = find_arg(parser->to->verb, word, name);
        const CliArg *negated = arg ? NULL : find_negated(parser->to->verb, word, name);
        const CliFlag *global = arg || negated ? NULL : find_global(word, name);

        if (arg && arg->short_name == 'y')
                parser->to->options.yes = true;
        if (arg)
                return parse_verb_flag(parser, arg, word, value, error);
        if (negated && !value)
                return store_value(parser, negated, "off", error);
        if (global)
                return parse_global_flag(parser, global, word, value, error);
        return unknown_flag(parser, word, name, error);
}

/* ---- words ---- */

/* "cpu.count: `0` must be…" about the word "cpu.count=0" is a fault at /spec/cpu/count, where the server would see it
 * too. */
static void note_fault(Parser *parser, const char *word, const GError *problem)
{
        g_autofree char *path = g_strndup(word, strcspn(word, "="));
        g_autofree char *prefix = g_strdup_printf("%s: ", path);
        const char *detail = problem->message + (g_str_has_prefix(problem->message, prefix) ? strlen(prefix) : 0);
        char *dot = strchr(path, '.');

        if (dot)
                *dot = '/';
        g_autofree char *pointer = g_strdup_printf("/spec/%s", path);
        faults_add(parser->faults, pointer, "%s", detail);
}

static void store_assignment(Parser *parser, const CliArg *arg, const char *word)
{
        g_autoptr(GError) problem = NULL;
        json_t *patch = spec_patch_from_assignment(word, &problem);
        json_t *spec = json_object_get(parser->to->args, arg->field->name);

        if (!patch) {
                note_fault(parser, word, problem);
        } else if (spec) {
                json_object_update_recursive(spec, patch);
                json_decref(patch);
        } else {
                json_object_set_new(parser->to->args, arg->field->name, patch);
        }
}

static const CliArg *assignments_of(const CliVerb *verb)
{
        for (const CliArg *arg = verb->args; arg->name; arg++)
                if (arg->form == CLI_ASSIGNMENTS)
                        return arg;
        return NULL;
}

static bool parse_argument(Parser *parser, const char *word, GError **error)
{
        const CliVerb *verb = parser->to->verb;
        const CliArg *arg = parser->positional;
        const CliArg *assignments = assignments_of(verb);

        if (assignments && strchr(word, '=')) {
                store_assignment(parser, assignments, word);
                return true;
        }
        if (verb->many && arg == verb->args) {
                g_ptr_array_add(parser->names, g_strdup(word));
                return true;
        }
        if (arg->name && arg->form == CLI_POSITIONAL) {
                parser->positional++;
                return store_value(parser, arg, word, error);
        }
        if (arg->name && arg->form == CLI_REST) {
                /* What follows a program's name is the program's. */
                parser->literal = parser->literal || verb->command;
                g_ptr_array_add(parser->rest, g_strdup(word));
                return g_utf8_validate(word, -1, NULL) ||
                       usage_error(parser->to, error, "an argument is not UTF-8 text");
        }
        if (assignments) {
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s is not PROP=VALUE", word);
                return error_hint(error, "hostler help properties");
        }
        return usage_error(parser->to, error, "%s is one argument too many", word);
}

/* ---- the whole ---- */

static bool file_stands_for(const Parser *parser, const CliArg *arg)
{
        return arg->form == CLI_ASSIGNMENTS && json_object_get(parser->to->local, "file");
}

static bool check_required(Parser *parser, GError **error)
{
        const CliVerb *verb = parser->to->verb;

        for (const CliArg *arg = verb->args; arg->name; arg++) {
                json_t *given =
                    json_object_get(arg->client_only ? parser->to->local : parser->to->args, arg->field->name);
                bool names_given = verb->many && arg == verb->args && parser->names->len;
                bool rest_given = arg->form == CLI_REST && parser->rest->len;
                bool flag = arg->form == CLI_FLAG || arg->form == CLI_SWITCH;

                if (!(arg->field->flags & FIELD_REQUIRED) || given || names_given || rest_given ||
                    file_stands_for(parser, arg))
                        continue;
                g_autofree char *title = cli_verb_title(verb);
                g_autofree char *upper = g_ascii_strup(arg->name, -1);
                const char *what = arg->form == CLI_ASSIGNMENTS ? "PROP=VALUE" : flag ? arg->name : upper;
                return usage_error(parser->to, error, "%s needs %s%s", title, flag ? "--" : "", what);
        }
        return true;
}

static char **take_strv(GPtrArray *words)
{
        char **strv = g_new0(char *, words->len + 1);

        for (guint i = 0; i < words->len; i++)
                strv[i] = g_strdup(words->pdata[i]);
        return strv;
}

/* To a command of its own as they are, to the daemon as the list they are declared to be. */
static void take_rest(Parser *parser)
{
        const CliArg *arg = parser->to->verb->args;
        json_t *list = json_array();

        while (arg->form != CLI_REST)
                arg++;
        for (guint i = 0; i < parser->rest->len; i++)
                json_array_append_new(list, json_string(parser->rest->pdata[i]));
        parser->to->words = take_strv(parser->rest);
        if (parser->to->verb->command)
                json_decref(list);
        else
                json_object_set_new(parser->to->args, arg->field->name, list);
}

static bool verb_missing(const CliNoun *noun, GError **error)
{
        g_auto(GStrv) names = verb_names(noun ? noun->name : cli_silent_noun()->name);
        g_autofree char *listed = g_strjoinv(", ", names);

        error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s needs a verb", noun ? noun->name : "hostler");
        return noun ? error_hint(error, "verbs of %s: %s", noun->name, listed) : error_hint(error, "hostler help");
}

static bool check_complete(Parser *parser, GError **error)
{
        Invocation *to = parser->to;

        if (to->options.help || to->options.version)
                return true;
        if (!to->verb)
                return verb_missing(to->noun, error);
        if (parser->alias) {
                json_auto_t *preset = json_loads(parser->alias->preset, 0, NULL);

                json_object_update_missing(to->args, preset);
        }
        if (!check_required(parser, error))
                return false;
        if (to->verb->many)
                to->names = take_strv(parser->names);
        if (parser->rest->len)
                take_rest(parser);
        return true;
}

static bool usage_error(const Invocation *to, GError **error, const char *format, ...)
{
        va_list values;
        va_start(values, format);
        g_autofree char *text = g_strdup_vprintf(format, values);
        va_end(values);

        error_set(error, HOSTLER_ERROR_USAGE, NULL, "%s", text);
        if (!to->verb)
                return error_hint(error, "hostler help");
        g_autofree char *usage = cli_verb_usage(to->verb);
        return error_hint(error, "%s", usage);
}
