/*
 * Block graphs, and what disks and drives have in common in front of them. See block.h. Called by disk.c, medium.c and
 * the drives; knows no kind of part but by its model's bus.
 */
#include "device/block.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define CLUSTER_BYTES 65536LL
#define TABLE_COVERS (CLUSTER_BYTES / 8 * CLUSTER_BYTES) /* bytes of a disk behind one L2 table */
#define TABLES_MIN 2                                     /* QEMU keeps no fewer */

bool block_cache_is_direct(HostlerDiskCache cache)
{
        return cache == HOSTLER_DISK_CACHE_NONE || cache == HOSTLER_DISK_CACHE_DIRECTSYNC;
}

bool block_cache_is_through(HostlerDiskCache cache)
{
        return cache == HOSTLER_DISK_CACHE_WRITETHROUGH || cache == HOSTLER_DISK_CACHE_DIRECTSYNC;
}

int64_t block_tables_bytes(int64_t memory_bytes, int64_t size_bytes)
{
        int64_t all = (size_bytes + TABLE_COVERS - 1) / TABLE_COVERS;
        return MAX(MIN(memory_bytes / CLUSTER_BYTES, all), TABLES_MIN) * CLUSTER_BYTES;
}

/* ---- nodes ---- */

/* What says where the layer is. */
static json_t *place_of(const BlockLayer *layer)
{
        return layer->file
                   ? json_deep_copy(layer->file)
                   : json_pack("{s:s, s:s, s:s}", "driver", path_names_device(layer->path) ? "host_device" : "file",
                               "filename", layer->path, "locking", "on");
}

static json_t *file_node(const BlockGraph *graph, const BlockLayer *layer, bool last)
{
        g_autofree char *node = g_strdup_printf("%s.file", layer->node);
        bool lower = !last && layer->mergeable && !graph->readonly, readonly = last ? graph->readonly : !lower;
        json_auto_t *place = place_of(layer);
        json_t *args = json_pack("{s:O, s:s}", "driver", json_object_get(place, "driver"), "node-name", node);
        json_object_update_missing(args, place);
        bool own_direct = json_is_true(json_object_get(json_object_get(args, "cache"), "direct"));
        json_object_set_new(args, "read-only", json_boolean(readonly));
        json_object_set_new(args, "cache",
                            json_pack("{s:b, s:b}", "direct", own_direct || block_cache_is_direct(graph->cache),
                                      "no-flush", graph->cache == HOSTLER_DISK_CACHE_UNSAFE));
        if (lower)
                json_object_set_new(args, "auto-read-only", json_true());
        if (graph->aio > HOSTLER_DISK_AIO_THREADS && json_object_get(args, "locking"))
                json_object_set_new(args, "aio", json_string(hostler_disk_aio_enum.values[graph->aio]));
        return args;
}

/* @below NULL: the chain ends here, whatever the header says. */
static json_t *format_node(const BlockLayer *layer, const BlockLayer *below, bool readonly)
{
        g_autofree char *file = g_strdup_printf("%s.file", layer->node);
        json_t *args = json_pack("{s:s, s:s, s:s, s:b}", "driver", layer->qcow2 ? "qcow2" : "raw", "node-name",
                                 layer->node, "file", file, "read-only", readonly);
        if (layer->qcow2)
                json_object_set_new(args, "backing", below ? json_string(below->node) : json_null());
        return args;
}

/* What only the node that the device sees is told. */
static void add_options(const BlockGraph *graph, const BlockLayer *layer, json_t *args)
{
        if (!graph->readonly && graph->zeroes > HOSTLER_DISK_ZEROES_OFF)
                json_object_set_new(args, "detect-zeroes", json_string(hostler_disk_zeroes_enum.values[graph->zeroes]));
        if (layer->qcow2 && graph->memory_bytes != HOSTLER_UNSET)
                json_object_set_new(args, "l2-cache-size", json_integer(graph->memory_bytes));
}

/* Each node on the way to the host's file system has to hand a discard down. Said in any case: a node that is opened
 * anew keeps what it is not told. */
static void add_discard(const BlockGraph *graph, json_t *file, json_t *format)
{
        const char *word = graph->discard == HOSTLER_DISK_DISCARD_IGNORE ? "ignore" : "unmap";
        json_object_set_new(file, "discard", json_string(word));
        json_object_set_new(format, "discard", json_string(word));
}

/* The two nodes of layer @i: @ret_file, @ret_format owned by the caller. */
static void layer_nodes(const BlockGraph *graph, size_t i, json_t **ret_file, json_t **ret_format)
{
        const BlockLayer *layer = &graph->layers[i], *below = i > 0 ? layer - 1 : NULL;
        bool last = i + 1 == graph->n_layers;
        *ret_file = file_node(graph, layer, last);
        *ret_format = format_node(layer, below, !last || graph->readonly);
        if (last)
                add_options(graph, layer, *ret_format);
        if (last && !graph->readonly)
                add_discard(graph, *ret_file, *ret_format);
}

