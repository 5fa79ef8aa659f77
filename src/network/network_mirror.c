/*
 * Mirrors and captures: which ports' frames are copied for whom, and the rows of Open vSwitch's database that say so
 * (table Mirror of ovs-vswitchd.conf.db(5)).
 *
 * Open vSwitch makes the copies itself, at the ports: one of a frame for each mirror, however many of its ports the
 * frame passes. It knows VLANs by the ports' columns and not by our flows, so those are set while there is a mirror.
 */
#include "network/network_mirror.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "wire/ovsdb.h"

#define RSPAN "rspan:"
#define ERSPAN "erspan:"
#define ERSPAN_TYPE_DEFAULT 2
#define GROUP "portgroup/"

/* ---- what should be ---- */

void mirror_free(gpointer data)
{
        TargetMirror *mirror = data;
        g_hash_table_unref(mirror->senders);
        g_hash_table_unref(mirror->receivers);
        g_array_unref(mirror->vlans);
        g_free(mirror->device);
        g_free(mirror->name);
        g_free(mirror);
}

static TargetMirror *mirror_new(const char *kind, const char *name)
{
        TargetMirror *mirror = g_new0(TargetMirror, 1);
        mirror->name = g_strdup_printf("%s%s", kind, name);
        mirror->senders = g_hash_table_new(g_str_hash, g_str_equal);
        mirror->receivers = g_hash_table_new(g_str_hash, g_str_equal);
        mirror->vlans = g_array_new(FALSE, FALSE, sizeof(uint16_t));
        return mirror;
}

/* @word: "VM ID.part". */
static bool is_named(const Attached *adapter, const char *word)
{
        const char *slash = strrchr(adapter->key, '/');
        gsize length = slash - adapter->key;
        return strncmp(adapter->key, word, length) == 0 && word[length] == '.' &&
               strcmp(word + length + 1, slash + 1) == 0;
}

static bool is_meant(const Attached *adapter, const char *source)
{
        if (strcmp(source, "all") == 0)
                return true;
        if (g_str_has_prefix(source, GROUP))
                return strcmp(adapter->group, source + strlen(GROUP)) == 0;
        return is_named(adapter, source);
}

static const char *text_of(const json_t *spec, const char *property)
{
        const char *text = json_string_value(json_object_get(spec, property));
        return text ? text : "";
}

static bool is_enabled(const json_t *spec)
{
        return spec && !json_is_false(json_object_get(spec, "enabled"));
}

static char *erspan_key(const char *switch_name, const char *mirror)
{
        return g_strdup_printf("erspan/%s/%s", switch_name, mirror);
}

static void add_source(TargetMirror *mirror, const char *direction, const Attached *adapter)
{
        if (strcmp(direction, "out") != 0)
                g_hash_table_add(mirror->senders, adapter->device);
        if (strcmp(direction, "in") != 0)
                g_hash_table_add(mirror->receivers, adapter->device);
}

/* All that @spec names but the destination itself: it would get its copies copied. */
static void add_sources(TargetMirror *mirror, const json_t *spec, const GPtrArray *adapters)
{
        const char *destination = text_of(spec, "destination");
        json_t *source;
        size_t i;
        json_array_foreach (json_object_get(spec, "sources"), i, source)
                for (guint k = 0; k < adapters->len; k++) {
                        const Attached *adapter = adapters->pdata[k];
                        if (!adapter->captures && is_meant(adapter, json_string_value(source)) &&
                            !is_named(adapter, destination))
                                add_source(mirror, text_of(spec, "direction"), adapter);
                }
}

/* Who gets the copies; NULL: nobody who is there. */
static Attached *destination_of(const json_t *spec, const GPtrArray *adapters)
{
        const char *destination = text_of(spec, "destination");
        for (guint i = 0; i < adapters->len; i++) {
                Attached *adapter = adapters->pdata[i];
                if (!adapter->captures && is_named(adapter, destination))
                        return adapter;
        }
        return NULL;
}

/* Of ours, whose frames go to another host; NULL: there is none. */
static Attached *sender_of(const char *name, const GPtrArray *adapters)
{
        for (guint i = 0; i < adapters->len; i++) {
                Attached *adapter = adapters->pdata[i];
                g_autofree char *key = erspan_key(adapter->switch_name, name);
                if (strcmp(adapter->key, key) == 0)
                        return adapter;
        }
        return NULL;
}

