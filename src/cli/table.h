/* A table for people: aligned columns, two spaces between them. Pure, any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
        guint n_columns;
        const char *const *headers; /* NULL: none are printed */
        const bool *is_state;       /* per column: coloured by what it says. NULL: none */
        bool colour;
} TableLayout;

/* Appends lines of @cells (row by row, safe text, borrowed) to @out. The last column is not padded. */
void table_print(const TableLayout *layout, const GPtrArray *cells, GString *out);
/* The colour that a state is shown in: an escape sequence, or NULL for none. */
const char *state_colour(const char *state);
#define COLOUR_OFF "\033[0m"
