/* Text for a terminal: nothing from a guest or a server may move the cursor or lie about what it is. Pure, any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Appends @text with everything that a terminal might act on written out: controls as \n, \t, \x1b, C1 controls and the
 * characters that reorder text as \u202e, bytes that are not UTF-8 as \xff. @length -1: up to NUL.
 */
void text_append_safe(GString *out, const char *text, gssize length);
char *text_safe(const char *text);
/* Columns that safe text takes. */
gsize text_width(const char *text);
/* What is left of @unix_ms until now in one unit: "12s", "3m", "5h", "8d". Caller frees. */
char *text_age(int64_t unix_ms, int64_t now_ms);
