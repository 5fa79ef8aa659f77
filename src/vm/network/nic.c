/*
 * Verbs on adapters: what was counted, and which policies count. Both only look.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "network/policy.h"
#include "vm/network/ports.h"

/* The adapter of this name, on a switch; borrowed from @spec. */
static const HostlerNicProps *find_nic(const HostlerSpec *spec, const char *vm, const char *name, GError **error)
{
        const HostlerPart *part = spec_part(spec, name);
        const HostlerNicProps *nic = part && strcmp(part->kind, "nic") == 0 ? part->props : NULL;
        g_autofree char *object = g_strdup_printf("vm/%s", vm);
        if (!nic) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no network adapter called %s", name);
                error_hint(error, "hostler device ls %s", vm);
                return NULL;
        }
        if (nic->network)
                return nic;
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "%s is on user-mode networking, not on a switch", name);
        error_hint(error, "hostler set %s %s.network=SWITCH/PORTGROUP", vm, name);
        return NULL;
}

bool ports_nic(Vm *vm, const char *name, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autofree char *vm_word = vm_name(vm);
        return find_nic(&spec->value, vm_word, name, error) != NULL;
}

/* ---- counters ---- */

static void fill_in(const AdapterCounts *counts, HostlerNicStats *ret_stats)
{
        record_init(&hostler_nic_stats_type, ret_stats);
        ret_stats->tx_packets = (int64_t)counts->tx_packets;
        ret_stats->tx_bytes = (int64_t)counts->tx_bytes;
        ret_stats->rx_packets = (int64_t)counts->rx_packets;
        ret_stats->rx_bytes = (int64_t)counts->rx_bytes;
        ret_stats->rx_dropped = (int64_t)counts->rx_dropped;
        ret_stats->tx_dropped = (int64_t)counts->tx_dropped;
        ret_stats->rx_errors = (int64_t)counts->rx_errors;
        ret_stats->tx_errors = (int64_t)counts->tx_errors;
        ret_stats->forged = (int64_t)counts->forged;
        ret_stats->spoofed = (int64_t)counts->spoofed;
        ret_stats->addresses = (int64_t)counts->addresses;
        ret_stats->services = (int64_t)counts->services;
        ret_stats->vlan = (int64_t)counts->vlan;
        ret_stats->mac_changes = (int64_t)counts->mac_changes;
        ret_stats->isolated = (int64_t)counts->isolated;
        ret_stats->blocked = (int64_t)counts->blocked;
}

static bool count(Manager *manager, const char *vm_word, const char *nic, bool reset, HostlerNicStats *ret_stats,
                  GError **error)
{
        Network *network = manager_network(manager);
        g_autoptr(Vm) vm = manager_vm(manager, vm_word, error);
        AdapterCounts counts;
        if (!vm || !ports_nic(vm, nic, error) || (reset && !network_counts_reset(network, vm_id(vm), nic, error)) ||
            !network_counts(network, vm_id(vm), nic, &counts, error))
                return false;
        fill_in(&counts, ret_stats);
        return true;
}

bool nic_stats(const Call *call, const HostlerNicStatsArgs *args, HostlerNicStats *ret_result, GError **error)
{
        return count(call->manager, args->vm, args->nic, false, ret_result, error);
}

bool nic_reset(const Call *call, const HostlerNicResetArgs *args, HostlerNicStats *ret_result, GError **error)
{
        return count(call->manager, args->vm, args->nic, true, ret_result, error);
}

typedef struct {
        Manager *manager;
        GString *out;
        const Field *field;
} Listing;

static void print_count(const char *id, const char *part, const AdapterCounts *counts, void *data)
{
        const Listing *listing = data;
        g_autoptr(Vm) vm = manager_any_vm(listing->manager, id);
        g_autofree char *name = vm ? vm_name(vm) : NULL;
        HostlerNicStats stats;
        if (!name)
                return;
        fill_in(counts, &stats);
        g_string_append_printf(listing->out, "hostler_nic_%s_total{vm=\"%s\",nic=\"%s\"} %" G_GINT64_FORMAT "\n",
                               listing->field->name, name, part, *(int64_t *)((char *)&stats + listing->field->offset));
}

void ports_metrics(Manager *manager, GString *out)
{
        for (size_t i = 0; i < hostler_nic_stats_type.n_fields; i++) {
                const Field *field = &hostler_nic_stats_type.fields[i];
                Listing listing = {manager, out, field};
                g_string_append_printf(out,
                                       "# TYPE hostler_nic_%s counter\n# HELP hostler_nic_%s As `nic stats` has it.\n",
                                       field->name, field->name);
                network_each_counts(manager_network(manager), print_count, &listing);
        }
}

/* ---- policies ---- */

/* What counts when nobody says anything (policy.h). */
static const char *default_of(const Field *field)
{
        if (field->values == &hostler_verdict_enum)
                return "accept";
        if (field->values == &hostler_promiscuous_scope_enum)
                return "vlan";
        if (field->values == &hostler_promiscuous_when_enum)
                return "asked";
        if (field->values == &hostler_counting_enum)
                return "on";
        return field->type == FIELD_LIST_STRING ? "reject" : "-";
}

/* A string, a number or a list of strings as people write it. Caller frees. */
static char *text_of(const json_t *value)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        json_t *word;
        size_t i;
        if (json_is_integer(value))
                return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        json_array_foreach (value, i, word)
                g_strv_builder_add(builder, json_string_value(word));
        g_auto(GStrv) words = g_strv_builder_end(builder);
        return g_strjoinv(",", words);
}

static void describe(const json_t *const levels[POLICY_LEVELS], const Field *field, HostlerNicPolicy *ret_row)
{
        static const char *const names[POLICY_LEVELS] = {"default", "switch", "portgroup", "adapter"};
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, field->name, &level);
        record_init(&hostler_nic_policy_type, ret_row);
        ret_row->property = g_strdup(field->name);
        ret_row->value = value ? text_of(value) : g_strdup(default_of(field));
        ret_row->from = g_strdup(names[level]);
}

bool nic_policy(const Call *call, const HostlerNicPolicyArgs *args, HostlerNicPolicyList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(Spec) spec = vm ? vm_spec(vm) : NULL;
        const HostlerNicProps *nic = vm ? find_nic(&spec->value, args->vm, args->nic, error) : NULL;
        if (!nic)
                return false;
        g_auto(GStrv) words = g_strsplit(nic->network, "/", 2);
        Network *network = manager_network(call->manager);
        json_auto_t *of_switch = network_spec(network, words[0], NULL);
        json_auto_t *of_group = network_spec(network, words[0], words[1]);
        json_auto_t *own = record_to_json(kind_find("nic")->props, nic, RECORD_STORED);
        const json_t *levels[POLICY_LEVELS] = {NULL, of_switch, of_group, own};
        const RecordType *type = &hostler_policy_type;
        *ret_result =
            (HostlerNicPolicyList){.items = g_new0(HostlerNicPolicy, type->n_fields), .count = type->n_fields};
        for (size_t i = 0; i < type->n_fields; i++)
                describe(levels, &type->fields[i], &ret_result->items[i]);
        return true;
}
