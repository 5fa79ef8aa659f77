/*
 * The warm pool. See warm.h.
 *
 * Who may do what with the folder of a VM that is off is settled so: the pool's thread writes down that it makes a QEMU
 * there, and only then looks whether a job has the VM's turn; a job has its turn, and only then looks whether one is
 * made. So at least one of them sees the other. What is in the table in any state but WAITING is somebody's, who takes
 * it out when it is done.
 */
#include "vm/warm/warm.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "base/units.h"
#include "device/early.h"
#include "host/host_facts.h"
#include "vm/clone/instant.h"
#include "vm/clone/ready.h"
#include "vm/clone/template.h"
#include "vm/launch.h"
#include "vm/manager_internal.h"
#include "vm/prepare.h"
#include "vm/snapshot/saved_state.h"
#include "vm/vm_internal.h"
#include "vm/warm/stamp.h"
#include "wire/json_stream.h"

#define COUNT_KEY "pool-warm"
#define FLOOR_KEY "pool-warm-floor"
/* Of the host's memory: what is left free if nobody says otherwise. */
#define FLOOR_PART 8
/* None is started when the next would bring the host near its floor. */
#define ROOM_BYTES (256LL << 20)

/* In the folder of a spare, which is no VM's yet. */
#define SPARE_MARK "spare"
#define READY_MS 10000
#define READY_STEP_US 5000

typedef enum { MAKING, WAITING, CHECKING, ENDING } State;

typedef struct {
        State state;
        Vm *vm;          /* a reference; of a spare one that is in no table */
        Vm *of;          /* of a spare, the VM whose memory it has; a reference */
        bool spoken_for; /* a spare that somebody makes a VM of */
        char **argv;     /* as it was executed */
        char *stamp;     /* of the files that it read */
        int tie_fd;
        ProcessId process;
} Waiting;

struct WarmPool {
        Manager *manager;
        GMutex lock;
        GCond changed;
        int64_t count, floor_bytes;
        GHashTable *waiting; /* VM's id → Waiting */
        GHashTable *failed;  /* VM's id → the command line that ended by itself; that thread only */
};

static void waiting_free(gpointer data)
{
        Waiting *waiting = data;
        fd_close(&waiting->tie_fd);
        g_strfreev(waiting->argv);
        g_free(waiting->stamp);
        vm_unref(waiting->vm);
        if (waiting->of)
                vm_unref(waiting->of);
        g_free(waiting);
}

static int64_t stored_number(Store *store, const char *key, int64_t otherwise)
{
        g_autofree char *text = store_get(store, key);
        return text ? g_ascii_strtoll(text, NULL, 10) : otherwise;
}

WarmPool *warm_pool_new(Manager *manager)
{
        WarmPool *pool = g_new0(WarmPool, 1);
        HostFacts facts = host_facts_read(&host_paths);
        pool->manager = manager;
        g_mutex_init(&pool->lock);
        g_cond_init(&pool->changed);
        pool->count = stored_number(manager_store(manager), COUNT_KEY, 0);
        pool->floor_bytes = stored_number(manager_store(manager), FLOOR_KEY, facts.memory_total_bytes / FLOOR_PART);
        pool->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, waiting_free);
        pool->failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        return pool;
}

/* ---- what it would be started with ---- */

static bool all_can_be_had(Vm *vm)
{
        VmContext context;
        g_autoptr(Spec) spec = vm_spec(vm);
        vm_context_init(&context, vm_manager(vm), vm, &spec->value, NULL);
        bool can = early_hindrance(&context.context) == NULL;
        vm_context_clear(&context);
        return can;
}

static char **argv_of(const Waiting *waiting, const HostlerVmRuntime *run)
{
        return launch_argv(waiting->vm, run, true, waiting->of != NULL, NULL);
}

/* What it would be started for now. */
static void describe(const Waiting *waiting, HostlerVmRuntime *ret_run)
{
        g_autoptr(Spec) spec = vm_spec(waiting->vm);
        if (waiting->of)
                instant_describe(waiting->of, vm_id(waiting->vm), ret_run);
        else
                prepare_describe(waiting->vm, &spec->value, ret_run);
}

