/*
 * The network as callers see it: declarations and adapters. See network.h.
 *
 * What is to be done to the switch is the thread's (network_thread.c).
 */
#include "network/network.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "network/network_mirror.h"
#include "network/network_private.h"
#include "network/tap.h"

#define APPLY_US (60 * G_USEC_PER_SEC)

static void attached_free(gpointer data)
{
        Attached *adapter = data;
        g_free(adapter->key);
        g_free(adapter->switch_name);
        g_free(adapter->group);
        g_free(adapter->device);
        g_free(adapter->captures);
        g_clear_pointer(&adapter->erspan, erspan_free);
        json_decref(adapter->policy);
        g_clear_pointer(&adapter->host, lan_host_free);
        g_array_unref(adapter->guard);
        g_array_unref(adapter->groups);
        fd_close(&adapter->fd);
        g_free(adapter);
}

static void json_free(gpointer value)
{
        json_decref(value);
}

Network *network_new(const char *folder, const char *refusal)
{
        Network *network = g_new0(Network, 1);
        network->refusal = refusal;
        network->folder = g_build_filename(folder, "lan", NULL);
        network->uplinks = g_strdup_printf("%s-uplinks", folder);
        network->forward = g_strdup_printf("%s-forwards", folder);
        network->counts_file = g_strdup_printf("%s-counts", folder);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, folder, -1);
        network->served = g_strdup_printf("/run/hostler-dns-%.8s", hash);
        network->table = g_strdup_printf("hostler_%.8s", hash);
        network->host_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        network->ovs = ovs_new(folder);
        network->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        g_mutex_init(&network->lock);
        g_mutex_init(&network->counting);
        g_cond_init(&network->done_changed);
        network->switches = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, json_free);
        network->groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, json_free);
        network->mirrors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, json_free);
        network->attached = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, attached_free);
        network->trials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, trial_free);
        counts_load(network);
        if (!refusal)
                network->thread = g_thread_new("network", network_run, network);
        return network;
}

static void wake(Network *network)
{
        uint64_t one = 1;
        if (write(network->wake_fd, &one, sizeof one) < 0)
                g_warning("switches: the thread cannot be woken");
}

void network_free(Network *network)
{
        if (!network)
                return;
        g_mutex_lock(&network->lock);
        network->stopping = true;
        g_mutex_unlock(&network->lock);
        wake(network);
        g_clear_pointer(&network->thread, g_thread_join);
        if (!network->refusal)
                counts_save(network);
        ovs_free(network->ovs);
        g_free(network->folder);
        g_free(network->table);
        g_free(network->uplinks);
        g_free(network->forward);
        g_free(network->served);
        g_free(network->counts_file);
        fd_close(&network->host_fd);
        g_hash_table_unref(network->switches);
        g_hash_table_unref(network->groups);
        g_hash_table_unref(network->mirrors);
        g_hash_table_unref(network->attached);
        g_hash_table_unref(network->trials);
        g_hash_table_unref(network->left);
        g_clear_error(&network->fault);
        g_mutex_clear(&network->lock);
        g_mutex_clear(&network->counting);
        g_cond_clear(&network->done_changed);
        close(network->wake_fd);
        g_free(network);
}

bool network_is_allowed(const Network *network, GError **error)
{
        if (!network->refusal)
                return ovs_is_installed(error);
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "%s", network->refusal);
        return error_hint(error, "run as root: hostlerd --system");
}

/* ---- declarations ---- */

static void declare(Network *network, GHashTable *table, const char *key, json_t *spec_taken)
{
        g_mutex_lock(&network->lock);
        if (spec_taken)
                g_hash_table_replace(table, g_strdup(key), spec_taken);
        else
                g_hash_table_remove(table, key);
        g_mutex_unlock(&network->lock);
}

static gboolean is_under(gpointer key, gpointer value, gpointer prefix)
{
        return g_str_has_prefix(key, prefix);
}

static gboolean is_copied_from(gpointer key, gpointer value, gpointer switch_name)
{
        const Attached *attached = value;
        return attached->captures && strcmp(attached->switch_name, switch_name) == 0;
}

