/*
 * A VM: identity, spec (wanted) and status (actual), and the connections to its QEMU while there is one.
 *
 * Reference counted: one reference in the manager's table, one per caller. The spec is an immutable value, swapped
 * whole; status and connections are read and written under a lock that only state.c and this header's functions take.
 * No lock is held across a call into another module.
 *
 * Who changes what: `power` and the rest of the status follow QEMU's events on the main loop and the verbs on job
 * threads, through vm_set_power() and its kin alone, each of which tells waiters and, where it matters, the event log.
 */
#pragma once

#include "base/declare.h"
#include "base/process.h"
#include "monitor/metric.h"
#include "wire/byte_stream.h"
#include "wire/guest_agent.h"
#include "wire/qmp.h"

typedef struct Vm Vm;

/* An immutable spec with its own count of references. */
typedef struct {
        HostlerSpec value;
} Spec;
Spec *spec_new(HostlerSpec *value_taken);
Spec *spec_ref(Spec *spec);
void spec_unref(Spec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spec, spec_unref)

/* ---- vm.c: what it is ---- */

Vm *vm_new(Manager *manager, const char *id, const char *name, Spec *spec_taken, int64_t generation,
           int64_t created_ms);
Vm *vm_ref(Vm *vm);
void vm_unref(Vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_unref)
Manager *vm_manager(Vm *vm);
const char *vm_id(Vm *vm);               /* borrowed, never changes */
const char *vm_dir(Vm *vm);              /* STATE/vms/ID; borrowed */
char *vm_name(Vm *vm);                   /* copy */
char *vm_object(Vm *vm);                 /* "vm/NAME", copy */
char *vm_path(Vm *vm, const char *file); /* in the VM's folder, copy */
Spec *vm_spec(Vm *vm);                   /* a reference */
int64_t vm_generation(Vm *vm);
int64_t vm_trashed_ms(Vm *vm); /* 0: not in the trash */

/*
 * Stores and swaps name, spec and trash time in one go, counting the generation up. NULL and -1 leave as they are.
 * @expected -1: any generation, else HOSTLER_ERROR_PRECONDITION. Durable when it returns.
 */
bool vm_store(Vm *vm, const char *name, Spec *spec, int64_t trashed_ms, int64_t expected, GError **error);
/* Stores and swaps spec, runtime and history in one write, counting the generation up. Durable when it returns. */
bool vm_replace(Vm *vm, Spec *spec, const HostlerVmRuntime *runtime, const HostlerVmHistory *history, GError **error);
/* The API's picture of it. @ret_info: clear with record_clear(&hostler_vm_type, …). */
void vm_info(Vm *vm, HostlerVm *ret_info);

/* ---- state.c: what it does ---- */

HostlerPower vm_power(Vm *vm); /* never `unresponsive`: that is an overlay of the picture only */
bool vm_is_live(Vm *vm);       /* a QEMU process exists, or its end is being written down */
/* Sets it, and since; emits vm-power with @reason if it changed. */
void vm_set_power(Vm *vm, HostlerPower power, const char *reason);
void vm_set_phase(Vm *vm, HostlerBootPhase phase); /* forward only; HOSTLER_BOOT_PHASE_ABSENT starts over */
HostlerBootPhase vm_phase(Vm *vm);
void vm_set_unresponsive(Vm *vm, bool unresponsive);
void vm_set_condition(Vm *vm, const char *type, const char *detail); /* @detail NULL: take it away */
bool vm_has_condition(Vm *vm, const char *type);
void vm_set_addresses(Vm *vm, HostlerAddressList *addresses_taken);
void vm_set_guest(Vm *vm, const char *host_name, const char *os);
void vm_set_plugged(Vm *vm, int64_t cpus, int64_t memory_bytes); /* HOSTLER_UNSET leaves as it is */
/* @memory_taken NULL: nothing is known any more; else takes what it holds. What is ballooned stays as it is. */
void vm_set_guest_memory(Vm *vm, HostlerGuestMemory *memory_taken);
void vm_set_ballooned(Vm *vm, int64_t left_bytes);            /* of what it booted with */
bool vm_guest_memory(Vm *vm, HostlerGuestMemory *ret_memory); /* a copy; false: nothing is known */
/* counters.c: what QEMU and the guest last told of disks, NICs and memory; the rest is not known. */
void vm_measured(Vm *vm, int64_t now_ms, Reading *ret_reading);
/* What a disk did lately, a second; false: not known. */
bool vm_disk_use(Vm *vm, const char *part, double *ret_requests, double *ret_bytes);
/* watch.c: asks QEMU and sets it; blocks, so not on the main loop. */
void vm_read_plugged(Vm *vm, Qmp *qmp);
bool vm_has_address(Vm *vm);
void vm_set_mould(Vm *vm, int64_t bytes); /* of a template's memory on disk; HOSTLER_UNSET: none */
void vm_set_warm(Vm *vm, bool warm);      /* a QEMU waits for its start */
uint64_t vm_resets(Vm *vm);               /* how often the guest was reset in this run */
void vm_count_reset(Vm *vm);

