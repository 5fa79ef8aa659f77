/*
 * Media: files of the host in CD and floppy drives. The drive's node is its part's name, as with a disk.
 *
 * Medium of an empty drive: path NULL. What blocks (medium_set and below) belongs on a job's thread.
 */
#pragma once

#include "device/block.h"

typedef struct {
        const char *path; /* borrowed */
        bool qcow2, readonly;
        int64_t memory_bytes;
} Medium;

/* What is to be in the drive @part (kind cdrom or floppy). */
Medium medium_of(const DeviceContext *context, const HostlerPart *part);
/* Its nodes; no steps for an empty drive. */
void medium_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan);
/* Faults that its properties show. */
void medium_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
/*
 * For DeviceType.acquire: the file is there, is what it is said to be, and nobody else writes it. @ret_bytes (may be
 * NULL): its size as the guest sees it, -1 for an empty drive.
 */
bool medium_inspect(const DeviceContext *context, const HostlerPart *part, int64_t *ret_bytes, GError **error);
bool medium_acquire(const DeviceContext *context, const HostlerPart *part, GError **error);

/*
 * A setter: has the running drive hold what the new part says. That is opened before the old one is touched. A tray
 * that the guest has locked is asked to open, and waited for as long as the change has patience: then
 * HOSTLER_ERROR_BUSY, and all is as before.
 */
bool medium_set(const DeviceChange *change, GError **error);
/* Closes a tray that the guest has opened. */
bool medium_shut(const HostlerPart *part, Qmp *qmp, GError **error);
/* A setter: the size of its tables. */
bool medium_set_memory(const DeviceChange *change, GError **error);
