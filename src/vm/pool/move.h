/* Undo and finish operations of moving a disk; idempotent. */
#pragma once

#include "vm/manager.h"

/* {vm, part, file, old}: the copy is gone, in QEMU and on the host. */
bool operation_move_undo(Manager *manager, const json_t *args, GError **error);
/*
 * {vm, part, pool, file, old, live}: the disk is what it was copied to, in the VM's row and in QEMU, and the old files
 * are gone. HOSTLER_ERROR_FAILED with the disk as before when QEMU has given up copying, or died, meanwhile.
 */
bool operation_move_finish(Manager *manager, const json_t *args, GError **error);
