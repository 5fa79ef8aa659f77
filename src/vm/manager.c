/*
 * The manager: the table of VMs and what verbs reach through it. Recovery at daemon start is recover.c.
 */
#include "vm/manager.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "vm/clone/identity.h"
#include "vm/manager_internal.h"
#include "vm/network/ports.h"
#include "vm/pool/pools.h"
#include "vm/vm_internal.h"

/* Waiting for an adoption at daemon start: its own limit is shorter. */
#define READY_TIMEOUT_MS 30000
#define WAIT_MS 250 /* so often a thread that waits for a job looks whether the daemon ends */
/* Working hardware is proved in a fraction of this; a VM that cannot wait longer is emulated for this run. */
#define PROBE_TIMEOUT_MS 2000

/* ---- made and freed ---- */

static void load_row(const VmRow *row, void *data)
{
        LoadRows *load = data;
        Manager *manager = load->manager;
        json_auto_t *json = json_loads(row->spec, 0, NULL);
        HostlerSpec spec;
        if (load->error || !record_from_json(&hostler_spec_type, json, "/spec", &spec, &load->error)) {
                g_prefix_error(&load->error, "VM %s: ", row->name);
                return;
        }
        Vm *vm = vm_new(manager, row->id, row->name, spec_new(&spec), row->generation, row->created_ms);
        vm_load(vm, row);
        g_hash_table_insert(manager->vms, (char *)vm_id(vm), vm);
        if (!row->trashed_ms)
                g_hash_table_insert(manager->names, g_strdup(row->name), vm);
}

static bool load(Manager *manager, GError **error)
{
        LoadRows load_rows = {.manager = manager};
        if (!store_vm_each(manager->store, load_row, &load_rows, error))
                return false;
        if (load_rows.error)
                g_propagate_error(error, load_rows.error);
        return load_rows.error == NULL;
}

static bool make_folders(Manager *manager, GError **error)
{
        g_autofree char *vms = g_build_filename(manager->state_dir, "vms", NULL);
        return dir_ensure(vms, error) && dir_ensure(manager->image_dir, error);
}

static Network *new_network(const ManagerConfig *config)
{
        g_autofree char *folder = g_build_filename(config->state_dir, "network", NULL);
        return network_new(folder, config->system ? NULL : "switches are for the system's daemon, which runs as root");
}

Manager *manager_new(const ManagerConfig *config, GError **error)
{
        g_autoptr(Manager) manager = g_new0(Manager, 1);
        g_mutex_init(&manager->lock);
        manager->pool_marks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_cond_init(&manager->kvm_known);
        g_cond_init(&manager->observe_end);
        manager->kvm = -1;
        manager->state_dir = g_strdup(config->state_dir);
        manager->image_dir = g_build_filename(config->state_dir, "images", NULL);
        manager->store = config->store;
        manager->started_ms = clock_unix_ms();
        manager->vms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)vm_unref);
        manager->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        manager->cancellable = g_cancellable_new();
        manager->events = event_log_new(config->store, NULL);
        manager->monitor = monitor_new(config->store);
        manager->governor = governor_new(manager);
        manager->network = new_network(config);
        manager->warm = warm_pool_new(manager);
        manager->renewals = identity_renewals_new(manager);
        manager->jobs = job_queue_new(config->store, manager->events, manager, manager_operations);
        bool ok = make_folders(manager, error) && pools_load(manager, error) && load(manager, error) &&
                  switches_load(manager, error) && job_queue_load(manager->jobs, error);
        return ok ? g_steal_pointer(&manager) : NULL;
}

static void disconnect_all(Manager *manager)
{
        GHashTableIter iter;
        gpointer vm;
        g_hash_table_iter_init(&iter, manager->vms);
        while (g_hash_table_iter_next(&iter, NULL, &vm))
                vm_disconnect(vm);
}

/* The adoptions under way wait for answers that come over the main loop, so it goes on until they have ended. */
static void finish_recovery(Manager *manager)
{
        while (manager->recovering)
                g_main_context_iteration(NULL, TRUE);
        g_clear_pointer(&manager->recovery, g_thread_join);
}

