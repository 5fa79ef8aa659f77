/*
 * The volume of a disk as the disk comes, grows and goes. See disk_volume.h. Called by change.c and by the verbs that
 * add and remove disks.
 */
#include "vm/pool/disk_volume.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/volume.h"
#include "storage/volume_tool.h"
#include "vm/pool/unattached.h"
#include "vm/snapshot/layers_work.h"

#define CHOSEN "volume"

static const char *text_of(const json_t *object, const char *member)
{
        return json_string_value(json_object_get(object, member));
}

/* ---- coming ---- */

static json_t *look_at(Job *job, const char *word, GError **error)
{
        g_auto(Unattached) volume = {0};
        g_auto(VolumeInfo) info = {0};
        const char *slash = strchr(word, '/');
        g_autofree char *pool = g_strndup(word, slash ? (gsize)(slash - word) : 0);
        if (!slash) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "a volume is named POOL/NAME: default/%s?", word);
                return NULL;
        }
        if (!unattached_find(job_manager(job), pool, slash + 1, &volume, error) ||
            !volume_info(volume.path, &info, error))
                return NULL;
        return json_pack("{s:s, s:s, s:I}", "pool", pool, "file", volume.file, "size", (json_int_t)info.size_bytes);
}

json_t *disk_volume_choose(Job *job, const char *word, GError **error)
{
        const json_t *known = job_recall(job, CHOSEN);
        json_auto_t *chosen = known ? json_incref((json_t *)known) : look_at(job, word, error);
        if (!chosen || (!known && !job_is_dry_run(job) && !job_remember(job, CHOSEN, json_incref(chosen), error)))
                return NULL;
        json_t *props = json_pack("{s:O, s:s}", "size", json_object_get(chosen, "size"), "format",
                                  volume_format(text_of(chosen, "file")));
        if (strcmp(text_of(chosen, "pool"), POOL_DEFAULT) != 0)
                json_object_set(props, "pool", json_object_get(chosen, "pool"));
        return props;
}

/* The chosen volume moves to where @part's first layer, @name, is. */
static bool attach(Job *job, Vm *vm, const HostlerPart *part, const json_t *chosen, const char *name, GError **error)
{
        const char *pool = text_of(chosen, "pool"), *file = text_of(chosen, "file");
        g_autofree char *from = pools_kept(job_manager(job), pool, file, error), *to = vm_layer_path(vm, name);
        if (!from || !job_undo(job, "volume-return",
                               json_pack("{s:s, s:s, s:s, s:s, s:s}", "vm", vm_id(vm), "part", part->name, "layer",
                                         name, "pool", pool, "file", file),
                               error))
                return false;
        /* An interrupted run may have moved it. */
        bool moved = !g_file_test(from, G_FILE_TEST_EXISTS) && g_file_test(to, G_FILE_TEST_EXISTS);
        return vm_place_disk(vm, part, error) && (moved || unattached_move(from, to, error)) && file_sync(to, error);
}

static bool make(Job *job, Vm *vm, const HostlerPart *part, const char *name, const char *path, GError **error)
{
        const HostlerDiskProps *props = part->props;
        return job_undo(job, "disk-forget",
                        json_pack("{s:s, s:s, s:s}", "vm", vm_id(vm), "part", part->name, "layer", name), error) &&
               vm_place_disk(vm, part, error) && volume_delete(path, error) &&
               volume_create_empty(path, props->size, error) && file_sync(path, error);
}

bool disk_volume_make(Job *job, Vm *vm, const HostlerPart *part, GError **error)
{
        g_autofree char *name = vm_first_layer(part), *path = vm_layer_path(vm, name);
        g_autofree char *fact = g_strdup_printf("volume %s", part->name);
        const json_t *chosen = job_recall(job, CHOSEN);
        /* What this very job began to make before a crash is made anew; any other file of that name is somebody's. */
        if (!job_recall(job, fact) && g_file_test(path, G_FILE_TEST_EXISTS)) {
                error_set(error, HOSTLER_ERROR_EXISTS, NULL, "there is a file %s already, held by a snapshot or clone",
                          name);
                return error_hint(error, "give the disk another name");
        }
        if (!job_step(job, "volume", chosen ? "make %s of the volume" : "create disk %s", part->name))
                return true;
        return job_remember(job, fact, json_true(), error) &&
               (chosen ? attach(job, vm, part, chosen, name, error) : make(job, vm, part, name, path, error));
}

