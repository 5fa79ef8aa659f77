/*
 * What a LAN has heard of its adapters: leases that its DHCP has given, and who answered to which address (ARP,
 * neighbour discovery) where its router is. See network.h.
 *
 * Nothing is kept: who asks has the files and the kernel looked at. Called by verbs that show.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "network/network_private.h"

#define LEASES_LIMIT (4 << 20)
#define IP_MS 10000

static void add(GArray *learned, const char *mac, const char *address, bool lease)
{
        NetworkLearned one = {.lease = lease};
        if (mac && address && mac_parse(mac, &one.mac) && ip_parse(address, &one.address))
                g_array_append_val(learned, one);
}

/* What the LAN knows of the adapter that is asked for. */
typedef struct {
        Mac mac;
        bool has_address6;
        IpAddress address6;
        char *folder; /* of its router; NULL: it is on no LAN */
} Place;

/* Of DHCPv6: it names the client by other means, but gives each address to one adapter only. */
static void add_lease6(GArray *learned, const Place *place, const char *address)
{
        NetworkLearned one = {.mac = place->mac, .lease = true};
        if (place->has_address6 && ip_parse(address, &one.address) && ip_equal(&one.address, &place->address6))
                g_array_append_val(learned, one);
}

/* dnsmasq's file: "EXPIRY MAC ADDRESS NAME CLIENT-ID", one a line, with a number instead of the MAC if it is of IPv6.
 */
static void read_leases(const Place *place, GArray *learned)
{
        const char *folder = place->folder;
        g_autofree char *path = g_build_filename(folder, "leases", NULL);
        g_autofree char *text = file_read(path, LEASES_LIMIT, NULL, NULL);
        g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(*line, " ", 4);
                if (g_strv_length(words) == 4 && strchr(words[2], ':'))
                        add_lease6(learned, place, words[2]);
                else if (g_strv_length(words) == 4)
                        add(learned, words[1], words[2], true);
        }
}

/* What the router's kernel has seen, for as long as it thinks it true. */
static void read_neighbours(const char *folder, GArray *learned)
{
        ProcessId program;
        json_t *neighbour;
        size_t i;
        if (!keeper_read(folder, NULL, &program, NULL) || !process_id_alive(&program))
                return;
        g_autofree char *pid = g_strdup_printf("%d", (int)program.pid);
        const char *const argv[] = {"nsenter", "-n", "-t", pid, "ip", "-j", "neigh", "show", "dev", "net0", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = IP_MS};
        json_auto_t *neighbours = process_run_json(&options, NULL);
        json_array_foreach (neighbours, i, neighbour)
                add(learned, json_string_value(json_object_get(neighbour, "lladdr")),
                    json_string_value(json_object_get(neighbour, "dst")), false);
}

/* The folder of the adapter's router; NULL: it is on no LAN. Lock held. Caller frees. */
static char *folder_of(Network *network, const Attached *adapter)
{
        g_auto(Lan) lan = {0};
        int vid = network_vid_of(network, adapter->switch_name, adapter->group, adapter->policy);
        if (!network_find_lan(network, adapter->switch_name, vid, &lan))
                return NULL;
        g_autofree char *key = g_strdup_printf("%s.%d", adapter->switch_name, vid);
        return g_build_filename(network->folder, key, NULL);
}

GArray *network_learned(Network *network, const char *vm_id, const char *part)
{
        GArray *learned = g_array_new(FALSE, FALSE, sizeof(NetworkLearned));
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        g_mutex_lock(&network->lock);
        const Attached *adapter = g_hash_table_lookup(network->attached, key);
        Place place = {.folder = adapter ? folder_of(network, adapter) : NULL};
        g_autofree char *folder = place.folder;
        if (adapter) {
                place.mac = adapter->mac;
                place.has_address6 = adapter->host && adapter->host->has_address6;
                place.address6 = place.has_address6 ? adapter->host->address6 : (IpAddress){0};
        }
        g_mutex_unlock(&network->lock);
        if (!folder)
                return learned;
        read_leases(&place, learned);
        read_neighbours(folder, learned);
        for (guint i = learned->len; i > 0; i--)
                if (!mac_equal(&g_array_index(learned, NetworkLearned, i - 1).mac, &place.mac))
                        g_array_remove_index(learned, i - 1);
        return learned;
}

static bool has_address(const LanHost *host, const IpAddress *address)
{
        return (host->has_address && ip_equal(&host->address, address)) ||
               (host->has_address6 && ip_equal(&host->address6, address));
}

char *network_address_holder(Network *network, const char *vm_id, const char *part, const IpAddress *address)
{
        g_autofree char *key = g_strdup_printf("%s/%s", vm_id, part);
        char *holder = NULL;
        GHashTableIter iter;
        gpointer value;
        g_mutex_lock(&network->lock);
        const Attached *adapter = g_hash_table_lookup(network->attached, key);
        g_autofree char *folder = adapter ? folder_of(network, adapter) : NULL;
        g_hash_table_iter_init(&iter, network->attached);
        while (folder && !holder && g_hash_table_iter_next(&iter, NULL, &value)) {
                const Attached *other = value;
                g_autofree char *theirs = other->host ? folder_of(network, other) : NULL;
                if (other != adapter && theirs && strcmp(theirs, folder) == 0 && has_address(other->host, address))
                        holder = g_strdup(other->key);
        }
        g_mutex_unlock(&network->lock);
        return holder;
}
