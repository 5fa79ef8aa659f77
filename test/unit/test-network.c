/*
 * Policies, VLANs and the flow compiler: the flows of a few switches as they are committed, and those of random ones,
 * carried out frame by frame, against a plain description of who gets what.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/record.h"
#include "network/compile.h"
#include "network/policy.h"
#include "unit/flow-walk.h"

enum { MODELS = 400, FRAMES = 150, PORTS = 9 };

/* ---- text ---- */

static void test_vlans(void)
{
        static const struct {
                const char *text;
                int64_t native;
                bool good;
                VlanMode mode;
                uint16_t has, has_not;
        } cases[] = {
            {NULL, HOSTLER_UNSET, true, VLAN_ACCESS, 0, 1},
            {"none", HOSTLER_UNSET, true, VLAN_ACCESS, 0, 1},
            {"0", HOSTLER_UNSET, true, VLAN_ACCESS, 0, 4094},
            {"4094", HOSTLER_UNSET, true, VLAN_ACCESS, 4094, 0},
            {"4095", HOSTLER_UNSET, true, VLAN_ALL, 77, 0xffff},
            {"all", HOSTLER_UNSET, true, VLAN_ALL, 0, 0xffff},
            {"trunk:10,20-30", HOSTLER_UNSET, true, VLAN_TRUNK, 25, 31},
            {"trunk:10", 5, true, VLAN_TRUNK, 5, 0},
            {"trunk:0", HOSTLER_UNSET, false, 0, 0, 0},
            {"trunk:30-20", HOSTLER_UNSET, false, 0, 0, 0},
            {"trunk:1-4095", HOSTLER_UNSET, false, 0, 0, 0},
            {"trunk:", HOSTLER_UNSET, false, 0, 0, 0},
            {"4096", HOSTLER_UNSET, false, 0, 0, 0},
            {"-1", HOSTLER_UNSET, false, 0, 0, 0},
            {"10", 5, false, 0, 0, 0},
        };
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GError) error = NULL;
                Vlans vlans;
                g_assert_cmpint(vlans_parse(cases[i].text, cases[i].native, &vlans, &error), ==, cases[i].good);
                g_assert_cmpint(error_is(error, HOSTLER_ERROR_INVALID), ==, !cases[i].good);
                if (!cases[i].good)
                        continue;
                g_assert_cmpint(vlans.mode, ==, cases[i].mode);
                g_assert_true(vlans_have(&vlans, cases[i].has));
                g_assert_true(cases[i].has_not == 0xffff || !vlans_have(&vlans, cases[i].has_not));
        }
}

static void test_addresses(void)
{
        Mac mac;
        IpAddress address;
        g_assert_true(mac_parse("52:54:00:aB:01:ff", &mac) && mac.bytes[3] == 0xab);
        g_assert_false(mac_parse("52:54:00:ab:01", &mac) || mac_parse("52:54:00:ab:01:ff:", &mac) ||
                       mac_parse("5:54:00:ab:01:fff", &mac));
        g_assert_true(ip_parse("10.0.0.1", &address) && !address.v6 && address.bytes[3] == 1);
        g_assert_true(ip_parse("fd00::7", &address) && address.v6 && address.bytes[15] == 7);
        g_assert_false(ip_parse("10.0.0", &address) || ip_parse("fd00::g", &address));
}

/* ---- inheritance ---- */

static json_t *level(const char *text)
{
        g_autofree char *json = g_strdelimit(g_strdup(text), "'", '"');
        json_t *value = json_loads(json, 0, NULL);
        g_assert_nonnull(value);
        return value;
}

