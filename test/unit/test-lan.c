/*
 * Addresses as numbers, the files dnsmasq is given, and the rules the host's packet filter is given.
 */
#include <string.h>

#include "base/error.h"
#include "network/lan.h"
#include "network/nat.h"
#include "network/uplink.h"

/* ---- arithmetic ---- */

static void test_lan_subnets(void)
{
        static const struct {
                const char *text;
                bool good;
        } cases[] = {{"10.1.2.0/24", true},    {"192.168.0.0/16", true}, {"10.0.0.0/8", true},  {"10.1.2.8/29", true},
                     {"10.1.2.5/24", false},   {"10.1.2.0/30", false},   {"10.0.0.0/7", false}, {"10.1.2.0", false},
                     {"127.0.0.0/8", false},   {"224.0.0.0/8", false},   {"0.0.0.0/8", false},  {"10.1.2.0/33", false},
                     {"10.1.2.0/-1", false},   {"fd00::/64", false},     {"10.1.2/24", false},  {"", false},
                     {"10.1.2.0/24/24", false}};
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GError) error = NULL;
                Subnet subnet;
                g_assert_cmpint(subnet_parse_lan(cases[i].text, &subnet, &error), ==, cases[i].good);
                g_assert_cmpint(error_is(error, HOSTLER_ERROR_INVALID), ==, !cases[i].good);
        }
}

static Subnet subnet_of(const char *text)
{
        Subnet subnet;
        g_assert_true(subnet_parse(text, &subnet));
        return subnet;
}

static IpAddress ip_of(const char *text)
{
        IpAddress address;
        g_assert_true(ip_parse(text, &address));
        return address;
}

static void test_hosts(void)
{
        static const struct {
                const char *subnet, *address;
                bool has, is_host;
        } cases[] = {{"10.1.2.0/24", "10.1.2.1", true, true},    {"10.1.2.0/24", "10.1.2.0", true, false},
                     {"10.1.2.0/24", "10.1.2.255", true, false}, {"10.1.2.0/24", "10.1.3.1", false, false},
                     {"10.1.2.0/23", "10.1.2.255", true, true},  {"10.1.2.0/31", "10.1.2.0", true, true},
                     {"10.1.2.0/24", "fd00::1", false, false},   {"fd00::/64", "fd00::1", true, true},
                     {"fd00::/64", "fd00::", true, false},       {"fd00::/64", "fd00:0:0:1::1", false, false},
                     {"fd00::/63", "fd00:0:0:1::1", true, true}, {"0.0.0.0/0", "255.255.255.254", true, true}};
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                Subnet subnet = subnet_of(cases[i].subnet);
                IpAddress address = ip_of(cases[i].address);
                g_assert_cmpint(subnet_has(&subnet, &address), ==, cases[i].has);
                g_assert_cmpint(subnet_is_host(&subnet, &address), ==, cases[i].is_host);
        }
}

static void test_prefixes(void)
{
        static const struct {
                const char *text;
                bool good;
        } cases[] = {{"fd00:1:2:3::/64", true},    {"2001:db8::/64", true}, {"fd00::5/64", false}, {"fd00::/63", false},
                     {"fd00::/80", false},         {"fe80::/64", false},    {"ff02::/64", false},  {"::/64", false},
                     {"10.1.2.0/24", false},       {"fd00::", false},       {"fd00::/129", false}, {"", false},
                     {"FD00:0:0:0:0:0::/64", true}};
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GError) error = NULL;
                Subnet prefix;
                g_assert_cmpint(prefix_parse_lan(cases[i].text, &prefix, &error), ==, cases[i].good);
                g_assert_cmpint(error_is(error, HOSTLER_ERROR_INVALID), ==, !cases[i].good);
        }
        Subnet prefix = subnet_of("fd00:1:2:3::/64");
        IpAddress first = subnet_first(&prefix),
                  own = prefix_address(&prefix, &(Mac){{0x52, 0x54, 0, 0x12, 0x34, 0x56}});
        g_autofree char *first_text = ip_text(&first), *own_text = ip_text(&own);
        g_assert_cmpstr(first_text, ==, "fd00:1:2:3::1");
        g_assert_cmpstr(own_text, ==, "fd00:1:2:3:5054:ff:fe12:3456");
}

