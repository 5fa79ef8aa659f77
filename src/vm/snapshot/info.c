/*
 * What is to be said of snapshots: their tree and what they cost on the host. See info.h.
 */
#include "vm/snapshot/info.h"

#include <string.h>

#include "storage/volume.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers.h"

static int64_t file_bytes(Vm *vm, const char *file)
{
        g_autofree char *path = vm_layer_path(vm, file);
        return volume_allocated(path);
}

static int64_t disk_bytes(Vm *vm, const HostlerSnapshot *snapshot)
{
        int64_t bytes = 0;
        for (size_t i = 0; i < snapshot->disks.count; i++)
                bytes += file_bytes(vm, snapshot->disks.items[i].file);
        return bytes;
}

static int64_t depth(const HostlerVmHistory *history, const HostlerSnapshot *snapshot)
{
        int64_t deepest = 0;
        for (size_t i = 0; i < snapshot->disks.count; i++) {
                g_autoptr(GPtrArray) chain = layers_below(history, snapshot->disks.items[i].file);
                deepest = MAX(deepest, (int64_t)chain->len);
        }
        return deepest;
}

/* What removing it would copy: the layers that only it holds and that one other stands on. */
static int64_t merged_bytes(Vm *vm, const HostlerVmHistory *history, const HostlerSnapshot *snapshot)
{
        HostlerVmHistory without;
        Waste waste;
        int64_t bytes = 0;
        record_copy(&hostler_vm_history_type, history, &without);
        layers_forget(&without, snapshot->name);
        while (layers_waste(&without, &waste)) {
                g_autofree char *file = g_strdup(waste.file);
                bytes += waste.child ? file_bytes(vm, file) : 0;
                layers_gone(&without, file);
        }
        record_clear(&hostler_vm_history_type, &without);
        return bytes;
}

static void describe(Vm *vm, const HostlerVmHistory *history, const HostlerSnapshot *snapshot, const char *tree,
                     HostlerSnapshotInfo *ret_info)
{
        record_init(&hostler_snapshot_info_type, ret_info);
        ret_info->name = g_strdup(snapshot->name);
        ret_info->tree = g_strdup(tree);
        ret_info->parent = g_strdup(snapshot->parent);
        ret_info->current = g_strcmp0(history->current, snapshot->name) == 0;
        ret_info->created = g_strdup(snapshot->created);
        ret_info->kind = g_strdup(snapshot->memory ? "full" : "disks");
        ret_info->scheduled = snapshot->scheduled;
        ret_info->frozen = snapshot->frozen;
        ret_info->memory = snapshot->memory ? snapshot->memory->bytes : HOSTLER_UNSET;
        ret_info->disks = disk_bytes(vm, snapshot);
        ret_info->depth = depth(history, snapshot);
        ret_info->merges = merged_bytes(vm, history, snapshot);
        ret_info->description = g_strdup(snapshot->description);
}

static bool is_last_child(const HostlerVmHistory *history, const HostlerSnapshot *snapshot)
{
        for (const HostlerSnapshot *other = snapshot + 1; other < history->snapshots.items + history->snapshots.count;
             other++)
                if (g_strcmp0(other->parent, snapshot->parent) == 0)
                        return false;
        return true;
}

/* Those that came after @parent, each followed by its own; @indent is what stands before them. */
static void list_below(Vm *vm, const HostlerVmHistory *history, const char *parent, const char *indent,
                       HostlerSnapshotInfoList *list)
{
        for (size_t i = 0; i < history->snapshots.count; i++) {
                const HostlerSnapshot *snapshot = &history->snapshots.items[i];
                if (g_strcmp0(snapshot->parent, parent) != 0)
                        continue;
                bool last = is_last_child(history, snapshot);
                g_autofree char *tree = g_strconcat(indent, !parent ? "" : last ? "└─ " : "├─ ", snapshot->name, NULL);
                g_autofree char *below = g_strconcat(indent, !parent ? "" : last ? "   " : "│  ", NULL);
                describe(vm, history, snapshot, tree, &list->items[list->count++]);
                list_below(vm, history, snapshot->name, below, list);
        }
}

void snapshot_info_list(Vm *vm, HostlerSnapshotInfoList *ret_list)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        vm_pins(vm, &history);
        *ret_list = (HostlerSnapshotInfoList){.items = g_new0(HostlerSnapshotInfo, history.snapshots.count)};
        list_below(vm, &history, NULL, "", ret_list);
        record_clear(&hostler_vm_history_type, &history);
}

bool snapshot_info(Vm *vm, const char *name, HostlerSnapshotInfo *ret_info)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        vm_pins(vm, &history);
        const HostlerSnapshot *snapshot = layers_snapshot(&history, name);
        record_init(&hostler_snapshot_info_type, ret_info);
        if (snapshot)
                describe(vm, &history, snapshot, snapshot->name, ret_info);
        record_clear(&hostler_vm_history_type, &history);
        return true;
}
