/*
 * The network's thread: rounds that make the switch what it should be, and in between an eye on its process.
 *
 * It lives in the switch's network namespace from its first start on, and is the only one that starts and ends
 * processes. A round that fails is tried again as long as something is wanted.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "network/datapath.h"
#include "network/forward.h"
#include "network/namespace.h"
#include "network/nat.h"
#include "network/network_mirror.h"
#include "network/network_private.h"
#include "network/shape.h"
#include "network/tap.h"
#include "wire/openflow.h"

#define OPENFLOW_MS 10000
#define RETRY_MS 200

/* What the thread alone knows. */
typedef struct {
        Network *network;
        GHashTable *installed;  /* bridge → FlowTable: what its switch was told last */
        ProcessId installed_in; /* the process that was told */
        bool mirrors;           /* the switches may have some */
        bool failing;           /* the last round failed, and that was said */
        GPtrArray *routers;     /* of the last round, of Router; borrowed from `targets` */
        GPtrArray *targets;
        Shapes *shapes;
        bool has_nat; /* the host's packet filter has something of ours, or may have */
        int nat_fd;   /* somebody changed it; -1: not watched */
} Thread;

/* Whether what nobody wants may be taken away: before the recovery is over, its owner may not have come yet. */
static bool strangers_go(Network *network)
{
        g_mutex_lock(&network->lock);
        bool go = network->recovered;
        g_mutex_unlock(&network->lock);
        return go;
}

/* ---- devices ---- */

static void keep_device(Network *network, const char *key, int fd_taken)
{
        autoclose int fd = fd_taken;
        g_mutex_lock(&network->lock);
        Attached *adapter = g_hash_table_lookup(network->attached, key);
        if (adapter && adapter->wants_device) {
                fd_close(&adapter->fd);
                adapter->fd = fd_steal(&fd);
                adapter->wants_device = false;
        }
        g_mutex_unlock(&network->lock);
}

static bool make_devices(Network *network, const GPtrArray *targets, GError **error)
{
        for (guint i = 0; i < targets->len; i++) {
                const TargetSwitch *target = targets->pdata[i];
                for (guint k = 0; k < target->ports->len; k++) {
                        const TargetPort *port = &g_array_index(target->ports, TargetPort, k);
                        if (port->is_router)
                                continue;
                        if (!port->wants_device)
                                tap_resize(port->device, port->mtu);
                        int fd = port->wants_device ? tap_open(port->device, port->mtu,
                                                               port->is_guests && datapath_takes_offloads(), error)
                                                    : -1;
                        if (port->wants_device && fd < 0)
                                return false;
                        if (fd >= 0)
                                keep_device(network, port->key, fd);
                }
        }
        return true;
}

static bool shape_devices(Thread *thread, const GPtrArray *targets, GError **error)
{
        for (guint i = 0; i < targets->len; i++) {
                const TargetSwitch *target = targets->pdata[i];
                for (guint k = 0; k < target->ports->len; k++) {
                        const TargetPort *port = &g_array_index(target->ports, TargetPort, k);
                        if (!port->is_router)
                                shapes_want(thread->shapes, port->device, &port->rate, port->mtu, port->wants_device);
                }
        }
        return shapes_apply(thread->shapes, error);
}

/* ---- routers ---- */

static RouterPlace place_of(Network *network)
{
        return (RouterPlace){.folder = network->folder,
                             .host_fd = network->host_fd,
                             .switch_pid = ovs_switch_process(network->ovs).pid,
                             .served = network->served,
                             .forward = network->forward};
}

static void note_new_device(TargetSwitch *target, const char *device)
{
        for (guint k = 0; k < target->ports->len; k++) {
                TargetPort *port = &g_array_index(target->ports, TargetPort, k);
                if (port->is_router && g_str_equal(port->device, device))
                        port->wants_device = true;
        }
}

