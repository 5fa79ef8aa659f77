/*
 * Rounds of disks: what each does is claimed in what its pool can do (declared, capacity.c) and shared out
 * (throttle.h); QEMU's throttle holds it to that, together with the limits that the disk has of its own. Requests and
 * bytes are two resources, each shared out by itself.
 *
 * QEMU is told without waiting for an answer; the next counters say what came of it. A disk that limits reads and
 * writes apart is counted and left alone.
 */
#include "vm/govern/disks.h"

#include <string.h>

#include "device/disk.h"
#include "storage/pool.h"
#include "vm/govern/govern.h"
#include "vm/govern/throttle.h"

typedef enum { REQUESTS, BYTES, KINDS } Kind;
static const struct {
        const char *rate, *unit;
        double least; /* room for a disk that did nothing */
} kinds[KINDS] = {{"iops", "requests/s", 5}, {"bandwidth", "bytes/s", 262144}};

/* A disk of a run that QEMU was told about. */
typedef struct {
        char *key;
        pid_t pid;
        uint64_t round;
        /* What QEMU was told last. */
        Spec *spec;              /* a reference; NULL: nothing yet */
        int64_t ceilings[KINDS]; /* 0: none */
} Disk;

struct DiskGovernor {
        uint64_t round;
        Throttles *throttles;
        GHashTable *disks; /* key → Disk */
};

static void disk_free(gpointer data)
{
        Disk *disk = data;
        g_free(disk->key);
        spec_unref(disk->spec);
        g_free(disk);
}

DiskGovernor *disk_governor_new(void)
{
        DiskGovernor *governor = g_new0(DiskGovernor, 1);
        governor->throttles = throttles_new(respools_claim_disks);
        governor->disks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, disk_free);
        return governor;
}

void disk_governor_free(DiskGovernor *governor)
{
        if (!governor)
                return;
        throttles_free(governor->throttles);
        g_hash_table_unref(governor->disks);
        g_free(governor);
}

/* ---- collect ---- */

/* In one round, one disk. */
typedef struct {
        Vm *vm;
        Spec *spec; /* a reference: `part` is in it */
        const HostlerPart *part;
        Disk *disk;
        Throttled *throttled[KINDS]; /* NULL: not shared */
} Member;

static void member_clear(gpointer data)
{
        spec_unref(((Member *)data)->spec);
}

static double number_or_unlimited(int64_t value)
{
        return value == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)value;
}

/* NULL: nobody ever said what it can do. */
static const HostlerPoolCapacity *pool_of(const HostlerDiskProps *props, const HostlerPoolCapacityList *pools)
{
        for (size_t i = 0; i < pools->count; i++)
                if (strcmp(pools->items[i].pool, props->pool ? props->pool : POOL_DEFAULT) == 0)
                        return &pools->items[i];
        return NULL;
}

static void claim(DiskGovernor *governor, Member *member, const HostlerPoolCapacity *pool, int respool,
                  const double *used)
{
        const HostlerDiskProps *props = member->part->props;
        const int64_t capacities[] = {pool ? pool->iops : HOSTLER_UNSET, pool ? pool->bandwidth : HOSTLER_UNSET};
        const int64_t limits[] = {props->iops, props->bandwidth};
        const bool fixed[] = {props->iops_read != HOSTLER_UNSET || props->iops_write != HOSTLER_UNSET,
                              props->bandwidth_read != HOSTLER_UNSET || props->bandwidth_write != HOSTLER_UNSET};
        for (Kind kind = 0; kind < KINDS; kind++) {
                ThrottleClaim claim = {.part = member->part->name,
                                       .rate = kinds[kind].rate,
                                       .unit = kinds[kind].unit,
                                       .shared = props->pool ? props->pool : POOL_DEFAULT,
                                       .capacity = number_or_unlimited(capacities[kind]),
                                       .claim = {.limit = number_or_unlimited(limits[kind]),
                                                 .shares = shares_read(props->shares, DISK_SHARES)},
                                       .used = used[kind],
                                       .least = kinds[kind].least,
                                       .respool = respool,
                                       .fixed = fixed[kind]};
                member->throttled[kind] = throttles_claim(governor->throttles, member->vm, &claim);
        }
}

