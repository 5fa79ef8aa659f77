/*
 * What a spec claims, and whether it can be kept: admission, before a VM is started, its reservation grows, or a
 * resource pool changes.
 *
 * Reservations of all VMs that have a QEMU count, and of those whose start or change is under way; and those of pools,
 * which are kept free for whoever comes.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "host/host_facts.h"
#include "vm/govern/adapters.h"
#include "vm/govern/govern.h"
#include "vm/govern/respool.h"

#define MIB (1024.0 * 1024)

static double number_or(int64_t value, double otherwise)
{
        return value == HOSTLER_UNSET ? otherwise : (double)value;
}

Claim claim_cpu(const HostlerSpec *spec)
{
        const HostlerCpuProps *cpu = spec_part(spec, "cpu")->props;
        return (Claim){.reservation = number_or(cpu->reservation, 0) / 100,
                       .limit = cpu->limit == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)cpu->limit / 100,
                       .shares = shares_read(cpu->shares, shares_cpu(SHARES_NORMAL, (unsigned)cpu->count))};
}

bool claim_is_special(const HostlerSpec *spec)
{
        const HostlerCpuProps *cpu = spec_part(spec, "cpu")->props;
        return cpu->reservation != HOSTLER_UNSET || cpu->limit != HOSTLER_UNSET ||
               (cpu->shares && strcmp(cpu->shares, "normal") != 0);
}

static double reserved_cpu(const HostlerSpec *spec)
{
        return number_or(((const HostlerCpuProps *)spec_part(spec, "cpu")->props)->reservation, 0) / 100;
}

static double reserved_memory(const HostlerSpec *spec)
{
        return number_or(((const HostlerMemoryProps *)spec_part(spec, "memory")->props)->reservation, 0) / MIB;
}

/* ---- who holds what ---- */

bool govern_counts(Vm *vm)
{
        g_autofree char *key = g_strdup_printf("vm/%s", vm_id(vm));
        g_autofree char *holder = job_turn_holder(manager_jobs(vm_manager(vm)), key);
        return vm_is_live(vm) || holder;
}

typedef struct {
        const char *what;
        double (*reserved)(const HostlerSpec *spec);
        void (*claim_pools)(const HostlerRespoolConfigList *list, GArray *claimants);
        double capacity;
        char *(*format)(double amount);
} Resource;

static char *format_percent(double amount)
{
        return g_strdup_printf("%.0f %% of a processor", amount * 100);
}

static char *format_mib(double amount)
{
        return size_format((int64_t)(amount * MIB));
}

static Resource cpu_resource(void)
{
        HostFacts facts = host_facts_read(&host_paths);
        double processors = facts.cpus;
        if (facts.cpu_limit_percent > 0)
                processors = MIN(processors, facts.cpu_limit_percent / 100.0);
        return (Resource){"cpu", reserved_cpu, respools_claim_cpu, processors, format_percent};
}

static Resource memory_resource(void)
{
        HostFacts facts = host_facts_read(&host_paths);
        return (Resource){"memory", reserved_memory, respools_claim_memory, (double)facts.memory_total_bytes / MIB,
                          format_mib};
}

/* Pools and VMs with their reservations; names of VMs are owned by @names. */
static GArray *claimants_of(Manager *manager, const HostlerRespoolConfigList *pools, const Resource *resource,
                            const Vm *except, GPtrArray *names)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        GArray *claimants = g_array_new(FALSE, FALSE, sizeof(Claimant));
        resource->claim_pools(pools, claimants);
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = g_ptr_array_index(vms, i);
                g_autoptr(Spec) spec = vm_spec(vm);
                if (vm == except || resource->reserved(&spec->value) == 0 || !govern_counts(vm))
                        continue;
                Claimant claimant = {.claim = {resource->reserved(&spec->value), ALLOCATE_UNLIMITED, 1, 0},
                                     .pool = respools_index(pools, spec_respool(&spec->value)),
                                     .name = vm_name(vm)};
                g_ptr_array_add(names, (char *)claimant.name);
                g_array_append_val(claimants, claimant);
        }
        return claimants;
}

/* ---- admission ---- */

static double held_by(const GArray *claimants, guint which)
{
        const Claimant *all = (const Claimant *)claimants->data;
        double own = all[which].claim.reservation;
        return all[which].is_pool ? MAX(own, allocate_reserved(all, claimants->len, (int)which)) : own;
}

