/*
 * Making, feeding and ending of routers. See router.h.
 *
 * A router is made whole or not at all: when anything about it changes that dnsmasq cannot be told while it runs, or
 * when its keeper is gone, it is ended, its namespace and devices go with it, and a new one is made.
 */
#include "network/router.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "network/datapath.h"
#include "network/forward.h"
#include "network/namespace.h"

#define PROGRAM "/usr/sbin/dnsmasq"
#define FORWARD "/proc/sys/net/ipv4/ip_forward"
#define SETTINGS6 "/proc/sys/net/ipv6/conf/"
#define FORWARD6 SETTINGS6 "all/forwarding"
/* Both ends of each way out have the same addresses: they are on different devices. RFC 3927: never routed. */
#define TRANSIT_HOST "169.254.77.1"
#define TRANSIT_ROUTER "169.254.77.2"
#define TRANSIT_HOST6 "fe80::1"
#define TRANSIT_ROUTER6 "fe80::2"

Router *router_new(const char *switch_name, uint16_t vid, const Lan *lan)
{
        Router *router = g_new0(Router, 1);
        router->key = g_strdup_printf("%s.%u", switch_name, vid);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, router->key, -1);
        router->device = g_strdup_printf("hsr%.12s", hash);
        router->outside = g_strdup_printf(ROUTER_OUTSIDE_PREFIX "%.12s", hash);
        router->vid = vid;
        router->mac = (Mac){.bytes = {0x02, 0x48}};
        for (int i = 0; i < 4; i++)
                router->mac.bytes[2 + i] =
                    (uint8_t)(g_ascii_xdigit_value(hash[i * 2]) << 4 | g_ascii_xdigit_value(hash[i * 2 + 1]));
        router->lan = lan_copy(lan);
        router->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)lan_host_free);
        return router;
}

void router_free(Router *router)
{
        g_free(router->key);
        g_free(router->device);
        g_free(router->outside);
        lan_clear(&router->lan);
        g_ptr_array_unref(router->hosts);
        g_free(router);
}

static char *folder_of(const RouterPlace *place, const Router *router)
{
        return g_build_filename(place->folder, router->key, NULL);
}

static char *served_of(const RouterPlace *place, const Router *router)
{
        return g_build_filename(place->served, router->key, NULL);
}

/* Whatever umask this daemon has. */
static bool make_readable(const char *path, GError **error)
{
        return dir_ensure(path, error) &&
               (chmod(path, 0755) == 0 || error_set_errno(error, errno, NULL, "Cannot open the folder %s", path));
}

/* dnsmasq's package makes it a user of its own. */
static const char *user_of_dnsmasq(void)
{
        return getpwnam("dnsmasq") ? "dnsmasq" : "nobody";
}

/* ---- name servers of the host ---- */

static bool is_reachable(const IpAddress *address, bool v6)
{
        static const uint8_t loopback[16] = {[15] = 1};
        if (!address->v6)
                return address->bytes[0] != 127;
        return v6 && address->bytes[0] != 0xfe && memcmp(address->bytes, loopback, sizeof loopback) != 0;
}

static char **servers_in(const char *file, bool v6)
{
        g_autofree char *text = NULL;
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        if (!g_file_get_contents(file, &text, NULL, NULL))
                return g_strv_builder_end(builder);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit_set(g_strstrip(*line), " \t", 2);
                IpAddress address;
                if (g_strcmp0(words[0], "nameserver") == 0 && words[1] && ip_parse(g_strstrip(words[1]), &address) &&
                    is_reachable(&address, v6))
                        g_strv_builder_add(builder, words[1]);
        }
        return g_strv_builder_end(builder);
}

/* One on the host's own loopback cannot be reached from a router; systemd-resolved says elsewhere whom it asks. */
static char **upstream_of(const Lan *lan)
{
        g_auto(GStrv) servers = lan->nat ? servers_in("/etc/resolv.conf", lan->has_prefix) : NULL;
        if (servers && !servers[0])
                return servers_in("/run/systemd/resolve/resolv.conf", lan->has_prefix);
        return g_steal_pointer(&servers);
}

/* ---- what it is like ---- */

/* Everything that only a new one can have. */
static char *shape_of(const Router *router, const char *config)
{
        g_autofree char *own = ip_text(&router->lan.own), *mac = mac_text(&router->mac);
        g_autofree char *prefix = router->lan.has_prefix ? subnet_text(&router->lan.prefix) : g_strdup("");
        return g_strdup_printf("%s\n%s %s/%d %d %d %s", config, mac, own, router->lan.subnet.length, router->lan.mtu,
                               router->lan.nat, prefix);
}

static bool runs(const char *folder)
{
        ProcessId keeper, program;
        return keeper_read(folder, &keeper, &program, NULL) && process_id_alive(&keeper);
}

