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
    {"vm", "vm", "ls", "name", "{}"},       {"trash", "vm", "ls", "name", "{\"trash\": true}"},
    {"image", "image", "ls", "name", "{}"}, {"job", "job", "ls", "id", "{}"},
    {"disk", "disk", "ls", "name", "{}"},
};

static void append_part(const char *name, const KindDecl *kind, GString *out)
{
        for (size_t i = 0; i < kind->props->n_fields; i++)
                g_string_append_printf(out, "%s.%s=\n", name, kind->props->fields[i].name);
}

/* Of the parts that a VM may have, or does have when it is known. */
static void append_properties(Cli *cli, const char *vm_name, GString *out)
{
        json_auto_t *vm = NULL;
        const char *name;
        json_t *part;

        if (vm_name && cli->client)
                cli_call(cli, "vm", "show", json_pack("{s:s}", "vm", vm_name), ANSWER_MS, &vm, NULL);
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

static void append_names(Cli *cli, gsize source, const char *object, GString *out)
{
        json_t *args = json_loads(sources[source].args, 0, NULL);
        const VerbDecl *verb = verb_find(sources[source].noun, sources[source].verb);
        json_auto_t *list = NULL;
        size_t index;
        json_t *item;

        if (object && record_field(verb->args, "vm"))
                json_object_set_new(args, "vm", json_string(object));
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
        const char *object = invocation->words ? invocation->words[0] : NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        cli->client = client_open(cli->options->state, cli->options->socket, false, NULL);
        if (g_str_equal(kind, "property"))
                append_properties(cli, object, out);
        for (gsize i = 0; cli->client && i < G_N_ELEMENTS(sources); i++)
                if (g_str_equal(sources[i].kind, kind))
                        append_names(cli, i, object, out);
        return cli_print(out, error);
}