static void test_overlaps(void)
{
        static const struct {
                const char *a, *b;
                bool overlap;
        } cases[] = {{"10.1.2.0/24", "10.1.2.128/25", true},
                     {"10.1.2.0/24", "10.1.3.0/24", false},
                     {"10.0.0.0/8", "10.255.0.0/16", true},
                     {"10.1.2.0/24", "fd00::/8", false},
                     {"0.0.0.0/0", "192.0.2.0/24", true}};
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                Subnet a = subnet_of(cases[i].a), b = subnet_of(cases[i].b);
                g_assert_cmpint(subnet_overlaps(&a, &b), ==, cases[i].overlap);
                g_assert_cmpint(subnet_overlaps(&b, &a), ==, cases[i].overlap);
        }
}

static void test_masks(void)
{
        static const struct {
                const char *text;
                int length;
        } cases[] = {{"255.255.255.0", 24}, {"255.255.254.0", 23}, {"0.0.0.0", 0}, {"255.255.255.255", 32},
                     {"255.0.255.0", -1},   {"fd00::", -1},        {"24", -1}};
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_assert_cmpint(netmask_parse(cases[i].text), ==, cases[i].length);
                Subnet subnet = {.length = cases[i].length};
                g_autofree char *text = cases[i].length < 0 ? NULL : subnet_netmask(&subnet);
                if (text)
                        g_assert_cmpstr(text, ==, cases[i].text);
        }
}

/* Every address once, from the lowest, without the ends; then none. */
static void test_choice(void)
{
        g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        Subnet subnet = subnet_of("10.1.2.248/29");
        IpAddress address;
        for (int i = 249; i <= 254; i++) {
                g_autofree char *expected = g_strdup_printf("10.1.2.%d", i);
                g_assert_true(subnet_choose(&subnet, taken, &address));
                g_autofree char *text = ip_text(&address);
                g_assert_cmpstr(text, ==, expected);
                g_hash_table_add(taken, g_steal_pointer(&text));
        }
        g_assert_false(subnet_choose(&subnet, taken, &address));
        g_hash_table_remove(taken, "10.1.2.251");
        g_assert_true(subnet_choose(&subnet, taken, &address));
        g_assert_cmpint(address.bytes[3], ==, 251);
}

/* ---- LANs ---- */

static bool read_lan(const char *of_switch, const char *spec, Lan *ret_lan)
{
        json_auto_t *switch_json = json_loads(of_switch, 0, NULL), *json = json_loads(spec, 0, NULL);
        g_autoptr(GError) error = NULL;
        bool good = lan_read(switch_json, json, ret_lan, &error);
        g_assert_cmpint(error_is(error, HOSTLER_ERROR_INVALID), ==, !good);
        return good;
}

static void check_own(const char *of_switch, const char *spec, const char *own, const char *gateway)
{
        g_auto(Lan) lan = {0};
        g_assert_true(read_lan(of_switch, spec, &lan));
        g_autofree char *is = ip_text(&lan.own), *way = lan.has_gateway ? ip_text(&lan.gateway) : NULL;
        g_assert_cmpstr(is, ==, own);
        g_assert_cmpstr(way, ==, gateway);
}

static void test_lans(void)
{
        static const char *const bad[] = {"{}",
                                          "{\"subnet\": \"10.1.2.0/24\", \"gateway\": \"10.1.3.1\"}",
                                          "{\"subnet\": \"10.1.2.0/24\", \"gateway\": \"10.1.2.255\"}",
                                          "{\"subnet\": \"10.1.2.0/24\", \"dns\": [\"10.1.2.999\"]}",
                                          "{\"subnet\": \"10.1.2.0/24\", \"dns\": [\"fd00::1\"]}",
                                          "{\"subnet\": \"10.1.2.0/24\", \"ipv6_prefix\": \"fd00::/48\"}"};
        Lan narrow;
        for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
                Lan lan;
                g_assert_false(read_lan("{}", bad[i], &lan));
        }
        g_assert_false(
            read_lan("{\"mtu\": 1279}", "{\"subnet\": \"10.1.2.0/24\", \"ipv6_prefix\": \"fd00::/64\"}", &narrow));
        check_own("{}", "{\"subnet\": \"10.1.2.0/24\"}", "10.1.2.1", NULL);
        check_own("{}", "{\"subnet\": \"10.1.2.0/24\", \"gateway\": \"10.1.2.1\"}", "10.1.2.254", "10.1.2.1");
        check_own("{}", "{\"subnet\": \"10.1.2.0/24\", \"gateway\": \"10.1.2.254\"}", "10.1.2.1", "10.1.2.254");
        check_own("{\"uplink\": \"nat\"}", "{\"subnet\": \"10.1.2.0/24\"}", "10.1.2.1", "10.1.2.1");
        check_own("{\"uplink\": \"nat\"}", "{\"subnet\": \"10.1.2.0/24\", \"gateway\": \"10.1.2.9\"}", "10.1.2.9",
                  "10.1.2.9");
}

