/*
 * Each policy on a real switch, with frames: who gets what, in how many copies, with which tag.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "network/datapath.h"
#include "switch/rig.h"

static Rig rig;

static void check(int from, RigFrame frame, const char *expected)
{
        g_autofree char *got = rig_send(&rig, from, &frame);
        g_assert_cmpstr(got, ==, expected);
}

/* An ordinary frame of adapter @from to adapter @to. */
static RigFrame frame_to(int from, Mac to)
{
        return (RigFrame){.from = rig_mac(from), .to = to, .kind = RIG_UDP, .address = from};
}

/* What its guest has asked for. */
static void ask(int n, RxFilter filter)
{
        g_autofree char *part = g_strdup_printf("nic%d", n);
        filter.known = true;
        network_set_filter(rig.network, "rig", part, &filter);
}

static void set_filter(int n, RxFilter filter)
{
        ask(n, filter);
        rig_apply(&rig);
}

/* Every test begins with adapters 1 to 4 in one VLAN, without policies. */
static void begin(void)
{
        rig_switch(&rig, "{}");
        rig_group(&rig, "web", "{'vlan': '10'}");
        rig_group(&rig, "db", "{'vlan': '20'}");
        for (int i = 1; i <= 4; i++) {
                rig_adapter(&rig, i, "web", "{}");
                ask(i, (RxFilter){.mac = rig_mac(i), .all_multicast = true});
        }
        rig_unplug(&rig, 5);
        rig_apply(&rig);
}

static void test_plain(void)
{
        begin();
        check(1, frame_to(1, rig_mac(2)), "2");
        check(2, frame_to(2, rig_mac(1)), "1");
        check(1, frame_to(1, RIG_BROADCAST), "2 3 4");
        check(1, frame_to(1, RIG_GROUP), "2 3 4");
        check(1, frame_to(1, (Mac){{2, 0, 0, 0, 0, 99}}), "");
        check(1, frame_to(1, (Mac){{1, 0x80, 0xc2, 0, 0, 0x0e}}), "");
}

static void test_vlans(void)
{
        RigFrame tagged = frame_to(1, RIG_BROADCAST);
        begin();
        rig_group(&rig, "trunk", "{'vlan': 'trunk:10,20', 'native_vlan': 30}");
        rig_group(&rig, "all", "{'vlan': 'all'}");
        rig_adapter(&rig, 2, "db", "{}");
        rig_adapter(&rig, 3, "trunk", "{}");
        rig_adapter(&rig, 4, "all", "{}");
        check(1, frame_to(1, RIG_BROADCAST), "3:10 4:10");
        check(2, frame_to(2, RIG_BROADCAST), "3:20 4:20");
        check(1, frame_to(1, rig_mac(2)), "");
        check(3, frame_to(3, RIG_BROADCAST), "4:30");
        tagged.tag = 20;
        check(1, tagged, "");
        tagged.from = rig_mac(3);
        check(3, tagged, "2 4:20");
        tagged.tag = 30;
        tagged.from = rig_mac(4);
        check(4, tagged, "3");
        tagged.tag = 40;
        tagged.from = rig_mac(3);
        check(3, tagged, "");
        rig_adapter(&rig, 2, "db", "{'vlan': '10'}");
        check(1, frame_to(1, rig_mac(2)), "2");
}

static void test_isolated(void)
{
        begin();
        rig_group(&rig, "apart", "{'vlan': '10', 'isolated': true}");
        rig_adapter(&rig, 1, "apart", "{}");
        rig_adapter(&rig, 2, "apart", "{}");
        check(1, frame_to(1, RIG_BROADCAST), "3 4");
        check(1, frame_to(1, rig_mac(2)), "");
        check(3, frame_to(3, rig_mac(1)), "1");
}

/* ---- what may be sent ---- */

