/* Cards and screens: what each model's numbers may be, who sits where, and what a display that was removed leaves. */
#include <string.h>

#include "device/display.h"

typedef struct {
        HostlerSpec spec;
        HostlerSlotList slots;
        DeviceContext context;
} Fixture;

static void fixture_open(Fixture *fixture, const char *text)
{
        json_auto_t *json = json_loads(text, 0, NULL);
        g_autoptr(GError) error = NULL;
        *fixture = (Fixture){0};
        g_assert_nonnull(json);
        record_from_json(&hostler_spec_type, json, "/spec", &fixture->spec, &error);
        g_assert_no_error(error);
        fixture->context = (DeviceContext){.vm_dir = "/nowhere",
                                           .spec = &fixture->spec,
                                           .slots = &fixture->slots,
                                           .wide_ports = true,
                                           .memory_boot_bytes = HOSTLER_UNSET,
                                           .memory_max_bytes = HOSTLER_UNSET};
}

static void fixture_close(Fixture *fixture)
{
        record_clear(&hostler_spec_type, &fixture->spec);
        record_list_clear(&hostler_slot_type, &fixture->slots);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_close)

/* The pointers of all faults, with commas. */
static char *faults_of(const Fixture *fixture)
{
        g_autoptr(GPtrArray) faults = faults_new();
        GString *text = g_string_new(NULL);
        device_check_spec(&fixture->context, faults);
        for (guint i = 0; i < faults->len; i++) {
                const Fault *fault = faults->pdata[i];
                g_test_message("%s: %s", fault->pointer, fault->detail);
                g_string_append_printf(text, "%s%s", i ? "," : "", fault->pointer + strlen("/spec/"));
        }
        return g_string_free(text, FALSE);
}

static void assert_faults(const char *spec, const char *expected)
{
        g_auto(Fixture) fixture = {0};
        fixture_open(&fixture, spec);
        g_autofree char *faults = faults_of(&fixture);
        g_assert_cmpstr(faults, ==, expected);
}

/* ---- memory ---- */

static void assert_memory(const char *part, const char *model, const char *memory, bool allowed)
{
        g_autofree char *spec =
            g_strdup_printf("{\"%s\": {\"model\": \"%s\", \"memory\": \"%s\"}}", part, model, memory);
        g_autofree char *pointer = g_strdup_printf("%s/memory", part);
        assert_faults(spec, allowed ? "" : pointer);
}

/* On both sides of each end; between, powers of two. */
static void test_memory(void)
{
        static const struct {
                const char *part, *model, *below, *least, *between, *most, *above;
        } ranges[] = {
            {"video0", "vga", NULL, "1M", "100M", "512M", "1G"},
            {"video0", "secondary-vga", NULL, "1M", "3M", "512M", "1G"},
            {"video0", "vmware-svga", NULL, "1M", "12M", "512M", "1G"},
            {"video0", "ati-vga", NULL, "1M", "12M", "512M", "1G"},
            {"video0", "bochs-display", "2M", "4M", "100M", "256M", "512M"},
            {"video0", "qxl-vga", "4M", "8M", "100M", "128M", "256M"},
            {"video0", "qxl", "4M", "8M", "100M", "128M", "256M"},
            {"video0", "cirrus-vga", "2M", "4M", "12M", "16M", "32M"},
            {"video0", "isa-vga", NULL, "1M", "12M", "16M", "32M"},
            {"video0", "ramfb", "1M", NULL, "16M", NULL, "4G"},
            {"output0", "bochs-display", "2M", "4M", "100M", "256M", "512M"},
            {"output0", "secondary-vga", NULL, "1M", "3M", "512M", "1G"},
        };
        for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++) {
                if (ranges[i].below)
                        assert_memory(ranges[i].part, ranges[i].model, ranges[i].below, false);
                if (ranges[i].least)
                        assert_memory(ranges[i].part, ranges[i].model, ranges[i].least, true);
                assert_memory(ranges[i].part, ranges[i].model, ranges[i].between, false);
                if (ranges[i].most)
                        assert_memory(ranges[i].part, ranges[i].model, ranges[i].most, true);
                assert_memory(ranges[i].part, ranges[i].model, ranges[i].above, false);
        }
        /* Of the host's memory any size will do. */
        assert_memory("video0", "virtio-vga", "1M", true);
        assert_memory("video0", "virtio-vga", "100M", true);
        assert_memory("video0", "virtio-gpu-pci", "4G", true);
}

static void test_memory_of_all(void)
{
        assert_faults("{\"video0\": {\"model\": \"vga\", \"memory\": \"256M\"},"
                      " \"video1\": {\"model\": \"vmware-svga\", \"memory\": \"256M\"}}",
                      "");
        assert_faults("{\"output0\": {\"memory\": \"256M\"}, \"video0\": {\"model\": \"vga\", \"memory\": \"256M\"},"
                      " \"video1\": {\"model\": \"vmware-svga\", \"memory\": \"1M\"}}",
                      "video1/memory");
        /* qxl shows twice its memory and as much as 64 MiB of surfaces. */
        assert_faults("{\"video0\": {\"model\": \"qxl-vga\", \"memory\": \"128M\"}, \"video1\": {\"model\": \"vga\","
                      " \"memory\": \"256M\"}}",
                      "video1/memory");
}

