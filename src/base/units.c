/*
 * Text of sizes, durations and times, both ways.
 *
 * Does not check ranges beyond what int64 holds. Called by the record reader, the command line and whatever prints for
 * people.
 */
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
        const char *suffix;
        int64_t factor;
} Unit;

static const Unit size_units[] = {{"T", INT64_C(1) << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}};
static const Unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

/* Digits with at most one point; the integer and the fraction in millionths. *ret_rest is what follows. */
static bool parse_decimal(const char *text, int64_t *ret_whole, int64_t *ret_millionths, const char **ret_rest)
{
        if (!g_ascii_isdigit(*text))
                return false;

        int64_t whole = 0, millionths = 0;
        for (; g_ascii_isdigit(*text); text++)
                if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *text - '0', &whole))
                        return false;
        if (*text == '.') {
                if (!g_ascii_isdigit(*++text))
                        return false;
                for (int64_t weight = 100000; g_ascii_isdigit(*text); text++, weight /= 10)
                        millionths += weight * (*text - '0');
        }
        *ret_whole = whole;
        *ret_millionths = millionths;
        *ret_rest = text;
        return true;
}

static bool multiply(int64_t whole, int64_t millionths, int64_t factor, int64_t *ret_value)
{
        int64_t fraction = (int64_t)((__int128)millionths * factor / 1000000);
        return !__builtin_mul_overflow(whole, factor, ret_value) &&
               !__builtin_add_overflow(*ret_value, fraction, ret_value);
}

/* The factor of "", "k", "K", "KiB", "kB", "GiB", …; 0 when it is no unit. */
static int64_t size_factor(const char *suffix)
{
        if (g_str_equal(suffix, "B"))
                return 1;
        for (gsize i = 0; i < G_N_ELEMENTS(size_units); i++) {
                gsize length = strlen(size_units[i].suffix);
                if (g_ascii_strncasecmp(suffix, size_units[i].suffix, length) != 0)
                        continue;
                const char *rest = suffix + length;
                if (*rest == '\0' ||
                    (length > 0 && (g_ascii_strcasecmp(rest, "B") == 0 || g_ascii_strcasecmp(rest, "iB") == 0)))
                        return size_units[i].factor;
        }
        return 0;
}

bool size_parse(const char *text, int64_t *ret_bytes)
{
        int64_t whole, millionths;
        const char *suffix;
        if (!parse_decimal(text, &whole, &millionths, &suffix))
                return false;
        int64_t factor = size_factor(suffix);
        return factor > 0 && (factor > 1 || millionths == 0) && multiply(whole, millionths, factor, ret_bytes);
}

static char *format_tenths(int64_t tenths, const char *suffix)
{
        if (tenths % 10 == 0)
                return g_strdup_printf("%" G_GINT64_FORMAT "%s", tenths / 10, suffix);
        return g_strdup_printf("%" G_GINT64_FORMAT ".%d%s", tenths / 10, (int)(tenths % 10), suffix);
}

static int64_t rounded_tenths(int64_t value, int64_t factor)
{
        return value / factor * 10 + (value % factor * 10 + factor / 2) / factor;
}

/* Exactly, in the largest unit that takes at most one decimal and five digits; what has no such unit is rounded. */
char *size_format(int64_t bytes)
{
        const Unit *largest = NULL;
        for (const Unit *unit = size_units; unit < size_units + G_N_ELEMENTS(size_units); unit++) {
                if (bytes < unit->factor)
                        continue;
                largest = largest ?: unit;
                if (bytes % unit->factor * 10 % unit->factor == 0 && bytes / unit->factor < 100000)
                        return format_tenths(rounded_tenths(bytes, unit->factor), unit->suffix);
        }
        if (!largest)
                return g_strdup_printf("%" G_GINT64_FORMAT, bytes);
        return format_tenths(rounded_tenths(bytes, largest->factor), largest->suffix);
}

bool duration_parse(const char *text, int64_t *ret_ms)
{
        int64_t whole, millionths;
        const char *suffix;
        if (!parse_decimal(text, &whole, &millionths, &suffix))
                return false;
        if (*suffix == '\0')
                suffix = "s";
        for (gsize i = 0; i < G_N_ELEMENTS(duration_units); i++)
                if (g_str_equal(suffix, duration_units[i].suffix))
                        return multiply(whole, millionths, duration_units[i].factor, ret_ms);
        return false;
}

/* Exactly, in the largest unit that is not too coarse to read: 90s, not 1.5m; but 2h, not 120m. */
char *duration_format(int64_t ms)
{
        for (gsize i = 0; i < G_N_ELEMENTS(duration_units); i++)
                if (ms != 0 && ms % duration_units[i].factor == 0)
                        return g_strdup_printf("%" G_GINT64_FORMAT "%s", ms / duration_units[i].factor,
                                               duration_units[i].suffix);
        return g_strdup("0s");
}

char *time_format(int64_t unix_ms)
{
        int64_t ms = unix_ms % 1000;
        int64_t seconds = unix_ms / 1000;
        if (ms < 0) {
                ms += 1000;
                seconds--;
        }
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
        g_autofree char *rest = time ? g_date_time_format(time, "-%m-%dT%H:%M:%S") : g_strdup("-00-00T00:00:00");
        return g_strdup_printf("%04d%s.%03dZ", time ? g_date_time_get_year(time) : 0, rest, (int)ms);
}

/* RFC 3339 has the years 1 to 9999; with a zone, a text of them may mean a moment outside. */
#define FIRST_SECOND (-62135596800LL)
#define LAST_SECOND 253402300799LL

/* 'd' in @shape stands for a digit, all else for itself. The rest of @text, or NULL. */
static const char *skip_shape(const char *text, const char *shape)
{
        for (; *shape; shape++, text++)
                if (*shape == 'd' ? !g_ascii_isdigit(*text) : *shape != g_ascii_toupper(*text))
                        return NULL;
        return text;
}

/* GLib also takes ISO 8601's other forms (no separators, week dates, no zone); RFC 3339 has only this one. */
static bool is_rfc3339(const char *text)
{
        const char *clock = skip_shape(text, "dddd-dd-dd");
        if (!clock || !*clock || !strchr("Tt ", *clock))
                return false;
        const char *zone = skip_shape(clock + 1, "dd:dd:dd");
        if (zone && zone[0] == '.' && g_ascii_isdigit(zone[1]))
                for (zone++; g_ascii_isdigit(*zone);)
                        zone++;
        if (!zone || !*zone || !strchr("Zz+-", *zone))
                return false;
        const char *end = g_ascii_toupper(*zone) == 'Z' ? zone + 1 : skip_shape(zone + 1, "dd:dd");
        return end && !*end;
}

bool time_parse(const char *text, int64_t *ret_unix_ms)
{
        if (!is_rfc3339(text))
                return false;
        g_autofree char *upper = g_ascii_strup(text, -1);
        g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(upper, NULL);
        int64_t seconds = time ? g_date_time_to_unix(time) : 0;
        if (!time || seconds < FIRST_SECOND || seconds > LAST_SECOND)
                return false;
        *ret_unix_ms = seconds * 1000 + g_date_time_get_microsecond(time) / 1000;
        return true;
}
