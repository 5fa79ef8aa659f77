/*
 * Network adapters: on a port group of a switch, by a device that the vm layer has made; or on user-mode networking
 * (libslirp in QEMU): DHCP, DNS and the way out, no privileges, port forwards from the host's loopback only.
 */
#include <string.h>

#include "base/error.h"
#include "device/device.h"
#include "device/guest_script.h"

typedef struct {
        bool udp;
        guint64 host, guest;
} Forward;

/* The declaration's pattern has made sure of the shape. False: a port out of range. */
static bool forward_parse(const char *text, Forward *ret_forward)
{
        g_auto(GStrv) words = g_strsplit(text, ":", 3);
        ret_forward->udp = g_str_equal(words[0], "udp");
        return g_strv_length(words) == 3 &&
               g_ascii_string_to_unsigned(words[1], 10, 1, 65535, &ret_forward->host, NULL) &&
               g_ascii_string_to_unsigned(words[2], 10, 1, 65535, &ret_forward->guest, NULL);
}

/* "tcp:2222:22" → QEMU's "tcp:127.0.0.1:2222-:22". NULL: port out of range. */
static char *forward_rule(const char *text)
{
        Forward forward;
        if (!forward_parse(text, &forward))
                return NULL;
        return g_strdup_printf("%s:127.0.0.1:%u-:%u", forward.udp ? "udp" : "tcp", (unsigned)forward.host,
                               (unsigned)forward.guest);
}

static bool same_host_port(const char *a, const char *b)
{
        Forward mine, theirs;
        return forward_parse(a, &mine) && forward_parse(b, &theirs) && mine.udp == theirs.udp &&
               mine.host == theirs.host;
}

/* Whether forward @index of @part takes a port that one before it has, of this adapter or another. */
static bool is_forwarded_before(const DeviceContext *context, const HostlerPart *part, size_t index)
{
        const char *mine = ((HostlerNicProps *)part->props)->forward[index];
        for (const HostlerPart *other = context->spec->items; other <= part; other++) {
                const HostlerNicProps *theirs = other->props;
                if (strcmp(other->kind, "nic") != 0)
                        continue;
                for (size_t i = 0; theirs->forward && theirs->forward[i] && (other < part || i < index); i++)
                        if (same_host_port(theirs->forward[i], mine))
                                return true;
        }
        return false;
}

static void refuse(const HostlerPart *part, const char *property, const char *why, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        faults_add(faults, pointer, "%s", why);
}

/* What only virtio can be told. The others have their offloads built in, and no way to say a packet's size. */
static void check_virtio(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *props = part->props;
        bool is_virtio = props->model == HOSTLER_NIC_MODEL_VIRTIO_NET_PCI;
        const char *alone = "only virtio-net-pci can be told this";
        if (!is_virtio && props->mtu != HOSTLER_UNSET)
                refuse(part, "mtu", alone, faults);
        if (!is_virtio && props->tx_checksumming != HOSTLER_OFFLOAD_ABSENT)
                refuse(part, "tx_checksumming", alone, faults);
        if (!is_virtio && props->rx_checksumming != HOSTLER_OFFLOAD_ABSENT)
                refuse(part, "rx_checksumming", alone, faults);
        if (!is_virtio && props->rx_queue != HOSTLER_UNSET)
                refuse(part, "rx_queue", alone, faults);
        else if (props->rx_queue != HOSTLER_UNSET && (props->rx_queue & (props->rx_queue - 1)) != 0)
                refuse(part, "rx_queue", "it is 256, 512 or 1024", faults);
}

static void check_offloads(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *props = part->props;
        const char *bare = "user-mode networking does not carry packets without checksums";
        if (!props->network && props->tx_checksumming == HOSTLER_OFFLOAD_ON)
                refuse(part, "tx_checksumming", bare, faults);
        if (!props->network && props->rx_checksumming == HOSTLER_OFFLOAD_ON)
                refuse(part, "rx_checksumming", bare, faults);
}

/* What only a switch can do. */
static void check_network(const HostlerPart *part, GPtrArray *faults)
{
        static const char *const of_switch[] = {"vlan", "native_vlan", "guard", "shares", "reservation"};
        const HostlerNicProps *props = part->props;
        json_auto_t *json = record_to_json(kind_find("nic")->props, props, RECORD_STORED);
        if (props->network && props->forward && props->forward[0])
                refuse(part, "forward", "only user-mode networking forwards ports", faults);
        for (size_t i = 0; !props->network && i < G_N_ELEMENTS(of_switch); i++)
                if (json_object_get(json, of_switch[i]))
                        refuse(part, of_switch[i], "it needs a switch: network=SWITCH/PORTGROUP", faults);
        for (size_t i = 0; !props->network && i < hostler_policy_type.n_fields; i++)
                if (json_object_get(json, hostler_policy_type.fields[i].name))
                        refuse(part, hostler_policy_type.fields[i].name, "it needs a switch: network=SWITCH/PORTGROUP",
                               faults);
}

