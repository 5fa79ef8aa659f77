/*
 * hostler-simulate: what `hostler simulate` runs. Its one argument is the command's arguments as a JSON object, checked
 * by `hostler` against their declaration (src/cli/cli.toml). A program of its own, so that the command line need not
 * carry the solver.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "simulate/protocol.h"

static PlaceStyle style_of(const json_t *args)
{
        const char *name = json_string_value(json_object_get(args, "policy"));
        if (g_strcmp0(name, "safe") == 0)
                return PLACE_SAFE;
        return g_strcmp0(name, "eco") == 0 ? PLACE_ECO : PLACE_BALANCED;
}

static bool run(const json_t *args, GError **error)
{
        if (json_is_true(json_object_get(args, "stdio")))
                return protocol_run(stdin, stdout, stderr, style_of(args), error);
        return error_set(error, HOSTLER_ERROR_USAGE, NULL, "say what to simulate");
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *args = argc == 2 ? json_loads(argv[1], JSON_REJECT_DUPLICATES, NULL) : NULL;

        if (!json_is_object(args))
                error_set(&error, HOSTLER_ERROR_USAGE, NULL, "run it as `hostler simulate`");
        else if (run(args, &error))
                return 0;
        fprintf(stderr, "hostler-simulate: %s\n", error->message);
        return error_decl_of(error)->exit_code;
}
