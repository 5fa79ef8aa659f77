/*
 * Moving a disk to another pool. While the VM is off its file is copied. While it runs, its QEMU copies, and from when
 * it has caught up each write goes to both before the guest hears of it. That alone does not make the copy as good:
 * what the guest has had flushed is in the old file, of the copy's tables much is only in QEMU. So before the end QEMU
 * holds the guest's requests back, and the copy is flushed; then either is right, and the row says which one it is.
 * Whoever dies before that is written, daemon or QEMU, leaves the old one, after it the new one.
 */
#include "vm/pool/move.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "device/block.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "storage/volume_copy.h"
#include "storage/volume_tool.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers_work.h"

#define POLL_US 20000
#define FIRST_POLL_US 2000
#define PIVOT_POLLS (60 * 1000000 / POLL_US)

typedef struct {
        Job *job;
        Vm *vm;
        const char *part;
        HostlerVmHistory history; /* in which the disk is known */
        json_t *where;            /* arguments of the operations; "live": QEMU copies */
        char *from, *to, *image;  /* head and copy, absolute; the image below, or NULL */
} Moving;

static void moving_clear(Moving *moving)
{
        record_clear(&hostler_vm_history_type, &moving->history);
        g_clear_pointer(&moving->where, json_decref);
        g_free(moving->from);
        g_free(moving->to);
        g_free(moving->image);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Moving, moving_clear)

static const char *text_of(const json_t *args, const char *member)
{
        return json_string_value(json_object_get(args, member));
}

static const HostlerDiskProps *disk_of(const HostlerSpec *spec, const char *part)
{
        const HostlerPart *disk = spec_part(spec, part);
        return disk && strcmp(disk->kind, "disk") == 0 ? disk->props : NULL;
}

/* ---- what speaks against it ---- */

static bool check_layers(const Moving *moving, GError **error)
{
        g_autoptr(GPtrArray) chain = layers_chain(&moving->history, moving->part);
        g_autofree char *object = vm_object(moving->vm);
        const char *name = object + strlen("vm/");
        for (size_t i = 0; i < moving->history.snapshots.count; i++) {
                const HostlerSnapshot *snapshot = &moving->history.snapshots.items[i];
                for (size_t k = 0; k < snapshot->disks.count; k++)
                        if (strcmp(snapshot->disks.items[k].part, moving->part) == 0) {
                                error_set(error, HOSTLER_ERROR_BUSY, object, "snapshot %s holds layers of %s",
                                          snapshot->name, moving->part);
                                return error_hint(error, "hostler snapshot rm %s %s", name, snapshot->name);
                        }
        }
        if (layers_origin(&moving->history, moving->part)) {
                error_set(error, HOSTLER_ERROR_BUSY, object, "%s stands on a disk of another VM", moving->part);
                return error_hint(error, "hostler flatten %s", name);
        }
        for (guint i = 0; i < chain->len; i++)
                for (size_t k = 0; k < moving->history.pins.count; k++)
                        if (strcmp(moving->history.pins.items[k].file, chain->pdata[i]) == 0)
                                return error_set(error, HOSTLER_ERROR_BUSY, object, "a linked clone stands on %s",
                                                 moving->part);
        return true;
}

static bool check_pool(Manager *manager, const char *name, HostlerDiskFormat format, GError **error)
{
        HostlerPoolConfig pool;
        if (!pools_find(manager, name, &pool, error))
                return false;
        bool ok = pool_type(&pool)->check(&pool, error);
        if (ok && format == HOSTLER_DISK_FORMAT_RAW && pool_type(&pool)->volumes)
                ok = error_set(error, HOSTLER_ERROR_INVALID, NULL, "pool %s keeps qcow2 volumes only", name);
        record_clear(&hostler_pool_config_type, &pool);
        return ok;
}

/* ---- the plan ---- */

static bool find_image(Moving *moving, const HostlerDiskProps *disk, GError **error)
{
        g_auto(ImagePaths) image = {0};
        if (!disk->image)
                return true;
        if (!image_paths(manager_image_dir(vm_manager(moving->vm)), disk->image, &image, error))
                return false;
        moving->image = g_strdup(image.disk);
        return true;
}

