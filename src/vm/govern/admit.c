/*
 * What a spec claims, and whether it can be kept: admission, before a VM is started or its reservation grows.
 *
 * Reservations of all VMs that have a QEMU count, and of those whose start or change is under way.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "host/host_facts.h"
#include "vm/govern/govern.h"
#include "vm/manager.h"

static double number_or(int64_t value, double otherwise)
{
        return value == HOSTLER_UNSET ? otherwise : (double)value;
}

static double shares_of(const char *text, unsigned cpus)
{
        static const char *const levels[] = {"low", "normal", "high"};
        for (ShareLevel level = SHARES_LOW; text && level <= SHARES_HIGH; level++)
                if (strcmp(text, levels[level]) == 0)
                        return shares_cpu(level, cpus);
        return text ? g_ascii_strtod(text, NULL) : shares_cpu(SHARES_NORMAL, cpus);
}

Claim claim_cpu(const HostlerSpec *spec)
{
        const HostlerCpuProps *cpu = spec_part(spec, "cpu")->props;
        return (Claim){.reservation = number_or(cpu->reservation, 0) / 100,
                       .limit = cpu->limit == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)cpu->limit / 100,
                       .shares = shares_of(cpu->shares, (unsigned)cpu->count)};
}

bool claim_is_special(const HostlerSpec *spec)
{
        const HostlerCpuProps *cpu = spec_part(spec, "cpu")->props;
        return cpu->reservation != HOSTLER_UNSET || cpu->limit != HOSTLER_UNSET ||
               (cpu->shares && strcmp(cpu->shares, "normal") != 0);
}

static double reserved_cpu(const HostlerSpec *spec)
{
        return number_or(((const HostlerCpuProps *)spec_part(spec, "cpu")->props)->reservation, 0);
}

static double reserved_memory(const HostlerSpec *spec)
{
        return number_or(((const HostlerMemoryProps *)spec_part(spec, "memory")->props)->reservation, 0);
}

/* ---- admission ---- */

static bool counts(Vm *vm)
{
        g_autofree char *key = g_strdup_printf("vm/%s", vm_id(vm));
        g_autofree char *holder = job_turn_holder(manager_jobs(vm_manager(vm)), key);
        return vm_is_live(vm) || holder;
}

typedef struct {
        const char *what;
        double (*reserved)(const HostlerSpec *spec);
        double capacity;
        char *(*format)(double amount);
} Resource;

static char *format_percent(double amount)
{
        return g_strdup_printf("%.0f %% of a processor", amount);
}

static char *format_bytes(double amount)
{
        return size_format((int64_t)amount);
}

static bool refuse(Vm *vm, const Resource *resource, double wanted, double held, double most, const char *holder,
                   GError **error)
{
        g_autofree char *object = vm_object(vm), *wants = resource->format(wanted);
        g_autofree char *has = resource->format(resource->capacity), *holds = resource->format(held);
        g_autofree char *largest = resource->format(most);
        error_set(error, HOSTLER_ERROR_NO_CAPACITY, object,
                  "its reservation of %s cannot be kept: the host has %s, and %s are reserved already%s%s%s%s", wants,
                  has, holds, holder ? ", most by " : "", holder ? holder : "", holder ? ": " : "",
                  holder ? largest : "");
        return error_hint(error, "stop another VM, or: hostler set %s %s.reservation=…", object + strlen("vm/"),
                          resource->what);
}

static bool admit(Vm *vm, const HostlerSpec *spec, const Resource *resource, GError **error)
{
        g_autoptr(GPtrArray) vms = manager_vms(vm_manager(vm), false);
        double wanted = resource->reserved(spec), held = 0, most = 0;
        g_autofree char *holder = NULL;
        for (guint i = 0; wanted > 0 && i < vms->len; i++) {
                Vm *other = g_ptr_array_index(vms, i);
                g_autoptr(Spec) others = vm_spec(other);
                double has = other == vm ? 0 : resource->reserved(&others->value);
                if (has == 0 || !counts(other))
                        continue;
                held += has;
                if (has > most) {
                        g_free(holder);
                        holder = vm_name(other);
                        most = has;
                }
        }
        return wanted + held <= resource->capacity || wanted == 0 ||
               refuse(vm, resource, wanted, held, most, holder, error);
}

bool govern_admit(Vm *vm, const HostlerSpec *spec, GError **error)
{
        HostFacts facts = host_facts_read(&host_paths);
        double processors = facts.cpus * 100.0;
        if (facts.cpu_limit_percent > 0)
                processors = MIN(processors, facts.cpu_limit_percent);
        Resource cpu = {"cpu", reserved_cpu, processors, format_percent};
        Resource memory = {"memory", reserved_memory, (double)facts.memory_total_bytes, format_bytes};
        return admit(vm, spec, &cpu, error) && admit(vm, spec, &memory, error);
}
