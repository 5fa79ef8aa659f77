/*
 * Media of CD and floppy drives: what they are, and how one takes the other's place while the guest runs. See medium.h.
 */
#include "device/medium.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "storage/medium.h"

#define TRAY_POLL_US 100000

/* ---- what it is ---- */

static bool is_floppy(const HostlerPart *part)
{
        return strcmp(part->kind, "floppy") == 0;
}

Medium medium_of(const DeviceContext *context, const HostlerPart *part)
{
        if (is_floppy(part)) {
                const HostlerFloppyProps *floppy = part->props;
                return (Medium){floppy->medium, floppy->format == HOSTLER_MEDIUM_FORMAT_QCOW2, floppy->readonly,
                                floppy->memory};
        }
        const HostlerCdromProps *cd = part->props;
        return (Medium){cd->medium, cd->format == HOSTLER_MEDIUM_FORMAT_QCOW2, true,
                        block_memory_bytes(context, part, cd->memory)};
}

static BlockGraph graph_of(const Medium *medium, const BlockLayer *layer)
{
        return (BlockGraph){
            .layers = layer,
            .n_layers = 1,
            .readonly = medium->readonly,
            .cache = HOSTLER_DISK_CACHE_WRITEBACK,
            .memory_bytes = medium->memory_bytes,
        };
}

static void plan_as(const Medium *medium, const char *node, Plan *plan)
{
        BlockLayer layer = {.node = node, .path = medium->path, .qcow2 = medium->qcow2};
        BlockGraph graph = graph_of(medium, &layer);
        if (medium->path)
                block_plan(&graph, plan);
}

void medium_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        Medium medium = medium_of(context, part);
        plan_as(&medium, part->name, plan);
}

/* ---- faults ---- */

static bool is_drive(const HostlerPart *part)
{
        return is_floppy(part) || strcmp(part->kind, "cdrom") == 0;
}

/* QEMU's lock lets one of two drives have a file, if either writes. */
static void check_shared(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        Medium mine = medium_of(context, part);
        g_autofree char *pointer = g_strdup_printf("/spec/%s/medium", part->name);
        for (const HostlerPart *other = context->spec->items; mine.path && other < part; other++) {
                Medium theirs = is_drive(other) ? medium_of(context, other) : (Medium){0};
                if (g_strcmp0(mine.path, theirs.path) == 0 && !(mine.readonly && theirs.readonly))
                        faults_add(faults, pointer, "%s has it, and one of them could write it", other->name);
        }
}

void medium_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        Medium medium = medium_of(context, part);
        int64_t own = is_floppy(part) ? ((const HostlerFloppyProps *)part->props)->memory
                                      : ((const HostlerCdromProps *)part->props)->memory;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/memory", part->name);
        if (own != HOSTLER_UNSET && !(medium.path && medium.qcow2))
                faults_add(faults, pointer,
                           "a drive has no memory; it would be the host cache of a qcow2 medium, and %s",
                           medium.path ? "a raw one has none but the host's page cache" : "the drive is empty");
        check_shared(context, part, faults);
}

bool medium_inspect(const DeviceContext *context, const HostlerPart *part, int64_t *ret_bytes, GError **error)
{
        Medium medium = medium_of(context, part);
        int64_t bytes = -1;
        bool ok = !medium.path || medium_inspect_file(medium.path, medium.qcow2, !medium.readonly, &bytes, error);
        if (ret_bytes)
                *ret_bytes = bytes;
        return ok;
}

bool medium_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        Medium medium = medium_of(context, part);
        if (medium_inspect(context, part, NULL, error) &&
            (!medium.path || medium_is_free(medium.path, !medium.readonly, error)))
                return true;
        error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s", part->name);
        return error_hint(error, "have it hold something else, or nothing: hostler device eject %s %s",
                          context->vm_name, part->name);
}

/* ---- the tray ---- */

static bool flag(const json_t *state, const char *name)
{
        return json_is_true(json_object_get(state, name));
}

static bool call(const DeviceChange *change, const char *command, GError **error)
{
        return qmp_call(change->qmp, command, json_pack("{s:s}", "id", change->new_part->name), NULL, error);
}

static bool ask_to_open(const DeviceChange *change, GError **error)
{
        json_t *args = json_pack("{s:s, s:b}", "id", change->new_part->name, "force", change->force);
        return qmp_call(change->qmp, "blockdev-open-tray", args, NULL, error);
}

static bool refuse_locked(const DeviceChange *change, GError **error)
{
        error_set(error, HOSTLER_ERROR_BUSY, NULL, "the guest has locked the tray of %s: it has the medium in use",
                  change->new_part->name);
        return error_hint(error, "have the guest unmount it, or take it away with: hostler device eject %s %s --force",
                          change->context->vm_name, change->new_part->name);
}

