/*
 * Devices of the host: `host devices`, and whether a VM that wants one gets it. What the host has is src/host's; who of
 * the VMs has it now is known here.
 */
#include "host/host_devices.h"

#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/manager.h"

/* What the part takes of the host; NULL: nothing. */
static const char *wanted_of(const HostlerPart *part)
{
        if (strcmp(part->kind, "hostpci") == 0)
                return ((const HostlerHostpciProps *)part->props)->host;
        if (strcmp(part->kind, "hostusb") == 0)
                return ((const HostlerHostusbProps *)part->props)->host;
        return NULL;
}

static bool spec_takes(const HostlerSpec *spec, const HostlerHostDeviceList *list, const HostlerHostDevice *device)
{
        for (size_t i = 0; i < spec->count; i++) {
                const char *wanted = wanted_of(&spec->items[i]);
                if (wanted && host_devices_find(list, wanted) == device)
                        return true;
        }
        return false;
}

/* The name of the running VM that has it, @but not counted; NULL: none. Caller frees. */
static char *user_of(Manager *manager, const Vm *but, const HostlerHostDeviceList *list,
                     const HostlerHostDevice *device)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++) {
                Vm *vm = vms->pdata[i];
                HostlerVmRuntime runtime;
                if (vm == but || !vm_is_live(vm))
                        continue;
                vm_runtime(vm, &runtime);
                bool takes = spec_takes(&runtime.launched, list, device);
                record_clear(&hostler_vm_runtime_type, &runtime);
                if (takes)
                        return vm_name(vm);
        }
        return NULL;
}

static bool check_usable(const HostlerHostDevice *device, bool unreset, GError **error)
{
        g_autofree char *remedy = NULL;
        g_autofree char *fault = host_device_fault(&host_paths, device, unreset, &remedy);
        if (!fault)
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "a VM cannot have %s: %s", device->address, fault);
        return remedy ? error_hint(error, "%s", remedy) : false;
}

static bool check_device(Manager *manager, const Vm *vm, const HostlerHostDeviceList *list, const char *name,
                         bool unreset, GError **error)
{
        const HostlerHostDevice *device = host_devices_find(list, name);
        if (!device) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, NULL, "the host has no device %s", name);
                return error_hint(error, "hostler host devices");
        }
        g_autofree char *user = user_of(manager, vm, list, device);
        if (user)
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "VM %s has %s", user, device->address);
        return check_usable(device, unreset, error);
}

bool vm_host_device(Manager *manager, const Vm *vm, const char *name, bool unreset, GError **error)
{
        HostlerHostDeviceList list;
        host_devices_list(&host_paths, &list);
        bool ok = check_device(manager, vm, &list, name, unreset, error);
        record_list_clear(&hostler_host_device_type, &list);
        return ok;
}

static void note_user(Manager *manager, const HostlerHostDeviceList *list, HostlerHostDevice *device)
{
        device->user = user_of(manager, NULL, list, device);
        if (!device->user)
                return;
        device->usable = false;
        g_free(device->detail);
        device->detail = g_strdup_printf("VM %s has it", device->user);
}

static void keep_usable(HostlerHostDeviceList *list)
{
        size_t kept = 0;
        for (size_t i = 0; i < list->count; i++) {
                if (list->items[i].usable)
                        list->items[kept++] = list->items[i];
                else
                        record_clear(&hostler_host_device_type, &list->items[i]);
        }
        list->count = kept;
}

bool host_devices(const Call *call, const HostlerHostDevicesArgs *args, HostlerHostDeviceList *ret_result,
                  GError **error)
{
        host_devices_list(&host_paths, ret_result);
        for (size_t i = 0; i < ret_result->count; i++)
                note_user(call->manager, ret_result, &ret_result->items[i]);
        if (args->usable)
                keep_usable(ret_result);
        return true;
}
