/*
 * Adapters of VMs on switches. See ports.h.
 *
 * A device is made before QEMU is, and reaches it as a descriptor: by the keeper at a start, over QMP when it runs.
 * Then it is the switch's; what the guest asks of its adapter (promiscuous, groups, another address) is told to it.
 */
#include "vm/network/ports.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "network/datapath.h"
#include "network/policy.h"
#include "vm/network/addresses.h"

static const HostlerNicProps *nic_of(const HostlerPart *part)
{
        return strcmp(part->kind, "nic") == 0 ? part->props : NULL;
}

/* ---- on, and off again ---- */

/* What it may call itself: by hand, and by its plan. */
static char **guard_of(const HostlerNicProps *props, const AddressPlan *plan)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (char **address = props->guard; address && *address; address++)
                g_strv_builder_add(builder, *address);
        for (char **address = plan->addresses; address && *address; address++) {
                g_auto(GStrv) words = g_strsplit(*address, "/", 2);
                g_strv_builder_add(builder, words[0]);
        }
        if (plan->given)
                g_strv_builder_add(builder, plan->given);
        if (plan->given6)
                g_strv_builder_add(builder, plan->given6);
        return g_strv_builder_end(builder);
}

/* @launched: what it was started with, where that counts. */
static bool attach(const VmContext *context, const HostlerPart *part, const HostlerPart *launched, bool new_device,
                   GError **error)
{
        const HostlerNicProps *props = part->props, *started = launched ? launched->props : part->props;
        g_auto(GStrv) words = g_strsplit(props->network, "/", 2);
        json_auto_t *policy = record_to_json(kind_find("nic")->props, props, RECORD_STORED);
        g_autofree char *name = vm_name(context->vm);
        g_auto(AddressPlan) plan = {0};
        if (!addresses_plan(context->manager, vm_id(context->vm), name, part, &plan, error))
                return false;
        g_auto(GStrv) guard = guard_of(props, &plan);
        Adapter adapter = {.vm_id = vm_id(context->vm),
                           .part = part->name,
                           .switch_name = words[0],
                           .group = words[1],
                           .policy = policy,
                           .mtu = props->mtu,
                           .guard = guard,
                           .host = plan.host,
                           .has_filter = started->model == HOSTLER_NIC_MODEL_VIRTIO_NET_PCI};
        if (!started->mac || !mac_parse(started->mac, &adapter.mac))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s has no address", part->name);
        return network_attach(manager_network(context->manager), &adapter, new_device, error);
}

static bool hand_over(const VmContext *context, const HostlerPart *part, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(context->vm, error);
        autoclose int fd = network_take_device(manager_network(context->manager), vm_id(context->vm), part->name);
        g_autofree char *name = tap_fd_name(part->name);
        if (!qmp)
                return false;
        if (fd < 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s has lost its device", part->name);
        return qmp_call_with_fd(qmp, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL, error);
}

static bool port_open(const HostlerPart *part, void *data, GError **error)
{
        const VmContext *context = data;
        return attach(context, part, NULL, true, error) && (!context->context.hot || hand_over(context, part, error));
}

static bool port_keep(const HostlerPart *part, const HostlerPart *launched, void *data, GError **error)
{
        const VmContext *context = data;
        HostlerPower power = vm_power(context->vm);
        if (!attach(context, part, launched, false, error))
                return false;
        if (power == HOSTLER_POWER_RUNNING || power == HOSTLER_POWER_PAUSED)
                ports_asked(context->vm, part->name);
        return true;
}

static void port_close(const HostlerPart *part, void *data)
{
        const VmContext *context = data;
        network_detach(manager_network(context->manager), vm_id(context->vm), part->name);
}

static char *joined(char *const *words)
{
        return words ? g_strjoinv(" ", (char **)words) : g_strdup("");
}

static char **port_words(const HostlerPart *part, void *data, GError **error)
{
        const VmContext *context = data;
        const HostlerNicProps *nic = part->props;
        g_autofree char *name = vm_name(context->vm);
        g_auto(AddressPlan) plan = {0};
        if (!addresses_plan(context->manager, vm_id(context->vm), name, part, &plan, error))
                return NULL;
        char **words = g_new0(char *, 8);
        words[0] = g_strdup(nic->mac ? nic->mac : "");
        words[1] = g_strdup(plan.dhcp ? "dhcp" : "static");
        words[2] = joined(plan.addresses);
        words[3] = joined(plan.gateways);
        words[4] = joined(plan.dns);
        words[5] = joined(plan.search);
        words[6] = plan.mtu == HOSTLER_UNSET ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT, plan.mtu);
        return words;
}

