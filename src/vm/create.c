/*
 * create: from an image and properties to a VM with its disks. The whole spec is checked before anything is made; until
 * the point of no return a failure leaves nothing behind.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "storage/volume.h"
#include "vm/host_check.h"
#include "vm/manager.h"
#include "vm/parts.h"
#include "vm/pool/pools.h"

#define START_TIMEOUT_MS (10 * 60 * 1000)

/* ---- the spec ---- */

static void set(json_t *spec, const char *part, const char *property, json_t *value_taken)
{
        json_t *object = json_object_get(spec, part);
        if (!object) {
                object = json_object();
                json_object_set_new(spec, part, object);
        }
        json_object_set_new(object, property, value_taken);
}

static void set_size(json_t *spec, const char *part, const char *property, int64_t value)
{
        if (value != HOSTLER_UNSET)
                set(spec, part, property, json_integer(value));
}

static void spec_from_image(json_t *spec, const HostlerImage *image)
{
        set(spec, "disk0", "image", json_string(image->name));
        if (image->kernel)
                set(spec, "boot", "image", json_string(image->name));
}

static void spec_from_seed(json_t *spec, const HostlerVmCreateArgs *args, const HostlerImage *image)
{
        if (!image->cloud_init && !args->user && !args->ssh_key && !args->user_data)
                return;
        set(spec, "seed", "kind", json_string("seed"));
        if (args->user)
                set(spec, "seed", "user", json_string(args->user));
        if (args->ssh_key)
                set(spec, "seed", "ssh_key", json_string(args->ssh_key));
        if (args->user_data)
                set(spec, "seed", "user_data", json_string(args->user_data));
}

/* RFC 7396, as far as specs go: two levels. */
static void merge(json_t *spec, const json_t *patch)
{
        const char *name;
        json_t *part;
        json_object_foreach ((json_t *)patch, name, part) {
                json_t *mine = json_object_get(spec, name);
                if (json_is_null(part))
                        json_object_del(spec, name);
                else if (mine && json_is_object(part))
                        json_object_update(mine, part);
                else
                        json_object_set(spec, name, part);
        }
}

/* What the request says in its short forms, with its properties on top. @image NULL: none. */
static json_t *requested_spec(const HostlerVmCreateArgs *args, const HostlerImage *image)
{
        json_t *spec = json_object();
        set(spec, "nic0", "kind", json_string("nic"));
        if (image) {
                spec_from_image(spec, image);
                spec_from_seed(spec, args, image);
        }
        set_size(spec, "cpu", "count", args->cpus);
        set_size(spec, "memory", "size", args->memory);
        set_size(spec, "disk0", "size", args->disk);
        if (args->spec) {
                json_auto_t *patch = json_loads(args->spec, 0, NULL);
                merge(spec, patch);
        }
        return spec;
}

/* What is left open is decided now and written down, so that it never changes by itself later. */
static void settle_part(const char *vm_id, HostlerPart *part, const HostlerImage *image)
{
        vm_settle_part(vm_id, part);
        if (strcmp(part->kind, "disk") == 0) {
                HostlerDiskProps *disk = part->props;
                if (image && g_strcmp0(disk->image, image->name) == 0 && disk->size == HOSTLER_UNSET)
                        disk->size = image->size;
        }
}

static void check_disk_size(const HostlerPart *part, const HostlerImage *image, GPtrArray *faults)
{
        const HostlerDiskProps *disk = part->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/size", part->name);
        if (strcmp(part->kind, "disk") == 0 && image && g_strcmp0(disk->image, image->name) == 0 &&
            disk->size < image->size)
                faults_add(faults, pointer, "smaller than its image, which has %" G_GINT64_FORMAT " bytes",
                           image->size);
}

static bool make_spec(Manager *manager, const char *vm_id, const HostlerVmCreateArgs *args, HostlerSpec *ret_spec,
                      GError **error)
{
        HostlerImage image;
        bool has_image = args->image != NULL;
        if (has_image && !image_find(manager_image_dir(manager), args->image, &image, error))
                return false;
        json_auto_t *json = requested_spec(args, has_image ? &image : NULL);
        HostlerSpec empty = {0};
        g_autoptr(GPtrArray) faults = faults_new();
        g_autofree char *object = g_strdup_printf("vm/%s", args->name);
        bool ok = spec_merge(&empty, json, "/spec", ret_spec, error);
        for (size_t i = 0; ok && i < ret_spec->count; i++) {
                settle_part(vm_id, &ret_spec->items[i], has_image ? &image : NULL);
                check_disk_size(&ret_spec->items[i], has_image ? &image : NULL, faults);
        }
        if (ok)
                device_settle(ret_spec);
        if (has_image)
                record_clear(&hostler_image_type, &image);
        if (ok && !faults_check(faults, object, error)) {
                record_clear(&hostler_spec_type, ret_spec);
                return false;
        }
        return ok;
}

/* ---- disks ---- */

static bool make_disk(Manager *manager, Vm *vm, const HostlerPart *part, GError **error)
{
        const HostlerDiskProps *props = part->props;
        g_autofree char *file = vm_first_layer(part), *path = vm_layer_path(vm, file);
        g_auto(ImagePaths) image = {0};
        if (!vm_prepare_layer(vm, file, error))
                return false;
        if (!props->image)
                return volume_create_empty(path, props->size, error) && file_sync(path, error);
        if (!image_paths(manager_image_dir(manager), props->image, &image, error))
                return false;
        return volume_create_overlay(path, image.disk, "qcow2", props->size, error) && file_sync(path, error);
}