bool operation_volume_return(Manager *manager, const json_t *args, GError **error)
{
        const char *id = text_of(args, "vm"), *part = text_of(args, "part"), *layer = text_of(args, "layer");
        g_autoptr(Vm) vm = manager_vm(manager, id ? id : "", NULL);
        HostlerVmHistory history;
        if (!vm || !part || !layer)
                return true;
        g_autofree char *from = vm_layer_path(vm, layer);
        g_autofree char *to = pools_kept(manager, text_of(args, "pool"), text_of(args, "file"), error);
        if (!to || (g_file_test(from, G_FILE_TEST_EXISTS) && !unattached_move(from, to, error)))
                return false;
        vm_history(vm, &history);
        bool known = g_strcmp0(layers_head(&history, part), layer) == 0, ok = true;
        if (known) {
                layers_drop(&history, part);
                layers_gone(&history, layer);
                ok = vm_set_history(vm, &history, error);
        }
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* ---- growing ---- */

/* Those below the head, too: it may be merged into them one day. */
bool disk_volume_make_room(Vm *vm, const HostlerPart *part, GError **error)
{
        const HostlerDiskProps *props = part->props;
        g_auto(GStrv) files = vm_disk_files(vm, part->name);
        for (size_t i = 0; files[i] && disk_file_is_of(vm_dir(vm), vm_id(vm), files[i]); i++)
                if (!volume_make_room(files[i], props->size, error))
                        return false;
        return true;
}

bool disk_volume_grow(Job *job, Vm *vm, const HostlerPart *part, GError **error)
{
        g_autofree char *path = vm_disk_head(vm, part->name);
        const HostlerDiskProps *props = part->props;
        return !job_step(job, "grow", "grow disk %s", part->name) ||
               (disk_volume_make_room(vm, part, error) && volume_grow(path, props->size, job_cancellable(job), error));
}

/* ---- going ---- */

/* The disk's head as the history has it. Caller frees. */
static char *head_of(Vm *vm, const char *disk)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        const char *head = layers_head(&history, disk);
        char *file = head ? g_strdup(head) : disk_file_name(disk);
        record_clear(&hostler_vm_history_type, &history);
        return file;
}

static void tell_progress(double percent, void *data)
{
        job_progress(data, percent, "copying what it stands on");
}

static bool make_whole(Job *job, const char *path, GError **error)
{
        const VolumeTool tool = {.progress = tell_progress, .data = job, .cancellable = job_cancellable(job)};
        g_auto(VolumeInfo) info = {0};
        return volume_info(path, &info, error) && (!info.backing || volume_tool_rebase(&tool, path, NULL, error));
}

/* Decided once: afterwards the VM may not know the disk any more. @ret_keeping: {from, to, pool}, owned by the caller.
 */
static bool decide(Job *job, Vm *vm, const char *disk, json_t **ret_keeping, GError **error)
{
        g_autofree char *fact = g_strdup_printf("keep %s", disk), *head = head_of(vm, disk);
        g_autofree char *pool = pools_of_layer(head), *from = vm_layer_path(vm, head);
        g_autofree char *to = unattached_name(vm, disk, head);
        const json_t *known = job_recall(job, fact);
        *ret_keeping = known ? json_incref((json_t *)known)
                             : json_pack("{s:s, s:s, s:s}", "from", from, "to", to, "pool", pool ? pool : POOL_DEFAULT);
        return known || job_is_dry_run(job) || job_remember(job, fact, json_incref(*ret_keeping), error);
}

static bool check_clones(Vm *vm, const char *disk, GError **error)
{
        HostlerVmHistory pins;
        g_autofree char *head = head_of(vm, disk), *object = vm_object(vm);
        record_init(&hostler_vm_history_type, &pins);
        vm_pins(vm, &pins);
        bool pinned = false;
        for (size_t i = 0; i < pins.pins.count; i++)
                pinned = pinned || strcmp(pins.pins.items[i].file, head) == 0;
        record_clear(&hostler_vm_history_type, &pins);
        return !pinned || error_set(error, HOSTLER_ERROR_BUSY, object, "a linked clone stands on %s", disk);
}

bool disk_volume_prepare_keep(Job *job, Vm *vm, const char *disk, GError **error)
{
        json_auto_t *keeping = NULL;
        return check_clones(vm, disk, error) && decide(job, vm, disk, &keeping, error);
}

bool disk_volume_keep(Job *job, Vm *vm, const char *disk, GError **error)
{
        json_auto_t *keeping = NULL;
        if (!decide(job, vm, disk, &keeping, error))
                return false;
        const char *from = text_of(keeping, "from"), *file = text_of(keeping, "to");
        if (!job_step(job, "keep", "keep %s as volume %s", disk, file))
                return true;
        g_autofree char *to = pools_kept(job_manager(job), text_of(keeping, "pool"), file, error);
        if (!to)
                return false;
        if (!g_file_test(from, G_FILE_TEST_EXISTS) && g_file_test(to, G_FILE_TEST_EXISTS))
                return true; /* an interrupted run has moved it */
        return make_whole(job, from, error) && unattached_move(from, to, error) && file_sync(to, error);
}
