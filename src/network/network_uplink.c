/*
 * Cards of the host as uplinks: which switch has which, and trials. See network.h; how an uplink is made: uplink.h.
 *
 * A trial is a declaration that only memory has. Its end is brought about by a process that does not need this one;
 * here it is only noticed, and the switch's declaration follows.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "network/network_private.h"

void trial_free(gpointer data)
{
        Trial *trial = data;
        json_decref(trial->before);
        g_free(trial->nic);
        g_free(trial);
}

/* The switch's declaration with another uplink: NULL for none. Lock held. */
static void set_uplink(Network *network, const char *switch_name, json_t *uplink)
{
        json_t *spec = json_deep_copy(g_hash_table_lookup(network->switches, switch_name));
        if (uplink)
                json_object_set(spec, "uplink", uplink);
        else
                json_object_del(spec, "uplink");
        g_hash_table_replace(network->switches, g_strdup(switch_name), spec);
}

static void take_back(Network *network, const char *switch_name)
{
        Trial *trial = g_hash_table_lookup(network->trials, switch_name);
        if (!trial)
                return;
        set_uplink(network, switch_name, trial->before);
        g_hash_table_remove(network->trials, switch_name);
}

static void begin(Network *network, const char *switch_name, const char *nic, int seconds)
{
        json_auto_t *name = json_string(nic);
        Trial *trial = g_new0(Trial, 1);
        const json_t *spec = g_hash_table_lookup(network->switches, switch_name);
        *trial = (Trial){.before = json_incref(json_object_get(spec, "uplink")),
                         .nic = g_strdup(nic),
                         .seconds = seconds,
                         .until_ms = clock_unix_ms() + seconds * 1000,
                         .end_ms = clock_monotonic_ms() + seconds * 1000};
        g_hash_table_replace(network->trials, g_strdup(switch_name), trial);
        set_uplink(network, switch_name, name);
}

bool network_try_uplink(Network *network, const char *switch_name, const char *nic, int seconds, GError **error)
{
        bool ok = false;
        g_mutex_lock(&network->lock);
        if (!g_hash_table_contains(network->switches, switch_name))
                error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "there is no switch %s", switch_name);
        else {
                begin(network, switch_name, nic, seconds);
                ok = network_wait_round(network, error);
                if (!ok)
                        take_back(network, switch_name);
                if (!ok)
                        network_wait_round(network, NULL);
        }
        g_mutex_unlock(&network->lock);
        return ok;
}

bool network_end_trial(Network *network, const char *switch_name, GError **error)
{
        g_mutex_lock(&network->lock);
        const Trial *trial = g_hash_table_lookup(network->trials, switch_name);
        ProcessId process = uplink_trial_process(network->uplinks, switch_name);
        bool in_time = trial && process.pid && trial->end_ms - clock_monotonic_ms() > UPLINK_TRIAL_LAST_MS;
        if (in_time)
                g_hash_table_remove(network->trials, switch_name);
        g_mutex_unlock(&network->lock);
        if (!in_time)
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "switch %s has no uplink on trial%s",
                                 switch_name, trial ? " any more: its time is over" : "");
        uplink_end_trial(network->uplinks, switch_name);
        return true;
}

char *network_trial(Network *network, const char *switch_name, int64_t *ret_until_ms)
{
        g_mutex_lock(&network->lock);
        const Trial *trial = g_hash_table_lookup(network->trials, switch_name);
        char *nic = trial ? g_strdup(trial->nic) : NULL;
        *ret_until_ms = trial ? trial->until_ms : 0;
        g_mutex_unlock(&network->lock);
        return nic;
}

char *network_uplink_holder(Network *network, const char *nic)
{
        GHashTableIter iter;
        gpointer name, spec;
        char *holder = NULL;
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->switches);
        while (!holder && g_hash_table_iter_next(&iter, &name, &spec))
                if (g_strcmp0(json_string_value(json_object_get(spec, "uplink")), nic) == 0)
                        holder = g_strdup(name);
        g_mutex_unlock(&network->lock);
        return holder;
}

/* ---- for the thread ---- */

Uplink *network_uplink(Network *network, const char *switch_name, const json_t *spec)
{
        const char *text = json_string_value(json_object_get(spec, "uplink"));
        const Trial *trial = g_hash_table_lookup(network->trials, switch_name);
        if (!uplink_is_nic(text))
                return NULL;
        Uplink *uplink = uplink_new(switch_name, text);
        uplink->trial_s = trial ? trial->seconds : 0;
        return uplink;
}

void network_lapse(Network *network)
{
        GHashTableIter iter;
        gpointer name, value;
        g_hash_table_iter_init(&iter, network->trials);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
                const Trial *trial = value;
                if (clock_monotonic_ms() < trial->end_ms - UPLINK_TRIAL_LAST_MS ||
                    uplink_trial_process(network->uplinks, name).pid)
                        continue;
                set_uplink(network, name, trial->before);
                g_hash_table_iter_remove(&iter);
        }
}

bool network_watch_trials(Network *network, GArray *fds)
{
        GHashTableIter iter;
        gpointer name;
        bool all = true;
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->trials);
        while (g_hash_table_iter_next(&iter, &name, NULL)) {
                ProcessId process = uplink_trial_process(network->uplinks, name);
                int fd = process.pid ? process_id_open(&process) : -1;
                all &= fd >= 0;
                if (fd >= 0)
                        g_array_append_val(fds, fd);
        }
        g_mutex_unlock(&network->lock);
        return all;
}