static void test_forged(void)
{
        static const RigKind kinds[] = {RIG_TCP, RIG_TCP6, RIG_UDP, RIG_UDP6, RIG_PLAIN};
        static const struct {
                const char *policy;
                bool passes[G_N_ELEMENTS(kinds)];
        } cases[] = {
            {"{}", {true, true, true, true, true}},
            {"{'forged_transmits': 'reject'}", {false, false, false, false, false}},
            {"{'forged_transmits_tcp': 'reject'}", {false, false, true, true, true}},
            {"{'forged_transmits_udp': 'reject'}", {true, true, false, false, true}},
            {"{'forged_transmits': 'reject', 'forged_transmits_tcp': 'accept'}", {true, true, false, false, false}},
            {"{'forged_transmits': 'reject', 'forged_transmits_udp': 'accept'}", {false, false, true, true, false}},
        };
        begin();
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                rig_adapter(&rig, 1, "web", cases[i].policy);
                for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
                        RigFrame frame = {
                            .from = {{2, 9, 9, 9, 9, 9}}, .to = rig_mac(2), .kind = kinds[k], .address = 1};
                        check(1, frame, cases[i].passes[k] ? "2" : "");
                        frame.from = rig_mac(1);
                        check(1, frame, "2");
                }
        }
}

/* Switch, then port group, then adapter: the nearest counts. */
static void test_inherited(void)
{
        RigFrame forged = {.from = {{2, 9, 9, 9, 9, 9}}, .to = rig_mac(2), .kind = RIG_PLAIN};
        begin();
        rig_switch(&rig, "{'forged_transmits': 'reject'}");
        rig_apply(&rig);
        check(1, forged, "");
        rig_group(&rig, "web", "{'vlan': '10', 'forged_transmits': 'accept'}");
        rig_apply(&rig);
        check(1, forged, "2");
        rig_adapter(&rig, 1, "web", "{'forged_transmits': 'reject'}");
        check(1, forged, "");
}

static void test_spoofed(void)
{
        RigFrame frame = {.from = rig_mac(3), .to = rig_mac(2), .kind = RIG_PLAIN};
        begin();
        check(1, frame, "2");
        rig_adapter(&rig, 1, "web", "{'mac_spoofing': 'reject'}");
        check(1, frame, "");
        frame.from = (Mac){{2, 9, 9, 9, 9, 9}};
        check(1, frame, "2");
        frame.from = RIG_GROUP;
        check(1, frame, "");
}

static void test_guard(void)
{
        static const RigKind kinds[] = {RIG_TCP, RIG_UDP, RIG_ARP, RIG_TCP6, RIG_NA};
        RigFrame frame = {.from = rig_mac(1), .to = rig_mac(2)};
        begin();
        rig_adapter(&rig, 1, "web", "{'address_spoofing': 'reject'}");
        for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
                bool guarded_v4 = kinds[i] == RIG_TCP || kinds[i] == RIG_UDP || kinds[i] == RIG_ARP;
                frame.kind = kinds[i];
                frame.address = 1;
                check(1, frame, guarded_v4 ? "2" : ""); /* it has no IPv6 address but its link-local one */
                frame.address = 3;
                check(1, frame, "");
        }
        frame.kind = RIG_PLAIN;
        check(1, frame, "2");
}

static void test_services(void)
{
        RigFrame offer = {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_DHCP_OFFER, .address = 1};
        RigFrame router = {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_RA, .address = 1};
        begin();
        check(1, offer, "2");
        check(1, router, "2");
        rig_adapter(&rig, 1, "web", "{'dhcp_server': 'reject'}");
        check(1, offer, "");
        check(1, router, "2");
        rig_adapter(&rig, 1, "web", "{'router_advertisement': 'reject'}");
        check(1, offer, "2");
        check(1, router, "");
}

static void test_blocked(void)
{
        begin();
        rig_adapter(&rig, 2, "web", "{'traffic': 'reject'}");
        check(1, frame_to(1, rig_mac(2)), "");
        check(2, frame_to(2, rig_mac(1)), "");
        rig_adapter(&rig, 2, "web", "{}");
        check(1, frame_to(1, rig_mac(2)), "2");
}

/* ---- changed addresses ---- */

