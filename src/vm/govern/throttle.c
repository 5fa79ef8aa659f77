/* Rates that parts of VMs share: see throttle.h. The lock guards what throttles_explain() reads. */
#include "vm/govern/throttle.h"

#include <math.h>
#include <string.h>

#include "sched/enforce.h"

/* What came of sharing one thing out, for as long as somebody may ask why. Under the lock. */
typedef struct {
        GArray *claimants; /* of Claimant; those that are pools have names */
        GPtrArray *names;
} Outcome;

struct Throttled {
        char *key, *vm_id, *resource, *shared;
        const char *unit; /* static */
        pid_t pid;        /* one of a new run begins anew */
        uint64_t round;
        /* Of the round. */
        Vm *vm;
        bool fixed;
        double average, capacity;
        Claimant wanted;
        /* What came of it; under the lock. */
        Outcome *outcome; /* NULL: nothing yet */
        guint which;      /* in it */
        double ceiling;   /* in force */
        bool enforced;
};

struct Throttles {
        void (*claim_pools)(const HostlerRespoolConfigList *list, GArray *claimants);
        uint64_t round;
        GPtrArray *claimed; /* of Throttled, borrowed: in this round */
        GMutex lock;
        GHashTable *table; /* key → Throttled */
};

static void outcome_clear(gpointer data)
{
        Outcome *outcome = data;
        g_array_unref(outcome->claimants);
        g_ptr_array_unref(outcome->names);
}

static void outcome_unref(Outcome *outcome)
{
        g_rc_box_release_full(outcome, outcome_clear);
}

static void throttled_free(gpointer data)
{
        Throttled *throttled = data;
        g_free(throttled->key);
        g_free(throttled->vm_id);
        g_free(throttled->resource);
        g_free(throttled->shared);
        g_clear_pointer(&throttled->outcome, outcome_unref);
        g_free(throttled);
}

Throttles *throttles_new(void (*claim_pools)(const HostlerRespoolConfigList *list, GArray *claimants))
{
        Throttles *throttles = g_new0(Throttles, 1);
        throttles->claim_pools = claim_pools;
        throttles->claimed = g_ptr_array_new();
        throttles->table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, throttled_free);
        g_mutex_init(&throttles->lock);
        return throttles;
}

void throttles_free(Throttles *throttles)
{
        if (!throttles)
                return;
        g_ptr_array_unref(throttles->claimed);
        g_hash_table_unref(throttles->table);
        g_mutex_clear(&throttles->lock);
        g_free(throttles);
}

/* ---- collect ---- */

void throttles_begin(Throttles *throttles)
{
        throttles->round++;
        g_ptr_array_set_size(throttles->claimed, 0);
}

static Throttled *add(Throttles *throttles, Vm *vm, const ThrottleClaim *claim, char *key_taken)
{
        Throttled *throttled = g_new0(Throttled, 1);
        throttled->key = key_taken;
        throttled->vm_id = g_strdup(vm_id(vm));
        throttled->resource = g_strdup_printf("%s.%s", claim->part, claim->rate);
        throttled->unit = claim->unit;
        throttled->pid = vm_process(vm).pid;
        throttled->ceiling = ALLOCATE_UNLIMITED;
        g_hash_table_replace(throttles->table, throttled->key, throttled);
        return throttled;
}

Throttled *throttles_claim(Throttles *throttles, Vm *vm, const ThrottleClaim *claim)
{
        g_autofree char *key = g_strconcat(vm_id(vm), "/", claim->part, ".", claim->rate, NULL);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&throttles->lock);
        Throttled *throttled = g_hash_table_lookup(throttles->table, key);
        if (throttled && throttled->pid != vm_process(vm).pid)
                throttled = NULL;
        if (claim->capacity >= ALLOCATE_UNLIMITED && (!throttled || throttled->ceiling >= ALLOCATE_UNLIMITED))
                return NULL;
        if (!throttled)
                throttled = add(throttles, vm, claim, g_steal_pointer(&key));
        throttled->round = throttles->round;
        throttled->vm = vm;
        throttled->fixed = claim->fixed;
        throttled->capacity = claim->capacity;
        g_free(throttled->shared);
        throttled->shared = g_strconcat(claim->rate, "/", claim->shared, NULL);
        throttled->wanted = (Claimant){.claim = claim->claim, .pool = claim->respool, .name = throttled->key};
        throttled->wanted.claim.demand = enforce_demand_throttled(
            &throttled->average, claim->used, MIN(throttled->ceiling, claim->claim.limit), claim->least);
        g_ptr_array_add(throttles->claimed, throttled);
        return throttled;
}

