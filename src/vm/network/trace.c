/*
 * `hostler nic trace`: the steps of a frame through a switch in words, with the policy that drops it and the level that
 * says so. The steps themselves are src/network's.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "network/compile.h"
#include "network/policy.h"
#include "vm/network/ports.h"

/* ---- names ---- */

static const struct {
        uint8_t table;
        const char *name;
} tables[] = {{0, "admission"},    {5, "vlan"},       {10, "source"},      {15, "owners"},    {16, "owners"},
              {20, "addresses"},   {30, "peak"},      {31, "average"},     {40, "services"},  {51, "learned"},
              {52, "destination"}, {79, "learned"},   {50, "destination"}, {60, "broadcast"}, {61, "group"},
              {70, "listeners"},   {71, "listeners"}, {72, "listeners"},   {73, "listeners"}, {80, "egress"}};

static const char *table_name(uint8_t table)
{
        for (gsize i = 0; i < G_N_ELEMENTS(tables); i++)
                if (tables[i].table == table)
                        return tables[i].name;
        return "?";
}

/* "VM ID/part" as "web1.nic0". Caller frees; NULL: nobody. */
static char *adapter_name(Manager *manager, const NetworkTrace *trace, uint32_t port)
{
        const char *key = port ? g_hash_table_lookup(trace->names, GUINT_TO_POINTER(port)) : NULL;
        g_auto(GStrv) words = key ? g_strsplit(key, "/", 2) : NULL;
        g_autoptr(Vm) vm = words ? manager_any_vm(manager, words[0]) : NULL;
        g_autofree char *name = vm ? vm_name(vm) : NULL;
        return name ? g_strdup_printf("%s.%s", name, words[1]) : g_strdup(key);
}

/* ---- why ---- */

static const char *property_of(FlowClass class, const TraceFrame *frame)
{
        bool ip = frame->type == 0x0800 || frame->type == 0x86dd;
        switch (class) {
        case FLOW_FORGED:
                return ip && frame->protocol == IPPROTO_TCP   ? "forged_transmits_tcp"
                       : ip && frame->protocol == IPPROTO_UDP ? "forged_transmits_udp"
                                                              : "forged_transmits";
        case FLOW_MAC_SPOOFING:
                return "mac_spoofing";
        case FLOW_ADDRESS:
                return "address_spoofing";
        case FLOW_SERVICE:
                return frame->protocol == IPPROTO_UDP ? "dhcp_server" : "router_advertisement";
        case FLOW_MAC_CHANGES:
                return "mac_changes";
        case FLOW_BLOCKED:
                return "traffic";
        default:
                return NULL;
        }
}

/* Why without a policy. */
static const char *words_of(FlowClass class)
{
        switch (class) {
        case FLOW_VLAN:
                return "its VLANs do not have such frames";
        case FLOW_ISOLATED:
                return "both are in isolated port groups";
        case FLOW_MIRROR:
                return "it is the destination of a mirror";
        case FLOW_LISTENER:
                return "it has a copy already";
        case FLOW_ADMISSION:
                return "no sender is a group";
        case FLOW_DESTINATION:
                return "nobody has this address, and there is no uplink";
        default:
                return "it is in none of its VLANs";
        }
}

/* Which level says so, for an adapter that is named "VM ID/part". Caller frees. */
static char *origin(Manager *manager, const char *key, const char *property)
{
        static const char *const names[POLICY_LEVELS] = {"default", "switch", "portgroup", "adapter"};
        g_auto(GStrv) words = g_strsplit(key, "/", 2);
        g_autoptr(Vm) vm = manager_any_vm(manager, words[0]);
        g_autoptr(Spec) spec = vm ? vm_spec(vm) : NULL;
        const HostlerPart *part = spec ? spec_part(&spec->value, words[1]) : NULL;
        const HostlerNicProps *nic = part && strcmp(part->kind, "nic") == 0 ? part->props : NULL;
        PolicyLevel level;
        if (!nic || !nic->network)
                return g_strdup_printf("%s=reject", property);
        g_auto(GStrv) place = g_strsplit(nic->network, "/", 2);
        json_auto_t *of_switch = network_spec(manager_network(manager), place[0], NULL);
        json_auto_t *of_group = network_spec(manager_network(manager), place[0], place[1]);
        json_auto_t *own = record_to_json(kind_find("nic")->props, nic, RECORD_STORED);
        const json_t *levels[POLICY_LEVELS] = {NULL, of_switch, of_group, own};
        json_auto_t *value = policy_origin(levels, property, &level);
        return g_strdup_printf("%s=reject of the %s", property, names[level]);
}