/* One that goes takes with it what is declared on it. */
void network_declare_switch(Network *network, const char *name, json_t *spec_taken)
{
        g_autofree char *prefix = g_strdup_printf("%s/", name);
        g_mutex_lock(&network->lock);
        g_hash_table_remove(network->trials, name);
        if (!spec_taken) {
                g_hash_table_foreach_remove(network->groups, is_under, prefix);
                g_hash_table_foreach_remove(network->mirrors, is_under, prefix);
                g_hash_table_foreach_remove(network->attached, is_copied_from, (gpointer)name);
        }
        g_mutex_unlock(&network->lock);
        declare(network, network->switches, name, spec_taken);
}

void network_declare_group(Network *network, const char *switch_name, const char *group, json_t *spec_taken)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, group);
        declare(network, network->groups, key, spec_taken);
}

void network_declare_mirror(Network *network, const char *switch_name, const char *mirror, json_t *spec_taken)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, mirror);
        g_mutex_lock(&network->lock);
        mirror_set_erspan(network, switch_name, mirror, spec_taken);
        g_mutex_unlock(&network->lock);
        declare(network, network->mirrors, key, spec_taken);
}

json_t *network_spec(Network *network, const char *switch_name, const char *group)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, group ? group : "");
        g_mutex_lock(&network->lock);
        json_t *spec =
            group ? g_hash_table_lookup(network->groups, key) : g_hash_table_lookup(network->switches, switch_name);
        json_incref(spec);
        g_mutex_unlock(&network->lock);
        return spec;
}

bool network_has_group(Network *network, const char *switch_name, const char *group)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, group);
        g_mutex_lock(&network->lock);
        bool has = g_hash_table_contains(network->groups, key);
        g_mutex_unlock(&network->lock);
        return has;
}

uint64_t network_ask_round(Network *network)
{
        wake(network);
        return ++network->wanted;
}

void network_recovered(Network *network)
{
        g_mutex_lock(&network->lock);
        network->recovered = true;
        g_hash_table_remove_all(network->left);
        network_ask_round(network);
        g_mutex_unlock(&network->lock);
}

bool network_wait_round(Network *network, GError **error)
{
        uint64_t round = network_ask_round(network);
        gint64 end_us = g_get_monotonic_time() + APPLY_US;
        bool in_time = true;
        while (network->done < round && in_time)
                in_time = g_cond_wait_until(&network->done_changed, &network->lock, end_us);
        if (network->done < round)
                return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "Open vSwitch does not answer");
        if (!network->fault)
                return true;
        g_propagate_error(error, g_error_copy(network->fault));
        return false;
}

bool network_apply(Network *network, GError **error)
{
        if (!network_is_allowed(network, error))
                return false;
        g_mutex_lock(&network->lock);
        bool ok = network_wait_round(network, error);
        g_mutex_unlock(&network->lock);
        return ok;
}

/* ---- adapters ---- */

static GArray *parse_guard(char **guard)
{
        GArray *addresses = g_array_new(FALSE, FALSE, sizeof(IpAddress));
        for (; guard && *guard; guard++) {
                IpAddress address;
                if (ip_parse(*guard, &address))
                        g_array_append_val(addresses, address);
        }
        return addresses;
}

/* An adapter that can tell has its own address and takes all groups, until it tells. */
static Attached *attached_new(const Adapter *adapter)
{
        Attached *attached = g_new0(Attached, 1);
        *attached = (Attached){
            .key = g_strdup_printf("%s/%s", adapter->vm_id, adapter->part),
            .switch_name = g_strdup(adapter->switch_name),
            .group = g_strdup(adapter->group),
            .device = tap_name(adapter->vm_id, adapter->part),
            .mac = adapter->mac,
            .policy = json_incref(adapter->policy),
            .mtu = adapter->mtu,
            .guard = parse_guard(adapter->guard),
            .host = adapter->host ? lan_host_copy(adapter->host) : NULL,
            .filter = {.known = adapter->has_filter, .mac = adapter->mac, .all_multicast = true},
            .groups = g_array_new(FALSE, FALSE, sizeof(Mac)),
            .fd = -1,
        };
        return attached;
}

