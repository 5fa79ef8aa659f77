/*
 * The Vm struct, for the files that make up a Vm (vm.c, state.c, adopt.c, watch.c, console.c). Nobody else includes
 * this.
 *
 * `lock` guards everything below it. It is never held across a call into another module: take what is needed, let go,
 * call.
 */
#pragma once

#include "base/process.h"
#include "monitor/metric.h"
#include "vm/manager.h"

typedef struct {
        char *name;
        Spec *spec;
        int64_t generation, trashed_ms;
} VmWanted;

struct Vm {
        gint refs;
        Manager *manager;
        char *id, *dir;
        int64_t created_ms;

        GMutex lock;
        GCond changed;
        uint64_t changes; /* counts vm_touch_locked, so that a waiter misses none */
        VmWanted wanted;
        HostlerVmStatus status;
        HostlerPower power;
        bool unresponsive;
        int64_t unresponsive_ms;
        HostlerVmRuntime runtime;
        HostlerVmHistory history;
        uint64_t resets;
        Reading measured;      /* disks and NICs: counters.c */
        GHashTable *disk_uses; /* part → DiskUse; counters.c */

        /* the run */
        ProcessId process;
        Qmp *qmp;
        GuestAgent *agent;          /* connected as long as QEMU runs */
        bool agent_open;            /* the guest has its end of the channel open */
        int64_t schedule_tried_ms;  /* schedule_run.c, its thread only */
        bool freezing;              /* somebody will thaw its file systems (snapshot/freeze.h) */
        char *exit_reason;          /* what QEMU said on its way out */
        bool renewing;              /* its guest's identity is about to be renewed (clone/identity.c) */
        bool ending;                /* somebody is writing down how the run ended */
        bool recovering;            /* an adoption at daemon start is still under way */
        struct VmWatch *watch;      /* watch.c; main loop only */
        struct ConsoleHub *console; /* console.c; main loop only */
};

/* What the condition `panicked` says. */
#define VM_PANICKED "the guest's kernel has panicked; see its console log"

/* state.c: with the lock held. */
void vm_touch_locked(Vm *vm);

/* watch.c, main loop only: heartbeats, exit, boot phases, addresses. */
void vm_watch_start(Vm *vm);
void vm_watch_stop(Vm *vm);
void vm_watch_event(Vm *vm, const char *event, const json_t *data);

/* guest_memory.c, main loop only: asks what the guest does with its memory. */
void guest_memory_ask(Vm *vm, Qmp *qmp);

/* counters.c, main loop only: asks for the disks' counters; keeps the NICs' as the agent tells them. */
void counters_start(Vm *vm);
void counters_ask(Vm *vm, Qmp *qmp);
void counters_note_interfaces(Vm *vm, const json_t *interfaces);
/* What a disk has done since its QEMU was started. Any thread. */
void counters_note_disk(Vm *vm, const char *part, double requests, double bytes);

/* watch_helpers.c, main loop only: how many programs run beside QEMU; the condition `helper-ended` when one is missing.
 */
int watch_helpers_expected(Vm *vm);
void watch_helpers_check(Vm *vm, int expected);

/* console.c, main loop only. */
void console_hub_start(Vm *vm);
void console_hub_stop(Vm *vm, const char *reason);
/* Called with what the guest's console says, for the boot phases (watch.c). */
void vm_watch_console(Vm *vm, const char *bytes, gsize length);

/*
 * exit.c: QEMU has ended. Writes down how, empties its run folder, sets the power state, stops the watch. Blocks for
 * milliseconds, so not on the main loop; whoever comes first does it and the others wait for it.
 */
void vm_record_exit(Vm *vm);
/*
 * manager.c: has @work done with @vm on a thread called @name, for what the main loop sees and must not wait for. The
 * daemon does not end before it has. Any thread.
 */
void vm_in_background(Vm *vm, const char *name, void (*work)(Vm *vm));
/*
 * exit.c, when no process was found at daemon start: the same for a run that ended while no daemon watched, from
 * exit.json, or from a keeper.json of before the host was started. Nothing to be done when every end is known.
 */
void vm_record_missed_exit(Vm *vm);
/* recover.c: it was started, and nobody has written down the end of that run. */
bool vm_has_open_run(Vm *vm);
/* Whether a VM whose run ended so has crashed; NULL: it has not. */
bool vm_reason_is_crash(const char *reason);
/* state.c: in memory only, where vm_set_runtime() could not store it. */
void vm_keep_runtime(Vm *vm, const HostlerVmRuntime *runtime);

/* history.c: as it is stored, which is without pins. Caller frees. */
char *vm_history_text(const HostlerVmHistory *history);

/* adopt.c: has @run done on the main loop and waits for it; not from the main loop. */
void vm_on_main_loop(Vm *vm, void (*run)(Vm *vm));
/* adopt.c, main loop only: lets go of all connections. */
void vm_disconnect(Vm *vm);
