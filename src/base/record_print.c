/*
 * Prints records: as a jansson tree, and as text without one.
 *
 * Both give the same document. The straight way is there because a list of 10,000 VMs must not take longer than reading
 * it. Called by the API, the store and the client library.
 */
#include <math.h>
#include <string.h>

#include "base/record_private.h"

/* Guests and QEMU may have had a hand in texts that were never read as JSON: what is not UTF-8 becomes U+FFFD. */
static json_t *text_to_json(const char *text)
{
        json_t *json = json_string(text);
        if (json)
                return json;
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        return json_string(valid);
}

static json_t *strings_to_json(char *const *strings)
{
        json_t *array = json_array();
        for (; *strings; strings++)
                json_array_append_new(array, text_to_json(*strings));
        return array;
}

json_t *record_list_to_json(const RecordType *type, const void *list, RecordAudience audience)
{
        const RecordList *records = list;
        json_t *array = json_array();
        for (size_t i = 0; i < records->count; i++)
                json_array_append_new(array, record_to_json(type, list_item(type, records, i), audience));
        return array;
}

/* Whether the slot holds something. Lists of records always do: an empty one is one. */
static bool is_present(const Field *field, const void *slot)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                return *(const int64_t *)slot != HOSTLER_UNSET;
        case FIELD_REAL:
                return isfinite(*(const double *)slot);
        case FIELD_ENUM:
                return *(const int *)slot != 0;
        case FIELD_BOOL:
        case FIELD_LIST_RECORD:
        case FIELD_SPEC:
                return true;
        default:
                return *(void *const *)slot != NULL;
        }
}

/* NULL when absent. */
json_t *field_to_json(const Field *field, const void *slot, RecordAudience audience)
{
        if (!is_present(field, slot))
                return NULL;
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                return json_integer(*(const int64_t *)slot);
        case FIELD_REAL:
                return json_real(*(const double *)slot);
        case FIELD_BOOL:
                return json_boolean(*(const bool *)slot);
        case FIELD_ENUM:
                return json_string(field->values->values[*(const int *)slot]);
        case FIELD_RECORD:
                return record_to_json(field->record, *(void *const *)slot, audience);
        case FIELD_LIST_STRING:
                return strings_to_json(*(char **const *)slot);
        case FIELD_LIST_RECORD:
                return record_list_to_json(field->record, slot, audience);
        case FIELD_SPEC:
                return spec_to_json(slot, audience);
        case FIELD_PATCH:
        case FIELD_JSON:
                return json_loads(*(char *const *)slot, JSON_DECODE_ANY, NULL) ?: json_null();
        default:
                return text_to_json(*(char *const *)slot);
        }
}

static bool is_hidden(const Field *field, RecordAudience audience)
{
        return (field->flags & FIELD_SECRET) && audience == RECORD_SHOWN;
}

void record_members_to_json(const RecordType *type, const void *value, RecordAudience audience, json_t *object)
{
        for (size_t i = 0; i < type->n_fields; i++) {
                const Field *field = &type->fields[i];
                json_t *member =
                    is_hidden(field, audience) ? NULL : field_to_json(field, field_slot(field, value), audience);
                if (member)
                        json_object_set_new(object, field->name, member);
        }
}

json_t *record_to_json(const RecordType *type, const void *value, RecordAudience audience)
{
        const Field *sole = record_sole_field(type);
        if (sole)
                return field_to_json(sole, value, audience);
        json_t *object = json_object();
        record_members_to_json(type, value, audience, object);
        return object;
}

static void print_escape(unsigned char byte, GString *out)
{
        static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
        for (size_t i = 0; i < sizeof letters - 1; i += 2) {
                if ((unsigned char)letters[i] == byte) {
                        g_string_append_c(out, '\\');
                        g_string_append_c(out, letters[i + 1]);
                        return;
                }
        }
        g_string_append_printf(out, "\\u%04x", byte);
}

static void print_valid_text(const char *text, GString *out)
{
        g_string_append_c(out, '"');
        while (*text) {
                const char *start = text;
                while ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\')
                        text++;
                g_string_append_len(out, start, text - start);
                if (*text)
                        print_escape((unsigned char)*text++, out);
        }
        g_string_append_c(out, '"');
}

void print_text(const char *text, GString *out)
{
        if (g_utf8_validate(text, -1, NULL)) {
                print_valid_text(text, out);
                return;
        }
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        print_valid_text(valid, out);
}

static void print_number(int64_t number, GString *out)
{
        char digits[24];
        char *end = digits + sizeof digits, *start = end;
        uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
        do
                *--start = (char)('0' + rest % 10);
        while (rest /= 10);
        if (number < 0)
                *--start = '-';
        g_string_append_len(out, start, end - start);
}

/* Shortest of the two that reads back the same; always with a point or exponent, so that it stays a real. */
static void print_real(double number, GString *out)
{
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        g_ascii_formatd(text, sizeof text, "%.15g", number);
        if (g_ascii_strtod(text, NULL) != number)
                g_ascii_formatd(text, sizeof text, "%.17g", number);
        g_string_append(out, text);
        if (!strpbrk(text, ".e"))
                g_string_append(out, ".0");
}

static void print_strings(char *const *strings, GString *out)
{
        g_string_append_c(out, '[');
        for (size_t i = 0; strings[i]; i++) {
                if (i > 0)
                        g_string_append_c(out, ',');
                print_text(strings[i], out);
        }
        g_string_append_c(out, ']');
}

void record_list_print(const RecordType *type, const void *list, GString *out)
{
        const RecordList *records = list;
        g_string_append_c(out, '[');
        for (size_t i = 0; i < records->count; i++) {
                if (i > 0)
                        g_string_append_c(out, ',');
                record_print(type, list_item(type, records, i), out);
        }
        g_string_append_c(out, ']');
}

static void print_field(const Field *field, const void *slot, GString *out)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                print_number(*(const int64_t *)slot, out);
                break;
        case FIELD_REAL:
                print_real(*(const double *)slot, out);
                break;
        case FIELD_BOOL:
                g_string_append(out, *(const bool *)slot ? "true" : "false");
                break;
        case FIELD_ENUM:
                print_valid_text(field->values->values[*(const int *)slot], out);
                break;
        case FIELD_RECORD:
                record_print(field->record, *(void *const *)slot, out);
                break;
        case FIELD_LIST_STRING:
                print_strings(*(char **const *)slot, out);
                break;
        case FIELD_LIST_RECORD:
                record_list_print(field->record, slot, out);
                break;
        case FIELD_SPEC:
                spec_print(slot, out);
                break;
        case FIELD_PATCH:
        case FIELD_JSON:
                g_string_append(out, *(char *const *)slot);
                break;
        default:
                print_text(*(char *const *)slot, out);
        }
}

void record_members_print(const RecordType *type, const void *value, bool first, GString *out)
{
        for (size_t i = 0; i < type->n_fields; i++) {
                const Field *field = &type->fields[i];
                const void *slot = field_slot(field, value);
                if (is_hidden(field, RECORD_SHOWN) || !is_present(field, slot))
                        continue;
                g_string_append(out, first ? "\"" : ",\"");
                g_string_append(out, field->name);
                g_string_append(out, "\":");
                print_field(field, slot, out);
                first = false;
        }
}

void record_print(const RecordType *type, const void *value, GString *out)
{
        const Field *sole = record_sole_field(type);
        if (sole) {
                print_field(sole, value, out);
                return;
        }
        g_string_append_c(out, '{');
        record_members_print(type, value, true, out);
        g_string_append_c(out, '}');
}
