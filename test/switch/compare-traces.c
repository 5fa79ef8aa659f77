/*
 * Traces of ours against those of Open vSwitch, of random frames on random switches. Called by test-switch.c.
 */
#include <stdlib.h>
#include <string.h>

#include "switch/rig.h"

/* Bit n: it goes out at port n. Of "Datapath actions: 3,push_vlan(vid=10,pcp=0),4": what is outside of brackets. */
static guint outputs_of(const char *text)
{
        const char *at = strstr(text, "Datapath actions: ");
        guint ports = 0;
        int depth = 0;
        g_assert_nonnull(at);
        for (at += strlen("Datapath actions: "); *at && *at != '\n'; at++) {
                bool begins = at[-1] == ' ' || at[-1] == ',';
                depth += (*at == '(') - (*at == ')');
                if (depth == 0 && begins && g_ascii_isdigit(*at))
                        ports |= 1u << atoi(at);
        }
        return ports;
}

static guint outputs_of_trace(Rig *rig, const TraceFrame *frame, int from)
{
        g_auto(NetworkTrace) trace = {0};
        g_autoptr(GError) error = NULL;
        g_autofree char *key = g_strdup_printf("rig/nic%d", from);
        guint ports = 0;
        network_trace(rig->network, key, NULL, frame, &trace, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < trace.steps->len; i++) {
                const TraceStep *step = &g_array_index(trace.steps, TraceStep, i);
                ports |= step->kind == TRACE_OUTPUT ? 1u << step->port : 0;
        }
        return ports;
}

/* The number that an adapter has on the switch. */
static guint number_of(Rig *rig, int n)
{
        g_auto(NetworkTrace) trace = {0};
        g_autofree char *key = g_strdup_printf("rig/nic%d", n);
        TraceFrame frame = {.type = 0x88b5};
        GHashTableIter iter;
        gpointer number, name;
        g_assert_true(network_trace(rig->network, key, NULL, &frame, &trace, NULL));
        g_hash_table_iter_init(&iter, trace.names);
        while (g_hash_table_iter_next(&iter, &number, &name))
                if (strcmp(name, key) == 0)
                        return GPOINTER_TO_UINT(number);
        g_assert_not_reached();
}

static Mac random_mac(void)
{
        switch (g_test_rand_int_range(0, 6)) {
        case 0:
                return RIG_BROADCAST;
        case 1:
                return RIG_GROUP;
        default:
                return rig_mac(g_test_rand_int_range(1, 6));
        }
}

static TraceFrame random_frame(void)
{
        static const guint16 types[] = {0x0800, 0x0806, 0x88b5};
        TraceFrame frame = {.source = random_mac(),
                            .destination = random_mac(),
                            .tag = g_test_rand_int_range(0, 3) ? 0 : 10 * g_test_rand_int_range(1, 4),
                            .type = types[g_test_rand_int_range(0, 3)],
                            .from = {.bytes = {10, 9, 0, g_test_rand_int_range(0, 4)}},
                            .from_port = g_test_rand_int_range(0, 2) ? 67 : 1000,
                            .to_port = 68};
        frame.protocol = frame.type == 0x0800 ? (g_test_rand_int_range(0, 2) ? 6 : 17) : 0;
        return frame;
}

/* As ovs-appctl(8) takes it. Caller frees. */
static char *frame_text(const TraceFrame *frame, guint in_port)
{
        g_autofree char *from = mac_text(&frame->source), *to = mac_text(&frame->destination);
        GString *text = g_string_new(NULL);
        g_string_printf(text, "in_port=%u,dl_src=%s,dl_dst=%s,dl_type=0x%04x", in_port, from, to, frame->type);
        if (frame->tag)
                g_string_append_printf(text, ",dl_vlan=%u,dl_vlan_pcp=0", frame->tag);
        if (frame->type == 0x0800)
                g_string_append_printf(text, ",nw_src=10.9.0.%d,nw_proto=%d,%s_src=%d,%s_dst=%d", frame->from.bytes[3],
                                       frame->protocol, frame->protocol == 6 ? "tcp" : "udp", frame->from_port,
                                       frame->protocol == 6 ? "tcp" : "udp", frame->to_port);
        if (frame->type == 0x0806)
                g_string_append_printf(text, ",arp_spa=10.9.0.%d,arp_sha=%s", frame->from.bytes[3], from);
        return g_string_free(text, FALSE);
}

static char *random_policy(void)
{
        static const char *const verdicts[] = {"forged_transmits", "mac_spoofing", "address_spoofing", "dhcp_server",
                                               "mac_changes"};
        GString *text = g_string_new("{");
        for (gsize i = 0; i < G_N_ELEMENTS(verdicts); i++)
                g_string_append_printf(text, "'%s': '%s', ", verdicts[i],
                                       g_test_rand_int_range(0, 3) ? "accept" : "reject");
        g_string_append_printf(text, "'promiscuous_when': 'always', 'promiscuous': ['%s']}",
                               g_test_rand_int_range(0, 3) ? "reject" : "multicast");
        return g_string_free(text, FALSE);
}

/* What we say of a frame, against what Open vSwitch says of it. */
void compare_traces(Rig *rig)
{
        enum { MODELS = 8, FRAMES = 25 };
        static const char *const groups[] = {"web", "db", "trunk", "all"};
        rig_group(rig, "trunk", "{'vlan': 'trunk:10,20', 'native_vlan': 30}");
        rig_group(rig, "all", "{'vlan': 'all'}");
        g_autofree char *list = g_strstrip(rig_ask_switch(rig, "ofproto/list", json_array()));
        for (int model = 0; model < MODELS; model++) {
                for (int i = 1; i <= 4; i++) {
                        g_autofree char *policy = random_policy();
                        rig_adapter(rig, i, groups[g_test_rand_int_range(0, 4)], policy);
                }
                for (int i = 0; i < FRAMES; i++) {
                        int from = g_test_rand_int_range(1, 5);
                        TraceFrame frame = random_frame();
                        g_autofree char *text = frame_text(&frame, number_of(rig, from));
                        g_autofree char *answer = rig_ask_switch(rig, "ofproto/trace", json_pack("[s, s]", list, text));
                        if (outputs_of_trace(rig, &frame, from) != outputs_of(answer))
                                g_error("%s: %x\n%s", text, outputs_of_trace(rig, &frame, from), answer);
                }
        }
}
