/*
 * Counters of adapters: read from the switch, by port and by the flows that drop, and kept over what makes those begin
 * anew (another process, another daemon), resets, and times in which nothing is to be counted. See network.h.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "network/compile.h"
#include "network/network_private.h"
#include "network/policy.h"
#include "wire/openflow.h"

#define COUNT_MS 5000
#define SAVE_MS 30000
#define DROPS_MASK UINT64_C(0xffff800000000000) /* whose flow it is, and that it drops */

/* ---- reading ---- */

static void add_drops(const FlowCount *count, AdapterCounts *counts)
{
        uint64_t *const places[] = {
            [FLOW_VLAN] = &counts->vlan,
            [FLOW_FORGED] = &counts->forged,
            [FLOW_ADDRESS] = &counts->addresses,
            [FLOW_SERVICE] = &counts->services,
            [FLOW_ISOLATED] = &counts->isolated,
            [FLOW_MAC_CHANGES] = &counts->mac_changes,
            [FLOW_MAC_SPOOFING] = &counts->spoofed,
            [FLOW_BLOCKED] = &counts->blocked,
        };
        FlowClass class = COOKIE_CLASS(count->cookie);
        if ((count->cookie & COOKIE_DROPS) && class < G_N_ELEMENTS(places) && places[class])
                *places[class] += count->packets;
}

/* The switch's "received" is what the guest has sent. */
static void take_port(const PortCount *port, AdapterCounts *counts)
{
        counts->tx_packets = port->rx_packets;
        counts->tx_bytes = port->rx_bytes;
        counts->tx_dropped = port->rx_dropped;
        counts->tx_errors = port->rx_errors;
        counts->rx_packets = port->tx_packets;
        counts->rx_bytes = port->tx_bytes;
        counts->rx_dropped = port->tx_dropped;
        counts->rx_errors = port->tx_errors;
}

/* Number of a port → AdapterCounts, of all that the switch has; NULL and error. */
static GHashTable *read_switch(Network *network, const char *switch_name, GError **error)
{
        g_autoptr(GArray) flows = g_array_new(FALSE, FALSE, sizeof(FlowCount));
        g_autoptr(GArray) ports = g_array_new(FALSE, FALSE, sizeof(PortCount));
        g_autofree char *bridge = bridge_name(switch_name), *path = ovs_openflow_path(network->ovs, bridge);
        g_autoptr(OpenFlow) openflow = openflow_connect(path, COUNT_MS, error);
        if (!openflow || !openflow_flow_counts(openflow, COOKIE_MAKE(0, 0) | COOKIE_DROPS, DROPS_MASK, flows, error) ||
            !openflow_port_counts(openflow, ports, error))
                return NULL;
        GHashTable *counts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        for (guint i = 0; i < ports->len; i++) {
                const PortCount *port = &g_array_index(ports, PortCount, i);
                AdapterCounts *of_port = g_new0(AdapterCounts, 1);
                take_port(port, of_port);
                g_hash_table_insert(counts, GUINT_TO_POINTER(port->port), of_port);
        }
        for (guint i = 0; i < flows->len; i++) {
                const FlowCount *flow = &g_array_index(flows, FlowCount, i);
                AdapterCounts *of_port = g_hash_table_lookup(counts, GUINT_TO_POINTER(COOKIE_PORT(flow->cookie)));
                if (of_port)
                        add_drops(flow, of_port);
        }
        return counts;
}

/* ---- keeping ---- */

/* Lock held. */
static bool is_off(Network *network, const Attached *adapter)
{
        g_autofree char *group = g_strdup_printf("%s/%s", adapter->switch_name, adapter->group);
        const json_t *levels[POLICY_LEVELS] = {NULL, g_hash_table_lookup(network->switches, adapter->switch_name),
                                               g_hash_table_lookup(network->groups, group), adapter->policy};
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, "statistics", &level);
        return g_strcmp0(json_string_value(value), "off") == 0;
}