static gpointer end_jobs(gpointer data)
{
        Manager *manager = data;
        job_queue_free(manager->jobs);
        g_atomic_int_set(&manager->jobs_ended, true);
        g_main_context_wakeup(NULL);
        return NULL;
}

/* Neither could verbs that wait for QEMU's answers return. */
static void finish_jobs(Manager *manager)
{
        if (!manager->jobs)
                return;
        GThread *thread = g_thread_new("jobs-end", end_jobs, manager);
        while (!g_atomic_int_get(&manager->jobs_ended))
                g_main_context_iteration(NULL, TRUE);
        g_thread_join(thread);
        manager->jobs = NULL;
}

/* They may wait for answers, too. */
static void finish_background(Manager *manager)
{
        while (g_atomic_int_get(&manager->in_background) > 0)
                g_main_context_iteration(NULL, TRUE);
}

void manager_free(Manager *manager)
{
        if (!manager)
                return;
        g_cancellable_cancel(manager->cancellable);
        finish_recovery(manager);
        housekeeping_stop(manager);
        observe_stop(manager);
        g_clear_pointer(&manager->probe, g_thread_join);
        if (manager->silent)
                g_thread_pool_free(manager->silent, FALSE, TRUE);
        g_thread_pool_free(manager->renewals, FALSE, TRUE);
        finish_background(manager);
        finish_jobs(manager);
        disconnect_all(manager);
        finish_background(manager);
        network_free(manager->network);
        warm_pool_free(manager->warm);
        g_hash_table_unref(manager->names);
        g_hash_table_unref(manager->vms);
        g_clear_pointer(&manager->events, event_log_free);
        g_object_unref(manager->cancellable);
        g_mutex_clear(&manager->lock);
        g_clear_pointer(&manager->governor, governor_free);
        pools_clear(manager);
        g_hash_table_unref(manager->pool_marks);
        g_clear_pointer(&manager->monitor, monitor_free);
        g_cond_clear(&manager->kvm_known);
        g_cond_clear(&manager->observe_end);
        g_free(manager->state_dir);
        g_free(manager->image_dir);
        g_free(manager);
}

Caller manager_caller(void)
{
        return (Caller){.uid = getuid(), .gid = getgid(), .pid = getpid(), .role = ROLE_ADMIN};
}

/* Its id, or NULL when nothing comes of it. Caller frees. */
static char *submit(Vm *vm, const char *noun, const char *verb, const void *args, const char *key)
{
        g_autofree char *object = vm_object(vm), *turn = g_strdup_printf("vm/%s", vm_id(vm));
        char *id = NULL;
        Caller caller = manager_caller();
        if (g_cancellable_is_cancelled(vm_manager(vm)->cancellable))
                return NULL;
        JobRequest request = {.verb = verb_handler(verb_find(noun, verb)),
                              .args = args,
                              .object = object,
                              .turn_key = turn,
                              .caller = &caller,
                              .key = key};
        job_submit(manager_jobs(vm_manager(vm)), &request, &id, NULL);
        return id;
}

void manager_ask(Vm *vm, const char *noun, const char *verb, const void *args, const char *key)
{
        g_free(submit(vm, noun, verb, args, key));
}

void manager_have_done(Vm *vm, const char *noun, const char *verb, const void *args)
{
        Manager *manager = vm_manager(vm);
        g_autofree char *id = submit(vm, noun, verb, args, NULL);
        g_autoptr(GError) error = NULL;
        while (id && !g_cancellable_is_cancelled(manager->cancellable)) {
                g_clear_error(&error);
                if (job_wait(manager->jobs, id, WAIT_MS, &error) || !error_is(error, HOSTLER_ERROR_TIMEOUT))
                        return;
        }
}

typedef struct {
        Vm *vm;
        void (*work)(Vm *vm);
} Background;

static gpointer background_thread(gpointer data)
{
        g_autofree Background *background = data;
        Manager *manager = vm_manager(background->vm);
        background->work(background->vm);
        vm_unref(background->vm);
        g_atomic_int_dec_and_test(&manager->in_background);
        g_main_context_wakeup(NULL);
        return NULL;
}

