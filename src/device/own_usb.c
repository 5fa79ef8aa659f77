/*
 * What midi.c and mpeg.c share. See own_usb.h.
 *
 * QEMU listens and hostler-usb connects: one that was started again is back at once, and a QEMU that loads a saved
 * state has nobody at the other end until it is done.
 */
#include "device/own_usb.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"

/* From VMDIR/parts/NAME/run, where hostler-usb works. */
#define RUN "../../../run/"

void own_usb_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        g_autofree char *chardev = g_strdup_printf("%s.usb", part->name);
        json_t *device = device_args(context, part);

        plan_chardev_listen(plan, chardev, chardev, 0);
        json_object_set_new(device, "chardev", json_string(chardev));
        plan_add(plan, STEP_DEVICE, device);
}

/* Hubs, as QEMU has them, are of USB 1.1. */
static bool is_fast(const HostlerPart *controller)
{
        if (strcmp(controller->kind, "usb") != 0)
                return false;
        HostlerUsbModel model = ((const HostlerUsbProps *)controller->props)->model;
        return model != HOSTLER_USB_MODEL_PIIX3_USB_UHCI && model != HOSTLER_USB_MODEL_ICH9_USB_UHCI &&
               model != HOSTLER_USB_MODEL_PCI_OHCI;
}

void own_usb_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerPart *controller = device_controller(context, part);
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);

        if (controller && !is_fast(controller))
                faults_add(faults, pointer, "it is a high speed device, and %s (%s) is for slower ones",
                           controller->name, part_model(controller)->name);
}

static char *folder_of(const DeviceContext *context, const HostlerPart *part)
{
        return g_build_filename(context->vm_dir, "parts", part->name, NULL);
}

static bool runs_in(const char *folder)
{
        ProcessId keeper;

        return keeper_read(folder, &keeper, NULL, NULL) && process_id_alive(&keeper);
}

bool own_usb_connect(const DeviceContext *context, const HostlerPart *part, const OwnUsb *own, GError **error)
{
        g_autofree char *folder = folder_of(context, part), *run = g_build_filename(folder, "run", NULL);
        g_autofree char *program = process_sibling("hostler-usb");
        g_autofree char *qemu = g_strdup_printf(RUN "%s.usb", part->name);
        g_autofree char *queue = g_strdup_printf("%" G_GINT64_FORMAT, own->queue_bytes);
        g_autofree char *value = *own->value == '/' ? g_strdup(own->value) : g_strconcat(RUN, own->value, NULL);
        const char *const argv[] = {program,   own->mode, "--qemu", qemu,       own->option, value,
                                    "--queue", queue,     "--name", part->name, NULL};
        ProcessId process;

        if (runs_in(folder))
                return true;
        keeper_end(folder); /* what a killed keeper has left */
        return dir_ensure(run, error) &&
               keeper_launch(&(KeeperLaunch){.vm_dir = folder, .argv = argv, .again = true}, &process, error);
}

void own_usb_release(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *folder = folder_of(context, part);

        keeper_end(folder);
}

void own_usb_remove(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *folder = folder_of(context, part);

        dir_remove(folder, NULL);
}

bool own_usb_set(const DeviceChange *change, GError **error)
{
        const DeviceType *type = device_type(change->new_part->kind);

        own_usb_release(change->context, change->old_part);
        if (!type->connect(change->context, change->new_part, error)) {
                type->connect(change->context, change->old_part, NULL);
                return false;
        }
        change->change->device = g_strdup("plugged in anew");
        return true;
}
