/*
 * Rounds of network adapters: what each sends is claimed in what its switch carries (declared, `capacity`), shared out
 * (throttle.h), and held by the rate limit of its port. What an adapter receives somebody else has sent.
 */
#include "vm/govern/adapters.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "vm/govern/govern.h"
#include "vm/govern/throttle.h"

#define BITS_PER_KBIT 1000.0
/* kbit/s; room for an adapter that did nothing. */
#define LEAST 32.0

/* What an adapter of a run had sent in the last round. */
typedef struct {
        char *key;
        pid_t pid;
        uint64_t round, bytes;
        int64_t at_ms;
} Sent;

struct AdapterGovernor {
        uint64_t round;
        Throttles *throttles;
        GHashTable *sent; /* key → Sent */
};

static void sent_free(gpointer data)
{
        g_free(((Sent *)data)->key);
        g_free(data);
}

AdapterGovernor *adapter_governor_new(void)
{
        AdapterGovernor *governor = g_new0(AdapterGovernor, 1);
        governor->throttles = throttles_new(respools_claim_adapters);
        governor->sent = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, sent_free);
        return governor;
}

void adapter_governor_free(AdapterGovernor *governor)
{
        if (!governor)
                return;
        throttles_free(governor->throttles);
        g_hash_table_unref(governor->sent);
        g_free(governor);
}

/* ---- what a switch carries ---- */

/* NULL: it is on none. Caller frees. */
static char *switch_of(const HostlerPart *part)
{
        const HostlerNicProps *nic = strcmp(part->kind, "nic") == 0 ? part->props : NULL;
        const char *slash = nic && nic->network ? strchr(nic->network, '/') : NULL;
        return slash ? g_strndup(nic->network, (gsize)(slash - nic->network)) : NULL;
}

/* kbit/s; ALLOCATE_UNLIMITED: nobody said. */
static double capacity_of(Manager *manager, const char *switch_name)
{
        json_auto_t *spec = network_spec(manager_network(manager), switch_name, NULL);
        const json_t *capacity = json_object_get(spec, "capacity");
        return capacity ? (double)json_integer_value(capacity) : ALLOCATE_UNLIMITED;
}

static double reservation_of(const HostlerPart *part)
{
        const HostlerNicProps *nic = part->props;
        return nic->reservation == HOSTLER_UNSET ? 0 : (double)nic->reservation;
}

/* ---- collect ---- */

/* In one round, one adapter. */
typedef struct {
        Vm *vm;
        char *part;
        Throttled *throttled;
} Member;

static void member_clear(gpointer data)
{
        g_free(((Member *)data)->part);
}

/* kbit/s since the last round; counters that fell began anew. */
static double rate_of(AdapterGovernor *governor, Vm *vm, const char *part, uint64_t bytes)
{
        g_autofree char *key = g_strconcat(vm_id(vm), "/", part, NULL);
        Sent *sent = g_hash_table_lookup(governor->sent, key);
        pid_t pid = vm_process(vm).pid;
        int64_t now_ms = clock_monotonic_ms();
        double rate = 0;
        if (!sent || sent->pid != pid) {
                sent = g_new0(Sent, 1);
                sent->key = g_steal_pointer(&key);
                sent->pid = pid;
                g_hash_table_replace(governor->sent, sent->key, sent);
        } else if (now_ms > sent->at_ms && bytes >= sent->bytes) {
                rate = (double)(bytes - sent->bytes) * 8 / BITS_PER_KBIT * 1000 / (double)(now_ms - sent->at_ms);
        }
        sent->round = governor->round;
        sent->bytes = bytes;
        sent->at_ms = now_ms;
        return rate;
}

static void collect_part(AdapterGovernor *governor, Vm *vm, const HostlerPart *part, int respool, GArray *members)
{
        Network *network = manager_network(vm_manager(vm));
        g_autofree char *switch_name = switch_of(part);
        uint64_t bytes;
        if (!switch_name || !network_sent(network, vm_id(vm), part->name, &bytes))
                return;
        const HostlerNicProps *nic = part->props;
        double limit = nic->rate_from_vm == HOSTLER_UNSET ? ALLOCATE_UNLIMITED : (double)nic->rate_from_vm;
        ThrottleClaim claim = {.part = part->name,
                               .rate = "rate_from_vm",
                               .unit = "kbit/s",
                               .shared = switch_name,
                               .capacity = capacity_of(vm_manager(vm), switch_name),
                               .claim = {.reservation = MIN(reservation_of(part), limit),
                                         .limit = limit,
                                         .shares = shares_read(nic->shares, ADAPTER_SHARES)},
                               .used = rate_of(governor, vm, part->name, bytes),
                               .least = LEAST,
                               .respool = respool};
        Member member = {.vm = vm, .throttled = throttles_claim(governor->throttles, vm, &claim)};
        if (!member.throttled)
                return;
        member.part = g_strdup(part->name);
        g_array_append_val(members, member);
}