void vm_in_background(Vm *vm, const char *name, void (*work)(Vm *vm))
{
        Background *background = g_new(Background, 1);
        *background = (Background){.vm = vm_ref(vm), .work = work};
        g_atomic_int_inc(&vm_manager(vm)->in_background);
        g_thread_unref(g_thread_new(name, background_thread, background));
}

/* ---- what it holds ---- */

const char *manager_state_dir(Manager *manager)
{
        return manager->state_dir;
}

Store *manager_store(Manager *manager)
{
        return manager->store;
}

EventLog *manager_events(Manager *manager)
{
        return manager->events;
}

JobQueue *manager_jobs(Manager *manager)
{
        return manager->jobs;
}

Governor *manager_governor(Manager *manager)
{
        return manager->governor;
}

Monitor *manager_monitor(Manager *manager)
{
        return manager->monitor;
}

WarmPool *manager_warm(Manager *manager)
{
        return manager->warm;
}

Network *manager_network(Manager *manager)
{
        return manager->network;
}

const char *manager_image_dir(Manager *manager)
{
        return manager->image_dir;
}

int64_t manager_started_ms(Manager *manager)
{
        return manager->started_ms;
}

bool manager_kvm(Manager *manager)
{
        gint64 end_us = g_get_monotonic_time() + PROBE_TIMEOUT_MS * 1000;
        g_mutex_lock(&manager->lock);
        while (manager->kvm < 0 && g_cond_wait_until(&manager->kvm_known, &manager->lock, end_us))
                continue;
        bool kvm = manager->kvm > 0;
        g_mutex_unlock(&manager->lock);
        return kvm;
}

void manager_set_kvm(Manager *manager, bool kvm)
{
        g_mutex_lock(&manager->lock);
        manager->kvm = kvm;
        g_cond_broadcast(&manager->kvm_known);
        g_mutex_unlock(&manager->lock);
}

/* ---- the table ---- */

static Vm *lookup(Manager *manager, const char *name_or_id)
{
        g_mutex_lock(&manager->lock);
        Vm *vm = g_hash_table_lookup(manager->names, name_or_id);
        if (!vm)
                vm = g_hash_table_lookup(manager->vms, name_or_id);
        if (vm)
                vm_ref(vm);
        g_mutex_unlock(&manager->lock);
        return vm;
}

static void add_near_names(Manager *manager, const char *name, GError **error)
{
        g_mutex_lock(&manager->lock);
        g_autofree char **names = (char **)g_hash_table_get_keys_as_array(manager->names, NULL);
        g_auto(GStrv) near = names_near(name, (const char *const *)names);
        g_mutex_unlock(&manager->lock);
        for (size_t i = 0; near[i]; i++)
                error_cause(error, NULL, "near: %s", near[i]);
        if (near[0])
                error_hint(error, "did you mean %s? `hostler ls` lists all", near[0]);
        else
                error_hint(error, "`hostler ls` lists all VMs, `hostler ls --trash` those in the trash");
}

static bool not_found(Manager *manager, const char *name, GError **error)
{
        g_autofree char *object = g_strdup_printf("vm/%s", name);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no VM called %s", name);
        if (error && *error)
                add_near_names(manager, name, error);
        return false;
}

Vm *manager_vm(Manager *manager, const char *name_or_id, GError **error)
{
        g_autoptr(Vm) vm = lookup(manager, name_or_id);
        if (vm && !vm_trashed_ms(vm))
                return g_steal_pointer(&vm);
        not_found(manager, name_or_id, error);
        return NULL;
}

Vm *manager_vm_ready(Manager *manager, const char *name_or_id, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(manager, name_or_id, error);
        if (!vm)
                return NULL;
        if (vm_wait(vm, vm_is_ready, NULL, clock_monotonic_ms() + READY_TIMEOUT_MS, NULL))
                return g_steal_pointer(&vm);
        g_autofree char *object = vm_object(vm);
        error_set(error, HOSTLER_ERROR_UNRESPONSIVE, object, "its QEMU has not answered since the daemon was started");
        return NULL;
}

Vm *manager_any_vm(Manager *manager, const char *id)
{
        g_mutex_lock(&manager->lock);
        Vm *vm = g_hash_table_lookup(manager->vms, id);
        vm = vm ? vm_ref(vm) : NULL;
        g_mutex_unlock(&manager->lock);
        return vm;
}

