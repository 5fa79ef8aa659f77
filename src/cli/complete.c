/*
 * `hostler complete KIND [OBJECT]`: names for the shells' completion, one per line. Hidden. Never starts a daemon and
 * never complains: whoever presses Tab did not ask for either.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"

enum { ANSWER_MS = 2000 };

static const struct {
        const char *kind, *noun, *verb, *member;
        const char *args; /* JSON */
} sources[] = {
    {"vm", "vm", "ls", "name", "{}"},       {"trash", "vm", "ls", "name", "{\"trash\": true}"},
    {"image", "image", "ls", "name", "{}"}, {"job", "job", "ls", "id", "{}"},
    {"disk", "disk", "ls", "name", "{}"},
};

static void append_properties(GString *out)
{
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++)
                for (size_t i = 0; i < kind->props->n_fields; i++)
                        g_string_append_printf(out, "%s%s.%s=\n", kind->kind, kind->single ? "" : "0",
                                               kind->props->fields[i].name);
}

static void append_names(Cli *cli, gsize source, const char *object, GString *out)
{
        json_t *args = json_loads(sources[source].args, 0, NULL);
        json_auto_t *list = NULL;
        size_t index;
        json_t *item;

        if (object)
                json_object_set_new(args, "vm", json_string(object));
        if (!cli_call(cli, sources[source].noun, sources[source].verb, args, ANSWER_MS, &list, NULL))
                return;
        json_array_foreach (list, index, item) {
                const char *name = json_string_value(json_object_get(item, sources[source].member));

                if (name && !strpbrk(name, " \t\r\n\033"))
                        g_string_append_printf(out, "%s\n", name);
        }
}

bool command_complete(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *kind = invocation->words ? invocation->words[0] : "";
        const char *object = *kind ? invocation->words[1] : NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        if (g_str_equal(kind, "property")) {
                append_properties(out);
                return cli_print(out, error);
        }
        cli->client = client_open(cli->options->state, cli->options->socket, false, NULL);
        for (gsize i = 0; cli->client && i < G_N_ELEMENTS(sources); i++)
                if (g_str_equal(sources[i].kind, kind))
                        append_names(cli, i, object, out);
        return cli_print(out, error);
}
