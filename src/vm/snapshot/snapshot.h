/* What taking and going back to a snapshot leave behind, for their undo and finish operations (operations.c). */
#pragma once

#include "vm/manager.h"

#define SNAPSHOT_FOLDER "snapshots"

/* {vm, layers: [{part, file, below}], memory, keepsakes, run}: a snapshot that did not come about. Its layers leave the
 * disks, with what was written to them; the guest goes on, if it ran. */
bool operation_snapshot_undo(Manager *manager, const json_t *args, GError **error);
/* {vm, snapshot, layers, run}: the snapshot is written down, the guest goes on. */
bool operation_snapshot_keep(Manager *manager, const json_t *args, GError **error);
/* {vm, layers: [{part, file}]}: those that did not become part of the VM are gone. */
bool operation_layers_remove(Manager *manager, const json_t *args, GError **error);

/* A file name in the VM's folder for the snapshot's memory. Caller frees. */
char *snapshot_memory_file(const char *snapshot);
/* The same for the folder of its keepsakes (keepsakes.h), which is there when any part had some. Caller frees. */
char *snapshot_keepsakes(const char *snapshot);
/*
 * Lets every disk go on in a new layer, so that what it was until now never changes again; a guest that runs stands
 * still for that moment. Steps, undo and all of the verb that asks. The layers stay when the job is undone later: they
 * are part of the VM then. @keepsakes: a name in its folder for a copy of its keepsakes of that moment; @memory: the
 * same for a file with its memory and devices, NULL: they are not wanted. Both go when the job is undone.
 */
bool snapshot_freeze(Job *job, Vm *vm, const char *keepsakes, const char *memory, GError **error);
/* Names for a new layer on each of @disks: [{"part", "file", "below"}], owned by the caller. */
json_t *snapshot_layer_names(Vm *vm, const HostlerDiskLayerList *disks);
/* Makes them, empty and synced. */
bool snapshot_make_layers(Vm *vm, const HostlerDiskLayerList *disks, const json_t *names, GError **error);
/* Of the list that snapshot_layer_names() made: the new layer of @part; NULL: none. Borrowed. */
const char *snapshot_layer_of(const json_t *names, const char *part);
