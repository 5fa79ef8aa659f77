/*
 * A socket that carries JSON values one after another, framed by newlines or by nesting (QMP, guest agent).
 *
 * Bytes come from QEMU and from guests: they are untrusted. A value over @limit_bytes, nested deeper than 64, or not JSON
 * closes the stream. Reading happens on the main context given; writing never blocks (bytes wait in a bounded queue: over
 * 4 MiB closes the stream).
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct JsonStream JsonStream;

/* Both run on the stream's main context. @value is borrowed for the call. */
typedef void (*JsonStreamValueFunc)(JsonStream *stream, json_t *value, void *data);
/* The last call ever made; @reason is owned by the stream. */
typedef void (*JsonStreamClosedFunc)(JsonStream *stream, const GError *reason, void *data);

/* @fd_taken: connected stream socket. @context: NULL for the default one. */
JsonStream *json_stream_new(int fd_taken, gsize limit_bytes, GMainContext *context, JsonStreamValueFunc value, JsonStreamClosedFunc closed,
                            void *data);
/* Any thread. One line of compact JSON; @prefix bytes (may be NULL: the agent's 0xFF sentinel) go before it. False once closed. */
bool json_stream_send(JsonStream *stream, const json_t *value, const char *prefix, GError **error);
/* Drops everything buffered on the way in, up to and including the next 0xFF byte (guest agent sync). */
void json_stream_skip_to_sentinel(JsonStream *stream);
/* Stops all callbacks and frees; must run on the stream's context. */
void json_stream_free(JsonStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonStream, json_stream_free)

/* Pure splitter underneath, for the fuzzer. Feeds bytes, calls back per complete value; false on a fault (sets error). */
typedef struct JsonSplitter JsonSplitter;
JsonSplitter *json_splitter_new(gsize limit_bytes);
bool json_splitter_feed(JsonSplitter *splitter, const char *bytes, gsize length, void (*value)(json_t *value, void *data), void *data,
                        GError **error);
void json_splitter_skip_to_sentinel(JsonSplitter *splitter);
void json_splitter_free(JsonSplitter *splitter);
/* connect() to a Unix socket whose path may be longer than sun_path (goes through /proc/self/fd). -1 and error. Caller closes. */
int unix_connect(const char *path, GError **error);
