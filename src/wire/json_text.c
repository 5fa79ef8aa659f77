/*
 * One complete JSON text to one value. Large ones on a thread of their own, since jansson takes 25 ms for a megabyte
 * and a guest may answer with many. Called by json_splitter.c and json_stream.c.
 */
#include "wire/json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct JsonParse {
        GMainContext *context;
        GString *text;
        json_t *value;
        GError *error;
        JsonParsedFunc parsed; /* NULL once abandoned; the context's thread only, like the next */
        void *data;
};

static bool exceeds_int64(const char *number, gsize length)
{
        if (length < 19 || memchr(number, '.', length) || memchr(number, 'e', length) || memchr(number, 'E', length))
                return false;
        g_autofree char *text = g_strndup(number, length);
        errno = 0;
        (void)strtoll(text, NULL, 10);
        return errno == ERANGE;
}

/* QEMU prints unsigned 64-bit integers, jansson refuses those beyond int64: these alone become reals, by an appended
 * ".0". */
static GString *widen_integers(const GString *text)
{
        GString *wide = g_string_sized_new(text->len + 16);
        bool in_string = false;
        for (const char *at = text->str, *end = at + text->len; at < end;) {
                gsize length = in_string ? 0 : strspn(at, "+-.0123456789eE");
                bool exceeds = length > 0 && exceeds_int64(at, length);
                if (length == 0) {
                        length = *at == '\\' && at + 1 < end ? 2 : 1;
                        in_string ^= *at == '"';
                }
                g_string_append_len(wide, at, (gssize)length);
                if (exceeds)
                        g_string_append(wide, ".0");
                at += length;
        }
        return wide;
}

json_t *json_text_parse(const GString *text, GError **error)
{
        json_error_t fault;
        json_t *value = json_loadb(text->str, text->len, 0, &fault);
        if (!value && json_error_code(&fault) == json_error_numeric_overflow) {
                GString *wide = widen_integers(text);
                value = json_loadb(wide->str, wide->len, 0, &fault);
                g_string_free(wide, TRUE);
        }
        if (!value)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "what came is not JSON (byte %d of %zu)", fault.position,
                          text->len);
        return value;
}

static gboolean finish(gpointer data)
{
        JsonParse *parse = data;
        if (parse->parsed)
                parse->parsed(parse->value, parse->error, parse->data);
        json_decref(parse->value);
        g_clear_error(&parse->error);
        g_string_free(parse->text, TRUE);
        g_main_context_unref(parse->context);
        g_free(parse);
        return G_SOURCE_REMOVE;
}

static gpointer run(gpointer data)
{
        JsonParse *parse = data;
        parse->value = json_text_parse(parse->text, &parse->error);
        g_autoptr(GSource) source = g_idle_source_new();
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        g_source_set_callback(source, finish, parse, NULL);
        g_source_attach(source, parse->context);
        return NULL;
}

JsonParse *json_parse_start(GString *text_taken, GMainContext *context, JsonParsedFunc parsed, void *data)
{
        JsonParse *parse = g_new0(JsonParse, 1);
        parse->context = g_main_context_ref(context);
        parse->text = text_taken;
        parse->parsed = parsed;
        parse->data = data;
        g_thread_unref(g_thread_new("json", run, parse));
        return parse;
}

void json_parse_abandon(JsonParse *parse)
{
        parse->parsed = NULL;
}
