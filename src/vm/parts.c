/*
 * The host side of a VM's parts as a whole. See parts.h; one part that is plugged live is change.c's.
 */
#include "vm/parts.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"

#define CONSOLE_LOG_BYTES (1024 * 1024)
#define CID_FIRST 3
#define CID_COUNT 4294967292 /* 3 to 4294967294: less is the host's, more means any */

typedef struct {
        Vm *vm;
        HostlerVmRuntime runtime;
        VmContext context;
        GPtrArray *order; /* each part after those it needs */
} Run;

/* @known NULL: the recorded run. */
static void run_open_of(Run *run, Vm *vm, const HostlerVmRuntime *known)
{
        *run = (Run){.vm = vm};
        if (known)
                record_copy(&hostler_vm_runtime_type, known, &run->runtime);
        else
                vm_runtime(vm, &run->runtime);
        vm_context_init(&run->context, vm_manager(vm), vm, &run->runtime.launched, &run->runtime);
        run->order = device_order(&run->context.context);
}

static void run_open(Run *run, Vm *vm)
{
        run_open_of(run, vm, NULL);
}

static void run_close(Run *run)
{
        g_ptr_array_unref(run->order);
        vm_context_clear(&run->context);
        record_clear(&hostler_vm_runtime_type, &run->runtime);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_close)

bool vm_acquire_parts(Vm *vm, GError **error)
{
        g_auto(Run) run = {0};
        run_open(&run, vm);
        for (guint i = 0; i < run.order->len; i++) {
                const HostlerPart *part = run.order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type && type->acquire && !type->acquire(&run.context.context, part, error))
                        return false;
        }
        return true;
}

/* One that cannot does not keep the others from it. */
bool vm_connect_parts(Vm *vm, GError **error)
{
        g_auto(Run) run = {0};
        bool ok = true;
        run_open(&run, vm);
        for (guint i = 0; i < run.order->len; i++) {
                const HostlerPart *part = run.order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type && type->connect && !type->connect(&run.context.context, part, ok ? error : NULL))
                        ok = false;
        }
        return ok;
}

void vm_end_strays(Vm *vm)
{
        g_autofree char *parts = vm_path(vm, "parts");
        g_autoptr(GDir) dir = g_dir_open(parts, 0, NULL);
        const char *name;
        g_auto(Run) run = {0};
        run_open(&run, vm);
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *folder = g_build_filename(parts, name, NULL);
                if (!spec_part(&run.runtime.launched, name))
                        keeper_end(folder);
        }
}

void vm_release_parts(Vm *vm)
{
        g_auto(Run) run = {0};
        run_open(&run, vm);
        for (guint i = run.order->len; i > 0; i--) {
                const HostlerPart *part = run.order->pdata[i - 1];
                const DeviceType *type = device_type(part->kind);
                if (type && type->release)
                        type->release(&run.context.context, part);
        }
}

static void log_clear(gpointer data)
{
        KeeperLog *log = data;
        g_free((char *)log->name);
        g_free((char *)log->link);
}

GArray *vm_logs(Vm *vm, const HostlerVmRuntime *known)
{
        g_auto(Run) run = {0};
        GArray *logs = g_array_new(FALSE, FALSE, sizeof(KeeperLog));
        KeeperLog console = {g_strdup("console.log"), CHASSIS_CONSOLE_FDSET, CONSOLE_LOG_BYTES, NULL};
        g_array_set_clear_func(logs, log_clear);
        g_array_append_val(logs, console);
        run_open_of(&run, vm, known);
        for (size_t i = 0; i < run.runtime.launched.count; i++) {
                const HostlerPart *part = &run.runtime.launched.items[i];
                g_auto(HostEnd) end = device_host_end(&run.context.context, part);
                if (end.kind != HOST_END_LOG && end.kind != HOST_END_SOUND)
                        continue;
                KeeperLog log = {
                    .name = g_steal_pointer(&end.name),
                    .fd_set = device_log_set(&run.context.context, part),
                    .max_bytes = end.limit_bytes,
                    .link = g_steal_pointer(&end.pipe),
                };
                g_array_append_val(logs, log);
        }
        return logs;
}

static void helper_clear(gpointer data)
{
        DeviceHelper *helper = data;
        g_strfreev(helper->argv);
        g_free(helper->socket);
}

GArray *vm_helpers(Vm *vm)
{
        g_auto(Run) run = {0};
        GArray *helpers = g_array_new(FALSE, FALSE, sizeof(DeviceHelper));
        g_array_set_clear_func(helpers, helper_clear);
        run_open(&run, vm);
        for (guint i = 0; i < run.order->len; i++) {
                const HostlerPart *part = run.order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type && type->helpers)
                        type->helpers(&run.context.context, part, helpers);
        }
        return helpers;
}

/* ---- folders ---- */

