/*
 * Fuzzes wire/json_splitter.c, which every byte of QEMU and of guests goes through. Whatever comes, and in whatever
 * pieces it comes, the values and the verdict are the same. The first byte says how large the pieces are.
 */
#include <glib.h>
#include <stdint.h>

#include "fuzz.h"
#include "wire/json_stream.h"

#define LIMIT_BYTES 2048 /* small, so that inputs reach it */

typedef struct {
        json_t *values;
        bool good;
} Outcome;

static void keep(json_t *value, void *data)
{
        json_array_append(data, value);
}

static Outcome split(const char *bytes, gsize length, gsize piece, bool skip)
{
        JsonSplitter *splitter = json_splitter_new(LIMIT_BYTES);
        Outcome outcome = {json_array(), true};
        if (skip)
                json_splitter_skip_to_sentinel(splitter);
        for (gsize at = 0; outcome.good && at < length; at += piece) {
                g_autoptr(GError) error = NULL;
                gsize now = MIN(piece, length - at);
                outcome.good = json_splitter_feed(splitter, bytes + at, now, keep, outcome.values, &error);
                g_assert_true(outcome.good == (error == NULL));
        }
        json_splitter_free(splitter);
        return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 2)
                return 0;
        gsize piece = (gsize)(data[0] & 0x7f) + 1;
        bool skip = data[0] & 0x80;
        Outcome whole = split((const char *)data + 1, size - 1, size, skip);
        Outcome pieces = split((const char *)data + 1, size - 1, piece, skip);
        g_assert_true(whole.good == pieces.good);
        g_assert_true(json_equal(whole.values, pieces.values));
        json_decref(whole.values);
        json_decref(pieces.values);
        return 0;
}
