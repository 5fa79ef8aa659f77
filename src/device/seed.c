/*
 * The NoCloud seed: a small read-only disk labelled `cidata` that cloud-init reads at first boot.
 *
 * The file is written by src/vm before QEMU starts (src/storage/seed.h makes it); here it is only attached.
 */
#include "device/device.h"

static void seed_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        g_autofree char *path = g_build_filename(context->vm_dir, SEED_FILE_NAME, NULL);
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", "seed.file", "filename", path,
                           "read-only", 1));
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:b}", "driver", "raw", "node-name", "seed", "file", "seed.file",
                           "read-only", 1));
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-blk-pci", "id", "seed", "drive", "seed",
                           "bus", "pcie.0", "addr", CHASSIS_SLOT_SEED, "serial", "seed"));
}

const DeviceType seed_device = {
    .kind = "seed",
    .plan = seed_plan,
};