static void test_policy(void)
{
        json_auto_t *of_switch = level("{'forged_transmits': 'reject', 'mac_changes': 'reject', 'rate_to_vm': 1000}");
        json_auto_t *of_group = level("{'forged_transmits_udp': 'accept', 'promiscuous': ['multicast', 'broadcast']}");
        json_auto_t *of_port = level("{'mac_changes': 'accept', 'promiscuous_scope': 'switch'}");
        const json_t *levels[POLICY_LEVELS] = {NULL, of_switch, of_group, of_port};
        Policy policy;
        PolicyLevel from;
        policy_resolve(levels, &policy);
        g_assert_true(!policy.forged && !policy.forged_tcp && policy.forged_udp && policy.mac_changes);
        g_assert_cmpuint(policy.promiscuous, ==, CLASS_MULTICAST | CLASS_BROADCAST);
        g_assert_cmpint(policy.scope, ==, HOSTLER_PROMISCUOUS_SCOPE_SWITCH);
        g_assert_cmpint(policy.when, ==, HOSTLER_PROMISCUOUS_WHEN_ASKED);
        g_assert_cmpuint(policy.to_vm.kbps, ==, 1000);
        g_assert_cmpuint(policy.to_vm.burst_kbit, ==, 100);
        g_assert_cmpuint(policy.from_vm.kbps, ==, 0);
        json_auto_t *forged = policy_origin(levels, "forged_transmits_tcp", &from);
        g_assert_cmpstr(json_string_value(forged), ==, "reject");
        g_assert_cmpint(from, ==, LEVEL_SWITCH);
        json_auto_t *none = policy_origin(levels, "dhcp_server", &from);
        g_assert_null(none);
        g_assert_cmpint(from, ==, LEVEL_DEFAULT);
}

/* What is said of all forged frames nearby is stronger than what is said of UDP further away. */
static void test_policy_near(void)
{
        json_auto_t *of_group = level("{'forged_transmits_udp': 'accept', 'promiscuous': ['accept']}");
        json_auto_t *of_port = level("{'forged_transmits': 'reject', 'promiscuous': ['reject']}");
        const json_t *levels[POLICY_LEVELS] = {NULL, NULL, of_group, of_port};
        Policy policy;
        policy_resolve(levels, &policy);
        g_assert_true(!policy.forged && !policy.forged_tcp && !policy.forged_udp);
        g_assert_cmpuint(policy.promiscuous, ==, 0);
}

static void test_defaults(void)
{
        const json_t *levels[POLICY_LEVELS] = {NULL};
        Policy policy;
        policy_resolve(levels, &policy);
        g_assert_true(policy.promiscuous == 0 && policy.mac_changes && policy.forged && policy.forged_tcp &&
                      policy.forged_udp && policy.traffic && policy.mac_spoofing && policy.address_spoofing);
}

static void test_policy_faults(void)
{
        static const char *const bad[] = {"{'promiscuous': ['reject', 'unicast']}",
                                          "{'promiscuous': ['unicast', 'accept']}",
                                          "{'promiscuous': ['unicast', 'unicast']}"};
        for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
                json_auto_t *policy = level(bad[i]);
                g_autoptr(GPtrArray) faults = faults_new();
                policy_check(policy, "/spec", faults);
                g_assert_cmpuint(faults->len, ==, 1);
        }
}

/* ---- random switches ---- */

static const uint16_t some_vids[] = {0, 10, 20};
static const Mac some_group = {{0x01, 0, 0x5e, 0, 0, 7}};

static Mac mac_of(int number)
{
        return (Mac){{2, 0, 0, 0, 0, number}};
}

static bool half(GRand *rand)
{
        return g_rand_boolean(rand);
}

static void random_vlans(GRand *rand, Vlans *vlans)
{
        static const char *const texts[] = {"none", "10", "20", "trunk:10,20", "trunk:10", "all"};
        const char *text = texts[g_rand_int_range(rand, 0, G_N_ELEMENTS(texts))];
        bool native = g_str_has_prefix(text, "trunk:") && half(rand);
        g_assert_true(vlans_parse(text, native ? 20 : HOSTLER_UNSET, vlans, NULL));
}

static void random_policy(GRand *rand, Policy *policy)
{
        *policy = (Policy){
            .promiscuous = half(rand) ? 0 : (unsigned)g_rand_int_range(rand, 0, 8),
            .scope = g_rand_int_range(rand, HOSTLER_PROMISCUOUS_SCOPE_PORTGROUP, HOSTLER_PROMISCUOUS_SCOPE_SWITCH + 1),
            .when = half(rand) ? HOSTLER_PROMISCUOUS_WHEN_ASKED : HOSTLER_PROMISCUOUS_WHEN_ALWAYS,
            .mac_changes = half(rand),
            .forged = half(rand),
            .forged_tcp = half(rand),
            .forged_udp = half(rand),
            .mac_spoofing = half(rand),
            .address_spoofing = half(rand),
            .dhcp_server = half(rand),
            .router_advertisement = true,
            .traffic = g_rand_int_range(rand, 0, 8) != 0,
            .from_vm.kbps = half(rand) ? 0 : 1000,
        };
}

