/*
 * What is to be said of a VM's devices: from the spec, from the run, from QEMU (PCI addresses) and from the guest. See
 * device_info.h.
 */
#include "vm/device_info.h"

#include <string.h>

#include "vm/device_output.h"

#define GUEST_MS 5000

typedef struct {
        Vm *vm;
        VmContext context;
        HostlerVmRuntime runtime;
        bool live;
        GHashTable *addresses; /* QEMU's id → "0000:01:00.0", owned both */
        GuestAgent *agent;     /* NULL: none */
} Look;

/* ---- addresses ---- */

static void read_bus(const json_t *devices, GHashTable *addresses)
{
        json_t *device;
        size_t i;
        json_array_foreach ((json_t *)devices, i, device) {
                const char *id = json_string_value(json_object_get(device, "qdev_id"));
                const json_t *below = json_object_get(json_object_get(device, "pci_bridge"), "devices");
                if (id && *id)
                        g_hash_table_insert(
                            addresses, g_strdup(id),
                            g_strdup_printf("0000:%02x:%02x.%x",
                                            (int)json_integer_value(json_object_get(device, "bus")),
                                            (int)json_integer_value(json_object_get(device, "slot")),
                                            (int)json_integer_value(json_object_get(device, "function"))));
                if (below)
                        read_bus(below, addresses);
        }
}

static void read_addresses(Vm *vm, GHashTable *addresses)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        json_auto_t *buses = NULL;
        json_t *bus;
        size_t i;
        if (!qmp || !qmp_call(qmp, "query-pci", NULL, &buses, NULL))
                return;
        json_array_foreach (buses, i, bus)
                read_bus(json_object_get(bus, "devices"), addresses);
}

/* ---- the guest ---- */

/* The first line that the part's own command prints in the guest, NULL for none. */
static char *ask_guest(const Look *look, const HostlerPart *part, const char *address)
{
        const char *argv[DEVICE_GUEST_WORDS];
        GuestExecResult result = {0};
        g_autoptr(GPtrArray) needs = device_needs(&look->context.context, part);
        int seat = seats_find(&look->context.slots, part->name);
        g_autofree char *number = seat < 0 ? NULL : g_strdup_printf("%d", seat);
        GuestPlace place = {
            .address = address,
            .beneath = needs->len > 0 ? g_hash_table_lookup(look->addresses, needs->pdata[0]) : NULL,
            .seat = number,
        };
        if (!look->agent || !device_guest_argv(part, &place, argv) ||
            !guest_agent_exec(look->agent, argv, NULL, GUEST_MS, NULL, &result, NULL))
                return NULL;
        gsize length;
        const char *bytes = g_bytes_get_data(result.out, &length);
        g_autofree char *text = g_strndup(bytes ? bytes : "", length);
        text[strcspn(text, "\r\n")] = '\0';
        guest_exec_result_clear(&result);
        return *text ? g_utf8_make_valid(text, -1) : NULL;
}

/* ---- one device ---- */

static void describe(const Look *look, const HostlerPart *part, const char *state, HostlerDeviceInfoList *list)
{
        const ModelDecl *model = part_model(part);
        bool attached = strcmp(state, "attached") == 0 || strcmp(state, "going") == 0;
        g_auto(HostEnd) end = device_host_end(&look->context.context, part);
        HostlerDeviceInfo *info = &list->items[list->count++];
        record_init(&hostler_device_info_type, info);
        info->name = g_strdup(part->name);
        info->kind = g_strdup(part->kind);
        info->model = model ? g_strdup(model->name) : NULL;
        info->place = device_place_text(&look->context.context, part);
        info->live = device_hot_plug(&look->context.context, part);
        info->state = g_strdup(state);
        info->address = g_strdup(g_hash_table_lookup(look->addresses, part->name));
        info->host = device_output_text(look->vm, &end, attached);
        if (strcmp(state, "attached") == 0)
                info->guest = ask_guest(look, part, info->address);
}

static const char *state_of(const Look *look, const HostlerPart *part)
{
        if (!look->live)
                return "stored";
        return spec_part(&look->runtime.launched, part->name) ? "attached" : "pending";
}

static void look_open(Look *look, Vm *vm, const HostlerSpec *spec)
{
        *look = (Look){.vm = vm,
                       .live = vm_is_live(vm),
                       .addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
        vm_runtime(vm, &look->runtime);
        vm_context_init(&look->context, vm_manager(vm), vm, spec, look->live ? &look->runtime : NULL);
        if (!look->live)
                return;
        read_addresses(vm, look->addresses);
        look->agent = vm_power(vm) == HOSTLER_POWER_RUNNING ? vm_agent(vm) : NULL;
}

static void look_close(Look *look)
{
        g_clear_pointer(&look->agent, guest_agent_unref);
        g_hash_table_unref(look->addresses);
        vm_context_clear(&look->context);
        record_clear(&hostler_vm_runtime_type, &look->runtime);
}

void device_info_list(Vm *vm, HostlerDeviceInfoList *ret_list)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        Look look;
        look_open(&look, vm, &spec->value);
        const HostlerSpec *launched = &look.runtime.launched;
        *ret_list = (HostlerDeviceInfoList){.items = g_new0(HostlerDeviceInfo, spec->value.count + launched->count)};
        for (size_t i = 0; i < spec->value.count; i++)
                if (device_type(spec->value.items[i].kind))
                        describe(&look, &spec->value.items[i], state_of(&look, &spec->value.items[i]), ret_list);
        for (size_t i = 0; look.live && i < launched->count; i++)
                if (device_type(launched->items[i].kind) && !spec_part(&spec->value, launched->items[i].name))
                        describe(&look, &launched->items[i], "going", ret_list);
        look_close(&look);
}
