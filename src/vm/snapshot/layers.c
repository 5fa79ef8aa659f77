/*
 * The forest of disk layers. See layers.h. Who acts on it (creates, merges, deletes files) is snapshot.c.
 */
#include "vm/snapshot/layers.h"

#include <string.h>

#include "base/record.h"

/* ---- lookups ---- */

static HostlerLayer *find_layer(const HostlerVmHistory *history, const char *file)
{
        for (size_t i = 0; file && i < history->layers.count; i++)
                if (g_str_equal(history->layers.items[i].file, file))
                        return &history->layers.items[i];
        return NULL;
}

static HostlerDiskLayer *find_disk(const HostlerDiskLayerList *disks, const char *part)
{
        for (size_t i = 0; i < disks->count; i++)
                if (g_str_equal(disks->items[i].part, part))
                        return &disks->items[i];
        return NULL;
}

static bool has_file(const HostlerDiskLayerList *disks, const char *file)
{
        for (size_t i = 0; i < disks->count; i++)
                if (g_str_equal(disks->items[i].file, file))
                        return true;
        return false;
}

const char *layers_head(const HostlerVmHistory *history, const char *part)
{
        const HostlerDiskLayer *head = find_disk(&history->heads, part);
        return head ? head->file : NULL;
}

GPtrArray *layers_below(const HostlerVmHistory *history, const char *file)
{
        GPtrArray *chain = g_ptr_array_new();
        for (HostlerLayer *layer = find_layer(history, file); layer; layer = find_layer(history, layer->parent))
                g_ptr_array_add(chain, layer->file);
        return chain;
}

GPtrArray *layers_chain(const HostlerVmHistory *history, const char *part)
{
        return layers_below(history, layers_head(history, part));
}

const HostlerDiskOrigin *layers_origin(const HostlerVmHistory *history, const char *part)
{
        for (size_t i = 0; i < history->origins.count; i++)
                if (g_str_equal(history->origins.items[i].part, part))
                        return &history->origins.items[i];
        return NULL;
}

void layers_set_origin(HostlerVmHistory *history, const char *part, const char *vm, const char *disk, const char *file)
{
        HostlerDiskOriginList *origins = &history->origins;
        origins->items = g_renew(HostlerDiskOrigin, origins->items, origins->count + 1);
        origins->items[origins->count++] = (HostlerDiskOrigin){
            .part = g_strdup(part), .vm = g_strdup(vm), .disk = g_strdup(disk), .file = g_strdup(file)};
}

char **layers_sources(const HostlerVmHistory *history)
{
        g_autoptr(GStrvBuilder) sources = g_strv_builder_new();
        for (size_t i = 0; i < history->origins.count; i++) {
                bool known = false;
                for (size_t k = 0; k < i; k++)
                        known = known || g_str_equal(history->origins.items[k].vm, history->origins.items[i].vm);
                if (!known)
                        g_strv_builder_add(sources, history->origins.items[i].vm);
        }
        return g_strv_builder_end(sources);
}

bool layers_has(const HostlerVmHistory *history, const char *file)
{
        return find_layer(history, file) != NULL;
}

size_t layers_depth(const HostlerVmHistory *history)
{
        size_t depth = 0;
        for (size_t i = 0; i < history->heads.count; i++) {
                g_autoptr(GPtrArray) chain = layers_chain(history, history->heads.items[i].part);
                depth = MAX(depth, chain->len);
        }
        return depth;
}

const HostlerSnapshot *layers_snapshot(const HostlerVmHistory *history, const char *name)
{
        for (size_t i = 0; name && i < history->snapshots.count; i++)
                if (g_str_equal(history->snapshots.items[i].name, name))
                        return &history->snapshots.items[i];
        return NULL;
}

/* ---- lists ---- */

static void append_disk(HostlerDiskLayerList *disks, const char *part, const char *file)
{
        disks->items = g_renew(HostlerDiskLayer, disks->items, disks->count + 1);
        disks->items[disks->count++] = (HostlerDiskLayer){.part = g_strdup(part), .file = g_strdup(file)};
}

static void append_layer(HostlerVmHistory *history, const char *file, const char *parent)
{
        HostlerLayerList *layers = &history->layers;
        layers->items = g_renew(HostlerLayer, layers->items, layers->count + 1);
        layers->items[layers->count++] = (HostlerLayer){.file = g_strdup(file), .parent = g_strdup(parent)};
}

/* Takes element @index out of an array of @count elements; its contents have been freed. */
static void close_gap(void *items, size_t *count, size_t index, size_t size)
{
        char *at = (char *)items + index * size;
        (*count)--;
        memmove(at, at + size, (*count - index) * size);
}

static void set_text(char **text, const char *value)
{
        char *copy = g_strdup(value);
        g_free(*text);
        *text = copy;
}

/* ---- changes ---- */

void layers_add(HostlerVmHistory *history, const char *part, const char *file)
{
        append_layer(history, file, NULL);
        append_disk(&history->heads, part, file);
}

void layers_go_on(HostlerVmHistory *history, const char *part, const char *file, const char *parent)
{
        HostlerDiskLayer *head = find_disk(&history->heads, part);
        append_layer(history, file, parent);
        if (head)
                set_text(&head->file, file);
        else
                append_disk(&history->heads, part, file);
}

void layers_drop(HostlerVmHistory *history, const char *part)
{
        HostlerDiskLayer *head = find_disk(&history->heads, part);
        if (!head)
                return;
        size_t index = (size_t)(head - history->heads.items);
        record_clear(&hostler_disk_layer_type, head);
        close_gap(history->heads.items, &history->heads.count, index, sizeof *head);
}