Vm *manager_trashed_vm(Manager *manager, const char *name_or_id, GError **error)
{
        g_autoptr(GPtrArray) trash = manager_vms(manager, true);
        Vm *found = NULL;
        for (guint i = 0; i < trash->len; i++) {
                Vm *vm = g_ptr_array_index(trash, i);
                g_autofree char *name = vm_name(vm);
                bool match = strcmp(name, name_or_id) == 0 || strcmp(vm_id(vm), name_or_id) == 0;
                if (match && (!found || vm_trashed_ms(vm) > vm_trashed_ms(found)))
                        found = vm;
        }
        if (found)
                return vm_ref(found);
        g_autofree char *object = g_strdup_printf("vm/%s", name_or_id);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no VM called %s in the trash", name_or_id);
        error_hint(error, "`hostler ls --trash` lists what is there");
        return NULL;
}

typedef struct {
        Vm *vm;
        char *name;
} Named;

static int compare_named(gconstpointer a, gconstpointer b)
{
        return strcmp(((const Named *)a)->name, ((const Named *)b)->name);
}

GPtrArray *manager_vms(Manager *manager, bool trashed)
{
        GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref);
        g_autoptr(GArray) named = g_array_new(FALSE, FALSE, sizeof(Named));
        GHashTableIter iter;
        gpointer vm;
        g_mutex_lock(&manager->lock);
        g_hash_table_iter_init(&iter, manager->vms);
        while (g_hash_table_iter_next(&iter, NULL, &vm)) {
                Named entry = {.vm = vm_ref(vm)};
                g_array_append_val(named, entry);
        }
        g_mutex_unlock(&manager->lock);
        for (guint i = 0; i < named->len; i++)
                g_array_index(named, Named, i).name = vm_name(g_array_index(named, Named, i).vm);
        g_array_sort(named, compare_named);
        for (guint i = 0; i < named->len; i++) {
                Named *entry = &g_array_index(named, Named, i);
                g_free(entry->name);
                if ((vm_trashed_ms(entry->vm) != 0) == trashed)
                        g_ptr_array_add(list, entry->vm);
                else
                        vm_unref(entry->vm);
        }
        return list;
}

static bool name_taken(const char *name, GError **error)
{
        g_autofree char *object = g_strdup_printf("vm/%s", name);
        return error_set(error, HOSTLER_ERROR_EXISTS, object, "there is a VM called %s already", name);
}

bool manager_name_is_free(Manager *manager, const char *name, Vm *vm, GError **error)
{
        g_mutex_lock(&manager->lock);
        Vm *holder = g_hash_table_lookup(manager->names, name);
        g_mutex_unlock(&manager->lock);
        return !holder || holder == vm || name_taken(name, error);
}

bool manager_add(Manager *manager, Vm *vm, GError **error)
{
        g_autofree char *name = vm_name(vm);
        g_mutex_lock(&manager->lock);
        bool is_free = !g_hash_table_contains(manager->names, name);
        if (is_free) {
                g_hash_table_insert(manager->vms, (char *)vm_id(vm), vm_ref(vm));
                g_hash_table_insert(manager->names, g_strdup(name), vm);
        }
        g_mutex_unlock(&manager->lock);
        return is_free || name_taken(name, error);
}

static gboolean is_of(gpointer name, gpointer holder, gpointer vm)
{
        return holder == vm;
}

void manager_renamed(Manager *manager, Vm *vm)
{
        g_autofree char *name = vm_name(vm);
        bool trashed = vm_trashed_ms(vm) != 0;
        g_mutex_lock(&manager->lock);
        g_hash_table_foreach_remove(manager->names, is_of, vm);
        if (!trashed && g_hash_table_contains(manager->vms, vm_id(vm)))
                g_hash_table_insert(manager->names, g_steal_pointer(&name), vm);
        g_mutex_unlock(&manager->lock);
}

void manager_remove(Manager *manager, Vm *vm)
{
        g_mutex_lock(&manager->lock);
        g_hash_table_foreach_remove(manager->names, is_of, vm);
        g_hash_table_remove(manager->vms, vm_id(vm));
        g_mutex_unlock(&manager->lock);
}

