/* Whole copies of volumes' files. */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "storage/volume_tool.h"

/*
 * Copies file @from to @to, which must not be there: sharing its blocks where the file system can (XFS, btrfs), else
 * data only, so that holes stay holes; by qemu-img from and to pools whose volumes are no files. On the disk when it
 * returns. @progress, called on this thread, may be NULL. HOSTLER_ERROR_CANCELLED; what was written of @to is removed
 * on failure. Nobody may write to @from meanwhile.
 */
bool volume_copy(const char *from, const char *to, VolumeProgressFunc progress, void *data, GCancellable *cancellable,
                 GError **error);
