/*
 * Firmware: SeaBIOS, which QEMU brings along, or Debian's OVMF in flash memory. What UEFI is to remember is in a qcow2
 * file in the VM's folder, so that snapshots take it along like any disk; it is made of the package's template when it
 * is first needed, one for each model, because the keys of Secure Boot are in the template.
 */
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "storage/volume.h"

#define OVMF "/usr/share/OVMF/"
#define TEMPLATE_MAX_BYTES (4 << 20)

typedef struct {
        const char *code, *variables, *file; /* file: its name in the VM's folder */
} Uefi;

/* NULL for a BIOS. */
static const Uefi *uefi_of(const HostlerPart *part)
{
        static const Uefi uefi = {OVMF "OVMF_CODE_4M.fd", OVMF "OVMF_VARS_4M.fd", "firmware.uefi.qcow2"};
        static const Uefi secure = {OVMF "OVMF_CODE_4M.secboot.fd", OVMF "OVMF_VARS_4M.ms.fd",
                                    "firmware.uefi-secure.qcow2"};
        switch (((const HostlerFirmwareProps *)part->props)->model) {
        case HOSTLER_FIRMWARE_MODEL_UEFI:
                return &uefi;
        case HOSTLER_FIRMWARE_MODEL_UEFI_SECURE:
                return &secure;
        case HOSTLER_FIRMWARE_MODEL_BIOS:
        case HOSTLER_FIRMWARE_MODEL_ABSENT:
                break;
        }
        return NULL;
}

const char *firmware_file_name(const HostlerPart *part)
{
        const Uefi *uefi = uefi_of(part);
        return uefi ? uefi->file : NULL;
}

static bool make_variables(const Uefi *uefi, const char *path, GError **error)
{
        gsize length;
        g_autofree char *bytes = file_read(uefi->variables, TEMPLATE_MAX_BYTES, &length, error);
        return bytes && volume_create_filled(path, bytes, length, error);
}

static bool firmware_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const Uefi *uefi = uefi_of(part);
        if (!uefi)
                return true;
        if (access(uefi->code, R_OK) < 0 || access(uefi->variables, R_OK) < 0) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "UEFI firmware is not installed on this host (%s)",
                          uefi->code);
                return error_hint(error, "apt-get install ovmf   (as root)");
        }
        g_autofree char *path = g_build_filename(context->vm_dir, uefi->file, NULL);
        return g_file_test(path, G_FILE_TEST_EXISTS) || make_variables(uefi, path, error);
}

static void plan_flash(const DeviceContext *context, const Uefi *uefi, Plan *plan)
{
        g_autofree char *path = g_build_filename(context->vm_dir, uefi->file, NULL);
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:b}", "driver", "file", "node-name", "firmware.code.file", "filename",
                           uefi->code, "read-only", 1));
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:b}", "driver", "raw", "node-name", "firmware.code", "file",
                           "firmware.code.file", "read-only", 1));
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:s}", "driver", "file", "node-name", "firmware.file", "filename", path,
                           "locking", "on"));
        plan_add(plan, STEP_BLOCKDEV,
                 json_pack("{s:s, s:s, s:s, s:n}", "driver", "qcow2", "node-name", "firmware", "file", "firmware.file",
                           "backing"));
        plan_argument(plan, "-machine", "pflash0=firmware.code,pflash1=firmware");
}

static void firmware_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const Uefi *uefi = uefi_of(part);
        if (!uefi)
                return;
        plan_flash(context, uefi, plan);
        if (!firmware_sleeps(part)) {
                plan_argument(plan, "-machine", "smm=on");
                plan_argument(plan, "-global", "driver=cfi.pflash01,property=secure,value=on");
                plan_argument(plan, "-global", "ICH9-LPC.disable_s3=1");
        }
}

bool firmware_sleeps(const HostlerPart *part)
{
        return ((const HostlerFirmwareProps *)part->props)->model != HOSTLER_FIRMWARE_MODEL_UEFI_SECURE;
}

const DeviceType firmware_device = {
    .kind = "firmware",
    .acquire = firmware_acquire,
    .plan = firmware_plan,
    .keepsake = firmware_file_name,
    .guest = "[ -d /sys/firmware/efi ] && echo UEFI || echo BIOS",
};
