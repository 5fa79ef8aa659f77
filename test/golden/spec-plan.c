/*
 * A DeviceContext filled by hand. See spec-plan.h.
 */
#include "golden/spec-plan.h"

#include <stdlib.h>
#include <string.h>

#define VM_ID "0b1c8d54-3c5e-4f0a-9d1e-2f6a7b8c9d0e"

static bool image_of(const char *name, DeviceImage *ret_image, void *data)
{
        const SpecPlan *plan = data;
        if (strcmp(name, "tiny") != 0)
                return false;
        *ret_image = (DeviceImage){
            .disk = plan->disk, .kernel = plan->kernel, .initrd = plan->initrd, .cmdline = "console=ttyS0 quiet"};
        return true;
}

/* Whether the host really has it is not a plan's business. */
static bool has_host_device(const char *name, bool unreset, void *data, GError **error)
{
        return true;
}

void spec_plan_read(SpecPlan *ret_plan, const json_t *json, const char *vm_dir, const char *image_dir)
{
        g_autoptr(GError) error = NULL;
        *ret_plan = (SpecPlan){
            .disk = g_build_filename(image_dir, "disk.qcow2", NULL),
            .kernel = g_build_filename(image_dir, "vmlinuz", NULL),
            .initrd = g_build_filename(image_dir, "initrd", NULL),
        };
        record_from_json(&hostler_spec_type, json, "/spec", &ret_plan->spec, &error);
        g_assert_no_error(error);
        ret_plan->context = (DeviceContext){
            .vm_id = VM_ID,
            .vm_name = "web1",
            .vm_dir = vm_dir,
            .spec = &ret_plan->spec,
            .slots = &ret_plan->slots,
            .wide_ports = true,
            .memory_boot_bytes = HOSTLER_UNSET,
            .memory_max_bytes = HOSTLER_UNSET,
            .image = image_of,
            .host_device = has_host_device,
            .data = ret_plan,
        };
        seats_give(&ret_plan->context, &ret_plan->slots);
}

void spec_plan_load(SpecPlan *ret_plan, const char *name, const char *vm_dir, const char *image_dir)
{
        g_autofree char *path = g_strdup_printf(GOLDEN_FOLDER "/specs/%s.json", name), *text = NULL;
        json_error_t problem = {0};
        g_file_get_contents(path, &text, NULL, NULL);
        /* Files that a spec names are where the VM's own are. */
        g_auto(GStrv) pieces = g_strsplit(text ? text : "", "/vms/web1/", -1);
        g_autofree char *folder = g_strdup_printf("%s/", vm_dir), *here = g_strjoinv(folder, pieces);
        json_auto_t *json = json_loads(here, JSON_REJECT_DUPLICATES, &problem);
        if (!json)
                g_error("%s:%d: %s", path, problem.line, problem.text);
        spec_plan_read(ret_plan, json, vm_dir, image_dir);
        ret_plan->context.kvm = g_str_has_prefix(name, "kvm");
}

void spec_plan_clear(SpecPlan *plan)
{
        record_clear(&hostler_spec_type, &plan->spec);
        record_list_clear(&hostler_slot_type, &plan->slots);
        g_clear_pointer(&plan->disk, g_free);
        g_clear_pointer(&plan->kernel, g_free);
        g_clear_pointer(&plan->initrd, g_free);
}

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **spec_plan_names(void)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_autoptr(GDir) dir = g_dir_open(GOLDEN_FOLDER "/specs", 0, NULL);
        const char *file;
        g_assert_nonnull(dir);
        while ((file = g_dir_read_name(dir))) {
                g_autofree char *name = g_strndup(file, strlen(file) - strlen(".json"));
                if (g_str_has_suffix(file, ".json"))
                        g_strv_builder_add(builder, name);
        }
        char **names = g_strv_builder_end(builder);
        qsort(names, g_strv_length(names), sizeof *names, compare);
        return names;
}