/* What stays as it is when an adapter gets other properties. */
static void inherit(Attached *new, Attached *old)
{
        if (strcmp(new->switch_name, old->switch_name) == 0) {
                new->number = old->number;
                new->counted = old->counted;
        }
        new->ceiling = old->ceiling;
        new->wants_device = old->wants_device;
        new->fd = fd_steal(&old->fd);
        if (!new->filter.known || !mac_equal(&new->mac, &old->mac))
                return;
        new->filter = old->filter;
        g_array_append_vals(new->groups, old->groups->data, old->groups->len);
        new->filter.groups = (const Mac *)new->groups->data;
}

static bool check_group(Network *network, const Adapter *adapter, GError **error)
{
        g_autofree char *key = g_strdup_printf("%s/%s", adapter->switch_name, adapter->group);
        if (g_hash_table_contains(network->groups, key))
                return true;
        error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "%s: there is no port group %s", adapter->part, key);
        return error_hint(error, "hostler portgroup ls %s", adapter->switch_name);
}

/* Lock held. What does not work is taken back, but for one that a running QEMU has and that was on no switch yet: the
 * thread tries again. */
static bool put_on(Network *network, Attached *new_taken, bool new_device, GError **error)
{
        g_autofree char *key = g_strdup(new_taken->key);
        Attached *old = NULL;
        g_hash_table_steal_extended(network->attached, key, NULL, (gpointer *)&old);
        if (old)
                inherit(new_taken, old);
        else if (!new_device)
                counts_restore(network, new_taken);
        else
                g_hash_table_remove(network->left, key);
        new_taken->wants_device |= new_device;
        g_hash_table_insert(network->attached, new_taken->key, new_taken);
        bool ok = network_wait_round(network, error);
        if (!ok && (new_device || old) && g_hash_table_lookup(network->attached, key) == new_taken) {
                g_hash_table_remove(network->attached, key);
                if (old)
                        g_hash_table_insert(network->attached, old->key, g_steal_pointer(&old));
                network_ask_round(network);
        }
        if (old)
                attached_free(old);
        if (new_device)
                counts_save(network);
        return ok;
}

bool network_attach(Network *network, const Adapter *adapter, bool new_device, GError **error)
{
        if (!network_is_allowed(network, error))
                return false;
        g_mutex_lock(&network->lock);
        bool ok = check_group(network, adapter, error) && put_on(network, attached_new(adapter), new_device, error);
        g_mutex_unlock(&network->lock);
        return ok;
}

int network_take_device(Network *network, const char *vm_id, const char *part)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        Attached *adapter = g_hash_table_lookup(network->attached, key);
        int fd = adapter ? fd_steal(&adapter->fd) : -1;
        g_mutex_unlock(&network->lock);
        return fd;
}

void network_detach(Network *network, const char *vm_id, const char *part)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        if (g_hash_table_remove(network->attached, key))
                network_ask_round(network);
        g_mutex_unlock(&network->lock);
}

void network_set_ceiling(Network *network, const char *vm_id, const char *part, uint32_t kbps)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        Attached *adapter = g_hash_table_lookup(network->attached, key);
        if (adapter && adapter->ceiling != kbps) {
                adapter->ceiling = kbps;
                network_ask_round(network);
        }
        g_mutex_unlock(&network->lock);
}

void network_set_filter(Network *network, const char *vm_id, const char *part, const RxFilter *filter)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        Attached *adapter = g_hash_table_lookup(network->attached, key);
        if (adapter) {
                g_array_set_size(adapter->groups, 0);
                g_array_append_vals(adapter->groups, filter->groups, filter->n_groups);
                adapter->filter = *filter;
                adapter->filter.groups = (const Mac *)adapter->groups->data;
                network_ask_round(network);
        }
        g_mutex_unlock(&network->lock);
}
