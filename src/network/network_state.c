/*
 * What Open vSwitch's database has, and changes of it. See network_private.h; the columns are those of
 * ovs-vswitchd.conf.db(5).
 *
 * Called by the network's thread.
 */
#include <string.h>

#include "base/error.h"
#include "network/datapath.h"
#include "network/network_private.h"
#include "wire/ovsdb.h"

#define QOS_NONE "linux-noop" /* whose queues are ours (shape.h) */
#define QOS_NEW "noop"

static void state_port_free(gpointer data)
{
        StatePort *port = data;
        g_free(port->uuid);
        g_free(port->bridge);
        g_free(port->error);
        g_free(port);
}

void state_clear(State *state)
{
        g_clear_pointer(&state->bridges, g_hash_table_unref);
        g_clear_pointer(&state->ports, g_hash_table_unref);
        g_clear_pointer(&state->qos, g_free);
}

/* ---- reading ---- */

static json_t *select_all(const char *table, json_t *columns_taken)
{
        return json_pack("{s:s, s:s, s:[], s:o}", "op", "select", "table", table, "where", "columns", columns_taken);
}

static json_t *rows_of(const json_t *results, size_t operation)
{
        return json_object_get(json_array_get(results, operation), "rows");
}

static const char *uuid_of(const json_t *reference)
{
        return json_string_value(json_array_get(reference, 1));
}

/* The UUIDs of a bridge's ports, each with the bridge's name. */
static void read_bridges(const json_t *rows, State *state, GHashTable *bridge_of)
{
        json_t *row, *port;
        size_t i, k;
        json_array_foreach (rows, i, row) {
                const char *name = json_string_value(json_object_get(row, "name"));
                const char *uuid = uuid_of(json_object_get(row, "_uuid"));
                json_auto_t *ports = ovsdb_set_elements(json_object_get(row, "ports"));
                if (!name || !uuid)
                        continue;
                g_hash_table_insert(state->bridges, g_strdup(name), g_strdup(uuid));
                json_array_foreach (ports, k, port)
                        if (uuid_of(port))
                                g_hash_table_insert(bridge_of, g_strdup(uuid_of(port)), g_strdup(name));
        }
}

static void read_ports(const json_t *rows, State *state, GHashTable *bridge_of)
{
        json_t *row;
        size_t i;
        json_array_foreach (rows, i, row) {
                const char *name = json_string_value(json_object_get(row, "name"));
                const char *uuid = uuid_of(json_object_get(row, "_uuid"));
                const char *bridge = uuid ? g_hash_table_lookup(bridge_of, uuid) : NULL;
                if (!name || !bridge || g_hash_table_contains(state->bridges, name))
                        continue;
                StatePort *port = g_new0(StatePort, 1);
                port->uuid = g_strdup(uuid);
                port->bridge = g_strdup(bridge);
                g_hash_table_insert(state->ports, g_strdup(name), port);
        }
}

static void read_interfaces(const json_t *rows, State *state)
{
        json_t *row;
        size_t i;
        json_array_foreach (rows, i, row) {
                const char *name = json_string_value(json_object_get(row, "name"));
                StatePort *port = name ? g_hash_table_lookup(state->ports, name) : NULL;
                if (!port)
                        continue;
                json_int_t number = json_integer_value(json_object_get(row, "ofport_request"));
                port->number = number > 0 && number < 0xff00 ? (uint32_t)number : 0;
                g_free(port->error);
                port->error = g_strdup(json_string_value(json_object_get(row, "error")));
        }
}

static void read_qos(const json_t *rows, State *state)
{
        json_t *row;
        size_t i;
        json_array_foreach (rows, i, row)
                if (!state->qos && g_strcmp0(json_string_value(json_object_get(row, "type")), QOS_NONE) == 0)
                        state->qos = g_strdup(uuid_of(json_object_get(row, "_uuid")));
}

bool state_read(Ovs *ovs, State *ret_state, GError **error)
{
        json_auto_t *results = NULL;
        g_autoptr(GHashTable) bridge_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        *ret_state = (State){.bridges = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                             .ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, state_port_free)};
        json_t *operations = json_array();
        json_array_append_new(operations, select_all("Bridge", json_pack("[s, s, s]", "_uuid", "name", "ports")));
        json_array_append_new(operations, select_all("Port", json_pack("[s, s]", "_uuid", "name")));
        json_array_append_new(operations,
                              select_all("Interface", json_pack("[s, s, s]", "name", "ofport_request", "error")));
        json_array_append_new(operations, select_all("QoS", json_pack("[s, s]", "_uuid", "type")));
        if (!ovs_transact(ovs, operations, &results, error))
                return false;
        read_qos(rows_of(results, 3), ret_state);
        read_bridges(rows_of(results, 0), ret_state, bridge_of);
        read_ports(rows_of(results, 1), ret_state, bridge_of);
        read_interfaces(rows_of(results, 2), ret_state);
        return true;
}

/* ---- changing ---- */

/* A change of a set of references: @verb "insert" or "delete". @where_name NULL: the one row of the table. */
static json_t *mutate(const char *table, const char *where_name, const char *column, const char *verb,
                      const char *reference_kind, const char *reference)
{
        json_t *where = where_name ? json_pack("[[s, s, s]]", "name", "==", where_name) : json_array();
        return json_pack("{s:s, s:s, s:o, s:[[s, s, [s, [[s, s]]]]]}", "op", "mutate", "table", table, "where", where,
                         "mutations", column, verb, "set", reference_kind, reference);
}

