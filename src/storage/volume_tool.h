/*
 * What qemu-img does to volumes that no QEMU has open, in whichever pool. All of it blocks: job threads only. Errors:
 * HOSTLER_ERROR_FAILED with what qemu-img said, _TIMEOUT, _CANCELLED. What was changed is on the disk when they return.
 */
#pragma once

#include "storage/volume.h"

typedef void (*VolumeProgressFunc)(double percent, void *data);

typedef struct {
        VolumeProgressFunc progress; /* on the calling thread; or NULL */
        void *data;
        GCancellable *cancellable;
} VolumeTool;

/* What a tool that is told the format is given for @path, which is there. Caller frees. */
char *volume_argument(const char *path);
/* Copies what a guest sees of @from, with all below it, into new volume @to, which stands on nothing. The caller
 * deletes it on failure. */
bool volume_tool_convert(const VolumeTool *tool, const char *from, const char *to, GError **error);
/* Copies @from as it is, byte for byte, into @to: a new file, or (@there) what is there and reads as zeros. */
bool volume_tool_copy(const VolumeTool *tool, const char *from, const char *to, bool there, GError **error);
/* Volume @path is to stand on @backing (NULL: nothing), which its header will say as it is (volume_name_below()), and
 * read the same bytes; it does so at each moment, so this can be cut off and begun again. */
bool volume_tool_rebase(const VolumeTool *tool, const char *path, const char *backing, GError **error);
/* volume_info() of a qcow2 volume that only QEMU reads. */
bool volume_tool_info(const char *path, VolumeInfo *ret_info, GError **error);
/* Only says in its header that it stands on @backing. */
bool volume_tool_rename_backing(const VolumeTool *tool, const char *path, const char *backing, GError **error);