static char *reason(Manager *manager, const NetworkTrace *trace, const TraceStep *step, const TraceFrame *frame)
{
        FlowClass class = COOKIE_CLASS(step->cookie);
        const char *property = step->kind == TRACE_DROP ? property_of(class, frame) : NULL;
        const char *key = g_hash_table_lookup(trace->names, GUINT_TO_POINTER(step->port));
        if (property && key)
                return origin(manager, key, property);
        return g_strdup(step->kind == TRACE_NO_FLOW ? "nobody is to get it" : words_of(class));
}

/* ---- rows ---- */

static void fill_in(Manager *manager, const NetworkTrace *trace, const TraceStep *step, const TraceFrame *frame,
                    HostlerTraceStep *ret_row)
{
        static const char *const outcomes[] = {[TRACE_PASS] = "passes",
                                               [TRACE_DROP] = "dropped",
                                               [TRACE_NO_FLOW] = "dropped",
                                               [TRACE_OUTPUT] = "delivered"};
        record_init(&hostler_trace_step_type, ret_row);
        ret_row->at = g_strdup(step->kind == TRACE_OUTPUT ? "out" : table_name(step->table));
        ret_row->adapter = adapter_name(manager, trace, step->port);
        ret_row->outcome = g_strdup(outcomes[step->kind]);
        if (step->kind == TRACE_DROP || step->kind == TRACE_NO_FLOW)
                ret_row->why = reason(manager, trace, step, frame);
        else if (step->kind == TRACE_OUTPUT)
                ret_row->why = step->tag ? g_strdup_printf("as a frame of VLAN %d", step->tag) : g_strdup("untagged");
}

/* The last line: who got it, or the last reason why nobody did. */
static void conclude(const HostlerTraceStepList *rows, HostlerTraceStep *ret_row)
{
        g_autoptr(GPtrArray) receivers = g_ptr_array_new();
        const char *why = "nobody is to get it";
        for (size_t i = 0; i < rows->count; i++) {
                const HostlerTraceStep *row = &rows->items[i];
                if (strcmp(row->outcome, "delivered") == 0)
                        g_ptr_array_add(receivers, row->adapter);
                else if (strcmp(row->outcome, "dropped") == 0)
                        why = row->why;
        }
        g_ptr_array_add(receivers, NULL);
        g_autofree char *list = g_strjoinv(", ", (char **)receivers->pdata);
        record_init(&hostler_trace_step_type, ret_row);
        ret_row->at = g_strdup("result");
        ret_row->outcome = g_strdup(*list ? "delivered" : "dropped");
        ret_row->why = *list ? g_strdup_printf("to %s", list) : g_strdup(why);
}

static void tell(Manager *manager, const NetworkTrace *trace, const TraceFrame *frame, HostlerTraceStepList *ret_rows)
{
        *ret_rows = (HostlerTraceStepList){.items = g_new0(HostlerTraceStep, trace->steps->len + 1)};
        for (guint i = 0; i < trace->steps->len; i++)
                fill_in(manager, trace, &g_array_index(trace->steps, TraceStep, i), frame,
                        &ret_rows->items[ret_rows->count++]);
        HostlerTraceStep last;
        conclude(ret_rows, &last);
        ret_rows->items[ret_rows->count++] = last;
}

/* ---- the frame ---- */

