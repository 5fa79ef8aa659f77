/*
 * The table of device kinds, and what concerns a spec as a whole. Each kind lives in its own file.
 */
#include "device/device.h"

#include <string.h>

#include "base/error.h"

/* One a line, so that two people who add a kind do not meet. */
/* clang-format off */
static const DeviceType *const device_types[] = {
    &audio_device,
    &balloon_device,
    &boot_device,
    &cdrom_device,
    &cpu_device,
    &disk_device,
    &dsp_device,
    &firmware_device,
    &floppy_device,
    &hostpci_device,
    &hostusb_device,
    &hub_device,
    &ide_device,
    &input_device,
    &lpt_device,
    &memory_device,
    &midi_device,
    &mpeg_device,
    &nic_device,
    &output_device,
    &panic_device,
    &parallel_device,
    &pci_device,
    &pcie_device,
    &rng_device,
    &scsi_device,
    &seed_device,
    &serial_device,
    &share_device,
    &sound_device,
    &tpm_device,
    &usb_device,
    &video_device,
    &vsock_device,
    &watchdog_device,
};
/* clang-format on */

const DeviceType *device_type(const char *kind)
{
        for (size_t i = 0; i < G_N_ELEMENTS(device_types); i++)
                if (strcmp(device_types[i]->kind, kind) == 0)
                        return device_types[i];
        return NULL;
}

const char *device_controller_kind(const HostlerPart *part)
{
        const ModelDecl *model = part_model(part);
        switch (model ? model->bus : BUS_NONE) {
        case BUS_USB:
                return "usb";
        case BUS_SCSI:
                return "scsi";
        case BUS_IDE:
                return "ide";
        case BUS_NONE:
        case BUS_PCI:
        case BUS_ISA:
        case BUS_SERIAL:
                break;
        }
        return NULL;
}

/* The value of a part's property of this name; NULL: its kind has none. */
static const void *property_of(const HostlerPart *part, const char *name)
{
        const Field *field = record_field(kind_find(part->kind)->props, name);
        return field ? (const char *)part->props + field->offset : NULL;
}

/* What the part says in its property `controller`; NULL: nothing, or it has no such property. */
static const char *named_controller(const HostlerPart *part)
{
        const char *const *name = property_of(part, "controller");
        return name ? *name : NULL;
}

/* A part that names no controller takes one of its bus's own kind: it does not end up on a hub by chance. */
static bool can_carry(const HostlerPart *controller, const HostlerPart *part, const char *name)
{
        const DeviceType *type = device_type(controller->kind);
        const ModelDecl *model = part_model(part);
        bool own_kind = g_strcmp0(controller->kind, device_controller_kind(part)) == 0;
        if (!name)
                return own_kind;
        return strcmp(controller->name, name) == 0 && (own_kind || (type && model && type->carries == model->bus));
}

/* The bus that the part was given a seat on in this run: a controller that came later, but is named before it, does not
 * take it over. */
static const char *seated_on(const DeviceContext *context, const HostlerPart *part)
{
        const char *bus = context->slots ? seats_bus(context->slots, part->name) : NULL;
        const HostlerPart *controller = bus ? spec_part(context->spec, bus) : NULL;
        return controller && g_strcmp0(controller->kind, device_controller_kind(part)) == 0 ? bus : NULL;
}

const HostlerPart *device_controller(const DeviceContext *context, const HostlerPart *part)
{
        const char *name = named_controller(part);
        if (!name && !device_controller_kind(part))
                return NULL;
        name = name ? name : seated_on(context, part);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *other = &context->spec->items[i];
                if (other != part && can_carry(other, part, name))
                        return other;
        }
        return NULL;
}

GPtrArray *device_needs(const DeviceContext *context, const HostlerPart *part)
{
        GPtrArray *names = g_ptr_array_new();
        const HostlerPart *controller = device_controller(context, part);
        const DeviceType *type = device_type(part->kind);
        if (controller)
                g_ptr_array_add(names, controller->name);
        if (type && type->needs)
                type->needs(context, part, names);
        return names;
}

