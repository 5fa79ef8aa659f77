/*
 * Switches as flow tables. Each of the few below becomes what stands in flows/; HOSTLER_REGENERATE=1 writes that anew.
 */
#include <string.h>

#include "base/file.h"
#include "network/compile.h"
#include "network/policy.h"

#define GOLDEN_LIMIT (1 << 20)

typedef struct {
        const char *vlans, *policy; /* policy with ' for " */
        PortKind kind;
        uint32_t group;
        bool isolated;
        RxFilter filter;
} PortSpec;

static const Mac groups[] = {{{0x33, 0x33, 0, 0, 0, 1}}};
static const IpAddress addresses[] = {{.bytes = {10, 9, 0, 1}},
                                      {.v6 = true, .bytes = {0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};

/* VLANs of every kind, an uplink, two isolated ports. */
static const PortSpec vlans[] = {
    {.kind = PORT_UPLINK},
    {.kind = PORT_SERVICE, .vlans = "10"},
    {.vlans = "none"},
    {.vlans = "10", .isolated = true},
    {.vlans = "10", .isolated = true},
    {.vlans = "trunk:10,20"},
    {.vlans = "all"},
};

/* One port for each policy. */
static const PortSpec policies[] = {
    {.policy = "{}"},
    {.policy = "{'forged_transmits': 'reject'}"},
    {.policy = "{'forged_transmits_tcp': 'reject'}"},
    {.policy = "{'forged_transmits': 'reject', 'forged_transmits_udp': 'accept'}"},
    {.policy = "{'mac_spoofing': 'reject'}"},
    {.policy = "{'address_spoofing': 'reject'}"},
    {.policy = "{'dhcp_server': 'reject', 'router_advertisement': 'reject'}"},
    {.policy = "{'traffic': 'reject'}"},
    {.policy = "{'rate_from_vm': 20000, 'burst_from_vm': 5000, 'peak_from_vm': 40000, 'rate_to_vm': 10000}"},
    {.policy = "{'mac_changes': 'reject'}", .filter = {.known = true, .mac = {{2, 0xaa, 0, 0, 0, 10}}}},
    {.policy = "{'mac_changes': 'accept'}",
     .filter = {.known = true, .mac = {{2, 0xaa, 0, 0, 0, 11}}, .groups = groups, .n_groups = 1}},
};

/* Promiscuous ports of every scope. */
static const PortSpec listeners[] = {
    {.vlans = "10", .group = 1},
    {.vlans = "20", .group = 2},
    {.vlans = "10", .group = 1, .policy = "{'promiscuous': ['accept'], 'promiscuous_scope': 'portgroup'}"},
    {.vlans = "10", .group = 1, .policy = "{'promiscuous': ['unicast'], 'promiscuous_scope': 'vlan'}"},
    {.vlans = "10", .group = 1, .policy = "{'promiscuous': ['multicast', 'broadcast'], 'promiscuous_scope': 'switch'}"},
    {.vlans = "20",
     .group = 2,
     .policy = "{'promiscuous': ['accept'], 'promiscuous_when': 'asked'}",
     .filter = {.known = true, .mac = {{2, 0, 0, 0, 0, 6}}}},
};

static const struct {
        const char *name;
        const PortSpec *ports;
        guint n_ports;
} switches[] = {{"vlans", vlans, G_N_ELEMENTS(vlans)},
                {"policies", policies, G_N_ELEMENTS(policies)},
                {"listeners", listeners, G_N_ELEMENTS(listeners)}};

static void make_port(const PortSpec *spec, uint32_t number, Port *port)
{
        g_autofree char *text = g_strdelimit(g_strdup(spec->policy ? spec->policy : "{}"), "'", '"');
        json_auto_t *policy = json_loads(text, 0, NULL);
        const json_t *levels[POLICY_LEVELS] = {[LEVEL_PORT] = policy};
        *port = (Port){
            .number = number,
            .kind = spec->kind,
            .group = spec->group,
            .isolated = spec->isolated,
            .mac = {{2, 0, 0, 0, 0, number}},
            .filter = spec->filter,
            .addresses = addresses,
            .n_addresses = G_N_ELEMENTS(addresses),
        };
        g_assert_nonnull(policy);
        g_assert_true(vlans_parse(spec->vlans, HOSTLER_UNSET, &port->vlans, NULL));
        policy_resolve(levels, &port->policy);
}

static void test_switch(gconstpointer data)
{
        guint which = GPOINTER_TO_UINT(data), n_ports = switches[which].n_ports;
        g_autoptr(GError) error = NULL;
        g_autofree Port *ports = g_new0(Port, n_ports);
        g_autofree char *path = g_strdup_printf(GOLDEN_FOLDER "/flows/%s.txt", switches[which].name);
        for (guint i = 0; i < n_ports; i++)
                make_port(&switches[which].ports[i], i + 1, &ports[i]);
        SwitchModel model = {.ports = ports, .n_ports = n_ports};
        g_autoptr(FlowTable) table = switch_compile(&model, &error);
        g_assert_no_error(error);
        g_autofree char *text = flow_table_text(table);
        if (g_strcmp0(g_getenv("HOSTLER_REGENERATE"), "1") == 0)
                file_write_atomic(path, text, strlen(text), 0644, false, &error);
        g_assert_no_error(error);
        g_autofree char *committed = file_read(path, GOLDEN_LIMIT, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(text, ==, committed);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        for (guint i = 0; i < G_N_ELEMENTS(switches); i++) {
                g_autofree char *name = g_strdup_printf("/flows/%s", switches[i].name);
                g_test_add_data_func(name, GUINT_TO_POINTER(i), test_switch);
        }
        return g_test_run();
}
