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
#include "device/seat.h"
#include "hostler-records.h"
#include "wire/guest_agent.h"

/* What an image gives its VMs; paths are absolute, borrowed for the call. */
typedef struct {
        const char *disk, *kernel, *initrd, *cmdline; /* NULL: none */
} DeviceImage;

/* Everything plan() may look at. Borrowed. */
struct DeviceContext {
        const char *vm_id, *vm_name, *vm_dir;
        const HostlerSpec *spec;
        const HostlerSpec *launched;  /* what the run has, as changed live since; NULL: no run */
        const HostlerSlotList *slots; /* seats given out: see seat.h */
        bool kvm;
        bool hot;        /* the plan is for a QEMU that runs, not for a command line */
        bool fresh;      /* hot, and its guest has not run yet: it finds all as if from the command line */
        bool wide_ports; /* the run's last ports have room for cards with memory; runs of earlier versions have none */
        /* Of the run this is about, decided when it was launched; HOSTLER_UNSET: there is none yet. */
        int64_t memory_boot_bytes, memory_max_bytes;
        /* A file that holds the memory it boots with: of an instant clone or, @memory_is_kept, of the mould for them.
         */
        const char *memory_file;
        bool memory_is_kept; /* what is written goes to the file, and not to pages of its own */
        /* The files of a disk in the VM's folder, absolute, head first; NULL, or NULL itself: the one of its name.
         * g_strfreev. */
        char **(*disk_files)(const char *part, void *data);
        /* How QEMU opens one of these that is no file: arguments of blockdev-add, which the caller owns; NULL, or NULL
         * itself: it is one. */
        json_t *(*disk_node)(const char *path, void *data);
        /* False when there is no such image. */
        bool (*image)(const char *name, DeviceImage *ret_image, void *data);
        /* Whether the QEMU of this host can make such a device at all; NULL: not asked. */
        bool (*has_driver)(const char *driver, void *data);
        bool (*has_pool)(const char *name, void *data);  /* NULL: all that are named are there */
        bool (*takes_raw)(const char *pool, void *data); /* NULL: every pool keeps raw volumes */
        /* Whether the host can give this device of its own away now ("0000:01:00.0", "1-2.3", "046d:c31c"). @unreset:
         * it may be one that cannot be reset. */
        bool (*host_device)(const char *name, bool unreset, void *data, GError **error);
        /*
         * Adapters on switches. port_open: puts it on its switch, with a device that QEMU gets as a descriptor: the
         * word tap_word() on a command line, the name tap_fd_name() in one that runs. port_keep: the same for one that
         * QEMU has, with what @part says now and @launched (NULL: the same) was started with. port_close: takes it off.
         * port_forget: it has left its VM for good. NULL: there are no switches.
         */
        bool (*port_open)(const HostlerPart *part, void *data, GError **error);
        bool (*port_keep)(const HostlerPart *part, const HostlerPart *launched, void *data, GError **error);
        void (*port_close)(const HostlerPart *part, void *data);
        void (*port_forget)(const HostlerPart *part, void *data);
        /* What a guest is told of an adapter's addresses: see nic_address.c. g_strfreev. NULL: it is not told. */
        char **(*port_words)(const HostlerPart *part, void *data, GError **error);
        void *data;
};

/* A program that the keeper starts before QEMU and ends after it. */
typedef struct {
        char **argv; /* owned; argv[0] absolute. The word "@FD@" in an argument stands for the descriptor's number. */
        char *
            socket; /* owned; name in VMDIR/run of a listening socket that is made for it and given to it; NULL: none */
} DeviceHelper;