static void test_mac_changes(void)
{
        Mac changed = {{2, 7, 7, 7, 7, 7}};
        begin();
        set_filter(2, (RxFilter){.mac = changed, .all_multicast = true});
        check(1, frame_to(1, changed), "2");
        check(1, frame_to(1, rig_mac(2)), "");
        rig_adapter(&rig, 2, "web", "{'mac_changes': 'reject'}");
        check(1, frame_to(1, changed), "");
        check(1, frame_to(1, rig_mac(2)), "");
        check(1, frame_to(1, RIG_BROADCAST), "3 4");
        set_filter(2, (RxFilter){.mac = rig_mac(2), .all_multicast = true});
        check(1, frame_to(1, rig_mac(2)), "2");
}

/* With a neighbour's address it gets none of the neighbour's frames. */
static void test_mac_stolen(void)
{
        begin();
        set_filter(2, (RxFilter){.mac = rig_mac(3), .all_multicast = true});
        check(1, frame_to(1, rig_mac(3)), "3");
}

static AdapterCounts counts_of(int n)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *part = g_strdup_printf("nic%d", n);
        AdapterCounts counts;
        network_counts(rig.network, "rig", part, &counts, &error);
        g_assert_no_error(error);
        return counts;
}

/* What Open vSwitch learned from the last frames counts within half a second. */
static void check_soon(int from, RigFrame frame, const char *expected)
{
        gint64 end_ms = clock_monotonic_ms() + 30000;
        g_autofree char *got = rig_send(&rig, from, &frame);
        while (strcmp(got, expected) != 0 && clock_monotonic_ms() < end_ms) {
                g_usleep(20000);
                g_free(got);
                got = rig_send(&rig, from, &frame);
        }
        g_assert_cmpstr(got, ==, expected);
}

/* An adapter that cannot tell is judged by what it sends. */
static void test_mac_learned(void)
{
        Mac changed = {{2, 7, 7, 7, 7, 7}};
        RigFrame own = frame_to(2, rig_mac(1)), moved = own, stolen = own;
        moved.from = changed;
        stolen.from = rig_mac(3);
        begin();
        rig.dumb[2] = true;
        rig_adapter(&rig, 2, "web", "{}");
        check(1, frame_to(1, changed), "");
        check(2, moved, "1");
        check_soon(1, frame_to(1, changed), "2");
        check(1, frame_to(1, rig_mac(2)), "2");
        check(2, stolen, "1");
        check(1, frame_to(1, rig_mac(3)), "3");
        rig_adapter(&rig, 2, "web", "{'mac_changes': 'reject'}");
        check_soon(1, frame_to(1, changed), "");
        check(2, own, "1");
        check_soon(1, frame_to(1, rig_mac(2)), "2");
        check(2, moved, "1");
        check_soon(1, frame_to(1, rig_mac(2)), "");
        check(1, frame_to(1, RIG_BROADCAST), "3 4");
        g_assert_cmpuint(counts_of(2).mac_changes, >, 0);
        check(2, own, "1");
        check_soon(1, frame_to(1, rig_mac(2)), "2");
        check_soon(1, frame_to(1, RIG_BROADCAST), "2 3 4");
        rig.dumb[2] = false;
}

/* ---- promiscuous ---- */

static void test_promiscuous_classes(void)
{
        static const struct {
                const char *classes;
                bool unicast, multicast;
        } cases[] = {{"'reject'", false, false},
                     {"'accept'", true, true},
                     {"'unicast'", true, false},
                     {"'multicast'", false, true},
                     {"'broadcast'", false, false},
                     {"'unicast', 'multicast'", true, true},
                     {"'unicast', 'broadcast'", true, false},
                     {"'multicast', 'broadcast'", false, true},
                     {"'unicast', 'multicast', 'broadcast'", true, true}};
        begin();
        set_filter(3, (RxFilter){.mac = rig_mac(3)}); /* it has joined no group */
        for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *policy =
                    g_strdup_printf("{'promiscuous': [%s], 'promiscuous_when': 'always'}", cases[i].classes);
                rig_adapter(&rig, 3, "web", policy);
                check(1, frame_to(1, rig_mac(2)), cases[i].unicast ? "2 3" : "2");
                check(1, frame_to(1, RIG_GROUP), cases[i].multicast ? "2 3 4" : "2 4");
                check(1, frame_to(1, RIG_BROADCAST), "2 3 4");
                check(1, frame_to(1, rig_mac(3)), "3");
        }
}

