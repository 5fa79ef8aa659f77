/*
 * Strays: files of disks, memory and snapshots that no VM's row speaks of. A daemon that was killed leaves none, for
 * its jobs' journals name them; a power cut may, where a file came to the disk before the journal did: no job waits for
 * the disk before it makes a file. They are looked for when the daemon starts, and go in a job that has the VM's turn,
 * so that none is taken for a stray that another job is just making.
 */
#include "vm/snapshot/strays.h"

#include <string.h>

#include "base/file.h"
#include "vm/manager_internal.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers_work.h"
#include "vm/snapshot/saved_state.h"
#include "vm/snapshot/snapshot.h"

/* ---- what there should be: names relative to the VM's folder ---- */

static void know_disks(const HostlerSpec *spec, const HostlerVmHistory *history, GHashTable *known)
{
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "disk") == 0 && !layers_head(history, spec->items[i].name))
                        g_hash_table_add(known, vm_first_layer(&spec->items[i]));
}

static void know_history(const HostlerVmHistory *history, GHashTable *known)
{
        for (size_t i = 0; i < history->layers.count; i++)
                g_hash_table_add(known, g_strdup(history->layers.items[i].file));
        for (size_t i = 0; i < history->snapshots.count; i++) {
                g_hash_table_add(known, snapshot_memory_file(history->snapshots.items[i].name));
                g_hash_table_add(known, snapshot_keepsakes(history->snapshots.items[i].name));
        }
}

static GHashTable *known_files(Vm *vm)
{
        GHashTable *known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autoptr(Spec) spec = vm_spec(vm);
        HostlerVmHistory history;
        HostlerVmRuntime runtime;
        vm_history(vm, &history);
        vm_runtime(vm, &runtime);
        know_history(&history, known);
        know_disks(&spec->value, &history, known);
        know_disks(&runtime.launched, &history, known); /* what QEMU has open still */
        if (runtime.saved)
                g_hash_table_add(known, g_strdup(SAVED_STATE_FILE));
        record_clear(&hostler_vm_history_type, &history);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return known;
}

/* ---- what there is ---- */

/* "disk0.qcow2" and "disk0.3.raw", as vm_new_layer() makes them; not "firmware.uefi.qcow2". */
static bool names_layer(const char *file)
{
        return g_regex_match_simple("^[^.]+(\\.[0-9]+)?\\.(qcow2|raw)$", file, 0, 0);
}

static bool may_be_stray(const char *file)
{
        return g_str_has_prefix(file, SNAPSHOT_FOLDER "/") || strcmp(file, SAVED_STATE_FILE) == 0 || names_layer(file);
}

/* @folder: in the VM's, "" for itself. */
static void look_in(Vm *vm, const char *folder, GHashTable *known, GPtrArray *strays)
{
        g_autofree char *path = vm_path(vm, folder);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *file = *folder ? g_strdup_printf("%s/%s", folder, name) : g_strdup(name);
                if (may_be_stray(file) && !g_hash_table_contains(known, file))
                        g_ptr_array_add(strays, g_steal_pointer(&file));
        }
}

static GPtrArray *find(Vm *vm)
{
        GPtrArray *strays = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GHashTable) known = known_files(vm);
        look_in(vm, "", known, strays);
        look_in(vm, SNAPSHOT_FOLDER, known, strays);
        return strays;
}

bool strays_remove(Job *job, Vm *vm, GError **error)
{
        g_autoptr(GPtrArray) strays = find(vm);
        for (guint i = 0; i < strays->len; i++) {
                g_autofree char *path = vm_path(vm, strays->pdata[i]);
                if (job_step(job, "stray", "delete %s, which belongs to nothing", (char *)strays->pdata[i]) &&
                    !dir_remove_durably(path, error))
                        return false;
        }
        return true;
}

void strays_remove_soon(const GPtrArray *vms)
{
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = vms->pdata[i];
                HostlerSnapshotTidyArgs args = {.vm = (char *)vm_id(vm)};
                g_autoptr(GPtrArray) strays = find(vm);
                if (strays->len > 0)
                        manager_ask(vm, "snapshot", "tidy", &args, NULL);
        }
}
