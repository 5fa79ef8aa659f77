/*
 * Reads records out of JSON, collecting every fault with its JSON pointer.
 *
 * What a single value must be is in record_check.c, parts of specs in spec.c. Called for every request body, every
 * stored document and every answer the client library gets.
 */
#include <string.h>

#include "base/error.h"
#include "base/record_private.h"
#include "base/units.h"

/* A hostile document could have a fault per byte; nobody reads more than these. */
#define FAULTS_MAX 100
/* Names longer than this are cut in pointers. */
#define SHOWN_NAME_MAX 128

static void fault_free(void *data)
{
        Fault *fault = data;
        g_free(fault->pointer);
        g_free(fault->detail);
        g_free(fault);
}

GPtrArray *faults_new(void)
{
        return g_ptr_array_new_with_free_func(fault_free);
}

static void add_fault(GPtrArray *faults, char *pointer_taken, char *detail_taken)
{
        Fault *fault = g_new(Fault, 1);
        *fault = (Fault){pointer_taken, detail_taken};
        if (faults->len < FAULTS_MAX)
                g_ptr_array_add(faults, fault);
        else
                fault_free(fault);
}

void faults_add(GPtrArray *faults, const char *pointer, const char *format, ...)
{
        va_list list;
        va_start(list, format);
        add_fault(faults, g_strdup(pointer), g_strdup_vprintf(format, list));
        va_end(list);
}

bool faults_check(GPtrArray *faults, const char *object, GError **error)
{
        if (faults->len == 0)
                return true;

        const Fault *first = faults->pdata[0];
        const char *colon = *first->pointer ? ": " : "";
        if (faults->len == 1)
                error_set(error, HOSTLER_ERROR_INVALID, object, "%s%s%s", first->pointer, colon, first->detail);
        else
                error_set(error, HOSTLER_ERROR_INVALID, object, "%u values are wrong; the first: %s%s%s", faults->len,
                          first->pointer, colon, first->detail);
        for (guint i = 0; i < faults->len; i++) {
                const Fault *fault = faults->pdata[i];
                error_cause(error, fault->pointer, "%s", fault->detail);
        }
        return false;
}

/* RFC 6901: ~ and / are written ~0 and ~1. */
static void append_name(GString *pointer, const char *name)
{
        const char *cut = g_utf8_find_prev_char(name, name + strnlen(name, SHOWN_NAME_MAX));
        size_t length = strlen(name) > SHOWN_NAME_MAX && cut ? (size_t)(cut - name) : strlen(name);
        for (const char *byte = name; byte < name + length; byte++) {
                if (*byte == '~')
                        g_string_append(pointer, "~0");
                else if (*byte == '/')
                        g_string_append(pointer, "~1");
                else
                        g_string_append_c(pointer, *byte);
        }
}

static void append_path(GString *pointer, const Path *path)
{
        if (!path->up) {
                g_string_append(pointer, path->name);
                return;
        }
        append_path(pointer, path->up);
        g_string_append_c(pointer, '/');
        if (path->name)
                append_name(pointer, path->name);
        else
                g_string_append_printf(pointer, "%zu", path->index);
}

void path_fault(const Path *path, GPtrArray *faults, const char *format, ...)
{
        GString *pointer = g_string_new(NULL);
        append_path(pointer, path);
        va_list list;
        va_start(list, format);
        add_fault(faults, g_string_free(pointer, FALSE), g_strdup_vprintf(format, list));
        va_end(list);
}

static bool read_number(const Field *field, const json_t *json, const Path *path, int64_t *slot, GPtrArray *faults)
{
        const char *text = json_string_value(json);
        int64_t number;
        if (json_is_integer(json))
                number = json_integer_value(json);
        else if (text && field->type == FIELD_SIZE && size_parse(text, &number))
                ;
        else if (text && field->type == FIELD_DURATION && duration_parse(text, &number))
                ;
        else {
                path_fault(path, faults, "%s",
                           field->type == FIELD_SIZE ? "must be a size: bytes, or text like \"4G\" or \"500M\""
                           : field->type == FIELD_DURATION
                               ? "must be a duration: milliseconds, or text like \"90s\" or \"2h\""
                               : "must be a whole number");
                return false;
        }
        if (!check_number(field, number, path, faults))
                return false;
        *slot = number;
        return true;
}