static void remove_port(json_t *operations, const StatePort *port)
{
        json_array_append_new(operations, mutate("Bridge", port->bridge, "ports", "delete", "uuid", port->uuid));
}

/* Fails closed: a switch without its flows drops everything. */
static void add_bridge(json_t *operations, const char *name)
{
        json_t *row = json_pack("{s:s, s:s, s:s, s:[s, [s, s]], s:o}", "name", name, "datapath_type", datapath_type(),
                                "fail_mode", "secure", "protocols", "set", "OpenFlow10", "OpenFlow14", "other_config",
                                ovsdb_map(json_pack("{s:s}", "disable-in-band", "true")));
        json_array_append_new(operations, json_pack("{s:s, s:s, s:o, s:s}", "op", "insert", "table", "Bridge", "row",
                                                    row, "uuid-name", name));
        json_array_append_new(operations, mutate("Open_vSwitch", NULL, "bridges", "insert", "named-uuid", name));
}

/* The row that all ports share. */
static json_t *qos_reference(const State *state)
{
        return state->qos ? json_pack("[s, s]", "uuid", state->qos) : json_pack("[s, s]", "named-uuid", QOS_NEW);
}

static void add_port(json_t *operations, const State *state, const char *bridge, const TargetPort *port)
{
        g_autofree char *interface = g_strdup_printf("i_%s", port->device),
                        *row_name = g_strdup_printf("p_%s", port->device);
        json_t *interface_row = json_pack("{s:s, s:i, s:o}", "name", port->device, "ofport_request", (int)port->number,
                                          "external_ids", ovsdb_map(json_pack("{s:s}", "iface-id", port->key)));
        json_array_append_new(operations, json_pack("{s:s, s:s, s:o, s:s}", "op", "insert", "table", "Interface", "row",
                                                    interface_row, "uuid-name", interface));
        json_array_append_new(operations, json_pack("{s:s, s:s, s:{s:s, s:[s, s], s:o}, s:s}", "op", "insert", "table",
                                                    "Port", "row", "name", port->device, "interfaces", "named-uuid",
                                                    interface, "qos", qos_reference(state), "uuid-name", row_name));
        json_array_append_new(operations, mutate("Bridge", bridge, "ports", "insert", "named-uuid", row_name));
}

static bool stays(const StatePort *is, const char *bridge, const TargetPort *wanted)
{
        return is && strcmp(is->bridge, bridge) == 0 && is->number == wanted->number && !wanted->wants_device;
}

/* Ports that are wanted elsewhere, or with another device under the same name; and, if they may go, those that are not
 * wanted at all. */
static void remove_others(const State *state, const GPtrArray *targets, bool others_go, json_t *operations)
{
        g_autoptr(GHashTable) bridges = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GHashTable) devices = g_hash_table_new(g_str_hash, g_str_equal);
        GHashTableIter iter;
        gpointer name, value;
        for (guint i = 0; i < targets->len; i++) {
                const TargetSwitch *target = targets->pdata[i];
                g_hash_table_add(bridges, target->bridge);
                for (guint k = 0; k < target->ports->len; k++) {
                        const TargetPort *port = &g_array_index(target->ports, TargetPort, k);
                        const StatePort *is = g_hash_table_lookup(state->ports, port->device);
                        g_hash_table_add(devices, port->device);
                        if (is && !stays(is, target->bridge, port))
                                remove_port(operations, is);
                }
        }
        g_hash_table_iter_init(&iter, state->ports);
        while (others_go && g_hash_table_iter_next(&iter, &name, &value))
                if (!g_hash_table_contains(devices, name))
                        remove_port(operations, value);
        g_hash_table_iter_init(&iter, state->bridges);
        while (others_go && g_hash_table_iter_next(&iter, &name, &value))
                if (!g_hash_table_contains(bridges, name))
                        json_array_append_new(operations,
                                              mutate("Open_vSwitch", NULL, "bridges", "delete", "uuid", value));
}

static void add_missing(const State *state, const GPtrArray *targets, json_t *operations)
{
        if (!state->qos && targets->len > 0)
                json_array_append_new(operations, json_pack("{s:s, s:s, s:{s:s}, s:s}", "op", "insert", "table", "QoS",
                                                            "row", "type", QOS_NONE, "uuid-name", QOS_NEW));
        for (guint i = 0; i < targets->len; i++) {
                const TargetSwitch *target = targets->pdata[i];
                if (!g_hash_table_contains(state->bridges, target->bridge))
                        add_bridge(operations, target->bridge);
                for (guint k = 0; k < target->ports->len; k++) {
                        const TargetPort *port = &g_array_index(target->ports, TargetPort, k);
                        if (!stays(g_hash_table_lookup(state->ports, port->device), target->bridge, port))
                                add_port(operations, state, target->bridge, port);
                }
        }
}

static bool carry_out(Ovs *ovs, json_t *operations_taken, GError **error)
{
        if (json_array_size(operations_taken) > 0)
                return ovs_change(ovs, operations_taken, error);
        json_decref(operations_taken);
        return true;
}

bool state_change(Ovs *ovs, const State *state, const GPtrArray *targets, bool others_go, GError **error)
{
        json_t *removals = json_array(), *additions = json_array();
        remove_others(state, targets, others_go, removals);
        add_missing(state, targets, additions);
        if (carry_out(ovs, removals, error))
                return carry_out(ovs, additions, error);
        json_decref(additions);
        return false;
}