static const IpAddress some_address = {.bytes = {10, 0, 0, 1}};

static void random_port(GRand *rand, uint32_t number, Port *port)
{
        *port = (Port){
            .number = number,
            .kind = number == 1   ? PORT_UPLINK
                    : number == 2 ? PORT_SERVICE
                                  : PORT_ADAPTER,
            .group = g_rand_int_range(rand, 0, 3),
            .isolated = number > 2 && half(rand) && half(rand),
            .copies_only = number > 2 && g_rand_int_range(rand, 0, 8) == 0,
            .mac = mac_of(number),
            .addresses = &some_address,
            .n_addresses = 1,
        };
        random_vlans(rand, &port->vlans);
        random_policy(rand, &port->policy);
        port->filter = (RxFilter){
            .known = half(rand),
            .mac = half(rand) ? port->mac : mac_of(g_rand_int_range(rand, 2, PORTS + 3)),
            .promiscuous = half(rand),
            .all_multicast = half(rand) && half(rand),
            .groups = &some_group,
            .n_groups = half(rand),
        };
}

static void random_frame(GRand *rand, Frame *frame)
{
        static const Mac others[] = {{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
                                     {{1, 0, 0x5e, 0, 0, 7}},
                                     {{1, 0, 0x5e, 0, 0, 8}},
                                     {{1, 0x80, 0xc2, 0, 0, 0}}};
        int to = g_rand_int_range(rand, 2, PORTS + 8);
        *frame = (Frame){
            .source = half(rand) && half(rand) ? others[1] : mac_of(g_rand_int_range(rand, 2, PORTS + 3)),
            .destination = to < PORTS + 4 ? mac_of(to) : others[to - PORTS - 4],
            .vid = half(rand) ? 0 : some_vids[g_rand_int_range(rand, 0, 3)],
            .kind = g_rand_int_range(rand, FRAME_TCP, FRAME_OTHER + 1),
            .address = {10, 0, 0, half(rand) ? 1 : 2},
            .udp_from = half(rand) ? 67 : 1000,
            .udp_to = 68,
        };
}

/* ---- who gets what, said plainly ---- */

static bool is_in(const Port *port, uint16_t vid)
{
        return port->kind == PORT_UPLINK || vlans_have(&port->vlans, vid);
}

static bool changed(const Port *port)
{
        return port->kind == PORT_ADAPTER && port->filter.known && !mac_equal(&port->filter.mac, &port->mac);
}

static const Mac *rightful(const Port *port)
{
        return changed(port) && port->policy.mac_changes ? &port->filter.mac : &port->mac;
}

/* The VLAN a frame from @port is in; -1: it is refused. */
static int vlan_of(const Port *port, const Frame *frame)
{
        if (port->kind == PORT_UPLINK || port->vlans.mode == VLAN_ALL)
                return frame->vid;
        if (port->vlans.mode == VLAN_ACCESS)
                return frame->vid ? -1 : port->vlans.vid;
        if (frame->vid == 0)
                return port->vlans.vid ? port->vlans.vid : -1;
        return vlans_have(&port->vlans, frame->vid) ? frame->vid : -1;
}

static bool is_anothers(const SwitchModel *model, const Port *sender, const Mac *mac)
{
        if (mac_equal(mac, &sender->mac))
                return false;
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                if (port->kind != PORT_UPLINK && (mac_equal(mac, &port->mac) || mac_equal(mac, rightful(port))))
                        return true;
        }
        return false;
}

static bool may_send(const SwitchModel *model, const Port *sender, const Frame *frame)
{
        const Policy *policy = &sender->policy;
        if (frame->source.bytes[0] & 1)
                return false;
        if (sender->kind != PORT_ADAPTER)
                return true;
        bool forged = !mac_equal(&frame->source, rightful(sender));
        bool forging = frame->kind == FRAME_TCP   ? policy->forged_tcp
                       : frame->kind == FRAME_UDP ? policy->forged_udp
                                                  : policy->forged;
        bool own_address = frame->kind == FRAME_OTHER || frame->address[3] == 1;
        bool answers = frame->kind == FRAME_UDP && frame->udp_from == 67 && frame->udp_to == 68;
        if (frame->kind == FRAME_ARP)
                own_address = own_address && mac_equal(&frame->source, &sender->mac);
        return !sender->copies_only && policy->traffic && (!forged || forging) &&
               (!forged || policy->mac_spoofing || !is_anothers(model, sender, &frame->source)) &&
               (policy->address_spoofing || own_address) && (policy->dhcp_server || !answers);
}

