/*
 * Folders of the host in the guest: by QEMU itself (9p) or by virtiofsd beside it. The folder is opened once, before
 * QEMU is started, and handed over open (launch.c), so what is shared is what was checked. Both are cold: QEMU has no
 * command that adds a 9p export, and virtiofsd needs the guest's memory to be shared from the start.
 */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "device/device.h"

#define VIRTIOFSD "/usr/lib/qemu/virtiofsd"

static bool is_virtiofs(const HostlerPart *part)
{
        return ((const HostlerShareProps *)part->props)->model == HOSTLER_SHARE_MODEL_VIRTIOFS;
}

static const char *tag_of(const HostlerPart *part)
{
        const HostlerShareProps *props = part->props;
        return props->tag ? props->tag : part->name;
}

bool share_wants_shared_memory(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "share") == 0 && is_virtiofs(&spec->items[i]))
                        return true;
        return false;
}

static void share_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerShareProps *props = part->props;
        g_autofree char *tag = g_strdup_printf("/spec/%s/tag", part->name);
        g_autofree char *readonly = g_strdup_printf("/spec/%s/readonly", part->name);
        if (props->readonly && is_virtiofs(part))
                faults_add(faults, readonly, "virtiofsd cannot share read-only; use model=virtio-9p");
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "share") == 0 && strcmp(tag_of(other), tag_of(part)) == 0)
                        faults_add(faults, tag, "%s has the same tag", other->name);
}

static bool share_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        if (!is_virtiofs(part))
                return true;
        if (access(VIRTIOFSD, X_OK) < 0) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "virtiofsd is not installed on this host (%s)",
                          VIRTIOFSD);
                return error_hint(error, "apt-get install qemu-system-common   (as root)");
        }
        if (geteuid() == 0)
                return true;
        error_set(error, HOSTLER_ERROR_DENIED, NULL,
                  "this host's virtiofsd runs as root only, and this daemon does not");
        return error_hint(error, "hostler device set %s %s model=virtio-9p", context->vm_name, part->name);
}

static const char *share_folder(const HostlerPart *part)
{
        return ((const HostlerShareProps *)part->props)->source;
}

/* Never a user's words in an option string: the folder comes as a descriptor's path. */
static char *socket_name(const HostlerPart *part)
{
        return g_strdup_printf("%s.fs.sock", part->name);
}

static void share_helpers(const DeviceContext *context, const HostlerPart *part, GArray *helpers)
{
        if (!is_virtiofs(part))
                return;
        g_autofree char *source = g_strdup_printf("source=@DIR:%s@", part->name);
        /* Its namespaces would lose sight of descriptors given to it; in a chroot it keeps few capabilities, too. */
        const char *const argv[] = {VIRTIOFSD, "--fd=@FD@",      "-o", source, "-o", "sandbox=chroot",
                                    "-o",      "log_level=warn", NULL};
        DeviceHelper helper = {.argv = g_strdupv((char **)argv), .socket = socket_name(part)};
        g_array_append_val(helpers, helper);
}

static void plan_virtiofs(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = device_args(context, part);
        g_autofree char *chardev = g_strdup_printf("%s.fs", part->name), *socket = socket_name(part);
        plan_chardev_attach(plan, chardev, socket);
        json_object_set_new(args, "chardev", json_string(chardev));
        json_object_set_new(args, "tag", json_string(tag_of(part)));
        plan_add(plan, STEP_DEVICE, args);
}

static void plan_9p(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerShareProps *props = part->props;
        json_t *args = device_args(context, part);
        g_autofree char *export =
            g_strdup_printf("local,id=%s.fs,path=@DIR:%s@,security_model=mapped-xattr,multidevs=remap%s", part->name,
                            part->name, props->readonly ? ",readonly=on" : "");
        g_autofree char *id = g_strdup_printf("%s.fs", part->name);
        plan_argument(plan, "-fsdev", export);
        json_object_set_new(args, "fsdev", json_string(id));
        json_object_set_new(args, "mount_tag", json_string(tag_of(part)));
        plan_add(plan, STEP_DEVICE, args);
}

static void share_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        if (is_virtiofs(part))
                plan_virtiofs(context, part, plan);
        else
                plan_9p(context, part, plan);
}

const DeviceType share_device = {
    .kind = "share",
    .check = share_check,
    .folder = share_folder,
    .acquire = share_acquire,
    .helpers = share_helpers,
    .plan = share_plan,
    .guest = "for v in /sys/bus/pci/devices/$1/virtio*; do d=$(readlink $v/driver) && "
             "echo \"${d##*/} $(cat $v/mount_tag 2>/dev/null)\"; done",
};
