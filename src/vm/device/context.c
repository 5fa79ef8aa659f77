/*
 * What devices may look at: the spec, the images, and the root ports given out so far.
 */
#include <string.h>

#include "base/error.h"
#include "host/qemu.h"
#include "storage/volume.h"
#include "vm/govern/respool.h"
#include "vm/manager.h"
#include "vm/network/ports.h"
#include "vm/pool/pools.h"

static char **disk_files(const char *part, void *data)
{
        const VmContext *context = data;
        return vm_disk_files(context->vm, part);
}

static json_t *disk_node(const char *path, void *data)
{
        return volume_node(path);
}

static void paths_free(gpointer data)
{
        image_paths_clear(data);
        g_free(data);
}

static bool image_of(const char *name, DeviceImage *ret_image, void *data)
{
        VmContext *context = data;
        ImagePaths *paths = g_hash_table_lookup(context->paths, name);
        if (!paths) {
                paths = g_new0(ImagePaths, 1);
                if (!image_paths(manager_image_dir(context->manager), name, paths, NULL)) {
                        g_free(paths);
                        return false;
                }
                g_hash_table_insert(context->paths, g_strdup(name), paths);
        }
        *ret_image = (DeviceImage){
            .disk = paths->disk, .kernel = paths->kernel, .initrd = paths->initrd, .cmdline = paths->cmdline};
        return true;
}

static bool has_driver(const char *driver, void *data)
{
        return qemu_has_driver(driver);
}

static bool has_pool(const char *name, void *data)
{
        const VmContext *context = data;
        HostlerPoolConfig pool;
        bool found = pools_find(context->manager, name, &pool, NULL);
        if (found)
                record_clear(&hostler_pool_config_type, &pool);
        return found;
}

static bool takes_raw(const char *name, void *data)
{
        const VmContext *context = data;
        HostlerPoolConfig pool;
        if (!pools_find(context->manager, name, &pool, NULL))
                return true;
        bool takes = !pool_type(&pool)->volumes;
        record_clear(&hostler_pool_config_type, &pool);
        return takes;
}

static bool host_device(const char *name, bool unreset, void *data, GError **error)
{
        const VmContext *context = data;
        return vm_host_device(context->manager, context->vm, name, unreset, error);
}

static void copy_slots(const HostlerSlotList *slots, HostlerSlotList *ret_slots)
{
        *ret_slots = (HostlerSlotList){.items = g_new0(HostlerSlot, slots->count), .count = slots->count};
        for (size_t i = 0; i < slots->count; i++)
                record_copy(&hostler_slot_type, &slots->items[i], &ret_slots->items[i]);
}

static void context_init(VmContext *vm_context, Manager *manager, Vm *vm, const HostlerSpec *spec,
                         const HostlerVmRuntime *run, bool hot)
{
        *vm_context = (VmContext){
            .manager = manager,
            .vm = vm,
            .paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, paths_free),
            .name = vm_name(vm),
        };
        vm_context->context = (DeviceContext){
            .vm_id = vm_id(vm),
            .vm_name = vm_context->name,
            .vm_dir = vm_dir(vm),
            .spec = spec,
            .launched = run ? &run->launched : NULL,
            .slots = &vm_context->slots,
            .hot = hot,
            .kvm = run && run->accel == HOSTLER_ACCEL_KVM,
            .wide_ports = !run || run->wide_ports,
            .memory_boot_bytes = run ? run->memory_boot : HOSTLER_UNSET,
            .memory_max_bytes = run ? run->memory_max : HOSTLER_UNSET,
            .memory_file = run ? run->memory_file : NULL,
            .memory_is_kept = run && run->memory_kept,
            .disk_files = disk_files,
            .disk_node = disk_node,
            .image = image_of,
            .has_driver = has_driver,
            .has_pool = has_pool,
            .takes_raw = takes_raw,
            .host_device = host_device,
            .data = vm_context,
        };
        if (run)
                copy_slots(&run->slots, &vm_context->slots);
        ports_context(&vm_context->context);
        seats_give(&vm_context->context, &vm_context->slots);
}

void vm_context_init(VmContext *vm_context, Manager *manager, Vm *vm, const HostlerSpec *spec,
                     const HostlerVmRuntime *run)
{
        context_init(vm_context, manager, vm, spec, run, false);
}

