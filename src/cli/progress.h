/*
 * Progress on stderr, for what takes over a second: on a terminal one line that is drawn over and over, elsewhere a
 * line whenever there is news.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Progress Progress;

/* @label: "start web1"; borrowed. */
Progress *progress_new(const char *label, bool terminal);
/* @percent below 0: unknown. @message: what is being done now; may be NULL; may be hostile. */
void progress_update(Progress *progress, double percent, const char *message);
/* A line that stays, with the time since the beginning: "  kernel  1.4s". Held back while all is over within a second.
 */
void progress_mark(Progress *progress, const char *text);
/* Takes the drawn line away. */
void progress_free(Progress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Progress, progress_free)
