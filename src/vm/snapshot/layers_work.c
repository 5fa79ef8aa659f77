/*
 * Getting rid of disk layers. See layers_work.h. A merge copies what the lower layer has and its child has not into the
 * child, and only then makes the child stand on what is below: at each moment the child reads the same bytes, so it can
 * be cut off and begun again anywhere.
 */
#include "vm/snapshot/layers_work.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "storage/volume_tool.h"
#include "vm/manager_internal.h"
#include "vm/pool/pools.h"

#define MERGE_POLL_US 20000
#define FLUSH_MS 120000

bool layers_know(Vm *vm, const char *part)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        bool known = layers_head(&history, part) != NULL;
        record_clear(&hostler_vm_history_type, &history);
        return known;
}

bool layers_hold(Vm *vm, const char *file)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        bool is = layers_has(&history, file);
        record_clear(&hostler_vm_history_type, &history);
        return is;
}

bool layers_check_state(Vm *vm, const char *what, GError **error)
{
        HostlerPower power = vm_power(vm);
        g_autofree char *object = vm_object(vm);
        if (power == HOSTLER_POWER_RUNNING || power == HOSTLER_POWER_PAUSED || power == HOSTLER_POWER_OFF ||
            power == HOSTLER_POWER_CRASHED)
                return vm_check_places(vm, error);
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "cannot %s: the VM is %s", what,
                  hostler_power_enum.values[power]);
        return power == HOSTLER_POWER_SUSPENDED && error_hint(error, "hostler resume %s", object + strlen("vm/"));
}

void layers_history(Vm *vm, HostlerVmHistory *ret_history)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        vm_history(vm, ret_history);
        vm_pins(vm, ret_history);
        for (size_t i = 0; i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                if (strcmp(part->kind, "disk") != 0 || layers_head(ret_history, part->name))
                        continue;
                g_autofree char *file = vm_first_layer(part);
                layers_add(ret_history, part->name, file);
        }
}

/* ---- merging ---- */

/* The part whose chain @file is in now; NULL: none. Borrowed from the history. */
static const char *part_of(const HostlerVmHistory *history, const char *file)
{
        for (size_t i = 0; i < history->heads.count; i++) {
                g_autoptr(GPtrArray) chain = layers_chain(history, history->heads.items[i].part);
                for (guint k = 0; k < chain->len; k++)
                        if (strcmp(chain->pdata[k], file) == 0)
                                return history->heads.items[i].part;
        }
        return NULL;
}

/* What a disk stands on, an image or another VM's layer: its path or, when it has none, its name. NULL: nothing. Caller
 * frees. */
static char *image_below(Vm *vm, const HostlerVmHistory *history, const char *file)
{
        g_auto(VolumeInfo) info = {0};
        const HostlerLayer *layer = NULL;
        /* Any layer of the disk says it at the bottom of its chain: that one's header is our own writing. */
        for (const char *at = file; at; at = layer ? layer->parent : NULL) {
                layer = NULL;
                for (size_t i = 0; i < history->layers.count; i++)
                        if (strcmp(history->layers.items[i].file, at) == 0)
                                layer = &history->layers.items[i];
                if (!layer || layer->parent)
                        continue;
                g_autofree char *path = vm_layer_path(vm, at), *folder = g_path_get_dirname(path);
                if (!volume_info(path, &info, NULL) || !info.backing)
                        return NULL;
                return g_path_is_absolute(info.backing) || volume_is_opaque(path)
                           ? g_strdup(info.backing)
                           : g_build_filename(folder, info.backing, NULL);
        }
        return NULL;
}

static bool merge_offline(Job *job, Vm *vm, const HostlerVmHistory *history, const Waste *waste, GError **error)
{
        g_autofree char *child = vm_layer_path(vm, waste->child);
        g_autofree char *parent = waste->parent ? vm_layer_path(vm, waste->parent) : NULL;
        g_autofree char *below = parent ? volume_name_below(child, parent) : image_below(vm, history, waste->file);
        const VolumeTool tool = {.cancellable = job_cancellable(job)};
        return volume_tool_rebase(&tool, child, below, error);
}

/* What QEMU says of its block job @id; NULL: nothing, there is none. Borrowed from @jobs. */
static json_t *find_block_job(json_t *jobs, const char *id)
{
        json_t *entry;
        size_t i;
        json_array_foreach (jobs, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "id")), id) == 0)
                        return entry;
        return NULL;
}