/* One that cannot be made keeps nothing else from being so; the first error is what the round says. */
static bool make_routers(Thread *thread, const GPtrArray *targets, GError **error)
{
        RouterPlace place = place_of(thread->network);
        bool ok = true;
        g_ptr_array_set_size(thread->routers, 0);
        for (guint i = 0; i < targets->len; i++) {
                TargetSwitch *target = targets->pdata[i];
                for (guint k = 0; k < target->routers->len; k++) {
                        const Router *router = target->routers->pdata[k];
                        bool made = false;
                        g_ptr_array_add(thread->routers, (gpointer)router);
                        ok = router_make(&place, router, &made, ok ? error : NULL) && ok;
                        if (made)
                                note_new_device(target, router->device);
                        ok = router_serve(&place, router, ok ? error : NULL) && ok;
                }
        }
        return ok;
}

/* Whose packets the host lets through: of NatLan. *@ret_own: some of them under its own address. */
static GArray *nat_lans(const Thread *thread, const GPtrArray *targets, bool *ret_own)
{
        GArray *lans = g_array_new(FALSE, FALSE, sizeof(NatLan));
        for (guint i = 0; i < thread->routers->len; i++) {
                const Router *router = thread->routers->pdata[i];
                if (router->lan.nat)
                        g_array_append_val(lans, ((NatLan){.device = router->outside,
                                                           .subnet = router->lan.subnet,
                                                           .has_prefix = router->lan.has_prefix,
                                                           .prefix = router->lan.prefix}));
        }
        *ret_own = lans->len > 0;
        for (guint i = 0; targets && i < targets->len; i++) {
                const Uplink *uplink = ((TargetSwitch *)targets->pdata[i])->uplink;
                if (uplink)
                        g_array_append_val(lans, ((NatLan){.device = uplink->bridge, .bridged = true}));
        }
        return lans;
}

/* @targets NULL: there are no switches any more. */
static bool apply_nat(Thread *thread, const GPtrArray *targets, GError **error)
{
        bool own;
        g_autoptr(GArray) lans = nat_lans(thread, targets, &own);
        if ((lans->len == 0 && !thread->has_nat) || (!own && !nat_is_installed(NULL)))
                return true;
        autoclose int back = namespace_here(error);
        if (back < 0 || !namespace_enter(thread->network->host_fd, error))
                return false;
        bool ok = nat_apply(thread->network->table, (NatLan *)lans->data, lans->len, error);
        if (!own && strangers_go(thread->network))
                forward_end(thread->network->forward);
        if (thread->nat_fd < 0)
                thread->nat_fd = nat_watch();
        namespace_return(back);
        thread->has_nat = !ok || lans->len > 0;
        return ok;
}

/* Copies leave as the host's own packets do. */
static bool send_copies(Thread *thread, GError **error)
{
        autoclose int back = namespace_here(error);
        if (back < 0 || !namespace_enter(thread->network->host_fd, error))
                return false;
        bool ok = mirrors_send(thread->network, error);
        namespace_return(back);
        return ok;
}

static void end_routers(Thread *thread)
{
        RouterPlace place = place_of(thread->network);
        g_ptr_array_set_size(thread->routers, 0);
        routers_end_others(&place, thread->routers);
        apply_nat(thread, NULL, NULL);
}

/* ---- uplinks ---- */

static UplinkPlace uplink_place(Network *network)
{
        return (UplinkPlace){.folder = network->uplinks,
                             .host_fd = network->host_fd,
                             .switch_pid = ovs_switch_process(network->ovs).pid};
}

/* What other switches had goes first: it may be the same card. */
static bool make_uplinks(Network *network, const GPtrArray *targets, GError **error)
{
        UplinkPlace place = uplink_place(network);
        g_autoptr(GPtrArray) uplinks = g_ptr_array_new();
        bool ok = true;
        for (guint i = 0; i < targets->len; i++)
                if (((TargetSwitch *)targets->pdata[i])->uplink)
                        g_ptr_array_add(uplinks, ((TargetSwitch *)targets->pdata[i])->uplink);
        if (strangers_go(network))
                ok = uplinks_end_others(&place, uplinks, error);
        for (guint i = 0; i < targets->len; i++) {
                TargetSwitch *target = targets->pdata[i];
                bool made = false;
                ok = (!target->uplink || uplink_make(&place, target->uplink, &made, ok ? error : NULL)) && ok;
                if (made)
                        note_new_device(target, target->uplink->device);
        }
        return ok;
}

/* ---- flows ---- */