static bool make_disks(Job *job, Vm *vm, const HostlerSpec *spec, GError **error)
{
        if (job_step(job, "folder", "make the VM's folder") && !dir_ensure(vm_dir(vm), error))
                return false;
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                if (strcmp(part->kind, "disk") == 0 && job_step(job, "disk", "create %s", part->name) &&
                    !make_disk(job_manager(job), vm, part, error))
                        return false;
        }
        return true;
}

/* ---- the verb ---- */

/* The VM's history as its row will have it. Caller frees. */
static char *note_layers(Vm *vm, const HostlerSpec *spec)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "disk") == 0)
                        vm_note_first_layer(&history, &spec->items[i]);
        vm_keep_history(vm, &history);
        json_auto_t *json = record_to_json(&hostler_vm_history_type, &history, RECORD_STORED);
        record_clear(&hostler_vm_history_type, &history);
        return json_dumps(json, JSON_COMPACT);
}

static bool store_row(Manager *manager, Vm *vm, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *name = vm_name(vm);
        json_auto_t *json = record_to_json(&hostler_spec_type, &spec->value, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT), *history = note_layers(vm, &spec->value);
        VmRow row = {.id = (char *)vm_id(vm),
                     .name = name,
                     .spec = text,
                     .runtime = (char *)"{}",
                     .history = history,
                     .generation = 1,
                     .created_ms = clock_unix_ms()};
        return store_vm_insert(manager_store(manager), &row, error) && manager_add(manager, vm, error);
}

static bool make_vm(Job *job, Vm *vm, GError **error)
{
        Manager *manager = job_manager(job);
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *object = vm_object(vm);
        if (!job_is_dry_run(job) && !job_undo(job, "vm-forget", pools_forget_args(vm), error))
                return false;
        if (!make_disks(job, vm, &spec->value, error))
                return false;
        if (!job_step(job, "store", "store the VM"))
                return true;
        if (!job_remember(job, "vm", json_string(vm_id(vm)), error) || !store_row(manager, vm, error) ||
            !job_commit(job, error))
                return false;
        event_emit(manager_events(manager), "vm-created", object, NULL);
        return true;
}

/* A job of its own, with the VM's turn: what comes next for this VM queues behind it. */
static bool start_new(Job *job, Vm *vm, GError **error)
{
        g_autofree char *object = vm_object(vm), *key = g_strdup_printf("vm/%s", vm_id(vm)), *id = NULL;
        HostlerVmStartArgs args = {.vm = (char *)vm_id(vm)};
        HostlerJob started;
        JobRequest request = {.verb = verb_handler(verb_find("vm", "start")),
                              .args = &args,
                              .object = object,
                              .turn_key = key,
                              .caller = job_caller(job)};
        if (!job_step(job, "start", "start it"))
                return true;
        if (!job_submit(manager_jobs(job_manager(job)), &request, &id, error) ||
            !job_wait(manager_jobs(job_manager(job)), id, START_TIMEOUT_MS, error) ||
            !job_get(manager_jobs(job_manager(job)), id, &started, error))
                return false;
        json_auto_t *problem = started.error ? json_loads(started.error, JSON_DECODE_ANY, NULL) : NULL;
        record_clear(&hostler_job_type, &started);
        if (!problem)
                return true;
        g_propagate_prefixed_error(error, error_from_json(problem), "the VM was created, but could not be started: ");
        return false;
}

static Vm *new_vm(Job *job, const HostlerVmCreateArgs *args, GError **error)
{
        Manager *manager = job_manager(job);
        HostlerSpec wanted;
        g_autofree char *id = g_uuid_string_random();
        if (!manager_name_is_free(manager, args->name, NULL, error) || !make_spec(manager, id, args, &wanted, error))
                return NULL;
        g_autoptr(Vm) vm = vm_new(manager, id, args->name, spec_new(&wanted), 1, clock_unix_ms());
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *object = vm_object(vm);
        g_auto(VmContext) context = {0};
        vm_context_init(&context, manager, vm, &spec->value, NULL);
        if (!vm_check_spec(manager, vm, &spec->value, error) ||
            !host_check(job, &context.context, NULL, object, error) || !make_vm(job, vm, error))
                return NULL;
        return g_steal_pointer(&vm);
}

/*
 * Run again after a crash of the daemon: the VM that was stored already, or NULL. One that was not is made anew; what
 * was there of its folder is swept up by then.
 */
static Vm *vm_made_before(Job *job)
{
        const json_t *id = job_recall(job, "vm");
        return id ? manager_vm_ready(job_manager(job), json_string_value(id), NULL) : NULL;
}

bool vm_create(Job *job, const HostlerVmCreateArgs *args, HostlerVm *ret_result, GError **error)
{
        g_autoptr(Vm) vm = vm_made_before(job);
        if (vm ? !job_commit(job, error) : !(vm = new_vm(job, args, error)))
                return false;
        if (args->start && !start_new(job, vm, error))
                return false;
        vm_info(vm, ret_result);
        return true;
}
