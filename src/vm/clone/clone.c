/*
 * Clones. The source's disks each go on in a new layer; what they were until then is a moment that copies can stand on
 * (linked) or be made from (full) while the source runs on. A copy is a VM of its own from its first start.
 *
 * A linked clone's row says what its disks stand on, which is what keeps it there (vm_pins()). Until the row is written
 * the job has the source's turn, and a job that was cut off is undone before others run: nothing can take its ground.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "storage/volume_copy.h"
#include "storage/volume_tool.h"
#include "vm/clone/clone.h"
#include "vm/clone/instant.h"
#include "vm/clone/ready.h"
#include "vm/clone/template.h"
#include "vm/parts.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/keepsakes.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/snapshot.h"
#include "vm/warm/warm.h"

/* In the source's folder: its keepsakes of the moment that is cloned. */
#define KEEPSAKES "cloned.kept"

typedef struct {
        Job *job;
        Vm *asked;  /* the VM that people named */
        Vm *source; /* what the copies are made from: the same, or its ready one (ready.h); a reference */
        const HostlerVmCloneArgs *args;
        HostlerVmHistory history; /* of the source, with the heads that the clones stand on */
        GPtrArray *clones;        /* Vm, references */
} Cloning;

static void cloning_clear(Cloning *cloning)
{
        record_clear(&hostler_vm_history_type, &cloning->history);
        g_ptr_array_unref(cloning->clones);
        if (cloning->source)
                vm_unref(cloning->source);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cloning, cloning_clear)

/* ---- what speaks against it ---- */

static bool check_names(const Cloning *cloning, GError **error)
{
        char *const *names = cloning->args->names;
        for (size_t i = 0; names[i]; i++) {
                if (!manager_name_is_free(job_manager(cloning->job), names[i], NULL, error))
                        return false;
                for (size_t k = 0; k < i; k++)
                        if (strcmp(names[k], names[i]) == 0)
                                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is named twice", names[i]);
        }
        return cloning->args->linked + cloning->args->full + cloning->args->instant <= 1 ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "a clone is one of linked, full and instant, not both");
}

/* ---- one clone ---- */

Spec *clone_spec(const HostlerSpec *source, const char *id)
{
        HostlerSpec spec;
        record_copy(&hostler_spec_type, source, &spec);
        for (size_t i = 0; i < spec.count; i++) {
                HostlerPart *part = &spec.items[i];
                if (strcmp(part->kind, "nic") == 0) {
                        HostlerNicProps *nic = part->props;
                        g_clear_pointer(&nic->mac, g_free);
                        g_clear_pointer(&nic->forward, g_strfreev);
                } else if (strcmp(part->kind, "options") == 0) {
                        ((HostlerOptionsProps *)part->props)->template_ = false;
                } else if (strcmp(part->kind, "vsock") == 0) {
                        ((HostlerVsockProps *)part->props)->cid = HOSTLER_UNSET;
                } else if (strcmp(part->kind, "seed") == 0) {
                        g_clear_pointer(&((HostlerSeedProps *)part->props)->host_name, g_free);
                }
                vm_settle_part(id, part);
        }
        return spec_new(&spec);
}

/* One file that stands on nothing is copied as it is, which some file systems do in no time. */
static bool is_plain(const char *from, const char *to)
{
        g_auto(VolumeInfo) info = {0};
        return volume_is_raw(from) == volume_is_raw(to) && volume_info(from, &info, NULL) && !info.backing;
}

/* A whole copy of a frozen layer and all below it, but for an image: the copy stands on the same one. */
static bool copy_disk(Cloning *cloning, const char *from, const char *to, GError **error)
{
        const VolumeTool tool = {.cancellable = job_cancellable(cloning->job)};
        if (!volume_delete(to, error))
                return false;
        if (is_plain(from, to))
                return volume_copy(from, to, NULL, NULL, tool.cancellable, error);
        return volume_tool_convert(&tool, from, to, error);
}

/* The VM's own folder is synced when all is in it (keepsakes_place()). */
static bool sync_layer(Vm *clone, const char *path, GError **error)
{
        g_autofree char *folder = g_path_get_dirname(path);
        return strcmp(folder, vm_dir(clone)) == 0 ? file_sync_alone(path, error) : file_sync(path, error);
}

