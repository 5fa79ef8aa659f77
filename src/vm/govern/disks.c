/*
 * Rounds of disks: what each does is collected, weighed by its shares, allocated within what its pool can do (declared,
 * capacity.c), and held by QEMU's throttle, together with the limits that the disk has of its own. Requests and bytes
 * are two resources, each shared out by itself.
 *
 * QEMU is told without waiting for an answer; the next counters say what came of it. A disk that limits reads and
 * writes apart is counted and left alone.
 */
#include "vm/govern/disks.h"

#include <math.h>
#include <string.h>

#include "device/disk.h"
#include "sched/enforce.h"
#include "storage/pool.h"
#include "vm/govern/govern.h"

#define SHARES 1000.0 /* normal */

typedef enum { REQUESTS, BYTES, KINDS } Kind;
static const char *const kind_names[] = {"iops", "bandwidth"};
static const char *const kind_units[] = {"requests/s", "bytes/s"};
/* Room for a disk that did nothing. */
static const double least_demand[] = {5, 262144};

/* A disk of a run. */
typedef struct {
        char *key, *id, *part;
        uint64_t round;
        double average[KINDS];
        double ceiling[KINDS]; /* in force; ALLOCATE_UNLIMITED: none */
        Claimant claimant[KINDS];
        char *reason[KINDS];
        char *sent; /* what QEMU was told last; NULL: nothing yet */
} Disk;

struct DiskGovernor {
        uint64_t round;
        GMutex lock;
        GHashTable *disks; /* key → Disk */
};

static void disk_free(gpointer data)
{
        Disk *disk = data;
        g_free(disk->key);
        g_free(disk->id);
        g_free(disk->part);
        for (Kind kind = 0; kind < KINDS; kind++)
                g_free(disk->reason[kind]);
        g_free(disk->sent);
        g_free(disk);
}

DiskGovernor *disk_governor_new(void)
{
        DiskGovernor *governor = g_new0(DiskGovernor, 1);
        governor->disks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, disk_free);
        g_mutex_init(&governor->lock);
        return governor;
}

void disk_governor_free(DiskGovernor *governor)
{
        if (!governor)
                return;
        g_hash_table_unref(governor->disks);
        g_mutex_clear(&governor->lock);
        g_free(governor);
}

static Disk *disk_of(DiskGovernor *governor, Vm *vm, const char *part)
{
        g_autofree char *key = g_strdup_printf("%s/%d/%s", vm_id(vm), (int)vm_process(vm).pid, part);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        Disk *disk = g_hash_table_lookup(governor->disks, key);
        if (!disk) {
                disk = g_new0(Disk, 1);
                disk->key = g_steal_pointer(&key);
                disk->id = g_strdup(vm_id(vm));
                disk->part = g_strdup(part);
                disk->ceiling[REQUESTS] = disk->ceiling[BYTES] = ALLOCATE_UNLIMITED;
                g_hash_table_insert(governor->disks, disk->key, disk);
        }
        disk->round = governor->round;
        return disk;
}

/* ---- collect ---- */

/* In one round, one disk. */
typedef struct {
        Vm *vm;
        Spec *spec; /* a reference: `part` is in it */
        const HostlerPart *part;
        Disk *disk;
        const HostlerPoolCapacity *pool; /* borrowed */
        bool capped[KINDS];              /* can be given a ceiling */
} Member;

static void member_clear(gpointer data)
{
        spec_unref(((Member *)data)->spec);
}

static double limit_of(int64_t value)
{
        return value == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)value;
}

static double shares_of(const char *text)
{
        if (g_strcmp0(text, "low") == 0)
                return SHARES / 2;
        if (g_strcmp0(text, "high") == 0)
                return SHARES * 2;
        return text && strcmp(text, "normal") != 0 ? g_ascii_strtod(text, NULL) : SHARES;
}

static void claim(Member *member, const double *used)
{
        const HostlerDiskProps *props = member->part->props;
        const double limits[] = {limit_of(props->iops), limit_of(props->bandwidth)};
        Disk *disk = member->disk;
        member->capped[REQUESTS] = props->iops_read == HOSTLER_UNSET && props->iops_write == HOSTLER_UNSET;
        member->capped[BYTES] = props->bandwidth_read == HOSTLER_UNSET && props->bandwidth_write == HOSTLER_UNSET;
        for (Kind kind = 0; kind < KINDS; kind++)
                disk->claimant[kind] = (Claimant){
                    .claim = {0, limits[kind], shares_of(props->shares),
                              enforce_demand_throttled(&disk->average[kind], used[kind],
                                                       MIN(disk->ceiling[kind], limits[kind]), least_demand[kind])},
                    .pool = -1,
                    .name = disk->key};
}