json_t *block_nodes(const BlockGraph *graph)
{
        json_t *nodes = json_array(), *file, *format;
        for (size_t i = 0; i < graph->n_layers; i++) {
                layer_nodes(graph, i, &file, &format);
                json_array_append_new(nodes, file);
                json_array_append_new(nodes, format);
        }
        return nodes;
}

void block_plan(const BlockGraph *graph, Plan *plan)
{
        json_auto_t *nodes = block_nodes(graph);
        json_t *node;
        size_t i;
        json_array_foreach (nodes, i, node)
                plan_add(plan, STEP_BLOCKDEV, json_incref(node));
}

void block_plan_head(const BlockGraph *graph, Plan *plan)
{
        json_t *file, *format;
        layer_nodes(graph, graph->n_layers - 1, &file, &format);
        plan_add(plan, STEP_BLOCKDEV, file);
        plan_add(plan, STEP_BLOCKDEV, format);
}

bool block_reopen(const BlockGraph *graph, bool all_files, Qmp *qmp, GError **error)
{
        json_t *options = json_array(), *file, *format;
        for (size_t i = all_files ? 0 : graph->n_layers - 1; i < graph->n_layers; i++) {
                layer_nodes(graph, i, &file, &format);
                json_array_append_new(options, file);
                if (i + 1 == graph->n_layers)
                        json_array_append(options, format);
                json_decref(format);
        }
        return qmp_call(qmp, "blockdev-reopen", json_pack("{s:o}", "options", options), NULL, error);
}

/* ---- devices ---- */

static bool is_usb(const HostlerPart *part)
{
        return part_model(part)->bus == BUS_USB;
}

/* QEMU's adapter between the USB and a SCSI disk or drive; a simple usb-storage would make disks only. */
static json_t *usb_device_args(const DeviceContext *context, const HostlerPart *part, const char *serial, Plan *plan)
{
        g_autofree char *adapter = g_strdup_printf("%s.usb", part->name), *bus = g_strdup_printf("%s.0", adapter);
        json_t *args = device_args(context, part);
        json_object_set_new(args, "id", json_string(adapter));
        json_object_set_new(args, "serial", json_string(serial));
        plan_add(plan, STEP_DEVICE, args);
        return json_pack("{s:s, s:s, s:s}", "driver", strcmp(part->kind, "disk") == 0 ? "scsi-hd" : "scsi-cd", "id",
                         part->name, "bus", bus);
}

/* "VM-ID/part" as a name of the world's: IEEE registered (NAA 5), QEMU's vendor 52:54:00, 36 bits of a hash. */
static int64_t world_wide_name(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *text = g_strdup_printf("%s/%s", context->vm_id, part->name);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
        hash[9] = '\0';
        return (int64_t)(0x5525400000000000 | g_ascii_strtoull(hash, NULL, 16));
}

json_t *block_device(const DeviceContext *context, const HostlerPart *part, const char *serial, Plan *plan)
{
        json_t *args = is_usb(part) ? usb_device_args(context, part, serial, plan) : device_args(context, part);
        int boot = device_boot_index(context, part);
        json_object_set_new(args, "serial", json_string(serial));
        /* Without one, Linux ignores a target on a SAS adapter. */
        if (part_model(part)->bus == BUS_SCSI)
                json_object_set_new(args, "wwn", json_integer(world_wide_name(context, part)));
        if (boot > 0)
                json_object_set_new(args, "bootindex", json_integer(boot));
        return args;
}

bool block_device_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        g_autofree char *path = g_strdup_printf("/machine/peripheral/%s.usb", part->name);
        return !context->hot || !is_usb(part) ||
               qmp_call(qmp, "qom-set", json_pack("{s:s, s:s, s:b}", "path", path, "property", "attached", "value", 1),
                        NULL, error);
}

bool block_device_hot_plug(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerPart *controller = device_controller(context, part);
        return part_model(part)->hot_plug &&
               (!controller || strcmp(controller->kind, "scsi") != 0 || scsi_takes_live(controller));
}

/* virtio-blk's is named after the inner half of its device. */
static bool is_of(const json_t *entry, const HostlerPart *part)
{
        const char *device = json_string_value(json_object_get(entry, "qdev"));
        g_autofree char *inner = g_strdup_printf("/machine/peripheral/%s/virtio-backend", part->name);
        return g_strcmp0(device, part->name) == 0 || g_strcmp0(device, inner) == 0;
}

json_t *block_device_state(Qmp *qmp, const HostlerPart *part, GError **error)
{
        json_auto_t *entries = NULL;
        json_t *entry, *found = NULL;
        size_t i;
        if (!qmp_call(qmp, "query-block", NULL, &entries, error))
                return NULL;
        json_array_foreach (entries, i, entry)
                if (!found && is_of(entry, part))
                        found = json_incref(entry);
        return found;
}

int64_t block_memory_bytes(const DeviceContext *context, const HostlerPart *part, int64_t own_bytes)
{
        const HostlerPart *controller = device_controller(context, part);
        if (own_bytes != HOSTLER_UNSET || !controller || strcmp(controller->kind, "ide") != 0)
                return own_bytes;
        return ((const HostlerIdeProps *)controller->props)->memory;
}