void vm_context_init_hot(VmContext *vm_context, Vm *vm, const HostlerSpec *spec, const HostlerVmRuntime *run)
{
        context_init(vm_context, vm_manager(vm), vm, spec, run, true);
}

void vm_context_clear(VmContext *vm_context)
{
        record_list_clear(&hostler_slot_type, &vm_context->slots);
        g_clear_pointer(&vm_context->paths, g_hash_table_unref);
        g_clear_pointer(&vm_context->name, g_free);
}

HostlerSlotList vm_context_copy_slots(const VmContext *vm_context)
{
        HostlerSlotList slots;
        copy_slots(&vm_context->slots, &slots);
        return slots;
}

static bool spec_has_mac(const HostlerSpec *spec, const char *mac)
{
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerNicProps *nic = spec->items[i].props;
                if (strcmp(spec->items[i].kind, "nic") == 0 && g_strcmp0(nic->mac, mac) == 0)
                        return true;
        }
        return false;
}

/* A MAC that another VM has would cut both off the same network. */
static void check_macs(Manager *manager, Vm *vm, const HostlerSpec *spec, GPtrArray *faults)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++) {
                Vm *other = g_ptr_array_index(vms, i);
                if (strcmp(vm_id(other), vm_id(vm)) == 0)
                        continue;
                g_autoptr(Spec) theirs = vm_spec(other);
                for (size_t k = 0; k < spec->count; k++) {
                        const HostlerNicProps *nic = spec->items[k].props;
                        if (strcmp(spec->items[k].kind, "nic") != 0 || !nic->mac ||
                            !spec_has_mac(&theirs->value, nic->mac))
                                continue;
                        g_autofree char *pointer = g_strdup_printf("/spec/%s/mac", spec->items[k].name),
                                        *name = vm_name(other);
                        faults_add(faults, pointer, "VM %s has this address", name);
                }
        }
}

static int64_t cid_of(const HostlerSpec *spec)
{
        const HostlerPart *part = spec_part(spec, "vsock");
        return part ? ((const HostlerVsockProps *)part->props)->cid : HOSTLER_UNSET;
}

/* The host's kernel gives an address to one VM at a time. */
static void check_cid(Manager *manager, Vm *vm, const HostlerSpec *spec, GPtrArray *faults)
{
        int64_t cid = cid_of(spec);
        g_autoptr(GPtrArray) vms = cid == HOSTLER_UNSET ? g_ptr_array_new() : manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++) {
                Vm *other = g_ptr_array_index(vms, i);
                g_autoptr(Spec) theirs = vm_spec(other);
                g_autofree char *name = vm_name(other);
                if (strcmp(vm_id(other), vm_id(vm)) != 0 && cid_of(&theirs->value) == cid)
                        faults_add(faults, "/spec/vsock/cid", "VM %s has this address", name);
        }
}

bool vm_check_spec(Manager *manager, Vm *vm, const HostlerSpec *spec, GError **error)
{
        g_auto(VmContext) context = {0};
        g_autoptr(GPtrArray) faults = faults_new();
        g_autofree char *object = vm_object(vm);
        vm_context_init(&context, manager, vm, spec, NULL);
        device_check_spec(&context.context, faults);
        check_macs(manager, vm, spec, faults);
        ports_check(manager, vm, spec, faults);
        check_cid(manager, vm, spec, faults);
        respools_check(manager, spec, faults);
        return faults_check(faults, object, error);
}

bool vm_check_savable(Vm *vm, GError **error)
{
        g_autoptr(GPtrArray) reasons = faults_new();
        g_autofree char *object = vm_object(vm);
        g_auto(VmContext) context = {0};
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, vm_manager(vm), vm, &runtime.launched, &runtime);
        device_check_blocks(&context.context, reasons);
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
        if (reasons->len == 0)
                return true;
        const Fault *first = reasons->pdata[0];
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, object, "%s: %s", first->pointer + strlen("/spec/"), first->detail);
        for (guint i = 0; i < reasons->len; i++) {
                const Fault *reason = reasons->pdata[i];
                error_cause(error, reason->pointer, "%s", reason->detail);
        }
        const char *name = object + strlen("vm/"), *part = first->pointer + strlen("/spec/");
        g_autoptr(Spec) spec = vm_spec(vm);
        if (!spec_part(&spec->value, part))
                return error_hint(error, "stop and start the VM first: hostler stop %s", name);
        return error_hint(error, "remove the device first: hostler device rm %s %s", name, part);
}
