/*
 * Disks: what may be said of one, and the device in front of its files, of one of five models. The files are
 * disk_graph.c's; what changes of a disk while it runs is in disk_live.c.
 */
#include <string.h>

#include "device/block.h"
#include "device/disk.h"
#include "device/guest_disk.h"

#define MIB (1LL << 20)
#define ROTATION_SLOWEST 1024 /* revolutions a minute that nothing may claim */

const char *disk_serial(const HostlerPart *part)
{
        const HostlerDiskProps *props = part->props;
        return props->serial ? props->serial : part->name;
}

/* ---- faults ---- */

typedef struct {
        const HostlerPart *part;
        GPtrArray *faults;
} Check;

static void fault(const Check *check, const char *property, const char *text)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", check->part->name, property);
        faults_add(check->faults, pointer, "%s", text);
}

static bool is_power_of_two(int64_t value)
{
        return (value & (value - 1)) == 0;
}

static void check_source(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerDiskProps *props = part->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        DeviceImage image;
        if (props->size == HOSTLER_UNSET && !props->image)
                faults_add(faults, pointer, "a disk needs a size, or an image to stand on");
        if (props->image && (!context->image(props->image, &image, context->data) || !image.disk))
                faults_add(faults, pointer,
                           "there is no image “%s”; `hostler image ls` lists them, `hostler image build %s` makes it",
                           props->image, props->image);
        if (props->pool && context->has_pool && !context->has_pool(props->pool, context->data))
                faults_add(faults, pointer, "there is no pool “%s”; `hostler pool ls` lists them", props->pool);
        else if (props->pool && props->format == HOSTLER_DISK_FORMAT_RAW && context->takes_raw &&
                 !context->takes_raw(props->pool, context->data))
                faults_add(faults, pointer, "pool “%s” keeps qcow2 volumes only; leave out format=raw", props->pool);
}

/* What belongs to some models only. QEMU 7.2 ends at once when it is given numbers it has not foreseen. */
static void check_model(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        bool virtio = props->model == HOSTLER_DISK_MODEL_VIRTIO_BLK, nvme = props->model == HOSTLER_DISK_MODEL_NVME;
        if (props->queue_size != HOSTLER_UNSET && !virtio)
                fault(check, "queue_size", "only a virtio-blk disk has queues of a size that can be set");
        else if (props->queue_size != HOSTLER_UNSET && !is_power_of_two(props->queue_size))
                fault(check, "queue_size", "must be a power of two");
        if (props->queues != HOSTLER_UNSET && !virtio && !nvme)
                fault(check, "queues", "only virtio-blk and nvme disks have queues of their own");
        if (props->cmb != HOSTLER_UNSET && !nvme)
                fault(check, "cmb", "only an nvme disk has a controller memory buffer");
        else if (props->cmb != HOSTLER_UNSET && !is_power_of_two(props->cmb))
                fault(check, "cmb", "must be a power of two");
        if (props->readonly && props->model == HOSTLER_DISK_MODEL_IDE)
                fault(check, "readonly", "an IDE disk cannot be read-only");
}

/* Numbers between have no meaning in ATA and SCSI. */
static void check_rotation(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        if (props->rotation == HOSTLER_UNSET)
                return;
        if (props->model == HOSTLER_DISK_MODEL_VIRTIO_BLK || props->model == HOSTLER_DISK_MODEL_NVME)
                fault(check, "rotation", "only scsi, ide and usb disks tell the guest how they rotate");
        else if (props->rotation > 1 && props->rotation <= ROTATION_SLOWEST)
                fault(check, "rotation", "must be 1 (it does not rotate), or from 1025 to 65534");
}

static void check_blocks(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        int64_t logical = props->logical_block != HOSTLER_UNSET ? props->logical_block : 512;
        if (logical != 512 && logical != 4096)
                fault(check, "logical_block", "must be 512 or 4096");
        else if (logical != 512 && props->model == HOSTLER_DISK_MODEL_IDE)
                fault(check, "logical_block", "an IDE disk has blocks of 512 bytes");
        else if (props->size != HOSTLER_UNSET && props->size % logical != 0)
                fault(check, "logical_block", "the disk's size is no multiple of it");
        if (props->physical_block != HOSTLER_UNSET &&
            (!is_power_of_two(props->physical_block) || props->physical_block < logical))
                fault(check, "physical_block", "must be a power of two and no less than logical_block");
}

