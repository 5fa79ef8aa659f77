/* Seeds: cloud-init finds what was meant in them, and nothing else. */
#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "storage/seed.h"

static const char *const addresses[] = {"10.1.2.5/24", "fd00::5/64", NULL};
static const char *const gateways[] = {"10.1.2.1", "fd00::1", NULL};
static const char *const servers[] = {"10.1.2.1", NULL};
static const SeedNic nics[] = {{.mac = "52:54:00:00:00:01", .dhcp = true, .dhcp6 = true},
                               {.mac = "52:54:00:00:00:02",
                                .addresses = (char *const *)addresses,
                                .gateways = (char *const *)gateways,
                                .dns = (char *const *)servers,
                                .mtu = 1400}};
static const Seed plain = {.instance_id = "id-1",
                           .host_name = "web1",
                           .user = "ada",
                           .ssh_keys = "ssh-ed25519 AAAA ada@home\n\n ssh-rsa BBBB\n",
                           .nics = nics,
                           .n_nics = 2};

static char *file_of(const char *iso, const char *name)
{
        struct archive *archive = archive_read_new();
        struct archive_entry *entry;
        char *text = NULL;

        archive_read_support_format_iso9660(archive);
        g_assert_cmpint(archive_read_open_filename(archive, iso, 65536), ==, ARCHIVE_OK);
        while (!text && archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
                gsize length = (gsize)archive_entry_size(entry);

                if (strcmp(archive_entry_pathname(entry), name) != 0)
                        continue;
                text = g_malloc0(length + 1);
                g_assert_cmpint(archive_read_data(archive, text, length), ==, (gssize)length);
        }
        archive_read_free(archive);
        g_assert_nonnull(text);
        return text;
}

static void test_volume(void)
{
        g_autofree char *dir = g_dir_make_tmp("test-seed-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(dir, "seed.iso", NULL);
        g_autofree char *label = NULL;
        g_autofree char *content = NULL;
        g_autofree char *meta = seed_meta_data(&plain);
        g_autofree char *user = seed_user_data(&plain);
        g_autofree char *network = seed_network_config(&plain);
        g_autoptr(GError) error = NULL;
        gsize length;

        g_assert_true(seed_write(path, &plain, &error));
        g_assert_no_error(error);
        content = file_read(path, 8 << 20, &length, &error);
        g_assert_no_error(error);
        /* The primary volume descriptor is sector 16; the label is at offset 40 of it. */
        g_assert_cmpuint(length, >, 17 * 2048);
        label = g_strchomp(g_strndup(content + 16 * 2048 + 40, 32));
        g_assert_true(g_ascii_strcasecmp(label, "cidata") == 0);
        for (int i = 0; i < 3; i++) {
                static const char *const names[] = {"meta-data", "user-data", "network-config"};
                const char *expected[] = {meta, user, network};
                g_autofree char *text = file_of(path, names[i]);

                g_assert_cmpstr(text, ==, expected[i]);
        }
        g_assert_true(dir_remove(dir, NULL));
}

static json_t *parsed(const char *text)
{
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

        g_assert_nonnull(json);
        return json;
}

static void test_network(void)
{
        g_autofree char *text = seed_network_config(&plain);
        json_t *json = parsed(text);
        json_t *ethernets = json_object_get(json, "ethernets");
        json_t *match = json_object_get(json_object_get(ethernets, "nic1"), "match");

        g_assert_cmpint(json_integer_value(json_object_get(json, "version")), ==, 2);
        g_assert_cmpuint(json_object_size(ethernets), ==, 2);
        g_assert_cmpstr(json_string_value(json_object_get(match, "macaddress")), ==, nics[1].mac);
        g_autofree char *first = json_dumps(json_object_get(ethernets, "nic0"), JSON_COMPACT | JSON_SORT_KEYS);
        g_assert_cmpstr(first, ==, "{\"dhcp4\":true,\"dhcp6\":true,\"match\":{\"macaddress\":\"52:54:00:00:00:01\"}}");
        g_autofree char *second = json_dumps(json_object_get(ethernets, "nic1"), JSON_COMPACT | JSON_SORT_KEYS);
        g_assert_cmpstr(
            second, ==,
            "{\"addresses\":[\"10.1.2.5/24\",\"fd00::5/64\"],\"dhcp4\":false,"
            "\"match\":{\"macaddress\":\"52:54:00:00:00:02\"},\"mtu\":1400,"
            "\"nameservers\":{\"addresses\":[\"10.1.2.1\"]},"
            "\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"10.1.2.1\"},{\"to\":\"::/0\",\"via\":\"fd00::1\"}]}");
        json_decref(json);
}

static void test_user(void)
{
        g_autofree char *text = seed_user_data(&plain);
        json_t *json, *user;

        g_assert_true(g_str_has_prefix(text, "#cloud-config\n"));
        json = parsed(text + strlen("#cloud-config\n"));
        user = json_array_get(json_object_get(json, "users"), 0);
        g_assert_cmpstr(json_string_value(json_object_get(user, "name")), ==, "ada");
        g_assert_cmpuint(json_array_size(json_object_get(user, "ssh_authorized_keys")), ==, 2);
        json_decref(json);
}

/* A value with quotes, newlines and YAML's own signs stays one string. */
static void test_injection(void)
{
        static const char hostile[] = "x\"\nruncmd: [reboot]\n- &a *a: {}\n# ü";
        Seed seed = {.instance_id = hostile, .host_name = hostile, .user = hostile, .ssh_keys = hostile};
        g_autofree char *meta = seed_meta_data(&seed);
        g_autofree char *user = seed_user_data(&seed);
        json_t *json = parsed(meta);

        g_assert_cmpuint(json_object_size(json), ==, 2);
        g_assert_cmpstr(json_string_value(json_object_get(json, "local-hostname")), ==, hostile);
        json_decref(json);
        json = parsed(user + strlen("#cloud-config\n"));
        g_assert_cmpuint(json_object_size(json), ==, 3);
        g_assert_null(json_object_get(json, "runcmd"));
        json_decref(json);
}

static void test_own_user_data(void)
{
        Seed seed = plain;
        g_autofree char *text = NULL;

        seed.user_data = "#!/bin/sh\necho mine\n";
        text = seed_user_data(&seed);
        g_assert_cmpstr(text, ==, seed.user_data);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/seed/volume", test_volume);
        g_test_add_func("/seed/network", test_network);
        g_test_add_func("/seed/user", test_user);
        g_test_add_func("/seed/injection", test_injection);
        g_test_add_func("/seed/own-user-data", test_own_user_data);
        return g_test_run();
}
