/*
 * The warm pool: QEMUs that wait for their VMs' starts, so that a start need not wait for them.
 *
 * A QEMU is told its VM's id, its processors, its memory and its kernel when it is executed and can be told no others
 * later, so each waits for one VM: for the ones used last, as many as the setting says (none, at first). What may
 * change until the start, disks and adapters, is plugged then (device/early.h).
 *
 * One that waits is nothing that runs: it is tied to the daemon and ends with it, nothing of it is stored, and a start
 * that finds it unfit begins anew. Any thread, but not the main loop where it says that it blocks.
 */
#pragma once

#include "vm/manager.h"

WarmPool *warm_pool_new(Manager *manager);
/* Ends what waits. */
void warm_pool_free(WarmPool *pool);

/*
 * Starts and ends what is to be, by the setting and by the memory that the host has left; blocks. Every few seconds, on
 * one thread.
 */
void warm_round(Manager *manager);
/*
 * The QEMU that waits for @vm (@incoming: and then for a state) is the VM's own from now on: it outlives the daemon.
 * False when there is none, or it is not what would be started now; then it is gone. Blocks; with the VM's turn, the
 * run being recorded.
 */
bool warm_take(Vm *vm, bool incoming);
/* Ends what waits for @vm, and waits for that. */
void warm_end(Vm *vm);
/*
 * Spares: QEMUs that wait for clones that nobody has named yet, with the memory of @ready (clone/ready.h) mapped. The
 * id of one, which is the caller's to make a VM of: warm_take() finds it, warm_forget() ends it. NULL: there is none.
 * Caller frees.
 */
char *warm_spare(Vm *ready);
/* Ends what waits for the VM @id, if anything does. */
void warm_forget(Manager *manager, const char *id);
/* At daemon start, of a folder that belongs to no VM: ends and removes what an earlier daemon may have left. */
void warm_sweep_spare(const char *folder);
/* Ends all that wait, but for @but's (may be NULL), for their memory. False when none did. */
bool warm_give_back(Manager *manager, Vm *but);
/* At daemon start, of a VM that does not run: ends and removes what an earlier daemon may have left. */
void warm_sweep(Vm *vm);

/* How many are to wait, and how much of the host's memory they must leave free (-1: leaves it as it is). */
bool warm_set(Manager *manager, int64_t count, int64_t floor_bytes, GError **error);
void warm_get(Manager *manager, int64_t *ret_count, int64_t *ret_floor_bytes);
/* Names of the VMs that one waits for, in order. g_strfreev. */
char **warm_names(Manager *manager);
int64_t warm_spares(Manager *manager);
