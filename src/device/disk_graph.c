/*
 * The files that a disk is made of, as a block graph: its image's, if it stands on one, and the layers in the VM's
 * folder (one, unless there are snapshots), the head last. Called by disk.c and disk_live.c, and by the vm layer, which
 * makes and merges the files.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "device/disk.h"

#define QCOW2 ".qcow2"
#define RAW ".raw"
#define COMMIT_POLL_US 2000
#define COMMIT_LIMIT_MS 30000

char *disk_file_name(const char *part)
{
        return g_strconcat(part, QCOW2, NULL);
}

char *disk_first_file(const HostlerPart *disk)
{
        bool raw = ((const HostlerDiskProps *)disk->props)->format == HOSTLER_DISK_FORMAT_RAW;
        return g_strconcat(disk->name, raw ? RAW : QCOW2, NULL);
}

char *disk_layer_node(const char *file)
{
        g_autofree char *name = g_path_get_basename(file);
        bool raw = g_str_has_suffix(name, RAW);
        gsize length = strlen(name) - (raw ? strlen(RAW) : g_str_has_suffix(name, QCOW2) ? strlen(QCOW2) : 0);
        /* No part has this letter in its name, so no other disk's layer is called so. */
        return g_strdup_printf("%.*s%s", (int)length, name, raw ? "_raw" : "");
}

/* ---- the graph ---- */

/* The disk's files, head first; g_strfreev. */
static char **files_of(const DeviceContext *context, const HostlerPart *part)
{
        char **files = context->disk_files ? context->disk_files(part->name, context->data) : NULL;
        g_autofree char *name = disk_first_file(part);
        if (files)
                return files;
        files = g_new0(char *, 2);
        files[0] = g_build_filename(context->vm_dir, name, NULL);
        return files;
}

bool disk_file_is_of(const char *vm_dir, const char *vm_id, const char *path)
{
        g_autofree char *folder = g_path_get_dirname(path), *owner = g_path_get_basename(folder);
        return strcmp(folder, vm_dir) == 0 || strcmp(owner, vm_id) == 0;
}

/* Of the files of a disk, number @index from the bottom: those of another VM may be called like its own. */
static char *node_of(const DeviceContext *context, const HostlerPart *part, const char *path, guint index)
{
        bool own = disk_file_is_of(context->vm_dir, context->vm_id, path);
        return own ? disk_layer_node(path) : g_strdup_printf("%s.o%u", part->name, index);
}

/* Takes both strings. */
static void add_layer(const DeviceContext *context, DiskGraph *disk, char *node_taken, char *path_taken, bool mergeable)
{
        json_t *file = context->disk_node ? context->disk_node(path_taken, context->data) : NULL;
        BlockLayer layer = {
            .node = node_taken,
            .path = path_taken,
            .file = file,
            .qcow2 = !g_str_has_suffix(path_taken, RAW),
            .mergeable = mergeable,
        };
        json_array_append_new(disk->nodes, file ? file : json_null());
        g_ptr_array_add(disk->strings, node_taken);
        g_ptr_array_add(disk->strings, path_taken);
        g_array_append_val(disk->layers, layer);
}

static bool add_image(const DeviceContext *context, const HostlerPart *part, DiskGraph *disk)
{
        const HostlerDiskProps *props = part->props;
        DeviceImage image = {0};
        if (!props->image)
                return true;
        if (!context->image(props->image, &image, context->data))
                return false;
        add_layer(context, disk, g_strdup_printf("%s.base", part->name), g_strdup(image.disk), false);
        return true;
}

/* What holds for all layers; the caller adds them. */
static void graph_init(const DeviceContext *context, const HostlerPart *part, DiskGraph *ret_disk)
{
        const HostlerDiskProps *props = part->props;
        *ret_disk = (DiskGraph){
            .layers = g_array_new(FALSE, FALSE, sizeof(BlockLayer)),
            .strings = g_ptr_array_new_with_free_func(g_free),
            .nodes = json_array(),
            .graph = {.readonly = props->readonly,
                      .cache = props->cache,
                      .aio = props->aio,
                      .discard = props->discard,
                      .zeroes = props->detect_zeroes,
                      .memory_bytes = block_memory_bytes(context, part, props->memory)},
        };
}

static void graph_seal(DiskGraph *disk)
{
        disk->graph.layers = (const BlockLayer *)disk->layers->data;
        disk->graph.n_layers = disk->layers->len;
}

bool disk_graph(const DeviceContext *context, const HostlerPart *part, DiskGraph *ret_disk)
{
        g_auto(GStrv) files = files_of(context, part);
        guint count = g_strv_length(files);
        graph_init(context, part, ret_disk);
        bool ok = add_image(context, part, ret_disk);
        for (guint i = count; i > 0; i--)
                add_layer(context, ret_disk, node_of(context, part, files[i - 1], count - i), g_strdup(files[i - 1]),
                          true);
        graph_seal(ret_disk);
        return ok;
}

void disk_graph_clear(DiskGraph *disk)
{
        g_clear_pointer(&disk->layers, g_array_unref);
        g_clear_pointer(&disk->strings, g_ptr_array_unref);
        g_clear_pointer(&disk->nodes, json_decref);
}

const BlockLayer *disk_graph_head(const DiskGraph *disk)
{
        return &disk->graph.layers[disk->graph.n_layers - 1];
}

void disk_plan_layer(const DeviceContext *context, const HostlerPart *part, const char *path, Plan *plan)
{
        g_auto(DiskGraph) disk = {0};
        graph_init(context, part, &disk);
        disk.graph.readonly = false;
        add_layer(context, &disk, disk_layer_node(path), g_strdup(path), true);
        graph_seal(&disk);
        block_plan(&disk.graph, plan);
}

void disk_plan_copy(const DeviceContext *context, const HostlerPart *part, const char *path, Plan *plan)
{
        g_auto(DiskGraph) disk = {0};
        graph_init(context, part, &disk);
        disk.graph.readonly = false;
        add_image(context, part, &disk);
        add_layer(context, &disk, disk_layer_node(path), g_strdup(path), true);
        graph_seal(&disk);
        block_plan_head(&disk.graph, plan);
}

/* ---- folding ---- */

/* @ret_status: of block job @id, NULL when it is gone. Caller frees. */
static bool job_status(Qmp *qmp, const char *id, char **ret_status, GError **error)
{
        json_auto_t *jobs = NULL;
        json_t *entry;
        size_t i;
        *ret_status = NULL;
        if (!qmp_call(qmp, "query-jobs", NULL, &jobs, error))
                return false;
        json_array_foreach (jobs, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "id")), id) == 0)
                        *ret_status = g_strdup(json_string_value(json_object_get(entry, "status")));
        return true;
}

bool disk_commit_layer(Qmp *qmp, const char *node, const char *below, GError **error)
{
        int64_t end = clock_monotonic_ms() + COMMIT_LIMIT_MS;
        const char *id = "commit";
        if (!qmp_call(qmp, "block-commit",
                      json_pack("{s:s, s:s, s:s}", "job-id", id, "device", node, "base-node", below), NULL, error))
                return false;
        for (;;) {
                g_autofree char *status = NULL;
                if (!job_status(qmp, id, &status, error))
                        return false;
                if (!status)
                        return true;
                if (strcmp(status, "ready") == 0 &&
                    !qmp_call(qmp, "job-complete", json_pack("{s:s}", "id", id), NULL, error))
                        return false;
                if (clock_monotonic_ms() >= end)
                        return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "QEMU does not finish folding %s", node);
                g_usleep(COMMIT_POLL_US);
        }
}