/* ---- one that waits ---- */

/* It is ENDING, or in no table: what it leaves goes with it. */
static void end_one(Waiting *waiting)
{
        g_autofree char *run = vm_path(waiting->vm, "run"), *exit_file = vm_path(waiting->vm, "exit.json"),
                        *reserved = vm_path(waiting->vm, ".exit.json");
        fd_close(&waiting->tie_fd);
        keeper_end(vm_dir(waiting->vm));
        dir_remove(run, NULL);
        unlink(exit_file);
        unlink(reserved);
        vm_set_warm(waiting->vm, false);
        if (waiting->of && !waiting->spoken_for)
                dir_remove(vm_dir(waiting->vm), NULL);
}

/* They end by themselves; what is waited for is that nothing of them is left. */
static void end_all(WarmPool *pool)
{
        GHashTableIter iter;
        gpointer item;
        g_hash_table_iter_init(&iter, pool->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &item))
                fd_close(&((Waiting *)item)->tie_fd);
        g_hash_table_iter_init(&iter, pool->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &item))
                end_one(item);
}

void warm_pool_free(WarmPool *pool)
{
        if (!pool)
                return;
        end_all(pool);
        g_hash_table_unref(pool->waiting);
        g_hash_table_unref(pool->failed);
        g_mutex_clear(&pool->lock);
        g_cond_clear(&pool->changed);
        g_free(pool);
}

/* Takes it out of the table; whoever waits for that may go on. */
static void drop(WarmPool *pool, const char *id)
{
        g_mutex_lock(&pool->lock);
        g_hash_table_remove(pool->waiting, id);
        g_cond_broadcast(&pool->changed);
        g_mutex_unlock(&pool->lock);
}

/* The caller's from now on, as @state, until it calls drop(); NULL: none waits. Waits for who is busy with it. */
static Waiting *claim(WarmPool *pool, const char *id, State state)
{
        Waiting *waiting;
        g_mutex_lock(&pool->lock);
        while ((waiting = g_hash_table_lookup(pool->waiting, id)) && waiting->state != WAITING)
                g_cond_wait(&pool->changed, &pool->lock);
        if (waiting)
                waiting->state = state;
        g_mutex_unlock(&pool->lock);
        return waiting;
}

void warm_forget(Manager *manager, const char *id)
{
        WarmPool *pool = manager_warm(manager);
        Waiting *waiting = claim(pool, id, ENDING);
        if (!waiting)
                return;
        end_one(waiting);
        drop(pool, id);
}

void warm_end(Vm *vm)
{
        warm_forget(vm_manager(vm), vm_id(vm));
}

static bool is_fit(const Waiting *waiting, char *const *argv)
{
        g_autofree char *stamp = argv ? warm_stamp(waiting->vm, argv) : NULL;
        return argv && process_id_alive(&waiting->process) &&
               g_strv_equal((const char *const *)argv, (const char *const *)waiting->argv) &&
               strcmp(stamp, waiting->stamp) == 0;
}

/* A spare's folder is a VM's now. */
static bool unmark(const Waiting *waiting)
{
        g_autofree char *mark = vm_path(waiting->vm, SPARE_MARK);
        return !waiting->of || unlink(mark) == 0;
}

bool warm_take(Vm *vm, bool incoming)
{
        WarmPool *pool = manager_warm(vm_manager(vm));
        HostlerVmRuntime run;
        Waiting *waiting = claim(pool, vm_id(vm), ENDING);
        if (!waiting)
                return false;
        vm_runtime(vm, &run);
        g_auto(GStrv) argv = argv_of(waiting, &run);
        record_clear(&hostler_vm_runtime_type, &run);
        bool taken = incoming == (waiting->of != NULL) && is_fit(waiting, argv) && unmark(waiting) &&
                     keeper_untie(waiting->tie_fd);
        if (!taken)
                end_one(waiting);
        vm_set_warm(vm, false);
        drop(pool, vm_id(vm));
        return taken;
}