static void tell_progress(Job *job, const json_t *found)
{
        job_progress(job,
                     100.0 * (double)json_integer_value(json_object_get(found, "current-progress")) /
                         (double)MAX(json_integer_value(json_object_get(found, "total-progress")), 1),
                     "merging disk layers");
}

/*
 * QEMU's own command for that does not tell whether it went well. Opening a node again as it is, which flushes it
 * first, does, and then leaves it as it was; what it says is its only answer.
 */
bool layers_flush(Qmp *qmp, const char *node, GError **error)
{
        g_autofree char *reopen = g_strdup_printf("qemu-io %s reopen", node);
        json_auto_t *result = NULL;
        if (!qmp_call_full(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", reopen), FLUSH_MS, NULL,
                           &result, error))
                return false;
        const char *said = json_string_value(result);
        g_autofree char *problem = g_strchomp(g_strdup(said ? said : ""));
        return !*problem || error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s cannot be flushed: %s", node, problem);
}

/*
 * What was copied is only in QEMU's cache of qcow2's tables yet, and with the end of the job nothing else has it. Where
 * it cannot be written, the job is given up, and @ret_problem says why.
 */
static bool finalize(Qmp *qmp, const char *id, const char *node, GError **ret_problem, GError **error)
{
        bool flushed = *ret_problem == NULL && layers_flush(qmp, node, ret_problem);
        return qmp_call(qmp, flushed ? "job-finalize" : "job-cancel", json_pack("{s:s}", "id", id), NULL, error);
}

/* True when it has gone well, with the job forgotten; also when there is none. */
static bool wait_stream(Job *job, Qmp *qmp, const char *id, const char *node, GError **error)
{
        g_autoptr(GError) unflushed = NULL;
        for (;;) {
                json_auto_t *jobs = NULL;
                if (!qmp_call(qmp, "query-jobs", NULL, &jobs, error))
                        return false;
                json_t *found = find_block_job(jobs, id);
                const char *status = found ? json_string_value(json_object_get(found, "status")) : "concluded";
                const char *problem = found ? json_string_value(json_object_get(found, "error")) : NULL;
                if (strcmp(status, "concluded") == 0) {
                        if (found)
                                qmp_call(qmp, "job-dismiss", json_pack("{s:s}", "id", id), NULL, NULL);
                        if (unflushed)
                                problem = unflushed->message;
                        return !problem ||
                               error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU could not merge: %s", problem);
                }
                if (g_cancellable_is_cancelled(job_cancellable(job)))
                        qmp_call(qmp, "job-cancel", json_pack("{s:s}", "id", id), NULL, NULL);
                else if (strcmp(status, "pending") == 0 && !finalize(qmp, id, node, &unflushed, error))
                        return false;
                tell_progress(job, found);
                g_usleep(MERGE_POLL_US);
        }
}

bool layers_stream(Job *job, Qmp *qmp, const LayersStream *stream, GError **error)
{
        json_t *args = json_pack("{s:s, s:s, s:b, s:b}", "job-id", stream->id, "device", stream->node, "auto-finalize",
                                 0, "auto-dismiss", 0);
        if (stream->base)
                json_object_set_new(args, "base-node", json_string(stream->base));
        if (stream->backing)
                json_object_set_new(args, "backing-file", json_string(stream->backing));
        wait_stream(job, qmp, stream->id, stream->node, NULL);
        return qmp_call(qmp, "block-stream", args, NULL, error) &&
               wait_stream(job, qmp, stream->id, stream->node, error) && file_sync(stream->path, error);
}

static bool stands_on_image(Vm *vm, const char *part)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        const HostlerPart *disk = spec_part(&runtime.launched, part);
        bool has = disk && ((const HostlerDiskProps *)disk->props)->image;
        record_clear(&hostler_vm_runtime_type, &runtime);
        return has;
}

/* Of a chain that QEMU has open: block-stream copies while the guest goes on, and changes the chain in QEMU and on
 * disk. */
static bool merge_live(Job *job, Vm *vm, const char *part, const Waste *waste, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        g_autofree char *id = g_strdup_printf("merge-%s", part), *image = g_strdup_printf("%s.base", part);
        g_autofree char *top = disk_layer_node(waste->child), *lower = disk_layer_node(waste->file);
        g_autofree char *base = waste->parent ? disk_layer_node(waste->parent) : NULL;
        g_autofree char *lower_file = g_strdup_printf("%s.file", lower);
        if (!qmp)
                return false;
        g_autofree char *path = vm_layer_path(vm, waste->child);
        g_autofree char *parent = base ? vm_layer_path(vm, waste->parent) : NULL;
        g_autofree char *backing = parent ? volume_name_below(path, parent) : NULL;
        LayersStream stream = {.id = id,
                               .node = top,
                               .base = base                        ? base
                                       : stands_on_image(vm, part) ? image
                                                                   : NULL,
                               .backing = backing,
                               .path = path};
        return layers_stream(job, qmp, &stream, error) &&
               qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", lower), NULL, error) &&
               qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", lower_file), NULL, error);
}

