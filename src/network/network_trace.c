/*
 * Tracing a frame through a switch as it is declared now. See network.h.
 *
 * The flows are compiled for this, so that it also tells of what the switch is about to be told.
 */
#include <string.h>

#include "base/error.h"
#include "network/network_private.h"

static const TargetSwitch *find_switch(const GPtrArray *targets, const char *bridge)
{
        for (guint i = 0; i < targets->len; i++)
                if (strcmp(((TargetSwitch *)targets->pdata[i])->bridge, bridge) == 0)
                        return targets->pdata[i];
        return NULL;
}

/* The address that the guest uses. */
static Mac mac_of(const Attached *adapter)
{
        return adapter->filter.known ? adapter->filter.mac : adapter->mac;
}

static void name_ports(GArray *steps, const TargetSwitch *target, NetworkTrace *trace)
{
        trace->steps = steps;
        trace->names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        for (guint i = 0; i < target->ports->len; i++) {
                const TargetPort *port = &g_array_index(target->ports, TargetPort, i);
                g_hash_table_insert(trace->names, GUINT_TO_POINTER(port->number), g_strdup(port->key));
        }
}

/* Lock held. */
static bool run(Network *network, const char *from, const char *to, const TraceFrame *frame, NetworkTrace *trace,
                GError **error)
{
        const Attached *sender = g_hash_table_lookup(network->attached, from);
        const Attached *receiver = to ? g_hash_table_lookup(network->attached, to) : NULL;
        g_autoptr(GHashTable) numbers = g_hash_table_new(g_str_hash, g_str_equal);
        TraceFrame sent = *frame;
        if (!sender || (to && !receiver))
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "%s is on no switch now", sender ? to : from);
        static const Mac none;
        if (mac_equal(&sent.source, &none))
                sent.source = mac_of(sender);
        if (receiver)
                sent.destination = mac_of(receiver);
        g_autofree char *bridge = bridge_name(sender->switch_name);
        g_autoptr(GPtrArray) targets = target_make(network, numbers);
        const TargetSwitch *target = find_switch(targets, bridge);
        if (!target || !target->flows)
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "its switch cannot be had now");
        name_ports(trace_run(target->flows, sender->number, &sent), target, trace);
        return true;
}

bool network_trace(Network *network, const char *from, const char *to, const TraceFrame *frame, NetworkTrace *ret_trace,
                   GError **error)
{
        g_mutex_lock(&network->lock);
        bool ok = run(network, from, to, frame, ret_trace, error);
        g_mutex_unlock(&network->lock);
        return ok;
}

void network_trace_clear(NetworkTrace *trace)
{
        g_clear_pointer(&trace->steps, g_array_unref);
        g_clear_pointer(&trace->names, g_hash_table_unref);
}