typedef bool (*VmCondition)(Vm *vm, void *data);
/* Blocks a job's thread until @condition holds; false at @deadline_ms (monotonic) or on cancel. Called without the
 * lock. */
bool vm_wait(Vm *vm, VmCondition condition, void *data, int64_t deadline_ms, GCancellable *cancellable);
/* After a call to QEMU has failed: true if that was because it has died, which is known some moments later. */
bool vm_died(Vm *vm);

/* What outlives the daemon while QEMU runs (record vm_runtime); stored on each change, which waits for the disk where
 * the host's next boot must know of it: a run that began or is to end, a saved state. */
void vm_runtime(Vm *vm, HostlerVmRuntime *ret_runtime); /* a copy */
bool vm_set_runtime(Vm *vm, const HostlerVmRuntime *runtime, GError **error);
/* Copies, changes by @change, stores. */
bool vm_update_runtime(Vm *vm, void (*change)(HostlerVmRuntime *runtime, void *data), void *data, GError **error);

/* Snapshots and disk layers (record vm_history, see layers.h). */
void vm_history(Vm *vm, HostlerVmHistory *ret_history); /* a copy */
/* Durable when it returns. */
bool vm_set_history(Vm *vm, const HostlerVmHistory *history, GError **error);
/*
 * Fills in history->pins: who stands on what of @vm, as all other VMs' origins say at this moment. Nobody keeps them,
 * so no VM writes another's history when it comes, goes or is flattened.
 */
void vm_pins(Vm *vm, HostlerVmHistory *history);
/* Whether a linked clone stands on its disks, be it in the trash. */
bool vm_is_pinned(Vm *vm);
/* As read from the store. */
void vm_keep_history(Vm *vm, const HostlerVmHistory *history);
/* The files of a disk, absolute, head first; one for a disk without snapshots. g_strfreev. */
char **vm_disk_files(Vm *vm, const char *part);
char *vm_disk_head(Vm *vm, const char *part);
/* A name for a new layer of the disk in @pool (NULL: the VM's folder), ending in @ending, that no file has and no
 * snapshot remembers, and by which QEMU knows no other. Caller frees. */
char *vm_new_layer(Vm *vm, const char *part, const char *pool, const char *ending);

/* Connections; NULL when there is none. The caller owns the reference. */
Qmp *vm_qmp(Vm *vm);
GuestAgent *vm_agent(Vm *vm); /* set only while the guest has its end open */
/* HOSTLER_ERROR_WRONG_STATE, _UNRESPONSIVE and _NO_AGENT when not. */
Qmp *vm_require_qmp(Vm *vm, GError **error);
GuestAgent *vm_require_agent(Vm *vm, GError **error);

/* ---- adopt.c: from process to connections ---- */

/*
 * Connects to a QEMU that runs, whether this daemon started it or an earlier one. Blocks at most @timeout_ms; not on
 * the main loop. HOSTLER_ERROR_NOT_FOUND if no process of this VM is alive (what it left behind is cleaned up and its
 * exit recorded).
 */
bool vm_adopt(Vm *vm, int64_t timeout_ms, GError **error);
/* Ends QEMU whatever it does (quit, then SIGKILL) and waits for its exit to be recorded. Idempotent. */
bool vm_kill(Vm *vm, const char *reason, GError **error);
ProcessId vm_process(Vm *vm); /* pid 0: none */

/* ---- launch.c ---- */

/* Spawns QEMU stopped before its first instruction (-S) and adopts it. @incoming: it waits for a saved state. */
bool vm_launch(Vm *vm, bool incoming, GError **error);

/* ---- console.c ---- */

/* Main loop only; the console cannot be held. */
bool console_attach(Vm *vm, const ByteSink *sink, ByteStream **ret_stream, GError **error);

/* ---- display.c ---- */

/* A viewer (RFB) of the screen of part @output; NULL: the first. Main loop only. */
bool viewer_attach(Vm *vm, const char *output, const ByteSink *sink, ByteStream **ret_stream, GError **error);
