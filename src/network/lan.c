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

static bool check_servers(char *const *servers, GError **error)
{
        IpAddress address;
        for (; servers && *servers; servers++)
                if (!ip_parse(*servers, &address) || address.v6)
                        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "dns: “%s” is no IPv4 address", *servers);
        return true;
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
            check_servers(ret_lan->dns, error))
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
        if (lan->dhcp)
                g_string_append_printf(text,
                                       "dhcp-range=%s,static,%s," LEASE_TIME
                                       "\ndhcp-authoritative\ndhcp-ignore=tag:!known\nno-ping\n"
                                       "dhcp-hostsfile=%s/hosts\ndhcp-optsfile=%s/options\ndhcp-leasefile=%s/leases\n",
                                       start, mask, served, served, folder);
        return g_string_free(text, FALSE);
}

char *lan_hosts(const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < hosts->len; i++) {
                const LanHost *host = hosts->pdata[i];
                g_autofree char *mac = mac_text(&host->mac), *address = ip_text(&host->address);
                if (host->dhcp)
                        g_string_append_printf(text, "%s,set:h%u,%s,%s\n", mac, i, address, host->name);
        }
        return g_string_free(text, FALSE);
}

char *lan_names(const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < hosts->len; i++) {
                const LanHost *host = hosts->pdata[i];
                g_autofree char *address = ip_text(&host->address);
                g_string_append_printf(text, "%s %s\n", address, host->name);
        }
        return g_string_free(text, FALSE);
}

static void add_option(GString *text, const char *tag, const char *option, const char *value)
{
        if (value)
                g_string_append_printf(text, "%s%soption:%s%s%s\n", tag, *tag ? "," : "", option, *value ? "," : "",
                                       value);
}

static void add_list(GString *text, const char *tag, const char *option, char **values)
{
        g_autofree char *list = values ? g_strjoinv(",", values) : NULL;
        add_option(text, tag, option, list);
}

/* Without a value an option is kept back; dnsmasq would name itself as the router. */
char *lan_options(const Lan *lan, const GPtrArray *hosts)
{
        GString *text = g_string_new(NULL);
        g_autofree char *gateway = lan->has_gateway ? ip_text(&lan->gateway) : g_strdup("");
        g_autofree char *own = ip_text(&lan->own), *mtu = g_strdup_printf("%d", lan->mtu);
        add_option(text, "", "router", gateway);
        if (lan->dns)
                add_list(text, "", "dns-server", lan->dns);
        else
                add_option(text, "", "dns-server", own);
        add_option(text, "", "domain-name", lan->domain);
        add_list(text, "", "domain-search", lan->search);
        add_option(text, "", "mtu", mtu);
        for (guint i = 0; i < hosts->len; i++) {
                const LanHost *host = hosts->pdata[i];
                g_autofree char *tag = g_strdup_printf("tag:h%u", i);
                g_autofree char *own_mtu = g_strdup_printf("%" G_GINT64_FORMAT, host->mtu);
                add_option(text, tag, "netmask", host->netmask);
                add_option(text, tag, "router", host->gateway);
                add_list(text, tag, "dns-server", host->dns);
                add_option(text, tag, "domain-name", host->domain);
                add_list(text, tag, "domain-search", host->search);
                add_option(text, tag, "mtu", host->mtu == HOSTLER_UNSET ? NULL : own_mtu);
        }
        return g_string_free(text, FALSE);
}