/* Who answers to @mac in @vid among ports that have every VLAN, or among those that have not. */
static const Port *holder(const SwitchModel *model, int vid, const Mac *mac, bool every_vlan)
{
        for (int pass = 0; pass < 2; pass++) {
                for (guint i = 0; i < model->n_ports; i++) {
                        const Port *port = &model->ports[i];
                        const Mac *has = pass == 0 ? &port->mac : rightful(port);
                        if (port->kind == PORT_UPLINK || (port->vlans.mode == VLAN_ALL) != every_vlan ||
                            !is_in(port, vid) || !mac_equal(has, mac))
                                continue;
                        return mac_equal(rightful(port), mac) ? port : NULL;
                }
        }
        return NULL;
}

static const Port *owner_of(const SwitchModel *model, int vid, const Mac *mac)
{
        const Port *port = holder(model, vid, mac, false);
        return port ? port : holder(model, vid, mac, true);
}

static bool gets_group(const Port *port, const Mac *group)
{
        return port->kind != PORT_ADAPTER || !port->filter.known || port->filter.all_multicast ||
               (port->filter.n_groups && mac_equal(&port->filter.groups[0], group));
}

static bool overhears(const Port *port, const Port *sender, const Port *owner, unsigned class, int vid)
{
        const Policy *policy = &port->policy;
        bool asks = policy->when == HOSTLER_PROMISCUOUS_WHEN_ALWAYS || !port->filter.known || port->filter.promiscuous;
        if (port->kind != PORT_ADAPTER || !(policy->promiscuous & class) || !asks)
                return false;
        if (policy->scope == HOSTLER_PROMISCUOUS_SCOPE_SWITCH)
                return true;
        bool of_group = port->group && (sender->group == port->group || (owner && owner->group == port->group));
        return is_in(port, vid) && (policy->scope == HOSTLER_PROMISCUOUS_SCOPE_VLAN || of_group);
}

static bool may_receive(const Port *port, const Port *sender)
{
        return port != sender && !(port->isolated && sender->isolated) && !port->copies_only &&
               (port->kind != PORT_ADAPTER || (port->policy.traffic && (port->policy.mac_changes || !changed(port))));
}

/* The tag a port gets frames of @vid with; 0: none. */
static uint16_t tag_for(const Port *port, uint16_t vid)
{
        bool strips = port->kind != PORT_UPLINK && port->vlans.mode != VLAN_ALL && port->vlans.vid == vid;
        return strips ? 0 : vid;
}

/* Appends Delivery in the order of ports. */
static void expect(const SwitchModel *model, const Port *sender, const Frame *frame, GArray *deliveries)
{
        int vid = vlan_of(sender, frame);
        const uint8_t *to = frame->destination.bytes;
        bool all = to[0] == 0xff, group = to[0] & 1, reserved = to[0] == 1 && to[1] == 0x80;
        unsigned class = all ? CLASS_BROADCAST : group ? CLASS_MULTICAST : CLASS_UNICAST;
        if (vid < 0 || reserved || !may_send(model, sender, frame))
                return;
        const Port *owner = group ? NULL : owner_of(model, vid, &frame->destination);
        for (guint i = 0; i < model->n_ports; i++) {
                const Port *port = &model->ports[i];
                bool meant = all     ? is_in(port, vid)
                             : group ? is_in(port, vid) && gets_group(port, &frame->destination)
                             : owner ? port == owner
                                     : port->kind == PORT_UPLINK;
                if ((!meant && !overhears(port, sender, owner, class, vid)) || !may_receive(port, sender))
                        continue;
                Delivery delivery = {.port = port->number, .vid = tag_for(port, vid)};
                g_array_append_val(deliveries, delivery);
        }
}

static char *deliveries_text(const GArray *deliveries)
{
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < deliveries->len; i++) {
                const Delivery *one = &g_array_index(deliveries, Delivery, i);
                g_string_append_printf(text, "%u/%u ", one->port, one->vid);
        }
        return g_string_free(text, FALSE);
}

static int by_port(gconstpointer a, gconstpointer b)
{
        return (int)((const Delivery *)a)->port - (int)((const Delivery *)b)->port;
}