/* ---- weigh and allocate ---- */

/* Of @claimants, whose pools' names are borrowed. Members are known by their places. */
static Outcome *outcome_new(GArray *claimants, guint n_pools)
{
        Outcome *outcome = g_rc_box_new0(Outcome);
        outcome->claimants = g_array_ref(claimants);
        outcome->names = g_ptr_array_new_with_free_func(g_free);
        for (guint i = 0; i < claimants->len; i++) {
                Claimant *claimant = &g_array_index(claimants, Claimant, i);
                claimant->name = i < n_pools ? g_strdup(claimant->name) : NULL;
                if (claimant->name)
                        g_ptr_array_add(outcome->names, (char *)claimant->name);
        }
        return outcome;
}

/* All that share one thing: pools first, then members in their order. */
static void share_out(Throttles *throttles, const HostlerRespoolConfigList *pools, const GPtrArray *members)
{
        g_autoptr(GArray) claimants = g_array_new(FALSE, FALSE, sizeof(Claimant));
        throttles->claim_pools(pools, claimants);
        for (guint i = 0; i < members->len; i++)
                g_array_append_val(claimants, ((const Throttled *)members->pdata[i])->wanted);
        /* Where nobody said what there is, there is enough. */
        double capacity = MIN(((const Throttled *)members->pdata[0])->capacity, ALLOCATE_UNLIMITED / 1e10);
        if (!allocate_anyway(capacity, (Claimant *)claimants->data, claimants->len))
                return;
        Outcome *outcome = outcome_new(claimants, (guint)pools->count);
        g_mutex_lock(&throttles->lock);
        for (guint i = 0; i < members->len; i++) {
                Throttled *throttled = members->pdata[i];
                g_clear_pointer(&throttled->outcome, outcome_unref);
                throttled->outcome = g_rc_box_acquire(outcome);
                throttled->which = (guint)pools->count + i;
        }
        outcome_unref(outcome);
        g_mutex_unlock(&throttles->lock);
}

/* What is shared → GPtrArray of Throttled. */
static GHashTable *by_what_is_shared(const GPtrArray *claimed)
{
        GHashTable *groups = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
        for (guint i = 0; i < claimed->len; i++) {
                Throttled *throttled = claimed->pdata[i];
                GPtrArray *members = g_hash_table_lookup(groups, throttled->shared);
                if (!members) {
                        members = g_ptr_array_new();
                        g_hash_table_insert(groups, throttled->shared, members);
                }
                g_ptr_array_add(members, throttled);
        }
        return groups;
}

/* ---- act ---- */

static const Claimant *claimant_of(const Throttled *throttled)
{
        return &g_array_index(throttled->outcome->claimants, Claimant, throttled->which);
}

static char *reason_of(const Throttled *throttled)
{
        const GArray *claimants = throttled->outcome->claimants;
        return allocate_explain((const Claimant *)claimants->data, claimants->len, throttled->which);
}

static void tell_events(const Throttled *throttled)
{
        const Claimant *claimant = claimant_of(throttled);
        g_autofree char *object = vm_object(throttled->vm), *reason = reason_of(throttled);
        json_t *data = json_pack("{s:s, s:f, s:f, s:s}", "resource", throttled->resource, "demand",
                                 claimant->claim.demand, "granted", claimant->granted, "reason", reason);
        if (throttled->ceiling < ALLOCATE_UNLIMITED)
                json_object_set_new(data, "ceiling", json_real(throttled->ceiling));
        event_emit(manager_events(vm_manager(throttled->vm)), "vm-allocation", object, data);
}