static GPtrArray *two_hosts(void)
{
        static const char *const dns[] = {"192.0.2.53", "192.0.2.54", NULL}, *const search[] = {"a.example", "b", NULL};
        GPtrArray *hosts = g_ptr_array_new_with_free_func((GDestroyNotify)lan_host_free);
        LanHost plain = {.mac = {{0x52, 0, 0, 0, 0, 1}},
                         .has_address = true,
                         .address = ip_of("10.1.2.2"),
                         .name = (char *)"web-1",
                         .dhcp = true,
                         .mtu = HOSTLER_UNSET};
        LanHost rich = {.mac = {{0x52, 0, 0, 0, 0, 2}},
                        .has_address = true,
                        .address = ip_of("10.1.2.3"),
                        .name = (char *)"web-2",
                        .dhcp = true,
                        .mtu = 1400,
                        .netmask = (char *)"255.255.0.0",
                        .gateway = (char *)"10.1.2.254",
                        .domain = (char *)"example",
                        .dns = (char **)dns,
                        .search = (char **)search};
        g_ptr_array_add(hosts, lan_host_copy(&plain));
        g_ptr_array_add(hosts, lan_host_copy(&rich));
        return hosts;
}

static void expect(char *text_taken, const char *expected)
{
        g_assert_cmpstr(text_taken, ==, expected);
        g_free(text_taken);
}

static void test_dnsmasq(void)
{
        g_autoptr(GPtrArray) hosts = two_hosts();
        g_auto(Lan) lan = {0};
        const char *const upstream[] = {"192.0.2.1", NULL};
        g_assert_true(read_lan("{\"uplink\": \"nat\", \"mtu\": 1450}", "{\"subnet\": \"10.1.2.0/24\"}", &lan));
        expect(lan_hosts(hosts), "52:00:00:00:00:01,set:h0,10.1.2.2,web-1\n52:00:00:00:00:02,set:h1,10.1.2.3,web-2\n");
        expect(lan_names(hosts), "10.1.2.2 web-1\n10.1.2.3 web-2\n");
        expect(lan_options(&lan, hosts),
               "option:router,10.1.2.1\noption:dns-server,10.1.2.1\noption:domain-name,internal\noption:mtu,1450\n"
               "tag:h1,option:netmask,255.255.0.0\ntag:h1,option:router,10.1.2.254\n"
               "tag:h1,option:dns-server,192.0.2.53,192.0.2.54\ntag:h1,option:domain-name,example\n"
               "tag:h1,option:domain-search,a.example,b\ntag:h1,option:mtu,1400\n");
        expect(lan_config(&lan, "/f", "/s", "nobody", "net0", (char *const *)upstream),
               "# Written by hostlerd.\ninterface=net0\nbind-dynamic\nuser=nobody\ngroup=nogroup\npid-file=\n"
               "log-facility=-\nno-hosts\nno-resolv\nno-poll\ndomain-needed\nbogus-priv\ndomain=internal\n"
               "local=/internal/\nexpand-hosts\naddn-hosts=/s/names\nserver=192.0.2.1\n"
               "dhcp-range=10.1.2.0,static,255.255.255.0,12h\ndhcp-authoritative\ndhcp-ignore=tag:!known\nno-"
               "ping\ndhcp-hostsfile=/s/hosts\n"
               "dhcp-optsfile=/s/options\ndhcp-leasefile=/f/leases\n");
        expect(lan_host_name("Web_1.x"), "web-1-x");
}

