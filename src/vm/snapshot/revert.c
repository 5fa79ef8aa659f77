/*
 * Going back to a snapshot: QEMU is ended, the VM's row becomes what the snapshot says in one write, each disk going on
 * in a new layer on the snapshot's own. With memory, the VM then is one that was suspended to disk at that moment, and
 * is resumed as such.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "vm/clone/template.h"
#include "vm/pool/pools.h"
#include "vm/power.h"
#include "vm/snapshot/keepsakes.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/saved_state.h"
#include "vm/snapshot/snapshot.h"

typedef struct {
        Job *job;
        Vm *vm;
        HostlerVmHistory history;
        const HostlerSnapshot *snapshot; /* of the history */
} Going;

static void going_clear(Going *going)
{
        record_clear(&hostler_vm_history_type, &going->history);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Going, going_clear)

/* ---- what speaks against it ---- */

static bool has_disk(const HostlerSnapshot *snapshot, const char *part)
{
        for (size_t i = 0; i < snapshot->disks.count; i++)
                if (strcmp(snapshot->disks.items[i].part, part) == 0)
                        return true;
        return false;
}

/* What is on a disk that came later is in no snapshot: going back would lose it without a word. */
static bool check_later_disks(const Going *going, GError **error)
{
        g_autofree char *object = vm_object(going->vm);
        for (size_t i = 0; i < going->history.heads.count; i++) {
                const char *part = going->history.heads.items[i].part;
                if (has_disk(going->snapshot, part))
                        continue;
                error_set(error, HOSTLER_ERROR_BUSY, object, "%s came after the snapshot and would be lost", part);
                return error_hint(error, "keep it as a file, or delete it: hostler disk rm %s %s [--keep]",
                                  object + strlen("vm/"), part);
        }
        return true;
}

static bool check_memory(const Going *going, GError **error)
{
        const HostlerSavedState *memory = going->snapshot->memory;
        g_autofree char *object = vm_object(going->vm);
        if (!memory)
                return true;
        if (saved_state_is_whole(going->vm, memory))
                return job_remember(going->job, SAVED_STATE_CHECKED, json_true(), error);
        error_set(error, HOSTLER_ERROR_FAILED, object, "the memory of snapshot %s is missing or damaged",
                  going->snapshot->name);
        return error_hint(error, "its disks are there: boot them with hostler clone, or revert to another snapshot");
}

static bool find_snapshot(Going *going, const char *name, GError **error)
{
        g_autofree char *object = vm_object(going->vm);
        layers_history(going->vm, &going->history);
        going->snapshot = layers_snapshot(&going->history, name);
        if (going->snapshot)
                return true;
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no snapshot called %s", name);
        return error_hint(error, "hostler snapshot ls %s", object + strlen("vm/"));
}

/* ---- keepsakes ---- */

/* Copied here before the VM is ended, moved to their places when its row has gone back. */
#define STAGED "reverted.kept"

static bool stage_keepsakes(const Going *going, GError **error)
{
        g_autofree char *kept = snapshot_keepsakes(going->snapshot->name);
        g_autofree char *from = vm_path(going->vm, kept), *to = vm_path(going->vm, STAGED);
        return keepsakes_duplicate(from, to, error);
}

static bool place_keepsakes(Vm *vm, GError **error)
{
        g_autofree char *staged = vm_path(vm, STAGED);
        return keepsakes_place(staged, vm_dir(vm), error);
}

/* ---- layers ---- */

bool operation_layers_remove(Manager *manager, const json_t *args, GError **error)
{
        const char *id = json_string_value(json_object_get(args, "vm"));
        g_autoptr(Vm) vm = manager_vm(manager, id ? id : "", NULL);
        HostlerVmHistory history;
        json_t *entry;
        size_t i;
        bool ok = true;
        if (!vm)
                return true;
        vm_history(vm, &history);
        json_array_foreach (json_object_get(args, "layers"), i, entry) {
                const char *file = json_string_value(json_object_get(entry, "file"));
                g_autofree char *path = vm_layer_path(vm, file);
                ok = ok && (layers_has(&history, file) || volume_delete(path, error));
        }
        record_clear(&hostler_vm_history_type, &history);
        g_autofree char *staged = vm_path(vm, STAGED);
        return ok && dir_remove_durably(staged, error);
}

/* The same names when the verb is run again after a crash. */
static json_t *decide_layers(Going *going, GError **error)
{
        const json_t *known = job_recall(going->job, "layers");
        if (known)
                return json_incref((json_t *)known);
        json_t *layers = snapshot_layer_names(going->vm, &going->snapshot->disks);
        if (job_remember(going->job, "layers", json_incref(layers), error) &&
            job_undo(going->job, "layers-remove", json_pack("{s:s, s:O}", "vm", vm_id(going->vm), "layers", layers),
                     error))
                return layers;
        json_decref(layers);
        return NULL;
}

/* ---- the row ---- */