bool layers_is_node(Qmp *qmp, const char *node, bool *ret_is, GError **error)
{
        json_auto_t *nodes = NULL;
        json_t *entry;
        size_t i;
        *ret_is = false;
        if (!qmp_call(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, error))
                return false;
        json_array_foreach (nodes, i, entry)
                *ret_is = *ret_is || g_strcmp0(json_string_value(json_object_get(entry, "node-name")), node) == 0;
        return true;
}

/* A run that was cut off may have got so far that QEMU has the layer open no more. */
static bool merge_if_open(Job *job, Vm *vm, const char *part, const Waste *waste, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        g_autofree char *node = disk_layer_node(waste->file);
        bool open;
        return qmp && layers_is_node(qmp, node, &open, error) && (!open || merge_live(job, vm, part, waste, error));
}

static bool merge(Job *job, Vm *vm, const HostlerVmHistory *history, const Waste *waste, GError **error)
{
        const char *part = part_of(history, waste->child);
        g_autoptr(GError) problem = NULL;
        if (part && vm_is_live(vm)) {
                if (merge_if_open(job, vm, part, waste, &problem))
                        return true;
                if (!vm_died(vm)) {
                        g_propagate_error(error, g_steal_pointer(&problem));
                        return false;
                }
        }
        return merge_offline(job, vm, history, waste, error);
}

/* ---- one after the other ---- */

/* What a run that was cut off in between, or by a power cut, has yet to delete. */
static bool promise_deletion(Job *job, Vm *vm, const char *file, GError **error)
{
        return job_finish(job, "layer-gone", json_pack("{s:s, s:s}", "vm", vm_id(vm), "file", file), error);
}

bool operation_layer_gone(Manager *manager, const json_t *args, GError **error)
{
        const char *id = json_string_value(json_object_get(args, "vm"));
        const char *file = json_string_value(json_object_get(args, "file"));
        g_autoptr(Vm) vm = manager_any_vm(manager, id ? id : "");
        if (!vm || !file || layers_hold(vm, file))
                return true;
        g_autofree char *path = vm_layer_path(vm, file);
        return volume_delete(path, error);
}

static bool get_rid_of(Job *job, Vm *vm, HostlerVmHistory *history, const Waste *waste, GError **error)
{
        g_autofree char *file = g_strdup(waste->file), *path = vm_layer_path(vm, file);
        if (waste->child && !merge(job, vm, history, waste, error))
                return false;
        /* Struck off before it is unlinked: a file that nobody knows costs space, one that is missed is a loss. */
        layers_gone(history, file);
        return promise_deletion(job, vm, file, error) && vm_set_history(vm, history, error) &&
               job_step(job, "delete", "delete %s", file) && volume_delete(path, error);
}

bool layers_tidy(Job *job, Vm *vm, GError **error)
{
        HostlerVmHistory history;
        Waste waste;
        bool ok = true;
        vm_history(vm, &history);
        vm_pins(vm, &history);
        while (ok && layers_waste(&history, &waste)) {
                if (!job_step(job, "tidy", waste.child ? "merge %s into %s" : "let go of %s", waste.file, waste.child))
                        break;
                ok = get_rid_of(job, vm, &history, &waste, error);
        }
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

void layers_tidy_soon(Manager *manager, const char *id)
{
        HostlerVmHistory history;
        Waste waste;
        g_autoptr(Vm) vm = manager_vm(manager, id, NULL);
        HostlerSnapshotTidyArgs args = {.vm = (char *)id};
        if (!vm)
                return;
        vm_history(vm, &history);
        vm_pins(vm, &history);
        if (layers_waste(&history, &waste))
                manager_ask(vm, "snapshot", "tidy", &args, NULL);
        record_clear(&hostler_vm_history_type, &history);
}

bool layers_let_go(Job *job, Vm *vm, const char *part, GError **error)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        layers_drop(&history, part);
        bool ok = vm_set_history(vm, &history, error) && layers_tidy(job, vm, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}
