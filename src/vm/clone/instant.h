/*
 * Instant clones: VMs that go on where the source is. The source's memory is brought once into a file, the mould; each
 * clone maps it privately, so it has pages of its own only where it writes. Job threads only.
 */
#pragma once

#include "vm/manager.h"

/* In the source's folder; FULL is what snapshot_freeze() writes memory and devices to. */
#define INSTANT_MOULD "mould"
#define INSTANT_FULL INSTANT_MOULD "/full.state"

/* Where a template's ready one (ready.h) keeps memory and devices. */
#define INSTANT_MEMORY INSTANT_MOULD "/memory"
#define INSTANT_DEVICES INSTANT_MOULD "/devices.state"

/* Everything that speaks against @count clones of a VM that runs, or of a template, before anything is done. */
bool instant_check(Vm *source, size_t count, GError **error);
/*
 * Makes the mould of INSTANT_FULL, which is gone then. @first: any of the clones, stored and not running; its QEMU is
 * used for that, and ended.
 */
bool instant_make_mould(Job *job, Vm *source, Vm *first, GError **error);
/*
 * Starts stored clones (of Vm) from the source's mould, several at a time; they stand still. Their adapters' links are
 * down until the guests have taken their addresses (identity.c).
 */
bool instant_load(Job *job, Vm *source, GPtrArray *clones, GError **error);
/* The run of the clone @id: the source's, with what is its own, and its memory in the mould. Clear it. */
void instant_describe(Vm *source, const char *id, HostlerVmRuntime *ret_run);
/* Lets them run. */
bool instant_go_on(Job *job, GPtrArray *clones, GError **error);