static bool read_real(const Field *field, const json_t *json, const Path *path, double *slot, GPtrArray *faults)
{
        double number = json_number_value(json);
        if (!json_is_number(json))
                path_fault(path, faults, "must be a number");
        else if (field->min != HOSTLER_UNSET && number < (double)field->min)
                path_fault(path, faults, "must be at least %" G_GINT64_FORMAT, field->min);
        else if (field->max != HOSTLER_UNSET && number > (double)field->max)
                path_fault(path, faults, "must be at most %" G_GINT64_FORMAT, field->max);
        else {
                *slot = number;
                return true;
        }
        return false;
}

static bool read_enum(const Field *field, const json_t *json, const Path *path, int *slot, GPtrArray *faults)
{
        const char *const *values = field->values->values;
        const char *text = json_string_value(json) ?: "";
        for (int i = 1; values[i]; i++) {
                if (g_str_equal(values[i], text)) {
                        *slot = i;
                        return true;
                }
        }
        g_autofree char *all = g_strjoinv(", ", (char **)values + 1);
        g_autofree char *near = names_near_text(text, values + 1);
        path_fault(path, faults, "must be one of: %s%s", all, near);
        return false;
}

static bool read_text(const Field *field, const json_t *json, const Path *path, char **slot, GPtrArray *faults)
{
        if (!json_is_string(json)) {
                path_fault(path, faults, "must be a string");
                return false;
        }
        if (!check_text(field, json_string_value(json), json_string_length(json), path, faults))
                return false;
        *slot = g_strdup(json_string_value(json));
        return true;
}

/* Whether @json is an array of a good length. */
static bool check_array(const Field *field, const json_t *json, const Path *path, GPtrArray *faults)
{
        if (json_is_array(json))
                return check_count(field, json_array_size(json), path, faults);
        path_fault(path, faults, "must be an array");
        return false;
}

static bool read_string_list(const Field *field, const json_t *json, const Path *path, char ***slot, GPtrArray *faults)
{
        if (!check_array(field, json, path, faults))
                return false;

        g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
        bool good = true;
        for (size_t i = 0; i < json_array_size(json); i++) {
                char *text = NULL;
                good &= read_text(field, json_array_get(json, i), &(Path){path, NULL, i}, &text, faults);
                if (good)
                        g_ptr_array_add(strings, text);
                else
                        g_free(text);
        }
        if (!good)
                return false;
        g_ptr_array_add(strings, NULL);
        *slot = (char **)g_ptr_array_free(g_steal_pointer(&strings), FALSE);
        return true;
}

static bool read_list(const RecordType *type, const json_t *json, const Path *path, RecordList *slot, GPtrArray *faults)
{
        RecordList list = {g_malloc0_n(json_array_size(json), type->size), json_array_size(json)};
        bool good = true;
        for (size_t i = 0; i < list.count; i++)
                good &= record_read_members(type, json_array_get(json, i), NULL, &(Path){path, NULL, i},
                                            list_item(type, &list, i), faults);
        if (!good)
                record_list_clear(type, &list);
        *slot = list;
        return good;
}

static bool read_record(const RecordType *type, const json_t *json, const Path *path, void **slot, GPtrArray *faults)
{
        g_autofree void *value = g_malloc(type->size);
        if (!record_read_members(type, json, NULL, path, value, faults))
                return false;
        *slot = g_steal_pointer(&value);
        return true;
}

/* Documents inside documents are kept as text. */
static bool read_json(const Field *field, const json_t *json, const Path *path, char **slot, GPtrArray *faults)
{
        if (field->type == FIELD_PATCH && !json_is_object(json)) {
                path_fault(path, faults, "must be an object of parts");
                return false;
        }
        *slot = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        return true;
}