static bool set_protocol(const HostlerNicTraceArgs *args, TraceFrame *frame)
{
        static const struct {
                uint16_t type, type6;
                uint8_t protocol, protocol6;
        } known[] = {[0] = {0x0800, 0x86dd, IPPROTO_ICMP, IPPROTO_ICMPV6},
                     [HOSTLER_TRACE_PROTOCOL_TCP] = {0x0800, 0x86dd, IPPROTO_TCP, IPPROTO_TCP},
                     [HOSTLER_TRACE_PROTOCOL_UDP] = {0x0800, 0x86dd, IPPROTO_UDP, IPPROTO_UDP},
                     [HOSTLER_TRACE_PROTOCOL_ICMP] = {0x0800, 0x86dd, IPPROTO_ICMP, IPPROTO_ICMPV6},
                     [HOSTLER_TRACE_PROTOCOL_ARP] = {0x0806, 0x0806, 0, 0},
                     [HOSTLER_TRACE_PROTOCOL_OTHER] = {0x88b5, 0x88b5, 0, 0}};
        frame->type = frame->from.v6 ? known[args->protocol].type6 : known[args->protocol].type;
        frame->protocol = frame->from.v6 ? known[args->protocol].protocol6 : known[args->protocol].protocol;
        return frame->type != 0x0806 || !frame->from.v6;
}

static bool make_frame(Vm *vm, const HostlerNicTraceArgs *args, TraceFrame *frame, GError **error)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerNicProps *nic = spec_part(&spec->value, args->nic)->props;
        const char *address = args->address ? args->address : nic->guard && nic->guard[0] ? nic->guard[0] : "0.0.0.0";
        *frame = (TraceFrame){.tag = args->vlan == HOSTLER_UNSET ? 0 : (uint16_t)args->vlan,
                              .from_port = args->from_port == HOSTLER_UNSET ? 0 : (uint16_t)args->from_port,
                              .to_port = args->port == HOSTLER_UNSET ? 0 : (uint16_t)args->port};
        if (!ip_parse(address, &frame->from))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "“%s” is no IP address", address);
        if (!set_protocol(args, frame))
                return error_set(error, HOSTLER_ERROR_USAGE, NULL, "ARP has IPv4 addresses");
        return !args->source || mac_parse(args->source, &frame->source);
}

/* Who it goes to: an adapter's key (the caller's), or an address in @frame. */
static bool find_receiver(Manager *manager, const char *word, TraceFrame *frame, char **ret_key, GError **error)
{
        const char *dot = strrchr(word, '.');
        g_autofree char *name = dot ? g_strndup(word, dot - word) : NULL;
        *ret_key = NULL;
        if (strcmp(word, "broadcast") == 0)
                return mac_parse("ff:ff:ff:ff:ff:ff", &frame->destination);
        if (mac_parse(word, &frame->destination))
                return true;
        if (!dot)
                return error_set(error, HOSTLER_ERROR_USAGE, NULL,
                                 "“%s” is no adapter (web2.nic0), no address (02:00:00:00:00:01), not `broadcast`",
                                 word);
        g_autoptr(Vm) vm = manager_vm(manager, name, error);
        if (!vm || !ports_nic(vm, dot + 1, error))
                return false;
        *ret_key = g_strdup_printf("%s/%s", vm_id(vm), dot + 1);
        return true;
}

bool nic_trace(const Call *call, const HostlerNicTraceArgs *args, HostlerTraceStepList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autofree char *to = NULL;
        g_auto(NetworkTrace) trace = {0};
        TraceFrame frame;
        if (!vm || !ports_nic(vm, args->nic, error) || !make_frame(vm, args, &frame, error) ||
            !find_receiver(call->manager, args->to, &frame, &to, error))
                return false;
        g_autofree char *from = g_strdup_printf("%s/%s", vm_id(vm), args->nic);
        if (!network_trace(manager_network(call->manager), from, to, &frame, &trace, error))
                return false;
        tell(call->manager, &trace, &frame, ret_result);
        return true;
}