bool device_hot_plug(const DeviceContext *context, const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        const ModelDecl *model = part_model(part);
        if (type && type->hot_plug)
                return type->hot_plug(context, part);
        return type && model && model->hot_plug;
}

void device_settle(HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++) {
                const DeviceType *type = device_type(spec->items[i].kind);
                if (type && type->settle)
                        type->settle(spec, &spec->items[i]);
        }
}

/* Parts that need each other in a ring are refused by check_needs(); here the ring is just cut. */
static void order_part(const DeviceContext *context, const HostlerPart *part, GPtrArray *order, GHashTable *seen)
{
        if (!g_hash_table_add(seen, (void *)part))
                return;
        g_autoptr(GPtrArray) needs = device_needs(context, part);
        for (guint i = 0; i < needs->len; i++) {
                const HostlerPart *other = spec_part(context->spec, needs->pdata[i]);
                if (other)
                        order_part(context, other, order, seen);
        }
        g_ptr_array_add(order, (void *)part);
}

GPtrArray *device_order(const DeviceContext *context)
{
        GPtrArray *order = g_ptr_array_new();
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        for (size_t i = 0; i < context->spec->count; i++)
                order_part(context, &context->spec->items[i], order, seen);
        return order;
}

/* A device, or a character device: those of ports are called as their parts are. */
static bool plan_has(const Plan *plan, const char *id)
{
        for (guint i = 0; i < plan->steps->len; i++) {
                const Step *step = &g_array_index(plan->steps, Step, i);
                if ((step->kind == STEP_DEVICE || step->kind == STEP_CHARDEV) &&
                    strcmp(json_string_value(json_object_get(step->args, "id")), id) == 0)
                        return true;
        }
        return false;
}

/* "cpu1": what cpu.c calls a processor. */
static bool is_processor(const char *id)
{
        return g_str_has_prefix(id, "cpu") && g_ascii_isdigit(id[3]) && strspn(id + 3, "0123456789") == strlen(id + 3);
}

/* A part's name is the id of its device, and QEMU takes an id once; and it is the name of its bus. */
static void check_name(const HostlerPart *part, const Plan *chassis, const char *pointer, GPtrArray *faults)
{
        static const char *const buses[] = {BUS_PORTS, BUS_BOARD, BUS_ISA_SERIAL, BUS_ISA_PARALLEL, NULL};
        if (g_strv_contains(buses, part->name) || plan_has(chassis, part->name) || is_processor(part->name))
                faults_add(faults, pointer, "every VM has a device of its own that is called %s", part->name);
}

/* Whether the controllers above @part lead back to it. */
static bool is_in_ring(const DeviceContext *context, const HostlerPart *part)
{
        const HostlerPart *above = device_controller(context, part);
        for (size_t i = 0; above && i < context->spec->count; i++, above = device_controller(context, above))
                if (above == part)
                        return true;
        return false;
}

/* A module of QEMU's that is not installed would end the start, or the plugging, with words that help nobody. */
static void check_driver(const DeviceContext *context, const HostlerPart *part, const char *pointer, GPtrArray *faults)
{
        const ModelDecl *model = part_model(part);
        if (!model || !model->package || !context->has_driver || context->has_driver(model->driver, context->data))
                return;
        faults_add(faults, pointer, "the QEMU of this host has no %s: its module comes with the package %s",
                   model->driver, model->package);
}

static void check_controller(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const char *kind = device_controller_kind(part), *name = named_controller(part);
        bool found = device_controller(context, part) != NULL;
        g_autofree char *pointer = g_strdup_printf("/spec/%s%s", part->name, name ? "/controller" : "");
        if (found && is_in_ring(context, part))
                faults_add(faults, pointer, "it would stand on itself");
        else if (!found && name)
                faults_add(faults, pointer, "there is no %s controller called %s", kind ? kind : "pci or pcie", name);
        else if (!found && kind)
                faults_add(faults, pointer, "it needs a %s controller: `hostler device add %s %s`", kind,
                           context->vm_name ? context->vm_name : "VM", kind);
}