static void check_reservation(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *props = part->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/reservation", part->name);
        if (props->reservation != HOSTLER_UNSET && props->rate_from_vm != HOSTLER_UNSET &&
            props->rate_from_vm < props->reservation)
                faults_add(faults, pointer, "%" G_GINT64_FORMAT " is more than its rate_from_vm (%" G_GINT64_FORMAT ")",
                           props->reservation, props->rate_from_vm);
}

static void nic_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *props = part->props;
        check_virtio(part, faults);
        check_offloads(part, faults);
        check_network(part, faults);
        check_reservation(part, faults);
        for (size_t i = 0; props->forward && props->forward[i]; i++) {
                g_autofree char *pointer = g_strdup_printf("/spec/%s/forward/%zu", part->name, i);
                Forward forward;
                if (!forward_parse(props->forward[i], &forward))
                        faults_add(faults, pointer, "“%s”: ports are from 1 to 65535", props->forward[i]);
                else if (is_forwarded_before(context, part, i))
                        faults_add(faults, pointer, "the host port of “%s” is forwarded twice", props->forward[i]);
        }
        for (const HostlerPart *other = context->spec->items; other < part; other++) {
                const HostlerNicProps *theirs = other->props;
                g_autofree char *pointer = g_strdup_printf("/spec/%s/mac", part->name);
                if (strcmp(other->kind, "nic") == 0 && theirs->mac && g_strcmp0(theirs->mac, props->mac) == 0)
                        faults_add(faults, pointer, "%s has the same address", other->name);
        }
}

/* ---- on a switch ---- */

char *tap_word(const char *part)
{
        return g_strdup_printf("@TAP:%s@", part);
}

char *tap_fd_name(const char *part)
{
        return g_strdup_printf("tap-%s", part);
}

static bool nic_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerNicProps *props = part->props;
        return !props->network || !context->port_open || context->port_open(part, context->data, error);
}

static bool nic_connect(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerNicProps *props = part->props;
        return !props->network || !context->port_keep || context->port_keep(part, NULL, context->data, error);
}

static void nic_release(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerNicProps *props = part->props;
        if (props->network && context->port_close)
                context->port_close(part, context->data);
}

static void nic_remove(const DeviceContext *context, const HostlerPart *part)
{
        if (context->port_forget)
                context->port_forget(part, context->data);
}

/* The switch copies every frame anyway, so there is nothing to gain from the kernel's own virtio. */
static json_t *switch_end(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *fd = context->hot ? tap_fd_name(part->name) : tap_word(part->name);
        return json_pack("{s:s, s:s, s:s, s:b}", "type", "tap", "id", part->name, "fd", fd, "vhost", false);
}

/* ---- the plan ---- */

static json_t *back_end(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerNicProps *props = part->props;
        if (props->network)
                return switch_end(context, part);
        json_t *forwards = json_array();
        for (size_t i = 0; props->forward && props->forward[i]; i++) {
                g_autofree char *rule = forward_rule(props->forward[i]);
                json_array_append_new(forwards, json_pack("{s:s}", "str", rule));
        }
        return json_pack("{s:s, s:s, s:o}", "type", "user", "id", part->name, "hostfwd", forwards);
}

/* Cutting packets to size needs checksums: where those are the guest's own, so is that. */
static void set_offload(json_t *args, HostlerOffload offload, const char *const *members)
{
        for (; offload != HOSTLER_OFFLOAD_ABSENT && *members; members++)
                json_object_set_new(args, *members, json_boolean(offload == HOSTLER_OFFLOAD_ON));
}

static void set_virtio(json_t *args, const HostlerNicProps *props)
{
        static const char *const tx[] = {"csum", "host_tso4", "host_tso6", "host_ecn", "host_ufo", NULL};
        static const char *const rx[] = {"guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", NULL};
        set_offload(args, props->tx_checksumming, tx);
        set_offload(args, props->rx_checksumming, rx);
        if (props->mtu != HOSTLER_UNSET)
                json_object_set_new(args, "host_mtu", json_integer(props->mtu));
        if (props->rx_queue != HOSTLER_UNSET)
                json_object_set_new(args, "rx_queue_size", json_integer(props->rx_queue));
}

