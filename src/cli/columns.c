/*
 * Columns out of JSON text. The paths are kept as a tree that is walked along with the text, so that every object is
 * read once, whatever number of columns look into it. Called by output.c and show.c.
 */
#include "cli/columns.h"

#include <stdlib.h>
#include <string.h>

#include "base/declare.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/text.h"

/* One path; a column has as many as it has alternatives. */
typedef struct {
        const Field *field;
        GString *value; /* of the object being read */
} Slot;

typedef struct {
        char *header;
        GPtrArray *slots; /* of Slot */
} Column;

typedef struct Node Node;
struct Node {
        char *name;
        GPtrArray *children; /* of Node */
        GPtrArray *slots;    /* of Slot, borrowed: paths that end here */
};

struct Columns {
        GPtrArray *columns; /* of Column */
        Node *root;
        GString *member; /* scratch for names, one at a time: used before anything deeper is read */
};

static bool add_column(Columns *columns, const RecordType *type, const char *alternatives, GError **error);
static bool path_field(const RecordType *type, char *const *path, const Field **ret_field);
static bool unknown_column(const RecordType *type, const char *path, const char *const *known, GError **error);
static const char *known_path(const char *path, const char *const *known);
static char *header_of(const char *alternatives);
static bool read_node(Columns *columns, const Node *node, JsonReader *reader, int64_t now_ms);

static void slot_free(void *data)
{
        Slot *slot = data;

        g_string_free(slot->value, true);
        g_free(slot);
}

static void column_free(void *data)
{
        Column *column = data;

        g_free(column->header);
        g_ptr_array_unref(column->slots);
        g_free(column);
}

static void node_free(void *data)
{
        Node *node = data;

        g_free(node->name);
        g_ptr_array_unref(node->children);
        g_ptr_array_unref(node->slots);
        g_free(node);
}

static Node *node_new(const char *name)
{
        Node *node = g_new(Node, 1);

        *node = (Node){g_strdup(name), g_ptr_array_new_with_free_func(node_free), g_ptr_array_new()};
        return node;
}

static Node *node_child(const Node *node, const char *name)
{
        for (guint i = 0; i < node->children->len; i++) {
                Node *child = node->children->pdata[i];

                if (g_str_equal(child->name, name))
                        return child;
        }
        return NULL;
}

Columns *columns_new(const RecordType *type, const char *const *paths, const char *const *known, GError **error)
{
        g_autoptr(Columns) columns = g_new0(Columns, 1);
        const char *const *wanted = *paths ? paths : known;

        columns->columns = g_ptr_array_new_with_free_func(column_free);
        columns->root = node_new("");
        columns->member = g_string_new(NULL);
        for (; *wanted; wanted++) {
                const char *path = known_path(*wanted, known);

                if (!add_column(columns, type, path ? path : *wanted, NULL)) {
                        unknown_column(type, *wanted, known, error);
                        return NULL;
                }
        }
        for (size_t i = 0; !columns->columns->len && i < type->n_fields; i++)
                if (type->fields[i].type < FIELD_RECORD)
                        add_column(columns, type, type->fields[i].name, NULL);
        return g_steal_pointer(&columns);
}

void columns_free(Columns *columns)
{
        g_ptr_array_unref(columns->columns);
        node_free(columns->root);
        g_string_free(columns->member, true);
        g_free(columns);
}

guint columns_count(const Columns *columns)
{
        return columns->columns->len;
}

const char *columns_header(const Columns *columns, guint column)
{
        return ((Column *)columns->columns->pdata[column])->header;
}

bool columns_is_state(const Columns *columns, guint column)
{
        const Slot *slot = ((Column *)columns->columns->pdata[column])->slots->pdata[0];

        return slot->field && slot->field->type == FIELD_ENUM &&
               (g_str_equal(slot->field->values->name, "power") || g_str_equal(slot->field->values->name, "job_state"));
}

