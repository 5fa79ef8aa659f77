/*
 * JSON as text, read without building a tree: a list of ten thousand VMs is scanned once, and most of it only skipped.
 *
 * A reader stands somewhere in a text. What is asked of a text that is not JSON fails; nothing is read beyond the end.
 * Nesting over 64 fails. Pure, any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
        const char *at, *end;
} JsonReader;

JsonReader json_reader(const char *text, gsize length);
/* The next character that is not white space: says what kind of value comes. 0 at the end. */
char json_peek(JsonReader *reader);
/* Takes @c if it comes next. */
bool json_take(JsonReader *reader, char c);
/* Reads a string, escapes undone, appended to @out (NULL: thrown away). */
bool json_read_string(JsonReader *reader, GString *out);
/* Reads over any value; *@ret_start (may be NULL) is where it begins and reader->at where it ends. */
bool json_skip(JsonReader *reader, const char **ret_start);
/* Steps through `[…]` and `{…}`: false after the last. Begin with *@started false; a fault also ends it, with *@fault
 * true. */
bool json_next_element(JsonReader *reader, bool *started, bool *fault);
bool json_next_member(JsonReader *reader, GString *ret_name, bool *started, bool *fault);

/* Appends the text with two spaces of indentation, values untouched; what a terminal might act on is escaped the JSON
 * way. */
bool json_indent(const char *text, gsize length, GString *out);
