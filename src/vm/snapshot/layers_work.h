/* The files behind layers.h: made, merged, deleted. Job threads only. */
#pragma once

#include "vm/manager.h"
#include "vm/snapshot/layers.h"

/* Whether the VM's history knows the disk: it has, or had, snapshots. */
bool layers_know(Vm *vm, const char *part);
/* Whether @file is a layer of any of the VM's disks, as its history stands now. */
bool layers_hold(Vm *vm, const char *file);
/*
 * Whether its disks are such that they can go on in new files, or in copies. @what: "take a snapshot".
 * HOSTLER_ERROR_WRONG_STATE while it is suspended or on its way from one state to another;
 * the errors of vm_check_places().
 */
bool layers_check_state(Vm *vm, const char *what, GError **error);
/* The history of a VM, in which each disk of its spec is known. The caller clears it. */
void layers_history(Vm *vm, HostlerVmHistory *ret_history);
/*
 * Deletes and merges what nobody needs, one layer at a time, each written down when it is done; a run that was cut off
 * goes on where it was. Disks of a running VM are merged by its QEMU while the guest goes on. HOSTLER_ERROR_FAILED and
 * all contents as before when a merge fails, for lack of space for instance.
 */
bool layers_tidy(Job *job, Vm *vm, GError **error);
/* {vm, file}: a layer that was struck off the VM's history is deleted (operations.h). */
bool operation_layer_gone(Manager *manager, const json_t *args, GError **error);
/* Clones that stood on the VM with this id do not any more: what was kept for them goes, in a job of its own. */
void layers_tidy_soon(Manager *manager, const char *id);
typedef struct {
        const char *id;      /* of QEMU's job; the same for a disk whenever it is begun again */
        const char *node;    /* what is copied into */
        const char *base;    /* node that it stands on afterwards; NULL: none */
        const char *backing; /* what its header calls that; NULL: as QEMU does */
        const char *path;    /* the node's file */
} LayersStream;
/*
 * Copies what is between @node and @base into it while the guest goes on. When it returns true that is on the host's
 * disk, and not before does QEMU let go of what it was copied from. One that an earlier daemon began is ended first.
 */
bool layers_stream(Job *job, Qmp *qmp, const LayersStream *stream, GError **error);
/* What QEMU has of @node's data and tables in its own memory is on the host's disk; HOSTLER_ERROR_FAILED when not. */
bool layers_flush(Qmp *qmp, const char *node, GError **error);
/* Whether QEMU has a node of that name; false and error when it does not say. */
bool layers_is_node(Qmp *qmp, const char *node, bool *ret_is, GError **error);
/* The disk has left the spec: what only it needed goes. */
bool layers_let_go(Job *job, Vm *vm, const char *part, GError **error);
