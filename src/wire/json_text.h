/* One complete JSON text to one value, at once or on another thread. Used inside wire only; limits are the splitter's.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

/* Integers beyond int64 become reals. NULL and HOSTLER_ERROR_FAILED when it is not JSON. */
json_t *json_text_parse(const GString *text, GError **error);

/* A parse under way on a thread of its own. */
typedef struct JsonParse JsonParse;

/* Runs on the context. @value is borrowed, or NULL with @error (borrowed) set; the parse is over and freed after it. */
typedef void (*JsonParsedFunc)(json_t *value, const GError *error, void *data);

JsonParse *json_parse_start(GString *text_taken, GMainContext *context, JsonParsedFunc parsed, void *data);
/* On the context: @parsed will not be called. The thread ends by itself. */
void json_parse_abandon(JsonParse *parse);
