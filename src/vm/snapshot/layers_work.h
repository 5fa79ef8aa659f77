/* The files behind layers.h: made, merged, deleted. Job threads only. */
#pragma once

#include "vm/manager.h"
#include "vm/snapshot/layers.h"

/* Whether the VM's history knows the disk: it has, or had, snapshots. */
bool layers_know(Vm *vm, const char *part);
/* The history of a VM, in which each disk of its spec is known. The caller clears it. */
void layers_history(Vm *vm, HostlerVmHistory *ret_history);
/*
 * Deletes and merges what nobody needs, one layer at a time, each written down when it is done; a run that was cut off
 * goes on where it was. Disks of a running VM are merged by its QEMU while the guest goes on. HOSTLER_ERROR_FAILED and
 * all contents as before when a merge fails, for lack of space for instance.
 */
bool layers_tidy(Job *job, Vm *vm, GError **error);
/* The end of QEMU's block job @id: true when it has gone well, with the job forgotten; also when there is none. */
bool layers_wait_block_job(Job *job, Qmp *qmp, const char *id, GError **error);
bool layers_is_node(Qmp *qmp, const char *node);
/* The disk has left the spec: what only it needed goes. */
bool layers_let_go(Job *job, Vm *vm, const char *part, GError **error);