/* Those that wait, references. g_ptr_array_unref. */
static GPtrArray *waiting_vms(WarmPool *pool)
{
        GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref);
        GHashTableIter iter;
        gpointer item;
        g_mutex_lock(&pool->lock);
        g_hash_table_iter_init(&iter, pool->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &item))
                if (((Waiting *)item)->state == WAITING && !((Waiting *)item)->spoken_for)
                        g_ptr_array_add(vms, vm_ref(((Waiting *)item)->vm));
        g_mutex_unlock(&pool->lock);
        return vms;
}

bool warm_give_back(Manager *manager, Vm *but)
{
        g_autoptr(GPtrArray) vms = waiting_vms(manager_warm(manager));
        for (guint i = 0; i < vms->len; i++)
                if (vms->pdata[i] != but)
                        warm_forget(manager, vm_id(vms->pdata[i]));
        return vms->len > 0;
}

void warm_sweep(Vm *vm)
{
        g_autofree char *run = vm_path(vm, "run");
        if (!g_file_test(run, G_FILE_TEST_EXISTS))
                return;
        Waiting left = {.vm = vm, .tie_fd = -1};
        end_one(&left);
}

void warm_sweep_spare(const char *folder)
{
        g_autofree char *mark = g_build_filename(folder, SPARE_MARK, NULL);
        if (!g_file_test(mark, G_FILE_TEST_EXISTS))
                return;
        keeper_end(folder);
        dir_remove(folder, NULL);
}

/* ---- which are to wait ---- */

typedef struct {
        Vm *vm;
        int64_t used_ms;
} Candidate;

/* When it last ran, or was made. */
static int64_t used_ms(Vm *vm)
{
        int64_t ended_ms = 0;
        g_mutex_lock(&vm->lock);
        if (!vm->runtime.exit || !vm->runtime.exit->time || !time_parse(vm->runtime.exit->time, &ended_ms))
                ended_ms = 0;
        g_mutex_unlock(&vm->lock);
        return MAX(ended_ms, vm->created_ms);
}

static bool is_off(Vm *vm)
{
        HostlerPower power = vm_power(vm);
        return vm_is_ready(vm, NULL) && !vm_is_live(vm) && !vm_has_open_run(vm) &&
               (power == HOSTLER_POWER_OFF || power == HOSTLER_POWER_CRASHED) && !saved_state_is_there(vm);
}

static bool may_wait(Vm *vm)
{
        return is_off(vm) && !template_is(vm) && all_can_be_had(vm);
}

static int by_use(gconstpointer a, gconstpointer b)
{
        const Candidate *one = a, *other = b;
        return one->used_ms > other->used_ms ? -1 : one->used_ms < other->used_ms;
}

/* The last used first, references. g_ptr_array_unref. */
static GPtrArray *all_off(Manager *manager)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
        GPtrArray *off = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref);
        for (guint i = 0; i < vms->len; i++) {
                Candidate one = {vms->pdata[i], used_ms(vms->pdata[i])};
                if (is_off(one.vm))
                        g_array_append_val(candidates, one);
        }
        g_array_sort(candidates, by_use);
        for (guint i = 0; i < candidates->len; i++)
                g_ptr_array_add(off, vm_ref(g_array_index(candidates, Candidate, i).vm));
        return off;
}

/* At most @count, references. g_ptr_array_unref. */
static GPtrArray *wanted(Manager *manager, int64_t count)
{
        g_autoptr(GPtrArray) off = all_off(manager);
        GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_unref);
        for (guint i = 0; i < off->len && vms->len < count; i++)
                if (may_wait(off->pdata[i]))
                        g_ptr_array_add(vms, vm_ref(off->pdata[i]));
        return vms;
}

/* ---- making one ---- */

/* False when there is one already. @of: for a spare; NULL. */
static bool begin(WarmPool *pool, Vm *vm, Vm *of)
{
        g_mutex_lock(&pool->lock);
        bool free = !g_hash_table_contains(pool->waiting, vm_id(vm));
        if (free) {
                Waiting *waiting = g_new0(Waiting, 1);
                *waiting = (Waiting){.state = MAKING, .vm = vm_ref(vm), .of = of ? vm_ref(of) : NULL, .tie_fd = -1};
                g_hash_table_insert(pool->waiting, g_strdup(vm_id(vm)), waiting);
        }
        g_mutex_unlock(&pool->lock);
        return free;
}

