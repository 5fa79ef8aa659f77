/*
 * Streams of bytes to something of a VM's and back: its serial console, a screen's viewers. Main loop only; nothing
 * here blocks.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Where a stream's bytes go. Both may be called from within the stream's own functions. */
typedef struct {
        void (*bytes)(const void *bytes, gsize length, void *data);
        void (*closed)(const char *reason, void *data); /* once, then never again; @reason may be NULL */
        void *data;
} ByteSink;

typedef struct ByteStream ByteStream;
typedef struct {
        void (*write)(ByteStream *stream, const void *bytes, gsize length);
        /* Stops what comes, and lets it come again. NULL: it cannot wait, for others listen too. */
        void (*hold)(ByteStream *stream, bool hold);
        void (*detach)(ByteStream *stream); /* frees it; no callback after it; needed also after closed() */
} ByteStreamOps;

/* What a kind of stream begins with. */
struct ByteStream {
        const ByteStreamOps *ops;
};

/*
 * A connection of one's own to the Unix socket @path. A peer that takes nothing for long is hung up on. Errors as
 * unix_connect().
 */
bool byte_stream_connect(const char *path, const ByteSink *sink, ByteStream **ret_stream, GError **error);
