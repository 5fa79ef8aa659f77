/* Devices of the host, as a made-up sysfs shows them: names, groups, drivers, and why a VM cannot have one. */
#include <string.h>

#include "base/record.h"
#include "host-tree.h"
#include "host/host_devices.h"

#define PCI "sys/bus/pci/devices/"
#define USB "sys/bus/usb/devices/"

static void set_up(HostTree *tree, const void *data)
{
        host_tree_make(tree);
}

static void tear_down(HostTree *tree, const void *data)
{
        host_tree_remove(tree);
}

static void write_in(const HostTree *tree, const char *folder, const char *name, const char *text)
{
        g_autofree char *path = g_strconcat(folder, "/", name, NULL);
        host_tree_write(tree, path, text);
}

/* A PCI function; @group, @driver and @reset may be NULL. */
static void add_pci(const HostTree *tree, const char *address, const char *class, const char *driver, const char *group,
                    const char *reset)
{
        g_autofree char *folder = g_strconcat(PCI, address, NULL);
        g_autofree char *driver_link = g_strconcat(folder, "/driver", NULL);
        g_autofree char *group_link = g_strconcat(folder, "/iommu_group", NULL);
        g_autofree char *driver_path = g_strconcat("../../drivers/", driver, NULL);
        g_autofree char *group_path = g_strdup_printf("%s/sys/groups/%s", tree->root, group ? group : "");
        write_in(tree, folder, "class", class);
        write_in(tree, folder, "vendor", "0x8086\n");
        write_in(tree, folder, "device", "0x10d3\n");
        if (driver)
                host_tree_link(tree, driver_link, driver_path);
        if (reset)
                write_in(tree, folder, "reset_method", reset);
        if (!group)
                return;
        g_autofree char *member = g_strdup_printf("sys/groups/%s/devices/%s", group, address);
        host_tree_link(tree, group_link, group_path);
        host_tree_write(tree, member, "");
}

static void add_usb(const HostTree *tree, const char *address, const char *class, const char *device)
{
        g_autofree char *folder = g_strconcat(USB, address, NULL);
        write_in(tree, folder, "idVendor", "046d\n");
        write_in(tree, folder, "idProduct", "c31c\n");
        write_in(tree, folder, "bDeviceClass", class);
        write_in(tree, folder, "busnum", "1\n");
        write_in(tree, folder, "devnum", device);
        write_in(tree, folder, "manufacturer", "Logitech\n");
        write_in(tree, folder, "product", "USB Keyboard\n");
}

/* The detail of each device, "-" for one that a VM can have, a line each. Caller frees. */
static char *details(const HostTree *tree)
{
        HostlerHostDeviceList list;
        GString *text = g_string_new(NULL);
        host_devices_list(&tree->paths, &list);
        for (size_t i = 0; i < list.count; i++) {
                const HostlerHostDevice *device = &list.items[i];
                g_assert_cmpint(device->usable, ==, device->detail == NULL);
                g_string_append_printf(text, "%s%s: %s", i > 0 ? "\n" : "", device->address,
                                       device->detail ? device->detail : "-");
        }
        record_list_clear(&hostler_host_device_type, &list);
        return g_string_free(text, FALSE);
}

static void assert_details(const HostTree *tree, const char *expected)
{
        g_autofree char *all = details(tree);
        g_autofree char *prefix = g_strconcat(tree->dev, "/", NULL);
        g_auto(GStrv) pieces = g_strsplit(all, prefix, -1);
        g_autofree char *text = g_strjoinv("/dev/", pieces);
        g_assert_cmpstr(text, ==, expected);
}

static void test_nothing(HostTree *tree, const void *data)
{
        assert_details(tree, "");
}

static void test_no_iommu(HostTree *tree, const void *data)
{
        add_pci(tree, "0000:00:00.0", "0x060000", NULL, NULL, NULL);
        add_pci(tree, "0000:00:01.0", "0x020000", "vfio-pci", NULL, "flr");
        assert_details(tree, "0000:00:00.0: it is a bridge\n"
                             "0000:00:01.0: it is in no IOMMU group: the host has no IOMMU, or it is switched off");
}

static void test_drivers(HostTree *tree, const void *data)
{
        host_tree_write(tree, "dev/vfio/1", "");
        host_tree_write(tree, "dev/vfio/2", "");
        host_tree_write(tree, "dev/vfio/3", "");
        add_pci(tree, "0000:00:01.0", "0x020000", "e1000e", "1", "flr bus");
        add_pci(tree, "0000:00:02.0", "0x020000", NULL, "2", "flr");
        add_pci(tree, "0000:00:03.0", "0x020000", "vfio-pci", "3", "flr");
        add_pci(tree, "0000:00:04.0", "0x020000", "vfio-pci", "4", "pm");
        assert_details(tree, "0000:00:01.0: its driver is e1000e, and vfio-pci must have it\n"
                             "0000:00:02.0: no driver has it, and vfio-pci must\n"
                             "0000:00:03.0: -\n"
                             "0000:00:04.0: the daemon may not open /dev/vfio/4");
}