static bool start_one(Waiting *made, const HostlerVmRuntime *run)
{
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
                return false;
        made->tie_fd = ends[1];
        bool ok = launch_waiting(made->vm, run, made->argv, ends[0], &made->process, NULL);
        close(ends[0]);
        return ok;
}

/* Its monitor greets who comes: all that takes time is done. False when it has ended, or is too slow. */
static bool is_greeted(const Waiting *made)
{
        g_autofree char *path = g_build_filename(vm_dir(made->vm), "run", CHASSIS_QMP_SOCKET, NULL);
        int64_t end = clock_monotonic_ms() + READY_MS;
        autoclose int fd = -1;
        while (fd < 0 && clock_monotonic_ms() < end && process_id_alive(&made->process)) {
                g_usleep(READY_STEP_US);
                fd = unix_connect(path, NULL);
        }
        struct pollfd greeting = {.fd = fd, .events = POLLIN};
        char byte;
        return fd >= 0 && poll(&greeting, 1, (int)MAX(end - clock_monotonic_ms(), 0)) > 0 &&
               recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

/* One that could not be started, or ended by itself, is not tried again as it was. A spare stands for all of its kind.
 */
static void note_failure(WarmPool *pool, const Waiting *waiting)
{
        g_hash_table_insert(pool->failed, g_strdup(vm_id(waiting->of ? waiting->of : waiting->vm)),
                            waiting->of ? g_strdup("") : g_strjoinv("\n", waiting->argv));
}

static bool has_failed(WarmPool *pool, const Waiting *waiting)
{
        g_autofree char *words = waiting->of ? g_strdup("") : g_strjoinv("\n", waiting->argv);
        return g_strcmp0(g_hash_table_lookup(pool->failed, vm_id(waiting->of ? waiting->of : waiting->vm)), words) == 0;
}

/* What an earlier daemon left of a spare is known by it. */
static bool mark(const Waiting *made)
{
        g_autofree char *path = vm_path(made->vm, SPARE_MARK);
        return !made->of || (dir_ensure(vm_dir(made->vm), NULL) && file_write_atomic(path, "", 0, 0600, false, NULL));
}

/* Fills in @made. False when it is not to be, or could not be started. */
static bool make(WarmPool *pool, Waiting *made)
{
        HostlerVmRuntime run;
        describe(made, &run);
        made->argv = argv_of(made, &run);
        bool ok = made->argv && !has_failed(pool, made) && mark(made) && prepare_seed(made->vm, NULL);
        if (ok) {
                made->stamp = warm_stamp(made->vm, made->argv);
                ok = start_one(made, &run) && is_greeted(made);
                if (!ok)
                        note_failure(pool, made);
        }
        record_clear(&hostler_vm_runtime_type, &run);
        return ok;
}

static bool is_there(WarmPool *pool, Vm *vm)
{
        g_autoptr(Vm) known = manager_any_vm(pool->manager, vm_id(vm));
        return known == vm && !vm_trashed_ms(vm);
}

static bool has_turn(WarmPool *pool, Vm *vm)
{
        g_autofree char *key = g_strdup_printf("vm/%s", vm_id(vm)),
                        *holder = job_turn_holder(manager_jobs(pool->manager), key);
        return holder != NULL;
}

/* Nobody but us touches it while it is MAKING. */
static Waiting *made_of(WarmPool *pool, Vm *vm)
{
        g_mutex_lock(&pool->lock);
        Waiting *waiting = g_hash_table_lookup(pool->waiting, vm_id(vm));
        g_mutex_unlock(&pool->lock);
        return waiting;
}

/* What begin() began. */
static void finish(WarmPool *pool, Vm *vm)
{
        Waiting *made = made_of(pool, vm);
        if (!make(pool, made)) {
                end_one(made);
                drop(pool, vm_id(vm));
                return;
        }
        vm_set_warm(vm, true);
        g_mutex_lock(&pool->lock);
        made->state = WAITING;
        g_cond_broadcast(&pool->changed);
        g_mutex_unlock(&pool->lock);
}

static void warm_up(WarmPool *pool, Vm *vm)
{
        if (!begin(pool, vm, NULL))
                return;
        if (has_turn(pool, vm) || !is_there(pool, vm) || !may_wait(vm))
                drop(pool, vm_id(vm));
        else
                finish(pool, vm);
}

/* ---- spares ---- */

/* How many there may be, with @now of them waiting: one less with each round that finds the host below its floor. */
static int64_t allowance(int64_t count, int64_t floor_bytes, int64_t now)
{
        int64_t available = host_memory_available_bytes();
        if (available < 0 || available >= floor_bytes + ROOM_BYTES)
                return count;
        return MIN(count, available < floor_bytes ? MAX(now - 1, 0) : now);
}

static bool may_have_spares(Vm *ready)
{
        HostlerVmRuntime run;
        VmContext context;
        g_autofree char *id = g_uuid_string_random();
        if (!ready_is(ready))
                return false;
        instant_describe(ready, id, &run);
        vm_context_init(&context, vm_manager(ready), ready, &run.launched, &run);
        /* A seed has the name that the clone does not have yet. */
        bool may = !early_hindrance(&context.context) && !spec_part(&run.launched, "seed");
        vm_context_clear(&context);
        record_clear(&hostler_vm_runtime_type, &run);
        return may;
}

/* @ready: NULL counts those of all. @beginning: also those that are being made. */
static int64_t spares_of(WarmPool *pool, const Vm *ready, bool beginning)
{
        GHashTableIter iter;
        gpointer item;
        int64_t count = 0;
        g_mutex_lock(&pool->lock);
        g_hash_table_iter_init(&iter, pool->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &item)) {
                const Waiting *waiting = item;
                count += waiting->of && (!ready || waiting->of == ready) && !waiting->spoken_for &&
                         (beginning || waiting->state == WAITING || waiting->state == CHECKING);
        }
        g_mutex_unlock(&pool->lock);
        return count;
}