static bool has_text(const char *folder, const char *name, const char *text)
{
        g_autofree char *path = g_build_filename(folder, name, NULL), *is = NULL;
        return g_file_get_contents(path, &is, NULL, NULL) && strcmp(is, text) == 0;
}

static bool put_text(const char *folder, const char *name, const char *text, GError **error)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        return file_write_atomic(path, text, strlen(text), 0644, false, error);
}

/* A program whose keeper was killed goes on, and holds the namespace. */
static void end(const char *folder)
{
        ProcessId program;
        bool known = keeper_read(folder, NULL, &program, NULL);
        keeper_end(folder);
        if (known)
                process_id_kill(&program, SIGKILL);
}

/* ---- making ---- */

/* Before there is a device. Nobody else has these addresses, so none is asked for before it is used. */
static void allow_v6(const Lan *lan)
{
        if (!lan->has_prefix)
                return;
        namespace_set(SETTINGS6 "all/disable_ipv6", "0");
        namespace_set(SETTINGS6 "default/disable_ipv6", "0");
        namespace_set(SETTINGS6 "default/accept_ra", "0");
        namespace_set(SETTINGS6 "default/accept_dad", "0");
        if (lan->nat)
                namespace_set(FORWARD6, "1");
}

static void add_addresses6(const Lan *lan, GString *lines)
{
        g_autofree char *own = ip_text(&lan->own6);
        g_string_append_printf(lines, "addr add %s/%d dev net0\n", own, lan->prefix.length);
        if (lan->nat)
                g_string_append(lines, "addr add " TRANSIT_ROUTER6 "/64 dev up0\n"
                                       "route add ::/0 via " TRANSIT_HOST6 " dev up0\n");
}

/* In the new namespace. */
static bool make_devices(const RouterPlace *place, const Router *router, GError **error)
{
        g_autofree char *own = ip_text(&router->lan.own), *mac = mac_text(&router->mac);
        GString *lines = g_string_new("link set lo up\n");
        allow_v6(&router->lan);
        g_string_append_printf(lines,
                               "link add net0 address %s mtu %d type veth peer name %s mtu %d netns %d\n"
                               "addr add %s/%d dev net0\nlink set net0 up\n",
                               mac, router->lan.mtu, router->device, router->lan.mtu, place->switch_pid, own,
                               router->lan.subnet.length);
        if (router->lan.nat)
                g_string_append_printf(lines,
                                       "link add up0 type veth peer name %s netns %d\n"
                                       "addr add " TRANSIT_ROUTER "/32 dev up0\nlink set up0 up\n"
                                       "route add " TRANSIT_HOST " dev up0\n"
                                       "route add default via " TRANSIT_HOST " dev up0\n",
                                       router->outside, (int)getpid());
        if (router->lan.has_prefix)
                add_addresses6(&router->lan, lines);
        bool ok =
            namespace_ip(lines->str, error) && (datapath_takes_offloads() || namespace_no_offloads("net0", error));
        g_string_free(lines, TRUE);
        if (ok && router->lan.nat)
                namespace_set(FORWARD, "1");
        return ok;
}

bool router_is_installed(GError **error)
{
        if (g_file_test(PROGRAM, G_FILE_TEST_IS_EXECUTABLE))
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "dnsmasq is not installed, and subnets need it");
        return error_hint(error, "apt-get install dnsmasq-base   (as root)");
}

static bool launch(const char *folder, GError **error)
{
        g_autofree char *run = g_build_filename(folder, "run", NULL);
        g_autofree char *config = g_strdup_printf("--conf-file=%s/dnsmasq.conf", folder);
        const char *argv[] = {PROGRAM, "--keep-in-foreground", config, NULL};
        KeeperLaunch what = {.vm_dir = folder, .argv = argv, .again = true};
        ProcessId process;
        return router_is_installed(error) && dir_ensure(run, error) && keeper_launch(&what, &process, error);
}

static bool make_inside(const RouterPlace *place, const Router *router, const char *folder, GError **error)
{
        int back = namespace_here(error);
        if (back < 0)
                return false;
        bool ok = namespace_enter_new(error) && make_devices(place, router, error) && launch(folder, error);
        namespace_return(back);
        close(back);
        return ok;
}

static bool attach_switch_end(const Router *router, GError **error)
{
        g_autofree char *line = g_strdup_printf("link set %s up\n", router->device);
        return namespace_ip(line, error);
}

/* It is nobody's router that the host should listen to. */
static void set_host_end(const Router *router)
{
        g_autofree char *listen = g_strdup_printf(SETTINGS6 "%s/accept_ra", router->outside);
        g_autofree char *off = g_strdup_printf(SETTINGS6 "%s/disable_ipv6", router->outside);
        namespace_set(listen, "0");
        namespace_set(off, "0");
}