static void test_memory_of_a_head(void)
{
        assert_faults("{\"output0\": {\"model\": \"head\", \"memory\": \"16M\"}, \"video0\": {\"heads\": 2}}",
                      "output0/memory");
}

/* ---- resolutions ---- */

static void assert_resolution(const char *model, const char *more, const char *resolution, const char *faults)
{
        g_autofree char *spec =
            g_strdup_printf("{\"video0\": {\"model\": \"%s\", \"resolution\": \"%s\"%s}}", model, resolution, more);
        assert_faults(spec, faults);
}

static void test_resolution(void)
{
        assert_resolution("virtio-vga", "", "320x200", "");
        assert_resolution("virtio-vga", "", "5120x2160", "");
        assert_resolution("virtio-vga", "", "319x200", "video0/resolution");
        assert_resolution("virtio-vga", "", "320x199", "video0/resolution");
        assert_resolution("virtio-vga", "", "5121x2160", "video0/resolution");
        assert_resolution("virtio-vga", "", "5120x2161", "video0/resolution");
        assert_resolution("cirrus-vga", "", "1024x768", "video0/resolution");
        assert_resolution("vga", ", \"edid\": false", "1024x768", "video0/resolution");
        assert_faults("{\"video0\": {\"model\": \"vmware-svga\", \"edid\": false}}", "video0/edid");
        /* More than the first block of a bochs-display's EDID can say. */
        assert_resolution("bochs-display", ", \"memory\": \"128M\"", "4095x1500", "");
        assert_resolution("bochs-display", ", \"memory\": \"128M\"", "4096x1500", "video0/resolution");
        assert_resolution("bochs-display", ", \"memory\": \"128M\"", "3840x2160", "video0/resolution");
        assert_resolution("secondary-vga", ", \"memory\": \"128M\"", "3840x2160", "");
}

/* Pictures must fit; of a limit on the host's memory a little must be left. */
static void test_pictures(void)
{
        assert_resolution("vga", "", "1920x1080", "");
        assert_resolution("vga", "", "1920x1200", "video0/memory");
        assert_resolution("vga", ", \"memory\": \"32M\"", "1920x1200", "");
        assert_resolution("qxl-vga", "", "2560x1600", "");
        assert_resolution("qxl-vga", "", "2560x1700", "video0/memory");
        assert_resolution("virtio-vga", ", \"memory\": \"8M\"", "2048x1024", "video0/memory");
        assert_resolution("virtio-vga", ", \"memory\": \"9M\"", "2048x1024", "");
}

/* ---- several ---- */

static void test_cards(void)
{
        assert_faults("{\"video0\": {\"model\": \"vga\"}, \"video1\": {\"model\": \"qxl-vga\"}}", "video1/model");
        assert_faults("{\"output0\": {}, \"video0\": {\"model\": \"qxl-vga\"}}", "");
        assert_faults("{\"video0\": {\"model\": \"isa-vga\"}, \"video1\": {\"model\": \"isa-vga\"}}", "video1/model");
        assert_faults("{\"video0\": {\"model\": \"ramfb\"}, \"video1\": {\"model\": \"ramfb\"}}", "video1/model");
        assert_faults("{\"firmware\": {\"model\": \"uefi-secure\"}, \"video0\": {\"model\": \"isa-vga\"}}",
                      "video0/model");
        assert_faults("{\"video0\": {\"model\": \"vga\", \"heads\": 2}}", "video0/heads");
        assert_faults("{\"video0\": {\"heads\": 16}}", "");
}

static void test_heads(void)
{
        static const char head[] = "{\"model\": \"head\"}";
        g_autofree char *two = g_strdup_printf("{\"video0\": {\"heads\": 2}, \"a\": {\"kind\": \"output\", \"model\":"
                                               " \"head\"}, \"b\": {\"kind\": \"output\", \"model\": \"head\"}}");
        g_autofree char *none = g_strdup_printf("{\"output0\": %s}", head);
        g_autofree char *one = g_strdup_printf("{\"output0\": %s, \"video0\": {}}", head);
        assert_faults(none, "output0/model");
        assert_faults(one, "output0/model");
        assert_faults(two, "b");
        assert_faults("{\"output0\": {\"model\": \"head\", \"card\": \"video1\"}, \"video0\": {\"heads\": 2}}",
                      "output0/card");
        assert_faults("{\"output0\": {\"model\": \"head\", \"card\": \"video1\"}, \"video0\": {\"heads\": 2},"
                      " \"video1\": {}}",
                      "output0/card,output0");
        assert_faults("{\"output0\": {\"card\": \"video0\"}, \"video0\": {\"heads\": 2}}", "output0/card");
}

static DisplayHead head_of(const Fixture *fixture, const char *part)
{
        DisplayHead head;
        g_assert_true(display_head(&fixture->context, spec_part(&fixture->spec, part), &head));
        return head;
}