static void make_spare(WarmPool *pool, Vm *ready)
{
        HostlerVmRuntime run;
        g_autofree char *id = g_uuid_string_random(), *name = vm_name(ready);
        instant_describe(ready, id, &run);
        HostlerSpec spec;
        record_copy(&hostler_spec_type, &run.launched, &spec);
        g_autoptr(Vm) vm = vm_new(pool->manager, id, name, spec_new(&spec), 1, clock_unix_ms());
        record_clear(&hostler_vm_runtime_type, &run);
        if (begin(pool, vm, ready))
                finish(pool, vm);
}

/* NULL: there is none in that state. With the lock. */
static Waiting *spare_in(const WarmPool *pool, const Vm *ready, State state)
{
        GHashTableIter iter;
        gpointer item;
        g_hash_table_iter_init(&iter, pool->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &item)) {
                Waiting *waiting = item;
                if (waiting->of == ready && waiting->state == state && !waiting->spoken_for)
                        return waiting;
        }
        return NULL;
}

char *warm_spare(Vm *ready)
{
        WarmPool *pool = manager_warm(vm_manager(ready));
        Waiting *spare;
        char *id = NULL;
        g_mutex_lock(&pool->lock);
        /* A check takes a moment; a QEMU of one's own takes longer. */
        while (!(spare = spare_in(pool, ready, WAITING)) && spare_in(pool, ready, CHECKING))
                g_cond_wait(&pool->changed, &pool->lock);
        if (spare) {
                spare->spoken_for = true;
                id = g_strdup(vm_id(spare->vm));
        }
        g_mutex_unlock(&pool->lock);
        return id;
}

/* Not more than there are to be, of each template. */
static void make_spares(WarmPool *pool, int64_t count, int64_t floor_bytes)
{
        g_autoptr(GPtrArray) vms = manager_vms(pool->manager, false);
        for (guint i = 0; i < vms->len; i++) {
                if (!may_have_spares(vms->pdata[i]))
                        continue;
                int64_t have = spares_of(pool, vms->pdata[i], true), wanted = allowance(count, floor_bytes, have);
                for (; have < wanted; have++)
                        make_spare(pool, vms->pdata[i]);
        }
}

/* ---- rounds ---- */

