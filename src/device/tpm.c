/*
 * A trusted platform module: swtpm, started beside QEMU by the keeper, with its state in a folder of the VM's. It ends
 * with QEMU's connection, so it cannot outlive its VM even when its keeper was killed.
 */
#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#define SOCKET "tpm.control.sock"
#define FOLDER "tpm"

static char *swtpm_find(void)
{
        return g_find_program_in_path("swtpm");
}

static bool tpm_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        g_autofree char *folder = g_build_filename(context->vm_dir, FOLDER, NULL), *program = swtpm_find();
        if (program)
                return dir_ensure(folder, error);
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "swtpm, which emulates a TPM, is not installed on this host");
        return error_hint(error, "apt-get install swtpm   (as root)");
}

static void tpm_remove(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *folder = g_build_filename(context->vm_dir, FOLDER, NULL);
        dir_remove(folder, NULL);
}

static const char *tpm_keepsake(const HostlerPart *part)
{
        return FOLDER;
}

/* The folder is named from where the keeper's children run, VMDIR/run: no path of a user gets into an option string. */
static void tpm_helpers(const DeviceContext *context, const HostlerPart *part, GArray *helpers)
{
        char *program = swtpm_find();
        const char *const argv[] = {program ? program : "/usr/bin/swtpm",
                                    "socket",
                                    "--tpm2",
                                    "--tpmstate",
                                    "dir=../" FOLDER ",mode=0600",
                                    "--ctrl",
                                    "type=unixio,fd=@FD@",
                                    "--terminate",
                                    NULL};
        DeviceHelper helper = {.argv = g_strdupv((char **)argv), .socket = g_strdup(SOCKET)};
        g_array_append_val(helpers, helper);
        g_free(program);
}

static void tpm_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = device_args(context, part);
        plan_chardev_attach(plan, "tpm.control", SOCKET);
        plan_argument(plan, "-tpmdev", "emulator,id=tpm.emulator,chardev=tpm.control");
        json_object_set_new(args, "tpmdev", json_string("tpm.emulator"));
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType tpm_device = {
    .kind = "tpm",
    .acquire = tpm_acquire,
    .remove = tpm_remove,
    .helpers = tpm_helpers,
    .keepsake = tpm_keepsake,
    .plan = tpm_plan,
    .guest = "for t in /sys/class/tpm/tpm*; do echo \"TPM $(cat $t/tpm_version_major)\"; done",
};