static void nic_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerNicProps *props = part->props;
        json_t *args = device_args(context, part);
        set_virtio(args, props);
        json_object_set_new(args, "netdev", json_string(part->name));
        if (props->mac)
                json_object_set_new(args, "mac", json_string(props->mac));
        /* No option ROM: nothing here boots from the network, and it costs start time. */
        if (part_model(part)->bus == BUS_PCI)
                json_object_set_new(args, "romfile", json_string(""));
        else
                json_object_set_new(args, "serial", json_string(part->name));
        plan_add(plan, STEP_NETDEV, back_end(context, part));
        plan_add(plan, STEP_DEVICE, args);
}

/* Port forwards of a running netdev are changed by the human monitor only, which answers with text. */
static bool monitor(Qmp *qmp, const char *line, char **ret_text, GError **error)
{
        json_t *answer = NULL;
        if (!qmp_call(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), &answer, error))
                return false;
        *ret_text = g_strstrip(g_strdup(json_string_value(answer)));
        json_decref(answer);
        return true;
}

/* One that is not there is as good as removed. */
static bool forward_remove(const DeviceChange *change, const char *forward, GError **error)
{
        g_autofree char *rule = forward_rule(forward), *text = NULL;
        *strrchr(rule, '-') = '\0'; /* it takes the host side only */
        g_autofree char *line = g_strdup_printf("hostfwd_remove %s %s", change->new_part->name, rule);
        return monitor(change->qmp, line, &text, error);
}

static bool forward_add(const DeviceChange *change, const char *forward, GError **error)
{
        g_autofree char *rule = forward_rule(forward), *text = NULL;
        g_autofree char *line = g_strdup_printf("hostfwd_add %s %s", change->new_part->name, rule);
        /* An interrupted run may have added it already. */
        if (!forward_remove(change, forward, error) || !monitor(change->qmp, line, &text, error))
                return false;
        return *text == '\0' ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU refused the forward %s: %s", forward, text);
}

static bool forward_each(const DeviceChange *change, const HostlerNicProps *from, const HostlerNicProps *but_not,
                         bool (*apply)(const DeviceChange *change, const char *forward, GError **error), GError **error)
{
        bool ok = true;
        for (size_t i = 0; ok && from->forward && from->forward[i]; i++)
                if (!but_not->forward || !g_strv_contains((const char *const *)but_not->forward, from->forward[i]))
                        ok = apply(change, from->forward[i], error);
        return ok;
}

static bool set_forward(const DeviceChange *change, GError **error)
{
        const HostlerNicProps *old = change->old_part->props, *new = change->new_part->props;
        if (!forward_each(change, old, new, forward_remove, error) ||
            !forward_each(change, new, old, forward_add, error)) {
                forward_each(change, new, old, forward_remove, NULL);
                forward_each(change, old, new, forward_add, NULL);
                return false;
        }
        change->change->device = new->forward ? g_strjoinv(",", new->forward) : g_strdup("none");
        return true;
}

static bool tell_link(const HostlerPart *part, Qmp *qmp, GError **error)
{
        const HostlerNicProps *props = part->props;
        return qmp_call(qmp, "set_link", json_pack("{s:s, s:b}", "name", part->name, "up", props->link), NULL, error);
}

static bool nic_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error)
{
        const HostlerNicProps *props = part->props;
        return props->link || tell_link(part, qmp, error);
}

static bool set_link(const DeviceChange *change, GError **error)
{
        const HostlerNicProps *new = change->new_part->props;
        if (!tell_link(change->new_part, change->qmp, error))
                return false;
        change->change->device = g_strdup(new->link ? "on" : "off");
        return true;
}

/* The interface whose device lies behind the PCI address, or on USB has the part's name as its serial number. */
static const char nic_guest[] = "for n in /sys/class/net/*; do d=$(readlink -f $n/device) || continue;"
                                " case $1 in -) [ \"$(cat ${d%/*}/serial 2>/dev/null)\" = \"$0\" ] ;; *) case $d/ in "
                                "*/$1/*) ;; *) false ;; esac ;; esac"
                                " || continue; w=$(readlink -f $n/device/driver); exec echo ${n##*/} ${w##*/}; done";

