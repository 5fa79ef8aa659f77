/*
 * Rounds of allocation: see govern.h. Memory is memory.c; of processors the kernel is told through control
 * groups what each VM counts, and in the last resort what it gets at most, and of memory what is not to be taken.
 *
 * The lock guards the table of VMs, whose other members only the rounds change; it is not held across a call.
 */
#include "vm/govern/govern.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "host/cgroup_group.h"
#include "sched/enforce.h"
#include "vm/govern/adapters.h"
#include "vm/govern/disks.h"
#include "vm/govern/memory.h"
#include "vm/govern/recommend.h"
#include "vm/govern/respool.h"

/* Of the processors that others keep busy, some are left to VMs all the same. */
#define LEAST_PART 0.1
#define OTHERS_MEMORY 0.25
/*
 * What all VMs weigh together against the rest of the host, at most: as much as two busy processes. With as much as
 * each by itself the daemon did not answer for half a minute beside twenty guests that booted on two processors.
 */
#define MOST_TOGETHER 2048.0
/* Somebody else sees to the groups. */
#define WITHOUT_GROUPS "HOSTLER_NO_CGROUPS"

/* A VM, or a pool with a VM that runs. */
typedef struct {
        char *id, *name;
        char *group; /* where it belongs now */
        uint64_t round;
        double average;
        char *placed; /* the group that it is in; NULL: none yet */
        pid_t pid;    /* whose */
        Enforced enforced;
        int64_t floor_bytes; /* of memory, in force; -1: not known */
} Governed;

struct Governor {
        Manager *manager;
        CgroupParent parent;
        MemoryGovernor *memory;
        DiskGovernor *disks;
        AdapterGovernor *adapters;
        Respools *respools;
        Recommender *recommender;
        double weight;       /* of all together, in force */
        int64_t floor_bytes; /* likewise */
        double others;       /* processors that all but VMs use, on average */
        uint64_t round;

        GMutex lock;
        GHashTable *governed; /* id of a VM, group of a pool → Governed */
        GArray *last;         /* of Claimant: the last round's; their names are owned by `names` */
        GPtrArray *names;
};

static void governed_free(gpointer data)
{
        Governed *governed = data;
        g_free(governed->id);
        g_free(governed->name);
        g_free(governed->group);
        g_free(governed->placed);
        g_free(governed);
}

/* The same for every daemon of this state folder, another for every other. */
static char *group_name(Manager *manager)
{
        g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, manager_state_dir(manager), -1);
        return g_strdup_printf("hostler-%.12s", sum);
}

Governor *governor_new(Manager *manager)
{
        Governor *governor = g_new0(Governor, 1);
        g_autofree char *name = group_name(manager);
        governor->manager = manager;
        governor->floor_bytes = -1;
        governor->respools = respools_new(manager_store(manager));
        governor->memory = memory_governor_new(manager);
        governor->disks = disk_governor_new();
        governor->adapters = adapter_governor_new();
        governor->recommender = recommender_new(manager);
        governor->governed = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, governed_free);
        governor->last = g_array_new(FALSE, FALSE, sizeof(Claimant));
        governor->names = g_ptr_array_new_with_free_func(g_free);
        g_mutex_init(&governor->lock);
        if (g_getenv(WITHOUT_GROUPS))
                governor->parent.why = g_strdup("control groups are not to be made (" WITHOUT_GROUPS ")");
        else
                cgroup_parent_open(&host_paths, name, &governor->parent);
        return governor;
}

void governor_free(Governor *governor)
{
        if (!governor)
                return;
        cgroup_parent_close(&governor->parent);
        memory_governor_free(governor->memory);
        disk_governor_free(governor->disks);
        adapter_governor_free(governor->adapters);
        respools_free(governor->respools);
        recommender_free(governor->recommender);
        g_hash_table_unref(governor->governed);
        g_array_unref(governor->last);
        g_ptr_array_unref(governor->names);
        g_mutex_clear(&governor->lock);
        g_free(governor);
}

char *govern_why_not(Governor *governor)
{
        return g_strdup(governor->parent.why);
}

/* ---- one: collect ---- */

