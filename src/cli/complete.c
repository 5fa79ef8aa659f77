/*
 * `hostler complete KIND [TARGET]`: names for the shells' completion, one per line. Hidden. Never starts a daemon and
 * never complains: whoever presses Tab did not ask for either.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"

enum { ANSWER_MS = 2000 };

static const struct {
        const char *kind, *noun, *verb, *member;
        const char *args; /* JSON */
} sources[] = {
    {"vm", "vm", "ls", "name", "{}"},         {"trash", "vm", "ls", "name", "{\"trash\": true}"},
    {"image", "image", "ls", "name", "{}"},   {"job", "job", "ls", "id", "{}"},
    {"pool", "pool", "ls", "name", "{}"},     {"respool", "respool", "ls", "name", "{}"},
    {"disk", "disk", "ls", "name", "{}"},     {"snapshot", "snapshot", "ls", "name", "{}"},
    {"switch", "switch", "ls", "name", "{}"}, {"portgroup", "portgroup", "ls", "name", "{}"},
};

/* NULL when none is named, or nobody answers. */
static json_t *show_vm(Cli *cli, const char *name)
{
        json_t *vm = NULL;

        if (!name || !cli->client || !cli_call(cli, "vm", "show", json_pack("{s:s}", "vm", name), ANSWER_MS, &vm, NULL))
                return NULL;
        return vm;
}

/* @part NULL: of a part that is named already. */
static void append_part(const char *part, const KindDecl *kind, GString *out)
{
        for (size_t i = 0; i < kind->props->n_fields; i++)
                g_string_append_printf(out, "%s%s%s=\n", part ? part : "", part ? "." : "",
                                       kind->props->fields[i].name);
}

/* Of the parts that a VM may have, or does have when it is known. */
static void append_properties(Cli *cli, char *const *words, GString *out)
{
        json_auto_t *vm = show_vm(cli, words[0]);
        const char *name;
        json_t *part;

        for (const KindDecl *kind = hostler_kinds; !vm && kind->kind; kind++) {
                g_autofree char *usual = g_strconcat(kind->kind, kind->single ? "" : "0", NULL);

                append_part(usual, kind, out);
        }
        json_object_foreach (json_object_get(vm, "spec"), name, part) {
                const KindDecl *kind = spec_part_kind(name, part);

                if (kind && name_is_valid(name))
                        append_part(name, kind, out);
        }
}

/* What can be added, under every name that it has. */
static void append_kinds(Cli *cli, char *const *words, GString *out)
{
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++) {
                if (kind->always)
                        continue;
                g_string_append_printf(out, "%s\n", kind->kind);
                for (const char *const *alias = kind->aliases; alias && *alias; alias++)
                        g_string_append_printf(out, "%s\n", *alias);
        }
}

/* What a VM has and need not have. From its spec: `device ls` asks the guest, which takes longer than a Tab. */
static void append_devices(Cli *cli, char *const *words, GString *out)
{
        json_auto_t *vm = show_vm(cli, words[0]);
        const char *name;
        json_t *part;

        json_object_foreach (json_object_get(vm, "spec"), name, part) {
                const KindDecl *kind = spec_part_kind(name, part);

                if (kind && !kind->always && name_is_valid(name))
                        g_string_append_printf(out, "%s\n", name);
        }
}

/* The words are VM and KIND. */
static void append_models(Cli *cli, char *const *words, GString *out)
{
        const KindDecl *kind = words[0] && words[1] ? kind_by_word(words[1]) : NULL;

        for (const ModelDecl *model = kind && kind->models ? kind->models + 1 : NULL; model && model->name; model++)
                g_string_append_printf(out, "%s\n", model->name);
}

/* The words are VM, and KIND or DEVICE. */
static void append_settings(Cli *cli, char *const *words, GString *out)
{
        const KindDecl *kind = words[0] && words[1] ? kind_by_word(words[1]) : NULL;
        json_auto_t *vm = words[0] && words[1] && !kind ? show_vm(cli, words[0]) : NULL;
        const json_t *part = json_object_get(json_object_get(vm, "spec"), words[0] && words[1] ? words[1] : "");

        if (part)
                kind = spec_part_kind(words[1], part);
        if (kind)
                append_part(NULL, kind, out);
}

static const struct {
        const char *kind;
        void (*append)(Cli *cli, char *const *words, GString *out);
} makers[] = {
    {"device", append_devices},      {"kind", append_kinds},       {"model", append_models},
    {"property", append_properties}, {"setting", append_settings},
};

static void append_names(Cli *cli, gsize source, const char *object, GString *out)
{
        static const char *const owners[] = {"vm", "switch"};
        json_t *args = json_loads(sources[source].args, 0, NULL);
        const VerbDecl *verb = verb_find(sources[source].noun, sources[source].verb);
        json_auto_t *list = NULL;
        size_t index;
        json_t *item;

        for (gsize i = 0; object && i < G_N_ELEMENTS(owners); i++)
                if (record_field(verb->args, owners[i]))
                        json_object_set_new(args, owners[i], json_string(object));
        if (!cli_call(cli, verb->noun, verb->name, args, ANSWER_MS, &list, NULL))
                return;
        json_array_foreach (list, index, item) {
                const char *name = json_string_value(json_object_get(item, sources[source].member));

                if (name && !strpbrk(name, " \t\r\n\033"))
                        g_string_append_printf(out, "%s\n", name);
        }
}

bool command_complete(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *kind = json_string_value(json_object_get(invocation->args, "kind"));
        char *const none[] = {NULL};
        char *const *words = invocation->words ? invocation->words : none;
        g_autoptr(GString) out = g_string_new(NULL);

        cli->client = client_open(cli->options->state, cli->options->socket, false, NULL);
        for (gsize i = 0; i < G_N_ELEMENTS(makers); i++)
                if (g_str_equal(makers[i].kind, kind))
                        makers[i].append(cli, words, out);
        for (gsize i = 0; cli->client && i < G_N_ELEMENTS(sources); i++)
                if (g_str_equal(sources[i].kind, kind))
                        append_names(cli, i, words[0], out);
        return cli_print(out, error);
}
