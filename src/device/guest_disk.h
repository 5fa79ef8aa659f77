/*
 * Disks and drives as the guest sees them, by its agent: which of its block devices a part is, whether it is in use,
 * and what the guest must do itself when one comes or goes.
 *
 * A guest without an agent, or without a shell behind it, is not asked: then a plug or an unplug is what QEMU alone can
 * do. On a job's thread.
 */
#pragma once

#include "device/device.h"

/* For DeviceType.guest: prints "/dev/sda 32M", of a drive only its name. */
extern const char guest_disk_line[];
/* What a shell script (its words as of DeviceType.guest) prints in the guest, for the change's part; NULL when the
 * guest cannot be asked. Caller frees. */
char *guest_disk_ask(const DeviceChange *change, const char *script);
/* What the guest sees of a disk's size, for people; NULL: unknown. Caller frees. */
char *guest_disk_size(const DeviceChange *change);
/*
 * For DeviceType.guest_find: on an adapter whose guests do not notice a new target, has the guest look for it. Fills in
 * the change's `guest` and `detail`.
 */
bool guest_disk_find(const DeviceChange *change, GError **error);
/*
 * For DeviceType.guest_leave: HOSTLER_ERROR_BUSY when the guest uses it (mounted, swap, part of another device), or
 * when it has no agent and has booted from it; forced, it is not asked. Then the guest writes out what it holds back
 * and gives the device up, where its bus asks for that.
 */
bool guest_disk_leave(const DeviceChange *change, GError **error);
