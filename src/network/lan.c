/*
 * What a LAN is, and what dnsmasq is told about it. See lan.h; the files are those of dnsmasq(8): --conf-file,
 * --dhcp-hostsfile, --dhcp-optsfile, --addn-hosts.
 *
 * No text of a user gets in that its declaration's pattern would not let through: no comma, no line break.
 */
#include "network/lan.h"

#include <string.h>

#include "base/error.h"

#define MTU_DEFAULT 1500
#define LEASE_TIME "12h"

void lan_clear(Lan *lan)
{
        g_clear_pointer(&lan->domain, g_free);
        g_clear_pointer(&lan->dns, g_strfreev);
        g_clear_pointer(&lan->search, g_strfreev);
}

Lan lan_copy(const Lan *lan)
{
        Lan copy = *lan;
        copy.domain = g_strdup(lan->domain);
        copy.dns = g_strdupv(lan->dns);
        copy.search = g_strdupv(lan->search);
        return copy;
}

LanHost *lan_host_copy(const LanHost *host)
{
        LanHost *copy = g_memdup2(host, sizeof *host);
        copy->name = g_strdup(host->name);
        copy->netmask = g_strdup(host->netmask);
        copy->gateway = g_strdup(host->gateway);
        copy->domain = g_strdup(host->domain);
        copy->dns = g_strdupv(host->dns);
        copy->search = g_strdupv(host->search);
        return copy;
}

void lan_host_free(LanHost *host)
{
        g_free(host->name);
        g_free(host->netmask);
        g_free(host->gateway);
        g_free(host->domain);
        g_strfreev(host->dns);
        g_strfreev(host->search);
        g_free(host);
}

/* ---- declared ---- */

static char **words_of(const json_t *list)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        json_t *word;
        size_t i;
        json_array_foreach (list, i, word)
                g_strv_builder_add(builder, json_string_value(word));
        return json_array_size(list) > 0 ? g_strv_builder_end(builder) : NULL;
}

static bool check_servers(const Lan *lan, GError **error)
{
        IpAddress address;
        for (char **server = lan->dns; server && *server; server++)
                if (!ip_parse(*server, &address) || (address.v6 && !lan->has_prefix))
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "dns: “%s” is no %s address", *server,
                                         lan->has_prefix ? "IP" : "IPv4");
        return true;
}

/* With NAT or without, we are the prefix's router; only whether we are the way out differs. */
static bool read_prefix(const json_t *spec, Lan *lan, GError **error)
{
        const char *text = json_string_value(json_object_get(spec, "ipv6_prefix"));
        if (!text)
                return true;
        if (!prefix_parse_lan(text, &lan->prefix, error))
                return false;
        lan->has_prefix = true;
        lan->own6 = subnet_first(&lan->prefix);
        return lan->mtu >= MTU_MIN_V6 ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "ipv6_prefix: IPv6 needs an mtu of %d, the switch's is %d",
                         MTU_MIN_V6, lan->mtu);
}

/*
 * With NAT we are the gateway. Without, one that is named is somebody else's; then, as without any, we need an address
 * that is not in anybody's way.
 */
static bool read_gateway(const json_t *spec, Lan *lan, GError **error)
{
        const char *text = json_string_value(json_object_get(spec, "gateway"));
        IpAddress first = subnet_first(&lan->subnet), last = subnet_last(&lan->subnet);
        lan->own = first;
        lan->gateway = first;
        lan->has_gateway = lan->nat || text;
        if (!text)
                return true;
        g_autofree char *subnet = subnet_text(&lan->subnet);
        if (!ip_parse(text, &lan->gateway) || !subnet_is_host(&lan->subnet, &lan->gateway))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "gateway: %s is no address of a host in %s", text,
                                 subnet);
        lan->own = lan->nat ? lan->gateway : ip_equal(&lan->gateway, &last) ? first : last;
        return true;
}

bool lan_read(const json_t *of_switch, const json_t *spec, Lan *ret_lan, GError **error)
{
        const char *subnet = json_string_value(json_object_get(spec, "subnet"));
        const char *domain = json_string_value(json_object_get(spec, "domain"));
        const char *uplink = json_string_value(json_object_get(of_switch, "uplink"));
        const json_t *mtu = json_object_get(of_switch, "mtu");
        *ret_lan = (Lan){.nat = g_strcmp0(uplink, "nat") == 0,
                         .dhcp = !json_is_false(json_object_get(spec, "dhcp")),
                         .domain = g_strdup(domain ? domain : "internal"),
                         .dns = words_of(json_object_get(spec, "dns")),
                         .search = words_of(json_object_get(spec, "search_domain")),
                         .mtu = mtu ? (int)json_integer_value(mtu) : MTU_DEFAULT};
        if (subnet_parse_lan(subnet ? subnet : "", &ret_lan->subnet, error) && read_gateway(spec, ret_lan, error) &&
            read_prefix(spec, ret_lan, error) && check_servers(ret_lan, error))
                return true;
        lan_clear(ret_lan);
        return false;
}

/* ---- dnsmasq ---- */

char *lan_host_name(const char *text)
{
        char *name = g_ascii_strdown(text, 63);
        for (char *c = name; *c; c++)
                if (!g_ascii_isalnum(*c))
                        *c = '-';
        return name;
}

/* Addresses that hosts make themselves, and the same ones by reservation; a router without a way out is nobody's. */
static void add_v6(const Lan *lan, const char *interface, GString *text)
{
        g_autofree char *prefix = ip_text(&lan->prefix.address);
        if (!lan->has_prefix)
                return;
        g_string_append_printf(text, "enable-ra\ndhcp-range=%s,static,slaac,%d," LEASE_TIME "\n", prefix,
                               lan->prefix.length);
        if (!lan->nat)
                g_string_append_printf(text, "ra-param=%s,600,0\n", interface);
}