static bool make_disk(Cloning *cloning, Vm *clone, const HostlerDiskLayer *disk, HostlerVmHistory *history,
                      GError **error)
{
        g_autoptr(Spec) spec = vm_spec(clone);
        g_autofree char *file = vm_first_layer(spec_part(&spec->value, disk->part)), *to = vm_layer_path(clone, file);
        g_autofree char *from = vm_layer_path(cloning->source, disk->file);
        g_auto(VolumeInfo) info = {0};
        layers_add(history, disk->part, file);
        if (!vm_prepare_layer(clone, file, error))
                return false;
        if (cloning->args->full)
                return copy_disk(cloning, from, to, error);
        layers_set_origin(history, disk->part, vm_id(cloning->source), disk->part, disk->file);
        return volume_info(from, &info, error) &&
               volume_create_overlay(to, from, volume_format(from), info.size_bytes, error) &&
               sync_layer(clone, to, error);
}

static bool make_disks(Cloning *cloning, Vm *clone, HostlerVmHistory *history, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(clone);
        if (!dir_ensure(vm_dir(clone), error))
                return false;
        for (size_t i = 0; i < cloning->history.heads.count; i++) {
                const HostlerDiskLayer *disk = &cloning->history.heads.items[i];
                if (spec_part(&spec->value, disk->part) && !make_disk(cloning, clone, disk, history, error))
                        return false;
        }
        return true;
}

static bool make_keepsakes(const Cloning *cloning, Vm *clone, GError **error)
{
        g_autofree char *from = vm_path(cloning->source, KEEPSAKES), *to = vm_path(clone, KEEPSAKES);
        return keepsakes_duplicate(from, to, error) && keepsakes_place(to, vm_dir(clone), error);
}

/* A whole copy stands on nothing; a linked one is a qcow2 layer, whatever it stands on. */
static void settle_disks(HostlerSpec *spec, bool whole)
{
        for (size_t i = 0; i < spec->count; i++) {
                HostlerDiskProps *disk = spec->items[i].props;
                if (strcmp(spec->items[i].kind, "disk") != 0)
                        continue;
                if (whole)
                        g_clear_pointer(&disk->image, g_free);
                else
                        disk->format = HOSTLER_DISK_FORMAT_QCOW2;
        }
}

static bool store_row(Manager *manager, Vm *vm, const HostlerVmHistory *history, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *name = vm_name(vm);
        json_auto_t *json = record_to_json(&hostler_spec_type, &spec->value, RECORD_STORED);
        json_auto_t *past = record_to_json(&hostler_vm_history_type, history, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT), *past_text = json_dumps(past, JSON_COMPACT);
        VmRow row = {.id = (char *)vm_id(vm),
                     .name = name,
                     .spec = text,
                     .runtime = (char *)"{}",
                     .history = past_text,
                     .generation = 1,
                     .created_ms = clock_unix_ms()};
        vm_keep_history(vm, history);
        return store_vm_insert(manager_store(manager), &row, error) && manager_add(manager, vm, error);
}

static Vm *new_clone(const Cloning *cloning, const char *name)
{
        g_autoptr(Spec) source = vm_spec(cloning->source);
        g_autofree char *spare = cloning->args->instant ? warm_spare(cloning->source) : NULL;
        g_autofree char *id = spare ? g_steal_pointer(&spare) : g_uuid_string_random();
        Spec *spec = clone_spec(&source->value, id);
        settle_disks(&spec->value, cloning->args->full);
        return vm_new(job_manager(cloning->job), id, name, spec, 1, clock_unix_ms());
}

static bool make_clone(Cloning *cloning, const char *name, GError **error)
{
        Manager *manager = job_manager(cloning->job);
        g_autoptr(Vm) clone = new_clone(cloning, name);
        HostlerVmHistory history;
        record_init(&hostler_vm_history_type, &history);
        history.identity_of = vm_name(cloning->asked);
        bool ok = job_undo(cloning->job, "vm-forget", pools_forget_args(clone), error) &&
                  make_disks(cloning, clone, &history, error) && make_keepsakes(cloning, clone, error) &&
                  store_row(manager, clone, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        if (!ok)
                return false;
        g_ptr_array_add(cloning->clones, vm_ref(clone));
        return true;
}

static bool keep_keepsakes(Cloning *cloning, GError **error)
{
        g_autofree char *keepsakes = vm_path(cloning->source, KEEPSAKES);
        return !keepsakes_are_there(cloning->source) ||
               (job_undo(cloning->job, "dir-remove", json_pack("{s:s}", "path", keepsakes), error) &&
                keepsakes_copy(cloning->source, keepsakes, error));
}

Vm *clone_of_template(Job *job, Vm *source, const char *name, GError **error)
{
        HostlerVmCloneArgs args = {.linked = true};
        g_autofree char *keepsakes = vm_path(source, KEEPSAKES);
        g_auto(Cloning) cloning = {.job = job,
                                   .asked = source,
                                   .source = vm_ref(source),
                                   .args = &args,
                                   .clones = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref)};
        layers_history(source, &cloning.history);
        if (!keep_keepsakes(&cloning, error) || !make_clone(&cloning, name, error) || !dir_remove(keepsakes, error))
                return NULL;
        return vm_ref(cloning.clones->pdata[0]);
}

