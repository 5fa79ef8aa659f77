/* Files and block devices of the host that are put into a VM's drives. They stay where they are; nothing is written. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Looks whether @path can be in a drive: a file that can be read (@writable: written) and is not empty, or a block
 * device below /dev. @qcow2: its header is inspected as that of a foreign image, so nothing else is opened because of
 * it. @ret_bytes: its size as the guest will see it. HOSTLER_ERROR_NOT_FOUND, _DENIED, _INVALID in one sentence.
 */
bool medium_inspect_file(const char *path, bool qcow2, bool writable, int64_t *ret_bytes, GError **error);
/*
 * HOSTLER_ERROR_BUSY when somebody has it open in a way that a drive cannot share: for writing, or, if it is to be
 * @writable, at all. By the locks that QEMU takes (block/file-posix.c: a byte for each permission from 100 on, and from
 * 200 on for each that is not shared), so it is a VM, or a tool of QEMU's. It may be taken the moment after: QEMU has
 * the last word.
 */
bool medium_is_free(const char *path, bool writable, GError **error);