/* One that has fallen was begun anew. */
static void take(Counted *counted, const AdapterCounts *now, bool off)
{
        uint64_t *last = (uint64_t *)&counted->last, *zero = (uint64_t *)&counted->zero;
        uint64_t *kept = (uint64_t *)&counted->kept;
        const uint64_t *new = (const uint64_t *)now;
        for (size_t i = 0; i < COUNTS_NUMBERS; i++) {
                if (new[i] < last[i]) {
                        kept[i] += counted->off ? 0 : last[i] - zero[i];
                        zero[i] = 0;
                }
                last[i] = new[i];
                if (off && !counted->off)
                        kept[i] += last[i] - zero[i];
                if (counted->off || off)
                        zero[i] = last[i];
        }
        counted->off = off;
}

static AdapterCounts value_of(const Counted *counted)
{
        AdapterCounts value;
        const uint64_t *last = (const uint64_t *)&counted->last, *zero = (const uint64_t *)&counted->zero;
        const uint64_t *kept = (const uint64_t *)&counted->kept;
        for (size_t i = 0; i < COUNTS_NUMBERS; i++)
                ((uint64_t *)&value)[i] = kept[i] + last[i] - zero[i];
        return value;
}

/* Of the flows: they are gone, and their counters with them. */
static void begin_drops_anew(Counted *counted)
{
        uint64_t *last = (uint64_t *)&counted->last, *zero = (uint64_t *)&counted->zero;
        uint64_t *kept = (uint64_t *)&counted->kept;
        for (size_t i = offsetof(AdapterCounts, forged) / sizeof(uint64_t); i < COUNTS_NUMBERS; i++) {
                kept[i] += counted->off ? 0 : last[i] - zero[i];
                last[i] = zero[i] = 0;
        }
}

typedef void (*CountedFunc)(Network *network, Counted *counted, const AdapterCounts *now, bool off);

static void take_one(Network *network, Counted *counted, const AdapterCounts *now, bool off)
{
        if (now)
                take(counted, now, off);
}

static void renew_one(Network *network, Counted *counted, const AdapterCounts *now, bool off)
{
        begin_drops_anew(counted);
}

/* Does @act for each adapter of the switch, also for those that are still to come. @counts NULL: none. Lock held. */
static void each_of(Network *network, const char *switch_name, GHashTable *counts, CountedFunc act)
{
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Attached *adapter = value;
                gpointer number = GUINT_TO_POINTER(adapter->number);
                if (!adapter->captures && adapter->number && strcmp(adapter->switch_name, switch_name) == 0)
                        act(network, &adapter->counted, counts ? g_hash_table_lookup(counts, number) : NULL,
                            is_off(network, adapter));
        }
        g_hash_table_iter_init(&iter, network->left);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                LeftCounts *left = value;
                gpointer number = GUINT_TO_POINTER(left->number);
                if (strcmp(left->switch_name, switch_name) == 0)
                        act(network, &left->counted, counts ? g_hash_table_lookup(counts, number) : NULL,
                            left->counted.off);
        }
}

/* What was read is taken before anybody reads anew. */
static bool sample_alone(Network *network, const char *switch_name, GError **error)
{
        g_autoptr(GHashTable) counts = read_switch(network, switch_name, error);
        if (!counts)
                return false;
        g_mutex_lock(&network->lock);
        each_of(network, switch_name, counts, take_one);
        g_mutex_unlock(&network->lock);
        return true;
}

static bool sample(Network *network, const char *switch_name, GError **error)
{
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&network->counting);
        return sample_alone(network, switch_name, error);
}

/* Adapters that an earlier daemon had are on the switch; nobody looks at its flows meanwhile. */
static bool has_left(Network *network, const char *switch_name)
{
        GHashTableIter iter;
        gpointer value;
        bool has = false;
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->left);
        while (!has && g_hash_table_iter_next(&iter, NULL, &value))
                has = strcmp(((LeftCounts *)value)->switch_name, switch_name) == 0;
        g_mutex_unlock(&network->lock);
        return has;
}

/* What was dropped while there was no daemon is to be in its numbers. */
void counts_renew(Network *network, const char *switch_name)
{
        if (has_left(network, switch_name))
                ovs_order(network->ovs, "revalidator/wait", NULL);
        g_mutex_lock(&network->counting);
        sample_alone(network, switch_name, NULL);
}

void counts_renewed(Network *network, const char *switch_name, bool renewed)
{
        g_mutex_lock(&network->lock);
        if (renewed)
                each_of(network, switch_name, NULL, renew_one);
        g_mutex_unlock(&network->lock);
        g_mutex_unlock(&network->counting);
}

