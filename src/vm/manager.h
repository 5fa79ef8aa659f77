/*
 * The manager: everything a verb may reach. Made by the daemon's main, passed down to verbs as `job_manager(job)` or
 * `call->manager`.
 */
#pragma once

#include "host/accel_probe.h"
#include "job/job.h"
#include "monitor/monitor.h"
#include "network/network.h"
#include "storage/image.h"
#include "store/event_log.h"
#include "store/store.h"
#include "vm/vm.h"

typedef struct {
        const char *state_dir; /* absolute; borrowed for the manager's life */
        Store *store;          /* borrowed */
        bool system;           /* for all users of the host: with switches */
} ManagerConfig;

/* Reads every VM's row; touches no process yet. */
Manager *manager_new(const ManagerConfig *config, GError **error);
void manager_free(Manager *manager);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Manager, manager_free)
/*
 * Starts a thread that adopts every QEMU found alive (many at a time), records the ends of those found dead, finishes
 * or undoes the jobs an earlier daemon left, removes what belongs to no VM, and then lets jobs run. `done` is called on
 * the main loop.
 */
void manager_recover(Manager *manager, void (*done)(int adopted, void *data), void *data);

const char *manager_state_dir(Manager *manager);
Store *manager_store(Manager *manager);
EventLog *manager_events(Manager *manager);
JobQueue *manager_jobs(Manager *manager);
Monitor *manager_monitor(Manager *manager);
typedef struct Governor Governor;
Governor *manager_governor(Manager *manager); /* govern.h */
Network *manager_network(Manager *manager);
typedef struct WarmPool WarmPool;
WarmPool *manager_warm(Manager *manager);        /* warm/warm.h */
const char *manager_image_dir(Manager *manager); /* STATE/images */
int64_t manager_started_ms(Manager *manager);
/* Whether VMs may use KVM. The probe runs from manager_recover() on; this waits for its verdict, so not on the main
 * loop. */
bool manager_kvm(Manager *manager);
void manager_set_kvm(Manager *manager, bool kvm);

/* By name, else by id. HOSTLER_ERROR_NOT_FOUND with near names. A new reference. */
Vm *manager_vm(Manager *manager, const char *name_or_id, GError **error);
/* The same, waiting until an adoption under way has ended, for jobs. */
Vm *manager_vm_ready(Manager *manager, const char *name_or_id, GError **error);
/* The youngest of that name in the trash, or by id. */
Vm *manager_trashed_vm(Manager *manager, const char *name_or_id, GError **error);
/* By id, in the trash or not; NULL: there is none. A new reference. */
Vm *manager_any_vm(Manager *manager, const char *id);
/* References, ordered by name. g_ptr_array_unref. */
GPtrArray *manager_vms(Manager *manager, bool trashed);
/* Puts it in the table; HOSTLER_ERROR_EXISTS when the name is taken. */
bool manager_add(Manager *manager, Vm *vm, GError **error);
/* After vm_store() has changed its name or moved it into or out of the trash. */
void manager_renamed(Manager *manager, Vm *vm);
void manager_remove(Manager *manager, Vm *vm);
/* HOSTLER_ERROR_EXISTS unless @name is free (or @vm's own). */
bool manager_name_is_free(Manager *manager, const char *name, Vm *vm, GError **error);
/* Names of the VMs, trashed ones too, that stand on image @name. g_strfreev. */
char **manager_image_users(Manager *manager, const char *image);
/* OpenMetrics text from what is in memory. Caller frees. */
char *manager_metrics(Manager *manager);
/* The turn a verb needs: "vm/ID" for a verb on a VM, "image/NAME", NULL for none. Caller frees. */
char *manager_turn_key(Manager *manager, const VerbDecl *decl, const void *args, GError **error);
/* For the wait route: HOSTLER_ERROR_WRONG_STATE when it can no longer come true. */
bool manager_vm_reached(Manager *manager, const char *vm, HostlerWaitFor what, bool *ret_reached, HostlerVm *ret_vm,
                        GError **error);
extern const JobOperation manager_operations[];

/* recover.c: a VM's power when no QEMU runs: suspended when its state is saved, crashed when that was its end, else
 * off. */
HostlerPower vm_power_at_rest(Vm *vm);

/* device/context.c: what devices may look at. The struct borrows from @vm, @spec and itself: keep it where it is. */
#include "device/device.h"
typedef struct {
        DeviceContext context;
        Manager *manager;
        Vm *vm;                /* borrowed */
        HostlerSlotList slots; /* owned */
        GHashTable *paths;     /* image name → ImagePaths, owned */
        char *name;
} VmContext;
/*
 * @run: the run whose ports, memory and accelerator count (borrowed); NULL: none, everything follows from @spec. Parts
 * that have a port in it keep it; others that need one get the next free one, in order of the spec.
 */
void vm_context_init(VmContext *vm_context, Manager *manager, Vm *vm, const HostlerSpec *spec,
                     const HostlerVmRuntime *run);
/* The same for what is done to the QEMU that runs. */
void vm_context_init_hot(VmContext *vm_context, Vm *vm, const HostlerSpec *spec, const HostlerVmRuntime *run);
void vm_context_clear(VmContext *vm_context);
/* host_devices.c: whether the host can give its device @name to @vm now; HOSTLER_ERROR_UNSUPPORTED, _BUSY, _NOT_FOUND.
 */
bool vm_host_device(Manager *manager, const Vm *vm, const char *name, bool unreset, GError **error);
/* The ports as given out; the caller owns the list. */
HostlerSlotList vm_context_copy_slots(const VmContext *vm_context);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VmContext, vm_context_clear)
/* Everything wrong with a spec, beyond its declaration. HOSTLER_ERROR_INVALID with all faults. */
bool vm_check_spec(Manager *manager, Vm *vm, const HostlerSpec *spec, GError **error);
/* HOSTLER_ERROR_UNSUPPORTED, naming the devices of the run that keep the VM from being saved or migrated. */
bool vm_check_savable(Vm *vm, GError **error);