static void decide(Moving *moving, const HostlerDiskProps *disk, const char *pool)
{
        g_autoptr(GPtrArray) chain = layers_chain(&moving->history, moving->part);
        const char *other = strcmp(pool, POOL_DEFAULT) != 0 ? pool : NULL;
        g_autofree char *file = vm_new_layer(moving->vm, moving->part, other,
                                             disk->format == HOSTLER_DISK_FORMAT_RAW ? VOLUME_RAW : VOLUME_QCOW2);
        json_t *old = json_array();
        for (guint i = 0; i < chain->len; i++)
                json_array_append_new(old, json_string(chain->pdata[i]));
        moving->where = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b}", "vm", vm_id(moving->vm), "part", moving->part,
                                  "pool", pool, "file", file, "old", old, "live", vm_is_live(moving->vm));
        moving->from = vm_layer_path(moving->vm, chain->pdata[0]);
        moving->to = vm_layer_path(moving->vm, file);
}

static bool is_there(const Moving *moving, const char *pool)
{
        const char *head = layers_head(&moving->history, moving->part);
        g_autofree char *now = head ? pools_of_layer(head) : NULL;
        return strcmp(now ? now : POOL_DEFAULT, pool) == 0;
}

/* ---- copying, while it is off ---- */

static void tell_progress(double percent, void *data)
{
        job_progress(data, percent, "copying");
}

static bool copy_offline(const Moving *moving, GError **error)
{
        const VolumeTool tool = {
            .progress = tell_progress, .data = moving->job, .cancellable = job_cancellable(moving->job)};
        if (!volume_delete(moving->to, error))
                return false;
        /* A raw disk that has had snapshots is one file again. */
        if (json_array_size(json_object_get(moving->where, "old")) > 1 && !moving->image)
                return volume_tool_convert(&tool, moving->from, moving->to, error);
        /* What stands on an image goes on standing on it, from another place. */
        return volume_copy(moving->from, moving->to, tell_progress, moving->job, tool.cancellable, error) &&
               (!moving->image || volume_tool_rename_backing(&tool, moving->to, moving->image, error));
}

/* ---- copying, while it runs ---- */

static char *job_name(const char *part)
{
        return g_strdup_printf("move-%s", part);
}

/* Of QEMU's job; NULL: there is none. The caller owns it. */
static json_t *find_job(Qmp *qmp, const char *part, GError **error)
{
        json_auto_t *jobs = NULL;
        json_t *entry;
        size_t i;
        g_autofree char *id = job_name(part);
        if (!qmp_call(qmp, "query-jobs", NULL, &jobs, error))
                return NULL;
        json_array_foreach (jobs, i, entry)
                if (g_strcmp0(text_of(entry, "id"), id) == 0)
                        return json_incref(entry);
        return NULL;
}

static bool make_target(const Moving *moving, GError **error)
{
        g_auto(VolumeInfo) info = {0};
        if (!volume_info(moving->from, &info, error) || !volume_delete(moving->to, error))
                return false;
        return (moving->image ? volume_create_overlay(moving->to, moving->image, "qcow2", info.size_bytes, error)
                              : volume_create_empty(moving->to, info.size_bytes, error)) &&
               file_sync(moving->to, error);
}

static bool open_target(const Moving *moving, Qmp *qmp, GError **error)
{
        g_auto(VmContext) context = {0};
        g_autoptr(Plan) plan = plan_new();
        HostlerVmRuntime runtime;
        vm_runtime(moving->vm, &runtime);
        vm_context_init(&context, vm_manager(moving->vm), moving->vm, &runtime.launched, &runtime);
        disk_plan_copy(&context.context, spec_part(&runtime.launched, moving->part), moving->to, plan);
        bool ok = plan_run(plan, qmp, error);
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

static bool begin_copy(const Moving *moving, Qmp *qmp, GError **error)
{
        g_autofree char *id = job_name(moving->part), *from = disk_layer_node(moving->from);
        g_autofree char *to = disk_layer_node(moving->to);
        return qmp_call(qmp, "blockdev-mirror",
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "job-id", id, "device", from, "target", to,
                                  "sync", moving->image ? "top" : "full", "copy-mode", "write-blocking",
                                  "auto-finalize", 0, "auto-dismiss", 0),
                        NULL, error);
}