static void collect_vm(AdapterGovernor *governor, Vm *vm, const HostlerRespoolConfigList *respools, GArray *members)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        int respool = respools_index(respools, spec_respool(&spec->value));
        for (size_t i = 0; vm_power(vm) == HOSTLER_POWER_RUNNING && i < spec->value.count; i++)
                collect_part(governor, vm, &spec->value.items[i], respool, members);
}

/* ---- the round ---- */

static void act(AdapterGovernor *governor, const Member *member)
{
        double ceiling = throttled_ceiling(member->throttled);
        uint32_t kbps = ceiling < ALLOCATE_UNLIMITED ? (uint32_t)MIN(ceiling, UINT32_MAX) : 0;
        network_set_ceiling(manager_network(vm_manager(member->vm)), vm_id(member->vm), member->part, kbps);
        throttled_enforced(governor->throttles, member->throttled);
}

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
        return ((Sent *)value)->round != ((AdapterGovernor *)data)->round;
}

void adapter_governor_round(AdapterGovernor *governor, Manager *manager, const GPtrArray *vms,
                            const HostlerRespoolConfigList *respools)
{
        g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(Member));
        g_array_set_clear_func(members, member_clear);
        governor->round++;
        throttles_begin(governor->throttles);
        for (guint i = 0; i < vms->len; i++)
                collect_vm(governor, g_ptr_array_index(vms, i), respools, members);
        throttles_allocate(governor->throttles, respools);
        for (guint i = 0; i < members->len; i++)
                act(governor, &g_array_index(members, Member, i));
        throttles_end(governor->throttles);
        g_hash_table_foreach_remove(governor->sent, is_over, governor);
}

void adapter_governor_explain(AdapterGovernor *governor, const char *id, HostlerAllocationList *list)
{
        throttles_explain(governor->throttles, id, list);
}

/* ---- admission ---- */

/* What others have reserved on a switch, and the one that has most of it. */
typedef struct {
        double all, most;
        char *holder; /* "web1.nic0" */
} Reserved;

static double reserved_in(const HostlerSpec *spec, const char *switch_name, const char *vm, Reserved *reserved)
{
        double sum = 0;
        for (size_t i = 0; i < spec->count; i++) {
                g_autofree char *on = switch_of(&spec->items[i]);
                double own = g_strcmp0(on, switch_name) == 0 ? reservation_of(&spec->items[i]) : 0;
                sum += own;
                if (!reserved || own <= reserved->most)
                        continue;
                reserved->most = own;
                g_free(reserved->holder);
                reserved->holder = g_strdup_printf("%s.%s", vm, spec->items[i].name);
        }
        return sum;
}

static Reserved reserved_by_others(Vm *vm, const char *switch_name)
{
        g_autoptr(GPtrArray) vms = manager_vms(vm_manager(vm), false);
        Reserved reserved = {0};
        for (guint i = 0; i < vms->len; i++) {
                Vm *other = g_ptr_array_index(vms, i);
                g_autoptr(Spec) spec = vm_spec(other);
                g_autofree char *name = vm_name(other);
                if (other != vm && govern_counts(other))
                        reserved.all += reserved_in(&spec->value, switch_name, name, &reserved);
        }
        return reserved;
}

static bool admit(Vm *vm, const HostlerSpec *spec, const HostlerPart *part, const char *switch_name, GError **error)
{
        g_autofree char *object = vm_object(vm);
        double capacity = capacity_of(vm_manager(vm), switch_name);
        double wanted = reserved_in(spec, switch_name, NULL, NULL);
        if (capacity >= ALLOCATE_UNLIMITED) {
                error_set(error, HOSTLER_ERROR_INVALID, object,
                          "%s.reservation cannot be kept: nobody said what switch %s carries", part->name, switch_name);
                return error_hint(error, "hostler switch set %s capacity=KBIT", switch_name);
        }
        Reserved reserved = reserved_by_others(vm, switch_name);
        g_autofree char *holder = reserved.holder;
        g_autofree char *most = holder ? g_strdup_printf(", most by %s: %.0f", holder, reserved.most) : g_strdup("");
        if (reserved.all + wanted <= capacity)
                return true;
        error_set(
            error, HOSTLER_ERROR_NO_CAPACITY, object,
            "its reservation of %.0f kbit/s cannot be kept: switch %s carries %.0f, and %.0f are reserved already%s",
            wanted, switch_name, capacity, reserved.all, most);
        return error_hint(error, "stop another VM, or: hostler set %s %s.reservation=…", object + strlen("vm/"),
                          part->name);
}

bool adapters_admit(Vm *vm, const HostlerSpec *spec, GError **error)
{
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                g_autofree char *switch_name = switch_of(part);
                if (switch_name && reservation_of(part) > 0 && !admit(vm, spec, part, switch_name, error))
                        return false;
        }
        return true;
}
