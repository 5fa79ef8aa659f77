/* What leaves the trash for ever, and when. Pure; any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TRASH_KEPT_MS (7LL * 24 * 3600 * 1000)
/* Less than both of the state folder's file system free is too little: a tenth of a large one is plenty. */
#define TRASH_TIGHT_PERCENT 10
#define TRASH_TIGHT_BYTES (10LL << 30)

typedef struct {
        int64_t trashed_ms; /* Unix time */
        bool held;          /* linked clones stand on it */
} TrashItem;
/*
 * Which of @items is to be removed for ever next; -1: none. The one that was thrown away first, if its time is up or
 * space is @tight, those that are held left out.
 */
int trash_next(const TrashItem *items, guint count, int64_t now_ms, bool tight);