char *lan_config(const Lan *lan, const char *folder, const char *served, const char *user, const char *interface,
                 char *const *upstream)
{
        g_autofree char *mask = subnet_netmask(&lan->subnet), *start = ip_text(&lan->subnet.address);
        GString *text = g_string_new("# Written by hostlerd.\n");
        g_string_append_printf(text,
                               "interface=%s\nbind-dynamic\nuser=%s\ngroup=nogroup\npid-file=\nlog-facility=-\n"
                               "no-hosts\nno-resolv\nno-poll\ndomain-needed\nbogus-priv\n"
                               "domain=%s\nlocal=/%s/\nexpand-hosts\naddn-hosts=%s/names\n",
                               interface, user, lan->domain, lan->domain, served);
        for (; upstream && *upstream; upstream++)
                g_string_append_printf(text, "server=%s\n", *upstream);
        if (lan->dhcp) {
                g_string_append_printf(text,
                                       "dhcp-range=%s,static,%s," LEASE_TIME
                                       "\ndhcp-authoritative\ndhcp-ignore=tag:!known\nno-ping\n"
                                       "dhcp-hostsfile=%s/hosts\ndhcp-optsfile=%s/options\ndhcp-leasefile=%s/leases\n",
                                       start, mask, served, served, folder);
                add_v6(lan, interface, text);
        }
        return g_string_free(text, FALSE);
}

char *lan_hosts(const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < hosts->len; i++) {
                const LanHost *host = hosts->pdata[i];
                g_autofree char *mac = mac_text(&host->mac), *address = ip_text(&host->address);
                g_autofree char *address6 = ip_text(&host->address6);
                if (!host->dhcp)
                        continue;
                g_string_append_printf(text, "%s,set:h%u,", mac, i);
                if (host->has_address)
                        g_string_append_printf(text, "%s,", address);
                if (host->has_address6)
                        g_string_append_printf(text, "[%s],", address6);
                g_string_append_printf(text, "%s\n", host->name);
        }
        return g_string_free(text, FALSE);
}

char *lan_names(const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < hosts->len; i++) {
                const LanHost *host = hosts->pdata[i];
                g_autofree char *address = ip_text(&host->address), *address6 = ip_text(&host->address6);
                if (host->has_address)
                        g_string_append_printf(text, "%s %s\n", address, host->name);
                if (host->has_address6)
                        g_string_append_printf(text, "%s %s\n", address6, host->name);
        }
        return g_string_free(text, FALSE);
}

static void add_option(GString *text, const char *tag, const char *option, const char *value)
{
        if (value)
                g_string_append_printf(text, "%s%s%s%s%s\n", tag, *tag ? "," : "", option, *value ? "," : "", value);
}

static void add_list(GString *text, const char *tag, const char *option, char **values)
{
        g_autofree char *list = values ? g_strjoinv(",", values) : NULL;
        add_option(text, tag, option, list);
}

/* Those of one family; of IPv6 in brackets. */
static void add_servers(GString *text, const char *tag, char **servers, bool v6)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (char **server = servers; server && *server; server++) {
                g_autofree char *word = g_strdup_printf(v6 ? "[%s]" : "%s", *server);
                if ((strchr(*server, ':') != NULL) == v6)
                        g_strv_builder_add(builder, word);
        }
        g_auto(GStrv) words = g_strv_builder_end(builder);
        if (servers)
                add_list(text, tag, v6 ? "option6:dns-server" : "option:dns-server", words);
}

static void add_search6(GString *text, const char *tag, char **search, const char *domain)
{
        if (search)
                add_list(text, tag, "option6:domain-search", search);
        else
                add_option(text, tag, "option6:domain-search", domain);
}

static void add_of_host(GString *text, const Lan *lan, const LanHost *host, guint number)
{
        g_autofree char *tag = g_strdup_printf("tag:h%u", number);
        g_autofree char *mtu = g_strdup_printf("%" G_GINT64_FORMAT, host->mtu);
        add_option(text, tag, "option:netmask", host->netmask);
        add_option(text, tag, "option:router", host->gateway);
        add_servers(text, tag, host->dns, false);
        add_option(text, tag, "option:domain-name", host->domain);
        add_list(text, tag, "option:domain-search", host->search);
        add_option(text, tag, "option:mtu", host->mtu == HOSTLER_UNSET ? NULL : mtu);
        if (!lan->has_prefix)
                return;
        add_servers(text, tag, host->dns, true);
        add_search6(text, tag, host->search, host->domain);
}

/* Without a value an option is kept back; dnsmasq would name itself as the router. */
char *lan_options(const Lan *lan, const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        g_autofree char *gateway = lan->has_gateway ? ip_text(&lan->gateway) : g_strdup("");
        g_autofree char *own = ip_text(&lan->own), *own6 = ip_text(&lan->own6);
        g_autofree char *mtu = g_strdup_printf("%d", lan->mtu);
        char *ours[] = {own, lan->has_prefix ? own6 : NULL, NULL};
        char **dns = lan->dns ? lan->dns : ours;
        add_option(text, "", "option:router", gateway);
        add_servers(text, "", dns, false);
        add_option(text, "", "option:domain-name", lan->domain);
        add_list(text, "", "option:domain-search", lan->search);
        add_option(text, "", "option:mtu", mtu);
        if (lan->has_prefix) {
                add_servers(text, "", dns, true);
                add_search6(text, "", lan->search, lan->domain);
        }
        for (guint i = 0; i < hosts->len; i++)
                add_of_host(text, lan, hosts->pdata[i], i);
        return g_string_free(text, FALSE);
}