/* Takes @name and @group. */
static Governed *governed_of(Governor *governor, const char *id, char *name_taken, char *group_taken)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        Governed *governed = g_hash_table_lookup(governor->governed, id);
        if (!governed) {
                governed = g_new0(Governed, 1);
                governed->id = g_strdup(id);
                governed->floor_bytes = -1;
                g_hash_table_insert(governor->governed, governed->id, governed);
        }
        g_free(governed->name);
        g_free(governed->group);
        governed->name = name_taken;
        governed->group = group_taken;
        governed->round = governor->round;
        return governed;
}

static Governed *governed_vm(Governor *governor, Vm *vm, const HostlerRespoolConfigList *pools, int pool)
{
        g_autofree char *path = respools_path(pools, pool, RESPOOL_GROUP);
        return governed_of(governor, vm_id(vm), vm_name(vm),
                           pool >= 0 ? g_strdup_printf("%s/%s", path, vm_id(vm)) : g_strdup(vm_id(vm)));
}

static double demand_of(Governor *governor, Governed *governed)
{
        float sample[METRICS];
        if (!monitor_latest(manager_monitor(governor->manager), governed->id, sample))
                return enforce_demand(&governed->average, 0, 0);
        return enforce_demand(&governed->average, sample[METRIC_CPU],
                              isnan(sample[METRIC_WAIT]) ? 0 : sample[METRIC_WAIT]);
}

/* What everything but VMs keeps busy, on average. */
static void note_others(Governor *governor, double vms_use)
{
        float host[METRICS];
        if (!monitor_latest(manager_monitor(governor->manager), MONITOR_HOST, host) || isnan(host[METRIC_CPU]))
                return;
        double others = MAX(host[METRIC_CPU] - vms_use, 0);
        governor->others += OTHERS_MEMORY * (others - governor->others);
}

/* ---- two: weigh ---- */

/* Side by side with its claimant. */
typedef struct {
        Vm *vm; /* NULL: a pool */
        Governed *governed;
        int64_t floor_bytes; /* of memory that is reserved: its own, and what those in it have */
} Member;

static void weigh_pools(const HostlerRespoolConfigList *pools, GArray *members, GArray *claimants)
{
        respools_claim_cpu(pools, claimants);
        for (size_t i = 0; i < pools->count; i++) {
                Member member = {0}; /* one that is to be governed gets its entry in act_on_pools() */
                g_array_append_val(members, member);
        }
}

static int64_t reserved_memory(const HostlerSpec *spec)
{
        const HostlerMemoryProps *memory = spec_part(spec, "memory")->props;
        return memory->reservation == HOSTLER_UNSET ? 0 : memory->reservation;
}

static void weigh(Governor *governor, const GPtrArray *vms, const HostlerRespoolConfigList *pools, GArray *members,
                  GArray *claimants, double *ret_used)
{
        weigh_pools(pools, members, claimants);
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = g_ptr_array_index(vms, i);
                float sample[METRICS];
                if (!vm_process(vm).pid)
                        continue;
                g_autoptr(Spec) spec = vm_spec(vm);
                int pool = respools_index(pools, spec_respool(&spec->value));
                Member member = {vm, governed_vm(governor, vm, pools, pool), reserved_memory(&spec->value)};
                Claimant claimant = {.claim = claim_cpu(&spec->value), .pool = pool, .name = member.governed->name};
                claimant.claim.demand = demand_of(governor, member.governed);
                if (monitor_latest(manager_monitor(governor->manager), vm_id(vm), sample) && !isnan(sample[METRIC_CPU]))
                        *ret_used += sample[METRIC_CPU];
                g_array_append_val(members, member);
                g_array_append_val(claimants, claimant);
        }
}

/* ---- three: allocate ---- */

/* What there is for VMs: reservations in any case. */
static double capacity_now(Governor *governor, double reserved, bool *ret_limited)
{
        HostFacts facts = host_facts_read(&host_paths);
        double limit = cgroup_parent_limit(&governor->parent);
        *ret_limited = limit < facts.cpus;
        double free = *ret_limited ? limit : facts.cpus - governor->others;
        return MAX(free, reserved + facts.cpus * LEAST_PART);
}

/* ---- four: act ---- */

