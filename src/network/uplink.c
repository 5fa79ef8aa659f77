/*
 * Making and undoing of uplinks. See uplink.h.
 *
 * Before anything is changed, what undoes it is on the disk, and, on trial, the process that will do so has been
 * started; it is the same text that the daemon itself goes by.
 */
#include "network/uplink.h"

#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "network/datapath.h"
#include "network/namespace.h"

#define IP_MS 20000
#define IP_PROGRAM "/sbin/ip"
#define RECORD_LIMIT (1 << 20)

Uplink *uplink_new(const char *switch_name, const char *nic)
{
        Uplink *uplink = g_new0(Uplink, 1);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, switch_name, -1);
        uplink->switch_name = g_strdup(switch_name);
        uplink->nic = g_strdup(nic);
        uplink->bridge = g_strdup_printf("hsu%.12s", hash);
        uplink->leg = g_strdup_printf("hsl%.12s", hash);
        uplink->device = g_strdup_printf("hsx%.12s", hash);
        return uplink;
}

void uplink_free(Uplink *uplink)
{
        g_free(uplink->switch_name);
        g_free(uplink->nic);
        g_free(uplink->bridge);
        g_free(uplink->leg);
        g_free(uplink->device);
        g_free(uplink);
}

bool uplink_is_nic(const char *text)
{
        return text && *text && strcmp(text, "none") != 0 && strcmp(text, "nat") != 0;
}

/* ---- what the card is like ---- */

static json_t *ask(const char *const *argv, GError **error)
{
        const ProcessOptions options = {.argv = argv, .timeout_ms = IP_MS};
        return process_run_json(&options, error);
}

json_t *uplink_facts(const char *nic, GError **error)
{
        const char *const link_argv[] = {"ip", "-d", "-j", "link", "show", "dev", nic, NULL};
        const char *const address_argv[] = {"ip", "-j", "addr", "show", "dev", nic, NULL};
        const char *const route_argv[] = {"ip", "-N", "-j", "-4", "route", "show", "table", "all", "dev", nic, NULL};
        const char *const route6_argv[] = {"ip", "-N", "-j", "-6", "route", "show", "table", "all", "dev", nic, NULL};
        g_autoptr(GError) local = NULL;
        json_auto_t *link = ask(link_argv, &local);
        if (!link) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "uplink: there is no network card %s", nic);
                return NULL;
        }
        json_auto_t *addresses = ask(address_argv, error), *routes = addresses ? ask(route_argv, error) : NULL;
        json_auto_t *routes6 = routes ? ask(route6_argv, error) : NULL;
        if (!routes6)
                return NULL;
        return json_pack("{s:O, s:O, s:O, s:O}", "link", json_array_get(link, 0), "addresses",
                         json_object_get(json_array_get(addresses, 0), "addr_info"), "routes", routes, "routes6",
                         routes6);
}

static const char *text_of(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));
        return text ? text : "";
}

/* ---- lines for ip(8) ---- */

/*
 * What a router's advertisement gave comes again; of the bridge's own, IPv6's link-local address (@of_link) too, while
 * the card makes it only when it goes up.
 */
static void add_addresses(GString *lines, const json_t *facts, const char *device, bool of_link)
{
        json_t *address;
        size_t i;
        json_array_foreach (json_object_get(facts, "addresses"), i, address) {
                bool v6 = strcmp(text_of(address, "family"), "inet6") == 0, broadcast = *text_of(address, "broadcast");
                if (v6 && ((!of_link && strcmp(text_of(address, "scope"), "link") == 0) ||
                           json_is_true(json_object_get(address, "dynamic"))))
                        continue;
                g_string_append_printf(lines, "addr add %s/%d%s%s dev %s%s\n", text_of(address, "local"),
                                       (int)json_integer_value(json_object_get(address, "prefixlen")),
                                       broadcast ? " broadcast " : "", text_of(address, "broadcast"), device,
                                       v6 ? " nodad" : "");
        }
}

static void add_word(GString *lines, const char *word, const json_t *value)
{
        if (json_is_string(value))
                g_string_append_printf(lines, " %s %s", word, json_string_value(value));
        else if (json_is_integer(value))
                g_string_append_printf(lines, " %s %" JSON_INTEGER_FORMAT, word, json_integer_value(value));
}

/* Protocol 2 is the kernel's own: it makes these with the addresses; 9 a router's advertisement, which comes again. */
static bool comes_by_itself(const json_t *route)
{
        const char *protocol = text_of(route, "protocol"), *type = text_of(route, "type");
        return strcmp(protocol, "2") == 0 || strcmp(protocol, "kernel") == 0 || strcmp(protocol, "9") == 0 ||
               strcmp(protocol, "ra") == 0 || (*type && strcmp(type, "1") != 0 && strcmp(type, "unicast") != 0);
}

