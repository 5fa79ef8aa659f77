/*
 * Cuts a stream of bytes into JSON texts; feeding also parses each.
 *
 * Works by nesting alone: a value begins with { or [ and ends with the bracket that closes it. Pure: no socket, no
 * clock, no thread. The limits (length, depth, number of members) are checked before the parser sees a byte, because a
 * few bytes of JSON become hundreds of bytes of memory. Called by json_stream.c, by the QMP handshake tests and by the
 * fuzzers.
 */
#include "wire/json_stream.h"

#include <string.h>

#include "base/error.h"
#include "wire/json_text.h"

#define DEPTH_LIMIT 64
#define MEMBERS_LIMIT 131072 /* query-qmp-schema of QEMU 7.2 has about 30,000 */
#define KEEP_BYTES 65536     /* a buffer that once grew beyond this is given back */
#define SENTINEL '\xff'

struct JsonSplitter {
        gsize limit_bytes;
        GString *unfinished; /* the value being collected */
        guint depth;         /* brackets open in it; 0: between values */
        guint members;       /* commas and brackets seen in it */
        bool in_string;
        bool after_backslash;
        bool skipping;
};

static void forget_unfinished(JsonSplitter *splitter)
{
        if (splitter->unfinished->allocated_len > KEEP_BYTES) {
                g_string_free(splitter->unfinished, TRUE);
                splitter->unfinished = g_string_new(NULL);
        }
        g_string_truncate(splitter->unfinished, 0);
        splitter->depth = 0;
        splitter->members = 0;
        splitter->in_string = false;
        splitter->after_backslash = false;
}

/* Where to go on reading: past everything up to the next sentinel, or at the start of the next value. NULL: neither may
 * stand here. */
static const char *find_value(JsonSplitter *splitter, const char *at, const char *end)
{
        if (splitter->skipping) {
                const char *sentinel = memchr(at, SENTINEL, (size_t)(end - at));
                if (!sentinel)
                        return end;
                splitter->skipping = false;
                at = sentinel + 1;
        }
        while (at < end && (g_ascii_isspace(*at) || *at == SENTINEL))
                at++;
        return at == end || *at == '{' || *at == '[' ? at : NULL;
}

static void scan_in_string(JsonSplitter *splitter, char byte)
{
        if (splitter->after_backslash)
                splitter->after_backslash = false;
        else if (byte == '\\')
                splitter->after_backslash = true;
        else if (byte == '"')
                splitter->in_string = false;
}

/* Follows strings and nesting up to the end of the value, a sentinel, a limit or @end, whichever comes first. */
static const char *scan_value(JsonSplitter *splitter, const char *at, const char *end)
{
        while (at < end && *at != SENTINEL && splitter->depth <= DEPTH_LIMIT && splitter->members <= MEMBERS_LIMIT) {
                char byte = *at++;
                if (splitter->in_string) {
                        scan_in_string(splitter, byte);
                } else if (byte == '"') {
                        splitter->in_string = true;
                } else if (byte == '{' || byte == '[') {
                        splitter->depth++;
                        splitter->members++;
                } else if (byte == ',') {
                        splitter->members++;
                } else if ((byte == '}' || byte == ']') && --splitter->depth == 0) {
                        break;
                }
        }
        return at;
}

static bool collect(JsonSplitter *splitter, const char *bytes, gsize length, GError **error)
{
        if (splitter->depth > DEPTH_LIMIT)
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "a JSON value is nested deeper than %d",
                                 DEPTH_LIMIT);
        if (splitter->members > MEMBERS_LIMIT)
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "a JSON value has more than %d members",
                                 MEMBERS_LIMIT);
        if (length > splitter->limit_bytes - splitter->unfinished->len)
                return error_set(error, HOSTLER_ERROR_TOO_LARGE, NULL, "a JSON value is longer than %zu bytes",
                                 splitter->limit_bytes);
        g_string_append_len(splitter->unfinished, bytes, (gssize)length);
        return true;
}

JsonSplitter *json_splitter_new(gsize limit_bytes)
{
        JsonSplitter *splitter = g_new0(JsonSplitter, 1);
        splitter->limit_bytes = limit_bytes;
        splitter->unfinished = g_string_new(NULL);
        return splitter;
}

bool json_splitter_cut(JsonSplitter *splitter, const char **at, const char *end, GString **ret_text, GError **error)
{
        *ret_text = NULL;
        while (*at < end && !*ret_text) {
                if (splitter->depth == 0 && !(*at = find_value(splitter, *at, end)))
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "what came is not JSON");
                const char *stop = scan_value(splitter, *at, end);
                if (!collect(splitter, *at, (gsize)(stop - *at), error))
                        return false;
                *at = stop;
                if (splitter->depth == 0 && splitter->unfinished->len > 0) {
                        *ret_text = g_steal_pointer(&splitter->unfinished);
                        splitter->unfinished = g_string_new(NULL);
                }
                if (*ret_text || (stop < end && *stop == SENTINEL))
                        forget_unfinished(splitter);
        }
        return true;
}

bool json_splitter_feed(JsonSplitter *splitter, const char *bytes, gsize length,
                        void (*value)(json_t *value, void *data), void *data, GError **error)
{
        for (const char *at = bytes, *end = bytes + length; at < end;) {
                g_autoptr(GString) text = NULL;
                if (!json_splitter_cut(splitter, &at, end, &text, error))
                        return false;
                json_t *parsed = text ? json_text_parse(text, error) : NULL;
                if (text && !parsed)
                        return false;
                if (parsed)
                        value(parsed, data);
                json_decref(parsed);
        }
        return true;
}

void json_splitter_skip_to_sentinel(JsonSplitter *splitter)
{
        forget_unfinished(splitter);
        splitter->skipping = true;
}

void json_splitter_free(JsonSplitter *splitter)
{
        if (!splitter)
                return;
        g_string_free(splitter->unfinished, TRUE);
        g_free(splitter);
}
