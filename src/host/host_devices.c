/*
 * Devices of this host as sysfs shows them, and whether a VM can have each. See host_devices.h.
 *
 * It looks and judges; it binds no driver and opens no device. Called by the verb `host devices` and before a VM is
 * given one.
 */
#include "host/host_devices.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/record.h"
#include "host/pci_names.h"

#define FILE_LIMIT 4096
#define CLASS_BRIDGE "06"
#define CLASS_USB_HUB "09"
#define VFIO_DRIVER "vfio-pci"

/* ---- sysfs ---- */

/* One line without its end; NULL: there is no such file, or nothing in it. */
static char *line_in(const char *folder, const char *name)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        char *text = file_read(path, FILE_LIMIT, NULL, NULL);
        if (text && *g_strstrip(text))
                return text;
        g_free(text);
        return NULL;
}

/* The last component that a link points to ("vfio-pci"); NULL: no link. */
static char *link_in(const char *folder, const char *name)
{
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);
        return target ? g_path_get_basename(target) : NULL;
}

static int compare_text(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted; empty when there is none. g_ptr_array_unref. */
static GPtrArray *names_in(const char *folder)
{
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir)))
                g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_sort(names, compare_text);
        return names;
}

static HostlerHostDevice *append(HostlerHostDeviceList *list, const char *bus, const char *address)
{
        list->items = g_renew(HostlerHostDevice, list->items, list->count + 1);
        HostlerHostDevice *device = &list->items[list->count++];
        record_init(&hostler_host_device_type, device);
        device->bus = g_strdup(bus);
        device->address = g_strdup(address);
        return device;
}

/* ---- PCI ---- */

static char *pci_folder(const HostPaths *paths, const char *address)
{
        return g_build_filename(paths->sys, "bus/pci/devices", address, NULL);
}

/* "0x8086" → "8086"; class "0x020000" → "020000". */
static char *hex_in(const char *folder, const char *name)
{
        g_autofree char *text = line_in(folder, name);
        return g_strdup(text && g_str_has_prefix(text, "0x") ? text + 2 : "");
}

static bool is_bridge(const HostPaths *paths, const char *address)
{
        g_autofree char *folder = pci_folder(paths, address), *class = hex_in(folder, "class");
        return g_str_has_prefix(class, CLASS_BRIDGE);
}

/* "0000:01:00.1 snd_hda_intel": the others of the group. */
static char **siblings_of(const HostPaths *paths, const char *folder, const char *address)
{
        g_autofree char *group = g_build_filename(folder, "iommu_group/devices", NULL);
        g_autoptr(GPtrArray) names = names_in(group);
        g_autoptr(GStrvBuilder) siblings = g_strv_builder_new();
        for (guint i = 0; i < names->len; i++) {
                const char *name = names->pdata[i];
                if (strcmp(name, address) == 0)
                        continue;
                g_autofree char *other = pci_folder(paths, name), *driver = link_in(other, "driver");
                g_autofree char *text = driver ? g_strdup_printf("%s %s", name, driver) : g_strdup(name);
                g_strv_builder_add(siblings, text);
        }
        return g_strv_builder_end(siblings);
}

static void read_pci(const HostPaths *paths, PciNames *names, const char *address, HostlerHostDeviceList *list)
{
        HostlerHostDevice *device = append(list, "pci", address);
        g_autofree char *folder = pci_folder(paths, address);
        g_autofree char *vendor = hex_in(folder, "vendor"), *product = hex_in(folder, "device");
        g_autofree char *class = hex_in(folder, "class");
        device->ids = g_strdup_printf("%s:%s", vendor, product);
        device->type = pci_names_class(names, class);
        device->name = pci_names_device(names, vendor, product);
        device->driver = link_in(folder, "driver");
        device->group = link_in(folder, "iommu_group");
        device->reset = line_in(folder, "reset_method");
        if (device->group)
                device->siblings = siblings_of(paths, folder, address);
}

