/*
 * Taking a snapshot. The guest stands still while each disk goes on in a new layer and, of a full snapshot, the last of
 * its memory and its devices are written to a file (saved_state.h): all is of one moment. Only what is written down
 * after that makes it a snapshot, so one that is cut off leaves the VM as it was.
 */
#include "vm/snapshot/snapshot.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process_memory.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/freeze.h"
#include "vm/snapshot/info.h"
#include "vm/snapshot/keepsakes.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/saved_state.h"
#include "vm/snapshot/stream.h"

char *snapshot_memory_file(const char *snapshot)
{
        return g_strdup_printf(SNAPSHOT_FOLDER "/%s.state", snapshot);
}

char *snapshot_keepsakes(const char *snapshot)
{
        return g_strdup_printf(SNAPSHOT_FOLDER "/%s.kept", snapshot);
}

/* ---- layers ---- */

json_t *snapshot_layer_names(Vm *vm, const HostlerDiskLayerList *disks)
{
        json_t *names = json_array();
        for (size_t i = 0; i < disks->count; i++) {
                /* In the same pool as the one that it will stand on. */
                g_autofree char *pool = pools_of_layer(disks->items[i].file);
                g_autofree char *file = vm_new_layer(vm, disks->items[i].part, pool, VOLUME_QCOW2);
                json_array_append_new(names, json_pack("{s:s, s:s, s:s}", "part", disks->items[i].part, "file", file,
                                                       "below", disks->items[i].file));
        }
        return names;
}

const char *snapshot_layer_of(const json_t *names, const char *part)
{
        json_t *entry;
        size_t i;
        json_array_foreach ((json_t *)names, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "part")), part) == 0)
                        return json_string_value(json_object_get(entry, "file"));
        return NULL;
}

bool snapshot_make_layers(Vm *vm, const HostlerDiskLayerList *disks, const json_t *names, GError **error)
{
        for (size_t i = 0; i < disks->count; i++) {
                const HostlerDiskLayer *disk = &disks->items[i];
                g_autofree char *below = vm_layer_path(vm, disk->file);
                g_autofree char *path = vm_layer_path(vm, snapshot_layer_of(names, disk->part));
                g_auto(VolumeInfo) info = {0};
                if (!volume_info(below, &info, error) || !volume_delete(path, error) ||
                    !volume_create_overlay(path, below, volume_format(below), info.size_bytes, error) ||
                    !file_sync(path, error))
                        return false;
        }
        return true;
}

/* ---- the running QEMU ---- */

static json_t *transaction_of(const HostlerDiskLayerList *disks, const json_t *names)
{
        json_t *actions = json_array();
        for (size_t i = 0; i < disks->count; i++) {
                g_autofree char *node = disk_layer_node(disks->items[i].file);
                g_autofree char *overlay = disk_layer_node(snapshot_layer_of(names, disks->items[i].part));
                json_array_append_new(actions, json_pack("{s:s, s:{s:s, s:s}}", "type", "blockdev-snapshot", "data",
                                                         "node", node, "overlay", overlay));
        }
        return json_pack("{s:o}", "actions", actions);
}

/* QEMU has the new layers open, beside the disks. */
static bool open_layers(Vm *vm, const HostlerDiskLayerList *disks, const json_t *names, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        g_auto(VmContext) context = {0};
        HostlerVmRuntime runtime;
        bool ok = qmp != NULL;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, vm_manager(vm), vm, &runtime.launched, &runtime);
        for (size_t i = 0; ok && i < disks->count; i++) {
                const char *part = disks->items[i].part;
                g_autofree char *path = vm_layer_path(vm, snapshot_layer_of(names, part));
                g_autoptr(Plan) plan = plan_new();
                disk_plan_layer(&context.context, spec_part(&runtime.launched, part), path, plan);
                ok = plan_run(plan, qmp, error);
        }
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

/* Every disk at once goes on in its new layer; with one that cannot, none does. */
static bool switch_layers(Vm *vm, const HostlerDiskLayerList *disks, const json_t *names, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp && qmp_call(qmp, "transaction", transaction_of(disks, names), NULL, error);
}

/* One that was paused has its disks back, which QEMU gives up with the memory it writes. */
static bool go_on(Vm *vm, bool run, GError **error)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        if (!qmp || !run)
                return !qmp || saved_state_let_go(qmp, error);
        return qmp_call(qmp, "cont", NULL, NULL, error);
}

/* ---- undo ---- */

