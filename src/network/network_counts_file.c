/*
 * What counters need to go on with after the daemon's end: a file beside the network's folder, read once, written while
 * things change. It needs not be on the disk: with the host go the guests, and with them what was counted.
 *
 * Of what an earlier daemon wrote, an adapter takes its own when it is attached again to a QEMU that runs on; what
 * nobody has taken by the end of the recovery is thrown away. See network_private.h.
 */
#include <string.h>

#include "base/file.h"
#include "network/network_private.h"

#define FILE_LIMIT (16 << 20)

static void left_free(gpointer data)
{
        LeftCounts *left = data;
        g_free(left->switch_name);
        g_free(left);
}

/* ---- reading ---- */

static bool read_numbers(const json_t *array, AdapterCounts *ret_counts)
{
        uint64_t *numbers = (uint64_t *)ret_counts;
        for (size_t i = 0; i < COUNTS_NUMBERS; i++)
                numbers[i] = (uint64_t)json_integer_value(json_array_get(array, i));
        return json_array_size(array) == COUNTS_NUMBERS;
}

static void read_one(GHashTable *left, const char *key, const json_t *json)
{
        LeftCounts *one = g_new0(LeftCounts, 1);
        one->switch_name = g_strdup(json_string_value(json_object_get(json, "switch")));
        one->number = (uint32_t)json_integer_value(json_object_get(json, "port"));
        one->counted.off = json_is_true(json_object_get(json, "off"));
        if (one->switch_name && one->number && read_numbers(json_object_get(json, "last"), &one->counted.last) &&
            read_numbers(json_object_get(json, "zero"), &one->counted.zero) &&
            read_numbers(json_object_get(json, "kept"), &one->counted.kept))
                g_hash_table_insert(left, g_strdup(key), one);
        else
                left_free(one);
}

void counts_load(Network *network)
{
        g_autofree char *text = file_read(network->counts_file, FILE_LIMIT, NULL, NULL);
        json_auto_t *all = text ? json_loads(text, 0, NULL) : NULL;
        const char *key;
        json_t *one;
        network->left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, left_free);
        json_object_foreach (all, key, one)
                read_one(network->left, key, one);
}

void counts_restore(Network *network, Attached *adapter)
{
        const LeftCounts *left = g_hash_table_lookup(network->left, adapter->key);
        if (left && strcmp(left->switch_name, adapter->switch_name) == 0) {
                adapter->counted = left->counted;
                adapter->number = left->number; /* it is on the switch already, and can be read */
        }
        g_hash_table_remove(network->left, adapter->key);
}

/* ---- writing ---- */

static json_t *numbers_json(const AdapterCounts *counts)
{
        const uint64_t *numbers = (const uint64_t *)counts;
        json_t *array = json_array();
        for (size_t i = 0; i < COUNTS_NUMBERS; i++)
                json_array_append_new(array, json_integer((json_int_t)numbers[i]));
        return array;
}

static json_t *one_json(const char *switch_name, uint32_t number, const Counted *counted)
{
        return json_pack("{s:s, s:I, s:b, s:o, s:o, s:o}", "switch", switch_name, "port", (json_int_t)number, "off",
                         counted->off, "last", numbers_json(&counted->last), "zero", numbers_json(&counted->zero),
                         "kept", numbers_json(&counted->kept));
}

static json_t *all_json(Network *network)
{
        json_t *all = json_object();
        GHashTableIter iter;
        gpointer key, value;
        g_hash_table_iter_init(&iter, network->left);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
                const LeftCounts *left = value;
                json_object_set_new(all, key, one_json(left->switch_name, left->number, &left->counted));
        }
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
                const Attached *adapter = value;
                if (!adapter->captures && adapter->number)
                        json_object_set_new(all, key,
                                            one_json(adapter->switch_name, adapter->number, &adapter->counted));
        }
        return all;
}

void counts_save(Network *network)
{
        json_auto_t *all = all_json(network);
        g_autofree char *text = json_object_size(all) > 0 ? json_dumps(all, JSON_COMPACT) : NULL;
        g_autoptr(GError) error = NULL;
        if (!text)
                unlink(network->counts_file);
        else if (!file_write_atomic(network->counts_file, text, strlen(text), 0600, false, &error))
                g_warning("counters of adapters cannot be kept: %s", error->message);
}
