/*
 * What a VM does: power, boot phase, conditions, addresses, and waiting for any of it. The only file that changes a
 * status.
 *
 * Events are emitted after the lock is let go. Callers: watch.c on the main loop, verbs on their jobs' threads.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "vm/vm_internal.h"

/* How often a waiter looks for cancellation, which has no way to signal a GCond. */
#define WAIT_SLICE_MS 100
#define DEATH_MS 3000

void vm_touch_locked(Vm *vm)
{
        vm->changes++;
        g_cond_broadcast(&vm->changed);
}

static void emit(Vm *vm, const char *kind, json_t *data_taken)
{
        g_autofree char *object = vm_object(vm);
        event_emit(manager_events(vm->manager), kind, object, data_taken);
}

HostlerPower vm_power(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        HostlerPower power = vm->power;
        g_mutex_unlock(&vm->lock);
        return power;
}

bool vm_is_live(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        /* Until its end is written down it is not over: a new run would get into the old one's papers. */
        bool live = vm->process.pid != 0 || vm->ending;
        g_mutex_unlock(&vm->lock);
        return live;
}

void vm_set_power(Vm *vm, HostlerPower power, const char *reason)
{
        g_mutex_lock(&vm->lock);
        bool changed = vm->power != power;
        if (changed) {
                vm->power = power;
                g_free(vm->status.since);
                vm->status.since = time_format(clock_unix_ms());
        }
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        if (changed)
                emit(vm, "vm-power",
                     json_pack("{s:s, s:s}", "power", hostler_power_enum.values[power], "reason", reason));
}

HostlerBootPhase vm_phase(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        HostlerBootPhase phase = vm->status.phase;
        g_mutex_unlock(&vm->lock);
        return phase;
}

void vm_set_phase(Vm *vm, HostlerBootPhase phase)
{
        g_mutex_lock(&vm->lock);
        bool forward =
            phase == HOSTLER_BOOT_PHASE_ABSENT || phase == HOSTLER_BOOT_PHASE_FIRMWARE || phase > vm->status.phase;
        bool changed = forward && phase != vm->status.phase;
        if (changed) {
                vm->status.phase = phase;
                vm_touch_locked(vm);
        }
        g_mutex_unlock(&vm->lock);
        if (changed && phase != HOSTLER_BOOT_PHASE_ABSENT)
                emit(vm, "vm-phase", json_pack("{s:s}", "phase", hostler_boot_phase_enum.values[phase]));
}

void vm_set_unresponsive(Vm *vm, bool unresponsive)
{
        g_mutex_lock(&vm->lock);
        bool changed = vm->unresponsive != unresponsive;
        vm->unresponsive = unresponsive;
        if (changed) {
                vm->unresponsive_ms = clock_unix_ms();
                vm_touch_locked(vm);
        }
        g_mutex_unlock(&vm->lock);
        if (changed)
                vm_set_condition(vm, "unresponsive",
                                 unresponsive ? "QEMU does not answer; what is shown is as of stale_since" : NULL);
}

static size_t find_condition(const HostlerConditionList *list, const char *type)
{
        size_t i = 0;
        while (i < list->count && strcmp(list->items[i].type, type) != 0)
                i++;
        return i;
}

static void remove_condition(HostlerConditionList *list, size_t index)
{
        record_clear(&hostler_condition_type, &list->items[index]);
        list->count--;
        memmove(&list->items[index], &list->items[index + 1], (list->count - index) * sizeof list->items[0]);
}

static void add_condition(HostlerConditionList *list, const char *type, const char *detail)
{
        list->items = g_renew(HostlerCondition, list->items, list->count + 1);
        record_init(&hostler_condition_type, &list->items[list->count]);
        list->items[list->count].type = g_strdup(type);
        list->items[list->count].since = time_format(clock_unix_ms());
        list->items[list->count].detail = g_strdup(detail);
        list->count++;
}

void vm_set_condition(Vm *vm, const char *type, const char *detail)
{
        g_mutex_lock(&vm->lock);
        HostlerConditionList *list = &vm->status.conditions;
        size_t index = find_condition(list, type);
        bool present = index < list->count;
        if (present && !detail)
                remove_condition(list, index);
        if (!present && detail)
                add_condition(list, type, detail);
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        if (present != (detail != NULL))
                emit(vm, "vm-condition",
                     json_pack("{s:s, s:b, s:s}", "type", type, "present", detail != NULL, "detail",
                               detail ? detail : ""));
}

bool vm_has_condition(Vm *vm, const char *type)
{
        g_mutex_lock(&vm->lock);
        bool has = find_condition(&vm->status.conditions, type) < vm->status.conditions.count;
        g_mutex_unlock(&vm->lock);
        return has;
}