/* Until both have the same in them, and go on so. */
static bool wait_ready(const Moving *moving, Qmp *qmp, GError **error)
{
        for (;;) {
                json_auto_t *entry = find_job(qmp, moving->part, NULL);
                const char *status = entry ? text_of(entry, "status") : "";
                if (!entry)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU has given up copying");
                if (strcmp(status, "ready") == 0)
                        return true;
                if (strcmp(status, "running") != 0 && strcmp(status, "created") != 0 && strcmp(status, "paused") != 0)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU could not copy: %s",
                                         text_of(entry, "error") ? text_of(entry, "error") : status);
                if (!job_check_cancelled(moving->job, error))
                        return false;
                job_progress(moving->job,
                             100.0 * (double)json_integer_value(json_object_get(entry, "current-progress")) /
                                 (double)MAX(json_integer_value(json_object_get(entry, "total-progress")), 1),
                             "copying while the guest runs");
                g_usleep(POLL_US);
        }
}

static bool copy_live(const Moving *moving, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(moving->vm, error);
        return qmp && make_target(moving, error) && open_target(moving, qmp, error) && begin_copy(moving, qmp, error) &&
               wait_ready(moving, qmp, error);
}

/* ---- the end: one of the two goes ---- */

static Vm *vm_of(Manager *manager, const json_t *args)
{
        const char *id = text_of(args, "vm");
        return manager_vm(manager, id ? id : "", NULL);
}

/* Of the guest's disk; false when QEMU does not say. */
static bool has_root(Qmp *qmp, Vm *vm, const char *part, const char *file, bool *ret_has, GError **error)
{
        HostlerVmRuntime runtime;
        g_autofree char *node = disk_layer_node(file);
        vm_runtime(vm, &runtime);
        json_auto_t *state = block_device_state(qmp, spec_part(&runtime.launched, part), error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        *ret_has = g_strcmp0(text_of(json_object_get(state, "inserted"), "node-name"), node) == 0;
        return state != NULL;
}

/* QEMU's job is over, whatever came of it, and forgotten. */
static bool end_job(Qmp *qmp, const char *part, const char *command, GError **error)
{
        g_autofree char *id = job_name(part);
        bool told = false;
        for (int i = 0; i < PIVOT_POLLS; i++) {
                g_autoptr(GError) local = NULL;
                json_auto_t *entry = find_job(qmp, part, &local);
                if (!entry)
                        return !local || (g_propagate_error(error, g_steal_pointer(&local)), false);
                bool over = g_strcmp0(text_of(entry, "status"), "concluded") == 0;
                if (over || !told)
                        qmp_call(qmp, over ? "job-dismiss" : command, json_pack("{s:s}", "id", id), NULL, NULL);
                told = true;
                g_usleep(POLL_US);
        }
        return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "QEMU does not end copying %s", part);
}

static bool drop_node(Qmp *qmp, const char *node, GError **error)
{
        bool there;
        return layers_is_node(qmp, node, &there, error) &&
               (!there || qmp_call(qmp, "blockdev-del", json_pack("{s:s}", "node-name", node), NULL, error));
}

static bool drop_file(Qmp *qmp, Vm *vm, const char *file, GError **error)
{
        g_autofree char *path = vm_layer_path(vm, file), *node = disk_layer_node(file);
        g_autofree char *node_file = g_strdup_printf("%s.file", node);
        HostlerVmHistory history;
        vm_history(vm, &history);
        bool needed = layers_has(&history, file);
        record_clear(&hostler_vm_history_type, &history);
        if (needed)
                return true;
        if (qmp && (!drop_node(qmp, node, error) || !drop_node(qmp, node_file, error)))
                return false;
        return volume_delete(path, error);
}

static bool drop_old(Qmp *qmp, Vm *vm, const json_t *args, GError **error)
{
        json_t *entry;
        size_t i;
        bool ok = true;
        json_array_foreach (json_object_get(args, "old"), i, entry)
                ok = ok && drop_file(qmp, vm, json_string_value(entry), error);
        return ok;
}

static bool take_back(Vm *vm, const json_t *args, GError **error)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        return (!qmp || end_job(qmp, text_of(args, "part"), "job-cancel", error)) &&
               drop_file(qmp, vm, text_of(args, "file"), error);
}

