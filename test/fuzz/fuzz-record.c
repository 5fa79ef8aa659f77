/*
 * Any document read as any declared type: faults or a value, and a value survives copying, printing and reading again.
 *
 * The first line names the type ("vm.start": its arguments; "vm": the record; "spec"); with "assignment" the rest is
 * PROP=VALUE instead.
 */
#include <string.h>

#include "base/declare.h"
#include "base/error.h"
#include "fuzz.h"
#include "hostler-records.h"

static const RecordType *type_of(const char *name)
{
        static const RecordType *const records[] = {&hostler_vm_type, &hostler_job_type, &hostler_image_type,
                                                    &hostler_spec_type};

        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++)
                if (g_str_equal(verb->id, name))
                        return verb->args;
        for (size_t i = 0; i < G_N_ELEMENTS(records); i++)
                if (g_str_equal(records[i]->name, name))
                        return records[i];
        return NULL;
}

static void check_assignment(const char *text)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *patch = spec_patch_from_assignment(text, &error);
        g_assert_true(patch || error_is(error, HOSTLER_ERROR_INVALID));
}

/* What was read is printed both ways and read again: all are the same value. */
static void check_value(const RecordType *type, void *value)
{
        g_autofree void *copy = g_malloc(type->size), *again = g_malloc(type->size);
        g_autoptr(GString) text = g_string_new(NULL);
        record_print(type, value, text);
        json_auto_t *printed = json_loadb(text->str, text->len, JSON_DECODE_ANY, NULL);
        json_auto_t *shown = record_to_json(type, value, RECORD_SHOWN);
        g_assert_true(json_equal(printed, shown));

        json_auto_t *stored = record_to_json(type, value, RECORD_STORED);
        g_assert_true(record_from_json(type, stored, "", again, NULL));
        record_copy(type, value, copy);
        g_assert_true(record_equal(type, copy, value));
        g_assert_true(record_equal(type, again, value));
        record_clear(type, copy);
        record_clear(type, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *text = g_strndup((const char *)data, size);
        char *line_end = strchr(text, '\n');
        if (!line_end)
                return 0;
        *line_end = '\0';
        if (g_str_equal(text, "assignment"))
                check_assignment(line_end + 1);
        const RecordType *type = type_of(text);
        json_auto_t *json = json_loads(line_end + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (!type || !json)
                return 0;

        g_autofree void *value = g_malloc(type->size);
        g_autoptr(GError) error = NULL;
        if (record_from_json(type, json, "", value, &error)) {
                check_value(type, value);
                record_clear(type, value);
        } else {
                g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        }
        return 0;
}
