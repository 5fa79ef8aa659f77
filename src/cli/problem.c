/*
 * Errors on stderr. Their texts may carry what a guest or QEMU said, so nothing of them reaches the terminal raw.
 * Called by main.c and by verbs that go on after a failure.
 */
#include "cli/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/text.h"

/* QEMU's last words come on lines of their own; these stay lines, indented. */
static void append_lines(GString *out, const char *text)
{
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (guint i = 0; lines[i]; i++) {
                if (i > 0)
                        g_string_append(out, "\n    ");
                text_append_safe(out, lines[i], -1);
        }
}

/* A cause that is alone has been said in the sentence before it. */
static void append_causes(GString *out, const json_t *problem, const char *sentence)
{
        size_t index;
        json_t *cause, *causes = json_object_get(problem, "causes");
        const char *only = json_array_size(causes) == 1
                               ? json_string_value(json_object_get(json_array_get(causes, 0), "detail"))
                               : NULL;

        if (only && g_str_has_suffix(sentence, only))
                return;

        json_array_foreach (causes, index, cause) {
                const char *pointer = json_string_value(json_object_get(cause, "pointer"));
                const char *detail = json_string_value(json_object_get(cause, "detail"));

                g_string_append(out, "\n  ");
                if (pointer && *pointer) {
                        text_append_safe(out, pointer, -1);
                        g_string_append(out, ": ");
                }
                append_lines(out, detail ? detail : "");
        }
}

void problem_format(const GError *error, OutputFormat format, GString *out)
{
        json_auto_t *problem = error_to_json(error);

        if (format == OUTPUT_JSON) {
                char *text = json_dumps(problem, JSON_COMPACT | JSON_ENSURE_ASCII);

                g_string_append(out, text);
                g_string_append_c(out, '\n');
                free(text);
                return;
        }
        const char *hint = json_string_value(json_object_get(problem, "hint"));
        g_string_append(out, "hostler: ");
        append_lines(out, error->message);
        append_causes(out, problem, error->message);
        if (hint && *hint) {
                g_string_append(out, "\n  hint: ");
                append_lines(out, hint);
        }
        g_string_append_c(out, '\n');
}

void problem_print(const GError *error, OutputFormat format)
{
        g_autoptr(GString) out = g_string_new(NULL);

        problem_format(error, format, out);
        fputs(out->str, stderr);
}