/* "the host has 2, and 1 are reserved already, most by web1: 1". Caller frees. */
static char *describe(const Resource *resource, const GArray *claimants, const Shortage *shortage)
{
        const Claimant *all = (const Claimant *)claimants->data;
        double most = 0;
        const char *holder = NULL;
        for (guint i = 0; i < claimants->len; i++)
                if (all[i].pool == shortage->pool && held_by(claimants, i) > most) {
                        most = held_by(claimants, i);
                        holder = all[i].name;
                }
        g_autofree char *held = resource->format(allocate_reserved(all, claimants->len, shortage->pool));
        g_autofree char *has = resource->format(shortage->has), *largest = resource->format(most);
        return g_strdup_printf("%s%s has %s, and %s are reserved %salready%s%s%s%s",
                               shortage->pool < 0 ? "the host" : "the resource pool ",
                               shortage->pool < 0 ? "" : all[shortage->pool].name, has, held,
                               shortage->pool < 0 ? "" : "in it ", holder ? ", most by " : "", holder ? holder : "",
                               holder ? ": " : "", holder ? largest : "");
}

static bool refuse(Vm *vm, const Resource *resource, double wanted, const char *why, GError **error)
{
        g_autofree char *object = vm_object(vm), *wants = resource->format(wanted);
        error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "its reservation of %s cannot be kept: %s", wants, why);
        return error_hint(error, "stop another VM, or: hostler set %s %s.reservation=…", object + strlen("vm/"),
                          resource->what);
}

static bool admit(Vm *vm, const HostlerSpec *spec, const Resource *resource, const HostlerRespoolConfigList *pools,
                  GError **error)
{
        double wanted = resource->reserved(spec);
        if (wanted == 0)
                return true;
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) claimants = claimants_of(vm_manager(vm), pools, resource, vm, names);
        Claimant newcomer = {.claim = {wanted, ALLOCATE_UNLIMITED, 1, 0},
                             .pool = respools_index(pools, spec_respool(spec))};
        g_array_append_val(claimants, newcomer);
        Shortage shortage;
        if (allocate_keeps(resource->capacity, (const Claimant *)claimants->data, claimants->len, &shortage))
                return true;
        g_array_set_size(claimants, claimants->len - 1);
        g_autofree char *why = describe(resource, claimants, &shortage);
        return refuse(vm, resource, wanted, why, error);
}

bool govern_admit(Vm *vm, const HostlerSpec *spec, GError **error)
{
        HostlerRespoolConfigList pools = respools_list(govern_respools(vm_manager(vm)));
        Resource cpu = cpu_resource(), memory = memory_resource();
        bool admitted = admit(vm, spec, &cpu, &pools, error) && admit(vm, spec, &memory, &pools, error) &&
                        adapters_admit(vm, spec, error);
        record_list_clear(&hostler_respool_config_type, &pools);
        return admitted;
}

static bool pools_keep(Manager *manager, const HostlerRespoolConfigList *pools, const Resource *resource,
                       GError **error)
{
        Shortage shortage;
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) claimants = claimants_of(manager, pools, resource, NULL, names);
        if (allocate_keeps(resource->capacity, (const Claimant *)claimants->data, claimants->len, &shortage))
                return true;
        g_autofree char *why = describe(resource, claimants, &shortage);
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "what is reserved could not be kept: %s", why);
}

bool govern_admit_pools(Manager *manager, const HostlerRespoolConfigList *pools, GError **error)
{
        Resource cpu = cpu_resource(), memory = memory_resource();
        return pools_keep(manager, pools, &cpu, error) && pools_keep(manager, pools, &memory, error);
}

double govern_reserved_cpu(Manager *manager, const HostlerRespoolConfigList *pools, int pool)
{
        Resource cpu = cpu_resource();
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) claimants = claimants_of(manager, pools, &cpu, NULL, names);
        return allocate_reserved((const Claimant *)claimants->data, claimants->len, pool);
}

double govern_reserved_memory(Manager *manager, const HostlerRespoolConfigList *pools, int pool)
{
        Resource memory = memory_resource();
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GArray) claimants = claimants_of(manager, pools, &memory, NULL, names);
        return allocate_reserved((const Claimant *)claimants->data, claimants->len, pool);
}
