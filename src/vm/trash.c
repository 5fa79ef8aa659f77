/*
 * The order in which the trash is emptied. See trash.h; housekeeping.c acts on it.
 */
#include "vm/trash.h"

int trash_next(const TrashItem *items, guint count, int64_t now_ms, bool tight)
{
        int oldest = -1;
        for (guint i = 0; i < count; i++)
                if (!items[i].held && (oldest < 0 || items[i].trashed_ms < items[oldest].trashed_ms))
                        oldest = (int)i;
        return oldest >= 0 && (tight || items[oldest].trashed_ms + TRASH_KEPT_MS <= now_ms) ? oldest : -1;
}
