/*
 * Progress on stderr. Draws; what there is to say comes from jobs and phases (run.c, wait.c) and from copying (cp.c).
 */
#include "cli/progress.h"

#include <glib.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/text.h"

enum {
        QUIET_MS = 1000,
        BAR_CELLS = 20,
};

struct Progress {
        const char *label;
        bool terminal, drawn;
        int64_t began_ms;
        guint frame;
        char *said;     /* the last plain line */
        GString *marks; /* held back while it may be over before anybody wonders */
};

static int64_t elapsed_ms(const Progress *progress)
{
        return clock_monotonic_ms() - progress->began_ms;
}

Progress *progress_new(const char *label, bool terminal)
{
        Progress *progress = g_new0(Progress, 1);

        *progress = (Progress){
            .label = label, .terminal = terminal, .began_ms = clock_monotonic_ms(), .marks = g_string_new(NULL)};
        return progress;
}

static void erase(Progress *progress)
{
        if (progress->drawn)
                fputs("\r\033[K", stderr);
        progress->drawn = false;
}

static void show_marks(Progress *progress)
{
        if (!progress->marks->len)
                return;
        erase(progress);
        fputs(progress->marks->str, stderr);
        g_string_truncate(progress->marks, 0);
}

static void append_bar(GString *line, double percent)
{
        int full = (int)(CLAMP(percent, 0, 100) / 100 * BAR_CELLS);

        g_string_append(line, " [");
        for (int i = 0; i < BAR_CELLS; i++)
                g_string_append_c(line, i < full ? '#' : '.');
        g_string_append_printf(line, "] %3.0f%%", CLAMP(percent, 0, 100));
}

/* Kept shorter than the usual 80 columns: a line that wraps cannot be drawn over. */
static void draw(Progress *progress, double percent, const char *message)
{
        static const char frames[] = "|/-\\";
        g_autoptr(GString) line = g_string_new(NULL);

        g_string_append_printf(line, "%c %s", frames[progress->frame++ % 4], progress->label);
        if (percent >= 0)
                append_bar(line, percent);
        g_string_append_printf(line, " %" G_GINT64_FORMAT "s", elapsed_ms(progress) / 1000);
        if (message && *message)
                g_string_append_printf(line, " %s", message);
        g_autofree char *fitting = g_utf8_substring(line->str, 0, MIN(g_utf8_strlen(line->str, -1), 78));
        fprintf(stderr, "\r\033[K%s", fitting);
        fflush(stderr);
        progress->drawn = true;
}

void progress_update(Progress *progress, double percent, const char *message)
{
        g_autofree char *safe = text_safe(message ? message : "");

        if (elapsed_ms(progress) < QUIET_MS)
                return;
        show_marks(progress);
        if (progress->terminal) {
                draw(progress, percent, safe);
                return;
        }
        g_autofree char *line = g_strdup_printf("%s%s%s", progress->label, *safe ? ": " : "", safe);
        if (g_strcmp0(line, progress->said) == 0)
                return;
        fprintf(stderr, "%s\n", line);
        g_free(progress->said);
        progress->said = g_steal_pointer(&line);
}

void progress_mark(Progress *progress, const char *text)
{
        g_string_append_printf(progress->marks, "  %-10s %5.1fs\n", text, (double)elapsed_ms(progress) / 1000);
        if (elapsed_ms(progress) >= QUIET_MS)
                show_marks(progress);
}

void progress_free(Progress *progress)
{
        erase(progress);
        fflush(stderr);
        g_string_free(progress->marks, true);
        g_free(progress->said);
        g_free(progress);
}
