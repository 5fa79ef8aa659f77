/*
 * What the firmware starts: an image's own kernel, or the boot loader on the first disk.
 */
#include "base/error.h"
#include "device/device.h"

static void boot_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerBootProps *props = part->props;
        DeviceImage image = {0};
        if (props->image && (!context->image(props->image, &image, context->data) || !image.kernel))
                faults_add(faults, "/spec/boot/image", "there is no image “%s” with a kernel file", props->image);
        if (props->cmdline && !props->image)
                faults_add(faults, "/spec/boot/cmdline",
                           "a kernel command line goes with boot.image; else the boot loader has its own");
}

static void boot_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerBootProps *props = part->props;
        DeviceImage image = {0};
        if (!props->image || !context->image(props->image, &image, context->data) || !image.kernel)
                return;
        const char *cmdline = props->cmdline ? props->cmdline : image.cmdline;
        g_autofree char *named = g_strdup_printf("%s hostler.name=%s", cmdline ? cmdline : "", context->vm_name);
        plan_argument(plan, "-kernel", image.kernel);
        if (image.initrd)
                plan_argument(plan, "-initrd", image.initrd);
        plan_argument(plan, "-append", named);
}

const DeviceType boot_device = {
    .kind = "boot",
    .check = boot_check,
    .plan = boot_plan,
};