/* Both families beside each other: who asks by DHCPv6 gets what it would have made itself. */
static void test_dnsmasq6(void)
{
        static const char *const dns[] = {"192.0.2.53", "fd00::53", NULL};
        static const char lan_text[] = "{\"subnet\": \"10.1.2.0/24\", \"ipv6_prefix\": \"fd00:1::/64\"}";
        g_autoptr(GPtrArray) hosts = two_hosts();
        g_auto(Lan) nat = {0}, alone = {0}, silent = {0};
        LanHost *first = hosts->pdata[0], *second = hosts->pdata[1];
        first->has_address6 = second->has_address6 = true;
        first->address6 = ip_of("fd00:1::5200:ff:fe00:1");
        second->address6 = ip_of("fd00:1::7");
        second->has_address = false;
        g_strfreev(second->dns);
        second->dns = g_strdupv((char **)dns);
        g_assert_true(read_lan("{\"uplink\": \"nat\"}", lan_text, &nat));
        expect(lan_hosts(hosts), "52:00:00:00:00:01,set:h0,10.1.2.2,[fd00:1::5200:ff:fe00:1],web-1\n"
                                 "52:00:00:00:00:02,set:h1,[fd00:1::7],web-2\n");
        expect(lan_names(hosts), "10.1.2.2 web-1\nfd00:1::5200:ff:fe00:1 web-1\nfd00:1::7 web-2\n");
        expect(lan_options(&nat, hosts),
               "option:router,10.1.2.1\noption:dns-server,10.1.2.1\noption:domain-name,internal\noption:mtu,1500\n"
               "option6:dns-server,[fd00:1::1]\noption6:domain-search,internal\n"
               "tag:h1,option:netmask,255.255.0.0\ntag:h1,option:router,10.1.2.254\n"
               "tag:h1,option:dns-server,192.0.2.53\ntag:h1,option:domain-name,example\n"
               "tag:h1,option:domain-search,a.example,b\ntag:h1,option:mtu,1400\n"
               "tag:h1,option6:dns-server,[fd00::53]\ntag:h1,option6:domain-search,a.example,b\n");
        g_autofree char *config = lan_config(&nat, "/f", "/s", "nobody", "net0", NULL);
        g_assert_true(g_str_has_suffix(config, "\nenable-ra\ndhcp-range=fd00:1::,static,slaac,64,12h\n"));
        g_assert_true(read_lan("{}", lan_text, &alone));
        g_autofree char *no_way_out = lan_config(&alone, "/f", "/s", "nobody", "net0", NULL);
        g_assert_true(g_str_has_suffix(no_way_out, "\nra-param=net0,600,0\n"));
        g_assert_true(read_lan("{}",
                               "{\"subnet\": \"10.1.2.0/24\", \"ipv6_prefix\": \"fd00:1::/64\", "
                               "\"dhcp\": false, \"dns\": [\"10.1.2.9\"]}",
                               &silent));
        g_autofree char *only_names = lan_config(&silent, "/f", "/s", "nobody", "net0", NULL);
        g_autofree char *kept_back = lan_options(&silent, hosts);
        g_assert_null(strstr(only_names, "enable-ra"));
        g_assert_nonnull(strstr(kept_back, "\noption6:dns-server\n"));
}

/* Nobody is named as the way out where there is none. */
static void test_no_gateway(void)
{
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        g_auto(Lan) lan = {0};
        g_assert_true(read_lan("{}", "{\"subnet\": \"10.1.2.0/24\", \"dhcp\": false}", &lan));
        expect(lan_options(&lan, none), "option:router\noption:dns-server,10.1.2.1\noption:domain-name,internal\n"
                                        "option:mtu,1500\n");
        g_autofree char *config = lan_config(&lan, "/f", "/s", "nobody", "net0", NULL);
        g_assert_null(strstr(config, "dhcp"));
        g_assert_null(strstr(config, "server="));
}

/* ---- NAT ---- */

static json_t *objects_of(const char *text)
{
        json_t *json = json_loads(text, 0, NULL);
        g_assert_nonnull(json);
        return json;
}

/* What nft would list after it was told @commands. */
static json_t *listed(const json_t *commands)
{
        json_t *objects = json_array(), *command;
        size_t i;
        json_array_foreach (commands, i, command) {
                json_t *added = json_object_get(command, "add");
                if (json_object_get(command, "delete"))
                        json_array_clear(objects);
                else
                        json_array_append(objects, added);
        }
        return json_pack("{s:o}", "nftables", objects);
}

static void test_nat_table(void)
{
        NatLan lan = {"hsg1", subnet_of("10.1.2.0/24")};
        json_auto_t *commands = nat_table("ip", "t", &lan, 1);
        char *text = json_dumps(commands, JSON_COMPACT | JSON_SORT_KEYS);
        g_assert_nonnull(strstr(text, "{\"delete\":{\"table\":{\"family\":\"ip\",\"name\":\"t\"}}}"));
        g_assert_nonnull(strstr(text, "{\"masquerade\":null}"));
        free(text);
        g_assert_cmpint(json_array_size(commands), ==, 2 + 3 + 4);
        json_auto_t *none = nat_table("ip", "t", NULL, 0);
        g_assert_cmpint(json_array_size(none), ==, 2);
}