/* Whether a disk's head is @node. */
static bool is_attached(Qmp *qmp, const char *node, bool *ret_is, GError **error)
{
        json_auto_t *blocks = NULL;
        json_t *entry;
        size_t i;
        *ret_is = false;
        if (!qmp_call(qmp, "query-block", NULL, &blocks, error))
                return false;
        json_array_foreach (blocks, i, entry) {
                const char *root = json_string_value(json_object_get(json_object_get(entry, "inserted"), "node-name"));
                *ret_is = *ret_is || g_strcmp0(root, node) == 0;
        }
        return true;
}

/* Folds the layer back into the one below and takes it out. */
static bool take_out(Qmp *qmp, const char *file, const char *below, GError **error)
{
        g_autofree char *node = disk_layer_node(file), *below_node = disk_layer_node(below);
        g_autofree char *node_file = g_strdup_printf("%s.file", node);
        bool there, attached;
        if (!layers_is_node(qmp, node, &there, error) || !is_attached(qmp, node, &attached, error))
                return false;
        if (!there)
                return true;
        if (attached && !disk_commit_layer(qmp, node, below_node, error))
                return false;
        return qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, error) &&
               qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", node_file), NULL, error);
}

static Vm *vm_of(Manager *manager, const json_t *args)
{
        const char *id = json_string_value(json_object_get(args, "vm"));
        return manager_vm(manager, id ? id : "", NULL);
}

/*
 * @name: of a file or folder in the VM's folder; absent or empty: none. Of a file system that never answered what was
 * written to it, this may not be answered either.
 */
static bool remove_named(Vm *vm, const json_t *name, GError **error)
{
        const char *text = json_string_value(name);
        g_autofree char *path = text && *text ? vm_path(vm, text) : NULL;
        return !path || aside_remove(path, error);
}