bool operation_move_undo(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        g_autoptr(GError) problem = NULL;
        if (!vm || take_back(vm, args, &problem))
                return true;
        if (vm_died(vm))
                return take_back(vm, args, error);
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

static void set_pool(HostlerSpec *spec, const char *part, const char *pool)
{
        HostlerDiskProps *disk = (HostlerDiskProps *)disk_of(spec, part);
        if (!disk)
                return;
        g_free(disk->pool);
        disk->pool = pool && strcmp(pool, POOL_DEFAULT) != 0 ? g_strdup(pool) : NULL;
}

/* The disk is @file, in @pool: spec, run and layers in one write. */
static bool write_down(Vm *vm, const char *part, const char *pool, const json_t *files, GError **error)
{
        HostlerVmHistory history;
        HostlerVmRuntime runtime;
        HostlerSpec copy;
        g_autoptr(Spec) before = vm_spec(vm);
        const char *below = NULL;
        layers_history(vm, &history);
        if (g_strcmp0(layers_head(&history, part), json_string_value(json_array_get(files, 0))) == 0) {
                record_clear(&hostler_vm_history_type, &history);
                return true;
        }
        g_autoptr(GPtrArray) chain = layers_chain(&history, part);
        g_autoptr(GPtrArray) gone = g_ptr_array_copy(chain, (GCopyFunc)(void (*)(void))g_strdup, NULL);
        g_ptr_array_set_free_func(gone, g_free);
        layers_drop(&history, part);
        for (guint i = 0; i < gone->len; i++)
                layers_gone(&history, gone->pdata[i]);
        for (size_t i = json_array_size(files); i > 0; i--) {
                const char *file = json_string_value(json_array_get(files, i - 1));
                if (below)
                        layers_go_on(&history, part, file, below);
                else
                        layers_add(&history, part, file);
                below = file;
        }
        record_copy(&hostler_spec_type, &before->value, &copy);
        set_pool(&copy, part, pool);
        g_autoptr(Spec) spec = spec_new(&copy);
        vm_runtime(vm, &runtime);
        set_pool(&runtime.launched, part, pool);
        bool ok = vm_replace(vm, spec, &runtime, &history, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* Whether the row says that the disk is the copy. */
static bool is_written_down(Vm *vm, const json_t *args)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        bool is = g_strcmp0(layers_head(&history, text_of(args, "part")), text_of(args, "file")) == 0;
        record_clear(&hostler_vm_history_type, &history);
        return is;
}

static bool write_copy_down(Vm *vm, const json_t *args, GError **error)
{
        json_auto_t *files = json_pack("[s]", text_of(args, "file"));
        return write_down(vm, text_of(args, "part"), text_of(args, "pool"), files, error);
}

/* The disk is again, or still, what it was. */
static bool give_up(Vm *vm, const json_t *args, const char *why, GError **error)
{
        json_t *old = json_object_get(args, "old");
        g_autofree char *pool = pools_of_layer(json_string_value(json_array_get(old, 0)));
        return write_down(vm, text_of(args, "part"), pool, old, error) &&
               operation_move_undo(vm_manager(vm), args, error) &&
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s copying %s; it is where it was", why,
                         text_of(args, "part"));
}

/*
 * Until QEMU holds the guest's requests back, with both the same; should the daemon die now, they wait for the next
 * one, as the guest does that stands still for a snapshot. False without an error: it has given up.
 */
static bool hold_back(Qmp *qmp, const char *part, GError **error)
{
        g_autofree char *id = job_name(part);
        for (int i = 0; i < PIVOT_POLLS; i++) {
                json_auto_t *entry = find_job(qmp, part, error);
                const char *status = entry ? text_of(entry, "status") : "";
                if (strcmp(status, "pending") == 0)
                        return true;
                if (!entry || strcmp(status, "concluded") == 0)
                        return false;
                if (strcmp(status, "ready") == 0)
                        qmp_call(qmp, "job-complete", json_pack("{s:s}", "id", id), NULL, NULL);
                g_usleep(i == 0 ? FIRST_POLL_US : POLL_US);
        }
        return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "QEMU does not end copying %s", part);
}

