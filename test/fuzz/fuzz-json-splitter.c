/* The framing of QMP and the guest agent: however the bytes are cut into pieces, the same values come out. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/json_stream.h"

#define LIMIT_BYTES 4096

static void keep(json_t *value, void *data)
{
        char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        g_string_append_printf(data, "%s\n", text);
        free(text);
}

/* What was read, and whether it ended in a fault, as text. */
static char *read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
        GString *seen = g_string_new(NULL);
        JsonSplitter *splitter = json_splitter_new(LIMIT_BYTES);
        bool ok = true;
        for (size_t at = 0; at < size && ok; at += piece)
                ok = json_splitter_feed(splitter, (const char *)data + at, MIN(piece, size - at), keep, seen, NULL);
        json_splitter_free(splitter);
        g_string_append(seen, ok ? "ok" : "fault");
        return g_string_free(seen, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *whole = read_in_pieces(data, size, size ? size : 1);
        g_autofree char *bytes = read_in_pieces(data, size, 1);
        g_autofree char *threes = read_in_pieces(data, size, 3);
        if (!g_str_equal(whole, bytes) || !g_str_equal(whole, threes))
                abort();
        return 0;
}