static void port_forget(const HostlerPart *part, void *data)
{
        const VmContext *context = data;
        addresses_return(context->manager, vm_id(context->vm), part->name);
}

void ports_context(DeviceContext *context)
{
        context->port_words = port_words;
        context->port_forget = port_forget;
        context->port_open = port_open;
        context->port_keep = port_keep;
        context->port_close = port_close;
}

/* ---- what the guest asks for ---- */

typedef struct {
        Vm *vm;
        char *part;
} Question;

static GArray *read_groups(const json_t *table)
{
        GArray *groups = g_array_new(FALSE, FALSE, sizeof(Mac));
        json_t *address;
        size_t i;
        json_array_foreach (table, i, address) {
                Mac mac;
                if (json_is_string(address) && mac_parse(json_string_value(address), &mac))
                        g_array_append_val(groups, mac);
        }
        return groups;
}

/* QEMU's RxFilterInfo. */
static void tell(const Question *question, const json_t *info)
{
        const char *address = json_string_value(json_object_get(info, "main-mac"));
        const char *multicast = json_string_value(json_object_get(info, "multicast"));
        g_autoptr(GArray) groups = read_groups(json_object_get(info, "multicast-table"));
        RxFilter filter = {.known = true,
                           .promiscuous = json_is_true(json_object_get(info, "promiscuous")),
                           .all_multicast = g_strcmp0(multicast, "all") == 0 ||
                                            json_is_true(json_object_get(info, "multicast-overflow")),
                           .groups = (const Mac *)groups->data,
                           .n_groups = groups->len};
        if (!address || !mac_parse(address, &filter.mac))
                return;
        /* Promiscuous, it takes groups that it did not join as well. */
        filter.all_multicast |= filter.promiscuous;
        network_set_filter(manager_network(vm_manager(question->vm)), vm_id(question->vm), question->part, &filter);
}

/* One that cannot tell is not in the list: it is taken to want what is sent to it and all groups. */
static void on_answer(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        Question *question = data;
        json_t *info;
        size_t i;
        json_array_foreach (result, i, info)
                if (g_strcmp0(json_string_value(json_object_get(info, "name")), question->part) == 0)
                        tell(question, info);
        vm_unref(question->vm);
        g_free(question->part);
        g_free(question);
}

void ports_asked(Vm *vm, const char *part)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        if (!qmp || !part)
                return;
        Question *question = g_new0(Question, 1);
        *question = (Question){.vm = vm_ref(vm), .part = g_strdup(part)};
        /* All of them: asked for one by name, QEMU takes its back end of the same name for it. */
        qmp_send(qmp, "query-rx-filter", NULL, QMP_TIMEOUT_MS, on_answer, question);
}

/* ---- checks ---- */

static bool is_on(const HostlerPart *part, const char *switch_name, const char *group)
{
        const HostlerNicProps *nic = nic_of(part);
        if (!nic || !nic->network)
                return false;
        g_auto(GStrv) words = g_strsplit(nic->network, "/", 2);
        return (!switch_name || strcmp(words[0], switch_name) == 0) && (!group || g_strcmp0(words[1], group) == 0);
}

static void refuse(GPtrArray *faults, const HostlerPart *part, const char *property, const char *why)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        faults_add(faults, pointer, "%s", why);
}

static void check_group(Manager *manager, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) words = g_strsplit(nic->network, "/", 2);
        if (!network_is_allowed(manager_network(manager), &error))
                refuse(faults, part, "network", error->message);
        else if (!network_has_group(manager_network(manager), words[0], words[1]))
                refuse(faults, part, "network", "there is no such port group; `hostler switch ls` lists them");
}

static void check_offloads(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        const char *why = "the switch does not carry packets without checksums: this host's kernel has no openvswitch "
                          "module, so processes move its frames";
        if (nic->tx_checksumming == HOSTLER_OFFLOAD_ON && !datapath_takes_offloads())
                refuse(faults, part, "tx_checksumming", why);
        if (nic->rx_checksumming == HOSTLER_OFFLOAD_ON && !datapath_takes_offloads())
                refuse(faults, part, "rx_checksumming", why);
}

/* Who else on the switch has the address of this adapter. Caller frees; NULL: nobody. */
static char *mac_holder(Manager *manager, const char *id, const HostlerPart *part)
{
        const HostlerNicProps *nic = part->props;
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        g_auto(GStrv) words = g_strsplit(nic->network, "/", 2);
        for (guint i = 0; nic->mac && i < vms->len; i++) {
                Vm *vm = vms->pdata[i];
                g_autoptr(Spec) spec = vm_spec(vm);
                for (size_t k = 0; strcmp(vm_id(vm), id) != 0 && k < spec->value.count; k++) {
                        const HostlerPart *other = &spec->value.items[k];
                        g_autofree char *name = vm_name(vm);
                        if (is_on(other, words[0], NULL) && g_strcmp0(nic_of(other)->mac, nic->mac) == 0)
                                return g_strdup_printf("%s.%s", name, other->name);
                }
        }
        return NULL;
}

