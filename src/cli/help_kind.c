/*
 * Help on what a VM is made of, from the declarations: kinds of devices, their models, their properties. Called by
 * help.c.
 */
#include <string.h>

#include "base/units.h"
#include "cli/help.h"

static char *range_text(const Field *field)
{
        bool size = field->type == FIELD_SIZE;
        g_autofree char *low = NULL, *high = NULL;

        if (field->type == FIELD_ENUM)
                return help_enum_text(field);
        if ((field->type != FIELD_INT && !size) || (field->min == HOSTLER_UNSET && field->max == HOSTLER_UNSET))
                return g_strdup(help_value_word(field));
        low = field->min == HOSTLER_UNSET ? g_strdup("")
              : size                      ? size_format(field->min)
                                          : g_strdup_printf("%" G_GINT64_FORMAT, field->min);
        high = field->max == HOSTLER_UNSET ? g_strdup("")
               : size                      ? size_format(field->max)
                                           : g_strdup_printf("%" G_GINT64_FORMAT, field->max);
        return g_strdup_printf("%s–%s", low, high);
}

static const char *changes_text(const Field *field)
{
        return field->live == LIVE_NOW ? "live" : field->live == LIVE_RESTART ? "restart" : "never";
}

static const char *bus_text(const ModelDecl *model)
{
        static const char *const texts[] = {
            [BUS_NONE] = "-",
            [BUS_PCI] = "pci",
            [BUS_ISA] = "isa",
            [BUS_USB] = "usb",
            [BUS_SCSI] = "scsi",
            [BUS_IDE] = "ide",
            [BUS_SERIAL] = "virtio-serial",
        };
        return texts[model->bus];
}

/* The first row of the table is for none. */
static const ModelDecl *first_model(const KindDecl *kind)
{
        return kind->models ? kind->models + 1 : NULL;
}

static void add_model(const ModelDecl *model, bool whole, GPtrArray *rows)
{
        const char *blocks = whole ? model->blocks : NULL;

        g_ptr_array_add(rows, g_strdup(model->name));
        g_ptr_array_add(rows, g_strdup(bus_text(model)));
        g_ptr_array_add(rows, g_strdup(model->hot_plug ? "live" : "restart"));
        g_ptr_array_add(
            rows, blocks ? g_strdup_printf("%s Keeps a VM from being suspended or migrated: %s.", model->doc, blocks)
                         : g_strdup(model->doc));
}

/* A kind without models is a row by itself. */
static void add_kind(const KindDecl *kind, GPtrArray *rows)
{
        const char *const alone[] = {kind->kind, "-", "-", "-", kind->props->doc};

        for (const ModelDecl *model = first_model(kind); model && model->name; model++) {
                g_ptr_array_add(rows, g_strdup(kind->kind));
                add_model(model, false, rows);
        }
        for (gsize i = 0; !kind->models && i < G_N_ELEMENTS(alone); i++)
                g_ptr_array_add(rows, g_strdup(alone[i]));
}

static void append_aliases(const KindDecl *kind, const char *before, GString *out)
{
        for (const char *const *alias = kind->aliases; alias && *alias; alias++)
                g_string_append_printf(out, "%s%s", alias == kind->aliases ? before : ", ", *alias);
}

void help_devices(GString *out)
{
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);

        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++)
                add_kind(kind, rows);
        g_string_append(out,
                        "Devices: kind, model, bus, when it can come and go, what it is. The first model of a kind "
                        "is its default.\nAdd one with `hostler device add VM KIND [--model MODEL] "
                        "[PROP=VALUE…]`; `hostler help KIND` lists its properties.\n");
        help_append_rows(out, "Kinds:", rows, 5);
        g_string_append(out, "\nOther names:\n");
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++) {
                if (!kind->aliases)
                        continue;
                g_string_append_printf(out, "  %s", kind->kind);
                append_aliases(kind, ": ", out);
                g_string_append_c(out, '\n');
        }
}

static void append_models(const KindDecl *kind, GString *out)
{
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);

        for (const ModelDecl *model = first_model(kind); model && model->name; model++)
                add_model(model, true, rows);
        help_append_rows(out, "Models: bus, when it can come and go, what it is. The first is the default.", rows, 4);
}

/* What is listed above the properties need not be said with them. */
static char *short_range_text(const KindDecl *kind, const Field *field, bool models_above)
{
        return models_above && kind->models && g_str_equal(field->name, "model") ? g_strdup("MODEL")
                                                                                 : range_text(field);
}

static void append_properties(const KindDecl *kind, bool models_above, const char *heading, GString *out)
{
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = 0; i < kind->props->n_fields; i++) {
                const Field *field = &kind->props->fields[i];
                g_autofree char *preset = help_default_text(field);

                g_ptr_array_add(rows, g_strdup_printf("%s%s.%s", kind->kind, kind->single ? "" : "N", field->name));
                g_ptr_array_add(rows, short_range_text(kind, field, models_above));
                g_ptr_array_add(rows, preset ? g_steal_pointer(&preset) : g_strdup("-"));
                g_ptr_array_add(rows, g_strdup(changes_text(field)));
                g_ptr_array_add(rows, g_strdup(field->doc));
        }
        help_append_rows(out, heading, rows, 5);
}

static void append_values(const KindDecl *kind, GString *out)
{
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = 0; i < kind->props->n_fields; i++) {
                const Field *field = &kind->props->fields[i];

                if (field->type != FIELD_ENUM || (kind->models && g_str_equal(field->name, "model")))
                        continue;
                for (size_t value = 1; field->values->values[value]; value++) {
                        g_ptr_array_add(rows, g_strdup_printf("%s=%s", field->name, field->values->values[value]));
                        g_ptr_array_add(rows, g_strdup(field->values->docs[value]));
                }
        }
        help_append_rows(out, "Values:", rows, 2);
}

void help_kind(const KindDecl *kind, GString *out)
{
        g_string_append(out, kind->kind);
        append_aliases(kind, ", also called ", out);
        g_string_append_printf(out, ": %s\n", kind->props->doc);
        append_models(kind, out);
        append_properties(kind, true, "Properties: path, range, default, when a change takes effect, meaning.", out);
        append_values(kind, out);
}

bool help_properties(const char *kind_name, GString *out, GError **error)
{
        const KindDecl *only = kind_name ? kind_by_word(kind_name) : NULL;

        if (kind_name && !only)
                only = kind_of_name(kind_name);
        if (kind_name && !only) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "there is no kind of part %s", kind_name);
                return error_hint(error, "hostler help properties");
        }
        g_string_append(out, "Properties: path, range, default, when a change takes effect, meaning.\n"
                             "Set them with `hostler set VM PATH=VALUE…`.\n");
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++) {
                g_autofree char *heading =
                    g_strdup_printf("%s%s: %s", kind->kind, kind->single ? "" : "N", kind->props->doc);

                if (!only || kind == only)
                        append_properties(kind, false, heading, out);
        }
        return true;
}
