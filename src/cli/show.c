/*
 * `show`: one record, laid out by its declared type; and `show VM PART`: a part's properties with what they may be.
 * Called by run.c and main.c.
 */
#include "cli/show.h"

#include <string.h>

#include "base/clock.h"
#include "cli/columns.h"
#include "cli/table.h"
#include "cli/text.h"

static void show_members(const RecordType *type, const json_t *record, guint depth, bool colour, GString *out);

/* The readable text of @value; NULL when it says nothing. Caller frees. */
static char *readable(const Field *field, const json_t *value)
{
        g_autoptr(GString) out = g_string_new(NULL);
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        JsonReader reader = json_reader(text, strlen(text));

        columns_read_value(field, &reader, clock_unix_ms(), out);
        if (field && field->type == FIELD_TIME && out->len)
                g_string_append_printf(out, " ago  (%s)", json_string_value(value));
        free(text);
        return out->len ? g_string_free(g_steal_pointer(&out), false) : NULL;
}

static char *list_text(const json_t *list)
{
        g_autoptr(GString) out = g_string_new(NULL);
        size_t index;
        json_t *element;

        json_array_foreach (list, index, element) {
                g_autofree char *text = readable(NULL, element);

                g_string_append_printf(out, "%s%s", out->len ? ", " : "", text ? text : "");
        }
        return out->len ? g_string_free(g_steal_pointer(&out), false) : NULL;
}

static void show_line(const char *name, const char *text, guint depth, const char *colour, GString *out)
{
        g_string_append_printf(out, "%*s%-*s %s%s%s\n", (int)depth * 2, "", 14 - (int)depth * 2, name,
                               colour ? colour : "", text, colour ? COLOUR_OFF : "");
}

/* "size=20G image=tiny": one line for a record or a part. */
static char *inline_text(const RecordType *type, const json_t *record)
{
        g_autoptr(GString) out = g_string_new(NULL);

        for (size_t i = 0; type && i < type->n_fields; i++) {
                const json_t *value = json_object_get(record, type->fields[i].name);
                g_autofree char *text = !value                 ? NULL
                                        : json_is_array(value) ? list_text(value)
                                                               : readable(&type->fields[i], value);

                if (text)
                        g_string_append_printf(out, "%s%s=%s", out->len ? "  " : "", type->fields[i].name, text);
        }
        return g_string_free(g_steal_pointer(&out), false);
}

const KindDecl *spec_part_kind(const char *name, const json_t *part)
{
        const char *kind = json_string_value(json_object_get(part, "kind"));

        return kind ? kind_find(kind) : kind_of_name(name);
}

static void show_spec(const json_t *spec, guint depth, GString *out)
{
        const char *name;
        json_t *part;

        json_object_foreach ((json_t *)spec, name, part) {
                const KindDecl *kind = spec_part_kind(name, part);
                g_autofree char *text = inline_text(kind ? kind->props : NULL, part);
                g_autofree char *safe = text_safe(name);

                show_line(safe, text, depth, NULL, out);
        }
}

static void show_list(const Field *field, const json_t *list, guint depth, GString *out)
{
        size_t index;
        json_t *element;

        json_array_foreach (list, index, element) {
                g_autofree char *text = inline_text(field->record, element);

                show_line(index ? "" : field->name, text, depth, NULL, out);
        }
}

static void show_member(const Field *field, const json_t *value, guint depth, bool colour, GString *out)
{
        g_autofree char *text = NULL;

        if (field->type == FIELD_RECORD || field->type == FIELD_SPEC) {
                g_string_append_printf(out, "%*s%s\n", (int)depth * 2, "", field->name);
                if (field->type == FIELD_SPEC)
                        show_spec(value, depth + 1, out);
                else
                        show_members(field->record, value, depth + 1, colour, out);
                return;
        }
        if (field->type == FIELD_LIST_RECORD) {
                show_list(field, value, depth, out);
                return;
        }
        text = field->type == FIELD_LIST_STRING ? list_text(value) : readable(field, value);
        if (text)
                show_line(field->name, text, depth, colour && field->type == FIELD_ENUM ? state_colour(text) : NULL,
                          out);
}