static void check_needs(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autoptr(GPtrArray) needs = device_needs(context, part);
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        check_controller(context, part, faults);
        for (guint i = 0; i < needs->len; i++)
                if (!spec_part(context->spec, needs->pdata[i]))
                        faults_add(faults, pointer, "it needs %s, and there is no such part", (char *)needs->pdata[i]);
}

static void check_boot(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const int64_t *mine = property_of(part, "boot"), *theirs;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/boot", part->name);
        for (const HostlerPart *other = context->spec->items; mine && *mine != HOSTLER_UNSET && other < part; other++)
                if ((theirs = property_of(other, "boot")) && *theirs == *mine)
                        faults_add(faults, pointer, "%s has this place", other->name);
}

void device_check_spec(const DeviceContext *context, GPtrArray *faults)
{
        g_autoptr(Plan) chassis = plan_new();
        chassis_plan(context, chassis);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const DeviceType *type = device_type(part->kind);
                g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
                check_name(part, chassis, pointer, faults);
                check_driver(context, part, pointer, faults);
                check_needs(context, part, faults);
                check_boot(context, part, faults);
                if (type && type->check)
                        type->check(context, part, faults);
        }
        seats_check(context, faults);
}

const char *device_blocks(const DeviceContext *context, const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        const ModelDecl *model = part_model(part);
        if (model && model->blocks)
                return model->blocks;
        return type && type->blocks ? type->blocks(context, part) : NULL;
}

void device_check_blocks(const DeviceContext *context, GPtrArray *faults)
{
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const char *reason = device_blocks(context, part);
                g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
                if (reason)
                        faults_add(faults, pointer, "%s", reason);
        }
        for (size_t i = 0; i < context->slots->count; i++) {
                const char *gone = seats_spent_by(&context->slots->items[i]);
                g_autofree char *pointer = g_strdup_printf("/spec/%s", gone ? gone : "");
                if (gone)
                        faults_add(faults, pointer,
                                   "it was removed while the VM ran, and QEMU keeps its memory until the VM is off");
        }
}

void device_plan_all(const DeviceContext *context, Plan *plan)
{
        g_autoptr(GPtrArray) order = device_order(context);
        chassis_plan(context, plan);
        for (guint i = 0; i < order->len; i++) {
                const HostlerPart *part = order->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type)
                        type->plan(context, part, plan);
        }
}

HostEnd device_host_end(const DeviceContext *context, const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        HostEnd end = {0};
        if (type && type->host_end)
                type->host_end(context, part, &end);
        return end;
}

int device_log_set(const DeviceContext *context, const HostlerPart *part)
{
        int set = CHASSIS_CONSOLE_FDSET + 1;
        for (const HostlerPart *other = context->spec->items; other < part; other++) {
                g_auto(HostEnd) end = device_host_end(context, other);
                set += end.kind == HOST_END_LOG || end.kind == HOST_END_SOUND;
        }
        return set;
}

static void set_text(json_t *args, const char *member, const char *format, int number)
{
        g_autofree char *text = g_strdup_printf(format, number);
        json_object_set_new(args, member, json_string(text));
}

static void place_on(const DeviceContext *context, const HostlerPart *part, const Seats *seats, int seat, json_t *args)
{
        const HostlerPart *controller = device_controller(context, part);
        if (strcmp(seats->bus, BUS_PORTS) == 0) {
                set_text(args, "bus", "rp%d", seat);
        } else if (strcmp(seats->bus, BUS_BOARD) == 0) {
                json_object_set_new(args, "bus", json_string("pcie.0"));
                set_text(args, "addr", "0x%x", seat);
        } else if (strcmp(seats->bus, BUS_CHANNELS) == 0) {
                json_object_set_new(args, "bus", json_string(BUS_CHANNELS ".0"));
                json_object_set_new(args, "nr", json_integer(seat));
        } else if (controller) {
                device_type(controller->kind)->place(context, controller, seat, args);
        }
}