static bool install(Thread *thread, TargetSwitch *target, GError **error)
{
        const FlowTable *before = g_hash_table_lookup(thread->installed, target->bridge);
        g_autofree char *path = ovs_openflow_path(thread->network->ovs, target->bridge);
        if (!target->flows) {
                g_propagate_error(error, g_error_copy(target->fault));
                return false;
        }
        g_autoptr(OpenFlow) openflow = openflow_connect(path, OPENFLOW_MS, error);
        if (!before)
                counts_renew(thread->network, target->name);
        bool ok = openflow && openflow_replace(openflow, before, target->flows, error);
        if (!before)
                counts_renewed(thread->network, target->name, ok);
        if (!ok) {
                g_hash_table_remove(thread->installed, target->bridge);
                return false;
        }
        g_hash_table_insert(thread->installed, g_strdup(target->bridge), g_steal_pointer(&target->flows));
        return true;
}

static bool install_all(Thread *thread, const GPtrArray *targets, GError **error)
{
        bool ok = true;
        for (guint i = 0; i < targets->len; i++)
                ok = install(thread, targets->pdata[i], ok ? error : NULL) && ok;
        /* Until then frames that it knows by heart go on as before. */
        return ovs_order(thread->network->ovs, "revalidator/purge", ok ? error : NULL) && ok;
}

/* ---- a round ---- */

static bool is_wanted(Network *network)
{
        g_mutex_lock(&network->lock);
        bool wanted = g_hash_table_size(network->switches) > 0 || g_hash_table_size(network->attached) > 0;
        g_mutex_unlock(&network->lock);
        return wanted;
}

static GHashTable *numbers_of(const State *state)
{
        GHashTable *numbers = g_hash_table_new(g_str_hash, g_str_equal);
        GHashTableIter iter;
        gpointer device, port;
        g_hash_table_iter_init(&iter, state->ports);
        while (g_hash_table_iter_next(&iter, &device, &port))
                g_hash_table_insert(numbers, device, GUINT_TO_POINTER(((StatePort *)port)->number));
        return numbers;
}

/* A switch that was started again has its bridges once it has carried out a change, and no flows. */
static bool start(Thread *thread, GError **error)
{
        Ovs *ovs = thread->network->ovs;
        if (!ovs_start(ovs, error))
                return false;
        ProcessId now = ovs_switch_process(ovs);
        if (now.pid == thread->installed_in.pid && now.start_ticks == thread->installed_in.start_ticks)
                return true;
        g_hash_table_remove_all(thread->installed);
        thread->installed_in = now;
        return ovs_change(ovs, json_array(), error);
}

/* Whatever there is beside the switch itself. */
static void end_all(Thread *thread)
{
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        UplinkPlace place = uplink_place(thread->network);
        end_routers(thread);
        uplinks_end_others(&place, none, NULL);
}

static bool reconcile(Thread *thread, GError **error)
{
        Network *network = thread->network;
        g_auto(State) state = {0};
        if (!is_wanted(network)) {
                if (strangers_go(network))
                        end_all(thread);
                if (strangers_go(network) && ovs_runs(network->ovs))
                        ovs_end(network->ovs);
                return true;
        }
        if (!start(thread, error) || !state_read(network->ovs, &state, error))
                return false;
        g_autoptr(GHashTable) numbers = numbers_of(&state);
        g_mutex_lock(&network->lock);
        network_lapse(network);
        g_autoptr(GPtrArray) targets = target_make(network, numbers);
        g_mutex_unlock(&network->lock);
        g_clear_pointer(&thread->targets, g_ptr_array_unref);
        thread->targets = g_ptr_array_ref(targets);
        bool ok = make_uplinks(network, targets, error);
        ok = make_routers(thread, targets, ok ? error : NULL) && ok;
        RouterPlace place = place_of(network);
        if (strangers_go(network))
                routers_end_others(&place, thread->routers);
        ok = apply_nat(thread, targets, ok ? error : NULL) && ok;
        ok = make_devices(network, targets, ok ? error : NULL) && ok;
        ok = shape_devices(thread, targets, ok ? error : NULL) && ok;
        return state_change(network->ovs, &state, targets, strangers_go(network), ok ? error : NULL) &&
               mirrors_change(network->ovs, targets, &thread->mirrors, ok ? error : NULL) &&
               install_all(thread, targets, ok ? error : NULL) && send_copies(thread, ok ? error : NULL) && ok;
}

