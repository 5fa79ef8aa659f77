/*
 * Captures: a device of ours on the switch that a mirror copies an adapter's frames to. See network.h.
 *
 * It is attached as adapters are, but is no port of the model, so no flow knows it; the device goes with its
 * descriptor, and its row in the database with the next round, should the daemon be killed.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "network/network_private.h"
#include "network/tap.h"

#define MTU_LARGEST 65521 /* of a tap: whatever comes fits */

/* Lock held. */
static guint count_captures(Network *network, const char *switch_name)
{
        GHashTableIter iter;
        gpointer value;
        guint count = 0;
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                const Attached *attached = value;
                count += attached->captures && *attached->captures && strcmp(attached->switch_name, switch_name) == 0;
        }
        return count;
}

Attached *network_capture_device(const char *key, const char *switch_name, const char *captures, int snaplen)
{
        Attached *capture = g_new0(Attached, 1);
        *capture = (Attached){
            .key = g_strdup(key),
            .switch_name = g_strdup(switch_name),
            .group = g_strdup(""),
            .device = tap_name("copies", key),
            .mtu = MTU_LARGEST,
            .guard = g_array_new(FALSE, FALSE, sizeof(IpAddress)),
            .groups = g_array_new(FALSE, FALSE, sizeof(Mac)),
            .captures = g_strdup(captures),
            .snaplen = snaplen,
            .wants_device = true,
            .fd = -1,
        };
        return capture;
}

/* Lock held. */
static char *put_on(Network *network, const char *key, int snaplen, GError **error)
{
        static gint counter;
        g_autofree char *name = NULL;
        const Attached *adapter = g_hash_table_lookup(network->attached, key);
        if (!adapter) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "it is on no switch now");
                return NULL;
        }
        if (count_captures(network, adapter->switch_name) >= CAPTURES_MAX) {
                error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "switch %s has %d captures already, and no more",
                          adapter->switch_name, CAPTURES_MAX);
                return NULL;
        }
        name = g_strdup_printf("capture/%d", g_atomic_int_add(&counter, 1));
        Attached *capture = network_capture_device(name, adapter->switch_name, adapter->key, snaplen);
        g_hash_table_insert(network->attached, capture->key, capture);
        capture->round = network_ask_round(network);
        return g_strdup(capture->key);
}

char *network_capture(Network *network, const char *vm_id, const char *part, int snaplen, GError **error)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        char *name = put_on(network, key, snaplen, error);
        g_mutex_unlock(&network->lock);
        return name;
}

bool network_capture_ready(Network *network, const char *name, int *ret_fd, GError **error)
{
        g_mutex_lock(&network->lock);
        Attached *capture = g_hash_table_lookup(network->attached, name);
        bool done = network->done >= capture->round;
        GError *fault = done && network->fault ? g_error_copy(network->fault) : NULL;
        *ret_fd = done && !fault ? fd_steal(&capture->fd) : -1;
        g_mutex_unlock(&network->lock);
        if (!fault)
                return true;
        g_propagate_error(error, fault);
        return false;
}

uint64_t network_capture_lost(Network *network, const char *name)
{
        g_mutex_lock(&network->lock);
        const Attached *capture = g_hash_table_lookup(network->attached, name);
        g_autofree char *device = capture ? g_strdup(capture->device) : NULL;
        g_mutex_unlock(&network->lock);
        return device ? ovs_device_lost(network->ovs, device) : 0;
}

void network_capture_end(Network *network, const char *name)
{
        g_mutex_lock(&network->lock);
        if (g_hash_table_remove(network->attached, name))
                network_ask_round(network);
        g_mutex_unlock(&network->lock);
}
