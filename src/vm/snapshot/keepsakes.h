/*
 * Keepsakes: what parts remember in files of their own beside the disks, such as firmware's variables and a TPM's
 * state. They go along in snapshots and clones. Job threads only.
 */
#pragma once

#include "vm/manager.h"

/* Whether any part of @vm, as it is wanted or as it runs, has some. */
bool keepsakes_are_there(Vm *vm);
/*
 * Copies those of @vm into the folder @to (absolute), which is begun anew and synced. The VM stands still or is off.
 * What a part has not made yet is noted as missing.
 */
bool keepsakes_copy(Vm *vm, const char *to, GError **error);
/* Copies a folder that keepsakes_copy() made; absent is success, and @to then is absent too. */
bool keepsakes_duplicate(const char *from, const char *to, GError **error);
/*
 * Moves what is in @from, made by either of these, to its place in the folder @vm_dir, instead of what is there; what
 * was missing is removed. No QEMU may run. May be cut off and begun again; @from is gone when it returns. Absent is
 * success.
 */
bool keepsakes_place(const char *from, const char *vm_dir, GError **error);
