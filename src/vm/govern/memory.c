/*
 * Rounds of memory: what each guest holds and uses is collected, shared out (src/sched/reclaim.h), and its balloon
 * told. The balloon is told without waiting for an answer; what came of it the guest's next statistics say.
 *
 * A guest without a balloon driver, and one whose owner set balloon.target, is left alone.
 */
#include "vm/govern/memory.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "host/host_facts.h"
#include "sched/reclaim.h"
#include "vm/govern/respool.h"

#define ROUNDS 5
#define MIB (1024.0 * 1024)
/* Less a Linux guest cannot live with. */
#define LEAST_MIB 64.0

typedef struct {
        char *id;
        char *respool; /* path; NULL: at the top */
        uint64_t round;
        double told; /* MiB; 0: nothing yet */
        MemoryClaim claim;
        bool reclaiming;
} Entry;

struct MemoryGovernor {
        Manager *manager;
        uint64_t round;
        ReclaimState state;
        GMutex lock;
        GHashTable *entries; /* id → Entry */
};

static void entry_free(gpointer data)
{
        Entry *entry = data;
        g_free(entry->id);
        g_free(entry->respool);
        g_free(entry);
}

MemoryGovernor *memory_governor_new(Manager *manager)
{
        MemoryGovernor *governor = g_new0(MemoryGovernor, 1);
        governor->manager = manager;
        governor->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
        g_mutex_init(&governor->lock);
        return governor;
}

void memory_governor_free(MemoryGovernor *governor)
{
        if (!governor)
                return;
        g_hash_table_unref(governor->entries);
        g_mutex_clear(&governor->lock);
        g_free(governor);
}

/* ---- collect and weigh ---- */

/* False for one that is to be left alone. */
static bool claim_of(Vm *vm, const HostlerSpec *spec, const float sample[METRICS], MemoryClaim *ret_claim)
{
        const HostlerMemoryProps *memory = spec_part(spec, "memory")->props;
        const HostlerBalloonProps *balloon = spec_part(spec, "balloon")->props;
        if (balloon->target != HOSTLER_UNSET || isnan(sample[METRIC_MEMORY]) || isnan(sample[METRIC_GUEST_USED]))
                return false;
        *ret_claim = (MemoryClaim){
            .size = (double)memory->size / MIB,
            .held = sample[METRIC_MEMORY] / MIB,
            .used = sample[METRIC_GUEST_USED] / MIB,
            .reservation = memory->reservation == HOSTLER_UNSET ? 0 : (double)memory->reservation / MIB,
            .limit = memory->limit == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)memory->limit / MIB,
            .shares = shares_read(memory->shares, shares_memory(SHARES_NORMAL, (double)memory->size / MIB))};
        return true;
}

static Entry *entry_of(MemoryGovernor *governor, const char *id)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        Entry *entry = g_hash_table_lookup(governor->entries, id);
        if (!entry) {
                entry = g_new0(Entry, 1);
                entry->id = g_strdup(id);
                g_hash_table_insert(governor->entries, entry->id, entry);
        }
        entry->round = governor->round;
        return entry;
}

/* ---- act ---- */

static void on_told(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
}

/* A balloon knows of the memory the VM booted with alone. */
static bool tell_balloon(Vm *vm, const MemoryClaim *claim)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        double boot = (double)runtime.memory_boot / MIB, plugged = MAX(claim->size - boot, 0);
        record_clear(&hostler_vm_runtime_type, &runtime);
        double left = CLAMP(claim->target - plugged, MIN(LEAST_MIB, boot), boot);
        if (qmp)
                qmp_send(qmp, "balloon", json_pack("{s:I}", "value", (json_int_t)(floor(left) * MIB)), QMP_TIMEOUT_MS,
                         on_told, NULL);
        return qmp != NULL;
}

static char *reason_of(const MemoryClaim *claim, bool reclaiming)
{
        if (reclaiming && claim->target < claim->size)
                return g_strdup_printf("the host is short of memory: %.0f of %.0f MiB by its shares; it uses %.0f",
                                       claim->target, claim->size, claim->used);
        if (claim->target < claim->size)
                return g_strdup_printf("%.0f of %.0f MiB: %s limit", claim->target, claim->size,
                                       claim->target < floor(claim->limit) ? "its resource pool's" : "its");
        return g_strdup("all of it: the host has enough");
}

