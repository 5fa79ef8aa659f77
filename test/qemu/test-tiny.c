/*
 * The tiny image, built from packages and booted by QEMU itself, without a daemon: userspace, agent, address, the power
 * button, and a file that is still there after it. Skipped where no packages can be fetched.
 */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-records.h"
#include "storage/image.h"
#include "storage/image_build.h"
#include "storage/volume.h"

#define BOOT_LIMIT_S 90
#define REPLY_LIMIT_S 20

/* A line-wise JSON peer on a Unix socket: QMP and the agent are both that. */
typedef struct {
        GSocketConnection *connection;
        GDataInputStream *lines;
} Peer;

typedef struct {
        const char *dir;
        GSubprocess *qemu;
        Peer qmp, agent;
} Guest;

static char *in_dir(const char *dir, const char *name)
{
        return g_build_filename(dir, name, NULL);
}

static bool peer_open(Peer *peer, const char *dir, const char *name)
{
        g_autofree char *path = in_dir(dir, name);
        g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
        g_autoptr(GSocketClient) client = g_socket_client_new();

        for (int tries = 0; !peer->connection && tries < 200; tries++) {
                peer->connection = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
                g_usleep(peer->connection ? 0 : 50000);
        }
        if (!peer->connection)
                return false;
        g_socket_set_timeout(g_socket_connection_get_socket(peer->connection), REPLY_LIMIT_S);
        peer->lines = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(peer->connection)));
        return true;
}

static void peer_close(Peer *peer)
{
        g_clear_object(&peer->lines);
        g_clear_object(&peer->connection);
}

static json_t *peer_read(Peer *peer)
{
        g_autofree char *line = g_data_input_stream_read_line(peer->lines, NULL, NULL, NULL);

        return line ? json_loads(line, 0, NULL) : NULL;
}

static void peer_write(Peer *peer, json_t *command_taken)
{
        char *text = json_dumps(command_taken, JSON_COMPACT);
        g_autofree char *line = g_strconcat(text, "\n", NULL);

        g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(peer->connection)), line,
                                                strlen(line), NULL, NULL, NULL));
        free(text);
        json_decref(command_taken);
}

/* The "return" of @command; events in between are passed over. */
static json_t *peer_call(Peer *peer, const char *command, json_t *arguments_taken)
{
        peer_write(peer, json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments_taken));
        while (true) {
                json_t *reply = peer_read(peer);
                json_t *result = json_incref(json_object_get(reply, "return"));

                g_assert_nonnull(reply);
                if (!result && !json_object_get(reply, "event"))
                        g_error("%s: %s", command, json_dumps(reply, 0));
                json_decref(reply);
                if (result)
                        return result;
        }
}

static void guest_start(Guest *guest, const char *dir, const ImagePaths *image)
{
        g_autofree char *append = g_strconcat(image->cmdline, " hostler.name=tiny-test", NULL);
        g_autofree char *disk = in_dir(dir, "disk.qcow2");
        g_autofree char *console = g_strdup_printf("file,id=console,path=%s/console", dir);
        g_autofree char *qmp = g_strdup_printf("unix:%s/qmp,server=on,wait=off", dir);
        g_autofree char *agent = g_strdup_printf("socket,id=agent,path=%s/agent,server=on,wait=off", dir);
        g_autofree char *drive = g_strdup_printf("if=none,id=disk,format=qcow2,file=%s", disk);
        const char *const argv[] = {"qemu-system-x86_64",
                                    "-nodefaults",
                                    "-no-user-config",
                                    "-display",
                                    "none",
                                    "-machine",
                                    "q35",
                                    "-accel",
                                    "tcg",
                                    "-cpu",
                                    "qemu64",
                                    "-m",
                                    "256",
                                    "-kernel",
                                    image->kernel,
                                    "-initrd",
                                    image->initrd,
                                    "-append",
                                    append,
                                    "-chardev",
                                    console,
                                    "-serial",
                                    "chardev:console",
                                    "-qmp",
                                    qmp,
                                    "-device",
                                    "virtio-serial-pci",
                                    "-chardev",
                                    agent,
                                    "-device",
                                    "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
                                    "-drive",
                                    drive,
                                    "-device",
                                    "virtio-blk-pci,drive=disk",
                                    "-netdev",
                                    "user,id=net",
                                    "-device",
                                    "virtio-net-pci,netdev=net",
                                    NULL};

        guest->dir = dir;
        guest->qemu = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_NONE, NULL);
        g_assert_nonnull(guest->qemu);
        g_assert_true(peer_open(&guest->qmp, dir, "qmp"));
        json_decref(peer_read(&guest->qmp)); /* the greeting */
        json_decref(peer_call(&guest->qmp, "qmp_capabilities", NULL));
}

