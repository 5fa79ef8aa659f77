/*
 * Single values as words: from command lines and queries, and for people's eyes. And names that are near to each other.
 *
 * Called by the command line, the HTTP query reader, the tables of `hostler ls`, and whatever suggests what was meant.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/record_private.h"
#include "base/units.h"

#define NEAR_MAX 3
/* Longer words are not repeated in messages. */
#define QUOTED_MAX 80
/* Nobody mistypes a longer name, and the distance takes its square. */
#define NEAR_NAME_MAX 64

static json_t *bool_from_text(const char *text)
{
        static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                if (g_ascii_strcasecmp(text, words[i]) == 0)
                        return json_boolean(i % 2);
        return json_string(text);
}

static json_t *int_from_text(const char *text)
{
        gint64 number;
        if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL))
                return json_integer(number);
        return json_string(text);
}

static json_t *real_from_text(const char *text)
{
        char *end;
        double number = g_ascii_strtod(text, &end);
        return end != text && *end == '\0' && isfinite(number) ? json_real(number) : json_string(text);
}

static json_t *list_from_text(const char *text)
{
        json_t *array = json_array();
        g_auto(GStrv) parts = g_strsplit(text, ",", -1);
        for (char **part = parts; *part; part++)
                json_array_append_new(array, json_string(*part));
        return array;
}

/* An assignment is a patch too. */
static json_t *patch_from_text(const char *text, GError **error)
{
        return text[0] == '{' ? json_loads(text, 0, NULL) ?: json_string(text)
                              : spec_patch_from_assignment(text, error);
}

/* JSON that looks like @text; whether it is one of the field's values is for the reader to say. NULL when it is not
 * UTF-8. */
static json_t *json_from_text(const Field *field, const char *text, GError **error)
{
        switch (field->type) {
        case FIELD_BOOL:
                return bool_from_text(text);
        case FIELD_INT:
                return int_from_text(text);
        case FIELD_REAL:
                return real_from_text(text);
        case FIELD_LIST_STRING:
                return list_from_text(text);
        case FIELD_PATCH:
                return patch_from_text(text, error);
        case FIELD_RECORD:
        case FIELD_LIST_RECORD:
        case FIELD_SPEC:
        case FIELD_JSON:
                return json_loads(text, JSON_DECODE_ANY, NULL) ?: json_string(text);
        default:
                return json_string(text);
        }
}

json_t *field_parse_text(const Field *field, const char *text, GError **error)
{
        if (!g_utf8_validate(text, -1, NULL)) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "must be UTF-8 text");
                return NULL;
        }
        json_auto_t *json = json_from_text(field, text, error);
        if (!json)
                return NULL;

        FieldSlot slot = {0};
        g_autoptr(GPtrArray) faults = faults_new();
        if (!field_read(field, json, &(Path){NULL, "", 0}, &slot, faults)) {
                const Fault *fault = faults->pdata[0];
                bool quotable = strlen(text) <= QUOTED_MAX && !(field->flags & FIELD_SECRET);
                error_set(error, HOSTLER_ERROR_INVALID, NULL, quotable ? "`%2$s` %1$s" : "%s", fault->detail, text);
                return NULL;
        }
        json_t *value = field_to_json(field, &slot, RECORD_STORED);
        field_clear(field, &slot);
        return value;
}

static char *printed(const Field *field, const void *slot)
{
        json_auto_t *json = field_to_json(field, slot, RECORD_SHOWN);
        return json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : g_strdup("");
}

/* Absent is "". */
char *field_format(const Field *field, const void *value_struct)
{
        const void *slot = field_slot(field, value_struct);
        int64_t number = HOSTLER_UNSET;
        if (field->flags & FIELD_SECRET)
                return g_strdup("");
        switch (field->type) {
        case FIELD_SIZE:
        case FIELD_DURATION:
                number = *(const int64_t *)slot;
                if (number == HOSTLER_UNSET)
                        return g_strdup("");
                return field->type == FIELD_SIZE ? size_format(number) : duration_format(number);
        case FIELD_BOOL:
                return g_strdup(*(const bool *)slot ? "on" : "off");
        case FIELD_ENUM:
                return g_strdup(field->values->values[*(const int *)slot]);
        case FIELD_LIST_STRING: {
                char **strings = *(char **const *)slot;
                return strings ? g_strjoinv(",", strings) : g_strdup("");
        }
        case FIELD_INT:
        case FIELD_REAL:
        case FIELD_RECORD:
        case FIELD_LIST_RECORD:
        case FIELD_SPEC:
                return printed(field, slot);
        default:
                return g_strdup(*(char *const *)slot ?: "");
        }
}

/* Edits (insert, delete, replace, swap neighbours) between two short names: optimal string alignment. */
static guint distance(const char *a, const char *b)
{
        guint rows[3][NEAR_NAME_MAX + 1];
        size_t length = strlen(b);
        for (guint j = 0; j <= length; j++)
                rows[0][j] = j;
        for (guint i = 1; a[i - 1]; i++) {
                guint *before = rows[(i + 1) % 3], *above = rows[(i - 1) % 3], *row = rows[i % 3];
                row[0] = i;
                for (guint j = 1; j <= length; j++) {
                        row[j] = MIN(above[j - 1] + (a[i - 1] != b[j - 1]), MIN(above[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = MIN(row[j], before[j - 2] + 1);
                }
        }
        return rows[strlen(a) % 3][length];
}

typedef struct {
        const char *name;
        guint distance;
} Near;

static int near_compare(const void *a, const void *b)
{
        const Near *left = a, *right = b;
        if (left->distance != right->distance)
                return left->distance < right->distance ? -1 : 1;
        return strcmp(left->name, right->name);
}

char **names_near(const char *name, const char *const *candidates)
{
        g_autoptr(GArray) near = g_array_new(FALSE, FALSE, sizeof(Near));
        size_t length = strlen(name);
        for (; length > 0 && length <= NEAR_NAME_MAX && *candidates; candidates++) {
                if (strlen(*candidates) > NEAR_NAME_MAX)
                        continue;
                Near one = {*candidates, distance(name, *candidates)};
                bool begins = length >= 2 && g_str_has_prefix(*candidates, name);
                if (one.distance <= 1 + length / 4 || begins)
                        g_array_append_val(near, one);
        }
        g_array_sort(near, near_compare);

        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (guint i = 0; i < MIN(near->len, NEAR_MAX); i++)
                g_ptr_array_add(names, g_strdup(g_array_index(near, Near, i).name));
        g_ptr_array_add(names, NULL);
        return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

char *names_near_text(const char *name, const char *const *candidates)
{
        g_auto(GStrv) near = names_near(name, candidates);
        g_autofree char *joined = g_strjoinv(" or ", near);
        return *joined ? g_strdup_printf("; did you mean %s?", joined) : g_strdup("");
}
