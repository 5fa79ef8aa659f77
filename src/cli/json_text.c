/*
 * JSON as text (RFC 8259), without a tree. Called by the table and by `-o json`.
 */
#include "cli/json_text.h"

#include <string.h>

#define NESTING_LIMIT 64

static bool read_escape(JsonReader *reader, GString *out);
static bool skip_string(JsonReader *reader);
static bool skip_nested(JsonReader *reader);
static bool indent_value(JsonReader *reader, guint depth, GString *out);

JsonReader json_reader(const char *text, gsize length)
{
        return (JsonReader){text, text + length};
}

char json_peek(JsonReader *reader)
{
        while (reader->at < reader->end &&
               (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\t' || *reader->at == '\r'))
                reader->at++;
        return reader->at < reader->end ? *reader->at : 0;
}

bool json_take(JsonReader *reader, char c)
{
        if (json_peek(reader) != c || !c)
                return false;
        reader->at++;
        return true;
}

bool json_read_string(JsonReader *reader, GString *out)
{
        if (!out)
                return json_peek(reader) == '"' && skip_string(reader);
        if (!json_take(reader, '"'))
                return false;
        while (reader->at < reader->end) {
                const char *start = reader->at;

                while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\')
                        reader->at++;
                g_string_append_len(out, start, reader->at - start);
                if (reader->at == reader->end)
                        return false;
                if (*reader->at++ == '"')
                        return true;
                if (!read_escape(reader, out))
                        return false;
        }
        return false;
}

bool json_skip(JsonReader *reader, const char **ret_start)
{
        char first = json_peek(reader);

        if (ret_start)
                *ret_start = reader->at;
        if (first == '"')
                return skip_string(reader);
        if (first == '{' || first == '[')
                return skip_nested(reader);
        const char *start = reader->at;
        while (reader->at < reader->end && (g_ascii_isalnum(*reader->at) || strchr("+-.", *reader->at)) && *reader->at)
                reader->at++;
        return reader->at > start;
}

bool json_next_element(JsonReader *reader, bool *started, bool *fault)
{
        bool first = !*started;

        *started = true;
        if (first && !json_take(reader, '[')) {
                *fault = true;
                return false;
        }
        if (json_take(reader, ']'))
                return false;
        if (first || json_take(reader, ','))
                return true;
        *fault = true;
        return false;
}

bool json_next_member(JsonReader *reader, GString *ret_name, bool *started, bool *fault)
{
        bool first = !*started;

        *started = true;
        if (first && !json_take(reader, '{')) {
                *fault = true;
                return false;
        }
        if (json_take(reader, '}'))
                return false;
        g_string_truncate(ret_name, 0);
        if ((first || json_take(reader, ',')) && json_read_string(reader, ret_name) && json_take(reader, ':'))
                return true;
        *fault = true;
        return false;
}

bool json_indent(const char *text, gsize length, GString *out)
{
        JsonReader reader = json_reader(text, length);

        return indent_value(&reader, 0, out) && !json_peek(&reader);
}

static bool read_hex4(JsonReader *reader, gunichar *ret_unit)
{
        *ret_unit = 0;
        if (reader->end - reader->at < 4)
                return false;
        for (int i = 0; i < 4; i++) {
                int digit = g_ascii_xdigit_value(*reader->at++);

                if (digit < 0)
                        return false;
                *ret_unit = *ret_unit * 16 + (gunichar)digit;
        }
        return true;
}

/* After `\u`: one UTF-16 unit, or the two of a surrogate pair. */
static bool read_unicode(JsonReader *reader, GString *out)
{
        gunichar high, low;

        if (!read_hex4(reader, &high))
                return false;
        if (high >= 0xd800 && high < 0xdc00) {
                if (reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u')
                        return false;
                reader->at += 2;
                if (!read_hex4(reader, &low) || low < 0xdc00 || low > 0xdfff)
                        return false;
                high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        }
        if (!g_unichar_validate(high) || !high)
                return false;
        g_string_append_unichar(out, high);
        return true;
}

static bool read_escape(JsonReader *reader, GString *out)
{
        static const char letters[] = "\"\\/bfnrt";
        static const char meanings[] = "\"\\/\b\f\n\r\t";

        if (reader->at == reader->end || !*reader->at)
                return false;
        char letter = *reader->at++;
        if (letter == 'u')
                return read_unicode(reader, out);
        const char *found = strchr(letters, letter);
        if (!found)
                return false;
        g_string_append_c(out, meanings[found - letters]);
        return true;
}

static bool skip_string(JsonReader *reader)
{
        for (reader->at++; reader->at < reader->end; reader->at++) {
                if (*reader->at == '"') {
                        reader->at++;
                        return true;
                }
                if (*reader->at == '\\' && ++reader->at == reader->end)
                        return false;
        }
        return false;
}

/* Brackets are counted, not matched by kind: what is skipped is not shown. */
static bool skip_nested(JsonReader *reader)
{
        guint depth = 0;

        while (reader->at < reader->end) {
                char c = *reader->at;

                if (c == '"') {
                        if (!skip_string(reader))
                                return false;
                        continue;
                }
                reader->at++;
                if ((c == '{' || c == '[') && ++depth > NESTING_LIMIT)
                        return false;
                if ((c == '}' || c == ']') && --depth == 0)
                        return true;
        }
        return false;
}

static void new_line(GString *out, guint depth)
{
        static const char spaces[] = "                                                                ";

        g_string_append_c(out, '\n');
        for (guint left = depth * 2; left > 0; left -= MIN(left, sizeof(spaces) - 1))
                g_string_append_len(out, spaces, (gssize)MIN(left, sizeof(spaces) - 1));
}

/* DEL and the C1 controls may stand in JSON as they are, and a terminal obeys them. */
static void append_string(GString *out, const char *text, gsize length)
{
        const char *end = text + length;
        const char *start = text;

        for (; text < end; text++) {
                unsigned char c = (unsigned char)text[0];
                bool c1 =
                    c == 0xc2 && text + 1 < end && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0;

                if (c >= 0x20 && c != 0x7f && !c1)
                        continue;
                g_string_append_len(out, start, text - start);
                if (c1)
                        text++;
                g_string_append_printf(out, "\\u%04x", (unsigned char)*text);
                start = text + 1;
        }
        g_string_append_len(out, start, end - start);
}

static bool indent_string(JsonReader *reader, GString *out)
{
        const char *start = reader->at;

        if (!skip_string(reader))
                return false;
        append_string(out, start, (gsize)(reader->at - start));
        return true;
}

static bool indent_nested(JsonReader *reader, guint depth, char open, GString *out)
{
        char close = open == '{' ? '}' : ']';

        reader->at++;
        g_string_append_c(out, open);
        if (json_take(reader, close)) {
                g_string_append_c(out, close);
                return true;
        }
        do {
                new_line(out, depth + 1);
                if (open == '{') {
                        if (json_peek(reader) != '"' || !indent_string(reader, out) || !json_take(reader, ':'))
                                return false;
                        g_string_append(out, ": ");
                }
                if (!indent_value(reader, depth + 1, out))
                        return false;
                if (json_peek(reader) == ',')
                        g_string_append_c(out, ',');
        } while (json_take(reader, ','));
        new_line(out, depth);
        g_string_append_c(out, close);
        return json_take(reader, close);
}

static bool indent_value(JsonReader *reader, guint depth, GString *out)
{
        char first = json_peek(reader);
        const char *start;

        if (depth > NESTING_LIMIT)
                return false;
        if (first == '{' || first == '[')
                return indent_nested(reader, depth, first, out);
        if (first == '"')
                return indent_string(reader, out);
        if (!json_skip(reader, &start))
                return false;
        g_string_append_len(out, start, reader->at - start);
        return true;
}