static void console_wait(const Guest *guest, const char *text)
{
        g_autofree char *path = in_dir(guest->dir, "console");
        gint64 deadline = g_get_monotonic_time() + (gint64)BOOT_LIMIT_S * G_USEC_PER_SEC;

        while (g_get_monotonic_time() < deadline) {
                g_autofree char *said = file_read(path, 1 << 20, NULL, NULL);

                if (said && strstr(said, text))
                        return;
                g_usleep(100000);
        }
        g_error("the console never said \"%s\"", text);
}

/* The shell's prompt comes when all services have been started; the agent may need a moment more. */
static void agent_wait(Guest *guest)
{
        console_wait(guest, "tiny-test:");
        g_assert_true(peer_open(&guest->agent, guest->dir, "agent"));
        json_decref(peer_call(&guest->agent, "guest-ping", NULL));
}

static void check_address(Guest *guest)
{
        gint64 deadline = g_get_monotonic_time() + (gint64)BOOT_LIMIT_S * G_USEC_PER_SEC;
        bool found = false;

        while (!found && g_get_monotonic_time() < deadline) {
                json_t *interfaces = peer_call(&guest->agent, "guest-network-get-interfaces", NULL);
                char *text = json_dumps(interfaces, 0);

                found = strstr(text, "10.0.2.15") != NULL;
                free(text);
                json_decref(interfaces);
                g_usleep(found ? 0 : 200000);
        }
        g_assert_true(found);
}

static void file_write_in_guest(Guest *guest)
{
        json_t *handle =
            peer_call(&guest->agent, "guest-file-open", json_pack("{s:s, s:s}", "path", "/root/kept", "mode", "w"));
        json_int_t number = json_integer_value(handle);

        json_decref(handle);
        json_decref(peer_call(&guest->agent, "guest-file-write",
                              json_pack("{s:I, s:s}", "handle", number, "buf-b64", "a2VwdA==")));
        json_decref(peer_call(&guest->agent, "guest-file-close", json_pack("{s:I}", "handle", number)));
}

static void file_check_in_guest(Guest *guest)
{
        json_t *handle =
            peer_call(&guest->agent, "guest-file-open", json_pack("{s:s, s:s}", "path", "/root/kept", "mode", "r"));
        json_t *content =
            peer_call(&guest->agent, "guest-file-read", json_pack("{s:I}", "handle", json_integer_value(handle)));

        g_assert_cmpstr(json_string_value(json_object_get(content, "buf-b64")), ==, "a2VwdA==");
        json_decref(content);
        json_decref(handle);
}

/* QEMU ends by itself, and well: the guest has powered off. */
static void guest_press_power(Guest *guest)
{
        json_decref(peer_call(&guest->qmp, "system_powerdown", NULL));
        g_assert_true(g_subprocess_wait(guest->qemu, NULL, NULL));
        g_assert_true(g_subprocess_get_if_exited(guest->qemu));
        g_assert_cmpint(g_subprocess_get_exit_status(guest->qemu), ==, 0);
        peer_close(&guest->qmp);
        peer_close(&guest->agent);
        g_clear_object(&guest->qemu);
}

/* The first boot found a fresh file system, the second one a clean one: nothing had to be recovered. */
static void check_clean(const Guest *guest)
{
        g_autofree char *path = in_dir(guest->dir, "console");
        g_autofree char *said = file_read(path, 1 << 20, NULL, NULL);

        g_assert_nonnull(said);
        g_assert_nonnull(strstr(said, "hostler: userspace"));
        g_assert_null(strstr(said, "recovery complete"));
}

static void boot(const char *dir, const ImagePaths *image, void (*look)(Guest *guest))
{
        Guest guest = {0};

        guest_start(&guest, dir, image);
        agent_wait(&guest);
        check_address(&guest);
        look(&guest);
        guest_press_power(&guest);
        check_clean(&guest);
}

static void test_tiny(void)
{
        g_autofree char *dir = g_dir_make_tmp("test-tiny-XXXXXX", NULL);
        g_autofree char *store = in_dir(dir, "images");
        g_autofree char *cache = in_dir(dir, "cache");
        g_autofree char *disk = in_dir(dir, "disk.qcow2");
        g_auto(ImagePaths) paths = {0};
        g_autoptr(GError) error = NULL;
        HostlerImage image;

        if (!image_make(&(ImageBuild){.store_dir = store, .cache_dir = cache, .name = "tiny"}, &image, &error)) {
                if (strstr(error->message, "Getting Debian package"))
                        g_test_skip(error->message);
                else
                        g_error("%s", error->message);
                dir_remove(dir, NULL);
                return;
        }
        record_clear(&hostler_image_type, &image);
        g_assert_true(image_paths(store, "tiny", &paths, &error));
        g_assert_true(volume_create_overlay(disk, paths.disk, "qcow2", paths.size_bytes * 2, &error));
        g_assert_no_error(error);
        boot(dir, &paths, file_write_in_guest);
        boot(dir, &paths, file_check_in_guest);
        g_assert_true(dir_remove(dir, NULL));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tiny/boot", test_tiny);
        return g_test_run();
}
