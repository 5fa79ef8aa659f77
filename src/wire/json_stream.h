/*
 * A socket that carries JSON values one after another, framed by their nesting (QMP, guest agent).
 *
 * Values are objects or arrays; between them may stand white space and 0xFF bytes. 0xFF is never part of JSON: inside a
 * value it drops the unfinished one, whose sender has started anew. An integer beyond int64 (QEMU prints unsigned ones)
 * arrives as a real, every other as an integer.
 *
 * Bytes come from QEMU and from guests: they are untrusted. A value over @limit_bytes, nested deeper than 64, with over
 * 131,072 members, or not JSON closes the stream. Reading happens on the main context given, at most 64 KiB in one
 * turn, and values over 256 KiB are parsed on another thread; writing never blocks (bytes wait in a bounded queue: over
 * 4 MiB closes the stream).
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct JsonStream JsonStream;

/* Both run on the stream's main context. @value is borrowed for the call and may be taken apart. */
typedef void (*JsonStreamValueFunc)(JsonStream *stream, json_t *value, void *data);
/* The last call ever made, the socket is closed by then; @reason is owned by the stream, which may be freed in this
 * call. */
typedef void (*JsonStreamClosedFunc)(JsonStream *stream, const GError *reason, void *data);

/* @fd_taken: connected stream socket. @context: NULL for the default one. A callback may run before this returns. */
JsonStream *json_stream_new(int fd_taken, gsize limit_bytes, GMainContext *context, JsonStreamValueFunc value,
                            JsonStreamClosedFunc closed, void *data);
/*
 * Any thread. One line of compact JSON; @prefix bytes (may be NULL: the agent's 0xFF sentinel) go before it. @fd (-1:
 * none) is borrowed and travels with its first byte (SCM_RIGHTS). HOSTLER_ERROR_FAILED once closed,
 * HOSTLER_ERROR_UNRESPONSIVE when the queue overflows.
 */
bool json_stream_send(JsonStream *stream, const json_t *value, const char *prefix, int fd, GError **error);
/* Drops everything on the way in, up to and including the next 0xFF byte (guest agent sync). On the stream's context.
 */
void json_stream_skip_to_sentinel(JsonStream *stream);
/* While paused nothing is read: a sender that floods fills its own buffer, not our time. On the stream's context. */
void json_stream_pause(JsonStream *stream, bool paused);
/* Milliseconds (monotonic) since the last byte came, or since the stream was made. Any thread. */
int64_t json_stream_idle_ms(JsonStream *stream);
/* Stops all callbacks and frees; must run on the stream's context. May be called in its callbacks. */
void json_stream_free(JsonStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonStream, json_stream_free)

/*
 * Pure splitter underneath, for the stream, tests and the fuzzer. It keeps at most @limit_bytes, nothing while skipping
 * to the sentinel. After a fault it can only be freed.
 */
typedef struct JsonSplitter JsonSplitter;
JsonSplitter *json_splitter_new(gsize limit_bytes);
/*
 * Reads from *@at up to the end of a value: *@ret_text is its text (owned by the caller, not checked beyond its
 * nesting), *@at stands behind it. Or up to @end: *@ret_text is NULL. False on a fault.
 */
bool json_splitter_cut(JsonSplitter *splitter, const char **at, const char *end, GString **ret_text, GError **error);
/* Cuts all of @bytes, parses, calls back per value (borrowed); false on a fault. */
bool json_splitter_feed(JsonSplitter *splitter, const char *bytes, gsize length,
                        void (*value)(json_t *value, void *data), void *data, GError **error);
void json_splitter_skip_to_sentinel(JsonSplitter *splitter);
void json_splitter_free(JsonSplitter *splitter);
/*
 * Connects to a Unix socket whose path may be longer than sun_path (goes through /proc/self/fd). Never blocks. -1 and
 * error: HOSTLER_ERROR_NOT_FOUND (no such file), _UNREACHABLE (nobody listens), _UNRESPONSIVE (its owner accepts
 * nobody), _DENIED, _FAILED. The socket is non-blocking; the caller closes it.
 */
int unix_connect(const char *path, GError **error);