/* Three listeners with three scopes, and what they hear from inside and outside their port group and VLAN. */
static void test_promiscuous_scopes(void)
{
        static const char policy[] = "{'promiscuous': ['accept'], 'promiscuous_when': 'always', "
                                     "'promiscuous_scope': '%s'}";
        g_autofree char *group = g_strdup_printf(policy, "portgroup"), *vlan = g_strdup_printf(policy, "vlan");
        g_autofree char *all = g_strdup_printf(policy, "switch");
        begin();
        rig_group(&rig, "other", "{'vlan': '10'}");
        rig_adapter(&rig, 3, "web", group);
        rig_adapter(&rig, 4, "web", vlan);
        rig_adapter(&rig, 5, "web", all);
        rig_adapter(&rig, 2, "db", "{}");
        rig_adapter(&rig, 6, "other", "{}");
        check(1, frame_to(1, rig_mac(6)), "3 4 5 6"); /* from the group */
        check(6, frame_to(6, rig_mac(1)), "1 3 4 5"); /* to the group */
        check(6, frame_to(6, (Mac){{2, 0, 0, 0, 0, 99}}), "4 5");
        check(2, frame_to(2, (Mac){{2, 0, 0, 0, 0, 99}}), "5:20");
        check(2, frame_to(2, RIG_BROADCAST), "5:20");
        check(1, frame_to(1, RIG_BROADCAST), "3 4 5 6");
        rig_unplug(&rig, 6);
}

static void test_promiscuous_matrix(void)
{
        begin();
        classes_by_scopes(&rig);
}

/* vSphere's way: it hears while the guest asks. */
static void test_promiscuous_asked(void)
{
        begin();
        rig_adapter(&rig, 3, "web", "{'promiscuous': ['accept'], 'promiscuous_when': 'asked'}");
        check(1, frame_to(1, rig_mac(2)), "2");
        set_filter(3, (RxFilter){.mac = rig_mac(3), .promiscuous = true});
        check(1, frame_to(1, rig_mac(2)), "2 3");
        rig_adapter(&rig, 3, "web", "{}");
        check(1, frame_to(1, rig_mac(2)), "2");
}

static void test_groups(void)
{
        Mac joined = RIG_GROUP, other = {{1, 0, 0x5e, 0, 0, 8}};
        begin();
        set_filter(2, (RxFilter){.mac = rig_mac(2), .groups = &joined, .n_groups = 1});
        set_filter(3, (RxFilter){.mac = rig_mac(3)});
        check(1, frame_to(1, joined), "2 4");
        check(1, frame_to(1, other), "4");
        set_filter(3, (RxFilter){.mac = rig_mac(3), .all_multicast = true});
        check(1, frame_to(1, other), "3 4");
}

/* ---- counters, rates ---- */

static void test_counts(void)
{
        enum { SENT = 100, FORGED = 40 };
        g_autoptr(GError) error = NULL;
        AdapterCounts before, after;
        RigFrame forged = {.from = {{2, 9, 9, 9, 9, 9}}, .to = rig_mac(2), .kind = RIG_PLAIN},
                 own = frame_to(1, rig_mac(2));
        begin();
        rig_adapter(&rig, 1, "web", "{'forged_transmits': 'reject'}");
        rig_apply(&rig);
        network_counts(rig.network, "rig", "nic1", &before, &error);
        g_assert_no_error(error);
        g_assert_cmpint(rig_flood(&rig, 1, 2, &own, SENT), ==, SENT);
        g_assert_cmpint(rig_flood(&rig, 1, 2, &forged, FORGED), ==, 0);
        /* The counters of flows come with the switch's next look at them. */
        for (gint64 end = clock_monotonic_ms() + 30000; clock_monotonic_ms() < end;) {
                network_counts(rig.network, "rig", "nic1", &after, &error);
                g_assert_no_error(error);
                if (after.forged - before.forged >= FORGED)
                        break;
                g_usleep(50000);
        }
        g_assert_cmpuint(after.forged - before.forged, ==, FORGED);
        g_assert_cmpuint(after.tx_packets - before.tx_packets, ==, SENT + FORGED);
        /* Another change of its port does not begin them anew. */
        rig_adapter(&rig, 1, "web", "{'forged_transmits': 'reject', 'dhcp_server': 'reject'}");
        network_counts(rig.network, "rig", "nic1", &before, &error);
        g_assert_cmpuint(before.forged, ==, after.forged);
}

