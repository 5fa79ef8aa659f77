/* Devices: what follows from properties that were left open, and which parts stand on a port. */
#include <string.h>

#include "device/device.h"

#define MIB (1024LL * 1024)
#define GIB (1024 * MIB)

static void test_memory_boot(void)
{
        HostlerMemoryProps props = {.size = 512 * MIB, .boot = HOSTLER_UNSET, .max = HOSTLER_UNSET};
        g_assert_cmpint(memory_boot_bytes(&props), ==, 512 * MIB);
        props.boot = 128 * MIB;
        g_assert_cmpint(memory_boot_bytes(&props), ==, 128 * MIB);
        /* The size was taken below it live: the next start has no more than that. */
        props.size = 64 * MIB;
        g_assert_cmpint(memory_boot_bytes(&props), ==, 64 * MIB);
}

static void test_memory_max(void)
{
        HostlerMemoryProps props = {.size = 256 * MIB, .boot = HOSTLER_UNSET, .max = HOSTLER_UNSET};
        g_assert_cmpint(memory_max_bytes(&props), ==, 4 * GIB);
        props.size = 1 * GIB + 2 * MIB;
        g_assert_cmpint(memory_max_bytes(&props), ==, 4 * GIB + 8 * MIB);
        props.max = 2 * GIB;
        g_assert_cmpint(memory_max_bytes(&props), ==, 2 * GIB);
}

static void test_cpu_max(void)
{
        HostlerCpuProps props = {.count = 1, .max = HOSTLER_UNSET};
        g_assert_cmpint(cpu_max(&props), ==, 8);
        props.count = 12;
        g_assert_cmpint(cpu_max(&props), ==, 12);
        props.max = 16;
        g_assert_cmpint(cpu_max(&props), ==, 16);
        /* What was asked for, even if it is too little: that is a fault, and not ours to mend. */
        props.max = 2;
        g_assert_cmpint(cpu_max(&props), ==, 2);
}

static void test_kinds(void)
{
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++) {
                const DeviceType *type = device_type(decl->kind);
                g_assert_true(type != NULL || strcmp(decl->kind, "options") == 0);
                g_assert_true(!type || (strcmp(type->kind, decl->kind) == 0 && type->plan));
                /* What every VM has is not plugged. */
                for (const ModelDecl *model = decl->models ? decl->models + 1 : NULL; model && model->name; model++)
                        g_assert_false(decl->always && model->hot_plug);
        }
        g_assert_null(device_type("toaster"));
        g_assert_null(device_type(""));
}

/* Each live property has a setter, and no setter is of a property that waits or is not there. */
static void test_setters(void)
{
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++) {
                const DeviceType *type = device_type(decl->kind);
                size_t n_live = 0, n_setters = 0;
                if (!type)
                        continue;
                for (size_t i = 0; i < decl->props->n_fields; i++)
                        n_live += decl->props->fields[i].live == LIVE_NOW;
                for (const DeviceSetter *setter = type->setters; setter && setter->property; setter++, n_setters++)
                        g_assert_cmpint(record_field(decl->props, setter->property)->live, ==, LIVE_NOW);
                g_assert_cmpuint(n_setters, ==, n_live);
        }
}

static void read_spec(const char *text, HostlerSpec *ret_spec)
{
        json_auto_t *json = json_loads(text, 0, NULL);
        g_autoptr(GError) error = NULL;
        record_from_json(&hostler_spec_type, json, "", ret_spec, &error);
        g_assert_no_error(error);
}

static bool wants_port(const DeviceContext *context, const char *part)
{
        return seats_is_port(context, spec_part(context->spec, part));
}

static void test_ports(void)
{
        HostlerSpec spec;
        DeviceContext context = {.spec = &spec, .memory_boot_bytes = HOSTLER_UNSET, .memory_max_bytes = HOSTLER_UNSET};
        read_spec("{\"disk0\": {}, \"nic0\": {}, \"seed\": {}, \"data\": {\"kind\": \"disk\"}}", &spec);
        g_assert_true(wants_port(&context, "disk0") && wants_port(&context, "nic0") && wants_port(&context, "data"));
        g_assert_false(wants_port(&context, "seed") || wants_port(&context, "cpu") || wants_port(&context, "boot") ||
                       wants_port(&context, "options"));
        record_clear(&hostler_spec_type, &spec);
}

/* Memory needs its port with the first byte above what the VM boots with, or booted with. */
static void test_port_of_memory(void)
{
        HostlerSpec spec;
        DeviceContext context = {.spec = &spec, .memory_boot_bytes = HOSTLER_UNSET, .memory_max_bytes = HOSTLER_UNSET};
        read_spec("{\"memory\": {\"size\": \"512M\"}}", &spec);
        g_assert_false(wants_port(&context, "memory"));
        context.memory_boot_bytes = 512 * MIB;
        g_assert_false(wants_port(&context, "memory"));
        context.memory_boot_bytes = 510 * MIB;
        g_assert_true(wants_port(&context, "memory"));
        record_clear(&hostler_spec_type, &spec);

        context.memory_boot_bytes = HOSTLER_UNSET;
        read_spec("{\"memory\": {\"size\": \"512M\", \"boot\": \"256M\"}}", &spec);
        g_assert_true(wants_port(&context, "memory"));
        record_clear(&hostler_spec_type, &spec);
}

static const json_t *args_of(const Plan *plan, guint step)
{
        return g_array_index(plan->steps, Step, step).args;
}

/* Of a VM that runs, memory is planned by what it was started with, not by what a new one would get. */
static void test_memory_of_a_run(void)
{
        HostlerSpec spec;
        HostlerSlot slot = {.part = "memory", .bus = BUS_PORTS, .seat = 7};
        HostlerSlotList slots = {.items = &slot, .count = 1};
        DeviceContext context = {
            .spec = &spec, .slots = &slots, .memory_boot_bytes = 256 * MIB, .memory_max_bytes = 1 * GIB};
        g_autoptr(Plan) plan = plan_new();
        read_spec("{\"memory\": {\"size\": \"512M\"}}", &spec);
        device_type("memory")->plan(&context, spec_part(&spec, "memory"), plan);
        g_assert_cmpuint(plan->steps->len, ==, 3);
        g_assert_cmpstr(json_string_value(json_object_get(args_of(plan, 0), "value")), ==,
                        "size=268435456B,maxmem=1073741824B");
        g_assert_cmpint(json_integer_value(json_object_get(args_of(plan, 1), "size")), ==, 768 * MIB);
        g_assert_cmpint(json_integer_value(json_object_get(args_of(plan, 2), "requested-size")), ==, 256 * MIB);
        g_assert_cmpstr(json_string_value(json_object_get(args_of(plan, 2), "bus")), ==, "rp7");
        record_clear(&hostler_spec_type, &spec);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/device/memory-boot", test_memory_boot);
        g_test_add_func("/device/memory-max", test_memory_max);
        g_test_add_func("/device/cpu-max", test_cpu_max);
        g_test_add_func("/device/kinds", test_kinds);
        g_test_add_func("/device/setters", test_setters);
        g_test_add_func("/device/ports", test_ports);
        g_test_add_func("/device/port-of-memory", test_port_of_memory);
        g_test_add_func("/device/memory-of-a-run", test_memory_of_a_run);
        return g_test_run();
}