bool columns_read(Columns *columns, JsonReader *reader, int64_t now_ms, GStringChunk *chunk, GPtrArray *cells)
{
        if (json_peek(reader) != '{' || !read_node(columns, columns->root, reader, now_ms))
                return false;
        for (guint i = 0; i < columns->columns->len; i++) {
                const Column *column = columns->columns->pdata[i];
                const char *cell = "";

                for (guint j = 0; j < column->slots->len; j++) {
                        Slot *slot = column->slots->pdata[j];

                        if (!*cell && slot->value->len)
                                cell = g_string_chunk_insert_len(chunk, slot->value->str, (gssize)slot->value->len);
                        g_string_truncate(slot->value, 0);
                }
                g_ptr_array_add(cells, (char *)cell);
        }
        return true;
}

static void append_number(const Field *field, const char *text, GString *out)
{
        g_autofree char *readable = NULL;

        if (field && field->type == FIELD_SIZE)
                readable = size_format(g_ascii_strtoll(text, NULL, 10));
        else if (field && field->type == FIELD_DURATION)
                readable = duration_format(g_ascii_strtoll(text, NULL, 10));
        else if (field && field->type == FIELD_REAL)
                readable = g_strdup_printf("%.4g", g_ascii_strtod(text, NULL));
        text_append_safe(out, readable ? readable : text, -1);
        if (field && field->flags & FIELD_PERCENT)
                g_string_append_c(out, '%');
}

/* Strings without escapes, nearly all, are taken from where they stand. */
static bool read_plain(JsonReader *reader, GString *scratch, const char **ret_text, gsize *ret_length)
{
        JsonReader start = *reader;
        const char *quote;

        if (!json_skip(reader, &quote))
                return false;
        *ret_text = quote + 1;
        *ret_length = (gsize)(reader->at - quote) - 2;
        if (!memchr(*ret_text, '\\', *ret_length))
                return true;
        *reader = start;
        if (!json_read_string(reader, scratch))
                return false;
        *ret_text = scratch->str;
        *ret_length = scratch->len;
        return true;
}

static bool append_age(const char *text, gsize length, int64_t now_ms, GString *out)
{
        char terminated[40];
        int64_t unix_ms;

        if (length >= sizeof(terminated))
                return false;
        memcpy(terminated, text, length);
        terminated[length] = 0;
        if (!time_parse(terminated, &unix_ms))
                return false;
        g_autofree char *age = text_age(unix_ms, now_ms);
        g_string_append(out, age);
        return true;
}

static bool read_text(const Field *field, JsonReader *reader, int64_t now_ms, GString *out)
{
        g_autoptr(GString) scratch = g_string_sized_new(0);
        const char *text;
        gsize length;

        if (!read_plain(reader, scratch, &text, &length))
                return false;
        if (!field || field->type != FIELD_TIME || !append_age(text, length, now_ms, out))
                text_append_safe(out, text, (gssize)length);
        return true;
}

bool columns_read_value(const Field *field, JsonReader *reader, int64_t now_ms, GString *out)
{
        const char *start;
        bool raw = field && field->type == FIELD_JSON;

        if (json_peek(reader) == '"' && !raw)
                return read_text(field, reader, now_ms, out);
        if (!json_skip(reader, &start))
                return false;

        gsize length = (gsize)(reader->at - start);
        if (length == 4 && memcmp(start, "null", 4) == 0)
                return true;
        if (*start == '{' || *start == '[' || *start == '"') {
                text_append_safe(out, start, (gssize)length);
        } else if (g_ascii_isalpha(*start)) {
                g_string_append(out, *start == 't' ? "on" : "off");
        } else {
                g_autofree char *number = g_strndup(start, length);

                append_number(field, number, out);
        }
        return true;
}

static bool read_slots(const Node *node, JsonReader *reader, int64_t now_ms)
{
        JsonReader start = *reader;

        for (guint i = 0; i < node->slots->len; i++) {
                Slot *slot = node->slots->pdata[i];
                gsize before = slot->value->len;

                *reader = start;
                if (before)
                        g_string_append_c(slot->value, ',');
                gsize with_comma = slot->value->len;
                if (!columns_read_value(slot->field, reader, now_ms, slot->value))
                        return false;
                if (slot->value->len == with_comma)
                        g_string_truncate(slot->value, before);
        }
        return true;
}

