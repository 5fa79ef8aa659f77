/*
 * A table for people. Knows nothing of what is in it but the colours of states. Called by output.c, show.c, help.c.
 */
#include "cli/table.h"

#include "cli/text.h"

static const struct {
        const char *state, *colour;
} state_colours[] = {
    {"running", "\033[32m"}, {"done", "\033[32m"},      {"starting", "\033[33m"},     {"stopping", "\033[33m"},
    {"paused", "\033[33m"},  {"suspended", "\033[34m"}, {"queued", "\033[33m"},       {"crashed", "\033[31m"},
    {"failed", "\033[31m"},  {"cancelled", "\033[31m"}, {"unresponsive", "\033[31m"},
};

/* Empty last cells leave no blanks behind. */
static void end_line(GString *out)
{
        gsize length = out->len;

        while (length && out->str[length - 1] == ' ')
                length--;
        g_string_truncate(out, length);
        g_string_append_c(out, '\n');
}

static void print_cell(const TableLayout *layout, guint column, const char *cell, gsize padding, bool colour,
                       GString *out)
{
        const char *start = colour && layout->is_state && layout->is_state[column] ? state_colour(cell) : NULL;

        if (start)
                g_string_append(out, start);
        g_string_append(out, cell);
        if (start)
                g_string_append(out, COLOUR_OFF);
        if (column + 1 == layout->n_columns)
                end_line(out);
        else
                for (gsize i = 0; i < padding + 2; i++)
                        g_string_append_c(out, ' ');
}

void table_print(const TableLayout *layout, const GPtrArray *cells, GString *out)
{
        guint n = layout->n_columns;
        g_autofree gsize *widths = g_new0(gsize, n);
        g_autofree gsize *cell_widths = g_new(gsize, cells->len + 1);

        for (guint i = 0; layout->headers && i < n; i++)
                widths[i] = text_width(layout->headers[i]);
        for (guint i = 0; i < cells->len; i++) {
                cell_widths[i] = text_width(cells->pdata[i]);
                widths[i % n] = MAX(widths[i % n], cell_widths[i]);
        }
        for (guint i = 0; layout->headers && i < n; i++)
                print_cell(layout, i, layout->headers[i], widths[i] - text_width(layout->headers[i]), false, out);
        for (guint i = 0; i < cells->len; i++)
                print_cell(layout, i % n, cells->pdata[i], widths[i % n] - cell_widths[i], layout->colour, out);
}

const char *state_colour(const char *state)
{
        for (gsize i = 0; i < G_N_ELEMENTS(state_colours); i++)
                if (g_str_equal(state_colours[i].state, state))
                        return state_colours[i].colour;
        return NULL;
}