/* Switches with adapters; @changed: only those where one is to begin or to stop counting. g_strfreev. */
static char **switches_of(Network *network, bool changed)
{
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        GHashTableIter iter;
        gpointer value;
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                const Attached *adapter = value;
                if (!adapter->captures && adapter->number &&
                    (!changed || is_off(network, adapter) != adapter->counted.off) &&
                    g_hash_table_add(seen, adapter->switch_name))
                        g_strv_builder_add(builder, adapter->switch_name);
        }
        g_mutex_unlock(&network->lock);
        return g_strv_builder_end(builder);
}

static void sample_all(Network *network, bool changed)
{
        g_auto(GStrv) names = switches_of(network, changed);
        for (char **name = names; *name; name++)
                sample(network, *name, NULL);
}

void counts_switch(Network *network)
{
        sample_all(network, true);
}

void network_sample(Network *network)
{
        uint64_t now_ms = (uint64_t)clock_monotonic_ms();
        sample_all(network, false);
        g_mutex_lock(&network->lock);
        if (now_ms - network->counts_ms >= SAVE_MS) {
                network->counts_ms = now_ms;
                counts_save(network);
        }
        g_mutex_unlock(&network->lock);
}

/* ---- asked for ---- */

/* What @act makes of an adapter that was just read. */
static bool count(Network *network, const char *vm_id, const char *part,
                  void (*act)(Counted *counted, AdapterCounts *counts), AdapterCounts *counts, GError **error)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part), *switch_name = NULL;
        g_mutex_lock(&network->lock);
        const Attached *adapter = g_hash_table_lookup(network->attached, key);
        switch_name = adapter ? g_strdup(adapter->switch_name) : NULL;
        g_mutex_unlock(&network->lock);
        if (switch_name && !sample(network, switch_name, error))
                return false;
        g_mutex_lock(&network->lock);
        Attached *now = switch_name ? g_hash_table_lookup(network->attached, key) : NULL;
        if (now)
                act(&now->counted, counts);
        g_mutex_unlock(&network->lock);
        return now || error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "%s is on no switch now", part);
}

static void tell(Counted *counted, AdapterCounts *counts)
{
        *counts = value_of(counted);
}

static void reset(Counted *counted, AdapterCounts *counts)
{
        counted->kept = (AdapterCounts){0};
        counted->zero = counted->last;
}

bool network_counts(Network *network, const char *vm_id, const char *part, AdapterCounts *ret_counts, GError **error)
{
        *ret_counts = (AdapterCounts){0};
        return count(network, vm_id, part, tell, ret_counts, error);
}

/* What was dropped until now is to be in the numbers that are taken for zero. */
bool network_counts_reset(Network *network, const char *vm_id, const char *part, GError **error)
{
        ovs_order(network->ovs, "revalidator/wait", NULL);
        bool ok = count(network, vm_id, part, reset, NULL, error);
        g_mutex_lock(&network->lock);
        counts_save(network);
        g_mutex_unlock(&network->lock);
        return ok;
}

bool network_sent(Network *network, const char *vm_id, const char *part, uint64_t *ret_bytes)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&network->lock);
        const Attached *adapter = g_hash_table_lookup(network->attached, key);
        if (adapter)
                *ret_bytes = adapter->counted.last.tx_bytes;
        return adapter != NULL;
}

void network_each_counts(Network *network, CountsFunc each, void *data)
{
        GHashTableIter iter;
        gpointer value;
        g_autoptr(GArray) counts = g_array_new(FALSE, FALSE, sizeof(AdapterCounts));
        g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                const Attached *adapter = value;
                AdapterCounts now = value_of(&adapter->counted);
                if (adapter->captures || adapter->counted.off)
                        continue;
                g_array_append_val(counts, now);
                g_ptr_array_add(keys, g_strdup(adapter->key));
        }
        g_mutex_unlock(&network->lock);
        for (guint i = 0; i < keys->len; i++) {
                g_auto(GStrv) words = g_strsplit(keys->pdata[i], "/", 2);
                each(words[0], words[1], &g_array_index(counts, AdapterCounts, i), data);
        }
}