static uint64_t begin_round(Network *network)
{
        g_mutex_lock(&network->lock);
        uint64_t round = network->wanted;
        g_mutex_unlock(&network->lock);
        return round;
}

static void end_round(Network *network, uint64_t round, GError *fault_taken)
{
        g_mutex_lock(&network->lock);
        network->done = round;
        g_clear_error(&network->fault);
        network->fault = fault_taken;
        g_cond_broadcast(&network->done_changed);
        g_mutex_unlock(&network->lock);
}

static void do_round(Thread *thread)
{
        uint64_t round = begin_round(thread->network);
        GError *fault = NULL;
        bool ok = reconcile(thread, &fault);
        if (ok)
                counts_switch(thread->network);
        if (!ok && !thread->failing)
                g_warning("switches: %s", fault->message);
        thread->failing = !ok;
        end_round(thread->network, round, fault);
}

/* ---- the thread ---- */

static void drain(int fd)
{
        char bytes[8192];
        while (read(fd, bytes, sizeof bytes) > 0)
                ;
}

static void clear_fd(gpointer fd)
{
        close(*(int *)fd);
}

/* Until somebody asks, a process of ours ends, the host's firewall changes, or it is time to try again. */
static void wait_for_reason(Thread *thread)
{
        Network *network = thread->network;
        RouterPlace place = place_of(network);
        g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int)),
                          polls = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
        g_array_set_clear_func(fds, clear_fd);
        ProcessId process = ovs_switch_process(network->ovs);
        int process_fd = process.pid ? process_id_open(&process) : -1;
        if (process_fd >= 0)
                g_array_append_val(fds, process_fd);
        routers_watch(&place, thread->routers, fds);
        bool lost = is_wanted(network) && (process_fd < 0 || fds->len < thread->routers->len + 1);
        lost |= !network_watch_trials(network, fds);
        g_array_append_val(polls, ((struct pollfd){.fd = network->wake_fd, .events = POLLIN}));
        g_array_append_val(polls, ((struct pollfd){.fd = thread->nat_fd, .events = POLLIN}));
        for (guint i = 0; i < fds->len; i++)
                g_array_append_val(polls, ((struct pollfd){.fd = g_array_index(fds, int, i), .events = POLLIN}));
        poll((struct pollfd *)polls->data, polls->len, thread->failing || lost ? RETRY_MS : -1);
        drain(network->wake_fd);
        if (thread->nat_fd >= 0)
                drain(thread->nat_fd);
}

static bool goes_on(Network *network)
{
        g_mutex_lock(&network->lock);
        bool on = !network->stopping;
        g_mutex_unlock(&network->lock);
        return on;
}

/* Adapters are there whose VMs go on without us, or may be. */
static bool is_in_use(Network *network)
{
        GHashTableIter iter;
        gpointer value;
        g_mutex_lock(&network->lock);
        bool in_use = !network->recovered;
        g_hash_table_iter_init(&iter, network->attached);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                in_use = in_use || !((Attached *)value)->captures;
        g_mutex_unlock(&network->lock);
        return in_use;
}

gpointer network_run(gpointer data)
{
        Thread thread = {.network = data,
                         .mirrors = true,
                         .has_nat = true,
                         .nat_fd = -1,
                         .routers = g_ptr_array_new(),
                         .shapes = shapes_new(),
                         .installed =
                             g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)flow_table_free)};
        Network *network = data;
        ovs_adopt(network->ovs);
        while (goes_on(network)) {
                do_round(&thread);
                wait_for_reason(&thread);
        }
        if (!is_in_use(network)) {
                end_routers(&thread);
                ovs_end(network->ovs);
        }
        g_hash_table_unref(thread.installed);
        g_ptr_array_unref(thread.routers);
        shapes_free(thread.shapes);
        g_clear_pointer(&thread.targets, g_ptr_array_unref);
        fd_close(&thread.nat_fd);
        return NULL;
}
