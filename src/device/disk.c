/*
 * Disks: a qcow2 file in the VM's folder, standing on an image where it has one. Every format and every link of the
 * chain is stated; no header is ever believed.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "device/device.h"

char *disk_file_name(const char *part)
{
        return g_strdup_printf("%s.qcow2", part);
}

char *disk_layer_node(const char *file)
{
        g_autofree char *name = g_path_get_basename(file);
        return g_str_has_suffix(name, ".qcow2") ? g_strndup(name, strlen(name) - strlen(".qcow2"))
                                                : g_steal_pointer(&name);
}

/* The disk's files, head first; g_strfreev. */
static char **files_of(const DeviceContext *context, const HostlerPart *part)
{
        char **files = context->disk_files ? context->disk_files(part->name, context->data) : NULL;
        g_autofree char *name = disk_file_name(part->name);
        if (files)
                return files;
        files = g_new0(char *, 2);
        files[0] = g_build_filename(context->vm_dir, name, NULL);
        return files;
}

static char *head_node(const DeviceContext *context, const HostlerPart *part)
{
        g_auto(GStrv) files = files_of(context, part);
        return disk_layer_node(files[0]);
}

static void disk_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
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
}

static json_t *file_node(const char *node, const char *path, HostlerDiskCache cache, bool readonly)
{
        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:{s:b, s:b}}", "driver", "file", "node-name", node, "filename",
                         path, "locking", "on", "read-only", readonly, "cache", "direct",
                         cache == HOSTLER_DISK_CACHE_NONE, "no-flush", cache == HOSTLER_DISK_CACHE_UNSAFE);
}

/* @backing NULL: the chain ends here, whatever the header says. */
static json_t *qcow2_node(const char *node, const char *file, const char *backing, bool readonly)
{
        json_t *args = json_pack("{s:s, s:s, s:s, s:b, s:s?}", "driver", "qcow2", "node-name", node, "file", file,
                                 "read-only", readonly, "backing", backing);
        if (!readonly)
                json_object_set_new(args, "discard", json_string("unmap"));
        return args;
}

static void plan_image(const DeviceContext *context, const HostlerPart *part, const char *base, Plan *plan)
{
        const HostlerDiskProps *props = part->props;
        g_autofree char *base_file = g_strdup_printf("%s.base.file", part->name);
        DeviceImage image = {0};
        if (!context->image(props->image, &image, context->data))
                return;
        plan_add(plan, STEP_BLOCKDEV, file_node(base_file, image.disk, props->cache, true));
        plan_add(plan, STEP_BLOCKDEV, qcow2_node(base, base_file, NULL, true));
}

/* The firmware tries the first disk first; without a word from us it would begin with the seed. */
static json_t *front_end(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerDiskProps *props = part->props;
        json_t *args = device_args(context, part);
        int boot = device_boot_index(context, part);
        g_autofree char *head = head_node(context, part);
        json_object_set_new(args, "drive", json_string(head));
        json_object_set_new(args, "serial", json_string(props->serial ? props->serial : part->name));
        if (boot > 0)
                json_object_set_new(args, "bootindex", json_integer(boot));
        return args;
}

/* Of the files of a disk, number @index from the bottom: those of another VM may be called like its own. */
static char *node_of(const DeviceContext *context, const HostlerPart *part, const char *path, guint index)
{
        g_autofree char *folder = g_path_get_dirname(path);
        return strcmp(folder, context->vm_dir) == 0 ? disk_layer_node(path)
                                                    : g_strdup_printf("%s.o%u", part->name, index);
}

/* @below NULL: on nothing. */
static void plan_layer(const HostlerPart *part, const char *node, const char *path, const char *below, bool readonly,
                       Plan *plan)
{
        const HostlerDiskProps *props = part->props;
        g_autofree char *file = g_strdup_printf("%s.file", node);
        json_t *bytes = file_node(file, path, props->cache, props->readonly);
        /* A lower layer is written to when another is merged into it, and only then. */
        if (readonly && !props->readonly)
                json_object_set_new(bytes, "auto-read-only", json_true());
        plan_add(plan, STEP_BLOCKDEV, bytes);
        plan_add(plan, STEP_BLOCKDEV, qcow2_node(node, file, below, readonly));
}

void disk_plan_layer(const DeviceContext *context, const HostlerPart *part, const char *path, Plan *plan)
{
        g_autofree char *node = disk_layer_node(path);
        plan_layer(part, node, path, NULL, false, plan);
}

