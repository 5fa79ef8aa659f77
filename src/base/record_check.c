/*
 * What a declared field demands of one value: range, length, characters, pattern.
 *
 * Does not know documents; adds its faults at the path it is given. Called by the record reader only.
 */
#include <string.h>

#include "base/record_private.h"
#include "base/units.h"

#define PATH_BYTES_MAX 4095

/* "must be at least 4G": numbers as people write them in the field's unit. */
static void number_fault(const Field *field, const char *demand, int64_t number, const Path *path, GPtrArray *faults)
{
        g_autofree char *text = field->type == FIELD_SIZE       ? size_format(number)
                                : field->type == FIELD_DURATION ? duration_format(number)
                                                                : g_strdup_printf("%" G_GINT64_FORMAT, number);
        path_fault(path, faults, "%s %s", demand, text);
}

bool check_number(const Field *field, int64_t number, const Path *path, GPtrArray *faults)
{
        guint before = faults->len;
        bool never_negative = field->type == FIELD_SIZE || field->type == FIELD_DURATION;
        int64_t min = field->min == HOSTLER_UNSET && never_negative ? 0 : field->min;

        if (number == HOSTLER_UNSET)
                path_fault(path, faults, "is out of range");
        else if (number < min)
                number_fault(field, "must be at least", min, path, faults);
        if (field->max != HOSTLER_UNSET && number > field->max)
                number_fault(field, "must be at most", field->max, path, faults);
        if (field->multiple > 0 && number % field->multiple != 0)
                number_fault(field, "must be a multiple of", field->multiple, path, faults);
        return faults->len == before;
}

/* Patterns are few and static: each is compiled once, for all threads. */
static GRegex *compiled(const char *pattern)
{
        static GMutex lock;
        static GHashTable *patterns;
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
        if (!patterns)
                patterns = g_hash_table_new(g_str_hash, g_str_equal);
        GRegex *regex = g_hash_table_lookup(patterns, pattern);
        if (!regex) {
                g_autofree char *whole = g_strdup_printf("\\A(?:%s)\\z", pattern);
                regex = g_regex_new(whole, G_REGEX_OPTIMIZE, 0, NULL);
                g_assert(regex);
                g_hash_table_insert(patterns, (char *)pattern, regex);
        }
        return regex;
}

/* C0 but tab and newline, DEL, and C1, which terminals obey as well (U+0080 to U+009F: 0xC2 and a byte under 0xA0). */
static bool has_control_characters(const char *text, const char *allowed)
{
        for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++)
                if ((*byte < 0x20 && !strchr(allowed, *byte)) || *byte == 0x7f || (byte[0] == 0xc2 && byte[1] < 0xa0))
                        return true;
        return false;
}

static bool path_is_safe(const char *text)
{
        if (text[0] != '/' || strlen(text) > PATH_BYTES_MAX || has_control_characters(text, ""))
                return false;
        return !strstr(text, "/../") && !g_str_has_suffix(text, "/..");
}

bool name_is_valid(const char *name)
{
        size_t length = strlen(name);
        if (length == 0 || length > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != length)
                return false;
        return g_ascii_isalnum(name[0]) && g_ascii_isalnum(name[length - 1]);
}

static bool check_form(const Field *field, const char *text, const Path *path, GPtrArray *faults)
{
        int64_t time;
        if (field->type == FIELD_NAME && !name_is_valid(text))
                path_fault(path, faults,
                           "must be a name: 1 to 63 of a-z 0-9 . and -, with a letter or digit at both ends");
        else if (field->type == FIELD_PATH && !path_is_safe(text))
                path_fault(path, faults, "must be an absolute path without `..` and control characters");
        else if (field->type == FIELD_TIME && !time_parse(text, &time))
                path_fault(path, faults, "must be a time like 2030-01-31T12:00:00Z");
        else if (field->pattern && !g_regex_match(compiled(field->pattern), text, 0, NULL))
                path_fault(path, faults, "must match %s", field->pattern);
        else
                return true;
        return false;
}

bool check_text(const Field *field, const char *text, size_t length, const Path *path, GPtrArray *faults)
{
        /* min and max of a list count its elements. */
        bool limited = field->type != FIELD_LIST_STRING;
        if (strlen(text) != length || !g_utf8_validate(text, (gssize)length, NULL))
                path_fault(path, faults, "must be UTF-8 text without NUL");
        else if (has_control_characters(text, "\t\n"))
                path_fault(path, faults, "must not hold control characters");
        else if (limited && field->max != HOSTLER_UNSET && length > (size_t)field->max)
                path_fault(path, faults, "must be at most %" G_GINT64_FORMAT " bytes long", field->max);
        else if (limited && field->min != HOSTLER_UNSET && length < (size_t)field->min)
                path_fault(path, faults, "must be at least %" G_GINT64_FORMAT " bytes long", field->min);
        else
                return check_form(field, text, path, faults);
        return false;
}

bool check_count(const Field *field, size_t count, const Path *path, GPtrArray *faults)
{
        if (field->max != HOSTLER_UNSET && count > (size_t)field->max)
                path_fault(path, faults, "must have at most %" G_GINT64_FORMAT " elements", field->max);
        else if (field->min != HOSTLER_UNSET && count < (size_t)field->min)
                path_fault(path, faults, "must have at least %" G_GINT64_FORMAT " elements", field->min);
        else
                return true;
        return false;
}
