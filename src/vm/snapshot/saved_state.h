/*
 * A VM's memory and devices in a file: written by QEMU's migration to a descriptor, read back the same way. Jobs'
 * threads only.
 */
#pragma once

#include "vm/manager.h"

#define SAVED_STATE_FILE "memory.state"
/* What a job remembers that has read and checked all of it. */
#define SAVED_STATE_CHECKED "saved-state-checked"

/* HOSTLER_ERROR_NO_CAPACITY when its memory might not find room in the VM's folder. */
bool saved_state_check_room(Vm *vm, GError **error);
/*
 * A VM that runs can have its memory written. HOSTLER_ERROR_BUSY as long as it hangs that this was begun before; what
 * that has left behind in QEMU is put right.
 */
bool saved_state_check_free(Vm *vm, GError **error);
/*
 * Makes @file (a name in its folder) with all the space that its memory may take, while the guest runs.
 * HOSTLER_ERROR_NO_CAPACITY. Where the file system cannot, that is no error.
 */
bool saved_state_reserve(Vm *vm, const char *file, GError **error);
/* The VM must stand still. Writes and syncs @file (a name in its folder), and records length and checksum in the
 * runtime when @committed by the caller. */
bool saved_state_write(Vm *vm, Job *job, const char *file, HostlerSavedState *ret_saved, GError **error);
/* What is done in between when the state of a guest that runs is written. */
typedef struct {
        bool (*stop)(void *data, GError **error); /* the guest is to stand still now */
        bool (*hold)(void *data, GError **error); /* it does: what else belongs to the moment that is written */
        void *data;
} SavedMoment;
/*
 * The same of a guest that runs, with the moment that it is of in its middle; the guest goes on when it returns true.
 * It stands still for what it has changed last, as a rule; when it changes its memory faster than the file is written,
 * until QEMU can keep the moment apart (it is told by the host's kernel of each page that is written), and where QEMU
 * cannot, or @file has not been reserved, until all is written.
 */
bool saved_state_write_running(Vm *vm, Job *job, const char *file, const SavedMoment *moment,
                               HostlerSavedState *ret_saved, GError **error);
/* HOSTLER_ERROR_FAILED with a hint when it is missing, cut short or damaged. */
bool saved_state_check(Vm *vm, GError **error);
/*
 * A VM whose memory was written is in QEMU's state `postmigrate`, with its disks given up; only `cont` ends that. It
 * stands still again afterwards, for a VM that its user has paused after a moment of running.
 */
bool saved_state_let_go(Qmp *qmp, GError **error);
/* Whether the file that @saved names has its length and checksum. Reads all of it. */
bool saved_state_is_whole(Vm *vm, const HostlerSavedState *saved);
/* Feeds it to a QEMU launched with -incoming; the VM stands still afterwards. */
bool saved_state_load(Vm *vm, GCancellable *cancellable, GError **error);
/*
 * The same of a file @path (absolute) that is no saved state of the VM, with devices only: the memory is in a file that
 * is mapped. Neither checks it by sum; it lives as long as a job.
 */
bool saved_state_write_devices(Vm *vm, Job *job, const char *path, GError **error);
bool saved_state_load_devices(Vm *vm, GCancellable *cancellable, const char *path, GError **error);
/* saved_state_load() of a file @path (absolute). */
bool saved_state_load_file(Vm *vm, GCancellable *cancellable, const char *path, GError **error);
/* Whether there is one that can be resumed: recorded, and not spent. */
bool saved_state_is_there(Vm *vm);
/*
 * Marks it spent before the guest goes on from it, or not spent after all. Durable when it returns: a state loaded a
 * second time would not fit disks that were written since.
 */
bool saved_state_set_spent(Vm *vm, bool spent, GError **error);
/* Removes the file and its record. Absent is success. */
bool saved_state_forget(Vm *vm, GError **error);