/* Those without a gateway first: the others' gateways are reached by them. */
static void add_routes(GString *lines, const json_t *routes, const char *everywhere, const char *device)
{
        static const char *const words[][2] = {{"protocol", "proto"}, {"scope", "scope"}, {"prefsrc", "src"},
                                               {"metric", "metric"},  {"table", "table"}, {"mtu", "mtu"}};
        json_t *route, *flag;
        size_t i, k;
        for (size_t n = 0; n < 2 * json_array_size(routes); n++) {
                route = json_array_get(routes, n % json_array_size(routes));
                bool direct = !json_object_get(route, "gateway");
                if (comes_by_itself(route) || direct != (n < json_array_size(routes)))
                        continue;
                const char *where = text_of(route, "dst");
                g_string_append_printf(lines, "route replace %s", strcmp(where, "default") == 0 ? everywhere : where);
                add_word(lines, "via", json_object_get(route, "gateway"));
                g_string_append_printf(lines, " dev %s", device);
                for (i = 0; i < G_N_ELEMENTS(words); i++)
                        add_word(lines, words[i][1], json_object_get(route, words[i][0]));
                json_array_foreach (json_object_get(route, "flags"), k, flag)
                        if (g_strcmp0(json_string_value(flag), "onlink") == 0)
                                g_string_append(lines, " onlink");
                g_string_append_c(lines, '\n');
        }
}

static void add_all(GString *lines, const json_t *facts, const char *device, bool of_link)
{
        add_addresses(lines, facts, device, of_link);
        add_routes(lines, json_object_get(facts, "routes"), "0.0.0.0/0", device);
        add_routes(lines, json_object_get(facts, "routes6"), "::/0", device);
}

static int mtu_of(const json_t *facts)
{
        return (int)json_integer_value(json_object_get(json_object_get(facts, "link"), "mtu"));
}

/* The bridge learns no groups: whoever wants one behind the switch is known to the switch. */
char *uplink_there(const Uplink *uplink, const json_t *facts)
{
        GString *lines = g_string_new(NULL);
        g_string_append_printf(
            lines,
            "link add %s address %s mtu %d type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
            "link set %s up\n"
            "addr flush dev %s\nlink set %s addrgenmode none\nlink set %s master %s\nlink set %s up\n",
            uplink->bridge, text_of(json_object_get(facts, "link"), "address"), mtu_of(facts), uplink->bridge,
            uplink->nic, uplink->nic, uplink->nic, uplink->bridge, uplink->nic);
        add_all(lines, facts, uplink->bridge, false);
        return g_string_free(lines, FALSE);
}

static bool was_up(const json_t *link)
{
        json_t *flag;
        size_t i;
        json_array_foreach (json_object_get(link, "flags"), i, flag)
                if (g_strcmp0(json_string_value(flag), "UP") == 0)
                        return true;
        return false;
}

/* Going through with it whatever fails: part of it may not have been done, or be undone. */
char *uplink_back(const Uplink *uplink, const json_t *facts)
{
        GString *lines = g_string_new(NULL);
        const json_t *link = json_object_get(facts, "link");
        const char *mode = text_of(link, "inet6_addr_gen_mode");
        g_string_append_printf(lines, "link set %s nomaster\nlink del %s\nlink del %s\n", uplink->nic, uplink->leg,
                               uplink->bridge);
        g_string_append_printf(lines, "link set %s addrgenmode %s\n", uplink->nic, *mode ? mode : "eui64");
        if (was_up(link))
                add_all(lines, facts, uplink->nic, true);
        else
                g_string_append_printf(lines, "link set %s down\n", uplink->nic);
        return g_string_free(lines, FALSE);
}

/* ---- the record ---- */

static char *folder_of(const char *folder, const char *switch_name)
{
        return g_build_filename(folder, switch_name, NULL);
}

static json_t *read_record(const char *folder)
{
        g_autofree char *path = g_build_filename(folder, "record.json", NULL);
        g_autofree char *text = file_read(path, RECORD_LIMIT, NULL, NULL);
        return text ? json_loads(text, 0, NULL) : NULL;
}

static bool put_text(const char *folder, const char *name, const char *text, GError **error)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        return file_write_atomic(path, text, strlen(text), 0600, true, error);
}

static bool write_record(const Uplink *uplink, const json_t *facts, const char *folder, GError **error)
{
        json_auto_t *record =
            json_pack("{s:s, s:s, s:s}", "nic", uplink->nic, "bridge", uplink->bridge, "boot", host_boot_id());
        char *text = json_dumps(record, JSON_COMPACT);
        g_autofree char *back = uplink_back(uplink, facts);
        bool ok = dir_ensure(folder, error) && put_text(folder, "back", back, error) &&
                  put_text(folder, "record.json", text, error);
        free(text);
        return ok;
}

/* ---- the end of a trial ---- */

ProcessId uplink_trial_process(const char *folder, const char *switch_name)
{
        g_autofree char *own = folder_of(folder, switch_name);
        ProcessId process;
        bool runs = keeper_read(own, NULL, &process, NULL) && process_id_alive(&process);
        return runs ? process : (ProcessId){0};
}

void uplink_end_trial(const char *folder, const char *switch_name)
{
        g_autofree char *own = folder_of(folder, switch_name);
        ProcessId process;
        bool known = keeper_read(own, NULL, &process, NULL);
        keeper_end(own);
        if (known)
                process_id_kill(&process, SIGKILL);
}