static void check_difference(json_t *ruleset, const NatLan *lans, guint n_lans, bool own, size_t others)
{
        json_t *foreign = NULL;
        json_t *commands = nat_difference(ruleset, "t", lans, n_lans, &foreign);
        g_assert_cmpint(commands != NULL, ==, own);
        g_assert_cmpint(json_array_size(foreign), ==, others);
        json_decref(commands);
        json_decref(foreign);
}

static void test_nat_difference(void)
{
        NatLan lan = {"hsg1", subnet_of("10.1.2.0/24")}, other = {"hsg1", subnet_of("10.1.3.0/24")};
        json_auto_t *commands = nat_table("ip", "t", &lan, 1);
        json_auto_t *ruleset = listed(commands);
        json_auto_t *empty = objects_of("{\"nftables\": []}");
        check_difference(empty, NULL, 0, false, 0);
        check_difference(empty, &lan, 1, true, 0);
        check_difference(ruleset, &lan, 1, false, 0);
        check_difference(ruleset, &other, 1, true, 0);
        check_difference(ruleset, NULL, 0, true, 0);
        json_array_remove(json_object_get(ruleset, "nftables"),
                          json_array_size(json_object_get(ruleset, "nftables")) - 1);
        check_difference(ruleset, &lan, 1, true, 0);
}

/* IPv6 has a table and rules of its own, while a LAN has a prefix. */
static void test_nat_v6(void)
{
        static const char chain[] = "{\"chain\": {\"family\": \"ip6\", \"table\": \"fw\", \"name\": \"FORWARD\", "
                                    "\"hook\": \"forward\", \"policy\": \"drop\"}}";
        NatLan lan = {"hsg1", subnet_of("10.1.2.0/24")}, both = lan;
        both.has_prefix = true;
        both.prefix = subnet_of("fd00:1::/64");
        json_auto_t *empty = objects_of("{\"nftables\": []}");
        json_t *foreign = NULL;
        json_auto_t *commands = nat_difference(empty, "t", &both, 1, &foreign);
        char *text = json_dumps(commands, JSON_COMPACT | JSON_SORT_KEYS);
        g_assert_nonnull(strstr(text, "{\"prefix\":{\"addr\":\"fd00:1::\",\"len\":64}}"));
        g_assert_nonnull(strstr(text, "{\"field\":\"saddr\",\"protocol\":\"ip6\"}"));
        free(text);
        g_assert_cmpint(json_array_size(commands), ==, 2 * (2 + 3 + 4));
        json_auto_t *v4 = nat_table("ip", "t", &both, 1), *v6 = nat_table("ip6", "t", &both, 1);
        json_auto_t *ruleset = listed(v4), *ruleset6 = listed(v6);
        check_difference(ruleset, &both, 1, true, 0);
        json_array_extend(json_object_get(ruleset, "nftables"), json_object_get(ruleset6, "nftables"));
        check_difference(ruleset, &both, 1, false, 0);
        check_difference(ruleset, &lan, 1, true, 0);
        json_array_append_new(json_object_get(ruleset, "nftables"), objects_of(chain));
        check_difference(ruleset, &both, 1, false, 2);
}

/* A bridge needs no table of ours, but one rule in each forward chain, IPv6's too. */
static void test_nat_bridged(void)
{
        static const char chain[] = "{\"chain\": {\"family\": \"ip6\", \"table\": \"fw\", \"name\": \"FORWARD\", "
                                    "\"hook\": \"forward\", \"policy\": \"drop\"}}";
        NatLan lans[] = {{.device = "hsu1", .bridged = true}, {"hsg1", subnet_of("10.1.2.0/24"), false}};
        json_auto_t *ruleset = json_pack("{s:[o]}", "nftables", objects_of(chain));
        check_difference(ruleset, lans, 1, false, 1);
        check_difference(ruleset, lans, 2, true, 1);
}