/* NULL: nobody ever said what it can do. */
static const HostlerPoolCapacity *pool_of(const HostlerDiskProps *props, const HostlerPoolCapacityList *pools)
{
        for (size_t i = 0; i < pools->count; i++)
                if (strcmp(pools->items[i].pool, props->pool ? props->pool : POOL_DEFAULT) == 0)
                        return &pools->items[i];
        return NULL;
}

static void collect_vm(DiskGovernor *governor, Vm *vm, const HostlerPoolCapacityList *pools, GArray *members)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        for (size_t i = 0; vm_power(vm) == HOSTLER_POWER_RUNNING && i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                double used[KINDS];
                Member member = {.vm = vm, .part = part};
                if (strcmp(part->kind, "disk") != 0 || !(member.pool = pool_of(part->props, pools)) ||
                    !vm_disk_use(vm, part->name, &used[REQUESTS], &used[BYTES]))
                        continue;
                member.spec = spec_ref(spec);
                member.disk = disk_of(governor, vm, part->name);
                g_mutex_lock(&governor->lock);
                claim(&member, used);
                g_mutex_unlock(&governor->lock);
                g_array_append_val(members, member);
        }
}

/* ---- weigh and allocate ---- */

static double capacity_of(const HostlerPoolCapacity *pool, Kind kind)
{
        int64_t value = kind == REQUESTS ? pool->iops : pool->bandwidth;
        return value == HOSTLER_UNSET ? ALLOCATE_UNLIMITED / 1e10 : (double)value;
}

/* All disks of the pool that @first is in. */
static void share_out(DiskGovernor *governor, GArray *members, guint first, Kind kind)
{
        const Member *one = &g_array_index(members, Member, first);
        g_autoptr(GArray) claimants = g_array_new(FALSE, FALSE, sizeof(Claimant));
        for (guint i = first; i < members->len; i++) {
                const Member *member = &g_array_index(members, Member, i);
                if (member->pool == one->pool)
                        g_array_append_val(claimants, member->disk->claimant[kind]);
        }
        Claimant *all = (Claimant *)claimants->data;
        if (!allocate(capacity_of(one->pool, kind), all, claimants->len, NULL))
                return;
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        for (guint i = first, next = 0; i < members->len; i++) {
                const Member *member = &g_array_index(members, Member, i);
                if (member->pool != one->pool)
                        continue;
                g_free(member->disk->reason[kind]);
                member->disk->reason[kind] = allocate_explain(all, claimants->len, next);
                member->disk->claimant[kind] = all[next++];
        }
}

static bool is_first_of_pool(const GArray *members, guint which)
{
        for (guint i = 0; i < which; i++)
                if (g_array_index(members, Member, i).pool == g_array_index(members, Member, which).pool)
                        return false;
        return true;
}

/* ---- act ---- */

/* A ceiling for who is short; small changes are not made. */
static double ceiling_of(const Member *member, Kind kind)
{
        const Claimant *claimant = &member->disk->claimant[kind];
        bool is_short = isfinite(claimant->level) && claimant->granted < claimant->claim.demand;
        Enforced now = {1, member->disk->ceiling[kind]};
        Enforced wanted = {1, is_short && member->capped[kind] ? MAX(floor(claimant->granted), 1) : ALLOCATE_UNLIMITED};
        return enforce_differs(&now, &wanted) ? wanted.ceiling : now.ceiling;
}

static void tell_events(const Member *member, Kind kind)
{
        const Disk *disk = member->disk;
        g_autofree char *object = vm_object(member->vm);
        g_autofree char *resource = g_strdup_printf("%s.%s", disk->part, kind_names[kind]);
        json_t *data =
            json_pack("{s:s, s:f, s:f, s:s}", "resource", resource, "demand", disk->claimant[kind].claim.demand,
                      "granted", disk->claimant[kind].granted, "reason", disk->reason[kind]);
        if (disk->ceiling[kind] < ALLOCATE_UNLIMITED)
                json_object_set_new(data, "ceiling", json_real(disk->ceiling[kind]));
        event_emit(manager_events(vm_manager(member->vm)), "vm-allocation", object, data);
}

static void on_told(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
}

static int64_t or_none(double ceiling)
{
        return ceiling < ALLOCATE_UNLIMITED ? (int64_t)ceiling : 0;
}