void vm_set_addresses(Vm *vm, HostlerAddressList *addresses_taken)
{
        HostlerVmStatus probe = {.addresses = *addresses_taken}, old = {0};
        json_t *list = json_array();
        for (size_t i = 0; i < addresses_taken->count; i++)
                json_array_append_new(list, json_string(addresses_taken->items[i].address));
        g_mutex_lock(&vm->lock);
        old.addresses = vm->status.addresses;
        bool changed = !record_equal(&hostler_vm_status_type, &probe, &old);
        vm->status.addresses = *addresses_taken;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        *addresses_taken = (HostlerAddressList){0};
        record_clear(&hostler_vm_status_type, &old);
        if (changed)
                emit(vm, "vm-address", json_pack("{s:o}", "addresses", list));
        else
                json_decref(list);
}

static void replace(char **field, const char *value)
{
        g_free(*field);
        *field = g_strdup(value);
}

void vm_set_guest(Vm *vm, const char *host_name, const char *os)
{
        g_mutex_lock(&vm->lock);
        replace(&vm->status.host_name, host_name);
        replace(&vm->status.os, os);
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

void vm_set_plugged(Vm *vm, int64_t cpus, int64_t memory_bytes)
{
        g_mutex_lock(&vm->lock);
        if (cpus != HOSTLER_UNSET)
                vm->status.cpus = cpus;
        if (memory_bytes != HOSTLER_UNSET)
                vm->status.memory = memory_bytes;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

static void clear_guest_memory_locked(Vm *vm)
{
        if (vm->status.guest_memory)
                record_clear(&hostler_guest_memory_type, vm->status.guest_memory);
        g_clear_pointer(&vm->status.guest_memory, g_free);
}

void vm_set_guest_memory(Vm *vm, HostlerGuestMemory *memory_taken)
{
        g_mutex_lock(&vm->lock);
        int64_t ballooned = vm->status.guest_memory ? vm->status.guest_memory->ballooned : HOSTLER_UNSET;
        clear_guest_memory_locked(vm);
        if (memory_taken) {
                vm->status.guest_memory = g_new(HostlerGuestMemory, 1);
                *vm->status.guest_memory = *memory_taken;
                vm->status.guest_memory->ballooned = ballooned;
        }
        g_mutex_unlock(&vm->lock);
}

void vm_set_ballooned(Vm *vm, int64_t left_bytes)
{
        g_mutex_lock(&vm->lock);
        if (!vm->status.guest_memory) {
                vm->status.guest_memory = g_new(HostlerGuestMemory, 1);
                record_init(&hostler_guest_memory_type, vm->status.guest_memory);
        }
        vm->status.guest_memory->ballooned = MAX(vm->runtime.memory_boot - left_bytes, 0);
        g_mutex_unlock(&vm->lock);
}

bool vm_guest_memory(Vm *vm, HostlerGuestMemory *ret_memory)
{
        g_mutex_lock(&vm->lock);
        bool known = vm->status.guest_memory != NULL;
        if (known)
                record_copy(&hostler_guest_memory_type, vm->status.guest_memory, ret_memory);
        g_mutex_unlock(&vm->lock);
        return known;
}

static bool address_counts(const char *text)
{
        g_autoptr(GInetAddress) address = g_inet_address_new_from_string(text);
        return address && !g_inet_address_get_is_loopback(address) && !g_inet_address_get_is_link_local(address);
}

bool vm_has_address(Vm *vm)
{
        bool has = false;
        g_mutex_lock(&vm->lock);
        for (size_t i = 0; i < vm->status.addresses.count && !has; i++)
                has = address_counts(vm->status.addresses.items[i].address);
        g_mutex_unlock(&vm->lock);
        return has;
}

void vm_set_mould(Vm *vm, int64_t bytes)
{
        g_mutex_lock(&vm->lock);
        vm->status.mould = bytes;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

void vm_set_warm(Vm *vm, bool warm)
{
        g_mutex_lock(&vm->lock);
        vm->status.warm = warm;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

uint64_t vm_resets(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        uint64_t resets = vm->resets;
        g_mutex_unlock(&vm->lock);
        return resets;
}

void vm_count_reset(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        vm->resets++;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

static uint64_t changes_of(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        uint64_t changes = vm->changes;
        g_mutex_unlock(&vm->lock);
        return changes;
}

/* One slice of sleep, ended early by any change after the @seen-th. */
static void wait_slice(Vm *vm, uint64_t seen, int64_t deadline_ms)
{
        gint64 end_us = g_get_monotonic_time() + MIN(WAIT_SLICE_MS, deadline_ms - clock_monotonic_ms()) * 1000;
        g_mutex_lock(&vm->lock);
        while (vm->changes == seen && g_cond_wait_until(&vm->changed, &vm->lock, end_us))
                continue;
        g_mutex_unlock(&vm->lock);
}

bool vm_wait(Vm *vm, VmCondition condition, void *data, int64_t deadline_ms, GCancellable *cancellable)
{
        for (;;) {
                uint64_t seen = changes_of(vm);
                if (condition(vm, data))
                        return true;
                if (clock_monotonic_ms() >= deadline_ms || g_cancellable_is_cancelled(cancellable))
                        return false;
                wait_slice(vm, seen, deadline_ms);
        }
}

static bool is_dead(Vm *vm, void *data)
{
        return !vm_is_live(vm);
}

bool vm_died(Vm *vm)
{
        return vm_wait(vm, is_dead, NULL, clock_monotonic_ms() + DEATH_MS, NULL);
}

void vm_runtime(Vm *vm, HostlerVmRuntime *ret_runtime)
{
        g_mutex_lock(&vm->lock);
        record_copy(&hostler_vm_runtime_type, &vm->runtime, ret_runtime);
        g_mutex_unlock(&vm->lock);
}

static bool same_saved(const HostlerSavedState *a, const HostlerSavedState *b)
{
        return a && b ? record_equal(&hostler_saved_state_type, a, b) : a == b;
}

/* What the host's next boot must know: whether it ran, whether it was to end, and what it sleeps in. The rest is of its
 * QEMU, and gone with it. */
static bool outlives_host(const HostlerVmRuntime *before, const HostlerVmRuntime *after)
{
        return g_strcmp0(before->started, after->started) != 0 || g_strcmp0(before->stopping, after->stopping) != 0 ||
               !same_saved(before->saved, after->saved);
}

bool vm_set_runtime(Vm *vm, const HostlerVmRuntime *runtime, GError **error)
{
        json_auto_t *json = record_to_json(&hostler_vm_runtime_type, runtime, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        g_mutex_lock(&vm->lock);
        StoreDurability durability = outlives_host(&vm->runtime, runtime) ? STORE_DURABLE : STORE_PLAIN;
        g_mutex_unlock(&vm->lock);
        if (!store_vm_set_runtime(manager_store(vm->manager), durability, vm->id, text, error))
                return false;
        vm_keep_runtime(vm, runtime);
        return true;
}

void vm_keep_runtime(Vm *vm, const HostlerVmRuntime *runtime)
{
        HostlerVmRuntime copy, old;
        record_copy(&hostler_vm_runtime_type, runtime, &copy);
        g_mutex_lock(&vm->lock);
        old = vm->runtime;
        vm->runtime = copy;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        record_clear(&hostler_vm_runtime_type, &old);
}

bool vm_update_runtime(Vm *vm, void (*change)(HostlerVmRuntime *runtime, void *data), void *data, GError **error)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        change(&runtime, data);
        bool ok = vm_set_runtime(vm, &runtime, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

Qmp *vm_qmp(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        Qmp *qmp = vm->qmp ? qmp_ref(vm->qmp) : NULL;
        g_mutex_unlock(&vm->lock);
        return qmp;
}

GuestAgent *vm_agent(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        GuestAgent *agent = vm->agent && vm->agent_open ? guest_agent_ref(vm->agent) : NULL;
        g_mutex_unlock(&vm->lock);
        return agent;
}

static bool is_unresponsive(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        bool unresponsive = vm->unresponsive;
        g_mutex_unlock(&vm->lock);
        return unresponsive;
}

static bool refuse_unresponsive(Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm);
        error_set(error, HOSTLER_ERROR_UNRESPONSIVE, object, "its QEMU does not answer");
        return error_hint(error, "it is tried again; to give the VM up: hostler stop %s --hard",
                          strchr(object, '/') + 1);
}

Qmp *vm_require_qmp(Vm *vm, GError **error)
{
        Qmp *qmp = vm_qmp(vm);
        g_autofree char *object = vm_object(vm);
        if (qmp)
                return qmp;
        if (vm_is_live(vm)) {
                refuse_unresponsive(vm, error);
                return NULL;
        }
        HostlerPower power = vm_power(vm);
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is %s", hostler_power_enum.values[power]);
        error_hint(error, "hostler %s %s", power == HOSTLER_POWER_SUSPENDED ? "resume" : "start",
                   strchr(object, '/') + 1);
        return NULL;
}

GuestAgent *vm_require_agent(Vm *vm, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        if (!qmp)
                return NULL;
        g_autofree char *object = vm_object(vm);
        HostlerPower power = vm_power(vm);
        if (is_unresponsive(vm)) {
                refuse_unresponsive(vm, error);
                return NULL;
        }
        if (power == HOSTLER_POWER_PAUSED || power == HOSTLER_POWER_SUSPENDED || power == HOSTLER_POWER_CRASHED) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is %s, so its guest agent cannot answer",
                          hostler_power_enum.values[power]);
                error_hint(error, "hostler %s %s", power == HOSTLER_POWER_CRASHED ? "restart" : "resume",
                           strchr(object, '/') + 1);
                return NULL;
        }
        GuestAgent *agent = vm_agent(vm);
        if (agent)
                return agent;
        error_set(error, HOSTLER_ERROR_NO_AGENT, object, "no guest agent has opened its channel in this VM");
        error_hint(error, "wait for it with `hostler wait %s agent`, or look at `hostler console %s`",
                   strchr(object, '/') + 1, strchr(object, '/') + 1);
        return NULL;
}