static void test_screens(void)
{
        g_auto(Fixture) fixture = {0};
        fixture_open(&fixture,
                     "{\"output0\": {}, \"output1\": {\"model\": \"head\"}, \"output2\": {\"model\": \"head\"},"
                     " \"nic0\": {}, \"video0\": {\"model\": \"vga\"}, \"video1\": {\"heads\": 3}}");
        DisplayHead head;
        seats_give(&fixture.context, &fixture.slots);
        g_assert_cmpstr(display_first(&fixture.spec)->name, ==, "video0");
        g_assert_false(display_head(&fixture.context, spec_part(&fixture.spec, "nic0"), &head));
        g_assert_cmpstr(head_of(&fixture, "output0").card, ==, "output0");
        g_assert_cmpint(head_of(&fixture, "video1").head, ==, 0);
        g_assert_cmpint(head_of(&fixture, "output1").head, ==, 1);
        head = head_of(&fixture, "output2");
        g_assert_cmpint(head.head, ==, 2);
        g_autofree char *socket = display_socket(&head);
        g_assert_cmpstr(socket, ==, "vnc.video1.2");
        /* Cards come first: the first device with a picture is the firmware's. */
        g_autoptr(GPtrArray) order = device_order(&fixture.context);
        guint card, output;
        g_assert_true(g_ptr_array_find(order, spec_part(&fixture.spec, "video0"), &card));
        g_assert_true(g_ptr_array_find(order, spec_part(&fixture.spec, "output0"), &output));
        g_assert_cmpuint(card, <, output);
}

/* ---- live ---- */

static int seat_when_hot(Fixture *fixture, const char *part)
{
        fixture->context.hot = true;
        seats_give(&fixture->context, &fixture->slots);
        return seats_find(&fixture->slots, part);
}

static void test_wide_ports(void)
{
        g_auto(Fixture) fixture = {0}, large = {0}, old = {0};
        fixture_open(&fixture, "{\"nic0\": {}, \"output0\": {}}");
        fixture_open(&large, "{\"output0\": {\"memory\": \"64M\"}}");
        fixture_open(&old, "{\"output0\": {}}");
        old.context.wide_ports = false;
        g_assert_cmpint(seat_when_hot(&fixture, "output0"), ==, DEVICE_PORTS - WIDE_PORTS);
        g_assert_cmpint(seats_find(&fixture.slots, "nic0"), ==, 0);
        g_assert_cmpint(seat_when_hot(&large, "output0"), ==, -1);
        g_assert_cmpint(seat_when_hot(&old, "output0"), ==, -1);
}

static void test_removed(void)
{
        g_auto(Fixture) fixture = {0};
        g_autoptr(GPtrArray) reasons = faults_new();
        fixture_open(&fixture, "{\"output0\": {}}");
        int seat = seat_when_hot(&fixture, "output0");
        device_check_blocks(&fixture.context, reasons);
        g_assert_cmpuint(reasons->len, ==, 0);
        seats_spend(&fixture.slots, "output0");
        g_assert_cmpint(seats_find(&fixture.slots, "output0"), ==, -1);
        /* It may come back, to another port. */
        g_assert_cmpint(seat_when_hot(&fixture, "output0"), ==, seat + 1);
        device_check_blocks(&fixture.context, reasons);
        g_assert_cmpuint(reasons->len, ==, 1);
        g_assert_cmpstr(((const Fault *)reasons->pdata[0])->pointer, ==, "/spec/output0");
}

static bool has_no_qxl(const char *driver, void *data)
{
        return strcmp(driver, "qxl-vga") != 0;
}

static void test_missing_module(void)
{
        g_auto(Fixture) fixture = {0}, other = {0};
        g_autoptr(GPtrArray) faults = faults_new();
        fixture_open(&fixture, "{\"video0\": {\"model\": \"qxl-vga\"}}");
        fixture_open(&other, "{\"video0\": {\"model\": \"virtio-vga\"}}");
        fixture.context.has_driver = other.context.has_driver = has_no_qxl;
        device_check_spec(&other.context, faults);
        g_assert_cmpuint(faults->len, ==, 0);
        device_check_spec(&fixture.context, faults);
        g_assert_cmpuint(faults->len, ==, 1);
        g_assert_nonnull(strstr(((const Fault *)faults->pdata[0])->detail, "qemu-system-common"));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/display/memory", test_memory);
        g_test_add_func("/display/memory-of-all", test_memory_of_all);
        g_test_add_func("/display/memory-of-a-head", test_memory_of_a_head);
        g_test_add_func("/display/resolution", test_resolution);
        g_test_add_func("/display/pictures", test_pictures);
        g_test_add_func("/display/cards", test_cards);
        g_test_add_func("/display/heads", test_heads);
        g_test_add_func("/display/screens", test_screens);
        g_test_add_func("/display/wide-ports", test_wide_ports);
        g_test_add_func("/display/removed", test_removed);
        g_test_add_func("/display/missing-module", test_missing_module);
        return g_test_run();
}