static TargetMirror *make_mirror(const char *name, const json_t *spec, const GPtrArray *adapters, GHashTable *deaf)
{
        const char *destination = text_of(spec, "destination");
        Attached *to = destination_of(spec, adapters), *sender = sender_of(name, adapters);
        TargetMirror *mirror = mirror_new("", name);
        json_t *vlan;
        size_t i;
        mirror->device = to ? g_strdup(to->device) : sender ? g_strdup(sender->device) : NULL;
        mirror->rspan = g_str_has_prefix(destination, RSPAN) ? atoi(destination + strlen(RSPAN)) : 0;
        mirror->snaplen = (int)json_integer_value(json_object_get(spec, "snaplen"));
        json_array_foreach (json_object_get(spec, "vlans"), i, vlan) {
                uint16_t vid = atoi(json_string_value(vlan));
                g_array_append_val(mirror->vlans, vid);
        }
        add_sources(mirror, spec, adapters);
        if (to && !json_is_true(json_object_get(spec, "normal_traffic")))
                g_hash_table_add(deaf, to->key);
        return mirror;
}

/* ---- copies for other hosts ---- */

void mirror_set_erspan(Network *network, const char *switch_name, const char *mirror, const json_t *spec)
{
        g_autofree char *key = erspan_key(switch_name, mirror);
        const char *destination = text_of(spec, "destination");
        const json_t *type = json_object_get(spec, "erspan_type");
        IpAddress to;
        g_hash_table_remove(network->attached, key);
        if (!is_enabled(spec) || !g_str_has_prefix(destination, ERSPAN) ||
            !ip_parse(destination + strlen(ERSPAN), &to) || to.v6)
                return;
        Attached *device = network_capture_device(key, switch_name, "", 0);
        device->erspan_options =
            (ErspanOptions){.type = type ? (int)json_integer_value(type) : ERSPAN_TYPE_DEFAULT,
                            .session = (int)json_integer_value(json_object_get(spec, "erspan_session")),
                            .snaplen = (int)json_integer_value(json_object_get(spec, "snaplen"))};
        memcpy(device->erspan_options.to, to.bytes, sizeof device->erspan_options.to);
        g_hash_table_insert(network->attached, device->key, device);
}

bool mirrors_send(Network *network, GError **error)
{
        GHashTableIter iter;
        gpointer value;
        bool ok = true;
        g_mutex_lock(&network->lock);
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Attached *device = value;
                if (device->erspan_options.type == 0 || device->fd < 0)
                        continue;
                device->erspan = erspan_new(fd_steal(&device->fd), &device->erspan_options, ok ? error : NULL);
                ok = ok && device->erspan;
        }
        g_mutex_unlock(&network->lock);
        return ok;
}

/* ---- what there is to copy ---- */

static bool copies_something(const TargetMirror *mirror)
{
        return (mirror->device || mirror->rspan) &&
               (g_hash_table_size(mirror->senders) > 0 || g_hash_table_size(mirror->receivers) > 0);
}

/* Open vSwitch has 32 of a bridge. */
static void keep(GPtrArray *mirrors, TargetMirror *mirror)
{
        if (copies_something(mirror) && mirrors->len < MIRRORS_MAX + CAPTURES_MAX)
                g_ptr_array_add(mirrors, mirror);
        else
                mirror_free(mirror);
}

static void add_captures(const GPtrArray *adapters, GPtrArray *mirrors)
{
        for (guint i = 0; i < adapters->len; i++) {
                const Attached *capture = adapters->pdata[i];
                TargetMirror *mirror = capture->captures ? mirror_new("capture of ", capture->key) : NULL;
                if (!mirror)
                        continue;
                mirror->device = g_strdup(capture->device);
                mirror->snaplen = capture->snaplen;
                for (guint k = 0; k < adapters->len; k++)
                        if (strcmp(((Attached *)adapters->pdata[k])->key, capture->captures) == 0)
                                add_source(mirror, "both", adapters->pdata[k]);
                keep(mirrors, mirror);
        }
}

