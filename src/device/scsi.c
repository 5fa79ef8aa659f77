/*
 * SCSI adapters. Each offers its targets to the disks and CD drives that sit on it. What is told of a queue is
 * virtio-scsi's alone: the others' are as their chips'.
 */
#include <string.h>

#include "device/device.h"

#define QUEUE_SIZE 256 /* virtio-scsi's, unless another is asked for */
#define SECTOR 512
#define PAGE 4096
/* The largest request is told in sectors, in 16 bits. */
#define REQUEST_MAX (65536LL * SECTOR - PAGE)

static HostlerScsiModel model_of(const HostlerPart *part)
{
        return ((const HostlerScsiProps *)part->props)->model;
}

/* Targets as QEMU counts them, less the adapter's own number where it has one on its bus. */
static int targets_of(const HostlerPart *part)
{
        switch (model_of(part)) {
        case HOSTLER_SCSI_MODEL_VIRTIO_SCSI_PCI:
                return 256;
        case HOSTLER_SCSI_MODEL_PVSCSI:
        case HOSTLER_SCSI_MODEL_MEGASAS:
        case HOSTLER_SCSI_MODEL_MEGASAS_GEN2:
                return 64;
        case HOSTLER_SCSI_MODEL_MPTSAS1068:
                return 8;
        case HOSTLER_SCSI_MODEL_LSI53C895A:
        case HOSTLER_SCSI_MODEL_LSI53C810:
        case HOSTLER_SCSI_MODEL_AM53C974:
        case HOSTLER_SCSI_MODEL_DC390:
        case HOSTLER_SCSI_MODEL_ABSENT:
                break;
        }
        return 7;
}

bool scsi_tells_guest(const HostlerPart *controller)
{
        return model_of(controller) == HOSTLER_SCSI_MODEL_VIRTIO_SCSI_PCI ||
               model_of(controller) == HOSTLER_SCSI_MODEL_PVSCSI;
}

bool scsi_takes_live(const HostlerPart *controller)
{
        return model_of(controller) != HOSTLER_SCSI_MODEL_MPTSAS1068;
}

/* Linux' driver leaves flushes to the cache that real ones have, with its battery. */
bool scsi_never_flushes(const HostlerPart *controller)
{
        return model_of(controller) == HOSTLER_SCSI_MODEL_MEGASAS ||
               model_of(controller) == HOSTLER_SCSI_MODEL_MEGASAS_GEN2;
}

static void scsi_offers(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        ret_seats->first = 0;
        ret_seats->count = targets_of(part);
}

static void scsi_place(const DeviceContext *context, const HostlerPart *controller, int seat, json_t *args)
{
        g_autofree char *bus = g_strdup_printf("%s.0", controller->name);
        json_object_set_new(args, "bus", json_string(bus));
        json_object_set_new(args, "channel", json_integer(0));
        json_object_set_new(args, "scsi-id", json_integer(seat));
        json_object_set_new(args, "lun", json_integer(0));
}

static int64_t queue_size_of(const HostlerScsiProps *props)
{
        return props->queue_size != HOSTLER_UNSET ? props->queue_size : QUEUE_SIZE;
}

static void check_memory(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerScsiProps *props = part->props;
        int64_t requests = queue_size_of(props);
        g_autofree char *pointer = g_strdup_printf("/spec/%s/memory", part->name);
        if (props->memory != HOSTLER_UNSET &&
            (props->memory % (requests * PAGE) != 0 || props->memory / requests > REQUEST_MAX))
                faults_add(faults, pointer,
                           "%" G_GINT64_FORMAT " requests share it: a multiple of %" G_GINT64_FORMAT
                           " bytes, up to %" G_GINT64_FORMAT,
                           requests, requests * PAGE, (gint64)(requests * REQUEST_MAX));
}

/* Chips bring their queues with them. */
static void refuse(const HostlerPart *part, const char *property, int64_t value, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        if (value != HOSTLER_UNSET)
                faults_add(faults, pointer, "the queue of %s is the chip's and cannot be set; virtio-scsi-pci's can",
                           part_model(part)->name);
}

static void scsi_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerScsiProps *props = part->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/queue_size", part->name);
        if (props->model != HOSTLER_SCSI_MODEL_VIRTIO_SCSI_PCI) {
                refuse(part, "memory", props->memory, faults);
                refuse(part, "queue_size", props->queue_size, faults);
                refuse(part, "queues", props->queues, faults);
                return;
        }
        if (props->queue_size != HOSTLER_UNSET && (props->queue_size & (props->queue_size - 1)) != 0)
                faults_add(faults, pointer, "must be a power of two: guests refuse others");
        else
                check_memory(part, faults);
}

/* A disk alone on the adapter may fill the whole queue. */
static void scsi_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerScsiProps *props = part->props;
        json_t *args = device_args(context, part);
        if (props->queue_size != HOSTLER_UNSET) {
                json_object_set_new(args, "virtqueue_size", json_integer(props->queue_size));
                json_object_set_new(args, "cmd_per_lun", json_integer(props->queue_size));
        }
        if (props->queues != HOSTLER_UNSET)
                json_object_set_new(args, "num_queues", json_integer(props->queues));
        if (props->memory != HOSTLER_UNSET)
                json_object_set_new(args, "max_sectors", json_integer(props->memory / queue_size_of(props) / SECTOR));
        plan_add(plan, STEP_DEVICE, args);
}

static const char scsi_guest[] =
    "a=/sys/bus/pci/devices/$1; d=$(readlink $a/driver) || exit; for h in $a/host*/scsi_host/host* "
    "$a/virtio*/host*/scsi_host/host*; do [ -e \"$h\" ] && echo ${d##*/} ${h##*/} can_queue $(cat $h/can_queue) && "
    "exit;"
    " done; echo ${d##*/}";

const DeviceType scsi_device = {
    .kind = "scsi",
    .offers = scsi_offers,
    .place = scsi_place,
    .check = scsi_check,
    .plan = scsi_plan,
    .guest = scsi_guest,
};