static void check_raw(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        if (props->format != HOSTLER_DISK_FORMAT_RAW)
                return;
        if (props->image)
                fault(check, "format", "a disk that stands on an image is qcow2");
        if (props->memory != HOSTLER_UNSET)
                fault(check, "memory", "a raw disk has no tables to keep in memory");
}

static void check_cache(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        if (props->aio == HOSTLER_DISK_AIO_NATIVE && !block_cache_is_direct(props->cache))
                fault(check, "aio", "native needs a disk without the host's page cache: cache=none or directsync");
        if (props->detect_zeroes == HOSTLER_DISK_ZEROES_UNMAP && props->discard == HOSTLER_DISK_DISCARD_IGNORE)
                fault(check, "detect_zeroes", "unmap needs discard=unmap");
}

static void check_limits(const Check *check)
{
        const HostlerDiskProps *props = check->part->props;
        if (props->bandwidth != HOSTLER_UNSET &&
            (props->bandwidth_read != HOSTLER_UNSET || props->bandwidth_write != HOSTLER_UNSET))
                fault(check, "bandwidth", "a limit is for both together, or for reads and writes apart");
        if (props->iops != HOSTLER_UNSET && (props->iops_read != HOSTLER_UNSET || props->iops_write != HOSTLER_UNSET))
                fault(check, "iops", "a limit is for both together, or for reads and writes apart");
}

static void disk_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const Check check = {part, faults};
        check_source(context, part, faults);
        check_model(&check);
        check_rotation(&check);
        check_blocks(&check);
        check_raw(&check);
        check_cache(&check);
        check_limits(&check);
}

/* ---- the device ---- */

static void set_number(json_t *args, const char *property, int64_t value)
{
        if (value != HOSTLER_UNSET)
                json_object_set_new(args, property, json_integer(value));
}

/* On an adapter that never asks for a flush, what a guest has synced must be on the disk without one. */
static bool needs_through(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerPart *controller = device_controller(context, part);
        return ((const HostlerDiskProps *)part->props)->cache != HOSTLER_DISK_CACHE_UNSAFE && controller &&
               strcmp(controller->kind, "scsi") == 0 && scsi_never_flushes(controller);
}

/* @head: the node that it shows the guest. */
static json_t *front_end(const DeviceContext *context, const HostlerPart *part, const char *head, Plan *plan)
{
        const HostlerDiskProps *props = part->props;
        bool nvme = props->model == HOSTLER_DISK_MODEL_NVME;
        json_t *args = block_device(context, part, disk_serial(part), plan);
        json_object_set_new(args, "drive", json_string(head));
        set_number(args, "logical_block_size", props->logical_block);
        set_number(args, "physical_block_size",
                   props->physical_block != HOSTLER_UNSET ? props->physical_block : props->logical_block);
        set_number(args, "queue-size", props->queue_size);
        set_number(args, "rotation_rate", props->rotation);
        set_number(args, nvme ? "max_ioqpairs" : "num-queues", props->queues);
        if (props->cmb != HOSTLER_UNSET)
                json_object_set_new(args, "cmb_size_mb", json_integer(props->cmb / MIB));
        if (block_cache_is_through(props->cache) || needs_through(context, part))
                json_object_set_new(args, "write-cache", json_string("off"));
        return args;
}

static void disk_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        g_auto(DiskGraph) disk = {0};
        if (!disk_graph(context, part, &disk))
                return;
        block_plan(&disk.graph, plan);
        plan_add(plan, STEP_DEVICE, front_end(context, part, disk_graph_head(&disk)->node, plan));
}

/* A buffer is a window in the guest's memory map, and a port has no room for one unless the firmware has seen it. */
static bool disk_hot_plug(const DeviceContext *context, const HostlerPart *part)
{
        return block_device_hot_plug(context, part) && ((const HostlerDiskProps *)part->props)->cmb == HOSTLER_UNSET;
}

static bool disk_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        return disk_tell_limits(part, qmp, error) && block_device_launched(context, part, qmp, error);
}

const DeviceType disk_device = {
    .kind = "disk",
    .hot_plug = disk_hot_plug,
    .check = disk_check,
    .plan = disk_plan,
    .launched = disk_launched,
    .guest_find = guest_disk_find,
    .guest_leave = guest_disk_leave,
    .setters = disk_setters,
    .guest = guest_disk_line,
};
