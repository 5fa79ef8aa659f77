/*
 * Parts that are added to a VM: their names, and the controllers that come along. See new_part.h. Called by the verbs
 * that add devices and disks.
 */
#include "vm/device/new_part.h"

#include <string.h>

#include "base/error.h"
#include "device/device.h"

static char *free_name(const HostlerSpec *spec, const KindDecl *kind)
{
        for (int i = 0; !kind->single; i++) {
                g_autofree char *name = g_strdup_printf("%s%d", kind->kind, i);
                if (!spec_part(spec, name))
                        return g_steal_pointer(&name);
        }
        return g_strdup(kind->kind);
}

char *new_part_name(Job *job, const HostlerSpec *spec, const KindDecl *kind, const char *wanted, GError **error)
{
        const json_t *known = job_recall(job, "device");
        if (known)
                return g_strdup(json_string_value(known));
        g_autofree char *name = wanted && !kind->single ? g_strdup(wanted) : free_name(spec, kind);
        if (spec_part(spec, name)) {
                error_set(error, HOSTLER_ERROR_EXISTS, NULL,
                          kind->single ? "the VM has its %s already" : "there is a part called %s already", name);
                return NULL;
        }
        if (!job_is_dry_run(job) && !job_remember(job, "device", json_string(name), error))
                return NULL;
        return g_steal_pointer(&name);
}

/* The kind of controller that @name needs and the spec lacks; NULL: none. */
static const char *missing_controller(const HostlerSpec *spec, const char *name)
{
        DeviceContext context = {.spec = spec};
        const HostlerPart *part = spec_part(spec, name);
        return device_controller(&context, part) ? NULL : device_controller_kind(part);
}

bool new_part_spec(const HostlerSpec *before, const char *name, json_t *patch, HostlerSpec *ret_spec, GError **error)
{
        if (!spec_merge(before, patch, "/spec", ret_spec, error))
                return false;
        const char *kind = missing_controller(ret_spec, name);
        if (!kind)
                return true;
        g_autofree char *controller = free_name(ret_spec, kind_find(kind));
        json_object_set_new(patch, controller, json_pack("{s:s}", "kind", kind));
        record_clear(&hostler_spec_type, ret_spec);
        return spec_merge(before, patch, "/spec", ret_spec, error);
}
