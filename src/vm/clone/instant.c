/*
 * Instant clones. See instant.h.
 *
 * QEMU writes the memory of a VM into its stream, or leaves out what other processes share (x-ignore-shared). So the
 * state of the running source is loaded once by a QEMU whose memory is a shared file, and written again without it:
 * that is the mould, a file of memory and some 400 KiB of devices. The clones' QEMUs map the file privately and load
 * the devices. The file may be unlinked when the last of them has it mapped.
 *
 * A network adapter comes out of the stream with the source's address, whatever its QEMU was told; the guest is made to
 * use the new one, which it would have anyway after a reboot.
 */
#include "vm/clone/instant.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "host/host_facts.h"
#include "vm/clone/clone.h"
#include "vm/clone/template.h"
#include "vm/parts.h"
#include "vm/power.h"
#include "vm/prepare.h"
#include "vm/snapshot/saved_state.h"

/* What a clone of a guest of 256 MiB took in all was 34 MiB. */
#define AT_A_TIME 4
#define EACH_BYTES (48LL << 20)

/* ---- what speaks against it ---- */

static bool has_nic(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "nic") == 0)
                        return true;
        return false;
}

static bool has_grown(const HostlerVmRuntime *run)
{
        for (size_t i = 0; i < run->slots.count; i++)
                if (strcmp(run->slots.items[i].part, "memory") == 0)
                        return true;
        return false;
}

static bool check_run(Vm *source, const HostlerVmRuntime *run, GError **error)
{
        g_autofree char *object = vm_object(source);
        g_autoptr(GuestAgent) agent = vm_agent(source);
        const HostlerMemoryProps *memory = spec_part(&run->launched, "memory")->props;
        if (has_grown(run)) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, object, "its memory was grown above what it booted with");
                return error_hint(error, "restart it, which makes all its memory boot memory; or clone it --linked");
        }
        if (memory->hugepages)
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, object,
                                 "its memory is in huge pages, of which no clone can have pages of its own");
        /* A template's had one when it was ready. */
        if (agent || template_is(source) || !has_nic(&run->launched))
                return true;
        error_set(error, HOSTLER_ERROR_NO_AGENT, object,
                  "its adapters' addresses can only be changed in the guest, and no agent answers there");
        return error_hint(error, "wait for the agent, or remove its adapters, or clone it --linked");
}

static bool check_room(Vm *source, const HostlerVmRuntime *run, size_t count, GError **error)
{
        g_autofree char *object = vm_object(source);
        int64_t disk = dir_free_bytes(vm_dir(source)), memory = host_memory_available_bytes();
        int64_t wanted = (int64_t)count * EACH_BYTES + run->memory_boot;
        g_autofree char *want_disk = size_format(2 * run->memory_boot), *want_memory = size_format(wanted);
        if (disk >= 0 && disk < 2 * run->memory_boot)
                return error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "its memory may need %s on disk for a while",
                                 want_disk);
        return memory < 0 || memory >= wanted ||
               error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "%zu instant clones need %s of memory", count,
                         want_memory);
}

bool instant_check(Vm *source, size_t count, GError **error)
{
        HostlerVmRuntime run;
        HostlerPower power = vm_power(source);
        g_autofree char *object = vm_object(source);
        if (!template_is(source) && power != HOSTLER_POWER_RUNNING && power != HOSTLER_POWER_PAUSED) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object,
                          "an instant clone goes on where its source is, and the VM is %s",
                          hostler_power_enum.values[power]);
                return error_hint(error, "start it, or clone it --linked");
        }
        vm_runtime(source, &run);
        bool ok = vm_check_savable(source, error) && check_run(source, &run, error) &&
                  check_room(source, &run, count, error) &&
                  (!vm_is_live(source) || saved_state_check_free(source, error));
        record_clear(&hostler_vm_runtime_type, &run);
        return ok;
}

/* ---- a run like the source's ---- */

void instant_describe(Vm *source, const char *id, HostlerVmRuntime *ret_run)
{
        HostlerVmRuntime theirs;
        vm_runtime(source, &theirs);
        record_init(&hostler_vm_runtime_type, ret_run);
        g_autoptr(Spec) launched = clone_spec(&theirs.launched, id);
        record_copy(&hostler_spec_type, &launched->value, &ret_run->launched);
        ret_run->slots = theirs.slots;
        theirs.slots = (HostlerSlotList){0};
        ret_run->accel = theirs.accel;
        ret_run->memory_boot = theirs.memory_boot;
        ret_run->memory_max = theirs.memory_max;
        ret_run->wide_ports = theirs.wide_ports;
        ret_run->memory_file = vm_path(source, INSTANT_MEMORY);
        record_clear(&hostler_vm_runtime_type, &theirs);
}

static bool record_run(Vm *source, Vm *clone, bool kept, GError **error)
{
        HostlerVmRuntime run;
        instant_describe(source, vm_id(clone), &run);
        run.memory_kept = kept;
        bool ok = vm_set_runtime(clone, &run, error);
        record_clear(&hostler_vm_runtime_type, &run);
        return ok;
}

static void forget_file(HostlerVmRuntime *runtime, void *data)
{
        g_clear_pointer(&runtime->memory_file, g_free);
        runtime->memory_kept = false;
}

/* ---- the mould ---- */

static bool fill_mould(Job *job, Vm *source, Vm *first, GError **error)
{
        g_autofree char *full = vm_path(source, INSTANT_FULL), *devices = vm_path(source, INSTANT_DEVICES);
        return record_run(source, first, true, error) && prepare_seed(first, error) && vm_launch(first, true, error) &&
               saved_state_load_file(first, job_cancellable(job), full, error) &&
               saved_state_write_devices(first, job, devices, error) && vm_kill(first, "host-stop", error) &&
               dir_remove_durably(full, error);
}

