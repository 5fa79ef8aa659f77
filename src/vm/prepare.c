/*
 * Before and after QEMU is started. See prepare.h.
 */
#include "vm/prepare.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "host/host_facts.h"
#include "storage/seed.h"
#include "vm/govern/govern.h"
#include "vm/network/addresses.h"
#include "vm/parts.h"
#include "vm/pool/pools.h"
#include "vm/warm/warm.h"

/* QEMU's own needs beside the guest's memory. */
#define QEMU_OVERHEAD_BYTES (64LL * 1024 * 1024)
/* Room the guest's disks need to write at all. */
#define DISK_FLOOR_BYTES (64LL * 1024 * 1024)

static bool check_memory(Vm *vm, const HostlerSpec *spec, GError **error)
{
        const HostlerMemoryProps *memory = spec_part(spec, "memory")->props;
        int64_t available = host_memory_available_bytes();
        /* Huge pages were set aside: they are counted where they are taken (device/memory.c). */
        int64_t wanted_bytes = (memory->hugepages ? 0 : memory->size) + QEMU_OVERHEAD_BYTES;
        if (available >= 0 && wanted_bytes > available && warm_give_back(vm_manager(vm), vm))
                available = host_memory_available_bytes();
        if (available < 0 || wanted_bytes <= available)
                return true;
        g_autofree char *object = vm_object(vm);
        g_autofree char *wanted = size_format(memory->size), *have = size_format(available);
        error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "the VM wants %s of memory and the host has %s available",
                  wanted, have);
        return error_hint(error, "stop another VM, or: hostler set %s memory.size=…", object + strlen("vm/"));
}

static bool check_disk(Vm *vm, GError **error)
{
        int64_t available = dir_free_bytes(vm_dir(vm));
        if (available < 0 || available >= DISK_FLOOR_BYTES)
                return true;
        g_autofree char *object = vm_object(vm);
        g_autofree char *have = size_format(available);
        error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "only %s are free where the VM's disks are", have);
        return error_hint(error, "free some space, for example with `hostler ls --trash` and `hostler rm --now`");
}

bool prepare_capacity(Job *job, Vm *vm, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        if (!job_step(job, "capacity", "see that memory and disk will do"))
                return true;
        return check_memory(vm, &spec->value, error) && check_disk(vm, error) && vm_check_layers(vm, error) &&
               govern_admit(vm, &spec->value, error);
}

static const HostlerSeedProps *seed_of(const HostlerSpec *spec)
{
        const HostlerPart *part = spec_part(spec, "seed");
        return part ? part->props : NULL;
}

/* What the seed says of one adapter; lists are the plan's. */
static bool add_nic(Vm *vm, const char *name, const HostlerPart *part, GArray *plans, GArray *nics, GError **error)
{
        AddressPlan plan = {0};
        if (!addresses_plan(vm_manager(vm), vm_id(vm), name, part, &plan, error))
                return false;
        SeedNic nic = {.mac = ((HostlerNicProps *)part->props)->mac,
                       .dhcp = plan.dhcp,
                       .dhcp6 = plan.dhcp6,
                       .addresses = plan.addresses,
                       .gateways = plan.gateways,
                       .dns = plan.dns,
                       .search = plan.search,
                       .mtu = MAX(plan.mtu, 0)};
        g_array_append_val(plans, plan);
        g_array_append_val(nics, nic);
        return true;
}

static bool write_seed(Vm *vm, const HostlerSpec *spec, GError **error)
{
        const HostlerSeedProps *props = seed_of(spec);
        g_autofree char *path = vm_path(vm, SEED_FILE_NAME), *name = vm_name(vm);
        g_autoptr(GArray) plans = g_array_new(FALSE, FALSE, sizeof(AddressPlan));
        g_autoptr(GArray) nics = g_array_new(FALSE, FALSE, sizeof(SeedNic));
        g_array_set_clear_func(plans, (GDestroyNotify)address_plan_clear);
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "nic") == 0 && !add_nic(vm, name, &spec->items[i], plans, nics, error))
                        return false;
        Seed seed = {
            .instance_id = vm_id(vm),
            .host_name = props->host_name ? props->host_name : name,
            .user = props->user,
            .ssh_keys = props->ssh_key,
            .user_data = props->user_data,
            .nics = (const SeedNic *)nics->data,
            .n_nics = nics->len,
        };
        return seed_write(path, &seed, error);
}

void prepare_describe(Vm *vm, const HostlerSpec *spec, HostlerVmRuntime *ret_run)
{
        g_auto(VmContext) context = {0};
        bool kvm = manager_kvm(vm_manager(vm));
        record_init(&hostler_vm_runtime_type, ret_run);
        vm_context_init(&context, vm_manager(vm), vm, spec, NULL);
        record_copy(&hostler_spec_type, spec, &ret_run->launched);
        ret_run->slots = vm_context_copy_slots(&context);
        ret_run->memory_boot = memory_boot_bytes(spec_part(spec, "memory")->props);
        ret_run->memory_max = memory_max_bytes(spec_part(spec, "memory")->props);
        ret_run->wide_ports = true;
        ret_run->accel = kvm ? HOSTLER_ACCEL_KVM : HOSTLER_ACCEL_TCG;
}

/* What this run will be, written down before QEMU exists: an adopting daemon must know it. */
static bool record_run(Vm *vm, const HostlerSpec *spec, GError **error)
{
        HostlerVmRuntime old, runtime;
        vm_runtime(vm, &old);
        vm_remove_parts(vm, &old.launched, spec);
        prepare_describe(vm, spec, &runtime);
        runtime.exit = g_steal_pointer(&old.exit);
        bool ok = vm_set_runtime(vm, &runtime, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        record_clear(&hostler_vm_runtime_type, &old);
        return ok;
}

bool prepare_seed(Vm *vm, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        return !seed_of(&spec->value) || write_seed(vm, &spec->value, error);
}

bool prepare_run(Job *job, Vm *vm, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        if (!prepare_capacity(job, vm, error) || !vm_check_spec(vm_manager(vm), vm, &spec->value, error))
                return false;
        if (seed_of(&spec->value) && job_step(job, "seed", "write the cloud-init seed") &&
            !write_seed(vm, &spec->value, error))
                return false;
        return job_is_dry_run(job) || record_run(vm, &spec->value, error);
}

bool prepare_launched(Vm *vm, GError **error)
{
        HostlerVmRuntime runtime;
        g_auto(VmContext) context = {0};
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        bool ok = qmp != NULL;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, vm_manager(vm), vm, &runtime.launched, &runtime);
        for (size_t i = 0; ok && i < runtime.launched.count; i++) {
                const HostlerPart *part = &runtime.launched.items[i];
                const DeviceType *type = device_type(part->kind);
                ok = !type || !type->launched || type->launched(&context.context, part, qmp, error);
        }
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok && vm_connect_parts(vm, error);
}