/* As it would be started now, it would be another; one that ended by itself is not tried again as it was. */
static bool is_stale(WarmPool *pool, Waiting *waiting)
{
        HostlerVmRuntime run;
        describe(waiting, &run);
        g_auto(GStrv) argv = argv_of(waiting, &run);
        bool fit = is_fit(waiting, argv);
        record_clear(&hostler_vm_runtime_type, &run);
        if (!process_id_alive(&waiting->process))
                note_failure(pool, waiting);
        return !fit;
}

/* Whether a spare is one too many is seen by who comes last. */
static bool is_wanted(WarmPool *pool, const Waiting *waiting, GPtrArray *candidates, int64_t spares)
{
        if (!waiting->of)
                return g_ptr_array_find(candidates, waiting->vm, NULL);
        g_autoptr(Vm) of = manager_any_vm(pool->manager, vm_id(waiting->of));
        return of == waiting->of && ready_is(of) && spares_of(pool, of, true) <= spares;
}

static void keep_or_end(WarmPool *pool, Vm *vm, GPtrArray *candidates, int64_t spares)
{
        Waiting *waiting = claim(pool, vm_id(vm), CHECKING);
        if (!waiting)
                return;
        bool keep = waiting->spoken_for || (is_wanted(pool, waiting, candidates, spares) && !is_stale(pool, waiting));
        g_mutex_lock(&pool->lock);
        waiting->state = keep ? WAITING : ENDING;
        g_cond_broadcast(&pool->changed);
        g_mutex_unlock(&pool->lock);
        if (keep)
                return;
        end_one(waiting);
        drop(pool, vm_id(vm));
}

void warm_round(Manager *manager)
{
        WarmPool *pool = manager_warm(manager);
        int64_t count, floor_bytes;
        g_autoptr(GPtrArray) waiting = waiting_vms(pool);
        warm_get(manager, &count, &floor_bytes);
        if (count == 0 && waiting->len == 0)
                return;
        int64_t allowed = allowance(count, floor_bytes, waiting->len);
        g_autoptr(GPtrArray) candidates = wanted(manager, allowed);
        for (guint i = 0; i < waiting->len; i++)
                keep_or_end(pool, waiting->pdata[i], candidates, allowed);
        for (guint i = 0; i < candidates->len; i++)
                warm_up(pool, candidates->pdata[i]);
        make_spares(pool, count, floor_bytes);
}

/* ---- the setting ---- */

void warm_get(Manager *manager, int64_t *ret_count, int64_t *ret_floor_bytes)
{
        WarmPool *pool = manager_warm(manager);
        g_mutex_lock(&pool->lock);
        *ret_count = pool->count;
        *ret_floor_bytes = pool->floor_bytes;
        g_mutex_unlock(&pool->lock);
}

static bool store_number(Manager *manager, const char *key, int64_t value, GError **error)
{
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);
        return value < 0 || store_set(manager_store(manager), key, text, error);
}

bool warm_set(Manager *manager, int64_t count, int64_t floor_bytes, GError **error)
{
        WarmPool *pool = manager_warm(manager);
        if (!store_number(manager, COUNT_KEY, count, error) || !store_number(manager, FLOOR_KEY, floor_bytes, error))
                return false;
        g_mutex_lock(&pool->lock);
        pool->count = count < 0 ? pool->count : count;
        pool->floor_bytes = floor_bytes < 0 ? pool->floor_bytes : floor_bytes;
        g_mutex_unlock(&pool->lock);
        return true;
}

static int by_name(gconstpointer a, gconstpointer b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **warm_names(Manager *manager)
{
        g_autoptr(GPtrArray) vms = waiting_vms(manager_warm(manager));
        GPtrArray *names = g_ptr_array_new();
        for (guint i = 0; i < vms->len; i++)
                if (is_there(manager_warm(manager), vms->pdata[i]))
                        g_ptr_array_add(names, vm_name(vms->pdata[i]));
        g_ptr_array_sort(names, by_name);
        g_ptr_array_add(names, NULL);
        return (char **)g_ptr_array_free(names, FALSE);
}

int64_t warm_spares(Manager *manager)
{
        return spares_of(manager_warm(manager), NULL, false);
}
