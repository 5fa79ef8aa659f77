/*
 * What a VM is: identity, wanted spec, the picture the API shows. What it does is state.c; how QEMU is reached is
 * adopt.c.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "vm/spec_diff.h"
#include "vm/trash.h"
#include "vm/vm_internal.h"

Spec *spec_new(HostlerSpec *value_taken)
{
        Spec *spec = g_atomic_rc_box_new0(Spec);
        spec->value = *value_taken;
        *value_taken = (HostlerSpec){0};
        return spec;
}

Spec *spec_ref(Spec *spec)
{
        return g_atomic_rc_box_acquire(spec);
}

static void spec_free(gpointer data)
{
        record_clear(&hostler_spec_type, &((Spec *)data)->value);
}

void spec_unref(Spec *spec)
{
        if (spec)
                g_atomic_rc_box_release_full(spec, spec_free);
}

Vm *vm_new(Manager *manager, const char *id, const char *name, Spec *spec_taken, int64_t generation, int64_t created_ms)
{
        Vm *vm = g_new0(Vm, 1);
        vm->refs = 1;
        vm->manager = manager;
        vm->id = g_strdup(id);
        vm->dir = g_build_filename(manager_state_dir(manager), "vms", id, NULL);
        vm->created_ms = created_ms;
        vm->wanted = (VmWanted){.name = g_strdup(name), .spec = spec_taken, .generation = generation};
        vm->power = HOSTLER_POWER_OFF;
        record_init(&hostler_vm_status_type, &vm->status);
        record_init(&hostler_vm_runtime_type, &vm->runtime);
        record_init(&hostler_vm_history_type, &vm->history);
        vm->status.since = time_format(created_ms);
        g_mutex_init(&vm->lock);
        g_cond_init(&vm->changed);
        return vm;
}

Vm *vm_ref(Vm *vm)
{
        g_atomic_int_inc(&vm->refs);
        return vm;
}

void vm_unref(Vm *vm)
{
        if (!vm || !g_atomic_int_dec_and_test(&vm->refs))
                return;
        g_assert(!vm->watch && !vm->console);
        record_clear(&hostler_vm_status_type, &vm->status);
        record_clear(&hostler_vm_runtime_type, &vm->runtime);
        record_clear(&hostler_vm_history_type, &vm->history);
        spec_unref(vm->wanted.spec);
        g_free(vm->wanted.name);
        g_free(vm->exit_reason);
        g_free(vm->id);
        g_free(vm->dir);
        g_clear_pointer(&vm->disk_uses, g_hash_table_unref);
        g_mutex_clear(&vm->lock);
        g_cond_clear(&vm->changed);
        g_free(vm);
}

Manager *vm_manager(Vm *vm)
{
        return vm->manager;
}

const char *vm_id(Vm *vm)
{
        return vm->id;
}

const char *vm_dir(Vm *vm)
{
        return vm->dir;
}

char *vm_name(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        char *name = g_strdup(vm->wanted.name);
        g_mutex_unlock(&vm->lock);
        return name;
}

char *vm_object(Vm *vm)
{
        g_autofree char *name = vm_name(vm);
        return g_strdup_printf("vm/%s", name);
}

char *vm_path(Vm *vm, const char *file)
{
        return g_build_filename(vm->dir, file, NULL);
}

Spec *vm_spec(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        Spec *spec = spec_ref(vm->wanted.spec);
        g_mutex_unlock(&vm->lock);
        return spec;
}

int64_t vm_generation(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        int64_t generation = vm->wanted.generation;
        g_mutex_unlock(&vm->lock);
        return generation;
}

int64_t vm_trashed_ms(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        int64_t trashed_ms = vm->wanted.trashed_ms;
        g_mutex_unlock(&vm->lock);
        return trashed_ms;
}

static void wanted_clear(VmWanted *wanted)
{
        g_free(wanted->name);
        spec_unref(wanted->spec);
}

/* What would be stored: the present with the changes on top. Owns its parts. */
static VmWanted wanted_next(Vm *vm, const char *name, Spec *spec, int64_t trashed_ms)
{
        g_mutex_lock(&vm->lock);
        VmWanted next = {
            .name = g_strdup(name ? name : vm->wanted.name),
            .spec = spec_ref(spec ? spec : vm->wanted.spec),
            .generation = vm->wanted.generation + 1,
            .trashed_ms = trashed_ms >= 0 ? trashed_ms : vm->wanted.trashed_ms,
        };
        g_mutex_unlock(&vm->lock);
        return next;
}

