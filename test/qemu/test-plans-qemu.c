/*
 * Plans against a real QEMU: each step is of its schema, each command line starts, and what is plugged into a machine
 * that stands before its first instruction can go again or leaves nothing when it fails.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "device/medium.h"
#include "golden/spec-plan.h"
#include "machine.h"
#include "qmp-schema.h"
#include "storage/volume.h"

#define IMAGE_BYTES (16 << 20)
#define KERNEL_BYTES 8192
#define MEDIUM_BYTES (1440 << 10)

static LoopThread *loop;

/* ---- the schema ---- */

typedef struct {
        Machine machine;
        QmpSchema schema;
        GHashTable *properties; /* driver → properties as device-list-properties gives them */
} Oracle;

static void oracle_init(Oracle *oracle)
{
        static const char *const arguments[] = {
            "-nodefaults", "-display", "none", "-machine", "q35,accel=tcg", "-S", "-qmp", "unix:qmp,server=on,wait=off",
            NULL};
        machine_init(&oracle->machine, loop);
        machine_start(&oracle->machine, arguments, "qmp");
        qmp_schema_init(&oracle->schema, machine_ask(&oracle->machine, "query-qmp-schema", NULL));
        oracle->properties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)json_decref);
}

static void oracle_clear(Oracle *oracle)
{
        g_clear_pointer(&oracle->properties, g_hash_table_unref);
        qmp_schema_clear(&oracle->schema);
        machine_clear(&oracle->machine);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Oracle, oracle_clear)

static const json_t *properties_of(Oracle *oracle, const char *driver)
{
        json_t *properties = g_hash_table_lookup(oracle->properties, driver);
        if (!properties) {
                properties =
                    machine_ask(&oracle->machine, "device-list-properties", json_pack("{s:s}", "typename", driver));
                g_hash_table_insert(oracle->properties, g_strdup(driver), properties);
        }
        return properties;
}

/* Types that say what JSON they are; of others (links, addresses) any text will do. */
static bool is_of_type(const char *type, const json_t *value)
{
        if (strcmp(type, "bool") == 0)
                return json_is_boolean(value);
        if (g_str_has_prefix(type, "uint") || strcmp(type, "size") == 0)
                return json_is_integer(value);
        if (g_str_has_prefix(type, "int"))
                return json_is_integer(value) || json_is_string(value); /* "addr" is an int32 that reads "2.1" */
        return json_is_string(value);
}

static char *property_fault(const json_t *properties, const char *name, const json_t *value)
{
        json_t *property;
        size_t i;
        json_array_foreach (properties, i, property) {
                const char *type = json_string_value(json_object_get(property, "type"));
                if (strcmp(json_string_value(json_object_get(property, "name")), name) == 0)
                        return is_of_type(type, value) ? NULL : g_strdup_printf("%s is no %s", name, type);
        }
        return g_strdup_printf("there is no property %s", name);
}

static char *device_fault(Oracle *oracle, const json_t *args)
{
        const char *name;
        json_t *value;
        const json_t *properties = properties_of(oracle, json_string_value(json_object_get(args, "driver")));
        json_object_foreach ((json_t *)args, name, value) {
                if (strcmp(name, "driver") == 0 || strcmp(name, "id") == 0 || strcmp(name, "bus") == 0)
                        continue;
                char *fault = property_fault(properties, name, value);
                if (fault)
                        return fault;
        }
        return NULL;
}

static char *step_fault(Oracle *oracle, const Step *step)
{
        switch (step->kind) {
        case STEP_OBJECT:
                return qmp_schema_fault(&oracle->schema, "object-add", step->args);
        case STEP_BLOCKDEV:
                return qmp_schema_fault(&oracle->schema, "blockdev-add", step->args);
        case STEP_NETDEV:
                return qmp_schema_fault(&oracle->schema, "netdev_add", step->args);
        case STEP_DEVICE:
                return device_fault(oracle, step->args);
        case STEP_CHARDEV:
                return qmp_schema_fault(&oracle->schema, "chardev-add", step->args);
        case STEP_ARGUMENT:
                break;
        }
        return NULL;
}

static void test_schema(void)
{
        g_auto(Oracle) oracle;
        g_auto(GStrv) names = spec_plan_names();
        oracle_init(&oracle);
        for (char **name = names; *name; name++) {
                g_auto(SpecPlan) spec;
                g_autoptr(Plan) plan = plan_new();
                spec_plan_load(&spec, *name, "/vms/web1", "/images/tiny");
                device_plan_all(&spec.context, plan);
                for (guint i = 0; i < plan->steps->len; i++) {
                        const Step *step = &g_array_index(plan->steps, Step, i);
                        g_autofree char *fault = step_fault(&oracle, step);
                        if (fault)
                                g_error("%s, step %u: %s in %s", *name, i, fault, json_dumps(step->args, 0));
                }
        }
}