/* The disks have gone on: that is so from now on, whether a snapshot remembers it or not. */
static bool write_layers(Vm *vm, const json_t *layers, GError **error)
{
        HostlerVmHistory history;
        json_t *entry;
        size_t i;
        layers_history(vm, &history);
        json_array_foreach ((json_t *)layers, i, entry)
                layers_go_on(&history, json_string_value(json_object_get(entry, "part")),
                             json_string_value(json_object_get(entry, "file")),
                             json_string_value(json_object_get(entry, "below")));
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* One that is whole: a crash may have come while it was made. */
static bool stands_on(Vm *vm, const char *file, const char *below)
{
        g_auto(VolumeInfo) info = {0};
        g_autofree char *path = vm_layer_path(vm, file), *base = vm_layer_path(vm, below);
        g_autofree char *name = volume_name_below(path, base);
        return volume_info(path, &info, NULL) && g_strcmp0(info.backing, name) == 0;
}

/* A guest goes on while its memory is written, so one whose QEMU has died may have written to its new layers. */
static bool keep_layers(Vm *vm, const json_t *layers, GError **error)
{
        json_auto_t *kept = json_array();
        json_t *entry;
        size_t i;
        json_array_foreach ((json_t *)layers, i, entry) {
                const char *file = json_string_value(json_object_get(entry, "file"));
                if (!layers_hold(vm, file) && stands_on(vm, file, json_string_value(json_object_get(entry, "below"))))
                        json_array_append(kept, entry);
        }
        return json_array_size(kept) == 0 || write_layers(vm, kept, error);
}

static bool remove_layers(Vm *vm, Qmp *qmp, const json_t *layers, GError **error)
{
        json_t *entry;
        size_t i;
        json_array_foreach ((json_t *)layers, i, entry) {
                const char *file = json_string_value(json_object_get(entry, "file"));
                const char *below = json_string_value(json_object_get(entry, "below"));
                g_autofree char *path = vm_layer_path(vm, file);
                if (layers_hold(vm, file))
                        continue;
                if ((qmp && !take_out(qmp, file, below, error)) || !volume_delete(path, error))
                        return false;
        }
        return true;
}

/* A QEMU 7.2 that could not write memory behind its guest leaves protected what it had not come to; guest and QEMU
 * itself then stand still at their next write there. */
static void end_writing(Vm *vm, Qmp *qmp)
{
        ProcessId process = vm_process(vm);
        process_memory_unprotect(&process);
        stream_cancel(qmp);
        process_memory_unprotect(&process);
        if (process_memory_may_be_protected(&process))
                stream_mend(qmp, NULL);
}

static bool undo(Vm *vm, const json_t *args, GError **error)
{
        g_autoptr(Qmp) qmp = vm_is_live(vm) ? vm_qmp(vm) : NULL;
        const json_t *layers = json_object_get(args, "layers");
        bool run = json_is_true(json_object_get(args, "run"));
        if (qmp)
                end_writing(vm, qmp);
        /* Nothing can be written to the disks of a guest whose memory has been. */
        if ((qmp && !saved_state_let_go(qmp, error)) || (!qmp && run && !keep_layers(vm, layers, error)) ||
            !remove_layers(vm, qmp, layers, error))
                return false;
        bool ok = !qmp || go_on(vm, run, error);
        guest_thaw(vm);
        /* Last: where memory could not be written, files may not be removed either. */
        return ok && remove_named(vm, json_object_get(args, "memory"), error) &&
               remove_named(vm, json_object_get(args, "keepsakes"), error);
}

bool operation_snapshot_undo(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        g_autoptr(GError) problem = NULL;
        if (!vm || undo(vm, args, &problem))
                return true;
        if (vm_died(vm))
                return undo(vm, args, error);
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

/* ---- writing it down ---- */

static void apply(HostlerVmHistory *history, HostlerSnapshot *snapshot_taken, const json_t *layers)
{
        json_t *entry;
        size_t i;
        layers_keep(history, snapshot_taken);
        json_array_foreach ((json_t *)layers, i, entry) {
                const char *part = json_string_value(json_object_get(entry, "part"));
                g_autofree char *below = g_strdup(layers_head(history, part));
                layers_go_on(history, part, json_string_value(json_object_get(entry, "file")), below);
        }
}

static bool write_down(Vm *vm, const json_t *json, const json_t *layers, GError **error)
{
        HostlerVmHistory history;
        HostlerSnapshot snapshot;
        if (!record_from_json(&hostler_snapshot_type, json, "/snapshot", &snapshot, error))
                return false;
        layers_history(vm, &history);
        bool ok = true;
        if (!layers_snapshot(&history, snapshot.name)) {
                apply(&history, &snapshot, layers);
                ok = vm_set_history(vm, &history, error);
        }
        record_clear(&hostler_snapshot_type, &snapshot);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

bool operation_snapshot_keep(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        if (!vm)
                return true;
        g_autoptr(GError) problem = NULL;
        if (!write_down(vm, json_object_get(args, "snapshot"), json_object_get(args, "layers"), error))
                return false;
        /* The snapshot is there, whatever becomes of the guest. */
        if (!go_on(vm, json_is_true(json_object_get(args, "run")), &problem) && !vm_died(vm)) {
                g_propagate_error(error, g_steal_pointer(&problem));
                return false;
        }
        guest_thaw(vm);
        return true;
}

/* ---- the verb ---- */

typedef struct {
        Job *job;
        Vm *vm;
        const HostlerSnapshotCreateArgs *args;
        HostlerVmHistory history;
        HostlerSnapshot snapshot;
        json_t *layers; /* [{part, file}] */
        bool live, run, full;
} Taking;

static void taking_clear(Taking *taking)
{
        record_clear(&hostler_vm_history_type, &taking->history);
        record_clear(&hostler_snapshot_type, &taking->snapshot);
        json_decref(taking->layers);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Taking, taking_clear)

static char *free_name(const HostlerVmHistory *history)
{
        for (int i = 1;; i++) {
                g_autofree char *name = g_strdup_printf("snap%d", i);
                if (!layers_snapshot(history, name))
                        return g_steal_pointer(&name);
        }
}

static bool taking_init(Taking *taking, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(taking->vm);
        g_autofree char *object = vm_object(taking->vm);
        HostlerVmRuntime runtime;
        taking->live = vm_is_live(taking->vm);
        taking->run = vm_power(taking->vm) == HOSTLER_POWER_RUNNING;
        taking->full = taking->live && !taking->args->disk_only;
        layers_history(taking->vm, &taking->history);
        record_init(&hostler_snapshot_type, &taking->snapshot);
        taking->snapshot.name = taking->args->name ? g_strdup(taking->args->name) : free_name(&taking->history);
        taking->snapshot.scheduled = taking->args->scheduled;
        taking->snapshot.paused = taking->full && !taking->run;
        taking->snapshot.description = g_strdup(taking->args->description);
        taking->snapshot.created = time_format(clock_unix_ms());
        record_copy(&hostler_spec_type, &spec->value, &taking->snapshot.spec);
        taking->layers = snapshot_layer_names(taking->vm, &taking->history.heads);
        if (layers_snapshot(&taking->history, taking->snapshot.name))
                return error_set(error, HOSTLER_ERROR_EXISTS, object, "it has a snapshot called %s already",
                                 taking->snapshot.name);
        if (taking->full) {
                vm_runtime(taking->vm, &runtime);
                taking->snapshot.run = g_new0(HostlerVmRuntime, 1);
                *taking->snapshot.run = runtime;
        }
        return true;
}

static bool reserve(Vm *vm, const char *memory, GError **error)
{
        g_autofree char *path = vm_path(vm, memory), *folder = g_path_get_dirname(path);
        return dir_ensure(folder, error) && saved_state_reserve(vm, memory, error);
}

/* All that takes time and can be done while the guest runs. */
static bool prepare_layers(const Taking *taking, const char *memory, GError **error)
{
        g_autofree char *keepsakes = snapshot_keepsakes(taking->snapshot.name);
        json_t *undo = json_pack("{s:s, s:O, s:s, s:s, s:b}", "vm", vm_id(taking->vm), "layers", taking->layers,
                                 "memory", memory, "keepsakes", keepsakes, "run", taking->run);
        return job_undo(taking->job, "snapshot-undo", undo, error) &&
               (!taking->full || !taking->run || reserve(taking->vm, memory, error)) &&
               snapshot_make_layers(taking->vm, &taking->history.heads, taking->layers, error) &&
               (!taking->live || open_layers(taking->vm, &taking->history.heads, taking->layers, error));
}

static bool stand_still(Taking *taking, GError **error)
{
        g_autoptr(Qmp) qmp = taking->live ? vm_require_qmp(taking->vm, error) : NULL;
        if (taking->live && !qmp)
                return false;
        /* Where the agent cannot, the disks are as after a power cut. */
        taking->snapshot.frozen =
            taking->run && !taking->full && guest_freeze(taking->vm, job_cancellable(taking->job));
        return !taking->run || qmp_call(qmp, "stop", NULL, NULL, error);
}

static bool save_keepsakes(const Taking *taking, GError **error)
{
        g_autofree char *name = snapshot_keepsakes(taking->snapshot.name), *folder = vm_path(taking->vm, name);
        return keepsakes_copy(taking->vm, folder, error);
}

static bool stop_guest(void *data, GError **error)
{
        Taking *taking = data;
        return !job_step(taking->job, "stop", "let the guest stand still") || stand_still(taking, error);
}

/* What is of the moment beside memory. */
static bool hold_moment(void *data, GError **error)
{
        Taking *taking = data;
        if (job_step(taking->job, "layers", "let each disk go on in its new layer") && taking->live &&
            !switch_layers(taking->vm, &taking->history.heads, taking->layers, error))
                return false;
        return !keepsakes_are_there(taking->vm) ||
               !job_step(taking->job, "keepsakes", "keep what firmware and TPM remember") ||
               save_keepsakes(taking, error);
}

/* With the moment in its middle when the guest runs. */
static bool save_memory(Taking *taking, const char *memory, GError **error)
{
        g_autofree char *folder = vm_path(taking->vm, SNAPSHOT_FOLDER);
        SavedMoment moment = {.stop = stop_guest, .hold = hold_moment, .data = taking};
        HostlerSavedState saved;
        bool ok = dir_ensure(folder, error) &&
                  (taking->run ? saved_state_write_running(taking->vm, taking->job, memory, &moment, &saved, error)
                               : saved_state_write(taking->vm, taking->job, memory, &saved, error));
        if (!ok)
                return false;
        taking->snapshot.memory = g_new0(HostlerSavedState, 1);
        *taking->snapshot.memory = saved;
        return true;
}

static bool keep(const Taking *taking, GError **error)
{
        json_auto_t *args = json_pack("{s:s, s:o, s:O, s:b}", "vm", vm_id(taking->vm), "snapshot",
                                      record_to_json(&hostler_snapshot_type, &taking->snapshot, RECORD_STORED),
                                      "layers", taking->layers, "run", taking->run);
        g_autofree char *object = vm_object(taking->vm);
        Manager *manager = job_manager(taking->job);
        if (!job_finish(taking->job, "snapshot-keep", json_incref(args), error) || !job_commit(taking->job, error) ||
            !operation_snapshot_keep(manager, args, error))
                return false;
        event_emit(manager_events(manager), "snapshot-created", object,
                   json_pack("{s:s}", "snapshot", taking->snapshot.name));
        return true;
}

static bool take(Taking *taking, GError **error)
{
        g_autofree char *memory = snapshot_memory_file(taking->snapshot.name);
        if (job_step(taking->job, "files", "make a new layer for each disk") && !prepare_layers(taking, memory, error))
                return false;
        bool running = taking->full && taking->run, dry = job_is_dry_run(taking->job);
        if ((!running || dry) && (!stop_guest(taking, error) || !hold_moment(taking, error)))
                return false;
        if (taking->full && job_step(taking->job, "memory", "write memory and devices") &&
            !save_memory(taking, memory, error))
                return false;
        return !job_step(taking->job, "keep", "write it down, let the guest go on") || keep(taking, error);
}

bool snapshot_create(Job *job, const HostlerSnapshotCreateArgs *args, HostlerSnapshotInfo *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_auto(Taking) taking = {.job = job, .vm = vm, .args = args};
        if (!vm || !layers_check_state(vm, "take a snapshot", error) || !taking_init(&taking, error) ||
            (taking.full && (!vm_check_savable(vm, error) || !saved_state_check_room(vm, error) ||
                             (!job_is_dry_run(job) && !saved_state_check_free(vm, error)))))
                return false;
        g_autofree char *name = g_strdup(taking.snapshot.name);
        if (!take(&taking, error))
                return false;
        return snapshot_info(vm, name, ret_result);
}

/* ---- for clones ---- */

typedef struct {
        Job *job;
        Vm *vm;
        const char *keepsakes; /* absolute */
        const char *memory;
        HostlerVmHistory history;
        json_t *layers;
        bool live, run;
} Freezing;

static bool freeze_stop(void *data, GError **error)
{
        Freezing *freezing = data;
        g_autoptr(Qmp) qmp = freezing->run ? vm_require_qmp(freezing->vm, error) : NULL;
        return !freezing->run || (qmp && qmp_call(qmp, "stop", NULL, NULL, error));
}

static bool freeze_hold(void *data, GError **error)
{
        Freezing *freezing = data;
        return (!freezing->live || switch_layers(freezing->vm, &freezing->history.heads, freezing->layers, error)) &&
               (!keepsakes_are_there(freezing->vm) || keepsakes_copy(freezing->vm, freezing->keepsakes, error));
}

static bool freeze_memory(Freezing *freezing, GError **error)
{
        HostlerSavedState saved;
        g_autofree char *path = vm_path(freezing->vm, freezing->memory), *folder = g_path_get_dirname(path);
        SavedMoment moment = {.stop = freeze_stop, .hold = freeze_hold, .data = freezing};
        if (!dir_ensure(folder, error) ||
            !(freezing->run
                  ? saved_state_write_running(freezing->vm, freezing->job, freezing->memory, &moment, &saved, error)
                  : saved_state_write(freezing->vm, freezing->job, freezing->memory, &saved, error)))
                return false;
        record_clear(&hostler_saved_state_type, &saved);
        return true;
}

static bool freeze(Freezing *freezing, GError **error)
{
        Vm *vm = freezing->vm;
        bool apart = !freezing->memory || !freezing->run;
        return (!freezing->memory || !freezing->run || reserve(vm, freezing->memory, error)) &&
               snapshot_make_layers(vm, &freezing->history.heads, freezing->layers, error) &&
               (!freezing->live || open_layers(vm, &freezing->history.heads, freezing->layers, error)) &&
               (!apart || (freeze_stop(freezing, error) && freeze_hold(freezing, error))) &&
               (!freezing->memory || freeze_memory(freezing, error)) && write_layers(vm, freezing->layers, error) &&
               go_on(vm, freezing->run, error);
}

bool snapshot_freeze(Job *job, Vm *vm, const char *keepsakes, const char *memory, GError **error)
{
        g_autofree char *copy = vm_path(vm, keepsakes);
        Freezing freezing = {.job = job,
                             .vm = vm,
                             .keepsakes = copy,
                             .memory = memory,
                             .live = vm_is_live(vm),
                             .run = vm_power(vm) == HOSTLER_POWER_RUNNING};
        if (!job_step(job, "freeze", "let each disk go on in a new layer"))
                return true;
        layers_history(vm, &freezing.history);
        freezing.layers = snapshot_layer_names(vm, &freezing.history.heads);
        json_t *undo = json_pack("{s:s, s:O, s:s, s:s, s:b}", "vm", vm_id(vm), "layers", freezing.layers, "keepsakes",
                                 keepsakes, "memory", memory ? memory : "", "run", freezing.run);
        bool ok = job_undo(job, "snapshot-undo", undo, error) && freeze(&freezing, error);
        record_clear(&hostler_vm_history_type, &freezing.history);
        json_decref(freezing.layers);
        return ok;
}