static void tell_vm(Vm *vm, const Claimant *claimant, const Enforced *wanted, const char *reason)
{
        g_autofree char *object = vm_object(vm);
        json_t *data = json_pack("{s:s, s:f, s:f, s:f, s:s}", "resource", "cpu", "demand", claimant->claim.demand,
                                 "granted", claimant->granted, "weight", wanted->weight, "reason", reason);
        if (wanted->ceiling < ALLOCATE_UNLIMITED)
                json_object_set_new(data, "ceiling", json_real(wanted->ceiling));
        event_emit(manager_events(vm_manager(vm)), "vm-allocation", object, data);
}

static bool put_in_force(const CgroupParent *parent, Governed *governed, const Enforced *wanted)
{
        double ceiling = wanted->ceiling < ALLOCATE_UNLIMITED ? wanted->ceiling : INFINITY;
        return cgroup_set_shares(parent, governed->group, wanted->weight, NULL) &&
               cgroup_set_ceiling(parent, governed->group, ceiling, NULL);
}

/* What every VM begins with is not worth an event. */
static bool is_usual(const Governed *governed, const Enforced *wanted, const Claim *claim)
{
        return governed->enforced.weight == 0 && wanted->weight == claim->shares &&
               wanted->ceiling >= ALLOCATE_UNLIMITED;
}

static void set_enforced(Governor *governor, Governed *governed, Enforced enforced)
{
        g_mutex_lock(&governor->lock);
        governed->enforced = enforced;
        g_mutex_unlock(&governor->lock);
}

/* In its group, which is another one after it joined or left a pool. */
static bool place(Governor *governor, const Member *member)
{
        Governed *governed = member->governed;
        pid_t pid = member->vm ? vm_process(member->vm).pid : 0;
        if (g_strcmp0(governed->placed, governed->group) == 0 && governed->pid == pid)
                return true;
        if (member->vm ? !pid || !cgroup_place(&governor->parent, governed->group, pid, NULL)
                       : !cgroup_make(&governor->parent, governed->group, NULL))
                return false;
        if (governed->placed && strcmp(governed->placed, governed->group) != 0)
                cgroup_drop(&governor->parent, governed->placed);
        g_free(governed->placed);
        governed->placed = g_strdup(governed->group);
        governed->pid = pid;
        governed->floor_bytes = -1;
        set_enforced(governor, governed, (Enforced){0});
        return true;
}

/* Where it is not in force yet. One that could not be set is tried again in the next round. */
static void protect(const Governor *governor, const char *group, int64_t wanted_bytes, int64_t *floor_bytes)
{
        if (*floor_bytes != wanted_bytes && cgroup_set_memory_floor(&governor->parent, group, wanted_bytes, NULL))
                *floor_bytes = wanted_bytes;
}

/* Reserved memory stays when the host is short of it, for which each group above a VM's has to have it as well. */
static void protect_all(Governor *governor, GArray *members, const GArray *claimants)
{
        const Claimant *all = (const Claimant *)claimants->data;
        Member *each = (Member *)members->data;
        int64_t total_bytes = 0;
        for (guint i = 0; i < members->len; i++) {
                total_bytes += each[i].vm ? each[i].floor_bytes : 0;
                for (int pool = all[i].pool; each[i].vm && pool >= 0; pool = all[pool].pool)
                        each[pool].floor_bytes += each[i].floor_bytes;
        }
        protect(governor, "", total_bytes, &governor->floor_bytes);
        for (guint i = 0; i < members->len; i++)
                if (each[i].governed && each[i].governed->placed)
                        protect(governor, each[i].governed->placed, each[i].floor_bytes,
                                &each[i].governed->floor_bytes);
}

static void act(Governor *governor, const Member *member, const Claimant *claimants, guint n, guint which, bool limited)
{
        Governed *governed = member->governed;
        Enforced wanted = enforce_wanted(&claimants[which], limited);
        if (!place(governor, member) || !enforce_differs(&governed->enforced, &wanted) ||
            !put_in_force(&governor->parent, governed, &wanted))
                return;
        bool quiet = !member->vm || is_usual(governed, &wanted, &claimants[which].claim);
        g_autofree char *reason = allocate_explain(claimants, n, which);
        set_enforced(governor, governed, wanted);
        if (!quiet)
                tell_vm(member->vm, &claimants[which], &wanted, reason);
}

