/*
 * The table of device kinds, and what concerns a spec as a whole. Each kind lives in its own file.
 */
#include "device/device.h"

#include <string.h>

#include "base/error.h"

static const DeviceType *const device_types[] = {
    &boot_device, &cpu_device, &disk_device, &memory_device, &nic_device, &seed_device,
};

const DeviceType *device_type(const char *kind)
{
        for (size_t i = 0; i < G_N_ELEMENTS(device_types); i++)
                if (strcmp(device_types[i]->kind, kind) == 0)
                        return device_types[i];
        return NULL;
}

bool device_needs_port(const DeviceContext *context, const HostlerPart *part)
{
        return true;
}

bool device_wants_port(const DeviceContext *context, const HostlerPart *part)
{
        const DeviceType *type = device_type(part->kind);
        return type && type->needs_port && type->needs_port(context, part);
}

static bool plan_has_device(const Plan *plan, const char *id)
{
        for (guint i = 0; i < plan->steps->len; i++) {
                const Step *step = &g_array_index(plan->steps, Step, i);
                if (step->kind == STEP_DEVICE && strcmp(json_string_value(json_object_get(step->args, "id")), id) == 0)
                        return true;
        }
        return false;
}

/* "cpu1": what cpu.c calls a processor. */
static bool is_processor(const char *id)
{
        return g_str_has_prefix(id, "cpu") && g_ascii_isdigit(id[3]) && strspn(id + 3, "0123456789") == strlen(id + 3);
}

/* A part's name is the id of its device, and QEMU takes an id once. */
static void check_name(const HostlerPart *part, const Plan *chassis, const char *pointer, GPtrArray *faults)
{
        if (plan_has_device(chassis, part->name) || is_processor(part->name))
                faults_add(faults, pointer, "every VM has a device of its own that is called %s", part->name);
}

void device_check_spec(const DeviceContext *context, GPtrArray *faults)
{
        g_autoptr(Plan) chassis = plan_new();
        size_t ports = 0;
        chassis_plan(context, chassis);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const DeviceType *type = device_type(part->kind);
                g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
                check_name(part, chassis, pointer, faults);
                if (type && type->check)
                        type->check(context, part, faults);
                ports += device_wants_port(context, part);
        }
        if (ports > DEVICE_PORTS)
                faults_add(faults, "/spec",
                           "%zu disks, adapters and other PCI devices are more than the %d ports a VM has", ports,
                           DEVICE_PORTS);
}

void device_plan_all(const DeviceContext *context, Plan *plan)
{
        chassis_plan(context, plan);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                const DeviceType *type = device_type(part->kind);
                if (type)
                        type->plan(context, part, plan);
        }
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
