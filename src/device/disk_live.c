/*
 * What changes of a disk while it runs: its size, how its file is cached and looked up (by opening its nodes anew,
 * which the guest does not notice), its limits.
 */
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "device/disk.h"
#include "device/guest_disk.h"

static bool pending(const DeviceChange *change, const char *detail)
{
        change->change->state = g_strdup("pending");
        change->change->detail = g_strdup(detail);
        return true;
}

/* ---- size ---- */

/* What QEMU shows the guest now, by the disk's node. */
static bool device_bytes(Qmp *qmp, const char *node, int64_t *ret_bytes, GError **error)
{
        json_auto_t *nodes = NULL;
        json_t *entry;
        size_t index;
        *ret_bytes = -1;
        if (!qmp_call(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, error))
                return false;
        json_array_foreach (nodes, index, entry) {
                const char *name = json_string_value(json_object_get(entry, "node-name"));
                if (g_strcmp0(name, node) == 0)
                        *ret_bytes =
                            json_integer_value(json_object_get(json_object_get(entry, "image"), "virtual-size"));
        }
        return true;
}

static bool set_size(const DeviceChange *change, GError **error)
{
        const HostlerDiskProps *new = change->new_part->props;
        g_auto(DiskGraph) disk = {0};
        disk_graph(change->context, change->new_part, &disk);
        const char *node = disk_graph_head(&disk)->node;
        int64_t bytes = -1;
        if (!device_bytes(change->qmp, node, &bytes, error))
                return false;
        /* block_resize shrinks without asking; so it is never given less than there is. */
        if (new->size < bytes)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "%s has %" G_GINT64_FORMAT " bytes and shrinking would cut off data",
                                 change->new_part->name, bytes);
        if (new->size > bytes &&
            !qmp_call(change->qmp, "block_resize",
                      json_pack("{s:s, s:I}", "node-name", node, "size", (json_int_t) new->size), NULL, error))
                return false;
        if (!device_bytes(change->qmp, node, &bytes, error))
                return false;
        change->change->device = size_format(bytes);
        change->change->guest = guest_disk_size(change);
        return true;
}

/* ---- cache, discard, zeros, memory ---- */

/* As wanted, but for what stays until the next start. */
static bool reopen(const DeviceChange *change, const HostlerPart *part, bool all_files, GError **error)
{
        g_auto(DiskGraph) disk = {0};
        const HostlerPart *launched = spec_part(change->context->launched, part->name);
        const HostlerDiskProps *now = launched->props;
        if (!disk_graph(change->context, part, &disk))
                return error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "the image of %s is gone", part->name);
        disk.graph.aio = now->aio;
        disk.graph.readonly = now->readonly;
        return block_reopen(&disk.graph, all_files, change->qmp, error);
}

bool disk_follow(const DeviceChange *change, const HostlerPart *part, GError **error)
{
        return !spec_part(change->context->launched, part->name) || reopen(change, part, false, error);
}

static bool set_cache(const DeviceChange *change, GError **error)
{
        const HostlerDiskProps *old = change->old_part->props, *new = change->new_part->props;
        if (block_cache_is_through(old->cache) != block_cache_is_through(new->cache))
                return pending(change, "the guest learns of its write cache at the next start");
        if (old->aio == HOSTLER_DISK_AIO_NATIVE && !block_cache_is_direct(new->cache))
                return pending(change, "it runs with aio=native, which needs a disk without the host's page cache");
        if (!reopen(change, change->new_part, true, error))
                return false;
        change->change->device = g_strdup(hostler_disk_cache_enum.values[new->cache]);
        return true;
}

static bool set_discard(const DeviceChange *change, GError **error)
{
        const HostlerDiskProps *new = change->new_part->props;
        if (!reopen(change, change->new_part, false, error))
                return false;
        change->change->device = g_strdup(hostler_disk_discard_enum.values[new->discard]);
        return true;
}

static bool set_zeroes(const DeviceChange *change, GError **error)
{
        json_auto_t *state = NULL;
        if (!reopen(change, change->new_part, false, error) ||
            !(state = block_device_state(change->qmp, change->new_part, error)))
                return false;
        change->change->device =
            g_strdup(json_string_value(json_object_get(json_object_get(state, "inserted"), "detect_zeroes")));
        return true;
}

