/*
 * hostler-simulate: what `hostler simulate` runs. Its one argument is the command's arguments as a JSON object, checked
 * by `hostler` against their declaration (src/cli/cli.toml). A program of its own, so that the command line need not
 * carry the solver.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "simulate/policies.h"
#include "simulate/protocol.h"
#include "simulate/report.h"

#define MOST_POLICIES 8

static const char *text_of(const json_t *args, const char *key)
{
        return json_string_value(json_object_get(args, key));
}

static PlaceStyle style_of(const json_t *args)
{
        const char *name = json_string_value(json_array_get(json_object_get(args, "policy"), 0));
        if (g_strcmp0(name, "safe") == 0)
                return PLACE_SAFE;
        return g_strcmp0(name, "eco") == 0 ? PLACE_ECO : PLACE_BALANCED;
}

static bool policies_of(const json_t *args, const Policy **ret_policies, unsigned *ret_n, GError **error)
{
        const json_t *names = json_object_get(args, "policy");
        size_t index;
        json_t *name;

        *ret_n = 0;
        json_array_foreach (names, index, name) {
                const Policy *policy = policy_find(json_string_value(name));
                if (!policy)
                        return error_set(
                            error, HOSTLER_ERROR_USAGE, NULL,
                            "\"%s\" is no policy; there are balanced, safe, eco, never, threshold, regression",
                            json_string_value(name));
                if (*ret_n < MOST_POLICIES)
                        ret_policies[(*ret_n)++] = policy;
        }
        if (*ret_n == 0)
                ret_policies[(*ret_n)++] = policy_find("balanced");
        return true;
}

static Scenario *scenario_of(const json_t *args, GError **error)
{
        const json_t *grow = json_object_get(args, "grow");
        WhatIf what_if = {.more_hosts = (int)json_integer_value(json_object_get(args, "more_hosts")),
                          .grow = json_number_value(grow) / 100,
                          .fail_hosts = (unsigned)json_integer_value(json_object_get(args, "fail_hosts"))};
        g_autoptr(Scenario) scenario = scenario_read(text_of(args, "traces"), text_of(args, "hosts"), error);

        if (!scenario || !scenario_bend(scenario, &what_if, error) || !scenario_place(scenario, error))
                return NULL;
        return g_steal_pointer(&scenario);
}

static void show_progress(unsigned done, unsigned of, void *data)
{
        const char *policy = data;
        if (isatty(STDERR_FILENO))
                fprintf(stderr, done < of ? "\r%s: step %u of %u" : "\r\033[K", policy, done, of);
}

static bool print(const json_t *args, const Scenario *scenario, const ModelResult *results, unsigned n, double bound,
                  GError **error)
{
        g_autoptr(GString) text = g_string_new(NULL);
        if (json_is_true(json_object_get(args, "json"))) {
                json_auto_t *value = report_json(scenario, results, n, bound);
                char *line = json_dumps(value, JSON_INDENT(2));
                g_string_append_printf(text, "%s\n", line);
                free(line);
        } else {
                report_table(text, scenario, results, n, bound);
        }
        fputs(text->str, stdout);
        const char *folder = text_of(args, "report");
        return !folder || report_write(folder, scenario, results, n, bound, error);
}

static bool simulate(const json_t *args, GError **error)
{
        const Policy *policies[MOST_POLICIES];
        ModelResult results[MOST_POLICIES] = {0};
        unsigned n, done = 0;

        if (!text_of(args, "traces"))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "say which TRACES to simulate, or --stdio");
        if (!policies_of(args, policies, &n, error))
                return false;
        g_autoptr(Scenario) scenario = scenario_of(args, error);
        while (scenario && done < n &&
               model_run(scenario, policies[done], show_progress, (void *)policies[done]->name, &results[done], error))
                done++;
        bool good = scenario && done == n && print(args, scenario, results, n, model_bound(scenario), error);
        while (done-- > 0)
                model_result_clear(&results[done]);
        return good;
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *args = argc == 2 ? json_loads(argv[1], JSON_REJECT_DUPLICATES, NULL) : NULL;

        if (!json_is_object(args))
                error_set(&error, HOSTLER_ERROR_USAGE, NULL, "run it as `hostler simulate`");
        else if (json_is_true(json_object_get(args, "stdio"))
                     ? protocol_run(stdin, stdout, stderr, style_of(args), &error)
                     : simulate(args, &error))
                return 0;
        fprintf(stderr, "hostler simulate: %s\n", error->message);
        return error_decl_of(error)->exit_code;
}