bool field_read(const Field *field, const json_t *json, const Path *path, void *slot, GPtrArray *faults)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                return read_number(field, json, path, slot, faults);
        case FIELD_REAL:
                return read_real(field, json, path, slot, faults);
        case FIELD_ENUM:
                return read_enum(field, json, path, slot, faults);
        case FIELD_BOOL:
                *(bool *)slot = json_is_true(json);
                if (!json_is_boolean(json))
                        path_fault(path, faults, "must be true or false");
                return json_is_boolean(json);
        case FIELD_RECORD:
                return read_record(field->record, json, path, slot, faults);
        case FIELD_LIST_STRING:
                return read_string_list(field, json, path, slot, faults);
        case FIELD_LIST_RECORD:
                return check_array(field, json, path, faults) && read_list(field->record, json, path, slot, faults);
        case FIELD_SPEC:
                return spec_read(json, path, slot, faults);
        case FIELD_PATCH:
        case FIELD_JSON:
                return read_json(field, json, path, slot, faults);
        default:
                return read_text(field, json, path, slot, faults);
        }
}

static bool is_plain_text(const char *name)
{
        for (; *name; name++)
                if (g_ascii_iscntrl(*name))
                        return false;
        return true;
}

static void refuse_unknown(const RecordType *type, const json_t *json, const char *ignored, const Path *path,
                           GPtrArray *faults)
{
        const char *name;
        json_t *member;
        json_object_foreach ((json_t *)json, name, member) {
                if (record_field(type, name) || g_strcmp0(name, ignored) == 0)
                        continue;
                if (faults->len >= FAULTS_MAX)
                        return;
                if (!is_plain_text(name)) {
                        path_fault(path, faults, "has a member whose name holds control characters");
                        continue;
                }
                g_autofree const char **candidates = g_new0(const char *, type->n_fields + 1);
                for (size_t i = 0; i < type->n_fields; i++)
                        candidates[i] = type->fields[i].name;
                g_autofree char *near = names_near_text(name, candidates);
                path_fault(&(Path){path, name, 0}, faults, "is not known%s", near);
        }
}

bool record_read_members(const RecordType *type, const json_t *json, const char *ignored, const Path *path,
                         void *ret_value, GPtrArray *faults)
{
        guint before = faults->len;
        bool good = json_is_object(json);
        record_init(type, ret_value);
        if (!good)
                path_fault(path, faults, "must be an object");
        for (size_t i = 0; json_is_object(json) && i < type->n_fields; i++) {
                const Field *field = &type->fields[i];
                const json_t *member = json_object_get(json, field->name);
                Path here = {path, field->name, 0};
                if (member && !json_is_null(member))
                        good &= field_read(field, member, &here, field_slot(field, ret_value), faults);
                else if (field->flags & FIELD_REQUIRED)
                        path_fault(&here, faults, "is missing");
        }
        refuse_unknown(type, json, ignored, path, faults);
        if (good && faults->len == before)
                return true;
        record_clear(type, ret_value);
        return false;
}

bool record_read(const RecordType *type, const json_t *json, const char *pointer, void *ret_value, GPtrArray *faults)
{
        Path root = {NULL, pointer, 0};
        const Field *sole = record_sole_field(type);
        if (!sole)
                return record_read_members(type, json, NULL, &root, ret_value, faults);
        record_init(type, ret_value);
        return field_read(sole, json, &root, ret_value, faults);
}

bool record_from_json(const RecordType *type, const json_t *json, const char *pointer, void *ret_value, GError **error)
{
        g_autoptr(GPtrArray) faults = faults_new();
        return record_read(type, json, pointer, ret_value, faults) || faults_check(faults, NULL, error);
}

bool record_list_from_json(const RecordType *type, const json_t *json, const char *pointer, void *ret_list,
                           GError **error)
{
        g_autoptr(GPtrArray) faults = faults_new();
        Path root = {NULL, pointer, 0};
        if (!json_is_array(json))
                path_fault(&root, faults, "must be an array");
        else if (read_list(type, json, &root, ret_list, faults))
                return true;
        return faults_check(faults, NULL, error);
}