/* The guest goes on in the copy; when QEMU cannot any more, in the old file, and the row says so. */
static bool pivot(Vm *vm, Qmp *qmp, const json_t *args, GError **error)
{
        const char *part = text_of(args, "part"), *file = text_of(args, "file");
        g_autofree char *node = disk_layer_node(file);
        g_autoptr(GError) problem = NULL;
        bool has = false;
        if (!has_root(qmp, vm, part, file, &has, error))
                return false;
        bool held = !has && hold_back(qmp, part, &problem);
        if (held && !layers_flush(qmp, node, &problem)) {
                g_autofree char *why = g_strdup_printf("%s, so QEMU has given up", problem->message);
                return give_up(vm, args, why, error);
        }
        if (held && (!write_copy_down(vm, args, error) || !end_job(qmp, part, "job-finalize", error) ||
                     !has_root(qmp, vm, part, file, &has, error)))
                return false;
        if (problem) {
                g_propagate_error(error, g_steal_pointer(&problem));
                return false;
        }
        return has ? drop_old(qmp, vm, args, error) : give_up(vm, args, "QEMU has given up", error);
}

/* Without a QEMU: the row says which one is right, and of a copy that was made while the VM was off that it is. */
static bool settle(Vm *vm, const json_t *args, GError **error)
{
        if (json_is_true(json_object_get(args, "live")) && !is_written_down(vm, args))
                return give_up(vm, args, "QEMU has died while it was", error);
        return write_copy_down(vm, args, error) && drop_old(NULL, vm, args, error);
}

bool operation_move_finish(Manager *manager, const json_t *args, GError **error)
{
        g_autoptr(Vm) vm = vm_of(manager, args);
        if (!vm)
                return true;
        g_autoptr(GError) problem = NULL;
        g_autoptr(Qmp) qmp = vm_is_live(vm) ? vm_require_qmp(vm, &problem) : NULL;
        if (qmp && pivot(vm, qmp, args, &problem))
                return true;
        if (!vm_is_live(vm) || vm_died(vm))
                return settle(vm, args, error);
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

/* ---- the verb ---- */

static bool copy(Moving *moving, GError **error)
{
        if (!job_undo(moving->job, "move-undo", json_incref(moving->where), error) ||
            !vm_prepare_layer(moving->vm, text_of(moving->where, "file"), error))
                return false;
        return json_is_true(json_object_get(moving->where, "live")) ? copy_live(moving, error)
                                                                    : copy_offline(moving, error);
}

static bool move(Moving *moving, GError **error)
{
        Manager *manager = job_manager(moving->job);
        g_autofree char *object = vm_object(moving->vm);
        const char *pool = text_of(moving->where, "pool");
        if (job_step(moving->job, "copy", "copy %s to pool %s", moving->part, pool) && !copy(moving, error))
                return false;
        if (!job_step(moving->job, "switch", "go on with the copy, and delete the old one"))
                return true;
        if (!job_finish(moving->job, "move-finish", json_incref(moving->where), error) ||
            !job_commit(moving->job, error) || !operation_move_finish(manager, moving->where, error))
                return false;
        event_emit(manager_events(manager), "disk-moved", object,
                   json_pack("{s:s, s:s}", "disk", moving->part, "pool", pool));
        return true;
}

static bool check(Moving *moving, const HostlerDiskMoveArgs *args, const HostlerDiskProps *disk, GError **error)
{
        g_autofree char *object = vm_object(moving->vm);
        HostlerVmRuntime runtime;
        if (!disk)
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no disk called %s", args->disk);
        if (!check_pool(vm_manager(moving->vm), args->pool, disk->format, error) ||
            !layers_check_state(moving->vm, "move its disks", error) || !check_layers(moving, error))
                return false;
        vm_runtime(moving->vm, &runtime);
        bool waits = vm_is_live(moving->vm) && !spec_part(&runtime.launched, args->disk);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return !waits ||
               error_set(error, HOSTLER_ERROR_WRONG_STATE, object,
                         "%s is attached at the next start; it can be moved then, or while the VM is off", args->disk);
}

bool disk_move(Job *job, const HostlerDiskMoveArgs *args, HostlerDiskInfo *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        record_init(&hostler_disk_info_type, ret_result);
        if (!vm)
                return false;
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerDiskProps *disk = disk_of(&spec->value, args->disk);
        g_auto(Moving) moving = {.job = job, .vm = vm, .part = args->disk};
        layers_history(vm, &moving.history);
        if (!check(&moving, args, disk, error) || !find_image(&moving, disk, error))
                return false;
        if (!is_there(&moving, args->pool)) {
                decide(&moving, disk, args->pool);
                if (!move(&moving, error))
                        return false;
        }
        return vm_disk_info(vm, args->disk, ret_result);
}