static void disk_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerDiskProps *props = part->props;
        g_auto(GStrv) files = files_of(context, part);
        g_autofree char *below = props->image ? g_strdup_printf("%s.base", part->name) : NULL;
        if (props->image)
                plan_image(context, part, below, plan);
        guint count = g_strv_length(files);
        for (guint i = count; i > 0; i--) {
                char *node = node_of(context, part, files[i - 1], count - i);
                plan_layer(part, node, files[i - 1], below, props->readonly || i > 1, plan);
                g_free(below);
                below = node;
        }
        plan_add(plan, STEP_DEVICE, front_end(context, part));
}

#define COMMIT_POLL_US 2000
#define COMMIT_LIMIT_MS 30000

/* @ret_status: of block job @id, NULL when it is gone. Caller frees. */
static bool job_status(Qmp *qmp, const char *id, char **ret_status, GError **error)
{
        json_auto_t *jobs = NULL;
        json_t *entry;
        size_t i;
        *ret_status = NULL;
        if (!qmp_call(qmp, "query-jobs", NULL, &jobs, error))
                return false;
        json_array_foreach (jobs, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "id")), id) == 0)
                        *ret_status = g_strdup(json_string_value(json_object_get(entry, "status")));
        return true;
}

bool disk_commit_layer(Qmp *qmp, const char *node, const char *below, GError **error)
{
        int64_t end = clock_monotonic_ms() + COMMIT_LIMIT_MS;
        const char *id = "commit";
        if (!qmp_call(qmp, "block-commit",
                      json_pack("{s:s, s:s, s:s}", "job-id", id, "device", node, "base-node", below), NULL, error))
                return false;
        for (;;) {
                g_autofree char *status = NULL;
                if (!job_status(qmp, id, &status, error))
                        return false;
                if (!status)
                        return true;
                if (strcmp(status, "ready") == 0 &&
                    !qmp_call(qmp, "job-complete", json_pack("{s:s}", "id", id), NULL, error))
                        return false;
                if (clock_monotonic_ms() >= end)
                        return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "QEMU does not finish folding %s", node);
                g_usleep(COMMIT_POLL_US);
        }
}

/* What QEMU shows the guest now, by the disk's node. */
static bool device_bytes(Qmp *qmp, const char *node, int64_t *ret_bytes, GError **error)
{
        json_t *nodes = NULL, *entry;
        size_t index;
        *ret_bytes = -1;
        if (!qmp_call(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, error))
                return false;
        json_array_foreach (nodes, index, entry) {
                const char *name = json_string_value(json_object_get(entry, "node-name"));
                if (g_strcmp0(name, node) == 0)
                        *ret_bytes =
                            json_integer_value(json_object_get(json_object_get(entry, "image"), "virtual-size"));
        }
        json_decref(nodes);
        return true;
}

/* A disk is found in the guest by the serial number we gave it. */
static void report_guest(const DeviceChange *change)
{
        const HostlerDiskProps *props = change->new_part->props;
        const char *serial = props->serial ? props->serial : change->new_part->name;
        const char *argv[] = {"sh", "-c",
                              "for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = \"$0\" ] && cat $d/size; done",
                              serial, NULL};
        g_autofree char *text = device_ask_guest(change, argv);
        if (text && g_ascii_isdigit(text[0]))
                change->change->guest = size_format(g_ascii_strtoll(text, NULL, 10) * 512);
}

static bool set_size(const DeviceChange *change, GError **error)
{
        const HostlerDiskProps *new = change->new_part->props;
        g_autofree char *node = head_node(change->context, change->new_part);
        int64_t bytes = -1;
        if (!device_bytes(change->qmp, node, &bytes, error))
                return false;
        /* block_resize shrinks without asking; so it is never given less than there is. */
        if (new->size < bytes)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "%s has %" G_GINT64_FORMAT " bytes and shrinking would cut off data", node, bytes);
        if (new->size > bytes &&
            !qmp_call(change->qmp, "block_resize",
                      json_pack("{s:s, s:I}", "node-name", node, "size", (json_int_t) new->size), NULL, error))
                return false;
        if (!device_bytes(change->qmp, node, &bytes, error))
                return false;
        change->change->device = size_format(bytes);
        report_guest(change);
        return true;
}

static const DeviceSetter disk_setters[] = {{"size", set_size}, {NULL, NULL}};

const DeviceType disk_device = {
    .kind = "disk",
    .check = disk_check,
    .plan = disk_plan,
    .setters = disk_setters,
};