/* Against the rest of the host VMs count as if each stood by itself, as long as they are few. */
static void weigh_all(Governor *governor, double weights)
{
        Enforced now = {governor->weight, 0}, wanted = {MIN(weights, MOST_TOGETHER), 0};
        if (governor->parent.folder && weights > 0 && enforce_differs(&now, &wanted) &&
            cgroup_set_shares(&governor->parent, "", wanted.weight, NULL))
                governor->weight = wanted.weight;
}

/* Without the right to act, a VM that asks for more than the usual says so. */
static void say_unenforced(Governor *governor, Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        bool unenforced = !governor->parent.folder && claim_is_special(&spec->value);
        if (vm_has_condition(vm, "not-enforced") == unenforced)
                return;
        g_autofree char *detail =
            g_strdup_printf("its shares, reservation and limit of processors are not enforced: %s",
                            governor->parent.why ? governor->parent.why : "");
        vm_set_condition(vm, "not-enforced", unenforced ? detail : NULL);
}

/* Those that somebody in them runs; before the VMs, so that their groups have a weight when VMs come. */
static void act_on_pools(Governor *governor, const HostlerRespoolConfigList *pools, GArray *members,
                         const GArray *claimants, bool limited)
{
        const Claimant *all = (const Claimant *)claimants->data;
        for (guint i = 0; governor->parent.folder && i < pools->count; i++) {
                if (all[i].claim.demand <= 0)
                        continue;
                char *group = respools_path(pools, (int)i, RESPOOL_GROUP);
                Member *member = &g_array_index(members, Member, i);
                member->governed = governed_of(governor, group, g_strdup(pools->items[i].name), group);
                act(governor, member, all, claimants->len, i, limited);
        }
}

static double act_on_vms(Governor *governor, const GArray *members, const GArray *claimants, bool limited)
{
        Claimant *all = (Claimant *)claimants->data;
        double weights = 0;
        for (guint i = 0; i < members->len; i++) {
                const Member *member = &g_array_index(members, Member, i);
                if (all[i].pool < 0 && all[i].claim.demand > 0)
                        weights += enforce_wanted(&all[i], limited).weight;
                if (member->vm && governor->parent.folder)
                        act(governor, member, all, claimants->len, i, limited);
                if (member->vm)
                        say_unenforced(governor, member->vm);
        }
        return weights;
}

/* A pool's group goes after those in it have gone, which may take another round. */
static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        Governor *governor = data;
        Governed *governed = value;
        if (governed->round == governor->round)
                return FALSE;
        return !governed->placed || cgroup_drop(&governor->parent, governed->placed) || governed->pid;
}

/* ---- the round ---- */

/* Names are copied: a VM may go while somebody asks. VMs go by id. */
static void remember(Governor *governor, const GArray *members, const GArray *claimants)
{
        g_mutex_lock(&governor->lock);
        g_array_set_size(governor->last, 0);
        g_ptr_array_set_size(governor->names, 0);
        for (guint i = 0; i < claimants->len; i++) {
                Claimant claimant = g_array_index(claimants, Claimant, i);
                const Member *member = &g_array_index(members, Member, i);
                char *name = g_strdup(member->vm ? member->governed->id : claimant.name);
                g_ptr_array_add(governor->names, name);
                claimant.name = name;
                g_array_append_val(governor->last, claimant);
        }
        g_hash_table_foreach_remove(governor->governed, is_over, governor);
        g_mutex_unlock(&governor->lock);
}

static void make_round(Governor *governor, const GPtrArray *vms, const HostlerRespoolConfigList *pools)
{
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
        g_autoptr(GArray) claimants = g_array_new(FALSE, FALSE, sizeof(Claimant));
        double used = 0;
        bool limited;
        weigh(governor, vms, pools, members, claimants, &used);
        note_others(governor, used);
        double reserved = allocate_reserved((const Claimant *)claimants->data, claimants->len, -1);
        if (!allocate_anyway(capacity_now(governor, reserved, &limited), (Claimant *)claimants->data, claimants->len))
                return;
        act_on_pools(governor, pools, members, claimants, limited);
        weigh_all(governor, act_on_vms(governor, members, claimants, limited));
        if (governor->parent.folder)
                protect_all(governor, members, claimants);
        remember(governor, members, claimants);
}