/* The host's end of a part: where what it puts out can be had. */
typedef enum {
        HOST_END_NONE,
        HOST_END_FILE,   /* a file in VMDIR, written by QEMU or a helper */
        HOST_END_LOG,    /* the same, written by the keeper; what came before is in NAME.1 */
        HOST_END_SOUND,  /* the same, of frames as in wav.h, which QEMU writes to a pipe */
        HOST_END_RING,   /* the id of a character device of QEMU: bytes that are gone with the run */
        HOST_END_SOCKET, /* a socket in VMDIR/run that listens */
        HOST_END_PTY     /* the id of a character device of QEMU: a pseudo-terminal */
} HostEndKind;
typedef struct {
        HostEndKind kind;
        char *name;          /* owned */
        char *pipe;          /* owned; of sound: name in VMDIR/run under which QEMU opens the pipe */
        int64_t limit_bytes; /* of a log or sound: the size at which it is begun anew */
} HostEnd;

/* A live change under way. Runs on the job's thread; blocking calls allowed. */
typedef struct {
        const DeviceContext *context;           /* with the new spec */
        const HostlerPart *old_part, *new_part; /* NULL: the part comes, goes */
        Qmp *qmp;
        GuestAgent *agent; /* NULL: none connected */
        GCancellable *cancellable;
        int64_t patience_ms;           /* how long the guest may take to let go of something */
        bool force;                    /* what it does not let go of is taken all the same */
        HostlerPropertyChange *change; /* device, guest, detail and state to fill in */
} DeviceChange;

typedef struct {
        const char *property;
        bool (*set)(const DeviceChange *change, GError **error);
} DeviceSetter;

