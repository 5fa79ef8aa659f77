/*
 * Records in memory: defaults, freeing, copying, comparing.
 *
 * Reading is in record_read.c, printing in record_print.c, text of single values in record_text.c, specs in spec.c.
 * Called by whatever holds a declared struct.
 */
#include "base/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/record_private.h"

static void set_default(const Field *field, void *slot)
{
        const char *text = field->default_value;
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                *(int64_t *)slot = text ? g_ascii_strtoll(text, NULL, 10) : HOSTLER_UNSET;
                break;
        case FIELD_REAL:
                *(double *)slot = text ? g_ascii_strtod(text, NULL) : NAN;
                break;
        case FIELD_BOOL:
                *(bool *)slot = text && g_str_equal(text, "true");
                break;
        case FIELD_ENUM: {
                g_autofree char *name = text ? g_strndup(text + 1, strlen(text) - 2) : g_strdup("");
                while (!g_str_equal(field->values->values[*(int *)slot], name))
                        ++*(int *)slot;
                break;
        }
        default: /* the others have no default and are absent when zero */
                break;
        }
}

void record_init(const RecordType *type, void *ret_value)
{
        memset(ret_value, 0, type->size);
        for (size_t i = 0; i < type->n_fields; i++)
                set_default(&type->fields[i], field_slot(&type->fields[i], ret_value));
}

void record_list_clear(const RecordType *type, void *list)
{
        RecordList *records = list;
        for (size_t i = 0; i < records->count; i++)
                record_clear(type, list_item(type, records, i));
        g_free(records->items);
        *records = (RecordList){0};
}

void field_clear(const Field *field, void *slot)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
        case FIELD_REAL:
        case FIELD_BOOL:
        case FIELD_ENUM:
                break;
        case FIELD_RECORD:
                if (*(void **)slot)
                        record_clear(field->record, *(void **)slot);
                g_free(*(void **)slot);
                break;
        case FIELD_LIST_STRING:
                g_strfreev(*(char ***)slot);
                break;
        case FIELD_LIST_RECORD:
                record_list_clear(field->record, slot);
                break;
        case FIELD_SPEC:
                spec_clear(slot);
                break;
        default:
                g_free(*(char **)slot);
        }
}

void record_clear(const RecordType *type, void *value)
{
        for (size_t i = 0; i < type->n_fields; i++)
                field_clear(&type->fields[i], field_slot(&type->fields[i], value));
        memset(value, 0, type->size);
}

static void copy_list(const RecordType *type, const RecordList *from, RecordList *to)
{
        *to = (RecordList){g_malloc0_n(from->count, type->size), from->count};
        for (size_t i = 0; i < from->count; i++)
                record_copy(type, list_item(type, from, i), list_item(type, to, i));
}

/* @to is a bytewise copy of @from's struct: what is no pointer is there already. */
static void copy_owned(const Field *field, const void *from, void *to)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
        case FIELD_REAL:
        case FIELD_BOOL:
        case FIELD_ENUM:
                break;
        case FIELD_RECORD:
                if (*(void *const *)from) {
                        *(void **)to = g_malloc(field->record->size);
                        record_copy(field->record, *(void *const *)from, *(void **)to);
                }
                break;
        case FIELD_LIST_STRING:
                *(char ***)to = g_strdupv(*(char **const *)from);
                break;
        case FIELD_LIST_RECORD:
                copy_list(field->record, from, to);
                break;
        case FIELD_SPEC:
                spec_copy(from, to);
                break;
        default:
                *(char **)to = g_strdup(*(char *const *)from);
        }
}

void record_copy(const RecordType *type, const void *value, void *ret_value)
{
        memcpy(ret_value, value, type->size);
        for (size_t i = 0; i < type->n_fields; i++)
                copy_owned(&type->fields[i], field_slot(&type->fields[i], value),
                           field_slot(&type->fields[i], ret_value));
}

static bool lists_equal(const RecordType *type, const RecordList *a, const RecordList *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!record_equal(type, list_item(type, a, i), list_item(type, b, i)))
                        return false;
        return true;
}

/* No list and an empty one mean the same. */
static bool string_lists_equal(const char *const *a, const char *const *b)
{
        static const char *const none[] = {NULL};
        return g_strv_equal(a ?: none, b ?: none);
}

static bool field_equal(const Field *field, const void *a, const void *b)
{
        switch (field->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
                return *(const int64_t *)a == *(const int64_t *)b;
        case FIELD_REAL:
                return *(const double *)a == *(const double *)b ||
                       (isnan(*(const double *)a) && isnan(*(const double *)b));
        case FIELD_BOOL:
                return *(const bool *)a == *(const bool *)b;
        case FIELD_ENUM:
                return *(const int *)a == *(const int *)b;
        case FIELD_RECORD: {
                const void *left = *(void *const *)a, *right = *(void *const *)b;
                return left && right ? record_equal(field->record, left, right) : left == right;
        }
        case FIELD_LIST_STRING:
                return string_lists_equal(*(const char *const *const *)a, *(const char *const *const *)b);
        case FIELD_LIST_RECORD:
                return lists_equal(field->record, a, b);
        case FIELD_SPEC:
                return spec_equal(a, b);
        default:
                return g_strcmp0(*(char *const *)a, *(char *const *)b) == 0;
        }
}

bool record_equal(const RecordType *type, const void *a, const void *b)
{
        for (size_t i = 0; i < type->n_fields; i++)
                if (!field_equal(&type->fields[i], field_slot(&type->fields[i], a), field_slot(&type->fields[i], b)))
                        return false;
        return true;
}

const Field *record_field(const RecordType *type, const char *name)
{
        for (size_t i = 0; i < type->n_fields; i++)
                if (g_str_equal(type->fields[i].name, name))
                        return &type->fields[i];
        return NULL;
}