/* The test above is worth something only if it finds what is wrong. */
static void test_schema_finds(void)
{
        static const struct {
                StepKind kind;
                const char *args, *fault;
        } rows[] = {
            {STEP_OBJECT, "{'qom-type': 'rng-random', 'id': 'a', 'file': '/dev/urandom'}",
             "object-add.file: is not known"},
            {STEP_OBJECT, "{'qom-type': 'memory-backend-ram', 'id': 'a'}", "object-add: lacks size"},
            {STEP_BLOCKDEV, "{'driver': 'qcow2', 'file': 3}", "blockdev-add.file: is none of "},
            {STEP_BLOCKDEV, "{'driver': 'file', 'filename': '/a', 'cache': {'direct': 'on'}}",
             "blockdev-add.cache.direct: is no bool"},
            {STEP_NETDEV, "{'type': 'user', 'id': 'a', 'hostfwd': ['tcp::1-:1']}",
             "netdev_add.hostfwd[0]: must be an object"},
            {STEP_NETDEV, "{'type': 'usr', 'id': 'a'}", "netdev_add.type: is no "},
            {STEP_DEVICE, "{'driver': 'virtio-blk-pci', 'cache': 'none'}", "there is no property cache"},
            {STEP_DEVICE, "{'driver': 'pcie-root-port', 'chassis': '1'}", "chassis is no uint8"},
        };
        g_auto(Oracle) oracle;
        oracle_init(&oracle);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *text = g_strdelimit(g_strdup(rows[i].args), "'", '"');
                json_auto_t *args = json_loads(text, 0, NULL);
                Step step = {.kind = rows[i].kind, .args = args};
                g_autofree char *fault = step_fault(&oracle, &step);
                g_assert_nonnull(fault);
                g_assert_true(g_str_has_prefix(fault, rows[i].fault));
        }
}

/* ---- starting ---- */

static void write_file(const char *folder, const char *name, const void *data, size_t length)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autoptr(GError) error = NULL;
        file_write_atomic(path, data, length, 0600, false, &error);
        g_assert_no_error(error);
}

/* As much of a Linux kernel as QEMU looks at (Documentation/x86/boot.rst): boot protocol 2.12, one sector of set-up. */
static void write_kernel(const char *folder)
{
        unsigned char kernel[KERNEL_BYTES] = {[0x1f1] = 1,    [0x1fe] = 0x55, [0x1ff] = 0xaa, [0x206] = 0x0c,
                                              [0x207] = 0x02, [0x211] = 1,    [0x238] = 0xff, [0x239] = 0x07};
        memcpy(kernel + 0x202, "HdrS", 4);
        memset(kernel + 0x22c, 0x7f, 4); /* initrd_addr_max */
        write_file(folder, "vmlinuz", kernel, sizeof kernel);
}

static void write_image(const char *folder)
{
        g_autofree char *disk = g_build_filename(folder, "disk.qcow2", NULL);
        g_autoptr(GError) error = NULL;
        volume_create_empty(disk, IMAGE_BYTES, &error);
        g_assert_no_error(error);
        write_kernel(folder);
        write_file(folder, "initrd", "070701", 6);
}

static void write_disk(const SpecPlan *spec, const HostlerPart *part)
{
        const HostlerDiskProps *disk = part->props;
        g_autofree char *name = disk_file_name(part->name);
        g_autofree char *path = g_build_filename(spec->context.vm_dir, name, NULL);
        g_autoptr(GError) error = NULL;
        if (disk->image)
                volume_create_overlay(path, spec->disk, "qcow2", disk->size, &error);
        else
                volume_create_empty(path, disk->size, &error);
        g_assert_no_error(error);
}

/* A file that somebody has on the host: as large as a floppy, and a good CD. */
static void write_medium(const SpecPlan *spec, const HostlerPart *part)
{
        Medium medium = medium_of(&spec->context, part);
        g_autoptr(GError) error = NULL;
        if (!medium.path || g_file_test(medium.path, G_FILE_TEST_EXISTS))
                return;
        if (medium.qcow2)
                volume_create_empty(medium.path, MEDIUM_BYTES, &error);
        g_assert_no_error(error);
        FILE *file = fopen(medium.path, "a");
        g_assert_true(file && (medium.qcow2 || ftruncate(fileno(file), MEDIUM_BYTES) == 0) && fclose(file) == 0);
}