/* A QEMU that finds no space for memory that it has mapped is ended by the host (SIGBUS). */
static bool has_no_room(Vm *source)
{
        HostlerVmRuntime run;
        vm_runtime(source, &run);
        int64_t wanted = run.memory_boot, have = dir_free_bytes(vm_dir(source));
        record_clear(&hostler_vm_runtime_type, &run);
        return have >= 0 && have < wanted;
}

bool instant_make_mould(Job *job, Vm *source, Vm *first, GError **error)
{
        g_autofree char *mould = vm_path(source, INSTANT_MOULD), *object = vm_object(source);
        g_autoptr(GError) problem = NULL;
        if (fill_mould(job, source, first, &problem))
                return true;
        bool full = vm_died(first) && has_no_room(source);
        /* At once: undoing the rest may need space. */
        dir_remove_durably(mould, NULL);
        if (full)
                return error_set(error, HOSTLER_ERROR_NO_CAPACITY, object,
                                 "its memory does not find room: No space left on device");
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

/* ---- a clone ---- */

/* Two VMs with one address on a network would cut each other off. */
static bool links_down(Vm *clone, const HostlerSpec *launched, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(clone, error);
        bool ok = qmp != NULL;
        for (size_t i = 0; ok && i < launched->count; i++)
                if (strcmp(launched->items[i].kind, "nic") == 0)
                        ok = qmp_call(qmp, "set_link",
                                      json_pack("{s:s, s:b}", "name", launched->items[i].name, "up", 0), NULL, error);
        return ok;
}

/* OLD=NEW of every adapter. */
static bool note_macs(Vm *clone, const HostlerSpec *theirs, const HostlerSpec *own, GError **error)
{
        g_autoptr(GStrvBuilder) pairs = g_strv_builder_new();
        HostlerVmHistory history;
        for (size_t i = 0; i < theirs->count; i++) {
                const HostlerPart *nic = spec_part(own, theirs->items[i].name);
                if (strcmp(theirs->items[i].kind, "nic") != 0 || !nic)
                        continue;
                g_autofree char *pair = g_strdup_printf("%s=%s", ((HostlerNicProps *)theirs->items[i].props)->mac,
                                                        ((const HostlerNicProps *)nic->props)->mac);
                g_strv_builder_add(pairs, pair);
        }
        vm_history(clone, &history);
        g_strfreev(history.identity_macs);
        history.identity_macs = g_strv_builder_end(pairs);
        bool ok = vm_set_history(clone, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

static bool part_from_source(Vm *source, Vm *clone, GError **error)
{
        HostlerVmRuntime theirs, own;
        vm_runtime(source, &theirs);
        vm_runtime(clone, &own);
        bool ok = note_macs(clone, &theirs.launched, &own.launched, error) && links_down(clone, &own.launched, error);
        record_clear(&hostler_vm_runtime_type, &theirs);
        record_clear(&hostler_vm_runtime_type, &own);
        return ok;
}

static bool load_one(Job *job, Vm *source, Vm *clone, GError **error)
{
        g_autofree char *devices = vm_path(source, INSTANT_DEVICES);
        return record_run(source, clone, false, error) && prepare_seed(clone, error) && vm_launch(clone, true, error) &&
               saved_state_load_devices(clone, job_cancellable(job), devices, error) &&
               vm_connect_parts(clone, error) && prepare_launched(clone, error) &&
               part_from_source(source, clone, error);
}

static bool go_on_one(Job *job, Vm *source, Vm *clone, GError **error)
{
        return vm_update_runtime(clone, forget_file, NULL, error) && power_let_run(job, clone, error);
}

/* ---- many ---- */

typedef struct {
        Job *job;
        Vm *source;
        bool (*act)(Job *job, Vm *source, Vm *clone, GError **error);
        GMutex lock;
        GError *error; /* the first */
} Many;

static void act_on(gpointer data, gpointer user_data)
{
        Many *many = user_data;
        g_autoptr(GError) local = NULL;
        g_mutex_lock(&many->lock);
        bool give_up = many->error != NULL;
        g_mutex_unlock(&many->lock);
        if (give_up || many->act(many->job, many->source, data, &local))
                return;
        g_mutex_lock(&many->lock);
        if (!many->error)
                many->error = g_steal_pointer(&local);
        g_mutex_unlock(&many->lock);
}

/* Most of the time of each goes by in waiting for its QEMU and for the disk. */
static bool for_each(Many *many, GPtrArray *clones, GError **error)
{
        GThreadPool *pool = g_thread_pool_new(act_on, many, AT_A_TIME, FALSE, NULL);
        g_mutex_init(&many->lock);
        for (guint i = 0; i < clones->len; i++)
                g_thread_pool_push(pool, clones->pdata[i], NULL);
        g_thread_pool_free(pool, FALSE, TRUE);
        g_mutex_clear(&many->lock);
        if (many->error)
                g_propagate_error(error, many->error);
        return many->error == NULL;
}

bool instant_load(Job *job, Vm *source, GPtrArray *clones, GError **error)
{
        Many many = {.job = job, .source = source, .act = load_one};
        return for_each(&many, clones, error);
}

bool instant_go_on(Job *job, GPtrArray *clones, GError **error)
{
        Many many = {.job = job, .act = go_on_one};
        return for_each(&many, clones, error);
}