/* Ports above a device stay the host's; what else has a driver of the host's keeps all the others. */
static void test_groups(HostTree *tree, const void *data)
{
        host_tree_write(tree, "dev/vfio/1", "");
        host_tree_write(tree, "dev/vfio/2", "");
        add_pci(tree, "0000:00:1c.0", "0x060400", "pcieport", "1", NULL);
        add_pci(tree, "0000:01:00.0", "0x030000", "vfio-pci", "1", "bus");
        add_pci(tree, "0000:01:00.1", "0x040300", "vfio-pci", "1", "bus");
        add_pci(tree, "0000:01:00.2", "0x0c0330", NULL, "1", "bus");
        add_pci(tree, "0000:02:00.0", "0x030000", "vfio-pci", "2", "bus");
        add_pci(tree, "0000:02:00.1", "0x040300", "snd_hda_intel", "2", "bus");
        host_tree_write(tree, "dev/vfio/3", "");
        add_pci(tree, "0000:00:1f.0", "0x060100", "lpc_ich", "3", NULL);
        add_pci(tree, "0000:00:1f.3", "0x0c0500", "vfio-pci", "3", "pm");
        assert_details(tree,
                       "0000:00:1c.0: it is a bridge\n"
                       "0000:00:1f.0: it is a bridge\n"
                       "0000:00:1f.3: 0000:00:1f.0 lpc_ich is in the same IOMMU group and in use by the host\n"
                       "0000:01:00.0: -\n"
                       "0000:01:00.1: -\n"
                       "0000:01:00.2: no driver has it, and vfio-pci must\n"
                       "0000:02:00.0: 0000:02:00.1 snd_hda_intel is in the same IOMMU group and in use by the host\n"
                       "0000:02:00.1: its driver is snd_hda_intel, and vfio-pci must have it");
}

static void test_reset(HostTree *tree, const void *data)
{
        HostlerHostDeviceList list;
        host_tree_write(tree, "dev/vfio/1", "");
        add_pci(tree, "0000:00:01.0", "0x020000", "vfio-pci", "1", NULL);
        host_devices_list(&tree->paths, &list);
        g_assert_cmpstr(list.items[0].detail, ==,
                        "it cannot be reset, so the next user would find it as the last one left it");
        g_autofree char *remedy = NULL;
        g_assert_null(host_device_fault(&tree->paths, &list.items[0], true, NULL));
        g_free(host_device_fault(&tree->paths, &list.items[0], false, &remedy));
        g_assert_cmpstr(remedy, ==, "reset=off takes it as it is");
        record_list_clear(&hostler_host_device_type, &list);
}

static void test_usb(HostTree *tree, const void *data)
{
        HostlerHostDeviceList list;
        host_tree_write(tree, "dev/bus/usb/001/003", "");
        add_usb(tree, "usb1", "09\n", "1\n");
        add_usb(tree, "1-1", "09\n", "2\n");
        add_usb(tree, "1-1.4", "00\n", "3\n");
        add_usb(tree, "1-2", "00\n", "4\n");
        host_tree_link(tree, USB "1-1.4/1-1.4:1.0/driver", "../../../drivers/usbhid");
        host_tree_link(tree, USB "1-1.4/1-1.4:1.1/driver", "../../../drivers/usbhid");
        host_tree_write(tree, USB "1-1.4:1.0/bInterfaceNumber", "00\n");
        assert_details(tree, "1-1: it is a hub; give away what is plugged into it\n"
                             "1-1.4: -\n"
                             "1-2: the daemon may not open /dev/bus/usb/001/004");
        host_devices_list(&tree->paths, &list);
        g_assert_cmpstr(list.items[1].name, ==, "Logitech USB Keyboard");
        g_assert_cmpstr(list.items[1].driver, ==, "usbhid");
        g_assert_true(host_devices_find(&list, "1-1.4") == &list.items[1]);
        g_assert_true(host_devices_find(&list, "046d:c31c") == &list.items[0]);
        g_assert_null(host_devices_find(&list, "1-3"));
        g_assert_null(host_devices_find(&list, "046d:c31d"));
        record_list_clear(&hostler_host_device_type, &list);
}

static void test_names(HostTree *tree, const void *data)
{
        HostlerHostDeviceList list;
        add_pci(tree, "0000:00:01.0", "0x020000", NULL, NULL, NULL);
        add_pci(tree, "10000:e0:01.0", "0xff0000", NULL, NULL, NULL);
        host_devices_list(&tree->paths, &list);
        g_assert_cmpstr(list.items[0].type, ==, "Network controller");
        g_assert_null(list.items[0].name);
        g_assert_cmpstr(list.items[0].ids, ==, "8086:10d3");
        g_assert_cmpstr(list.items[1].type, ==, "Other");
        g_assert_true(host_devices_find(&list, "00:01.0") == &list.items[0]);
        record_list_clear(&hostler_host_device_type, &list);

        host_tree_write(
            tree, "share/misc/pci.ids",
            "# a comment\n8086  Intel Corporation\n\t10d2  Other\n\t10d3  82574L Gigabit Network Connection\n"
            "\t\t103c 1586  Brackley\n8087  Next\n\t10d3  Wrong\n"
            "C 02  Network controller of the list\n\t00  Ethernet controller\n\t80  Network controller\n");
        host_devices_list(&tree->paths, &list);
        g_assert_cmpstr(list.items[0].type, ==, "Ethernet controller");
        g_assert_cmpstr(list.items[0].name, ==, "Intel Corporation 82574L Gigabit Network Connection");
        g_assert_cmpstr(list.items[1].type, ==, "Other");
        record_list_clear(&hostler_host_device_type, &list);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/host-devices/nothing", HostTree, NULL, set_up, test_nothing, tear_down);
        g_test_add("/host-devices/no-iommu", HostTree, NULL, set_up, test_no_iommu, tear_down);
        g_test_add("/host-devices/drivers", HostTree, NULL, set_up, test_drivers, tear_down);
        g_test_add("/host-devices/groups", HostTree, NULL, set_up, test_groups, tear_down);
        g_test_add("/host-devices/reset", HostTree, NULL, set_up, test_reset, tear_down);
        g_test_add("/host-devices/usb", HostTree, NULL, set_up, test_usb, tear_down);
        g_test_add("/host-devices/names", HostTree, NULL, set_up, test_names, tear_down);
        return g_test_run();
}