/* @next gets what was there. */
static void swap_wanted(Vm *vm, VmWanted *next)
{
        g_mutex_lock(&vm->lock);
        VmWanted old = vm->wanted;
        vm->wanted = *next;
        *next = old;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
}

bool vm_store(Vm *vm, const char *name, Spec *spec, int64_t trashed_ms, int64_t expected, GError **error)
{
        VmWanted next = wanted_next(vm, name, spec, trashed_ms);
        json_t *json = record_to_json(&hostler_spec_type, &next.spec->value, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        VmRow row = {.id = vm->id,
                     .name = next.name,
                     .spec = text,
                     .generation = next.generation,
                     .created_ms = vm->created_ms,
                     .trashed_ms = next.trashed_ms};
        bool ok =
            store_vm_update(manager_store(vm->manager), &row, expected >= 0 ? expected : next.generation - 1, error);
        if (ok)
                swap_wanted(vm, &next);
        wanted_clear(&next);
        return ok;
}

static char *stored_text(const RecordType *type, const void *value)
{
        json_auto_t *json = record_to_json(type, value, RECORD_STORED);
        return json_dumps(json, JSON_COMPACT);
}

bool vm_replace(Vm *vm, Spec *spec, const HostlerVmRuntime *runtime, const HostlerVmHistory *history, GError **error)
{
        VmWanted next = wanted_next(vm, NULL, spec, -1);
        g_autofree char *spec_text = stored_text(&hostler_spec_type, &spec->value);
        g_autofree char *runtime_text = stored_text(&hostler_vm_runtime_type, runtime);
        g_autofree char *history_text = vm_history_text(history);
        VmRow row = {.id = vm->id,
                     .spec = spec_text,
                     .runtime = runtime_text,
                     .history = history_text,
                     .generation = next.generation};
        bool ok = store_vm_replace(manager_store(vm->manager), &row, error);
        if (ok) {
                swap_wanted(vm, &next);
                vm_keep_runtime(vm, runtime);
                vm_keep_history(vm, history);
        }
        wanted_clear(&next);
        return ok;
}

/* Which properties QEMU was started with otherwise than they are wanted. */
static char **pending_locked(Vm *vm)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        if (!vm->runtime.launched.count || (vm->power == HOSTLER_POWER_OFF || vm->power == HOSTLER_POWER_CRASHED))
                return NULL;
        g_auto(GStrv) paths = spec_differences(&vm->runtime.launched, &vm->wanted.spec->value);
        for (size_t i = 0; paths[i]; i++)
                if (!g_str_has_prefix(paths[i], "options."))
                        g_strv_builder_add(builder, paths[i]);
        return g_strv_builder_end(builder);
}

static void info_locked(Vm *vm, HostlerVm *ret_info)
{
        record_init(&hostler_vm_type, ret_info);
        ret_info->id = g_strdup(vm->id);
        ret_info->name = g_strdup(vm->wanted.name);
        ret_info->generation = vm->wanted.generation;
        ret_info->created = time_format(vm->created_ms);
        ret_info->trashed = vm->wanted.trashed_ms ? time_format(vm->wanted.trashed_ms) : NULL;
        ret_info->expires = vm->wanted.trashed_ms ? time_format(vm->wanted.trashed_ms + TRASH_KEPT_MS) : NULL;
        record_copy(&hostler_spec_type, &vm->wanted.spec->value, &ret_info->spec);
        ret_info->status = g_new0(HostlerVmStatus, 1);
        record_copy(&hostler_vm_status_type, &vm->status, ret_info->status);
        ret_info->status->power = vm->unresponsive ? HOSTLER_POWER_UNRESPONSIVE : vm->power;
        if (vm->unresponsive)
                ret_info->status->stale_since = time_format(vm->unresponsive_ms);
        ret_info->status->pending = pending_locked(vm);
        ret_info->status->identity_of = g_strdup(vm->history.identity_of);
        ret_info->status->sleep =
            vm->power != HOSTLER_POWER_SUSPENDED ? NULL : g_strdup(vm->runtime.saved ? "disk" : "ram");
        if (vm->runtime.exit && vm->process.pid == 0) {
                ret_info->status->exit = g_new0(HostlerVmExit, 1);
                record_copy(&hostler_vm_exit_type, vm->runtime.exit, ret_info->status->exit);
        }
}

void vm_info(Vm *vm, HostlerVm *ret_info)
{
        g_mutex_lock(&vm->lock);
        info_locked(vm, ret_info);
        g_mutex_unlock(&vm->lock);
}
