/*
 * `hostler event watch`: events as they happen, one per line. When the daemon goes away it waits for the next one and
 * goes on where it was, without a gap.
 */
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/json_text.h"
#include "cli/text.h"

enum { RECONNECT_US = 500000 };

typedef struct {
        Cli *cli;
        int64_t last; /* the number seen last; -1: none yet */
        GError *failure;
} Watch;

static void append_data(GString *line, const json_t *data)
{
        const char *name;
        json_t *value;

        json_object_foreach ((json_t *)data, name, value) {
                char *dumped = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

                g_string_append_c(line, ' ');
                text_append_safe(line, name, -1);
                g_string_append_c(line, '=');
                text_append_safe(line, dumped ? dumped : json_string_value(value), -1);
                free(dumped);
        }
}

static void append_member(GString *line, const json_t *event, const char *name, int width)
{
        const char *value = json_string_value(json_object_get(event, name));
        g_autofree char *safe = text_safe(value ? value : "");

        g_string_append_printf(line, "%-*s ", width, safe);
}

/* JSON stays on one line; white space is all that is changed. */
static bool print_event(const char *text, void *data)
{
        Watch *watch = data;
        json_auto_t *event = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        g_autoptr(GString) line = g_string_new(NULL);

        if (!json_is_object(event))
                return error_set(&watch->failure, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
        if (watch->cli->options->format == OUTPUT_TABLE) {
                append_member(line, event, "time", 24);
                append_member(line, event, "kind", 14);
                append_member(line, event, "object", 12);
                append_data(line, json_object_get(event, "data"));
        } else {
                char *compact = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);

                g_string_append(line, compact);
                free(compact);
        }
        g_strchomp(line->str);
        line->len = strlen(line->str);
        g_string_append_c(line, '\n');
        watch->last = json_integer_value(json_object_get(event, "seq"));
        return cli_print(line, &watch->failure);
}

static bool went_away(const GError *error)
{
        return error_is(error, HOSTLER_ERROR_UNREACHABLE);
}

bool command_event_watch(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *object = json_string_value(json_object_get(invocation->args, "object"));
        const json_t *since = json_object_get(invocation->args, "since");
        Watch watch = {.cli = cli, .last = since ? json_integer_value(since) : -1};
        bool told = false;

        if (!cli_client(cli, error))
                return false;
        GCancellable *cancellable = interrupt_arm(cli->interrupt);
        for (;;) {
                g_autoptr(GError) failure = NULL;
                int64_t before = watch.last;

                bool enough =
                    client_events(cli->client, watch.last, object, print_event, &watch, cancellable, &failure);
                if (interrupt_signal(cli->interrupt))
                        return true;
                if (enough || !went_away(failure)) {
                        g_propagate_error(error, enough ? watch.failure : g_steal_pointer(&failure));
                        return false;
                }
                told = told && before == watch.last;
                if (!told)
                        fprintf(stderr, "hostler: the daemon went away; waiting for it\n");
                told = true;
                client_reset(cli->client);
                g_usleep(RECONNECT_US);
        }
}
