/*
 * Writes NoCloud seeds through libarchive. Every value goes in as JSON, which is YAML too, so no value can become
 * structure. Called by the VM layer when it makes a VM whose image has cloud-init.
 */
#include "storage/seed.h"

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"

#define ISO_LIMIT (4 << 20)

/* Prints @json_taken after @heading. Not JSON_ENSURE_ASCII: YAML has no surrogate pairs. */
static char *document(const char *heading, json_t *json_taken)
{
        char *text = json_dumps(json_taken, JSON_INDENT(2));
        char *result = g_strconcat(heading, text, "\n", NULL);

        free(text);
        json_decref(json_taken);
        return result;
}

char *seed_meta_data(const Seed *seed)
{
        return document("",
                        json_pack("{s:s, s:s}", "instance-id", seed->instance_id, "local-hostname", seed->host_name));
}

static json_t *keys_json(const char *keys)
{
        g_auto(GStrv) lines = g_strsplit(keys ? keys : "", "\n", -1);
        json_t *list = json_array();

        for (char **line = lines; *line; line++)
                if (*g_strstrip(*line))
                        json_array_append_new(list, json_string(*line));
        return list;
}

char *seed_user_data(const Seed *seed)
{
        json_t *config = json_pack("{s:b, s:o}", "ssh_pwauth", 0, "ssh_authorized_keys", keys_json(seed->ssh_keys));

        if (seed->user_data) {
                json_decref(config);
                return g_strdup(seed->user_data);
        }
        if (seed->user)
                json_object_set_new(config, "users",
                                    json_pack("[{s:s, s:s, s:s, s:b, s:o}]", "name", seed->user, "shell",
                                              "/usr/bin/bash", "sudo", "ALL=(ALL) NOPASSWD:ALL", "lock_passwd", 1,
                                              "ssh_authorized_keys", keys_json(seed->ssh_keys)));
        return document("#cloud-config\n", config);
}

static void set_list(json_t *object, const char *name, char *const *words)
{
        json_t *list = json_array();

        for (; words && *words; words++)
                json_array_append_new(list, json_string(*words));
        if (json_array_size(list) > 0)
                json_object_set(object, name, list);
        json_decref(list);
}

static json_t *routes_json(char *const *gateways)
{
        json_t *list = json_array();

        for (; gateways && *gateways; gateways++)
                json_array_append_new(list, json_pack("{s:s, s:s}", "to", strchr(*gateways, ':') ? "::/0" : "0.0.0.0/0",
                                                      "via", *gateways));
        return list;
}

static json_t *nic_json(const SeedNic *nic)
{
        json_t *json = json_pack("{s:{s:s}, s:b}", "match", "macaddress", nic->mac, "dhcp4", nic->dhcp);
        json_t *routes = routes_json(nic->gateways), *servers = json_object();

        if (nic->dhcp6)
                json_object_set_new(json, "dhcp6", json_true());
        set_list(json, "addresses", nic->addresses);
        set_list(servers, "addresses", nic->dns);
        set_list(servers, "search", nic->search);
        if (json_array_size(routes) > 0)
                json_object_set(json, "routes", routes);
        if (json_object_size(servers) > 0)
                json_object_set(json, "nameservers", servers);
        if (nic->mtu > 0)
                json_object_set_new(json, "mtu", json_integer(nic->mtu));
        json_decref(routes);
        json_decref(servers);
        return json;
}

char *seed_network_config(const Seed *seed)
{
        json_t *ethernets = json_object();

        for (size_t i = 0; i < seed->n_nics; i++) {
                g_autofree char *name = g_strdup_printf("nic%zu", i);

                json_object_set_new(ethernets, name, nic_json(&seed->nics[i]));
        }
        return document("", json_pack("{s:i, s:o}", "version", 2, "ethernets", ethernets));
}

/* ---- the volume ---- */

static bool add_file(struct archive *iso, const char *name, const char *text)
{
        struct archive_entry *entry = archive_entry_new();
        gsize length = strlen(text);
        bool added;

        archive_entry_set_pathname(entry, name);
        archive_entry_set_mode(entry, S_IFREG | 0444);
        archive_entry_set_size(entry, (int64_t)length);
        added = archive_write_header(iso, entry) == ARCHIVE_OK &&
                (length == 0 || archive_write_data(iso, text, length) == (ssize_t)length);
        archive_entry_free(entry);
        return added;
}

static bool iso_fill(struct archive *iso, const Seed *seed)
{
        g_autofree char *meta = seed_meta_data(seed);
        g_autofree char *user = seed_user_data(seed);
        g_autofree char *network = seed_network_config(seed);

        return add_file(iso, "meta-data", meta) && add_file(iso, "user-data", user) &&
               add_file(iso, "network-config", network) && archive_write_close(iso) == ARCHIVE_OK;
}

bool seed_write(const char *path, const Seed *seed, GError **error)
{
        g_autofree char *buffer = g_malloc(ISO_LIMIT);
        struct archive *iso = archive_write_new();
        size_t used = 0;
        bool filled =
            archive_write_set_format_iso9660(iso) == ARCHIVE_OK &&
            archive_write_set_options(iso, "iso9660:volume-id=cidata,iso9660:joliet,iso9660:rockridge") == ARCHIVE_OK &&
            archive_write_open_memory(iso, buffer, ISO_LIMIT, &used) == ARCHIVE_OK && iso_fill(iso, seed);

        if (!filled)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "Making the seed %s: %s", path, archive_error_string(iso));
        archive_write_free(iso);
        return filled && file_write_atomic(path, buffer, used, 0600, false, error);
}