static void folder_clear(gpointer data)
{
        SharedFolder *folder = data;
        g_free(folder->word);
        fd_close(&folder->fd);
}

/* The state folder has the disks of all VMs and the daemon's own secrets. */
static bool check_folder(Vm *vm, int fd, const char *path, GError **error)
{
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd), *real = g_file_read_link(link, NULL);
        g_autofree char *state = g_canonicalize_filename(manager_state_dir(vm_manager(vm)), NULL);
        char *real_state = realpath(state, NULL);
        gsize length = real_state ? strlen(real_state) : 0;
        bool inside = real_state && real && strncmp(real, real_state, length) == 0 &&
                      (real[length] == '\0' || real[length] == '/');
        free(real_state);
        return !inside ||
               error_set(error, HOSTLER_ERROR_DENIED, NULL, "%s is in Hostler's own folder and is not shared", path);
}

static bool open_folder(Vm *vm, const HostlerPart *part, const char *path, GArray *folders, GError **error)
{
        g_autoptr(GError) local = NULL;
        SharedFolder folder = {.word = g_strdup_printf("@DIR:%s@", part->name),
                               .fd = file_open_beneath("/", path + 1, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, &local)};
        g_array_append_val(folders, folder);
        if (folder.fd >= 0)
                return check_folder(vm, folder.fd, path, error);
        error_set(error, HOSTLER_ERROR_INVALID, NULL,
                  "%s: %s cannot be opened as a folder by a path without symbolic links", part->name, path);
        error_cause(error, NULL, "%s", local->message);
        return false;
}

/* The device that acquire() has made. */
static void take_port(Vm *vm, const HostlerPart *part, GArray *folders)
{
        int fd = network_take_device(manager_network(vm_manager(vm)), vm_id(vm), part->name);
        SharedFolder port = {.word = tap_word(part->name), .fd = fd, .is_port = true};
        g_array_append_val(folders, port);
}

GArray *vm_open_folders(Vm *vm, GError **error)
{
        g_auto(Run) run = {0};
        g_autoptr(GArray) folders = g_array_new(FALSE, FALSE, sizeof(SharedFolder));
        g_array_set_clear_func(folders, folder_clear);
        run_open(&run, vm);
        for (guint i = 0; i < run.order->len; i++) {
                const HostlerPart *part = run.order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                const char *path = type && type->folder ? type->folder(part) : NULL;
                if (path && !open_folder(vm, part, path, folders, error))
                        return NULL;
                if (strcmp(part->kind, "nic") == 0 && ((const HostlerNicProps *)part->props)->network)
                        take_port(vm, part, folders);
        }
        return g_steal_pointer(&folders);
}

/* ---- one part ---- */

void vm_remove_part(Vm *vm, const HostlerSpec *known, const char *name)
{
        const HostlerPart *part = spec_part(known, name);
        const DeviceType *type = part ? device_type(part->kind) : NULL;
        g_auto(VmContext) context = {0};
        if (!type || !type->remove)
                return;
        vm_context_init(&context, vm_manager(vm), vm, known, NULL);
        type->remove(&context.context, part);
}

void vm_remove_parts(Vm *vm, const HostlerSpec *known, const HostlerSpec *spec)
{
        for (size_t i = 0; i < known->count; i++)
                if (!spec_part(spec, known->items[i].name))
                        vm_remove_part(vm, known, known->items[i].name);
}

/*
 * The MAC address of an adapter that was given none: locally administered, unicast, always the same for this VM and
 * part. Five bytes of a hash: under QEMU's prefix of three, two of 5,000 VMs on a network are more likely than not to
 * get the same one.
 */
static char *new_mac(const char *vm_id, const char *part)
{
        g_autofree char *text = g_strdup_printf("%s/%s", vm_id, part);
        g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
        guint8 hash[32];
        gsize length = sizeof hash;
        g_checksum_update(checksum, (const guchar *)text, -1);
        g_checksum_get_digest(checksum, hash, &length);
        return g_strdup_printf("52:%02x:%02x:%02x:%02x:%02x", hash[0], hash[1], hash[2], hash[3], hash[4]);
}

/* Far from zero, so that they do not meet those people choose by hand. */
static int64_t new_cid(const char *vm_id)
{
        return CID_FIRST + (int64_t)(g_str_hash(vm_id) % CID_COUNT);
}

void vm_settle_part(const char *vm_id, HostlerPart *part)
{
        if (strcmp(part->kind, "nic") == 0) {
                HostlerNicProps *nic = part->props;
                nic->mac = nic->mac ? nic->mac : new_mac(vm_id, part->name);
        } else if (strcmp(part->kind, "vsock") == 0) {
                HostlerVsockProps *vsock = part->props;
                vsock->cid = vsock->cid != HOSTLER_UNSET ? vsock->cid : new_cid(vm_id);
        }
}