/* What takes a card's place is undone in the order of which ip(8) needs it. */
static void test_uplink_lines(void)
{
        Uplink *uplink = uplink_new("lan", "eth1");
        json_auto_t *facts = objects_of(
            "{\"link\": {\"address\": \"02:00:00:00:00:01\", \"mtu\": 9000, \"flags\": [\"UP\"]}, \"addresses\": ["
            "{\"family\": \"inet\", \"local\": \"192.0.2.1\", \"prefixlen\": 24, \"scope\": \"global\"},"
            "{\"family\": \"inet6\", \"local\": \"fd00::1\", \"prefixlen\": 64, \"scope\": \"global\", \"dynamic\": "
            "true},"
            "{\"family\": \"inet6\", \"local\": \"fe80::1\", \"prefixlen\": 64, \"scope\": \"link\"}],"
            "\"routes\": [{\"dst\": \"default\", \"gateway\": \"198.51.100.1\", \"metric\": 5},"
            "{\"dst\": \"198.51.100.1\", \"scope\": \"253\"}, {\"dst\": \"192.0.2.0/24\", \"protocol\": \"2\"}],"
            "\"routes6\": []}");
        g_autofree char *there = uplink_there(uplink, facts), *back = uplink_back(uplink, facts);
        g_assert_nonnull(strstr(there, "address 02:00:00:00:00:01 mtu 9000 type bridge"));
        g_assert_true(g_str_has_suffix(there,
                                       "link set eth1 up\naddr add 192.0.2.1/24 dev hsu094a367b0262\n"
                                       "route replace 198.51.100.1 dev hsu094a367b0262 scope 253\n"
                                       "route replace 0.0.0.0/0 via 198.51.100.1 dev hsu094a367b0262 metric 5\n"));
        g_assert_null(strstr(there, "fd00::1"));
        g_assert_null(strstr(there, "fe80::1"));
        g_assert_true(g_str_has_prefix(back, "link set eth1 nomaster\n"));
        g_assert_true(g_str_has_suffix(back, "addr add 192.0.2.1/24 dev eth1\naddr add fe80::1/64 dev eth1 nodad\n"
                                             "route replace 198.51.100.1 dev eth1 scope 253\n"
                                             "route replace 0.0.0.0/0 via 198.51.100.1 dev eth1 metric 5\n"));
        uplink_free(uplink);
}

/* A chain of others that forwards gets two rules, once; with the LAN they go. */
static void test_nat_others(void)
{
        static const char chain[] = "{\"chain\": {\"family\": \"inet\", \"table\": \"fw\", \"name\": \"FORWARD\", "
                                    "\"hook\": \"forward\", \"policy\": \"drop\"}}";
        NatLan lan = {"hsg1", subnet_of("10.1.2.0/24")};
        json_auto_t *commands = nat_table("ip", "t", &lan, 1);
        json_auto_t *ruleset = listed(commands);
        json_t *objects = json_object_get(ruleset, "nftables"), *foreign = NULL;
        json_array_append_new(objects, objects_of(chain));
        check_difference(ruleset, &lan, 1, false, 2);
        g_assert_null(nat_difference(ruleset, "t", &lan, 1, &foreign));
        for (size_t i = 0; i < 2; i++) {
                json_t *rule = json_object_get(json_object_get(json_array_get(foreign, i), "insert"), "rule");
                json_object_set_new(rule, "handle", json_integer(7));
                json_array_append_new(objects, json_pack("{s:O}", "rule", rule));
        }
        json_decref(foreign);
        check_difference(ruleset, &lan, 1, false, 0);
        check_difference(ruleset, NULL, 0, true, 2);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/lan/subnets", test_lan_subnets);
        g_test_add_func("/lan/hosts", test_hosts);
        g_test_add_func("/lan/prefixes", test_prefixes);
        g_test_add_func("/lan/overlaps", test_overlaps);
        g_test_add_func("/lan/masks", test_masks);
        g_test_add_func("/lan/choice", test_choice);
        g_test_add_func("/lan/declared", test_lans);
        g_test_add_func("/lan/dnsmasq", test_dnsmasq);
        g_test_add_func("/lan/dnsmasq-v6", test_dnsmasq6);
        g_test_add_func("/lan/no-gateway", test_no_gateway);
        g_test_add_func("/nat/table", test_nat_table);
        g_test_add_func("/nat/difference", test_nat_difference);
        g_test_add_func("/nat/v6", test_nat_v6);
        g_test_add_func("/nat/others", test_nat_others);
        g_test_add_func("/nat/bridged", test_nat_bridged);
        g_test_add_func("/uplink/lines", test_uplink_lines);
        return g_test_run();
}
