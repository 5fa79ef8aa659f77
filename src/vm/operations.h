/*
 * Undo and finish operations of VM verbs (manager_operations[]); each idempotent. Those that a verb also runs itself
 * after its point of no return are named here. Jobs' threads, or the recovery thread at daemon start.
 */
#pragma once

#include "vm/manager.h"

/* {vm, saved}: the saved state becomes the VM's, QEMU is ended. */
bool operation_vm_suspended(Manager *manager, const json_t *args, GError **error);
/* {vm, pools} (pools.h): the VM's row, folder, volumes and table entry are gone. */
bool operation_vm_forget(Manager *manager, const json_t *args, GError **error);