/* Caller frees. */
static char *host_end_lines(const Router *router)
{
        const char *device = router->outside;
        g_autofree char *subnet = subnet_text(&router->lan.subnet);
        g_autofree char *prefix = router->lan.has_prefix ? subnet_text(&router->lan.prefix) : NULL;
        GString *lines = g_string_new(NULL);
        g_string_append_printf(lines,
                               "addr add " TRANSIT_HOST "/32 dev %s\nlink set %s up\n"
                               "route add %s via " TRANSIT_ROUTER " dev %s onlink\n",
                               device, device, subnet, device);
        if (prefix)
                g_string_append_printf(lines,
                                       "addr add " TRANSIT_HOST6 "/64 dev %s nodad\n"
                                       "route add %s via " TRANSIT_ROUTER6 " dev %s\n",
                                       device, prefix, device);
        return g_string_free(lines, FALSE);
}

static bool attach_host_end(const RouterPlace *place, const Router *router, GError **error)
{
        g_autofree char *lines = host_end_lines(router);
        int back = router->lan.nat ? namespace_here(error) : -1;
        if (!router->lan.nat)
                return true;
        if (back < 0)
                return false;
        bool ok = namespace_enter(place->host_fd, error);
        if (ok && router->lan.has_prefix)
                set_host_end(router);
        ok = ok && namespace_ip(lines, error) && forward_begin(place->forward, router->lan.has_prefix, error);
        namespace_return(back);
        close(back);
        return ok;
}

/* What a killed one has left behind: the kernel takes its time with namespaces. */
static void clear(const Router *router, const char *folder)
{
        g_autofree char *line = g_strdup_printf("link del %s\n", router->device);
        end(folder);
        namespace_ip(line, NULL);
}

bool router_make(const RouterPlace *place, const Router *router, bool *ret_made, GError **error)
{
        g_autofree char *folder = folder_of(place, router);
        g_auto(GStrv) upstream = upstream_of(&router->lan);
        g_autofree char *served = served_of(place, router);
        g_autofree char *config = lan_config(&router->lan, folder, served, user_of_dnsmasq(), "net0", upstream);
        g_autofree char *shape = shape_of(router, config), *mark = g_build_filename(folder, "shape", NULL);
        *ret_made = false;
        if (runs(folder) && has_text(folder, "shape", shape))
                return true;
        *ret_made = true;
        clear(router, folder);
        unlink(mark);
        if (dir_ensure(folder, error) && put_text(folder, "dnsmasq.conf", config, error) &&
            router_serve(place, router, error) && make_inside(place, router, folder, error) &&
            attach_switch_end(router, error) && attach_host_end(place, router, error) &&
            put_text(folder, "shape", shape, error))
                return true;
        end(folder);
        return error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "subnet of %s", router->key);
}

/* ---- while it runs ---- */

bool router_serve(const RouterPlace *place, const Router *router, GError **error)
{
        g_autofree char *folder = folder_of(place, router);
        g_autofree char *hosts = lan_hosts(router->hosts), *names = lan_names(router->hosts);
        g_autofree char *options = lan_options(&router->lan, router->hosts), *served = served_of(place, router);
        const char *const files[][2] = {{"hosts", hosts}, {"names", names}, {"options", options}};
        bool changed = false;
        if (!make_readable(place->served, error) || !make_readable(served, error))
                return false;
        for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
                if (has_text(served, files[i][0], files[i][1]))
                        continue;
                changed = true;
                if (!put_text(served, files[i][0], files[i][1], error))
                        return false;
        }
        ProcessId program;
        if (changed && keeper_read(folder, NULL, &program, NULL))
                process_id_kill(&program, SIGHUP);
        return true;
}

void routers_end_others(const RouterPlace *place, const GPtrArray *routers)
{
        g_autoptr(GDir) dir = g_dir_open(place->folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
                bool wanted = false;
                for (guint i = 0; i < routers->len; i++)
                        wanted |= strcmp(((Router *)routers->pdata[i])->key, name) == 0;
                if (wanted)
                        continue;
                g_autofree char *folder = g_build_filename(place->folder, name, NULL);
                g_autofree char *served = g_build_filename(place->served, name, NULL);
                end(folder);
                dir_remove(folder, NULL);
                dir_remove(served, NULL);
        }
        if (routers->len == 0)
                rmdir(place->served);
}

void routers_watch(const RouterPlace *place, const GPtrArray *routers, GArray *fds)
{
        for (guint i = 0; i < routers->len; i++) {
                g_autofree char *folder = folder_of(place, routers->pdata[i]);
                ProcessId keeper;
                int fd = keeper_read(folder, &keeper, NULL, NULL) ? process_id_open(&keeper) : -1;
                if (fd >= 0)
                        g_array_append_val(fds, fd);
        }
}