static void go_back(HostlerVmHistory *history, const char *name, const json_t *layers)
{
        const HostlerSnapshot *snapshot = layers_snapshot(history, name);
        for (size_t i = 0; i < snapshot->disks.count; i++) {
                const HostlerDiskLayer *disk = &snapshot->disks.items[i];
                layers_go_on(history, disk->part, snapshot_layer_of(layers, disk->part), disk->file);
        }
        g_free(history->current);
        history->current = g_strdup(name);
}

/* The memory keeps its own file; the VM gets a second name of it, which it may use up. */
static bool link_memory(Vm *vm, const HostlerSnapshot *snapshot, GError **error)
{
        g_autofree char *state = vm_path(vm, SAVED_STATE_FILE);
        if (unlink(state) < 0 && errno != ENOENT)
                return error_set_errno(error, errno, NULL, "cannot remove %s", state);
        if (!snapshot->memory)
                return true;
        g_autofree char *memory = vm_path(vm, snapshot->memory->file);
        return link(memory, state) == 0 || error_set_errno(error, errno, NULL, "cannot link %s", memory);
}

static void runtime_of(Vm *vm, const HostlerSnapshot *snapshot, HostlerVmRuntime *ret_runtime)
{
        HostlerVmRuntime now;
        vm_runtime(vm, &now);
        if (snapshot->run)
                record_copy(&hostler_vm_runtime_type, snapshot->run, ret_runtime);
        else
                record_init(&hostler_vm_runtime_type, ret_runtime);
        g_clear_pointer(&ret_runtime->started, g_free);
        if (ret_runtime->exit)
                record_clear(&hostler_vm_exit_type, ret_runtime->exit);
        g_free(ret_runtime->exit);
        ret_runtime->exit = g_steal_pointer(&now.exit);
        if (snapshot->memory) {
                ret_runtime->saved = g_new0(HostlerSavedState, 1);
                record_copy(&hostler_saved_state_type, snapshot->memory, ret_runtime->saved);
                g_free(ret_runtime->saved->file);
                ret_runtime->saved->file = g_strdup(SAVED_STATE_FILE);
        }
        record_clear(&hostler_vm_runtime_type, &now);
}

static bool write_row(Going *going, const json_t *layers, GError **error)
{
        HostlerVmRuntime runtime;
        HostlerSpec spec;
        g_autofree char *name = g_strdup(going->snapshot->name);
        record_copy(&hostler_spec_type, &going->snapshot->spec, &spec);
        g_autoptr(Spec) shared = spec_new(&spec);
        runtime_of(going->vm, going->snapshot, &runtime);
        go_back(&going->history, name, layers);
        bool ok = vm_replace(going->vm, shared, &runtime, &going->history, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        if (ok)
                vm_set_power(going->vm, vm_power_at_rest(going->vm), "reverted");
        return ok;
}

/* ---- the verb ---- */

static bool revert(Going *going, GError **error)
{
        Job *job = going->job;
        json_auto_t *layers = NULL;
        if (job_step(job, "check", "check the snapshot") &&
            (!check_later_disks(going, error) || !check_memory(going, error)))
                return false;
        if (job_step(job, "layers", "make a new layer for each disk") &&
            (!(layers = decide_layers(going, error)) ||
             !snapshot_make_layers(going->vm, &going->snapshot->disks, layers, error) ||
             !stage_keepsakes(going, error)))
                return false;
        if (job_step(job, "power-off", "end what runs") && !vm_kill(going->vm, "host-stop", error))
                return false;
        if (!job_step(job, "revert", "go back"))
                return true;
        return link_memory(going->vm, going->snapshot, error) && write_row(going, layers, error) &&
               job_remember(job, "reverted", json_true(), error);
}

/* Whether a run that was cut off had got so far that the disks stand on the new layers. */
static bool is_reverted(const Going *going)
{
        const json_t *layers = job_recall(going->job, "layers");
        const json_t *first = layers ? json_array_get(layers, 0) : NULL;
        return job_recall(going->job, "reverted") ||
               (first && layers_has(&going->history, json_string_value(json_object_get(first, "file"))));
}

bool vm_revert(Job *job, const HostlerVmRevertArgs *args, HostlerVm *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_auto(Going) going = {.job = job, .vm = vm};
        if (!vm || !template_check_not(vm, "revert", error) || !vm_check_places(vm, error) ||
            !find_snapshot(&going, args->snapshot, error))
                return false;
        bool memory = going.snapshot->memory != NULL, run = !going.snapshot->paused;
        if (!is_reverted(&going) && !revert(&going, error))
                return false;
        if (!job_is_dry_run(job) && (!place_keepsakes(vm, error) || !layers_tidy(job, vm, error)))
                return false;
        if (memory && !power_start(job, vm, run, error))
                return false;
        vm_info(vm, ret_result);
        if (job_is_dry_run(job))
                return true;
        g_autofree char *object = vm_object(vm);
        event_emit(manager_events(job_manager(job)), "vm-reverted", object,
                   json_pack("{s:s}", "snapshot", args->snapshot));
        return true;
}
