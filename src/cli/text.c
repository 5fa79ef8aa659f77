/*
 * Text for a terminal: escaping, width, ages. Called by everything here that prints what it was told by others.
 */
#include "cli/text.h"

#include <string.h>

static bool is_plain_ascii(const char *text, gsize length)
{
        for (gsize i = 0; i < length; i++)
                if (text[i] < 0x20 || text[i] > 0x7e)
                        return false;
        return true;
}

/* Unicode Standard Annex #9: the explicit formatting characters. Zero width ones hide what a name really is. */
static bool is_deceptive(gunichar c)
{
        return c == 0x061c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static void append_control(GString *out, unsigned char c)
{
        if (c == '\n')
                g_string_append(out, "\\n");
        else if (c == '\t')
                g_string_append(out, "\\t");
        else if (c == '\r')
                g_string_append(out, "\\r");
        else
                g_string_append_printf(out, "\\x%02x", c);
}

void text_append_safe(GString *out, const char *text, gssize length)
{
        gsize left = length < 0 ? strlen(text) : (gsize)length;

        if (is_plain_ascii(text, left)) {
                g_string_append_len(out, text, (gssize)left);
                return;
        }
        while (left > 0) {
                gunichar c = g_utf8_get_char_validated(text, (gssize)left);
                bool valid = c != (gunichar)-1 && c != (gunichar)-2;
                gsize bytes = valid ? (gsize)g_utf8_skip[(unsigned char)*text] : 1;

                if (!valid || c < 0x20 || c == 0x7f)
                        append_control(out, (unsigned char)*text);
                else if ((c >= 0x80 && c < 0xa0) || is_deceptive(c))
                        g_string_append_printf(out, "\\u%04x", c);
                else
                        g_string_append_len(out, text, (gssize)bytes);
                text += bytes;
                left -= bytes;
        }
}

char *text_safe(const char *text)
{
        GString *out = g_string_sized_new(strlen(text) + 1);

        text_append_safe(out, text, -1);
        return g_string_free(out, false);
}

gsize text_width(const char *text)
{
        gsize length = strlen(text);
        gsize width = 0;

        if (is_plain_ascii(text, length))
                return length;
        for (const char *at = text; *at; at = g_utf8_next_char(at)) {
                gunichar c = g_utf8_get_char(at);

                width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
        }
        return width;
}

char *text_age(int64_t unix_ms, int64_t now_ms)
{
        int64_t seconds = MAX(now_ms - unix_ms, 0) / 1000;

        if (seconds < 120)
                return g_strdup_printf("%" G_GINT64_FORMAT "s", seconds);
        if (seconds < 120 * 60)
                return g_strdup_printf("%" G_GINT64_FORMAT "m", seconds / 60);
        if (seconds < 48 * 3600)
                return g_strdup_printf("%" G_GINT64_FORMAT "h", seconds / 3600);
        return g_strdup_printf("%" G_GINT64_FORMAT "d", seconds / 86400);
}