/* From one port group to another it moves at once; QEMU keeps its end. What it was started with stays meanwhile. */
static bool set_port(const DeviceChange *change, GError **error)
{
        const HostlerNicProps *old = change->old_part->props, *new = change->new_part->props;
        const DeviceContext *context = change->context;
        if (!old->network && !new->network)
                return true;
        if (!old->network || !new->network || !context->port_keep) {
                change->change->state = g_strdup("pending");
                change->change->detail = g_strdup("needs a new start of the VM");
                return true;
        }
        if (!context->port_keep(change->new_part, change->old_part, context->data, error))
                return false;
        change->change->device = g_strdup("on the switch");
        return true;
}

/* First the switch, whose DHCP and guard go by them. */
static bool set_address(const DeviceChange *change, GError **error)
{
        const HostlerNicProps *new = change->new_part->props;
        const DeviceContext *context = change->context;
        bool on_switch = new->network && ((const HostlerNicProps *)change->old_part->props)->network;
        if (on_switch && context->port_keep &&
            !context->port_keep(change->new_part, change->old_part, context->data, error))
                return false;
        return nic_set_address(change, error);
}

/* $1: MAC address, $2: MTU. Prints what the interface has then. */
static const char mtu_script[] = "for n in /sys/class/net/*; do [ \"$(cat $n/address)\" = \"$1\" ] || continue;"
                                 " ip link set ${n##*/} mtu $2; exec cat $n/mtu; done";

/* Caller frees; NULL: nobody was told. */
static char *tell_mtu(const DeviceChange *change, const char *const *words)
{
        GuestExecResult result = {0};
        if (!change->agent || !guest_script_run(change->agent, mtu_script, words, NULL, GUEST_AGENT_TIMEOUT_MS,
                                                change->cancellable, &result, NULL))
                return NULL;
        gsize length;
        const char *bytes = g_bytes_get_data(result.out, &length);
        g_autofree char *text = g_strndup(bytes ? bytes : "", length);
        guest_exec_result_clear(&result);
        return *g_strstrip(text) ? g_steal_pointer(&text) : NULL;
}

/* What QEMU told the guest at its start is the most that the guest's driver takes, and cannot be taken back. */
static bool set_mtu(const DeviceChange *change, GError **error)
{
        const HostlerNicProps *old = change->old_part->props, *new = change->new_part->props;
        const DeviceContext *context = change->context;
        g_autofree char *mtu = g_strdup_printf("%" G_GINT64_FORMAT, new->mtu);
        const char *const words[] = {new->mac ? new->mac : "", mtu, NULL};
        if (new->mtu == HOSTLER_UNSET || (old->mtu != HOSTLER_UNSET && new->mtu > old->mtu)) {
                change->change->state = g_strdup("pending");
                change->change->detail = g_strdup("needs a new start of the VM");
                return true;
        }
        if (new->network && old->network && context->port_keep &&
            !context->port_keep(change->new_part, change->old_part, context->data, error))
                return false;
        change->change->device = g_strdup(mtu);
        change->change->guest = tell_mtu(change, words);
        if (!change->change->guest)
                change->change->detail = g_strdup("the guest has no agent: it learns it from DHCP, or when it starts");
        return true;
}

static const DeviceSetter nic_setters[] = {
    {"forward", set_forward},
    {"link", set_link},
    {"mtu", set_mtu},
    {"network", set_port},
    {"vlan", set_port},
    {"native_vlan", set_port},
    {"guard", set_port},
    {"ip_address", set_address},
    {"netmask", set_address},
    {"gateway", set_address},
    {"dns", set_address},
    {"domain", set_address},
    {"search_domain", set_address},
    {"promiscuous", set_port},
    {"promiscuous_scope", set_port},
    {"promiscuous_when", set_port},
    {"mac_changes", set_port},
    {"forged_transmits", set_port},
    {"forged_transmits_tcp", set_port},
    {"forged_transmits_udp", set_port},
    {"mac_spoofing", set_port},
    {"address_spoofing", set_port},
    {"dhcp_server", set_port},
    {"router_advertisement", set_port},
    {"statistics", set_port},
    {"traffic", set_port},
    {"rate_from_vm", set_port},
    {"burst_from_vm", set_port},
    {"peak_from_vm", set_port},
    {"rate_to_vm", set_port},
    {"burst_to_vm", set_port},
    {"peak_to_vm", set_port},
    {"shares", device_set_allocation},
    {"reservation", device_set_allocation},
    {NULL, NULL},
};

const DeviceType nic_device = {
    .kind = "nic",
    .check = nic_check,
    .acquire = nic_acquire,
    .release = nic_release,
    .remove = nic_remove,
    .connect = nic_connect,
    .plan = nic_plan,
    .launched = nic_launched,
    .setters = nic_setters,
    .guest = nic_guest,
};