/* Who changes the disk's own limits takes the ceiling away with them; it is told again, though it be the same. */
static void tell_qemu(const Member *member)
{
        Disk *disk = member->disk;
        g_autoptr(Qmp) qmp = vm_qmp(member->vm);
        json_t *args = disk_throttle(member->part, or_none(disk->ceiling[REQUESTS]), or_none(disk->ceiling[BYTES]));
        json_auto_t *own = disk_throttle(member->part, 0, 0);
        g_autofree char *with = json_dumps(args, JSON_COMPACT), *without = json_dumps(own, JSON_COMPACT);
        g_autofree char *text = g_strconcat(with, without, NULL);
        if (!qmp || g_strcmp0(text, disk->sent) == 0) {
                json_decref(args);
                return;
        }
        qmp_send(qmp, "block_set_io_throttle", args, QMP_TIMEOUT_MS, on_told, NULL);
        g_free(disk->sent);
        disk->sent = g_steal_pointer(&text);
}

static void act(DiskGovernor *governor, const Member *member)
{
        for (Kind kind = 0; kind < KINDS; kind++) {
                double ceiling = ceiling_of(member, kind);
                if (ceiling == member->disk->ceiling[kind])
                        continue;
                g_mutex_lock(&governor->lock);
                member->disk->ceiling[kind] = ceiling;
                g_mutex_unlock(&governor->lock);
                tell_events(member, kind);
        }
        tell_qemu(member);
}

/* ---- the round ---- */

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        return ((Disk *)value)->round != ((DiskGovernor *)data)->round;
}

void disk_governor_round(DiskGovernor *governor, Manager *manager, const GPtrArray *vms)
{
        HostlerPoolCapacityList pools;
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
        g_array_set_clear_func(members, member_clear);
        governor->round++;
        govern_pool_capacities(manager, &pools);
        for (guint i = 0; pools.count > 0 && i < vms->len; i++)
                collect_vm(governor, g_ptr_array_index(vms, i), &pools, members);
        for (guint i = 0; i < members->len; i++)
                for (Kind kind = 0; kind < KINDS && is_first_of_pool(members, i); kind++)
                        share_out(governor, members, i, kind);
        for (guint i = 0; i < members->len; i++)
                act(governor, &g_array_index(members, Member, i));
        g_mutex_lock(&governor->lock);
        g_hash_table_foreach_remove(governor->disks, is_over, governor);
        g_mutex_unlock(&governor->lock);
        record_list_clear(&hostler_pool_capacity_type, &pools);
}

/* ---- explaining ---- */

static void explain(const Disk *disk, Kind kind, HostlerAllocation *row)
{
        const Claimant *claimant = &disk->claimant[kind];
        record_init(&hostler_allocation_type, row);
        row->resource = g_strdup_printf("%s.%s", disk->part, kind_names[kind]);
        row->unit = g_strdup(kind_units[kind]);
        row->demand = round(claimant->claim.demand);
        row->granted = round(claimant->granted);
        row->limit = claimant->claim.limit < ALLOCATE_UNLIMITED ? claimant->claim.limit : NAN;
        row->shares = claimant->claim.shares;
        row->price = isfinite(claimant->level) && claimant->level > 0 ? 1 / claimant->level : 0;
        row->ceiling = disk->ceiling[kind] < ALLOCATE_UNLIMITED ? disk->ceiling[kind] : NAN;
        row->enforced = disk->sent != NULL;
        row->reason = g_strdup(disk->reason[kind]);
}

static int by_part(gconstpointer a, gconstpointer b)
{
        return strcmp((*(Disk *const *)a)->part, (*(Disk *const *)b)->part);
}

void disk_governor_explain(DiskGovernor *governor, const char *id, HostlerAllocationList *list)
{
        GHashTableIter iter;
        gpointer value;
        g_autoptr(GPtrArray) disks = g_ptr_array_new();
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&governor->lock);
        g_hash_table_iter_init(&iter, governor->disks);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (strcmp(((Disk *)value)->id, id) == 0)
                        g_ptr_array_add(disks, value);
        g_ptr_array_sort(disks, by_part);
        list->items = g_renew(HostlerAllocation, list->items, list->count + disks->len * KINDS);
        for (guint i = 0; i < disks->len; i++)
                for (Kind kind = 0; kind < KINDS; kind++)
                        explain(g_ptr_array_index(disks, i), kind, &list->items[list->count++]);
}