void govern_round(Governor *governor, const GPtrArray *vms)
{
        HostlerRespoolConfigList pools = respools_list(governor->respools);
        governor->round++;
        memory_governor_round(governor->memory, vms, &pools);
        disk_governor_round(governor->disks, governor->manager, vms, &pools);
        adapter_governor_round(governor->adapters, governor->manager, vms, &pools);
        make_round(governor, vms, &pools);
        recommend_round(governor->recommender);
        record_list_clear(&hostler_respool_config_type, &pools);
}

/* ---- explaining ---- */

static double finite_or_unknown(double value)
{
        return value < ALLOCATE_UNLIMITED ? value : NAN;
}

static double rounded(double value)
{
        return isnan(value) ? NAN : round(value * 1000) / 1000;
}

static void explain_cpu(Governor *governor, const Claimant *claimant, guint which, const Enforced *enforced,
                        HostlerAllocation *row)
{
        record_init(&hostler_allocation_type, row);
        row->resource = g_strdup("cpu");
        row->unit = g_strdup("processors");
        row->demand = rounded(claimant->claim.demand);
        row->reservation = claimant->claim.reservation > 0 ? claimant->claim.reservation : NAN;
        row->limit = finite_or_unknown(claimant->claim.limit);
        row->shares = claimant->claim.shares;
        row->granted = rounded(claimant->granted);
        row->price = isfinite(claimant->level) && claimant->level > 0 ? rounded(1 / claimant->level) : 0;
        row->weight = enforced->weight > 0 ? rounded(enforced->weight) : NAN;
        row->ceiling = enforced->weight > 0 ? rounded(finite_or_unknown(enforced->ceiling)) : NAN;
        row->enforced = enforced->weight > 0;
        row->respool = allocate_path((const Claimant *)governor->last->data, which);
        row->reason = allocate_explain((const Claimant *)governor->last->data, governor->last->len, which);
}

bool govern_explain(Vm *vm, HostlerAllocationList *ret_list, GError **error)
{
        Governor *governor = manager_governor(vm_manager(vm));
        g_autofree char *object = vm_object(vm);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        const Governed *governed = g_hash_table_lookup(governor->governed, vm_id(vm));
        for (guint i = 0; governed && i < governor->last->len; i++) {
                const Claimant *claimant = &g_array_index(governor->last, Claimant, i);
                if (claimant->is_pool || strcmp(claimant->name, vm_id(vm)) != 0)
                        continue;
                *ret_list = (HostlerAllocationList){.items = g_new0(HostlerAllocation, 2), .count = 1};
                explain_cpu(governor, claimant, i, &governed->enforced, &ret_list->items[0]);
                ret_list->count += memory_governor_explain(governor->memory, vm_id(vm), &ret_list->items[1]);
                disk_governor_explain(governor->disks, vm_id(vm), ret_list);
                adapter_governor_explain(governor->adapters, vm_id(vm), ret_list);
                return true;
        }
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "nothing was allocated to it yet: it does not run");
        return error_hint(error, "hostler start %s", object + strlen("vm/"));
}

struct Respools *govern_respools(Manager *manager)
{
        return manager_governor(manager)->respools;
}

struct Recommender *govern_recommender(Manager *manager)
{
        return manager_governor(manager)->recommender;
}

bool govern_pool_round(Manager *manager, const char *pool, double *ret_demand, double *ret_granted)
{
        Governor *governor = manager_governor(manager);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        for (guint i = 0; i < governor->last->len; i++) {
                const Claimant *claimant = &g_array_index(governor->last, Claimant, i);
                if (!claimant->is_pool || strcmp(claimant->name, pool) != 0 || claimant->claim.demand <= 0)
                        continue;
                *ret_demand = rounded(claimant->claim.demand);
                *ret_granted = rounded(claimant->granted);
                return true;
        }
        return false;
}
