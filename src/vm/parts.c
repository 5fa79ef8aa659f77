/*
 * The host side of a VM's parts as a whole. See parts.h; one part that is plugged live is change.c's.
 */
#include "vm/parts.h"

#include "base/keeper_launch.h"

#define CONSOLE_LOG_BYTES (1024 * 1024)

typedef struct {
        Vm *vm;
        HostlerVmRuntime runtime;
        VmContext context;
        GPtrArray *order; /* each part after those it needs */
} Run;

static void run_open(Run *run, Vm *vm)
{
        *run = (Run){.vm = vm};
        vm_runtime(vm, &run->runtime);
        vm_context_init(&run->context, vm_manager(vm), vm, &run->runtime.launched, &run->runtime);
        run->order = device_order(&run->context.context);
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
}

GArray *vm_logs(Vm *vm)
{
        g_auto(Run) run = {0};
        GArray *logs = g_array_new(FALSE, FALSE, sizeof(KeeperLog));
        KeeperLog console = {g_strdup("console.log"), CHASSIS_CONSOLE_FDSET, CONSOLE_LOG_BYTES};
        g_array_set_clear_func(logs, log_clear);
        g_array_append_val(logs, console);
        run_open(&run, vm);
        for (size_t i = 0; i < run.runtime.launched.count; i++) {
                const HostlerPart *part = &run.runtime.launched.items[i];
                g_auto(HostEnd) end = device_host_end(&run.context.context, part);
                if (end.kind != HOST_END_LOG)
                        continue;
                KeeperLog log = {g_steal_pointer(&end.name), device_log_set(&run.context.context, part),
                                 end.limit_bytes};
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

/*
 * Five bytes of a hash: under QEMU's prefix of three, two of 5,000 VMs on a network are more likely than not to get the
 * same one.
 */
char *vm_new_mac(const char *vm_id, const char *part)
{
        g_autofree char *text = g_strdup_printf("%s/%s", vm_id, part);
        g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
        guint8 hash[32];
        gsize length = sizeof hash;
        g_checksum_update(checksum, (const guchar *)text, -1);
        g_checksum_get_digest(checksum, hash, &length);
        return g_strdup_printf("52:%02x:%02x:%02x:%02x:%02x", hash[0], hash[1], hash[2], hash[3], hash[4]);
}
