/*
 * Sockets between host and guest, served by the host's kernel. That no two VMs have the same address is seen to where
 * all VMs are known (vm/device/context.c).
 */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#define KERNEL_END "/dev/vhost-vsock"

static bool vsock_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        autoclose int fd = open(KERNEL_END, O_RDWR | O_CLOEXEC);
        if (fd >= 0)
                return true;
        if (errno == EACCES || errno == EPERM) {
                error_set(error, HOSTLER_ERROR_DENIED, NULL, "this user may not open " KERNEL_END);
                return error_hint(error, "adduser USER kvm   (as root, then log in again)");
        }
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                  "this host has no " KERNEL_END ": its kernel lacks the module vhost_vsock");
        return error_hint(error, "modprobe vhost_vsock   (as root)");
}

static void vsock_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerVsockProps *props = part->props;
        json_t *args = device_args(context, part);
        json_object_set_new(args, "guest-cid", json_integer(props->cid));
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType vsock_device = {
    .kind = "vsock",
    .acquire = vsock_acquire,
    .plan = vsock_plan,
    .guest = "d=$(readlink /sys/bus/pci/devices/$1/virtio*/driver) && echo ${d##*/}",
};