/* What the vm layer makes before it starts a VM. */
static void write_files(const SpecPlan *spec)
{
        static const char seed[2048];
        write_image(spec->context.vm_dir);
        for (size_t i = 0; i < spec->spec.count; i++) {
                const HostlerPart *part = &spec->spec.items[i];
                if (strcmp(part->kind, "disk") == 0)
                        write_disk(spec, part);
                else if (strcmp(part->kind, "cdrom") == 0 || strcmp(part->kind, "floppy") == 0)
                        write_medium(spec, part);
        }
        write_file(spec->context.vm_dir, SEED_FILE_NAME, seed, sizeof seed);
        /* QEMU runs in this very folder here. */
        g_autofree char *run = g_build_filename(spec->context.vm_dir, "run", NULL);
        g_assert_no_errno(symlink(".", run));
}

/* The keeper would pass a pipe for each log. */
static void add_sink(GPtrArray *argv, int set)
{
        g_ptr_array_add(argv, g_strdup("-add-fd"));
        g_ptr_array_add(argv, g_strdup_printf("fd=%d,set=%d", MACHINE_SINK_FD, set));
}

static void add_sinks(const SpecPlan *spec, GPtrArray *argv)
{
        add_sink(argv, CHASSIS_CONSOLE_FDSET);
        for (size_t i = 0; i < spec->spec.count; i++) {
                g_auto(HostEnd) end = device_host_end(&spec->context, &spec->spec.items[i]);
                if (end.kind == HOST_END_LOG)
                        add_sink(argv, device_log_set(&spec->context, &spec->spec.items[i]));
        }
}

/* ---- programs beside QEMU ---- */

/* Puts @text where the words have @mark. */
static void fill_in(char **words, const char *mark, const char *text)
{
        for (char **word = words; *word; word++) {
                GString *filled = g_string_new(*word);
                g_string_replace(filled, mark, text, 0);
                g_free(*word);
                *word = g_string_free(filled, FALSE);
        }
}

/* Folders are opened by the vm layer; here their paths will do. */
static void fill_in_folders(const SpecPlan *spec, char **words)
{
        for (size_t i = 0; i < spec->spec.count; i++) {
                const HostlerPart *part = &spec->spec.items[i];
                const DeviceType *type = device_type(part->kind);
                g_autofree char *mark = g_strdup_printf("@DIR:%s@", part->name);
                if (type && type->folder)
                        fill_in(words, mark, type->folder(part));
        }
}