/* Leaves hold slots, branches hold children; lists are passed through. */
static bool read_node(Columns *columns, const Node *node, JsonReader *reader, int64_t now_ms)
{
        bool started = false, fault = false;
        char kind = json_peek(reader);
        bool json = node->slots->len && ((Slot *)node->slots->pdata[0])->field->type == FIELD_JSON;

        if (kind == '[' && !json) {
                while (json_next_element(reader, &started, &fault))
                        if (!read_node(columns, node, reader, now_ms))
                                return false;
                return !fault;
        }
        if (kind != '{' || !node->children->len)
                return node->slots->len ? read_slots(node, reader, now_ms) : json_skip(reader, NULL);

        while (json_next_member(reader, columns->member, &started, &fault)) {
                const Node *child = node_child(node, columns->member->str);

                if (child ? !read_node(columns, child, reader, now_ms) : !json_skip(reader, NULL))
                        return false;
        }
        return !fault;
}

static bool add_column(Columns *columns, const RecordType *type, const char *alternatives, GError **error)
{
        g_auto(GStrv) paths = g_strsplit(alternatives, "|", -1);
        Column *column = g_new(Column, 1);

        *column = (Column){header_of(alternatives), g_ptr_array_new_with_free_func(slot_free)};
        g_ptr_array_add(columns->columns, column);
        for (guint i = 0; paths[i]; i++) {
                g_auto(GStrv) path = g_strsplit(paths[i], ".", -1);
                Node *node = columns->root;
                const Field *field;

                if (!path_field(type, path, &field))
                        return false;
                for (guint j = 0; path[j]; j++) {
                        Node *child = node_child(node, path[j]);

                        if (!child)
                                g_ptr_array_add(node->children, child = node_new(path[j]));
                        node = child;
                }
                Slot *slot = g_new(Slot, 1);
                *slot = (Slot){field, g_string_new(NULL)};
                g_ptr_array_add(column->slots, slot);
                g_ptr_array_add(node->slots, slot);
        }
        return true;
}

/* The declared field that @path names; parts of a spec get their properties from what their name implies. */
static bool path_field(const RecordType *type, char *const *path, const Field **ret_field)
{
        const Field *field = *path ? record_field(type, *path) : NULL;

        if (!field)
                return false;
        *ret_field = field;
        if (!path[1])
                return field->type != FIELD_RECORD && field->type != FIELD_LIST_RECORD && field->type != FIELD_SPEC;
        if (field->type == FIELD_SPEC) {
                const KindDecl *kind = kind_of_name(path[1]);

                return kind && path[2] && path_field(kind->props, path + 2, ret_field);
        }
        return field->record && path_field(field->record, path + 1, ret_field);
}

static const char *known_path(const char *path, const char *const *known)
{
        for (; *known; known++) {
                g_autofree char *header = header_of(*known);

                if (g_ascii_strcasecmp(header, path) == 0)
                        return *known;
        }
        return NULL;
}

static char *header_of(const char *alternatives)
{
        g_autofree char *first = g_strndup(alternatives, strcspn(alternatives, "|"));
        const char *dot = strrchr(first, '.');

        return g_ascii_strup(dot ? dot + 1 : first, -1);
}

static bool unknown_column(const RecordType *type, const char *path, const char *const *known, GError **error)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

        for (; *known; known++) {
                g_autofree char *header = header_of(*known);

                g_ptr_array_add(names, g_ascii_strdown(header, -1));
        }
        for (size_t i = 0; i < type->n_fields; i++)
                g_ptr_array_add(names, g_strdup(type->fields[i].name));
        g_ptr_array_add(names, NULL);

        g_auto(GStrv) near = names_near(path, (const char *const *)names->pdata);
        g_autofree char *listed = g_strjoinv(", ", *near ? near : (char **)names->pdata);
        error_set(error, HOSTLER_ERROR_USAGE, NULL, "there is no column %s", path);
        return error_hint(error, "%s: %s", *near ? "near columns" : "columns", listed);
}
