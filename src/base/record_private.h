/* What the files of the record interpreter share; nobody else includes it. */
#pragma once

#include "base/record.h"

/* A HostlerXList, whatever X is. */
typedef struct {
        void *items;
        size_t count;
} RecordList;

/* Room for the value of any one field. */
typedef union {
        char *text;
        int64_t number;
        double real;
        bool flag;
        int value;
        RecordList list;
        HostlerSpec spec;
} FieldSlot;

/* Where a value stands in its document: turned into a JSON pointer only when there is a fault to tell. */
typedef struct Path Path;
struct Path {
        const Path *up;
        const char *name; /* a member; of the root the pointer of the whole; NULL: an element */
        size_t index;
};

static inline void *field_slot(const Field *field, const void *value)
{
        return (char *)value + field->offset;
}

static inline void *list_item(const RecordType *type, const RecordList *list, size_t index)
{
        return (char *)list->items + index * type->size;
}

/* The nameless field of a type whose JSON is that field's own (hostler_spec_type), or NULL. */
static inline const Field *record_sole_field(const RecordType *type)
{
        return type->n_fields == 1 && type->fields[0].name[0] == '\0' ? &type->fields[0] : NULL;
}

/* ---- record_read.c ---- */
void path_fault(const Path *path, GPtrArray *faults, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* @json into @slot, which holds the field's default or nothing. False when it added a fault; then @slot holds nothing
 * to free. */
bool field_read(const Field *field, const json_t *json, const Path *path, void *slot, GPtrArray *faults);
/* @json's members into the struct; the member @ignored (NULL: none) is somebody else's. */
bool record_read_members(const RecordType *type, const json_t *json, const char *ignored, const Path *path,
                         void *ret_value, GPtrArray *faults);

/* ---- record_check.c ---- */
/* Whether one number or text keeps what its field declares; adds a fault per breach. */
bool check_number(const Field *field, int64_t number, const Path *path, GPtrArray *faults);
bool check_text(const Field *field, const char *text, size_t length, const Path *path, GPtrArray *faults);
bool check_count(const Field *field, size_t count, const Path *path, GPtrArray *faults);

/* ---- record.c ---- */
void field_clear(const Field *field, void *slot);

/* ---- record_print.c ---- */
json_t *field_to_json(const Field *field, const void *slot, RecordAudience audience);
void print_text(const char *text, GString *out);
/* Adds the members of @value to @object / prints them after @first: shared with parts of a spec. */
void record_members_to_json(const RecordType *type, const void *value, RecordAudience audience, json_t *object);
void record_members_print(const RecordType *type, const void *value, bool first, GString *out);

/* ---- spec.c ---- */
bool spec_read(const json_t *json, const Path *path, HostlerSpec *ret_spec, GPtrArray *faults);
void spec_clear(HostlerSpec *spec);
void spec_copy(const HostlerSpec *spec, HostlerSpec *ret_spec);
bool spec_equal(const HostlerSpec *a, const HostlerSpec *b);
json_t *spec_to_json(const HostlerSpec *spec, RecordAudience audience);
void spec_print(const HostlerSpec *spec, GString *out);
