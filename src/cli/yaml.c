/*
 * YAML 1.2 (yaml.org/spec/1.2.2) of a JSON tree: block style, strings in double quotes unless they cannot be anything
 * else. Called by output.c and show.c.
 */
#include <string.h>

#include "cli/json_text.h"
#include "cli/output.h"

static void print_value(const json_t *value, guint depth, GString *out);

static bool is_plain(const char *text)
{
        static const char *const reserved[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", NULL};

        if (!g_ascii_isalpha(*text) && *text != '/')
                return false;
        for (const char *at = text; *at; at++)
                if (!g_ascii_isalnum(*at) && !strchr("-_./", *at))
                        return false;
        g_autofree char *lower = g_ascii_strdown(text, -1);
        return !g_strv_contains(reserved, lower);
}

/* JSON's strings are YAML's double-quoted ones. */
static void print_string(const char *text, GString *out)
{
        json_auto_t *value = json_string(text);
        char *quoted = is_plain(text) ? NULL : json_dumps(value, JSON_ENCODE_ANY);

        if (quoted)
                json_indent(quoted, strlen(quoted), out);
        else
                g_string_append(out, text);
        free(quoted);
}

static void print_key(const char *name, guint depth, GString *out)
{
        for (guint i = 0; i < depth; i++)
                g_string_append(out, "  ");
        print_string(name, out);
        g_string_append_c(out, ':');
}

static bool is_block(const json_t *value)
{
        return json_object_size(value) > 0 || json_array_size(value) > 0;
}

static void print_members(const json_t *object, guint depth, bool first_on_line, GString *out)
{
        const char *name;
        json_t *member;

        json_object_foreach ((json_t *)object, name, member) {
                print_key(name, first_on_line ? 0 : depth, out);
                g_string_append_c(out, is_block(member) ? '\n' : ' ');
                print_value(member, json_is_array(member) ? depth : depth + 1, out);
                first_on_line = false;
        }
}

static void print_elements(const json_t *array, guint depth, GString *out)
{
        size_t index;
        json_t *element;

        json_array_foreach (array, index, element) {
                for (guint i = 0; i < depth; i++)
                        g_string_append(out, "  ");
                g_string_append(out, "- ");
                if (json_object_size(element)) {
                        print_members(element, depth + 1, true, out);
                } else {
                        if (is_block(element))
                                g_string_append_c(out, '\n');
                        print_value(element, depth + 1, out);
                }
        }
}

static void print_value(const json_t *value, guint depth, GString *out)
{
        if (json_object_size(value)) {
                print_members(value, depth, false, out);
        } else if (json_array_size(value)) {
                print_elements(value, depth, out);
        } else if (json_is_string(value)) {
                print_string(json_string_value(value), out);
                g_string_append_c(out, '\n');
        } else {
                char *text = json_dumps(value, JSON_ENCODE_ANY);

                g_string_append(out, text);
                g_string_append_c(out, '\n');
                free(text);
        }
}

void yaml_print(const json_t *value, GString *out)
{
        print_value(value, 0, out);
}