static void note_counts(const char *vm_id, const char *part, const AdapterCounts *counts, void *data)
{
        if (strcmp(part, "nic1") == 0)
                *(AdapterCounts *)data = *counts;
}

/* Set back, stopped and gone on with: to the packet. */
static void test_statistics(void)
{
        enum { SENT = 100 };
        g_autoptr(GError) error = NULL;
        RigFrame frame = frame_to(1, rig_mac(2));
        AdapterCounts listed = {0};
        begin();
        g_assert_cmpint(rig_flood(&rig, 1, 2, &frame, SENT), ==, SENT);
        network_counts_reset(rig.network, "rig", "nic1", &error);
        g_assert_no_error(error);
        g_assert_cmpuint(counts_of(1).tx_packets, ==, 0);
        g_assert_cmpint(rig_flood(&rig, 1, 2, &frame, SENT), ==, SENT);
        g_assert_cmpuint(counts_of(1).tx_packets, ==, SENT);
        g_assert_cmpuint(counts_of(1).tx_bytes, ==, SENT * 120);
        rig_adapter(&rig, 1, "web", "{'statistics': 'off'}");
        g_assert_cmpint(rig_flood(&rig, 1, 2, &frame, SENT), ==, SENT);
        g_assert_cmpuint(counts_of(1).tx_packets, ==, SENT);
        network_each_counts(rig.network, note_counts, &listed);
        g_assert_cmpuint(listed.tx_packets, ==, 0);
        rig_adapter(&rig, 1, "web", "{'statistics': 'on'}");
        g_assert_cmpint(rig_flood(&rig, 1, 2, &frame, SENT), ==, SENT);
        g_assert_cmpuint(counts_of(1).tx_packets, ==, 2 * SENT);
        network_sample(rig.network);
        network_each_counts(rig.network, note_counts, &listed);
        g_assert_cmpuint(listed.tx_packets, ==, 2 * SENT);
}

static void test_statistics_go_on(void)
{
        begin();
        statistics_go_on(&rig);
}

static void test_rates(void)
{
        begin();
        measure_rates(&rig);
}

static void test_trace(void)
{
        begin();
        compare_traces(&rig);
}

/* ---- mirrors ---- */

static void begin_mirrors(void)
{
        begin();
        rig_adapter(&rig, 5, "db", "{}");
        ask(5, (RxFilter){.mac = rig_mac(5), .all_multicast = true});
        rig_apply(&rig);
}

static void end_mirrors(void)
{
        rig_mirror(&rig, "watch", NULL);
        rig_unplug(&rig, 5);
}

/* One source: what it sends, what it gets, both; adapter 5 is in another VLAN and gets copies only. */
static void test_mirror_directions(void)
{
        begin_mirrors();
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'direction': 'in', 'destination': 'rig.nic5'}");
        check(1, frame_to(1, rig_mac(2)), "2 5");
        check(2, frame_to(2, rig_mac(1)), "1");
        check(1, frame_to(1, RIG_BROADCAST), "2 3 4 5");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'direction': 'out', 'destination': 'rig.nic5'}");
        check(1, frame_to(1, rig_mac(2)), "2");
        check(2, frame_to(2, rig_mac(1)), "1 5");
        check(2, frame_to(2, RIG_BROADCAST), "1 3 4 5");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1', 'rig.nic2'], 'destination': 'rig.nic5'}");
        check(1, frame_to(1, rig_mac(2)), "2 5");
        check(2, frame_to(2, RIG_BROADCAST), "1 3 4 5");
        check(3, frame_to(3, rig_mac(4)), "4");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1', 'rig.nic2'], 'destination': 'rig.nic5', 'enabled': false}");
        check(1, frame_to(1, rig_mac(2)), "2");
        end_mirrors();
}