void layers_keep(HostlerVmHistory *history, HostlerSnapshot *snapshot_taken)
{
        HostlerSnapshotList *snapshots = &history->snapshots;
        set_text(&snapshot_taken->parent, history->current);
        for (size_t i = 0; i < history->heads.count; i++)
                append_disk(&snapshot_taken->disks, history->heads.items[i].part, history->heads.items[i].file);
        set_text(&history->current, snapshot_taken->name);
        snapshots->items = g_renew(HostlerSnapshot, snapshots->items, snapshots->count + 1);
        snapshots->items[snapshots->count++] = *snapshot_taken;
        memset(snapshot_taken, 0, sizeof *snapshot_taken);
}

void layers_forget(HostlerVmHistory *history, const char *name)
{
        HostlerSnapshot *snapshot = (HostlerSnapshot *)layers_snapshot(history, name);
        HostlerSnapshotList *snapshots = &history->snapshots;
        if (!snapshot)
                return;
        for (size_t i = 0; i < snapshots->count; i++)
                if (g_strcmp0(snapshots->items[i].parent, snapshot->name) == 0)
                        set_text(&snapshots->items[i].parent, snapshot->parent);
        if (g_strcmp0(history->current, snapshot->name) == 0)
                set_text(&history->current, snapshot->parent);
        size_t index = (size_t)(snapshot - snapshots->items);
        record_clear(&hostler_snapshot_type, snapshot);
        close_gap(snapshots->items, &snapshots->count, index, sizeof *snapshot);
}

void layers_pin(HostlerVmHistory *history, const char *file, const char *vm)
{
        HostlerLayerPinList *pins = &history->pins;
        pins->items = g_renew(HostlerLayerPin, pins->items, pins->count + 1);
        pins->items[pins->count++] = (HostlerLayerPin){.file = g_strdup(file), .vm = g_strdup(vm)};
}

void layers_unpin(HostlerVmHistory *history, const char *vm)
{
        HostlerLayerPinList *pins = &history->pins;
        for (size_t i = pins->count; i > 0; i--) {
                if (vm && !g_str_equal(pins->items[i - 1].vm, vm))
                        continue;
                record_clear(&hostler_layer_pin_type, &pins->items[i - 1]);
                close_gap(pins->items, &pins->count, i - 1, sizeof pins->items[0]);
        }
}

void layers_forget_origin(HostlerVmHistory *history, const char *part)
{
        HostlerDiskOriginList *origins = &history->origins;
        for (size_t i = origins->count; i > 0; i--) {
                if (!g_str_equal(origins->items[i - 1].part, part))
                        continue;
                record_clear(&hostler_disk_origin_type, &origins->items[i - 1]);
                close_gap(origins->items, &origins->count, i - 1, sizeof origins->items[0]);
        }
}

/* ---- what is not needed ---- */

static bool is_held(const HostlerVmHistory *history, const char *file)
{
        if (has_file(&history->heads, file))
                return true;
        for (size_t i = 0; i < history->snapshots.count; i++)
                if (has_file(&history->snapshots.items[i].disks, file))
                        return true;
        for (size_t i = 0; i < history->pins.count; i++)
                if (g_str_equal(history->pins.items[i].file, file))
                        return true;
        return false;
}

/* How many layers stand on @file; the last of them in @ret_child. */
static size_t count_children(const HostlerVmHistory *history, const char *file, const HostlerLayer **ret_child)
{
        size_t count = 0;
        *ret_child = NULL;
        for (size_t i = 0; i < history->layers.count; i++) {
                if (g_strcmp0(history->layers.items[i].parent, file) != 0)
                        continue;
                *ret_child = &history->layers.items[i];
                count++;
        }
        return count;
}

/* Whether a clone stands on @file or on anything that stands on it. */
static bool is_under_clone(const HostlerVmHistory *history, const char *file)
{
        for (size_t i = 0; i < history->pins.count; i++) {
                g_autoptr(GPtrArray) chain = layers_below(history, history->pins.items[i].file);
                for (guint k = 0; k < chain->len; k++)
                        if (g_str_equal(chain->pdata[k], file))
                                return true;
        }
        return false;
}

/* Such a disk is to stay one, so it is the ground for as long as something stands on it. */
static bool is_raw(const char *file)
{
        return g_str_has_suffix(file, ".raw");
}

bool layers_waste(const HostlerVmHistory *history, Waste *ret_waste)
{
        for (size_t i = 0; i < history->layers.count; i++) {
                const HostlerLayer *layer = &history->layers.items[i], *child;
                if (is_held(history, layer->file) || count_children(history, layer->file, &child) > 1)
                        continue;
                if (child && (is_raw(layer->file) || is_under_clone(history, child->file)))
                        continue;
                *ret_waste = (Waste){.file = layer->file, .child = child ? child->file : NULL, .parent = layer->parent};
                return true;
        }
        return false;
}

void layers_gone(HostlerVmHistory *history, const char *file)
{
        HostlerLayer *layer = find_layer(history, file);
        const HostlerLayer *child;
        if (!layer)
                return;
        while (count_children(history, layer->file, &child) > 0)
                set_text(&((HostlerLayer *)child)->parent, layer->parent);
        size_t index = (size_t)(layer - history->layers.items);
        record_clear(&hostler_layer_type, layer);
        close_gap(history->layers.items, &history->layers.count, index, sizeof *layer);
}

size_t layers_waiting(const HostlerVmHistory *history)
{
        size_t waiting = 0;
        for (size_t i = 0; i < history->layers.count; i++) {
                const HostlerLayer *child;
                const char *file = history->layers.items[i].file;
                waiting += !is_held(history, file) && count_children(history, file, &child) > 1;
        }
        return waiting;
}
