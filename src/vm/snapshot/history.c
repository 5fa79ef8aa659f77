/*
 * What a VM was, as its row has it, and the files that its disks are made of. See layers.h for the rules; snapshot.c
 * and revert.c act on them.
 */
#include <string.h>

#include "base/error.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers_work.h"
#include "vm/vm_internal.h"

void vm_history(Vm *vm, HostlerVmHistory *ret_history)
{
        g_mutex_lock(&vm->lock);
        record_copy(&hostler_vm_history_type, &vm->history, ret_history);
        g_mutex_unlock(&vm->lock);
}

void vm_keep_history(Vm *vm, const HostlerVmHistory *history)
{
        HostlerVmHistory copy, old;
        record_copy(&hostler_vm_history_type, history, &copy);
        layers_unpin(&copy, NULL);
        g_mutex_lock(&vm->lock);
        old = vm->history;
        vm->history = copy;
        g_mutex_unlock(&vm->lock);
        record_clear(&hostler_vm_history_type, &old);
}

char *vm_history_text(const HostlerVmHistory *history)
{
        HostlerVmHistory copy;
        record_copy(&hostler_vm_history_type, history, &copy);
        layers_unpin(&copy, NULL);
        json_auto_t *json = record_to_json(&hostler_vm_history_type, &copy, RECORD_STORED);
        record_clear(&hostler_vm_history_type, &copy);
        return json_dumps(json, JSON_COMPACT);
}

bool vm_set_history(Vm *vm, const HostlerVmHistory *history, GError **error)
{
        g_autofree char *text = vm_history_text(history);
        if (!store_vm_set_history(manager_store(vm->manager), vm->id, text, error))
                return false;
        vm_keep_history(vm, history);
        return true;
}

static void add_pins(Vm *clone, const char *source_id, HostlerVmHistory *history)
{
        g_mutex_lock(&clone->lock);
        for (size_t i = 0; i < clone->history.origins.count; i++) {
                const HostlerDiskOrigin *origin = &clone->history.origins.items[i];
                if (strcmp(origin->vm, source_id) == 0)
                        layers_pin(history, origin->file, clone->id);
        }
        g_mutex_unlock(&clone->lock);
}

void vm_pins(Vm *vm, HostlerVmHistory *history)
{
        layers_unpin(history, NULL);
        for (int trashed = 0; trashed < 2; trashed++) {
                g_autoptr(GPtrArray) others = manager_vms(vm->manager, trashed);
                for (guint i = 0; i < others->len; i++)
                        add_pins(others->pdata[i], vm->id, history);
        }
}

bool vm_is_pinned(Vm *vm)
{
        HostlerVmHistory pins;
        record_init(&hostler_vm_history_type, &pins);
        vm_pins(vm, &pins);
        bool pinned = pins.pins.count > 0;
        record_clear(&hostler_vm_history_type, &pins);
        return pinned;
}

/* A clone of a clone stands on layers of more than one other VM. */
static void add_origin(Vm *vm, const HostlerDiskOrigin *origin, GStrvBuilder *files)
{
        HostlerVmHistory history;
        g_autoptr(Vm) other = origin ? manager_any_vm(vm_manager(vm), origin->vm) : NULL;
        if (!other)
                return;
        vm_history(other, &history);
        g_autoptr(GPtrArray) chain = layers_below(&history, origin->file);
        for (guint i = 0; i < chain->len; i++) {
                g_autofree char *path = vm_layer_path(other, chain->pdata[i]);
                g_strv_builder_add(files, path);
        }
        add_origin(other, layers_origin(&history, origin->disk), files);
        record_clear(&hostler_vm_history_type, &history);
}

char **vm_disk_files(Vm *vm, const char *part)
{
        g_autoptr(GStrvBuilder) files = g_strv_builder_new();
        HostlerVmHistory history;
        vm_history(vm, &history);
        g_autoptr(GPtrArray) chain = layers_chain(&history, part);
        g_autofree char *only = disk_file_name(part);
        for (guint i = 0; i < chain->len || i == 0; i++) {
                g_autofree char *path = vm_layer_path(vm, chain->len ? chain->pdata[i] : only);
                g_strv_builder_add(files, path);
        }
        add_origin(vm, layers_origin(&history, part), files);
        record_clear(&hostler_vm_history_type, &history);
        return g_strv_builder_end(files);
}

char *vm_disk_head(Vm *vm, const char *part)
{
        g_auto(GStrv) files = vm_disk_files(vm, part);
        return g_strdup(files[0]);
}

/* Whether a layer of the VM, in whichever pool, is called so in QEMU: both may be open at once. */
static bool has_node(const HostlerVmHistory *history, const char *file)
{
        g_autofree char *node = disk_layer_node(file);
        for (size_t i = 0; i < history->layers.count; i++) {
                g_autofree char *other = disk_layer_node(history->layers.items[i].file);
                if (strcmp(node, other) == 0)
                        return true;
        }
        return false;
}

char *vm_new_layer(Vm *vm, const char *part, const char *pool, const char *ending)
{
        HostlerVmHistory history;
        g_autofree char *prefix = pool ? g_strdup_printf("%s/%s", pool, part) : g_strdup(part);
        char *file = g_strconcat(prefix, ending, NULL);
        layers_history(vm, &history);
        for (int i = 1;; i++) {
                g_autofree char *path = vm_layer_path(vm, file);
                if (!has_node(&history, file) && !g_file_test(path, G_FILE_TEST_EXISTS))
                        break;
                g_free(file);
                file = g_strdup_printf("%s.%d%s", prefix, i, ending);
        }
        record_clear(&hostler_vm_history_type, &history);
        return file;
}