/* A helper works in QEMU's folder, which is VMDIR/run elsewhere. */
static void run_helper(const Machine *machine, DeviceHelper *helper)
{
        g_autoptr(GError) error = NULL;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int target = MACHINE_SINK_FD;
        g_autofree char *number = g_strdup_printf("%d", target);
        g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", machine->folder, helper->socket);
        g_assert_true(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
        fill_in(helper->argv, "@FD@", number);
        fill_in(helper->argv, "../tpm", "tpm");
        g_spawn_async_with_pipes_and_fds(machine->folder, (const char *const *)helper->argv, NULL, G_SPAWN_DEFAULT,
                                         NULL, NULL, -1, -1, -1, &fd, &target, 1, NULL, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        g_strfreev(helper->argv);
        g_free(helper->socket);
}

/* They end with QEMU's connection. */
static void run_helpers(const Machine *machine, const SpecPlan *spec)
{
        g_autoptr(GArray) helpers = g_array_new(FALSE, FALSE, sizeof(DeviceHelper));
        for (size_t i = 0; i < spec->spec.count; i++) {
                const HostlerPart *part = &spec->spec.items[i];
                const DeviceType *type = device_type(part->kind);
                if (type && type->helpers)
                        type->helpers(&spec->context, part, helpers);
        }
        for (guint i = 0; i < helpers->len; i++) {
                DeviceHelper *helper = &g_array_index(helpers, DeviceHelper, i);
                fill_in_folders(spec, helper->argv);
                run_helper(machine, helper);
        }
}

/* False when this host has not what a part stands on; the test is skipped then, with what it said. */
static bool acquire(const SpecPlan *spec)
{
        for (size_t i = 0; i < spec->spec.count; i++) {
                const HostlerPart *part = &spec->spec.items[i];
                const DeviceType *type = device_type(part->kind);
                g_autoptr(GError) error = NULL;
                if (type && type->acquire && !type->acquire(&spec->context, part, &error)) {
                        g_test_skip(error->message);
                        return false;
                }
        }
        return true;
}

static void start(Machine *machine, const SpecPlan *spec)
{
        g_autoptr(Plan) plan = plan_new();
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        device_plan_all(&spec->context, plan);
        add_sinks(spec, argv);
        plan_to_argv(plan, argv);
        g_ptr_array_add(argv, NULL);
        fill_in_folders(spec, (char **)argv->pdata);
        run_helpers(machine, spec);
        machine_start(machine, (const char *const *)argv->pdata, CHASSIS_QMP_SOCKET);
}

/* QEMU has opened every file and built every device when it answers; then it can go as it came. */
static void test_start(gconstpointer data)
{
        g_auto(Machine) machine;
        g_auto(SpecPlan) spec;
        machine_init(&machine, loop);
        spec_plan_load(&spec, data, machine.folder, machine.folder);
        write_files(&spec);
        if (!acquire(&spec))
                return;
        start(&machine, &spec);
        json_auto_t *status = machine_ask(&machine, "query-status", NULL);
        g_assert_cmpstr(json_string_value(json_object_get(status, "status")), ==, "prelaunch");
        for (size_t i = 0; i < spec.spec.count; i++) {
                const HostlerPart *part = &spec.spec.items[i];
                const DeviceType *type = device_type(part->kind);
                g_assert_true(!type || !type->launched || type->launched(&spec.context, part, machine.qmp, NULL));
        }
        json_decref(machine_ask(&machine, "quit", NULL));
}

/* ---- plugging ---- */

static const char plugged[] = "{\"disk0\": {\"image\": \"tiny\", \"size\": 16777216}, \"disk1\": {\"size\": 16777216},"
                              " \"nic0\": {\"forward\": [\"tcp:21990:22\"]}, \"nic1\": {\"model\": \"e1000e\"},"
                              " \"nic2\": {\"model\": \"e1000\"}, \"nic3\": {\"model\": \"rtl8139\"},"
                              " \"serial0\": {\"model\": \"pci-serial\"},"
                              " \"serial1\": {\"model\": \"virtconsole\", \"backend\": \"socket\"},"
                              " \"serial2\": {\"model\": \"virtserialport\", \"backend\": \"pty\"}}";

/* @ret_spec: of parts that are not there yet in the running @ret_machine. */
static void start_bare(Machine *ret_machine, SpecPlan *ret_spec)
{
        g_auto(SpecPlan) bare;
        json_auto_t *json = json_loads(plugged, 0, NULL);
        machine_init(ret_machine, loop);
        spec_plan_load(&bare, "minimal", ret_machine->folder, ret_machine->folder);
        spec_plan_read(ret_spec, json, ret_machine->folder, ret_machine->folder);
        write_files(ret_spec);
        start(ret_machine, &bare);
}

/* NULL for a part that cannot be plugged. */
static Plan *part_plan(SpecPlan *spec, size_t i)
{
        const HostlerPart *part = &spec->spec.items[i];
        spec->context.hot = true;
        if (!device_hot_plug(&spec->context, part))
                return NULL;
        Plan *plan = plan_new();
        device_type(part->kind)->plan(&spec->context, part, plan);
        return plan;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What a plan may leave behind: devices, objects, block nodes, character devices, net devices. Caller frees. */
static char *contents(Machine *machine)
{
        json_auto_t *nodes = machine_ask(machine, "query-named-block-nodes", json_pack("{s:b}", "flat", 1));
        json_auto_t *devices = machine_ask(machine, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"));
        json_auto_t *objects = machine_ask(machine, "qom-list", json_pack("{s:s}", "path", "/objects"));
        json_auto_t *nets =
            machine_ask(machine, "human-monitor-command", json_pack("{s:s}", "command-line", "info network"));
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        json_auto_t *chardevs = machine_ask(machine, "query-chardev", NULL);
        json_t *entry;
        size_t i;
        json_array_foreach (chardevs, i, entry)
                g_ptr_array_add(names, (char *)json_string_value(json_object_get(entry, "label")));
        json_array_foreach (nodes, i, entry)
                g_ptr_array_add(names, (char *)json_string_value(json_object_get(entry, "node-name")));
        json_array_foreach (devices, i, entry)
                g_ptr_array_add(names, (char *)json_string_value(json_object_get(entry, "name")));
        json_array_foreach (objects, i, entry)
                g_ptr_array_add(names, (char *)json_string_value(json_object_get(entry, "name")));
        g_ptr_array_sort(names, compare_names);
        g_ptr_array_add(names, (char *)json_string_value(nets));
        g_ptr_array_add(names, NULL);
        return g_strjoinv("\n", (char **)names->pdata);
}

/*
 * There is no guest yet that could let go of a PCI device, so a first request times out and takes nothing away; a reset
 * gives the device up.
 */
static void keep_and_reset(Machine *machine, const Plan *plan, const char *with)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(plan_unplug(plan, machine->qmp, 20, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_TIMEOUT);
        g_autofree char *still = contents(machine);
        g_assert_cmpstr(still, ==, with);
        json_decref(machine_ask(machine, "system_reset", NULL));
}

/* A device that is gone already leaves what it stood on, which goes with it; one that needs no guest's consent goes at
 * once. */
static void test_plug(void)
{
        g_auto(Machine) machine;
        g_auto(SpecPlan) spec;
        start_bare(&machine, &spec);
        g_autofree char *before = contents(&machine);
        size_t n_plugged = 0;
        for (size_t i = 0; i < spec.spec.count; i++) {
                g_autoptr(GError) error = NULL;
                g_autoptr(Plan) plan = part_plan(&spec, i);
                if (!plan)
                        continue;
                n_plugged++;
                plan_run(plan, machine.qmp, &error);
                g_assert_no_error(error);
                g_autofree char *with = contents(&machine);
                g_assert_cmpstr(with, !=, before);
                if (seats_is_port(&spec.context, &spec.spec.items[i]))
                        keep_and_reset(&machine, plan, with);
                plan_unplug(plan, machine.qmp, MACHINE_TIMEOUT_MS, &error);
                g_assert_no_error(error);
                g_autofree char *after = contents(&machine);
                g_assert_cmpstr(after, ==, before);
        }
        g_assert_cmpuint(n_plugged, ==, 9);
}

/* The last step of each plan cannot be done: nothing of those before it stays. */
static void test_roll_back(void)
{
        g_auto(Machine) machine;
        g_auto(SpecPlan) spec;
        start_bare(&machine, &spec);
        g_autofree char *before = contents(&machine);
        for (size_t i = 0; i < spec.spec.count; i++) {
                g_autoptr(GError) error = NULL;
                g_autoptr(Plan) plan = part_plan(&spec, i);
                if (!plan)
                        continue;
                Step *last = &g_array_index(plan->steps, Step, plan->steps->len - 1);
                json_object_set_new(last->args, "bus", json_string("nowhere"));
                g_assert_false(plan_run(plan, machine.qmp, &error));
                g_assert_nonnull(strstr(error->message, "nowhere"));
                g_autofree char *after = contents(&machine);
                g_assert_cmpstr(after, ==, before);
        }
}

/* A disk whose file is no qcow2: its second node is refused, and the first, which was made, goes again. */
static void test_roll_back_of_a_bad_file(void)
{
        g_auto(Machine) machine;
        g_auto(SpecPlan) spec;
        g_autoptr(GError) error = NULL;
        start_bare(&machine, &spec);
        g_autofree char *before = contents(&machine);
        write_file(machine.folder, "disk1.qcow2", "no disk", 7);
        const HostlerPart *part = spec_part(&spec.spec, "disk1");
        g_autoptr(Plan) plan = part_plan(&spec, (size_t)(part - spec.spec.items));
        g_assert_false(plan_run(plan, machine.qmp, &error));
        g_assert_nonnull(strstr(error->message, "qcow2"));
        g_autofree char *after = contents(&machine);
        g_assert_cmpstr(after, ==, before);
}

int main(int argc, char **argv)
{
        g_unsetenv("LD_PRELOAD"); /* the sanitizer's, not for the programs we start */
        g_test_init(&argc, &argv, NULL);
        loop = loop_thread_new();
        g_test_add_func("/plans-qemu/schema", test_schema);
        g_test_add_func("/plans-qemu/schema-finds", test_schema_finds);
        g_auto(GStrv) names = spec_plan_names();
        for (char **name = names; *name; name++) {
                g_autofree char *path = g_strdup_printf("/plans-qemu/start/%s", *name);
                /* KVM is not for tests: where it does not work it hangs. A device of the host's own there may be none
                 * of. Their steps are checked above. */
                if (!g_str_has_prefix(*name, "kvm") && !g_str_has_prefix(*name, "hostpci"))
                        g_test_add_data_func(path, *name, test_start);
        }
        g_test_add_func("/plans-qemu/plug", test_plug);
        g_test_add_func("/plans-qemu/roll-back", test_roll_back);
        g_test_add_func("/plans-qemu/roll-back-of-a-bad-file", test_roll_back_of_a_bad_file);
        int failed = g_test_run();
        loop_thread_free(loop);
        return failed;
}