GPtrArray *mirrors_make(Network *network, const char *switch_name, const GPtrArray *adapters, GHashTable *deaf)
{
        GPtrArray *mirrors = g_ptr_array_new_with_free_func(mirror_free);
        g_autofree char *prefix = g_strdup_printf("%s/", switch_name);
        GHashTableIter iter;
        gpointer key, spec;
        g_hash_table_iter_init(&iter, network->mirrors);
        while (g_hash_table_iter_next(&iter, &key, &spec))
                if (g_str_has_prefix(key, prefix) && is_enabled(spec))
                        keep(mirrors, make_mirror((char *)key + strlen(prefix), spec, adapters, deaf));
        add_captures(adapters, mirrors);
        return mirrors;
}

const char *network_mirror_state(Network *network, const char *switch_name, const char *mirror)
{
        g_autofree char *key = g_strdup_printf("%s/%s", switch_name, mirror);
        g_autoptr(GHashTable) deaf = g_hash_table_new(g_str_hash, g_str_equal);
        const char *state = "waiting";
        g_mutex_lock(&network->lock);
        const json_t *spec = g_hash_table_lookup(network->mirrors, key);
        g_autoptr(GPtrArray) adapters = network_adapters(network, switch_name);
        if (!is_enabled(spec))
                state = "disabled";
        else {
                TargetMirror *now = make_mirror(mirror, spec, adapters, deaf);
                const Attached *sender = sender_of(mirror, adapters);
                bool reaches = !sender || !sender->erspan || erspan_reaches(sender->erspan);
                state = !copies_something(now) ? state : reaches ? "active" : "unreachable";
                mirror_free(now);
        }
        g_mutex_unlock(&network->lock);
        return state;
}

/* ---- what is ---- */

typedef struct {
        GHashTable *bridges; /* name → row */
        GHashTable *ports;   /* name → row */
        GHashTable *mirrors; /* UUID → row */
} Rows;

static const char *uuid_of(const json_t *reference)
{
        return json_string_value(json_array_get(reference, 1));
}

static GHashTable *rows_by(const json_t *results, size_t operation, bool by_uuid)
{
        GHashTable *rows = g_hash_table_new(g_str_hash, g_str_equal);
        json_t *row;
        size_t i;
        json_array_foreach (json_object_get(json_array_get(results, operation), "rows"), i, row) {
                const char *key =
                    by_uuid ? uuid_of(json_object_get(row, "_uuid")) : json_string_value(json_object_get(row, "name"));
                if (key)
                        g_hash_table_insert(rows, (gpointer)key, row);
        }
        return rows;
}