static void check_mac(Manager *manager, const char *id, const HostlerSpec *spec, const HostlerPart *part,
                      GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        g_autofree char *holder = mac_holder(manager, id, part), *why = NULL;
        for (const HostlerPart *other = spec->items; !holder && nic->mac && other < part; other++)
                if (nic_of(other) && g_strcmp0(nic_of(other)->mac, nic->mac) == 0)
                        holder = g_strdup(other->name);
        if (holder)
                refuse(faults, part, "mac", why = g_strdup_printf("%s has %s", holder, nic->mac));
}

static void check_nic(Manager *manager, const char *vm_id, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerNicProps *nic = part->props;
        g_autoptr(GError) error = NULL;
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        json_auto_t *level = record_to_json(kind_find("nic")->props, nic, RECORD_STORED);
        Vlans vlans;
        IpAddress address;
        addresses_check(manager, vm_id, part, faults);
        if (!nic->network)
                return;
        check_group(manager, part, faults);
        check_offloads(part, faults);
        policy_check(level, pointer, faults);
        if ((nic->vlan || nic->native_vlan != HOSTLER_UNSET) &&
            !vlans_parse(nic->vlan, nic->native_vlan, &vlans, &error))
                refuse(faults, part, "vlan", error->message);
        for (char **guard = nic->guard; guard && *guard; guard++)
                if (!ip_parse(*guard, &address))
                        refuse(faults, part, "guard", "it holds something that is no IP address");
}

void ports_check(Manager *manager, Vm *vm, const HostlerSpec *spec, GPtrArray *faults)
{
        for (size_t i = 0; i < spec->count; i++)
                if (nic_of(&spec->items[i])) {
                        check_nic(manager, vm_id(vm), &spec->items[i], faults);
                        if (nic_of(&spec->items[i])->network)
                                check_mac(manager, vm_id(vm), spec, &spec->items[i], faults);
                }
}

/* ---- who is where ---- */

static void add_users(Vm *vm, const HostlerSpec *spec, const char *switch_name, const char *group, GStrvBuilder *users)
{
        g_autofree char *name = vm_name(vm);
        for (size_t i = 0; i < spec->count; i++) {
                if (!is_on(&spec->items[i], switch_name, group))
                        continue;
                g_autofree char *user = g_strdup_printf("%s.%s", name, spec->items[i].name);
                g_strv_builder_add(users, user);
        }
}

/* @switch_name NULL: on all of them. */
static void follow(Manager *manager, Vm *vm, const char *switch_name)
{
        HostlerVmRuntime runtime;
        g_auto(VmContext) context = {0};
        g_autoptr(GError) error = NULL;
        g_autoptr(Spec) spec = vm_spec(vm);
        HostlerPower power = vm_power(vm);
        if (power != HOSTLER_POWER_RUNNING && power != HOSTLER_POWER_PAUSED)
                return;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, manager, vm, &spec->value, &runtime);
        for (size_t i = 0; i < runtime.launched.count; i++) {
                const HostlerPart *launched = &runtime.launched.items[i],
                                  *now = spec_part(&spec->value, launched->name);
                if (now && is_on(now, switch_name, NULL) && is_on(launched, switch_name, NULL) &&
                    !attach(&context, now, launched, false, &error)) {
                        g_warning("%s: %s", vm_id(vm), error->message);
                        g_clear_error(&error);
                }
        }
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
}

void ports_renamed(Manager *manager, Vm *vm)
{
        follow(manager, vm, NULL);
}

void ports_follow(Manager *manager, const char *switch_name)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++)
                follow(manager, vms->pdata[i], switch_name);
}

char **ports_users(Manager *manager, const char *switch_name, const char *group, bool trashed)
{
        g_autoptr(GStrvBuilder) users = g_strv_builder_new();
        for (int trash = 0; trash <= trashed; trash++) {
                g_autoptr(GPtrArray) vms = manager_vms(manager, trash);
                for (guint i = 0; i < vms->len; i++) {
                        g_autoptr(Spec) spec = vm_spec(vms->pdata[i]);
                        add_users(vms->pdata[i], &spec->value, switch_name, group, users);
                }
        }
        return g_strv_builder_end(users);
}