/* QEMU cuts it down to what the size asks for, and does not say so; by its rule the true value is told here. */
static bool set_memory(const DeviceChange *change, GError **error)
{
        const DeviceContext *context = change->context;
        const HostlerDiskProps *new = change->new_part->props;
        int64_t bytes, memory = block_memory_bytes(context, change->new_part, new->memory);
        g_auto(DiskGraph) disk = {0};
        disk_graph(context, change->new_part, &disk);
        if (!reopen(change, change->new_part, false, error) ||
            !device_bytes(change->qmp, disk_graph_head(&disk)->node, &bytes, error))
                return false;
        int64_t tables = block_tables_bytes(memory, bytes);
        change->change->device = memory == HOSTLER_UNSET ? g_strdup("QEMU's choice") : size_format(tables);
        if (memory != HOSTLER_UNSET && tables < memory)
                change->change->detail = g_strdup("all its tables fit into less");
        return true;
}

/* ---- limits ---- */

static const struct {
        const char *property, *member;
        size_t offset;
} limits[] = {
    {"bandwidth", "bps", offsetof(HostlerDiskProps, bandwidth)},
    {"bandwidth_read", "bps_rd", offsetof(HostlerDiskProps, bandwidth_read)},
    {"bandwidth_write", "bps_wr", offsetof(HostlerDiskProps, bandwidth_write)},
    {"iops", "iops", offsetof(HostlerDiskProps, iops)},
    {"iops_read", "iops_rd", offsetof(HostlerDiskProps, iops_read)},
    {"iops_write", "iops_wr", offsetof(HostlerDiskProps, iops_write)},
};

static int64_t limit_of(const HostlerPart *part, size_t i)
{
        int64_t value = *(const int64_t *)((const char *)part->props + limits[i].offset);
        return value != HOSTLER_UNSET ? value : 0;
}

/* @all: "bps" or "iops". */
static void put_ceiling(json_t *args, const char *all, int64_t ceiling)
{
        g_autofree char *reads = g_strdup_printf("%s_rd", all), *writes = g_strdup_printf("%s_wr", all);
        json_int_t own = json_integer_value(json_object_get(args, all));
        bool apart = json_integer_value(json_object_get(args, reads)) > 0 ||
                     json_integer_value(json_object_get(args, writes)) > 0;
        if (ceiling > 0 && !apart)
                json_object_set_new(args, all, json_integer(own > 0 ? MIN(own, ceiling) : ceiling));
}

json_t *disk_throttle(const HostlerPart *part, int64_t iops_ceiling, int64_t bandwidth_ceiling)
{
        const HostlerDiskProps *props = part->props;
        json_t *args = json_object();
        g_autofree char *id = props->model == HOSTLER_DISK_MODEL_VIRTIO_BLK
                                  ? g_strdup_printf("/machine/peripheral/%s/virtio-backend", part->name)
                                  : g_strdup(part->name);
        json_object_set_new(args, "id", json_string(id));
        for (size_t i = 0; i < G_N_ELEMENTS(limits); i++)
                json_object_set_new(args, limits[i].member, json_integer(limit_of(part, i)));
        put_ceiling(args, "bps", bandwidth_ceiling);
        put_ceiling(args, "iops", iops_ceiling);
        return args;
}

static bool tell_limits(const HostlerPart *part, Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "block_set_io_throttle", disk_throttle(part, 0, 0), NULL, error);
}

bool disk_tell_limits(const HostlerPart *part, Qmp *qmp, GError **error)
{
        for (size_t i = 0; i < G_N_ELEMENTS(limits); i++)
                if (limit_of(part, i) > 0)
                        return tell_limits(part, qmp, error);
        return true;
}

static char *limit_text(const json_t *state, const char *path)
{
        const char *property = strrchr(path, '.') + 1;
        for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
                json_int_t value =
                    json_integer_value(json_object_get(json_object_get(state, "inserted"), limits[i].member));
                if (strcmp(limits[i].property, property) != 0)
                        continue;
                if (value == 0)
                        return g_strdup("no limit");
                return g_str_has_prefix(property, "bandwidth") ? size_format(value)
                                                               : g_strdup_printf("%" JSON_INTEGER_FORMAT, value);
        }
        return NULL;
}

/* All six at once: they must agree with each other at any time. */
static bool set_limits(const DeviceChange *change, GError **error)
{
        json_auto_t *state = NULL;
        if (!tell_limits(change->new_part, change->qmp, error) ||
            !(state = block_device_state(change->qmp, change->new_part, error)))
                return false;
        change->change->device = limit_text(state, change->change->property);
        return true;
}

const DeviceSetter disk_setters[] = {
    {"size", set_size},
    {"cache", set_cache},
    {"discard", set_discard},
    {"detect_zeroes", set_zeroes},
    {"memory", set_memory},
    {"bandwidth", set_limits},
    {"bandwidth_read", set_limits},
    {"bandwidth_write", set_limits},
    {"iops", set_limits},
    {"iops_read", set_limits},
    {"iops_write", set_limits},
    {"shares", device_set_allocation},
    {NULL, NULL},
};