static void show_members(const RecordType *type, const json_t *record, guint depth, bool colour, GString *out)
{
        for (size_t i = 0; i < type->n_fields; i++) {
                const json_t *value = json_object_get(record, type->fields[i].name);

                if (value && !json_is_null(value))
                        show_member(&type->fields[i], value, depth, colour, out);
        }
}

bool show_record(Cli *cli, const Result *result, GError **error)
{
        json_auto_t *record = json_loadb(result->text, result->length, JSON_REJECT_DUPLICATES, NULL);
        g_autoptr(GString) out = g_string_new(NULL);

        if (!json_is_object(record))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
        show_members(result->type, record, 0, cli->colour, out);
        return cli_print(out, error);
}

static const char *changes_text(FieldLive live)
{
        switch (live) {
        case LIVE_NOW:
                return "live";
        case LIVE_RESTART:
                return "at the next start";
        default:
                return "never";
        }
}

static bool show_properties(Cli *cli, const KindDecl *kind, const json_t *part, GError **error)
{
        static const char *const headers[] = {"PROPERTY", "VALUE", "DEFAULT", "CHANGES", "MEANING"};
        TableLayout layout = {G_N_ELEMENTS(headers), cli->options->no_headers ? NULL : headers, NULL, false};
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(4096);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(GString) out = g_string_new(NULL);

        for (size_t i = 0; i < kind->props->n_fields; i++) {
                const Field *field = &kind->props->fields[i];
                const json_t *value = json_object_get(part, field->name);
                g_autofree char *text = !value                 ? NULL
                                        : json_is_array(value) ? list_text(value)
                                                               : readable(field, value);
                json_auto_t *preset =
                    field->default_value ? json_loads(field->default_value, JSON_DECODE_ANY, NULL) : NULL;
                g_autofree char *preset_text = preset ? readable(field, preset) : NULL;

                g_ptr_array_add(cells, (char *)field->name);
                g_ptr_array_add(cells, g_string_chunk_insert(chunk, text ? text : "-"));
                g_ptr_array_add(cells, g_string_chunk_insert(chunk, preset_text ? preset_text : "-"));
                g_ptr_array_add(cells, (char *)changes_text(field->live));
                g_ptr_array_add(cells, (char *)field->doc);
        }
        table_print(&layout, cells, out);
        return cli_print(out, error);
}

static bool no_such_part(const char *vm, const char *part, const json_t *spec, GError **error)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        const char *name;
        json_t *value;

        json_object_foreach ((json_t *)spec, name, value)
                g_ptr_array_add(names, (char *)name);
        g_ptr_array_add(names, NULL);
        g_autofree char *listed = g_strjoinv(", ", (char **)names->pdata);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "%s has no part %s", vm, part);
        return error_hint(error, "parts: %s", listed);
}

bool command_show(Cli *cli, const Invocation *invocation, GError **error)
{
        const char *part_name = json_string_value(json_object_get(invocation->local, "part"));
        const char *vm_name = json_string_value(json_object_get(invocation->args, "vm"));
        json_auto_t *vm = NULL;

        if (!part_name)
                return run_verb(cli, invocation, error);
        if (!cli_call(cli, "vm", "show", json_incref(invocation->args), 0, &vm, error))
                return false;
        const json_t *spec = json_object_get(vm, "spec");
        const json_t *part = json_object_get(spec, part_name);
        if (!part)
                return no_such_part(vm_name, part_name, spec, error);

        const KindDecl *kind = spec_part_kind(part_name, part);
        if (kind && cli->options->format == OUTPUT_TABLE)
                return show_properties(cli, kind, part, error);
        char *text = json_dumps(part, JSON_COMPACT);
        bool printed = output_json(cli, text, strlen(text), error);
        free(text);
        return printed;
}