static void rows_clear(Rows *rows)
{
        g_clear_pointer(&rows->bridges, g_hash_table_unref);
        g_clear_pointer(&rows->ports, g_hash_table_unref);
        g_clear_pointer(&rows->mirrors, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rows, rows_clear)

static json_t *select_from(const char *table, const char *columns)
{
        g_auto(GStrv) words = g_strsplit(columns, " ", -1);
        json_t *list = json_array();
        for (char **word = words; *word; word++)
                json_array_append_new(list, json_string(*word));
        return json_pack("{s:s, s:s, s:[], s:o}", "op", "select", "table", table, "where", "columns", list);
}

/* @ret_results keeps the rows. */
static bool read_rows(Ovs *ovs, Rows *ret_rows, json_t **ret_results, GError **error)
{
        json_t *operations = json_array();
        json_array_append_new(operations, select_from("Bridge", "_uuid name mirrors"));
        json_array_append_new(operations, select_from("Port", "_uuid name tag trunks vlan_mode"));
        json_array_append_new(operations, select_from("Mirror", "_uuid name select_src_port select_dst_port "
                                                                "select_vlan output_port output_vlan snaplen"));
        if (!ovs_transact(ovs, operations, ret_results, error))
                return false;
        *ret_rows = (Rows){.bridges = rows_by(*ret_results, 0, false),
                           .ports = rows_by(*ret_results, 1, false),
                           .mirrors = rows_by(*ret_results, 2, true)};
        return true;
}

/* ---- columns ---- */

static int by_text(gconstpointer a, gconstpointer b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A set as the database writes it, and nothing else: whether two of them are the same is to be seen. */
static json_t *set_of(GPtrArray *elements_taken)
{
        g_autoptr(GPtrArray) elements = elements_taken;
        json_t *list = json_array();
        g_ptr_array_sort(elements, by_text);
        for (guint i = 0; i < elements->len; i++)
                json_array_append_new(list, json_loads(elements->pdata[i], JSON_DECODE_ANY, NULL));
        return json_pack("[s, o]", "set", list);
}

static json_t *sorted(const json_t *column)
{
        g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(free);
        json_auto_t *elements = ovsdb_set_elements(column);
        json_t *element;
        size_t i;
        json_array_foreach (elements, i, element)
                g_ptr_array_add(texts, json_dumps(element, JSON_ENCODE_ANY | JSON_COMPACT));
        return set_of(g_steal_pointer(&texts));
}

static void add_element(GPtrArray *elements, json_t *element_taken)
{
        g_ptr_array_add(elements, json_dumps(element_taken, JSON_ENCODE_ANY | JSON_COMPACT));
        json_decref(element_taken);
}

static GPtrArray *elements_new(void)
{
        return g_ptr_array_new_with_free_func(free);
}

static void add_port(GPtrArray *elements, const Rows *rows, const char *device)
{
        const json_t *port = g_hash_table_lookup(rows->ports, device);
        if (port)
                add_element(elements, json_incref(json_object_get(port, "_uuid")));
}

static json_t *ports_column(const Rows *rows, GHashTable *devices)
{
        GPtrArray *elements = elements_new();
        GHashTableIter iter;
        gpointer device;
        g_hash_table_iter_init(&iter, devices);
        while (g_hash_table_iter_next(&iter, &device, NULL))
                add_port(elements, rows, device);
        return set_of(elements);
}

/* None, with 0. */
static json_t *number_column(int number)
{
        GPtrArray *elements = elements_new();
        if (number)
                add_element(elements, json_integer(number));
        return set_of(elements);
}

static json_t *mirror_columns(const Rows *rows, const TargetMirror *mirror)
{
        GPtrArray *vlans = elements_new(), *output = elements_new();
        for (guint i = 0; i < mirror->vlans->len; i++)
                add_element(vlans, json_integer(g_array_index(mirror->vlans, uint16_t, i)));
        if (mirror->device)
                add_port(output, rows, mirror->device);
        return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "select_src_port", ports_column(rows, mirror->senders),
                         "select_dst_port", ports_column(rows, mirror->receivers), "select_vlan", set_of(vlans),
                         "output_port", set_of(output), "output_vlan", number_column(mirror->rspan), "snaplen",
                         number_column(mirror->snaplen));
}

static json_t *vlan_columns(const Vlans *vlans)
{
        static const char *const modes[] = {[VLAN_ACCESS] = "access", [VLAN_TRUNK] = "trunk", [VLAN_ALL] = "trunk"};
        bool native = vlans->mode == VLAN_TRUNK && vlans->vid;
        GPtrArray *tag = elements_new(), *trunks = elements_new(), *mode = elements_new();
        if (vlans->mode == VLAN_ACCESS || native)
                add_element(tag, json_integer(vlans->vid));
        for (unsigned vid = 1; vlans->mode == VLAN_TRUNK && vid <= VLAN_MAX; vid++)
                if (vlans_have(vlans, vid))
                        add_element(trunks, json_integer(vid));
        add_element(mode, json_string(native ? "native-untagged" : modes[vlans->mode]));
        return json_pack("{s:o, s:o, s:o}", "tag", set_of(tag), "trunks", set_of(trunks), "vlan_mode", set_of(mode));
}

static bool has_columns(const json_t *row, json_t *columns)
{
        const char *name;
        json_t *value;
        json_object_foreach (columns, name, value) {
                json_auto_t *is = sorted(json_object_get(row, name));
                if (!json_equal(is, value))
                        return false;
        }
        return true;
}

static void update(json_t *operations, const char *table, const json_t *row, json_t *columns)
{
        json_array_append_new(operations,
                              json_pack("{s:s, s:s, s:[[s, s, O]], s:O}", "op", "update", "table", table, "where",
                                        "_uuid", "==", json_object_get(row, "_uuid"), "row", columns));
}

/* ---- changing ---- */

static void set_vlans(const Rows *rows, const TargetSwitch *target, json_t *operations)
{
        for (guint i = 0; target->mirrors->len > 0 && i < target->ports->len; i++) {
                const TargetPort *port = &g_array_index(target->ports, TargetPort, i);
                const json_t *row = g_hash_table_lookup(rows->ports, port->device);
                json_auto_t *columns = vlan_columns(&port->vlans);
                if (row && !has_columns(row, columns))
                        update(operations, "Port", row, columns);
        }
}

static const TargetMirror *find_target(const TargetSwitch *target, const json_t *row)
{
        const char *name = json_string_value(json_object_get(row, "name"));
        for (guint i = 0; row && i < target->mirrors->len; i++)
                if (g_strcmp0(((TargetMirror *)target->mirrors->pdata[i])->name, name) == 0)
                        return target->mirrors->pdata[i];
        return NULL;
}

static void change_reference(json_t *operations, const char *bridge, const char *verb, json_t *reference_taken)
{
        json_array_append_new(operations, json_pack("{s:s, s:s, s:[[s, s, s]], s:[[s, s, [s, [o]]]]}", "op", "mutate",
                                                    "table", "Bridge", "where", "name", "==", bridge, "mutations",
                                                    "mirrors", verb, "set", reference_taken));
}

/* Those that are there: taken away or made so. @seen: the targets that are there. */
static void change_old(const Rows *rows, const TargetSwitch *target, GHashTable *seen, json_t *operations)
{
        const json_t *bridge = g_hash_table_lookup(rows->bridges, target->bridge);
        json_auto_t *references = ovsdb_set_elements(json_object_get(bridge, "mirrors"));
        json_t *reference;
        size_t i;
        json_array_foreach (references, i, reference) {
                const json_t *row = uuid_of(reference) ? g_hash_table_lookup(rows->mirrors, uuid_of(reference)) : NULL;
                const TargetMirror *mirror = find_target(target, row);
                if (!mirror || !g_hash_table_add(seen, (gpointer)mirror)) {
                        change_reference(operations, target->bridge, "delete", json_incref(reference));
                        continue;
                }
                json_auto_t *columns = mirror_columns(rows, mirror);
                if (!has_columns(row, columns))
                        update(operations, "Mirror", row, columns);
        }
}

static void add_new(const Rows *rows, const TargetSwitch *target, GHashTable *seen, json_t *operations)
{
        for (guint i = 0; i < target->mirrors->len; i++) {
                const TargetMirror *mirror = target->mirrors->pdata[i];
                g_autofree char *id = g_strdup_printf("m%zu", json_array_size(operations));
                if (g_hash_table_contains(seen, mirror))
                        continue;
                json_t *row = mirror_columns(rows, mirror);
                json_object_set_new(row, "name", json_string(mirror->name));
                json_array_append_new(operations, json_pack("{s:s, s:s, s:o, s:s}", "op", "insert", "table", "Mirror",
                                                            "row", row, "uuid-name", id));
                change_reference(operations, target->bridge, "insert", json_pack("[s, s]", "named-uuid", id));
        }
}

static bool are_wanted(const GPtrArray *targets)
{
        for (guint i = 0; i < targets->len; i++)
                if (((TargetSwitch *)targets->pdata[i])->mirrors->len > 0)
                        return true;
        return false;
}

static json_t *operations_for(const Rows *rows, const GPtrArray *targets)
{
        json_t *operations = json_array();
        for (guint i = 0; i < targets->len; i++) {
                const TargetSwitch *target = targets->pdata[i];
                g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
                set_vlans(rows, target, operations);
                change_old(rows, target, seen, operations);
                add_new(rows, target, seen, operations);
        }
        return operations;
}

bool mirrors_change(Ovs *ovs, const GPtrArray *targets, bool *are_some, GError **error)
{
        g_auto(Rows) rows = {0};
        json_auto_t *results = NULL;
        bool wanted = are_wanted(targets);
        if (!wanted && !*are_some)
                return true;
        if (!read_rows(ovs, &rows, &results, error))
                return false;
        json_t *operations = operations_for(&rows, targets);
        bool nothing = json_array_size(operations) == 0;
        if (nothing)
                json_decref(operations);
        if (!nothing && !ovs_change(ovs, operations, error))
                return false;
        *are_some = wanted;
        return true;
}
