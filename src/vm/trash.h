/* What leaves the trash for ever, and when. Pure; any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define TRASH_KEPT_MS (7LL * 24 * 3600 * 1000)
/* So much of the state folder's file system free is too little. */
#define TRASH_TIGHT_PERCENT 10

typedef struct {
        int64_t trashed_ms; /* Unix time */
        bool held;          /* linked clones stand on it */
} TrashItem;
/*
 * Which of @items is to be removed for ever next; -1: none. The one that was thrown away first, if its time is up or
 * space is @tight, those that are held left out.
 */
int trash_next(const TrashItem *items, guint count, int64_t now_ms, bool tight);
