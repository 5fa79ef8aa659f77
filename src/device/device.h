/*
 * Devices: one file per kind of part, each a declaration (TOML beside it) and a DeviceType.
 *
 * check() adds what a declaration cannot say (relations between properties, names, the host). plan() is pure: it turns
 * a part into steps. A property that changes live has a setter; one without waits for the next start. Files that a part
 * owns (disks, the seed) are made by the vm layer before plan() runs and named by the functions below, so nothing here
 * touches a file.
 */
#pragma once

#include "base/record.h"
#include "device/plan.h"
#include "hostler-records.h"
#include "wire/guest_agent.h"

/* What an image gives its VMs; paths are absolute, borrowed for the call. */
typedef struct {
        const char *disk, *kernel, *initrd, *cmdline; /* NULL: none */
} DeviceImage;

/* Everything plan() may look at. Borrowed. */
typedef struct {
        const char *vm_id, *vm_name, *vm_dir;
        const HostlerSpec *spec;
        bool kvm;
        /* Of the run this is about, decided when it was launched; HOSTLER_UNSET: there is none yet. */
        int64_t memory_boot_bytes, memory_max_bytes;
        /* Root port of @part, -1 when it needs none or has none yet. */
        int (*port_of)(const char *part, void *data);
        /* False when there is no such image. */
        bool (*image)(const char *name, DeviceImage *ret_image, void *data);
        void *data;
} DeviceContext;

/* A live change under way. Runs on the job's thread; blocking calls allowed. */
typedef struct {
        const DeviceContext *context; /* with the new spec */
        const HostlerPart *old_part, *new_part;
        Qmp *qmp;
        GuestAgent *agent; /* NULL: none connected */
        GCancellable *cancellable;
        HostlerPropertyChange *change; /* device, guest, detail and state to fill in */
} DeviceChange;

typedef struct {
        const char *property;
        bool (*set)(const DeviceChange *change, GError **error);
} DeviceSetter;

typedef struct {
        const char *kind;
        /* Whether this part sits on a hot-pluggable root port of its own; NULL: never. */
        bool (*needs_port)(const DeviceContext *context, const HostlerPart *part);
        bool hot_plug; /* may be added to and removed from a running VM */
        void (*check)(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
        void (*plan)(const DeviceContext *context, const HostlerPart *part, Plan *plan);
        /* What can only be said to a QEMU that runs, before the guest does (NULL: nothing). */
        bool (*launched)(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error);
        const DeviceSetter *setters; /* ends with property NULL; NULL: none */
} DeviceType;

/* NULL for a kind that is only settings (options). */
const DeviceType *device_type(const char *kind);
/* needs_port() of kinds that always do. */
bool device_needs_port(const DeviceContext *context, const HostlerPart *part);
/* Whether @part needs a port, whatever its kind. */
bool device_wants_port(const DeviceContext *context, const HostlerPart *part);
/* All faults of a whole spec beyond its declaration: every part's check() and what concerns several parts. */
void device_check_spec(const DeviceContext *context, GPtrArray *faults);
/* The whole VM: the chassis first, then each part in order of name. */
void device_plan_all(const DeviceContext *context, Plan *plan);
/* Root ports a VM is built with. */
#define DEVICE_PORTS 16

/* What a program in the guest prints, for the `guest` of a change; NULL when there is no agent or it fails. Caller
 * frees. */
char *device_ask_guest(const DeviceChange *change, const char *const *argv);

/* chassis.c: what every VM has, whatever its parts: machine, root ports, QMP, console, agent channel, entropy, panic
 * notifier. */
void chassis_plan(const DeviceContext *context, Plan *plan);
#define CHASSIS_QMP_SOCKET "qmp.sock"
#define CHASSIS_AGENT_SOCKET "agent.sock"
#define CHASSIS_CONSOLE_SOCKET "console.sock"
#define CHASSIS_CONSOLE_FDSET 1

/* disk.c: names inside the VM's folder. Caller frees. */
char *disk_file_name(const char *part);
/* seed.c */
#define SEED_FILE_NAME "seed.iso"
/* memory.c: what follows from the properties that were given; bytes. */
int64_t memory_boot_bytes(const HostlerMemoryProps *props);
int64_t memory_max_bytes(const HostlerMemoryProps *props);
/* cpu.c */
int64_t cpu_max(const HostlerCpuProps *props);

extern const DeviceType cpu_device, memory_device, disk_device, nic_device, boot_device, seed_device;