/* A port group, all, and one VLAN of it; what policies drop is copied as it was sent, and no other port sees it. */
static void test_mirror_sources(void)
{
        RigFrame forged = {.from = {{2, 9, 9, 9, 9, 9}}, .to = rig_mac(2), .kind = RIG_PLAIN};
        begin_mirrors();
        rig_adapter(&rig, 4, "db", "{}");
        rig_mirror(&rig, "watch", "{'sources': ['portgroup/web'], 'destination': 'rig.nic5'}");
        check(1, frame_to(1, RIG_BROADCAST), "2 3 5");
        check(4, frame_to(4, RIG_BROADCAST), "");
        rig_mirror(&rig, "watch", "{'sources': ['all'], 'destination': 'rig.nic5'}");
        check(1, frame_to(1, RIG_BROADCAST), "2 3 5");
        check(4, frame_to(4, RIG_BROADCAST), "5");
        rig_mirror(&rig, "watch", "{'sources': ['all'], 'vlans': ['20'], 'destination': 'rig.nic5'}");
        check(1, frame_to(1, RIG_BROADCAST), "2 3");
        check(4, frame_to(4, RIG_BROADCAST), "5");
        rig_adapter(&rig, 1, "web", "{'forged_transmits': 'reject'}");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'destination': 'rig.nic5'}");
        check(1, forged, "5");
        end_mirrors();
}

/* The destination's own traffic, its end and its return, and one that sees tags. */
static void test_mirror_destination(void)
{
        begin_mirrors();
        rig_adapter(&rig, 4, "db", "{}");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'destination': 'rig.nic5'}");
        check(4, frame_to(4, rig_mac(5)), "");
        check(4, frame_to(4, RIG_BROADCAST), "");
        check(5, frame_to(5, rig_mac(4)), "");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'destination': 'rig.nic5', 'normal_traffic': true}");
        check(4, frame_to(4, rig_mac(5)), "5");
        check(5, frame_to(5, rig_mac(4)), "");
        check(1, frame_to(1, rig_mac(2)), "2 5");
        rig_unplug(&rig, 5);
        check(1, frame_to(1, rig_mac(2)), "2");
        g_assert_cmpstr(network_mirror_state(rig.network, "lan", "watch"), ==, "waiting");
        rig_group(&rig, "all", "{'vlan': 'all'}");
        rig_adapter(&rig, 5, "all", "{}");
        g_assert_cmpstr(network_mirror_state(rig.network, "lan", "watch"), ==, "active");
        check(1, frame_to(1, rig_mac(2)), "2 5:10");
        rig_unplug(&rig, 1);
        g_assert_cmpstr(network_mirror_state(rig.network, "lan", "watch"), ==, "waiting");
        rig_adapter(&rig, 1, "web", "{}");
        check(1, frame_to(1, rig_mac(2)), "2 5:10");
        end_mirrors();
}

/* Copies as a VLAN of their own, for who trunks it; and short ones. */
static void test_mirror_rspan(void)
{
        RigFrame frame = frame_to(1, rig_mac(2));
        begin_mirrors();
        rig_group(&rig, "trunk", "{'vlan': 'trunk:20,99'}");
        rig_adapter(&rig, 3, "trunk", "{}");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'destination': 'rspan:99'}");
        check(1, frame, "2 3:99");
        rig_mirror(&rig, "watch", "{'sources': ['rig.nic1'], 'destination': 'rig.nic5', 'snaplen': 60}");
        g_assert_cmpint(rig_length(&rig, 1, 5, &frame), ==, 60);
        g_assert_cmpint(rig_length(&rig, 1, 2, &frame), ==, 120);
        end_mirrors();
}

static void test_offloads(void)
{
        if (!datapath_takes_offloads())
                return g_test_skip("this kernel has no datapath for Open vSwitch, and processes carry no offloads");
        begin();
        finish_offloads(&rig);
}

static void test_mirror_erspan(void)
{
        begin_mirrors();
        decode_erspan(&rig);
        end_mirrors();
}