/* A floppy drive has no tray: nothing keeps its medium. QEMU's answer does not tell whether the tray has opened. */
static bool open_tray(const DeviceChange *change, GError **error)
{
        int64_t end = clock_monotonic_ms() + change->patience_ms;
        while (!is_floppy(change->new_part)) {
                if (!ask_to_open(change, error))
                        return false;
                json_auto_t *state = block_device_state(change->qmp, change->new_part, error);
                if (!state)
                        return false;
                if (flag(state, "tray_open"))
                        break;
                if (clock_monotonic_ms() >= end)
                        return refuse_locked(change, error);
                if (g_cancellable_set_error_if_cancelled(change->cancellable, error))
                        return false;
                g_usleep(TRAY_POLL_US);
        }
        return true;
}

/* ---- changing it ---- */

/* QEMU opens it as it will be, under another name, and lets it go again. One that it has open already is good. */
static bool try_it(const DeviceChange *change, const Medium *old, const Medium *medium, GError **error)
{
        if (!medium->path || g_strcmp0(old->path, medium->path) == 0)
                return true;
        if (!medium_is_free(medium->path, !medium->readonly, error))
                return false;
        g_autofree char *node = g_strdup_printf("%s.try", change->new_part->name);
        g_autoptr(Plan) plan = plan_new();
        plan_as(medium, node, plan);
        return (plan_run(plan, change->qmp, error) && plan_unplug(plan, change->qmp, QMP_TIMEOUT_MS, error)) ||
               error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "QEMU cannot open %s", medium->path);
}

/* Whatever is in the drive, and the nodes that a change that was cut short has left: they go by their names alone. */
static bool take_out(const DeviceChange *change, GError **error)
{
        const Medium any = {.path = "/"};
        g_autoptr(Plan) plan = plan_new();
        plan_as(&any, change->new_part->name, plan);
        return call(change, "blockdev-remove-medium", error) && plan_unplug(plan, change->qmp, QMP_TIMEOUT_MS, error);
}

static bool put_in(const DeviceChange *change, const Medium *medium, GError **error)
{
        const char *name = change->new_part->name;
        g_autoptr(Plan) plan = plan_new();
        if (!medium->path)
                return true;
        plan_as(medium, name, plan);
        if (!plan_run(plan, change->qmp, error))
                return false;
        if (qmp_call(change->qmp, "blockdev-insert-medium", json_pack("{s:s, s:s}", "id", name, "node-name", name),
                     NULL, error))
                return true;
        plan_unplug(plan, change->qmp, QMP_TIMEOUT_MS, NULL);
        return false;
}

static bool replace(const DeviceChange *change, const Medium *old, const Medium *new, GError **error)
{
        if (!take_out(change, error))
                return false;
        if (put_in(change, new, error))
                return medium_shut(change->new_part, change->qmp, error);
        put_in(change, old, NULL);
        medium_shut(change->new_part, change->qmp, NULL);
        return false;
}

/* Whether QEMU has it in the drive already, the tray closed. */
static bool is_in(const json_t *state, const Medium *medium)
{
        const json_t *inserted = json_object_get(state, "inserted");
        const char *file = json_string_value(json_object_get(inserted, "file"));
        const char *driver = json_string_value(json_object_get(inserted, "drv"));
        if (flag(state, "tray_open") || g_strcmp0(file, medium->path) != 0)
                return false;
        return !file ||
               (g_strcmp0(driver, medium->qcow2 ? "qcow2" : "raw") == 0 && flag(inserted, "ro") == medium->readonly);
}

bool medium_set(const DeviceChange *change, GError **error)
{
        const HostlerPart *part = change->new_part;
        Medium old = medium_of(change->context, change->old_part), new = medium_of(change->context, part);
        json_auto_t *state = block_device_state(change->qmp, part, error);
        if (!state)
                return false;
        if (!is_in(state, &new) &&
            (!try_it(change, &old, &new, error) || !open_tray(change, error) || !replace(change, &old, &new, error)))
                return false;
        change->change->device = new.path ? g_strdup(new.path) : g_strdup("empty");
        return true;
}

bool medium_shut(const HostlerPart *part, Qmp *qmp, GError **error)
{
        return is_floppy(part) ||
               qmp_call(qmp, "blockdev-close-tray", json_pack("{s:s}", "id", part->name), NULL, error);
}

/* ---- memory ---- */

static bool reopen(const DeviceChange *change, const HostlerPart *part, GError **error)
{
        Medium medium = medium_of(change->context, part);
        BlockLayer layer = {.node = part->name, .path = medium.path, .qcow2 = medium.qcow2};
        BlockGraph graph = graph_of(&medium, &layer);
        json_auto_t *state = block_device_state(change->qmp, part, error);
        return state && (!is_in(state, &medium) || !medium.path || block_reopen(&graph, false, change->qmp, error));
}

bool medium_follow(const DeviceChange *change, const HostlerPart *part, GError **error)
{
        return !spec_part(change->context->launched, part->name) || reopen(change, part, error);
}

bool medium_set_memory(const DeviceChange *change, GError **error)
{
        Medium medium = medium_of(change->context, change->new_part);
        int64_t bytes;
        if (!reopen(change, change->new_part, error) ||
            !medium_inspect(change->context, change->new_part, &bytes, error))
                return false;
        change->change->device = medium.memory_bytes == HOSTLER_UNSET || bytes < 0
                                     ? g_strdup("QEMU's choice")
                                     : size_format(block_tables_bytes(medium.memory_bytes, bytes));
        return true;
}
