/*
 * Whether a card of the host can be the uplink of a switch, and who has it otherwise. See uplinks.h.
 *
 * The host itself is asked: ip(8) for the card, its addresses and routes, /proc/net for the connections that go over
 * it.
 */
#include "vm/network/uplinks.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "network/network.h"
#include "network/subnet.h"
#include "network/uplink.h"

#define MTU_DEFAULT 1500
#define TCP_ESTABLISHED 1
#define TCP_LIMIT (16 << 20)
#define IP_MS 10000

static const char *text_of(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));
        return text ? text : "";
}

/* ---- who has it ---- */

/* A device that stands on the card: a VLAN, a macvlan. Caller frees; NULL: none. */
static char *upper_of(const char *nic)
{
        static const char *const argv[] = {"ip", "-j", "link", "show", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = IP_MS};
        json_auto_t *links = process_run_json(&options, NULL);
        json_t *link;
        size_t i;
        json_array_foreach (links, i, link)
                if (strcmp(text_of(link, "link"), nic) == 0 && !json_object_get(link, "link_netnsid"))
                        return g_strdup(text_of(link, "ifname"));
        return NULL;
}

/* One end of a pair is no master of the other, though ip(8) shows it alike. */
static bool is_pair(const json_t *link)
{
        return strcmp(text_of(json_object_get(link, "linkinfo"), "info_kind"), "veth") == 0;
}

static bool check_free(Manager *manager, const char *switch_name, const char *nic, const json_t *link, GError **error)
{
        g_autofree char *holder = network_uplink_holder(manager_network(manager), nic);
        g_autofree char *upper = is_pair(link) ? NULL : upper_of(nic);
        const char *master = text_of(link, "master");
        if (holder && strcmp(holder, switch_name) != 0)
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "uplink: switch %s has %s", holder, nic);
        if (!holder && *master)
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "uplink: %s is part of %s", nic, master);
        return !upper || error_set(error, HOSTLER_ERROR_BUSY, NULL, "uplink: %s stands on %s", upper, nic);
}

/* ---- what it is ---- */

static bool check_kind(const char *nic, const json_t *link, GError **error)
{
        g_autofree char *radio = g_strdup_printf("/sys/class/net/%s/phy80211", nic);
        const char *kind = text_of(json_object_get(link, "linkinfo"), "info_kind");
        if (strcmp(text_of(link, "link_type"), "ether") != 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "uplink: %s is no Ethernet card", nic);
        if (g_str_has_prefix(nic, "hs") || strcmp(kind, "bridge") == 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "uplink: %s is a switch itself", nic);
        return !g_file_test(radio, G_FILE_TEST_EXISTS) ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL,
                         "uplink: %s is wireless, and an access point takes no frames of others", nic);
}

static bool check_mtu(const char *nic, const json_t *link, int64_t mtu, GError **error)
{
        int64_t carries = json_integer_value(json_object_get(link, "mtu"));
        if (carries >= mtu)
                return true;
        error_set(error, HOSTLER_ERROR_INVALID, NULL,
                  "mtu: the switch carries %" G_GINT64_FORMAT ", its uplink %s only %" G_GINT64_FORMAT, mtu, nic,
                  carries);
        return error_hint(error, "ip link set %s mtu %" G_GINT64_FORMAT "   (as root), or mtu=%" G_GINT64_FORMAT, nic,
                          mtu, carries);
}

/* ---- who would be cut off ---- */

static bool has_default(const json_t *routes)
{
        json_t *route;
        size_t i;
        json_array_foreach (routes, i, route)
                if (strcmp(text_of(route, "dst"), "default") == 0)
                        return true;
        return false;
}

/* /proc/net/tcp: each 32 bits of an address as the processor has them. */
static bool read_end(const char *text, bool v6, IpAddress *ret_address, unsigned *ret_port)
{
        *ret_address = (IpAddress){.v6 = v6};
        for (int i = 0; i < (v6 ? 4 : 1); i++, text += 8) {
                unsigned word;
                if (sscanf(text, "%8x", &word) != 1)
                        return false;
                memcpy(ret_address->bytes + (gsize)i * 4, &word, 4);
        }
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        if (v6 && memcmp(ret_address->bytes, mapped, 12) == 0) {
                memmove(ret_address->bytes, ret_address->bytes + 12, 4);
                ret_address->v6 = false;
        }
        return sscanf(text, ":%x", ret_port) == 1;
}