/* Exactly as many, also while the mirror comes and goes. */
static void test_mirror_counts(void)
{
        enum { SENT = 200 };
        RigFrame frame = frame_to(1, rig_mac(2));
        begin_mirrors();
        for (int i = 0; i < 3; i++) {
                rig_mirror(&rig, "watch", "{'sources': ['all'], 'destination': 'rig.nic5'}");
                g_assert_cmpint(rig_flood(&rig, 1, 5, &frame, SENT), ==, SENT);
                rig_mirror(&rig, "watch", NULL);
                g_assert_cmpint(rig_flood(&rig, 1, 5, &frame, SENT), ==, 0);
        }
        end_mirrors();
}

/* Who does not read loses frames, and is told how many: to the frame. */
static void test_capture_lost(void)
{
        enum { SENT = 1500 };
        g_autoptr(GError) error = NULL;
        RigFrame frame = frame_to(1, rig_mac(2));
        guint8 bytes[2048];
        guint64 got = 0;
        int fd = -1;
        begin();
        g_autofree char *capture = network_capture(rig.network, "rig", "nic1", 0, &error);
        g_assert_no_error(error);
        rig_apply(&rig);
        g_assert_true(network_capture_ready(rig.network, capture, &fd, &error));
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(rig_flood(&rig, 1, 2, &frame, SENT), ==, SENT);
        guint64 lost = network_capture_lost(rig.network, capture);
        while (read(fd, bytes, sizeof bytes) > 0)
                got++;
        g_assert_cmpuint(lost, >, 0);
        g_assert_cmpuint(got + lost, ==, SENT);
        close(fd);
        network_capture_end(rig.network, capture);
        rig_apply(&rig);
}

/* ---- life ---- */

static void test_killed(void)
{
        begin();
        kill_under_traffic(&rig);
}

static void test_two_hundred(void)
{
        begin();
        two_hundred_ports(&rig);
}

static void test_refused(void)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *own = json_object();
        Adapter adapter = {
            .vm_id = "rig", .part = "nic6", .switch_name = "lan", .group = "none", .policy = own, .mtu = HOSTLER_UNSET};
        g_assert_false(network_attach(rig.network, &adapter, true, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_NOT_FOUND));
        g_autoptr(Network) none = network_new("/nowhere", "not in this test");
        g_clear_error(&error);
        g_assert_false(network_apply(none, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_UNSUPPORTED));
}

static const struct {
        const char *name;
        void (*run)(void);
} tests[] = {
    {"plain", test_plain},
    {"vlans", test_vlans},
    {"isolated", test_isolated},
    {"forged", test_forged},
    {"inherited", test_inherited},
    {"spoofed", test_spoofed},
    {"guard", test_guard},
    {"services", test_services},
    {"blocked", test_blocked},
    {"mac-changes", test_mac_changes},
    {"mac-stolen", test_mac_stolen},
    {"mac-learned", test_mac_learned},
    {"promiscuous-classes", test_promiscuous_classes},
    {"promiscuous-scopes", test_promiscuous_scopes},
    {"promiscuous-matrix", test_promiscuous_matrix},
    {"promiscuous-asked", test_promiscuous_asked},
    {"groups", test_groups},
    {"counts", test_counts},
    {"statistics", test_statistics},
    {"rates", test_rates},
    {"trace", test_trace},
    {"mirror-directions", test_mirror_directions},
    {"mirror-sources", test_mirror_sources},
    {"mirror-destination", test_mirror_destination},
    {"mirror-rspan", test_mirror_rspan},
    {"mirror-erspan", test_mirror_erspan},
    {"mirror-counts", test_mirror_counts},
    {"capture-lost", test_capture_lost},
    {"offloads", test_offloads},
    /* From here on ports have other numbers in the datapath than in OpenFlow, which compare_traces() reads. */
    {"killed", test_killed},
    {"statistics-go-on", test_statistics_go_on},
    {"two-hundred", test_two_hundred},
    {"refused", test_refused},
};

static void run(gconstpointer data)
{
        if (!rig_is_possible())
                return;
        if (!rig.network)
                rig_open(&rig);
        tests[GPOINTER_TO_UINT(data)].run();
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
                g_autofree char *name = g_strdup_printf("/switch/%s", tests[i].name);
                g_test_add_data_func(name, GUINT_TO_POINTER(i), run);
        }
        int result = g_test_run();
        if (rig.network)
                rig_close(&rig);
        return result;
}
