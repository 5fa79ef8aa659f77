/*
 * Devices of a VM: add, set, rm, ls. Each is a change of the spec (change.c); here are the words people use, names,
 * and the controllers that come along.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/change.h"
#include "vm/device/info.h"
#include "vm/device/new_part.h"

/* ---- words to a patch ---- */

static const KindDecl *kind_of_word(const char *word, GError **error)
{
        g_autoptr(GPtrArray) words = g_ptr_array_new();
        const KindDecl *kind = kind_by_word(word);
        if (kind && device_type(kind->kind))
                return kind;
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                if (device_type(decl->kind))
                        g_ptr_array_add(words, (char *)decl->kind);
        g_ptr_array_add(words, NULL);
        g_autofree char *near = names_near_text(word, (const char *const *)words->pdata);
        error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no kind of device called %s%s", word, near);
        error_hint(error, "hostler help devices");
        return NULL;
}

/* Adds "PROP=VALUE" to a part's patch. */
static bool read_property(const KindDecl *kind, const char *assignment, json_t *props, GError **error)
{
        const char *equals = strchr(assignment, '=');
        g_autofree char *name = equals ? g_strndup(assignment, (gsize)(equals - assignment)) : NULL;
        if (!equals) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not PROPERTY=VALUE", assignment);
                return error_hint(error, "hostler help properties");
        }
        json_t *value = kind_parse_property(kind, name, equals + 1, error);
        if (!value) {
                error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s.%s", kind->kind, name);
                return false;
        }
        json_object_set_new(props, name, value);
        return true;
}

static bool read_properties(const KindDecl *kind, char *const *assignments, json_t *props, GError **error)
{
        for (size_t i = 0; assignments && assignments[i]; i++)
                if (!read_property(kind, assignments[i], props, error))
                        return false;
        return true;
}

static bool read_model(const KindDecl *kind, const char *model, json_t *props, GError **error)
{
        g_autofree char *assignment = model ? g_strdup_printf("model=%s", model) : NULL;
        if (model && !kind->models)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s devices have no models to choose from",
                                 kind->kind);
        return !model || read_property(kind, assignment, props, error);
}

/* ---- add ---- */

bool device_add(Job *job, const HostlerDeviceAddArgs *args, HostlerDeviceInfoList *ret_result, GError **error)
{
        HostlerPropertyChangeList rows;
        HostlerSpec wanted;
        const KindDecl *kind = kind_of_word(args->kind, error);
        g_autoptr(Vm) vm = kind ? manager_vm_ready(job_manager(job), args->vm, error) : NULL;
        g_autoptr(Spec) before = vm ? vm_spec(vm) : NULL;
        char *const *words = args->words;
        const char *wanted_name = words && words[0] && !strchr(words[0], '=') ? *words++ : NULL;
        g_autofree char *name = vm ? new_part_name(job, &before->value, kind, wanted_name, error) : NULL;
        if (!name)
                return false;
        json_auto_t *props = json_pack("{s:s}", "kind", kind->kind);
        json_auto_t *patch = json_pack("{s:O}", name, props);
        if (!read_model(kind, args->model, props, error) || !read_properties(kind, words, props, error) ||
            !new_part_spec(&before->value, name, patch, &wanted, error) ||
            !change_spec(job, vm, &wanted, CHANGE_USUALLY, &rows, error))
                return false;
        change_list_clear(&rows);
        device_info_list(vm, patch, ret_result);
        return true;
}

/* ---- the others ---- */

const HostlerPart *device_part(Vm *vm, const HostlerSpec *spec, const char *name, GError **error)
{
        g_autofree char *object = vm_object(vm);
        const HostlerPart *part = spec_part(spec, name);
        if (part && device_type(part->kind))
                return part;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (size_t i = 0; i < spec->count; i++)
                if (device_type(spec->items[i].kind))
                        g_ptr_array_add(names, spec->items[i].name);
        g_ptr_array_add(names, NULL);
        g_autofree char *near = names_near_text(name, (const char *const *)names->pdata);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no device called %s%s", name, near);
        error_hint(error, "hostler device ls %s", object + strlen("vm/"));
        return NULL;
}

bool device_set(Job *job, const HostlerDeviceSetArgs *args, HostlerPropertyChangeList *ret_result, GError **error)
{
        HostlerSpec wanted;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_autoptr(Spec) before = vm ? vm_spec(vm) : NULL;
        const HostlerPart *part = vm ? device_part(vm, &before->value, args->device, error) : NULL;
        if (!part)
                return false;
        json_auto_t *props = json_object();
        json_auto_t *patch = json_pack("{s:O}", args->device, props);
        return read_properties(kind_find(part->kind), args->property, props, error) &&
               spec_merge(&before->value, patch, "/spec", &wanted, error) &&
               change_spec(job, vm, &wanted, CHANGE_USUALLY, ret_result, error);
}

/* Names who stands on it: the spec without it would be refused, in words that do not fit. */
static bool check_stands_alone(Vm *vm, const HostlerSpec *spec, const char *name, GError **error)
{
        DeviceContext context = {.spec = spec};
        g_autofree char *object = vm_object(vm);
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *other = &spec->items[i];
                g_autoptr(GPtrArray) needs = device_needs(&context, other);
                for (guint k = 0; k < needs->len; k++) {
                        if (strcmp(needs->pdata[k], name) != 0)
                                continue;
                        error_set(error, HOSTLER_ERROR_BUSY, object, "%s sits on %s", other->name, name);
                        return error_hint(error, "hostler device rm %s %s", object + strlen("vm/"), other->name);
                }
        }
        return true;
}

bool device_rm(Job *job, const HostlerDeviceRmArgs *args, GError **error)
{
        HostlerPropertyChangeList rows;
        HostlerSpec wanted;
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_autoptr(Spec) before = vm ? vm_spec(vm) : NULL;
        if (!vm)
                return false;
        if (job_recall(job, "removing") && !spec_part(&before->value, args->device))
                return true; /* run again after a crash: it is gone */
        json_auto_t *patch = json_pack("{s:n}", args->device);
        ChangeOptions options = {.expected = -1, .patience_ms = args->timeout, .force = args->force};
        if (!device_part(vm, &before->value, args->device, error) ||
            !check_stands_alone(vm, &before->value, args->device, error) ||
            (!job_is_dry_run(job) && !job_remember(job, "removing", json_true(), error)) ||
            !spec_merge(&before->value, patch, "/spec", &wanted, error) ||
            !change_spec(job, vm, &wanted, &options, &rows, error))
                return false;
        change_list_clear(&rows);
        return true;
}

bool device_ls(const Call *call, const HostlerDeviceLsArgs *args, HostlerDeviceInfoList *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm)
                return false;
        device_info_list(vm, NULL, ret_result);
        return true;
}