static void check_frame(const SwitchModel *model, const FlowTable *table, const Port *sender, const Frame *frame)
{
        g_autoptr(GArray) expected = g_array_new(FALSE, FALSE, sizeof(Delivery));
        g_autoptr(GArray) seen = g_array_new(FALSE, FALSE, sizeof(Delivery));
        expect(model, sender, frame, expected);
        flow_walk(table, sender->number, frame, seen);
        g_array_sort(seen, by_port);
        g_autofree char *wanted = deliveries_text(expected), *got = deliveries_text(seen);
        if (strcmp(wanted, got) != 0) {
                g_autofree char *from = mac_text(&frame->source), *to = mac_text(&frame->destination);
                g_autofree char *flows = flow_table_text(table);
                g_test_message("from port %u: %s to %s vid %u kind %d\n%s", sender->number, from, to, frame->vid,
                               frame->kind, flows);
        }
        g_assert_cmpstr(got, ==, wanted);
}

static void test_random(void)
{
        g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());
        for (int round = 0; round < MODELS; round++) {
                g_autoptr(GError) error = NULL;
                Port ports[PORTS];
                SwitchModel model = {.ports = ports, .n_ports = PORTS};
                for (int i = 0; i < PORTS; i++)
                        random_port(rand, i + 1, &ports[i]);
                g_autoptr(FlowTable) table = switch_compile(&model, &error);
                g_assert_no_error(error);
                for (int i = 0; i < FRAMES; i++) {
                        Frame frame;
                        random_frame(rand, &frame);
                        check_frame(&model, table, &ports[g_rand_int_range(rand, 0, PORTS)], &frame);
                }
        }
}

/* ---- many ports ---- */

/* Long lists go in pieces, and still reach each port once. */
static void test_many(void)
{
        g_autoptr(GError) error = NULL;
        enum { MANY = 2000 };
        g_autofree Port *ports = g_new0(Port, MANY);
        g_autoptr(GArray) seen = g_array_new(FALSE, FALSE, sizeof(Delivery));
        Frame frame = {
            .source = {{2, 1, 0, 0, 0, 0}}, .destination = {{255, 255, 255, 255, 255, 255}}, .kind = FRAME_OTHER};
        const json_t *levels[POLICY_LEVELS] = {NULL};
        for (int i = 0; i < MANY; i++) {
                ports[i] = (Port){.number = i + 1, .kind = PORT_ADAPTER, .mac = {{2, 1, 0, 0, i >> 8, i & 0xff}}};
                policy_resolve(levels, &ports[i].policy);
        }
        SwitchModel model = {.ports = ports, .n_ports = MANY};
        g_autoptr(FlowTable) table = switch_compile(&model, &error);
        g_assert_no_error(error);
        flow_walk(table, 1, &frame, seen);
        g_array_sort(seen, by_port);
        g_assert_cmpuint(seen->len, ==, MANY - 1);
        for (guint i = 0; i < seen->len; i++)
                g_assert_cmpuint(g_array_index(seen, Delivery, i).port, ==, i + 2);
}

static void test_too_many_listeners(void)
{
        g_autoptr(GError) error = NULL;
        g_autofree Port *ports = g_new0(Port, LISTENERS_MAX + 1);
        for (int i = 0; i <= LISTENERS_MAX; i++) {
                ports[i] = (Port){.number = i + 1, .kind = PORT_ADAPTER, .mac = mac_of(i)};
                ports[i].policy = (Policy){.promiscuous = CLASS_ALL, .when = HOSTLER_PROMISCUOUS_WHEN_ALWAYS};
        }
        SwitchModel model = {.ports = ports, .n_ports = LISTENERS_MAX + 1};
        FlowTable *table = switch_compile(&model, &error);
        g_assert_true(error_is(error, HOSTLER_ERROR_NO_CAPACITY));
        g_assert_null(table);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/network/vlans", test_vlans);
        g_test_add_func("/network/addresses", test_addresses);
        g_test_add_func("/network/policy", test_policy);
        g_test_add_func("/network/policy-near", test_policy_near);
        g_test_add_func("/network/policy-defaults", test_defaults);
        g_test_add_func("/network/policy-faults", test_policy_faults);
        g_test_add_func("/network/random", test_random);
        g_test_add_func("/network/many", test_many);
        g_test_add_func("/network/too-many-listeners", test_too_many_listeners);
        return g_test_run();
}