/* NULL: it needs none, as nothing holds it. */
static Disk *disk_of(DiskGovernor *governor, const Member *member)
{
        g_autofree char *key = g_strconcat(vm_id(member->vm), "/", member->part->name, NULL);
        Disk *disk = g_hash_table_lookup(governor->disks, key);
        pid_t pid = vm_process(member->vm).pid;
        if (disk && disk->pid != pid)
                disk = NULL;
        bool is_shared = member->throttled[REQUESTS] || member->throttled[BYTES];
        bool is_held = disk && (disk->ceilings[REQUESTS] > 0 || disk->ceilings[BYTES] > 0);
        if (!is_shared && !is_held)
                return NULL;
        if (!disk) {
                disk = g_new0(Disk, 1);
                disk->key = g_steal_pointer(&key);
                disk->pid = pid;
                g_hash_table_replace(governor->disks, disk->key, disk);
        }
        disk->round = governor->round;
        return disk;
}

static void collect_vm(DiskGovernor *governor, Vm *vm, const HostlerPoolCapacityList *pools,
                       const HostlerRespoolConfigList *respools, GArray *members)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        int respool = respools_index(respools, spec_respool(&spec->value));
        for (size_t i = 0; vm_power(vm) == HOSTLER_POWER_RUNNING && i < spec->value.count; i++) {
                const HostlerPart *part = &spec->value.items[i];
                double used[KINDS];
                Member member = {.vm = vm, .part = part};
                if (strcmp(part->kind, "disk") != 0 || !vm_disk_use(vm, part->name, &used[REQUESTS], &used[BYTES]))
                        continue;
                claim(governor, &member, pool_of(part->props, pools), respool, used);
                member.disk = disk_of(governor, &member);
                if (!member.disk)
                        continue;
                member.spec = spec_ref(spec);
                g_array_append_val(members, member);
        }
}

/* ---- act ---- */

/* 0: none. */
static int64_t ceiling_of(const Throttled *throttled)
{
        double ceiling = throttled ? throttled_ceiling(throttled) : ALLOCATE_UNLIMITED;
        return ceiling < ALLOCATE_UNLIMITED ? (int64_t)ceiling : 0;
}

static void on_told(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
}

/* Who changes the disk's own limits, which are in the spec, takes the ceiling away with them: it is told again, though
 * it be the same. */
static void tell_qemu(const Member *member)
{
        Disk *disk = member->disk;
        int64_t requests = ceiling_of(member->throttled[REQUESTS]), bytes = ceiling_of(member->throttled[BYTES]);
        if (disk->spec == member->spec && disk->ceilings[REQUESTS] == requests && disk->ceilings[BYTES] == bytes)
                return;
        g_autoptr(Qmp) qmp = vm_qmp(member->vm);
        if (!qmp)
                return;
        qmp_send(qmp, "block_set_io_throttle", disk_throttle(member->part, requests, bytes), QMP_TIMEOUT_MS, on_told,
                 NULL);
        spec_unref(disk->spec);
        disk->spec = spec_ref(member->spec);
        disk->ceilings[REQUESTS] = requests;
        disk->ceilings[BYTES] = bytes;
}

static void act(DiskGovernor *governor, const Member *member)
{
        tell_qemu(member);
        for (Kind kind = 0; kind < KINDS; kind++)
                if (member->throttled[kind] && member->disk->spec)
                        throttled_enforced(governor->throttles, member->throttled[kind]);
}

/* ---- the round ---- */

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        return ((Disk *)value)->round != ((DiskGovernor *)data)->round;
}

void disk_governor_round(DiskGovernor *governor, Manager *manager, const GPtrArray *vms,
                         const HostlerRespoolConfigList *respools)
{
        HostlerPoolCapacityList pools;
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
        g_array_set_clear_func(members, member_clear);
        governor->round++;
        govern_pool_capacities(manager, &pools);
        throttles_begin(governor->throttles);
        for (guint i = 0; pools.count > 0 && i < vms->len; i++)
                collect_vm(governor, g_ptr_array_index(vms, i), &pools, respools, members);
        throttles_allocate(governor->throttles, respools);
        for (guint i = 0; i < members->len; i++)
                act(governor, &g_array_index(members, Member, i));
        throttles_end(governor->throttles);
        g_hash_table_foreach_remove(governor->disks, is_over, governor);
        record_list_clear(&hostler_pool_capacity_type, &pools);
}

void disk_governor_explain(DiskGovernor *governor, const char *id, HostlerAllocationList *list)
{
        throttles_explain(governor->throttles, id, list);
}