json_t *device_args_of(const DeviceContext *context, const HostlerPart *part, const char *driver)
{
        int seat = seats_find(context->slots, part->name);
        const ModelDecl *model = part_model(part);
        json_t *args = json_pack("{s:s, s:s}", "driver", driver ? driver : model->driver, "id", part->name);
        Seats seats;
        if (seat >= 0 && seats_of(context, part, &seats))
                place_on(context, part, &seats, seat, args);
        return args;
}

json_t *device_args(const DeviceContext *context, const HostlerPart *part)
{
        return device_args_of(context, part, NULL);
}

char *device_place_text(const DeviceContext *context, const HostlerPart *part)
{
        int seat = seats_find(context->slots, part->name);
        Seats seats;
        /* A part whose model is to change has its seat on the bus of the old one. */
        if (seat < 0 || !seats_of(context, part, &seats) ||
            strcmp(seats_bus(context->slots, part->name), seats.bus) != 0)
                return NULL;
        if (strcmp(seats.bus, BUS_PORTS) == 0)
                return g_strdup_printf("port %d", seat);
        return g_strdup_printf(strcmp(seats.bus, BUS_BOARD) == 0 ? "%s 0x%x" : "%s %d", seats.bus, seat);
}

/* What was given a place comes first, then disks, drives with CDs, floppies, each in the order of the spec. */
static int64_t boot_rank(const HostlerPart *part)
{
        static const char *const kinds[] = {"disk", "cdrom", "floppy"};
        int64_t place = *(const int64_t *)property_of(part, "boot");
        size_t kind = 0;
        while (kind < G_N_ELEMENTS(kinds) && strcmp(part->kind, kinds[kind]) != 0)
                kind++;
        return place != HOSTLER_UNSET ? place : 1000 + (int64_t)kind;
}

int device_boot_index(const DeviceContext *context, const HostlerPart *part)
{
        int index = 1; /* 0 is QEMU's own, for a kernel */
        int64_t mine = boot_rank(part);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *other = &context->spec->items[i];
                if (other != part && property_of(other, "boot") &&
                    (boot_rank(other) < mine || (boot_rank(other) == mine && other < part)))
                        index++;
        }
        return context->hot && !context->fresh ? 0 : index;
}

bool device_guest_argv(const HostlerPart *part, const GuestPlace *place, const char *ret_argv[DEVICE_GUEST_WORDS])
{
        static const char driver[] = "d=$(readlink /sys/bus/pci/devices/$1/driver) && echo ${d##*/}";
        const char *command = device_type(part->kind)->guest;
        const char *const *serial = property_of(part, "serial");
        const ModelDecl *model = part_model(part);
        if (!command && !place->address)
                return false;
        const char *words[DEVICE_GUEST_WORDS] = {"sh",
                                                 "-c",
                                                 command ? command : driver,
                                                 part->name,
                                                 place->address ? place->address : "-",
                                                 model ? model->name : "-",
                                                 place->beneath ? place->beneath : "-",
                                                 place->seat ? place->seat : "-",
                                                 serial && *serial ? *serial : part->name,
                                                 NULL};
        memcpy(ret_argv, words, sizeof words);
        return true;
}

bool device_set_allocation(const DeviceChange *change, GError **error)
{
        change->change->detail = g_strdup("the next round of allocation goes by it, within seconds");
        return true;
}

char *device_ask_guest(const DeviceChange *change, const char *const *argv)
{
        GuestExecResult result = {0};
        if (!change->agent ||
            !guest_agent_exec(change->agent, argv, NULL, GUEST_AGENT_TIMEOUT_MS, change->cancellable, &result, NULL))
                return NULL;
        gsize length;
        const char *bytes = g_bytes_get_data(result.out, &length);
        char *text = g_strndup(bytes, length);
        guest_exec_result_clear(&result);
        return text;
}
