/* The volume of a disk as the disk comes, grows and goes. Job threads only. */
#pragma once

#include "vm/manager.h"

/*
 * The unattached volume @word ("POOL/NAME") is to be the disk that the job adds: what the part is by it ({"size",
 * "format", "pool"}), to which the caller adds the rest. Told again the same when the verb is run again after a crash.
 * NULL and error. The caller owns it.
 */
json_t *disk_volume_choose(Job *job, const char *word, GError **error);
/*
 * Makes the first layer of new disk @part, or has the chosen volume become it. The journal gets what takes it back.
 * HOSTLER_ERROR_EXISTS when another file has its name.
 */
bool disk_volume_make(Job *job, Vm *vm, const HostlerPart *part, GError **error);
/* Before a disk that QEMU has open grows to the size that @part says: its volumes may be as large as that comes to. */
bool disk_volume_make_room(Vm *vm, const HostlerPart *part, GError **error);
/* Grows the head of a disk that no QEMU has open, to the size that @part says. */
bool disk_volume_grow(Job *job, Vm *vm, const HostlerPart *part, GError **error);
/*
 * Before @disk leaves its VM, and before the job's point of no return: where it will be is written down, for after it
 * the VM does not know. HOSTLER_ERROR_BUSY when it cannot be kept, because a clone stands on the file that it is.
 */
bool disk_volume_prepare_keep(Job *job, Vm *vm, const char *disk, GError **error);
/*
 * What no QEMU has open any more becomes an unattached volume of its pool, whole: what it has of an image, of another
 * VM or of layers below is copied into it. Again after a crash is fine.
 */
bool disk_volume_keep(Job *job, Vm *vm, const char *disk, GError **error);
/* {vm, part, layer, pool, file}: undo of an attached volume; it is unattached again. */
bool operation_volume_return(Manager *manager, const json_t *args, GError **error);
