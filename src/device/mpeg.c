/*
 * Motion JPEG cameras: a USB Video Class device of our own that shows a file or FIFO of the host.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "device/own_usb.h"

/* A camera without a picture would not even be plugged in; better to say so before QEMU is told. */
static bool mpeg_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerMpegProps *props = part->props;
        struct stat st;

        if (stat(props->source, &st) < 0)
                return error_set_errno(error, errno, NULL, "cannot open %s", props->source);
        return S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) ||
               error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "%s is neither a file nor a FIFO", props->source);
}

static bool mpeg_connect(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerMpegProps *props = part->props;
        OwnUsb own = {.mode = "video", .option = "--source", .value = props->source, .queue_bytes = props->memory};

        return mpeg_acquire(context, part, error) && own_usb_connect(context, part, &own, error);
}

static const DeviceSetter mpeg_setters[] = {{"source", own_usb_set}, {"memory", own_usb_set}, {NULL, NULL}};

const DeviceType mpeg_device = {
    .kind = "mpeg",
    .check = own_usb_check,
    .acquire = mpeg_acquire,
    .plan = own_usb_plan,
    .connect = mpeg_connect,
    .release = own_usb_release,
    .remove = own_usb_remove,
    .setters = mpeg_setters,
    .guest = "for d in /sys/bus/usb/devices/*; do [ \"$(cat $d/serial 2>/dev/null)\" = \"$0\" ] || continue; "
             "for v in $d/*/video4linux/video*; do [ -e \"$v\" ] && echo /dev/${v##*/} && break; done; done",
};