/* What a kind is. Everything but kind and plan may be left out; what a model's row says need not be said again. */
typedef struct {
        const char *kind;
        /* Decides what a part that joins @spec leaves open, so that it never changes by itself later. */
        void (*settle)(const HostlerSpec *spec, HostlerPart *part);
        /* The bus its device sits on. NULL: by the model's row. */
        bool (*seats)(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats);
        /* Of a controller that is not the one its bus is named after: the bus it offers to parts that name it (a hub is
         * no `usb`, but carries USB devices). */
        Bus carries;
        /* Of a controller: the numbers of its seats (bus is filled in already), and where seat @seat is, as members of
         * the JSON of the device that sits there ("bus", "port"). */
        void (*offers)(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats);
        void (*place)(const DeviceContext *context, const HostlerPart *controller, int seat, json_t *args);
        /* May be plugged into and taken from a running VM. NULL: by the model's row; a kind without models: no. */
        bool (*hot_plug)(const DeviceContext *context, const HostlerPart *part);
        /* Adds names (borrowed from the spec) of other parts it cannot be without, besides its controller. */
        void (*needs)(const DeviceContext *context, const HostlerPart *part, GPtrArray *names);
        /* Faults that a declaration cannot see. */
        void (*check)(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
        /* Faults of the host's side, such as files that it names: asked once, when the part comes or changes. */
        void (*check_host)(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
        /*
         * Makes what the part stands on, on the host: files in the VM's folder, a process beside QEMU. Runs before each
         * plan() that is carried out, on a job's thread, and again after a crash: what is there already is fine.
         * release() is its opposite, after the device has gone or QEMU has ended; what is not there is fine. remove()
         * is for good: the part has left the spec, or its VM is deleted.
         */
        bool (*acquire)(const DeviceContext *context, const HostlerPart *part, GError **error);
        void (*release)(const DeviceContext *context, const HostlerPart *part);
        void (*remove)(const DeviceContext *context, const HostlerPart *part);
        void (*plan)(const DeviceContext *context, const HostlerPart *part, Plan *plan);
        /*
         * Has those connect to a running QEMU that live beside it: before the guest runs (and after a saved state was
         * loaded), once the part is plugged, and whenever a daemon finds the VM running. Who is connected is left
         * alone; release() ends them.
         */
        bool (*connect)(const DeviceContext *context, const HostlerPart *part, GError **error);
        /*
         * A folder of the host (absolute path, borrowed) that QEMU or a helper gets open, by a path without symbolic
         * links: their arguments name it "@DIR:<part's name>@". Cold parts only.
         */
        const char *(*folder)(const HostlerPart *part);
        /* The name of the file or flat folder in the VM's folder in which the part remembers things, besides disks: it
         * goes along in snapshots and clones. NULL: there is none. */
        const char *(*keepsake)(const HostlerPart *part);
        /* Programs that must run beside QEMU from its start: appends DeviceHelper (its strings given away). */
        void (*helpers)(const DeviceContext *context, const HostlerPart *part, GArray *helpers);
        /* What can only be said to a QEMU that runs: before the guest does, or right after the part was plugged. */
        bool (*launched)(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error);
        /* The same before it is unplugged; it may be gone already. */
        bool (*leaving)(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error);
        /*
         * The guest's side of a live plug, when QEMU's is done, and of an unplug, before that begins: blocking calls
         * allowed. guest_leave() refuses with HOSTLER_ERROR_BUSY what the guest cannot do without, unless forced.
         */
        bool (*guest_find)(const DeviceChange *change, GError **error);
        bool (*guest_leave)(const DeviceChange *change, GError **error);
        const DeviceSetter *setters; /* ends with property NULL */
        /* Fills in where its host's end is, for `device read` and `device ls`. NULL: it has none. */
        void (*host_end)(const DeviceContext *context, const HostlerPart *part, HostEnd *ret_end);
        /* Why a VM with this part can be neither saved nor migrated; NULL: it can. Besides the model's own reason. */
        const char *(*blocks)(const DeviceContext *context, const HostlerPart *part);
        /*
         * A shell command that prints, in the guest, one line about this part for `device ls`; $0 is its name, $1 its
         * PCI address ("0000:01:00.0", "-" when it has none), $2 its model, $3 the PCI address of the first part it
         * needs, $4 the number of its seat, $5 its serial number. NULL: the driver of its PCI function.
         */
        const char *guest;
} DeviceType;

/* NULL for a kind that is only settings (options). */
const DeviceType *device_type(const char *kind);
/* The part whose bus @part's device sits on (its property `controller`, else the first of the kind that its model's bus
 * asks for; PCI cards sit on a port of the VM unless they name a bridge); NULL: it needs none, or there is none. */
const HostlerPart *device_controller(const DeviceContext *context, const HostlerPart *part);
/* The kind of controller a part needs, "usb", "scsi" or "ide"; NULL: none. */
const char *device_controller_kind(const HostlerPart *part);
/* Names of the parts that @part cannot be without: its controller and what its kind names. g_ptr_array_unref. */
GPtrArray *device_needs(const DeviceContext *context, const HostlerPart *part);
/* Whether it may be plugged into and taken from a running VM. */
bool device_hot_plug(const DeviceContext *context, const HostlerPart *part);
/* What its parts leave open and their kinds decide once, each by its settle(). */
void device_settle(HostlerSpec *spec);
/* All parts (const HostlerPart *, borrowed), each after those it needs. g_ptr_array_unref. */
GPtrArray *device_order(const DeviceContext *context);
/* All faults of a whole spec beyond its declaration: every part's check() and what concerns several parts. */
void device_check_spec(const DeviceContext *context, GPtrArray *faults);
/* Why the VM can neither be saved nor migrated while it has @part; NULL: it can. */
const char *device_blocks(const DeviceContext *context, const HostlerPart *part);
/* A fault for every part that keeps the VM from being saved or migrated, and for every one that did before it was
 * unplugged. */
void device_check_blocks(const DeviceContext *context, GPtrArray *faults);
/* The whole VM: the chassis first, then each part after those it needs. */
void device_plan_all(const DeviceContext *context, Plan *plan);
/* Its host's end, HOST_END_NONE for a part that has none. */
HostEnd device_host_end(const DeviceContext *context, const HostlerPart *part);
/* The descriptor set of QEMU that a part with a log (HOST_END_LOG) writes to: 2 and up, in the order of the spec.
 * Recordings are counted too: there is a limit to both. */
int device_log_set(const DeviceContext *context, const HostlerPart *part);
static inline void host_end_clear(HostEnd *end)
{
        g_free(end->name);
        g_free(end->pipe);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HostEnd, host_end_clear)

/*
 * The beginning of a part's device: {"driver", "id"} and where it sits ("bus", "addr", "port", …), by its model's row
 * and its seat. The caller owns it, adds its own members and gives it to plan_add().
 */
json_t *device_args(const DeviceContext *context, const HostlerPart *part);
/* The same for a driver that is not the model's; NULL: the model's. */
json_t *device_args_of(const DeviceContext *context, const HostlerPart *part, const char *driver);
/* Where a part sits, for people: "port 3", "usb0 port 2", "board 0xa"; NULL: nowhere that has a number. Caller frees.
 */
char *device_place_text(const DeviceContext *context, const HostlerPart *part);
/*
 * The place of a part with a property `boot` among all that firmware may boot from, 1 first; 0: leave it out (a device
 * that is plugged live: QEMU takes each index once, and the parts may have changed since the start).
 */
int device_boot_index(const DeviceContext *context, const HostlerPart *part);

/* Where a guest finds a part; each NULL when there is none. */
typedef struct {
        const char *address; /* PCI */
        const char *beneath; /* the PCI address of the first part it needs */
        const char *seat;    /* its number there */
} GuestPlace;
/* The command that prints in the guest what it says of @part. The words are borrowed from all. False: there is nothing
 * to ask. */
#define DEVICE_GUEST_WORDS 10
bool device_guest_argv(const HostlerPart *part, const GuestPlace *place, const char *ret_argv[DEVICE_GUEST_WORDS]);
/* What a program in the guest prints, for the `guest` of a change; NULL when there is no agent or it fails. Caller
 * frees. */
char *device_ask_guest(const DeviceChange *change, const char *const *argv);

/* A setter of what QEMU is not told: the daemon's next round of allocation goes by the spec. */
bool device_set_allocation(const DeviceChange *change, GError **error);

/* chassis.c: what every VM has, whatever its parts: machine, root ports, QMP, console, agent channel. */
void chassis_plan(const DeviceContext *context, Plan *plan);
/* The beginning of a device whose slot on the board is one of these; the caller owns it. */
json_t *chassis_device(const HostlerPart *part, const char *driver, const char *slot);
#define CHASSIS_SLOT_CHANNELS "0x4"
#define CHASSIS_SLOT_RNG "0x5"
#define CHASSIS_SLOT_PANIC "0x6"
#define CHASSIS_SLOT_BALLOON "0x7"
#define CHASSIS_SLOT_SEED "0x8"
#define CHASSIS_QMP_SOCKET "qmp.sock"
#define CHASSIS_AGENT_SOCKET "agent.sock"
#define CHASSIS_AGENT_LABEL "org.qemu.guest_agent.0"
#define CHASSIS_CONSOLE_SOCKET "console.sock"
#define CHASSIS_CONSOLE_FDSET 1

/* nic.c: what stands for the descriptor of an adapter's device. Caller frees. */
char *tap_word(const char *part);
char *tap_fd_name(const char *part);
/* nic_address.c: a setter: the adapter's addresses are other ones, which its guest is told if it has an agent. */
bool nic_set_address(const DeviceChange *change, GError **error);
/* disk.c: names inside the VM's folder. Caller frees. */
char *disk_file_name(const char *part);
/* The same, by the format that @disk's volume is made in. */
char *disk_first_file(const HostlerPart *disk);
/* Whether a file is one of the VM's own: in its folder @vm_dir, or in the one of a pool that bears its id. Pure. */
bool disk_file_is_of(const char *vm_dir, const char *vm_id, const char *path);
/* The node that stands for one of a disk's files in QEMU; that of its bytes is NODE.file. Caller frees. */
char *disk_layer_node(const char *file);
/* Nodes for a new, empty head of a disk in @path, on nothing yet: blockdev-snapshot puts it on top. */
void disk_plan_layer(const DeviceContext *context, const HostlerPart *part, const char *path, Plan *plan);
/* Nodes for a copy of a disk in @path, which stands on the same image, if there is one. */
void disk_plan_copy(const DeviceContext *context, const HostlerPart *part, const char *path, Plan *plan);
/* Folds the head @node of a running QEMU's disk into @below, which becomes the head again. Blocks. */
bool disk_commit_layer(Qmp *qmp, const char *node, const char *below, GError **error);
/* disk_live.c, medium.c: after its controller has changed, the running disk or medium does too; one that is not there
 * yet is left alone. */
bool disk_follow(const DeviceChange *change, const HostlerPart *part, GError **error);
bool medium_follow(const DeviceChange *change, const HostlerPart *part, GError **error);
/* scsi.c: whether a guest notices by itself what comes and goes on it; whether a running VM's takes anything at all;
 * whether the guest's driver keeps flushes to itself. */
bool scsi_tells_guest(const HostlerPart *controller);
bool scsi_takes_live(const HostlerPart *controller);
bool scsi_never_flushes(const HostlerPart *controller);
/* seed.c */
#define SEED_FILE_NAME "seed.iso"
/* memory.c: what follows from the properties that were given; bytes. */
int64_t memory_boot_bytes(const HostlerMemoryProps *props);
int64_t memory_max_bytes(const HostlerMemoryProps *props);
/*
 * balloon.c: after the memory of a running VM has changed, its balloon leaves what the spec says again. HOSTLER_ERROR_
 * INVALID when it cannot with @plugged_bytes that are out of its reach.
 */
bool balloon_follow(const DeviceContext *context, Qmp *qmp, GError **error);
bool balloon_leaves(const DeviceContext *context, int64_t plugged_bytes, GError **error);
/* cpu.c */
int64_t cpu_max(const HostlerCpuProps *props);
/* input.c: what the spec's parts want of the board's keyboard controller; whether a part has keys, or points. */
typedef enum { INPUT_NONE, INPUT_PS2, INPUT_VMMOUSE } InputOfBoard;
InputOfBoard input_of_board(const HostlerSpec *spec);
bool input_is_keyboard(const HostlerPart *part);
bool input_is_pointer(const HostlerPart *part);
/* firmware.c: the file in the VM's folder of what it remembers (qcow2); NULL: none. Borrowed. */
const char *firmware_file_name(const HostlerPart *part);
/* Whether its guest can sleep to RAM. */
bool firmware_sleeps(const HostlerPart *part);
/* share.c: whether a folder is shared by a program that must see the guest's memory. */
bool share_wants_shared_memory(const HostlerSpec *spec);
/* video.c: whether there is a card; whether one lies over the memory of the processor's management mode. */
bool video_has_card(const HostlerSpec *spec);
bool video_hides_smram(const HostlerSpec *spec);

extern const DeviceType audio_device;
extern const DeviceType balloon_device;
extern const DeviceType boot_device;
extern const DeviceType cdrom_device;
extern const DeviceType cpu_device;
extern const DeviceType disk_device;
extern const DeviceType dsp_device;
extern const DeviceType firmware_device;
extern const DeviceType floppy_device;
extern const DeviceType hostpci_device;
extern const DeviceType hostusb_device;
extern const DeviceType hub_device;
extern const DeviceType ide_device;
extern const DeviceType input_device;
extern const DeviceType lpt_device;
extern const DeviceType memory_device;
extern const DeviceType midi_device;
extern const DeviceType mpeg_device;
extern const DeviceType nic_device;
extern const DeviceType output_device;
extern const DeviceType panic_device;
extern const DeviceType parallel_device;
extern const DeviceType pci_device;
extern const DeviceType pcie_device;
extern const DeviceType rng_device;
extern const DeviceType scsi_device;
extern const DeviceType seed_device;
extern const DeviceType serial_device;
extern const DeviceType share_device;
extern const DeviceType sound_device;
extern const DeviceType tpm_device;
extern const DeviceType usb_device;
extern const DeviceType video_device;
extern const DeviceType vsock_device;
extern const DeviceType watchdog_device;