/* A ceiling for who is short; small changes are not made. */
static void set_ceiling(Throttles *throttles, Throttled *throttled)
{
        if (!throttled->outcome)
                return;
        const Claimant *claimant = claimant_of(throttled);
        bool is_short = isfinite(claimant->level) && claimant->granted < claimant->claim.demand;
        Enforced now = {1, throttled->ceiling};
        Enforced wanted = {1, is_short && !throttled->fixed ? MAX(floor(claimant->granted), 1) : ALLOCATE_UNLIMITED};
        if (!enforce_differs(&now, &wanted))
                return;
        g_mutex_lock(&throttles->lock);
        throttled->ceiling = wanted.ceiling;
        g_mutex_unlock(&throttles->lock);
        tell_events(throttled);
}

void throttles_allocate(Throttles *throttles, const HostlerRespoolConfigList *pools)
{
        g_autoptr(GHashTable) groups = by_what_is_shared(throttles->claimed);
        GHashTableIter iter;
        gpointer members;
        g_hash_table_iter_init(&iter, groups);
        while (g_hash_table_iter_next(&iter, NULL, &members))
                share_out(throttles, pools, members);
        for (guint i = 0; i < throttles->claimed->len; i++)
                set_ceiling(throttles, throttles->claimed->pdata[i]);
}

double throttled_ceiling(const Throttled *throttled)
{
        return throttled->ceiling;
}

void throttled_enforced(Throttles *throttles, Throttled *throttled)
{
        g_mutex_lock(&throttles->lock);
        throttled->enforced = true;
        g_mutex_unlock(&throttles->lock);
}

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        return ((Throttled *)value)->round != ((Throttles *)data)->round;
}

void throttles_end(Throttles *throttles)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&throttles->lock);
        g_ptr_array_set_size(throttles->claimed, 0);
        g_hash_table_foreach_remove(throttles->table, is_over, throttles);
}

/* ---- explaining ---- */

static void explain(const Throttled *throttled, HostlerAllocation *row)
{
        const Claimant *claimant = claimant_of(throttled);
        const Claim *claim = &claimant->claim;
        record_init(&hostler_allocation_type, row);
        row->resource = g_strdup(throttled->resource);
        row->unit = g_strdup(throttled->unit);
        row->demand = round(claim->demand);
        row->granted = round(claimant->granted);
        row->reservation = claim->reservation > 0 ? claim->reservation : NAN;
        row->limit = claim->limit < ALLOCATE_UNLIMITED ? claim->limit : NAN;
        row->shares = claim->shares;
        row->price = isfinite(claimant->level) && claimant->level > 0 ? 1 / claimant->level : 0;
        row->ceiling = throttled->ceiling < ALLOCATE_UNLIMITED ? throttled->ceiling : NAN;
        row->enforced = throttled->enforced;
        row->respool = allocate_path((const Claimant *)throttled->outcome->claimants->data, throttled->which);
        row->reason = reason_of(throttled);
}

static int by_resource(gconstpointer a, gconstpointer b)
{
        return strcmp((*(Throttled *const *)a)->resource, (*(Throttled *const *)b)->resource);
}

void throttles_explain(Throttles *throttles, const char *vm_id, HostlerAllocationList *list)
{
        GHashTableIter iter;
        gpointer value;
        g_autoptr(GPtrArray) found = g_ptr_array_new();
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&throttles->lock);
        g_hash_table_iter_init(&iter, throttles->table);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (strcmp(((Throttled *)value)->vm_id, vm_id) == 0 && ((Throttled *)value)->outcome)
                        g_ptr_array_add(found, value);
        g_ptr_array_sort(found, by_resource);
        list->items = g_renew(HostlerAllocation, list->items, list->count + found->len);
        for (guint i = 0; i < found->len; i++)
                explain(found->pdata[i], &list->items[list->count++]);
}