/* In the host's namespace. */
static bool launch_trial(const char *folder, int seconds, GError **error)
{
        g_autofree char *run = g_build_filename(folder, "run", NULL), *back = g_build_filename(folder, "back", NULL);
        g_autofree char *keeper = process_sibling("hostler-keeper"), *wait = g_strdup_printf("%d", seconds);
        const char *const argv[] = {keeper, "later", wait, "--", IP_PROGRAM, "-force", "-batch", back, NULL};
        KeeperLaunch what = {.vm_dir = folder, .argv = argv};
        ProcessId process;
        return dir_ensure(run, error) && keeper_launch(&what, &process, error);
}

/* ---- there and back, in the host's namespace ---- */

static void go_back(const char *folder)
{
        g_autofree char *back = g_build_filename(folder, "back", NULL);
        const char *const argv[] = {IP_PROGRAM, "-force", "-batch", back, NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = IP_MS};
        process_run(&options, NULL, NULL);
}

static bool has_device(const char *name)
{
        return if_nametoindex(name) > 0;
}

/* A card whose bridge somebody has taken away is made an uplink anew. */
static bool is_there(const Uplink *uplink, const json_t *record)
{
        return record && strcmp(text_of(record, "nic"), uplink->nic) == 0 &&
               strcmp(text_of(record, "boot"), host_boot_id()) == 0 && has_device(uplink->bridge);
}

/* Undoes what is on record, if this boot has seen it. */
static void undo(const char *root, const char *switch_name)
{
        g_autofree char *folder = folder_of(root, switch_name);
        json_auto_t *record = read_record(folder);
        uplink_end_trial(root, switch_name);
        if (record && strcmp(text_of(record, "boot"), host_boot_id()) == 0)
                go_back(folder);
        dir_remove(folder, NULL);
}

static bool make_bridge(const UplinkPlace *place, const Uplink *uplink, GError **error)
{
        g_autofree char *folder = folder_of(place->folder, uplink->switch_name);
        json_auto_t *record = read_record(folder);
        if (is_there(uplink, record))
                return true;
        undo(place->folder, uplink->switch_name);
        json_auto_t *facts = uplink_facts(uplink->nic, error);
        if (!facts || !write_record(uplink, facts, folder, error))
                return false;
        g_autofree char *lines = uplink_there(uplink, facts);
        if ((uplink->trial_s == 0 || launch_trial(folder, uplink->trial_s, error)) && namespace_ip(lines, error))
                return true;
        undo(place->folder, uplink->switch_name);
        return false;
}

/* It went with the switch's namespace. */
static bool make_leg(const UplinkPlace *place, const Uplink *uplink, bool *ret_made, GError **error)
{
        if (has_device(uplink->leg))
                return true;
        json_auto_t *facts = uplink_facts(uplink->nic, error);
        if (!facts)
                return false;
        int mtu = mtu_of(facts);
        g_autofree char *lines =
            g_strdup_printf("link add %s mtu %d type veth peer name %s mtu %d netns %d\nlink set %s addrgenmode none\n"
                            "link set %s master %s\nlink set %s up\n",
                            uplink->leg, mtu, uplink->device, mtu, place->switch_pid, uplink->leg, uplink->leg,
                            uplink->bridge, uplink->leg);
        *ret_made = true;
        return namespace_ip(lines, error) && (datapath_takes_offloads() || namespace_no_offloads(uplink->leg, error));
}

static bool make(const UplinkPlace *place, const Uplink *uplink, bool *ret_made, GError **error)
{
        return make_bridge(place, uplink, error) && make_leg(place, uplink, ret_made, error);
}

bool uplink_make(const UplinkPlace *place, const Uplink *uplink, bool *ret_made, GError **error)
{
        g_autofree char *line = g_strdup_printf("link set %s up\n", uplink->device);
        autoclose int back = namespace_here(error);
        *ret_made = false;
        if (back < 0 || !namespace_enter(place->host_fd, error))
                return false;
        bool ok = make(place, uplink, ret_made, error);
        namespace_return(back);
        return (ok && (!*ret_made || namespace_ip(line, error))) ||
               error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "uplink %s of %s", uplink->nic, uplink->switch_name);
}

static bool is_wanted(const GPtrArray *uplinks, const char *switch_name)
{
        for (guint i = 0; i < uplinks->len; i++)
                if (strcmp(((Uplink *)uplinks->pdata[i])->switch_name, switch_name) == 0)
                        return true;
        return false;
}

bool uplinks_end_others(const UplinkPlace *place, const GPtrArray *uplinks, GError **error)
{
        g_autoptr(GDir) dir = g_dir_open(place->folder, 0, NULL);
        const char *name;
        autoclose int back = dir ? namespace_here(error) : -1;
        if (!dir)
                return true;
        if (back < 0 || !namespace_enter(place->host_fd, error))
                return false;
        while ((name = g_dir_read_name(dir)))
                if (!is_wanted(uplinks, name))
                        undo(place->folder, name);
        namespace_return(back);
        return true;
}
