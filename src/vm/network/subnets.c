/*
 * Whether a subnet can be where it is wanted. See subnets.h.
 *
 * The host's routes are asked for with ip(8): a subnet that the host reaches elsewhere would not be reached any more.
 */
#include "vm/network/subnets.h"

#include <string.h>

#include "base/error.h"
#include "base/process.h"
#include "network/forward.h"
#include "network/nat.h"
#include "network/network.h"
#include "network/router.h"

#define IP_MS 10000

static bool is_route_text(const char *text, Subnet *ret_subnet)
{
        const char *length = text && strchr(text, ':') ? "128" : "32";
        g_autofree char *whole = text && !strchr(text, '/') ? g_strdup_printf("%s/%s", text, length) : g_strdup(text);
        return whole && subnet_parse(whole, ret_subnet);
}

/* "10.1.2.0/24 dev eth0" of the route that overlaps; NULL: none. Caller frees. */
static char *host_route(const Subnet *subnet)
{
        const char *const argv[] = {"ip", "-j", subnet->address.v6 ? "-6" : "-4", "route", "show", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = IP_MS};
        json_auto_t *routes = process_run_json(&options, NULL);
        json_t *route;
        size_t i;
        json_array_foreach (routes, i, route) {
                const char *where = json_string_value(json_object_get(route, "dst"));
                const char *device = json_string_value(json_object_get(route, "dev"));
                Subnet other;
                if (device && g_str_has_prefix(device, ROUTER_OUTSIDE_PREFIX))
                        continue;
                if (is_route_text(where, &other) && other.length > 0 && subnet_overlaps(subnet, &other))
                        return g_strdup_printf("%s dev %s", where, device ? device : "?");
        }
        return NULL;
}

static void check_prefixes(const Lan *lan, const NetworkSubnet *other, GPtrArray *faults)
{
        g_autofree char *text = subnet_text(&other->prefix);
        if (lan->has_prefix && other->has_prefix && subnet_overlaps(&lan->prefix, &other->prefix))
                faults_add(faults, "/spec/ipv6_prefix", "%s has %s", other->name, text);
}

static void check_others(Manager *manager, const char *own_name, int vid, const Lan *lan, GPtrArray *faults)
{
        const Subnet *subnet = &lan->subnet;
        g_autoptr(GPtrArray) others = network_subnets(manager_network(manager));
        g_auto(GStrv) own_words = g_strsplit(own_name, "/", 2);
        for (guint i = 0; i < others->len; i++) {
                const NetworkSubnet *other = others->pdata[i];
                g_auto(GStrv) words = g_strsplit(other->name, "/", 2);
                if (strcmp(other->name, own_name) == 0)
                        continue;
                g_autofree char *text = subnet_text(&other->subnet);
                check_prefixes(lan, other, faults);
                if (subnet_overlaps(subnet, &other->subnet))
                        faults_add(faults, "/spec/subnet", "%s has %s", other->name, text);
                else if (strcmp(words[0], own_words[0]) == 0 && other->vid == vid)
                        faults_add(faults, "/spec/subnet", "its VLAN has a subnet already: %s has %s", other->name,
                                   text);
        }
}

static int vid_of(const json_t *spec)
{
        const json_t *native = json_object_get(spec, "native_vlan");
        Vlans vlans;
        bool good = vlans_parse(json_string_value(json_object_get(spec, "vlan")),
                                native ? json_integer_value(native) : HOSTLER_UNSET, &vlans, NULL);
        return good && vlans.mode == VLAN_ACCESS ? vlans.vid : -1;
}

/* What says something about a subnet that is not there. */
static void check_alone(const json_t *spec, GPtrArray *faults)
{
        static const char *const of_subnet[] = {"gateway", "dns", "domain", "search_domain", "ipv6_prefix"};
        for (gsize i = 0; i < G_N_ELEMENTS(of_subnet); i++) {
                g_autofree char *pointer = g_strdup_printf("/spec/%s", of_subnet[i]);
                if (json_object_get(spec, of_subnet[i]))
                        faults_add(faults, pointer, "it needs a subnet: subnet=10.1.2.0/24");
        }
}

static void check_routes(const Subnet *subnet, const char *pointer, GPtrArray *faults)
{
        g_autofree char *route = host_route(subnet);
        if (route)
                faults_add(faults, pointer, "the host has a route that overlaps: %s", route);
}

void subnets_check(Manager *manager, const char *switch_name, const char *group, const json_t *spec, GPtrArray *faults)
{
        json_auto_t *of_switch = *group ? network_spec(manager_network(manager), switch_name, NULL) : NULL;
        g_autofree char *name = *group ? g_strdup_printf("%s/%s", switch_name, group) : g_strdup(switch_name);
        g_autoptr(GError) error = NULL;
        g_auto(Lan) lan = {0};
        const char *uplink = json_string_value(json_object_get(spec, "uplink"));
        if (g_strcmp0(uplink, "nat") == 0 && !nat_is_installed(&error))
                faults_add(faults, "/spec/uplink", "%s", error->message);
        if (!json_object_get(spec, "subnet")) {
                check_alone(spec, faults);
                return;
        }
        g_clear_error(&error);
        if (!lan_read(*group ? of_switch : spec, spec, &lan, &error)) {
                faults_add(faults, "/spec/subnet", "%s", error->message);
                return;
        }
        if (!router_is_installed(&error))
                faults_add(faults, "/spec/subnet", "%s", error->message);
        if (vid_of(spec) < 0)
                faults_add(faults, "/spec/subnet", "a port group with several VLANs can have none");
        check_others(manager, name, vid_of(spec), &lan, faults);
        check_routes(&lan.subnet, "/spec/subnet", faults);
        g_clear_error(&error);
        if (lan.has_prefix && lan.nat && !forward_has_v6(&error))
                faults_add(faults, "/spec/ipv6_prefix", "%s", error->message);
        if (lan.has_prefix)
                check_routes(&lan.prefix, "/spec/ipv6_prefix", faults);
}