/* Drivers under which a device may share a group with one that a VM has (driver-api/vfio.rst). */
static bool is_harmless(const char *sibling)
{
        static const char *const drivers[] = {VFIO_DRIVER, "pci-stub", "pcieport", NULL};
        const char *driver = strchr(sibling, ' ');
        return !driver || g_strv_contains(drivers, driver + 1);
}

static char *group_fault(const HostPaths *paths, const HostlerHostDevice *device)
{
        g_autofree char *node = g_build_filename(paths->dev, "vfio", device->group, NULL);
        for (char **sibling = device->siblings; sibling && *sibling; sibling++)
                if (!is_harmless(*sibling))
                        return g_strdup_printf("%s is in the same IOMMU group and in use by the host", *sibling);
        if (access(node, R_OK | W_OK) != 0)
                return g_strdup_printf("the daemon may not open %s", node);
        return NULL;
}

static char *driver_fault(const HostlerHostDevice *device, char **ret_remedy)
{
        if (g_strcmp0(device->driver, VFIO_DRIVER) == 0)
                return NULL;
        *ret_remedy = g_strdup_printf("driverctl set-override %s " VFIO_DRIVER "   (as root, package driverctl)",
                                      device->address);
        if (!device->driver)
                return g_strdup("no driver has it, and " VFIO_DRIVER " must");
        return g_strdup_printf("its driver is %s, and " VFIO_DRIVER " must have it", device->driver);
}

static char *pci_fault(const HostPaths *paths, const HostlerHostDevice *device, bool unreset, char **ret_remedy)
{
        char *fault = NULL;
        if (is_bridge(paths, device->address))
                return g_strdup("it is a bridge");
        if (!device->group) {
                *ret_remedy =
                    g_strdup("switch on VT-d or AMD-Vi in the firmware, and boot Intel's with intel_iommu=on");
                return g_strdup("it is in no IOMMU group: the host has no IOMMU, or it is switched off");
        }
        if ((fault = driver_fault(device, ret_remedy)))
                return fault;
        if (device->reset || unreset)
                return group_fault(paths, device);
        *ret_remedy = g_strdup("reset=off takes it as it is");
        return g_strdup("it cannot be reset, so the next user would find it as the last one left it");
}

/* ---- USB ---- */

/* The drivers of its interfaces: folders "1-2:1.0" in the device's own. */
static char *usb_drivers(const char *folder, const char *address)
{
        g_autoptr(GPtrArray) names = names_in(folder), drivers = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *prefix = g_strconcat(address, ":", NULL);
        for (guint i = 0; i < names->len; i++) {
                g_autofree char *interface = g_build_filename(folder, names->pdata[i], NULL);
                g_autofree char *driver =
                    g_str_has_prefix(names->pdata[i], prefix) ? link_in(interface, "driver") : NULL;
                if (driver && !g_ptr_array_find_with_equal_func(drivers, driver, g_str_equal, NULL))
                        g_ptr_array_add(drivers, g_steal_pointer(&driver));
        }
        g_ptr_array_add(drivers, NULL);
        return drivers->len > 1 ? g_strjoinv(",", (char **)drivers->pdata) : NULL;
}

/* USB's numbers of classes (usb.org, "Defined Class Codes"); 00: each interface has its own. */
static const char *usb_class(const char *code)
{
        static const char *const names[][2] = {
            {"00", "USB device"},      {"02", "Communication"}, {"03", "Input device"},        {"08", "Storage"},
            {CLASS_USB_HUB, "Hub"},    {"0e", "Video"},         {"e0", "Wireless controller"}, {"ef", "USB device"},
            {"ff", "Vendor's device"},
        };
        for (size_t i = 0; code && i < G_N_ELEMENTS(names); i++)
                if (strcmp(names[i][0], code) == 0)
                        return names[i][1];
        return "USB device";
}

static char *usb_folder(const HostPaths *paths, const char *address)
{
        return g_build_filename(paths->sys, "bus/usb/devices", address, NULL);
}