static bool stands_on(Vm *vm, const char *image)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        for (size_t i = 0; i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                const char *used = strcmp(part->kind, "disk") == 0   ? ((const HostlerDiskProps *)part->props)->image
                                   : strcmp(part->kind, "boot") == 0 ? ((const HostlerBootProps *)part->props)->image
                                                                     : NULL;
                if (g_strcmp0(used, image) == 0)
                        return true;
        }
        return false;
}

char **manager_image_users(Manager *manager, const char *image)
{
        g_autoptr(GStrvBuilder) users = g_strv_builder_new();
        for (int trashed = 0; trashed < 2; trashed++) {
                g_autoptr(GPtrArray) vms = manager_vms(manager, trashed);
                for (guint i = 0; i < vms->len; i++) {
                        g_autofree char *name = vm_name(g_ptr_array_index(vms, i));
                        if (stands_on(g_ptr_array_index(vms, i), image))
                                g_strv_builder_add(users, name);
                }
        }
        return g_strv_builder_end(users);
}

/* ---- for the API ---- */

char *manager_turn_key(Manager *manager, const VerbDecl *decl, const void *args, GError **error)
{
        const Field *vm_field = record_field(decl->args, "vm");
        g_autofree char *object = verb_object(decl, args);
        if (!vm_field)
                return *object ? g_steal_pointer(&object) : NULL;
        const char *name = *(char *const *)((const char *)args + vm_field->offset);
        g_autoptr(Vm) vm = lookup(manager, name);
        if (!vm)
                vm = manager_trashed_vm(manager, name, NULL);
        if (vm)
                return g_strdup_printf("vm/%s", vm_id(vm));
        not_found(manager, name, error);
        return NULL;
}

/* It may have gone again: while the guest wakes from sleep, or when it was restarted. */
static bool has_agent(Vm *vm)
{
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        return agent != NULL;
}

static bool reached(Vm *vm, HostlerWaitFor what)
{
        HostlerPower power = vm_power(vm);
        switch (what) {
        case HOSTLER_WAIT_FOR_RUNNING:
                return power == HOSTLER_POWER_RUNNING;
        case HOSTLER_WAIT_FOR_AGENT:
                return vm_phase(vm) >= HOSTLER_BOOT_PHASE_AGENT && power == HOSTLER_POWER_RUNNING && has_agent(vm);
        case HOSTLER_WAIT_FOR_IP:
                return vm_has_address(vm) && power == HOSTLER_POWER_RUNNING;
        case HOSTLER_WAIT_FOR_OFF:
                return !vm_is_live(vm) && power != HOSTLER_POWER_STARTING;
        case HOSTLER_WAIT_FOR_ABSENT:
                break;
        }
        return true;
}

/* Off and crashed VMs do not get an agent by themselves, unless a job is about to start them. */
static bool can_still_come(Manager *manager, Vm *vm, HostlerWaitFor what)
{
        g_autofree char *key = g_strdup_printf("vm/%s", vm_id(vm));
        g_autofree char *holder = job_turn_holder(manager->jobs, key);
        return what == HOSTLER_WAIT_FOR_OFF || vm_is_live(vm) || holder;
}

bool manager_vm_reached(Manager *manager, const char *name, HostlerWaitFor what, bool *ret_reached, HostlerVm *ret_vm,
                        GError **error)
{
        g_autoptr(Vm) vm = manager_vm(manager, name, error);
        if (!vm)
                return false;
        g_autofree char *object = vm_object(vm);
        /* Nothing is known of a VM that is still being adopted; the end of that says more. */
        bool known = vm_is_ready(vm, NULL);
        *ret_reached = known && reached(vm, what);
        if (known && !*ret_reached && !can_still_come(manager, vm, what)) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is %s, so it will not come to “%s”",
                          hostler_power_enum.values[vm_power(vm)], hostler_wait_for_enum.values[what]);
                return error_hint(error, "hostler start %s --wait %s", name, hostler_wait_for_enum.values[what]);
        }
        vm_info(vm, ret_vm);
        return true;
}