static bool is_among(const json_t *addresses, const IpAddress *address)
{
        json_t *own;
        size_t i;
        json_array_foreach (addresses, i, own) {
                IpAddress parsed;
                if (ip_parse(text_of(own, "local"), &parsed) && ip_equal(&parsed, address))
                        return true;
        }
        return false;
}

/* "192.0.2.2:22 with 198.51.100.7"; NULL: none. Caller frees. */
static char *connection_in(const char *file, bool v6, const json_t *addresses)
{
        g_autofree char *text = file_read(file, TCP_LIMIT, NULL, NULL);
        g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
        for (char **line = lines; *line; line++) {
                char local[64], remote[64];
                unsigned state, port, ignored;
                IpAddress mine, theirs;
                if (sscanf(*line, " %*d: %63s %63s %x", local, remote, &state) != 3 || state != TCP_ESTABLISHED ||
                    !read_end(local, v6, &mine, &port) || !read_end(remote, v6, &theirs, &ignored) ||
                    !is_among(addresses, &mine) || is_among(addresses, &theirs))
                        continue;
                g_autofree char *here = ip_text(&mine), *there = ip_text(&theirs);
                return g_strdup_printf("port %u of %s with %s", port, here, there);
        }
        return NULL;
}

static bool check_cut(const char *nic, const json_t *facts, GError **error)
{
        const json_t *addresses = json_object_get(facts, "addresses");
        g_autofree char *over4 = connection_in("/proc/thread-self/net/tcp", false, addresses);
        g_autofree char *over6 = connection_in("/proc/thread-self/net/tcp6", true, addresses);
        bool is_default =
            has_default(json_object_get(facts, "routes")) || has_default(json_object_get(facts, "routes6"));
        if (!is_default && !over4 && !over6)
                return true;
        if (is_default)
                error_set(error, HOSTLER_ERROR_PRECONDITION, NULL,
                          "uplink: %s has the host's default route; if this fails the host is cut off", nic);
        else
                error_set(error, HOSTLER_ERROR_PRECONDITION, NULL,
                          "uplink: a connection goes over %s (%s); if this fails it is cut", nic,
                          over4 ? over4 : over6);
        return error_hint(error, "--force does it, and undoes it unless `hostler switch confirm` follows in time");
}

/* ---- checks ---- */

bool uplinks_check(Manager *manager, const char *switch_name, const char *nic, int64_t mtu, bool force, GError **error)
{
        static const char letters[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-";
        if (strlen(nic) > 15 || nic[strspn(nic, letters)] != '\0' || !g_ascii_isalnum(*nic))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "uplink: “%s” is no name of a network card", nic);
        json_auto_t *facts = uplink_facts(nic, error);
        const json_t *link = json_object_get(facts, "link");
        return facts && check_kind(nic, link, error) && check_free(manager, switch_name, nic, link, error) &&
               check_mtu(nic, link, mtu == HOSTLER_UNSET ? MTU_DEFAULT : mtu, error) &&
               (force || check_cut(nic, facts, error));
}

void uplinks_check_mtu(const json_t *spec, GPtrArray *faults)
{
        const char *nic = json_string_value(json_object_get(spec, "uplink"));
        const json_t *mtu = json_object_get(spec, "mtu");
        g_autoptr(GError) error = NULL;
        json_auto_t *facts = uplink_is_nic(nic) ? uplink_facts(nic, NULL) : NULL;
        if (facts &&
            !check_mtu(nic, json_object_get(facts, "link"), mtu ? json_integer_value(mtu) : MTU_DEFAULT, &error))
                faults_add(faults, "/spec/mtu", "%s", error->message);
}

const char *uplinks_word(char *const *words)
{
        const char *nic = NULL;
        for (; words && *words; words++)
                if (g_str_has_prefix(*words, "uplink="))
                        nic = *words + strlen("uplink=");
        return uplink_is_nic(nic) ? nic : NULL;
}