static void read_usb(const HostPaths *paths, const char *address, HostlerHostDeviceList *list)
{
        g_autofree char *folder = usb_folder(paths, address);
        g_autofree char *vendor = line_in(folder, "idVendor"), *product = line_in(folder, "idProduct");
        g_autofree char *maker = line_in(folder, "manufacturer"), *name = line_in(folder, "product");
        g_autofree char *class = line_in(folder, "bDeviceClass");
        /* Interfaces ("1-2:1.0") and root hubs ("usb1") are no devices to give away. */
        if (!vendor || !product || !g_ascii_isdigit(*address))
                return;
        HostlerHostDevice *device = append(list, "usb", address);
        device->ids = g_strdup_printf("%s:%s", vendor, product);
        device->type = g_strdup(usb_class(class));
        device->name = maker && name ? g_strdup_printf("%s %s", maker, name) : g_strdup(name ? name : maker);
        device->driver = usb_drivers(folder, address);
        device->reset = g_strdup("port"); /* libusb's: every USB device can be reset by its port */
}

static char *usb_node(const HostPaths *paths, const char *address)
{
        g_autofree char *folder = usb_folder(paths, address);
        g_autofree char *bus = line_in(folder, "busnum"), *number = line_in(folder, "devnum");
        g_autofree char *node = g_strdup_printf("%03d/%03d", bus ? atoi(bus) : 0, number ? atoi(number) : 0);
        return g_build_filename(paths->dev, "bus/usb", node, NULL);
}

static char *usb_fault(const HostPaths *paths, const HostlerHostDevice *device)
{
        g_autofree char *node = usb_node(paths, device->address);
        if (strcmp(device->type, "Hub") == 0)
                return g_strdup("it is a hub; give away what is plugged into it");
        if (access(node, R_OK | W_OK) != 0)
                return g_strdup_printf("the daemon may not open %s", node);
        return NULL;
}

/* ---- both ---- */

char *host_device_fault(const HostPaths *paths, const HostlerHostDevice *device, bool unreset, char **ret_remedy)
{
        g_autofree char *remedy = NULL;
        bool is_pci = strcmp(device->bus, "pci") == 0;
        char *fault = is_pci ? pci_fault(paths, device, unreset, &remedy) : usb_fault(paths, device);
        if (ret_remedy)
                *ret_remedy = g_steal_pointer(&remedy);
        return fault;
}

static void judge(const HostPaths *paths, HostlerHostDeviceList *list)
{
        for (size_t i = 0; i < list->count; i++) {
                list->items[i].detail = host_device_fault(paths, &list->items[i], false, NULL);
                list->items[i].usable = !list->items[i].detail;
        }
}

void host_devices_list(const HostPaths *paths, HostlerHostDeviceList *ret_list)
{
        g_autofree char *pci = g_build_filename(paths->sys, "bus/pci/devices", NULL);
        g_autofree char *usb = g_build_filename(paths->sys, "bus/usb/devices", NULL);
        g_autoptr(GPtrArray) functions = names_in(pci), devices = names_in(usb);
        g_autoptr(PciNames) names = pci_names_open(paths);
        *ret_list = (HostlerHostDeviceList){0};
        for (guint i = 0; i < functions->len; i++)
                read_pci(paths, names, functions->pdata[i], ret_list);
        for (guint i = 0; i < devices->len; i++)
                read_usb(paths, devices->pdata[i], ret_list);
        judge(paths, ret_list);
}

const HostlerHostDevice *host_devices_find(const HostlerHostDeviceList *list, const char *name)
{
        g_autofree char *full = g_strconcat("0000:", name, NULL);
        for (size_t i = 0; i < list->count; i++) {
                const HostlerHostDevice *device = &list->items[i];
                bool by_ids = strcmp(device->bus, "usb") == 0 && strcmp(device->ids, name) == 0;
                if (by_ids || strcmp(device->address, name) == 0 || strcmp(device->address, full) == 0)
                        return device;
        }
        return NULL;
}