static void act(Vm *vm, Entry *entry, const MemoryClaim *claim, double ballooned, bool reclaiming)
{
        double now = entry->told > 0 ? entry->told : claim->size - ballooned;
        if (!reclaim_differs(now, claim->target) || !tell_balloon(vm, claim)) {
                entry->told = now;
                return;
        }
        g_autofree char *object = vm_object(vm), *reason = reason_of(claim, reclaiming);
        entry->told = claim->target;
        event_emit(manager_events(vm_manager(vm)), "vm-allocation", object,
                   json_pack("{s:s, s:f, s:f, s:s}", "resource", "memory", "demand", claim->used, "granted",
                             claim->target, "reason", reason));
}

/* ---- the round ---- */

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        return ((Entry *)value)->round != ((MemoryGovernor *)data)->round;
}

typedef struct {
        Vm *vm;
        double ballooned;
} Member;

static void set_entry(MemoryGovernor *governor, Entry *entry, const MemoryClaim *claim, char *respool_taken)
{
        g_mutex_lock(&governor->lock);
        g_free(entry->respool);
        entry->respool = respool_taken;
        entry->claim = *claim;
        entry->reclaiming = governor->state.reclaiming;
        g_mutex_unlock(&governor->lock);
}

static void act_on_all(MemoryGovernor *governor, const GArray *members, const GArray *claims,
                       const HostlerRespoolConfigList *pools)
{
        for (guint i = 0; i < members->len; i++) {
                const Member *member = &g_array_index(members, Member, i);
                const MemoryClaim *claim = &g_array_index(claims, MemoryClaim, i);
                Entry *entry = entry_of(governor, vm_id(member->vm));
                act(member->vm, entry, claim, member->ballooned, governor->state.reclaiming);
                set_entry(governor, entry, claim, claim->pool < 0 ? NULL : respools_path(pools, claim->pool, ""));
        }
        g_mutex_lock(&governor->lock);
        g_hash_table_foreach_remove(governor->entries, is_over, governor);
        g_mutex_unlock(&governor->lock);
}

static void collect(MemoryGovernor *governor, const GPtrArray *vms, const HostlerRespoolConfigList *pools,
                    GArray *members, GArray *claims)
{
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = g_ptr_array_index(vms, i);
                g_autoptr(Spec) spec = vm_spec(vm);
                float sample[METRICS];
                MemoryClaim claim;
                if (vm_power(vm) != HOSTLER_POWER_RUNNING ||
                    !monitor_latest(manager_monitor(governor->manager), vm_id(vm), sample) ||
                    !claim_of(vm, &spec->value, sample, &claim))
                        continue;
                float ballooned = sample[METRIC_BALLOONED];
                Member member = {vm, isnan(ballooned) ? 0 : ballooned / MIB};
                claim.pool = respools_index(pools, spec_respool(&spec->value));
                g_array_append_val(members, member);
                g_array_append_val(claims, claim);
        }
}

void memory_governor_round(MemoryGovernor *governor, const GPtrArray *vms, const HostlerRespoolConfigList *pools)
{
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
        g_autoptr(GArray) claims = g_array_new(FALSE, FALSE, sizeof(MemoryClaim));
        g_autoptr(GArray) claimants = g_array_new(FALSE, FALSE, sizeof(Claimant));
        HostFacts facts = host_facts_read(&host_paths);
        bool is_short = (double)facts.memory_available_bytes < RECLAIM_BEGIN * (double)facts.memory_total_bytes;
        if (++governor->round % ROUNDS != 0 && !is_short)
                return;
        collect(governor, vms, pools, members, claims);
        respools_claim_memory(pools, claimants);
        reclaim((double)facts.memory_total_bytes / MIB, (double)facts.memory_available_bytes / MIB,
                (const Claimant *)claimants->data, claimants->len, (MemoryClaim *)claims->data, claims->len,
                &governor->state);
        act_on_all(governor, members, claims, pools);
}

/* ---- explaining ---- */

bool memory_governor_explain(MemoryGovernor *governor, const char *id, HostlerAllocation *row)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        const Entry *entry = g_hash_table_lookup(governor->entries, id);
        if (!entry)
                return false;
        const MemoryClaim *claim = &entry->claim;
        double level = claim->claimant.level;
        record_init(&hostler_allocation_type, row);
        row->resource = g_strdup("memory");
        row->unit = g_strdup("MiB");
        row->demand = round(claim->used);
        row->granted = round(claim->target);
        row->reservation = claim->reservation > 0 ? claim->reservation : NAN;
        row->limit = claim->limit < ALLOCATE_UNLIMITED ? claim->limit : NAN;
        row->shares = claim->shares;
        row->price = isfinite(level) && level > 0 ? round(1000 / level) / 1000 : 0;
        row->ceiling = claim->target < claim->size ? round(claim->target) : NAN;
        row->enforced = true;
        row->respool = g_strdup(entry->respool);
        row->reason = reason_of(claim, entry->reclaiming);
        return true;
}
