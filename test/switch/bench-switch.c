/*
 * How long a switch's flows take: to be compiled, and to be installed at once in a real Open vSwitch. For
 * test/bench/bench_network.py; prints lines "ports flows compile-ms install-ms change-ms". With --flows it prints the
 * flows of a switch of two ports as ovs-ofctl(8) reads them, and that is all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "network/compile.h"
#include "network/ovs.h"
#include "wire/openflow.h"

#define BRIDGE "bench"
#define ANSWER_MS 60000

static void expect(bool ok, const GError *error)
{
        if (ok)
                return;
        fprintf(stderr, "%s\n", error ? error->message : "failed");
        exit(1);
}

static double ms_since(gint64 begin_us)
{
        return (double)(g_get_monotonic_time() - begin_us) / 1000;
}

/* @n adapters of one VLAN that may not forge; the first of them has another policy with @other. */
static Port *make_ports(guint n, bool other)
{
        Port *ports = g_new0(Port, n);
        for (guint i = 0; i < n; i++) {
                ports[i] = (Port){.number = i + 1,
                                  .kind = PORT_ADAPTER,
                                  .group = 1,
                                  .mac = {{2, 0, 0, 0, (guint8)(i >> 8), (guint8)i}},
                                  .vlans = {.mode = VLAN_ACCESS, .vid = 10},
                                  .policy = {.mac_changes = true,
                                             .mac_spoofing = true,
                                             .address_spoofing = true,
                                             .dhcp_server = true,
                                             .router_advertisement = true,
                                             .traffic = i > 0 || !other}};
        }
        return ports;
}

static FlowTable *compile(guint n, bool other)
{
        g_autofree Port *ports = make_ports(n, other);
        g_autoptr(GError) error = NULL;
        SwitchModel model = {.ports = ports, .n_ports = n};
        FlowTable *table = switch_compile(&model, &error);
        expect(table != NULL, error);
        return table;
}

static double install(const char *path, const FlowTable *before, const FlowTable *after)
{
        g_autoptr(GError) error = NULL;
        gint64 begin_us = g_get_monotonic_time();
        g_autoptr(OpenFlow) openflow = openflow_connect(path, ANSWER_MS, &error);
        expect(openflow && openflow_replace(openflow, before, after, &error), error);
        return ms_since(begin_us);
}

static void measure(const char *path, guint n)
{
        gint64 begin_us = g_get_monotonic_time();
        g_autoptr(FlowTable) table = compile(n, false);
        double compiled_ms = ms_since(begin_us);
        g_autoptr(FlowTable) changed = compile(n, true);
        double installed_ms = install(path, NULL, table), changed_ms = install(path, table, changed);
        printf("%u %u %.2f %.2f %.2f\n", n, table->flows->len, compiled_ms, installed_ms, changed_ms);
        fflush(stdout);
}

static bool make_bridge(Ovs *ovs, GError **error)
{
        json_t *bridge = json_pack("{s:s, s:s, s:s, s:[s, [s, s]]}", "name", BRIDGE, "datapath_type", "netdev",
                                   "fail_mode", "secure", "protocols", "set", "OpenFlow10", "OpenFlow14");
        json_t *insert =
            json_pack("{s:s, s:s, s:o, s:s}", "op", "insert", "table", "Bridge", "row", bridge, "uuid-name", BRIDGE);
        json_t *refer =
            json_pack("{s:s, s:s, s:[], s:[[s, s, [s, [[s, s]]]]]}", "op", "mutate", "table", "Open_vSwitch", "where",
                      "mutations", "bridges", "insert", "set", "named-uuid", BRIDGE);
        return ovs_start(ovs, error) && ovs_change(ovs, json_pack("[o, o]", insert, refer), error);
}

static int print_flows(void)
{
        g_autoptr(FlowTable) table = compile(2, false);
        g_autofree char *text = flow_table_text(table);
        fputs(text, stdout);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc > 1 && strcmp(argv[1], "--flows") == 0)
                return print_flows();
        static const guint sizes[] = {10, 100, 500, 1060, 1700};
        int rounds = argc > 1 ? atoi(argv[1]) : 3;
        g_autoptr(GError) error = NULL;
        g_autofree char *folder = g_dir_make_tmp("hostler-bench-switch-XXXXXX", NULL);
        g_autofree char *network = g_build_filename(folder, "network", NULL);
        Ovs *ovs = ovs_new(network);
        bool ok = make_bridge(ovs, &error);
        g_autofree char *path = ovs_openflow_path(ovs, BRIDGE);
        for (int round = 0; ok && round < rounds; round++)
                for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
                        measure(path, sizes[i]);
        ovs_end(ovs);
        ovs_free(ovs);
        dir_remove(folder, NULL);
        expect(ok, error);
        return 0;
}