/* ---- the verb ---- */

static bool make_clones(Cloning *cloning, GError **error)
{
        for (size_t i = 0; cloning->args->names[i]; i++) {
                const char *name = cloning->args->names[i];
                if (job_step(cloning->job, "clone", "make %s", name) && !make_clone(cloning, name, error))
                        return false;
        }
        return true;
}

/* Instant clones go on where the source was. */
static bool start_clones(Cloning *cloning, GError **error)
{
        if (!cloning->args->instant)
                return true;
        if (!template_is(cloning->source) &&
            job_step(cloning->job, "mould", "bring the memory into a file that all can map") &&
            !instant_make_mould(cloning->job, cloning->source, cloning->clones->pdata[0], error))
                return false;
        if (job_step(cloning->job, "load", "start %u clones", g_strv_length(cloning->args->names)) &&
            !instant_load(cloning->job, cloning->source, cloning->clones, error))
                return false;
        /* Not before all are there: those that run would take the processors from those that start. */
        return !job_step(cloning->job, "run", "let them go on") || instant_go_on(cloning->job, cloning->clones, error);
}

/* The moment that is cloned: nothing that is written to the source later is in a clone. */
static bool hold_moment(Cloning *cloning, GError **error)
{
        g_autofree char *mould = vm_path(cloning->source, INSTANT_MOULD);
        bool instant = cloning->args->instant;
        /* A template does not change: clones stand right on its disks. */
        if (template_is(cloning->source))
                return job_is_dry_run(cloning->job) || keep_keepsakes(cloning, error);
        if (instant && !job_is_dry_run(cloning->job) &&
            !job_undo(cloning->job, "dir-remove", json_pack("{s:s}", "path", mould), error))
                return false;
        return snapshot_freeze(cloning->job, cloning->source, KEEPSAKES, instant ? INSTANT_FULL : NULL, error);
}

/* Those that a source has only while it is cloned. */
static bool finish_folders(Cloning *cloning, GError **error)
{
        g_autofree char *keepsakes = vm_path(cloning->source, KEEPSAKES),
                        *mould = vm_path(cloning->source, INSTANT_MOULD);
        bool brief = cloning->args->instant && !template_is(cloning->source);
        return (!keepsakes_are_there(cloning->source) ||
                job_finish(cloning->job, "dir-remove", json_pack("{s:s}", "path", keepsakes), error)) &&
               (!brief || job_finish(cloning->job, "dir-remove", json_pack("{s:s}", "path", mould), error)) &&
               job_commit(cloning->job, error) && dir_remove(keepsakes, error) && (!brief || dir_remove(mould, error));
}

static bool finish(Cloning *cloning, GError **error)
{
        g_autofree char *source = vm_name(cloning->asked);
        if (job_is_dry_run(cloning->job))
                return true;
        if (!finish_folders(cloning, error))
                return false;
        for (guint i = 0; i < cloning->clones->len; i++) {
                g_autofree char *object = vm_object(cloning->clones->pdata[i]);
                event_emit(manager_events(job_manager(cloning->job)), "vm-cloned", object,
                           json_pack("{s:s}", "source", source));
        }
        /* What was frozen for full copies is needed no more. */
        return layers_tidy(cloning->job, cloning->source, error);
}

bool vm_clone(Job *job, const HostlerVmCloneArgs *args, HostlerVmList *ret_result, GError **error)
{
        g_autoptr(Vm) source = manager_vm_ready(job_manager(job), args->vm, error);
        g_auto(Cloning) cloning = {.job = job,
                                   .asked = source,
                                   .args = args,
                                   .clones = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref)};
        *ret_result = (HostlerVmList){0};
        if (!source || !layers_check_state(source, "clone", error) || !ready_check_not(source, "clone", error) ||
            !check_names(&cloning, error))
                return false;
        cloning.source = args->instant && template_is(source) ? ready_vm(job, source, error) : vm_ref(source);
        if (!cloning.source)
                return false;
        layers_history(cloning.source, &cloning.history);
        bool planned = template_is(cloning.source) && cloning.source == source; /* not ready: a dry run */
        if (args->instant && !planned && !instant_check(cloning.source, g_strv_length(args->names), error))
                return false;
        if (!hold_moment(&cloning, error) || !make_clones(&cloning, error) || !start_clones(&cloning, error) ||
            !finish(&cloning, error))
                return false;
        ret_result->items = g_new0(HostlerVm, cloning.clones->len);
        for (guint i = 0; i < cloning.clones->len; i++)
                vm_info(cloning.clones->pdata[i], &ret_result->items[ret_result->count++]);
        return true;
}
