/*
 * Specs as plans. Each of specs/ becomes the steps and the command line that stand in plans/; HOSTLER_REGENERATE=1
 * writes those anew. And what a declaration cannot say of a spec is said by device_check_spec(), with its place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/keeper_launch.h"
#include "device/early.h"
#include "golden/spec-plan.h"

#define VM_DIR "/vms/web1"
#define IMAGE_DIR "/images/tiny"
#define GOLDEN_LIMIT (1 << 20)

/* A step a line, so that a change of one is a change of one line. */
static char *steps_text(const Plan *plan)
{
        json_auto_t *steps = plan_to_json(plan);
        json_t *step;
        size_t i;
        GString *text = g_string_new("[");
        json_array_foreach (steps, i, step) {
                char *line = json_dumps(step, JSON_COMPACT);
                g_string_append_printf(text, "%s\n%s", i > 0 ? "," : "", line);
                free(line);
        }
        g_string_append(text, "\n]\n");
        return g_string_free(text, FALSE);
}

static char *argv_text(const Plan *plan)
{
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        GString *text = g_string_new(NULL);
        plan_to_argv(plan, argv);
        for (guint i = 0; i < argv->len; i++)
                g_string_append_printf(text, "%s\n", (char *)argv->pdata[i]);
        return g_string_free(text, FALSE);
}

static void compare(const char *name, const char *suffix, const char *text)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_strdup_printf(GOLDEN_FOLDER "/plans/%s.%s", name, suffix);
        if (g_strcmp0(g_getenv("HOSTLER_REGENERATE"), "1") == 0)
                file_write_atomic(path, text, strlen(text), 0644, false, &error);
        g_assert_no_error(error);
        g_autofree char *committed = file_read(path, GOLDEN_LIMIT, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(text, ==, committed);
}

static void test_plan(gconstpointer data)
{
        const char *name = data;
        g_auto(SpecPlan) plan;
        g_autoptr(GPtrArray) faults = faults_new();
        g_autoptr(GError) error = NULL;
        g_autoptr(Plan) steps = plan_new();
        spec_plan_load(&plan, name, VM_DIR, IMAGE_DIR);
        device_check_spec(&plan.context, faults);
        faults_check(faults, NULL, &error);
        g_assert_no_error(error);
        device_plan_all(&plan.context, steps);
        g_autofree char *json = steps_text(steps), *argv = argv_text(steps);
        compare(name, "json", json);
        compare(name, "argv", argv);
}

static int by_text(gconstpointer a, gconstpointer b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Steps as text, in an order of their own. g_ptr_array_unref. */
static GPtrArray *sorted_steps(const Plan *plan)
{
        GPtrArray *texts = g_ptr_array_new_with_free_func(free);
        json_auto_t *steps = plan_to_json(plan);
        json_t *step;
        size_t i;
        json_array_foreach (steps, i, step)
                g_ptr_array_add(texts, json_dumps(step, JSON_COMPACT | JSON_SORT_KEYS));
        g_ptr_array_sort(texts, by_text);
        return texts;
}

/* What a QEMU that waits has, and what it is given later, is together what one that was started at once has. */
static void test_early(gconstpointer data)
{
        g_auto(SpecPlan) plan;
        g_autoptr(Plan) whole = plan_new(), pieces = plan_new();
        spec_plan_load(&plan, data, VM_DIR, IMAGE_DIR);
        const HostlerPart *hindrance = early_hindrance(&plan.context);
        if (hindrance)
                return g_test_message("none can wait for such a VM: it has %s", hindrance->name);
        device_plan_all(&plan.context, whole);
        early_plan(&plan.context, pieces);
        plan.context.hot = plan.context.fresh = true;
        g_autoptr(GPtrArray) left = early_left(&plan.context);
        for (guint i = 0; i < left->len; i++) {
                const HostlerPart *part = left->pdata[i];
                device_type(part->kind)->plan(&plan.context, part, pieces);
        }
        g_autoptr(GPtrArray) one = sorted_steps(whole), other = sorted_steps(pieces);
        g_assert_cmpuint(one->len, ==, other->len);
        for (guint i = 0; i < one->len; i++)
                g_assert_cmpstr(one->pdata[i], ==, other->pdata[i]);
}

/* ---- faults ---- */

static const struct {
        const char *name, *spec, *faults;
} bad[] = {
    {"forward-twice", "{'nic0': {'forward': ['tcp:2222:22', 'udp:2222:22', 'tcp:2222:80']}}",
     "/spec/nic0/forward/2: the host port of “tcp:2222:80” is forwarded twice"},
    {"forward-twice-on-two",
     "{'nic0': {'forward': ['tcp:2222:22', 'tcp:2223:22']}, 'nic1': {'forward': ['tcp:02222:22']}}",
     "/spec/nic1/forward/0: the host port of “tcp:02222:22” is forwarded twice"},
    {"port-range", "{'nic0': {'forward': ['tcp:65536:22', 'tcp:65535:0', 'tcp:0:22', 'tcp:1:65535']}}",
     "/spec/nic0/forward/0: “tcp:65536:22”: ports are from 1 to 65535\n"
     "/spec/nic0/forward/1: “tcp:65535:0”: ports are from 1 to 65535\n"
     "/spec/nic0/forward/2: “tcp:0:22”: ports are from 1 to 65535"},
    {"same-mac", "{'nic0': {'mac': '52:54:00:00:00:01'}, 'nic1': {}, 'nic2': {'mac': '52:54:00:00:00:01'}, 'nic3': {}}",
     "/spec/nic2/mac: nic0 has the same address"},
    {"cpu-max", "{'cpu': {'count': 4, 'max': 3}}", "/spec/cpu/count: 4 processors are more than cpu.max (3)"},
    {"memory", "{'memory': {'size': '512M', 'boot': '768M', 'max': '256M'}}",
     "/spec/memory/size: more than memory.max\n/spec/memory/boot: more than memory.size"},
    {"cmdline-alone", "{'boot': {'cmdline': 'quiet'}}",
     "/spec/boot/cmdline: a kernel command line goes with boot.image; else the boot loader has its own"},
    {"unknown-images", "{'boot': {'image': 'no-such'}, 'disk0': {'image': 'no-such'}}",
     "/spec/boot/image: there is no image “no-such” with a kernel file\n"
     "/spec/disk0: there is no image “no-such”; `hostler image ls` lists them, `hostler image build no-such` makes it"},
    {"disk-of-nothing", "{'disk0': {}}", "/spec/disk0: a disk needs a size, or an image to stand on"},
    {"disk-values",
     "{'disk0': {'size': '1G', 'queue_size': 100, 'cmb': '1M', 'rotation': 1, 'aio': 'native', 'boot': 1},"
     " 'disk1': {'size': '1G', 'model': 'ide', 'readonly': true, 'logical_block': 4096, 'queues': 2, 'rotation': 1024},"
     " 'disk2': {'size': '1G', 'model': 'nvme', 'cmb': '3M', 'physical_block': 1536, 'boot': 1},"
     " 'disk3': {'size': '1049088', 'logical_block': 4096, 'bandwidth': 1, 'bandwidth_read': 1, 'iops': 1, "
     "'iops_write':"
     " 1, 'discard': 'ignore', 'detect_zeroes': 'unmap'}, 'ide0': {}}",
     "/spec/disk0/queue_size: must be a power of two\n"
     "/spec/disk0/cmb: only an nvme disk has a controller memory buffer\n"
     "/spec/disk0/rotation: only scsi, ide and usb disks tell the guest how they rotate\n"
     "/spec/disk0/aio: native needs a disk without the host's page cache: cache=none or directsync\n"
     "/spec/disk1/queues: only virtio-blk and nvme disks have queues of their own\n"
     "/spec/disk1/readonly: an IDE disk cannot be read-only\n"
     "/spec/disk1/rotation: must be 1 (it does not rotate), or from 1025 to 65534\n"
     "/spec/disk1/logical_block: an IDE disk has blocks of 512 bytes\n"
     "/spec/disk2/boot: disk0 has this place\n"
     "/spec/disk2/cmb: must be a power of two\n"
     "/spec/disk2/physical_block: must be a power of two and no less than logical_block\n"
     "/spec/disk3/logical_block: the disk's size is no multiple of it\n"
     "/spec/disk3/detect_zeroes: unmap needs discard=unmap\n"
     "/spec/disk3/bandwidth: a limit is for both together, or for reads and writes apart\n"
     "/spec/disk3/iops: a limit is for both together, or for reads and writes apart"},
    {"scsi-values",
     "{'scsi0': {'queue_size': 48}, 'scsi1': {'memory': '32M', 'queue_size': 1024}, 'scsi2': {'memory': '1040K'},"
     " 'scsi3': {'model': 'pvscsi', 'queues': 2, 'memory': '1M', 'queue_size': 64}}",
     "/spec/scsi0/queue_size: must be a power of two: guests refuse others\n"
     "/spec/scsi2/memory: 256 requests share it: a multiple of 1048576 bytes, up to 8588886016\n"
     "/spec/scsi3/memory: the queue of pvscsi is the chip's and cannot be set; virtio-scsi-pci's can\n"
     "/spec/scsi3/queue_size: the queue of pvscsi is the chip's and cannot be set; virtio-scsi-pci's can\n"
     "/spec/scsi3/queues: the queue of pvscsi is the chip's and cannot be set; virtio-scsi-pci's can"},
    {"drives-full",
     "{'disk0': {'size': '1G', 'model': 'ide'}, 'disk1': {'size': '1G', 'model': 'ide'}, 'cdrom0': {'model': 'ide'},"
     " 'cdrom1': {'model': 'ide'}, 'cdrom2': {'model': 'ide'}, 'ide0': {'model': 'piix3-ide'}, 'ide1': {'model':"
     " 'piix4-ide', 'memory': '1M'}, 'floppy0': {}, 'floppy1': {}, 'floppy2': {}, 'cdrom3': {'model': 'scsi'}}",
     "/spec/cdrom3: it needs a scsi controller: `hostler device add web1 scsi`\n"
     "/spec/ide1: a PC has the ports of one such controller, and ide0 is at them\n"
     "/spec/ide1/memory: the controller has no memory; it would be the host cache of qcow2 disks and media without "
     "`memory` of their own on it, and there is none\n"
     "/spec/disk1: the 4 places on ide0 are taken\n"
     "/spec/floppy2: the 2 places on floppy are taken"},
    {"media",
     "{'cdrom0': {'memory': '1M'}, 'floppy0': {'medium': '/a', 'memory': '1M'}, 'floppy1': {'medium': '/a'}, 'scsi0': "
     "{}}",
     "/spec/cdrom0/memory: a drive has no memory; it would be the host cache of a qcow2 medium, and the drive is "
     "empty\n"
     "/spec/floppy0/memory: a drive has no memory; it would be the host cache of a qcow2 medium, and a raw one has "
     "none but the host's page cache\n"
     "/spec/floppy1/medium: floppy0 has it, and one of them could write it"},
    {"nic-not-virtio",
     "{'nic0': {'model': 'e1000', 'mtu': 1400, 'rx_checksumming': 'off', 'tx_checksumming': 'off', 'rx_queue': 256}}",
     "/spec/nic0/mtu: only virtio-net-pci can be told this\n"
     "/spec/nic0/tx_checksumming: only virtio-net-pci can be told this\n"
     "/spec/nic0/rx_checksumming: only virtio-net-pci can be told this\n"
     "/spec/nic0/rx_queue: only virtio-net-pci can be told this"},
    {"nic-virtio", "{'nic0': {'tx_checksumming': 'on', 'rx_checksumming': 'on', 'rx_queue': 300}}",
     "/spec/nic0/rx_queue: it is 256, 512 or 1024\n"
     "/spec/nic0/tx_checksumming: user-mode networking does not carry packets without checksums\n"
     "/spec/nic0/rx_checksumming: user-mode networking does not carry packets without checksums"},
    {"usb-none", "{'input0': {'model': 'usb-kbd'}}",
     "/spec/input0: it needs a usb controller: `hostler device add web1 usb`"},
    {"usb-which", "{'input0': {'model': 'usb-kbd', 'controller': 'usb1'}, 'usb0': {}}",
     "/spec/input0/controller: there is no usb controller called usb1"},
    {"usb-full", "{'input0': {'model': 'usb-kbd'}, 'input1': {'model': 'usb-kbd'}, 'usb0': {'ports': 1}}",
     "/spec/input1: the one place on usb0 is taken"},
    {"usb-slow", "{'hub0': {}, 'input0': {'model': 'usb-kbd'}, 'usb0': {'model': 'usb-ehci'}}",
     "/spec/hub0/controller: usb-hub is a full speed device, and usb0 has high speed only"},
    {"usb-values",
     "{'pcie0': {}, 'usb0': {'memory': '1M'}, 'usb1': {'model': 'ich9-usb-uhci', 'ports': 4},"
     " 'usb2': {'model': 'ich9-usb-ehci', 'controller': 'pcie0'}}",
     "/spec/usb0/memory: a USB controller has no memory: it works in the guest's\n"
     "/spec/usb1/ports: ich9-usb-uhci has 2 ports, no more and no less\n"
     "/spec/usb2/controller: its four functions sit in one slot of the board"},
    {"hub-ring", "{'hub0': {'controller': 'hub1'}, 'hub1': {'controller': 'hub0'}, 'usb0': {}}",
     "/spec/hub0/controller: it would stand on itself\n/spec/hub1/controller: it would stand on itself"},
    {"hub-chain",
     "{'hub0': {}, 'hub1': {'controller': 'hub0'}, 'hub2': {'controller': 'hub1'}, 'hub3': {'controller': 'hub2'},"
     " 'hub4': {'controller': 'hub3'}, 'hub5': {'controller': 'hub4'}, 'usb0': {}}",
     "/spec/hub5: USB allows 5 hubs in a row"},
    {"input-memory", "{'input0': {'memory': '1M'}, 'input1': {'model': 'ps2'}, 'input2': {'model': 'vmmouse'}}",
     "/spec/input0/memory: an input device has no memory that could be set\n"
     "/spec/input2/model: the board has one keyboard controller, and input1 is on it"},
    {"pci-express-card", "{'nic0': {'model': 'e1000e', 'controller': 'pci0'}, 'pci0': {}}",
     "/spec/nic0/controller: e1000e is a PCI Express device and does not fit a conventional slot"},
    {"pci-which", "{'nic0': {'controller': 'usb0'}, 'usb0': {}}",
     "/spec/nic0/controller: there is no pci or pcie controller called usb0"},
    {"pci-hole", "{'memory': {'size': '1G', 'max': '600G'}, 'pci0': {'memory': '512G'}, 'pci1': {'memory': '2G'}}",
     "/spec/pci0/memory: a processor of 40 address bits has room for 418G beside memory.max\n"
     "/spec/pci1/memory: the machine has one such window, and pci0 sets it"},
    {"pcie-values",
     "{'nic0': {'controller': 'pcie1'}, 'nic1': {'controller': 'pcie1'}, 'pcie0': {'model': 'x3130', 'memory': '1M',"
     " 'memory_low': '1M', 'io': '4K'}, 'pcie1': {'ports': 2}, 'pcie2': {'controller': 'pcie1'}}",
     "/spec/pcie0/memory: a switch has no windows of its own: it passes on those of the port above it\n"
     "/spec/pcie0/memory_low: a switch has no windows of its own: it passes on those of the port above it\n"
     "/spec/pcie0/io: a switch has no windows of its own: it passes on those of the port above it\n"
     "/spec/pcie1/ports: a root port is one port\n"
     "/spec/pcie2/controller: a switch is plugged into a root port, and a root port into nothing\n"
     "/spec/nic1: the one place on pcie1 is taken\n/spec/pcie2: the one place on pcie1 is taken"},
    {"host-devices",
     "{'hostpci0': {}, 'hostpci1': {'host': '01:00.0'}, 'hostpci2': {'host': '0000:01:00.0'}, 'hostusb0': {},"
     " 'hostusb1': {'host': '1-2'}, 'hostusb2': {'host': '1-2'}, 'usb0': {}}",
     "/spec/hostpci0/host: it needs an address; `hostler host devices` lists them\n"
     "/spec/hostpci2/host: hostpci1 is the same device\n"
     "/spec/hostusb0/host: it needs to say which device; `hostler host devices` lists them\n"
     "/spec/hostusb2/host: hostusb1 is the same device"},
    {"bus-names", "{'board': {'kind': 'usb'}, 'ports': {'kind': 'usb'}}",
     "/spec/board: every VM has a device of its own that is called board\n"
     "/spec/ports: every VM has a device of its own that is called ports"},
    {"balloon-all", "{'balloon': {'target': '256M'}}", "/spec/balloon/target: must be less than memory.size (256M)"},
    {"balloon-plugged", "{'memory': {'size': '512M', 'boot': '256M'}, 'balloon': {'target': '256M'}}",
     "/spec/balloon/target: must be more than 256M: a balloon takes no memory that was plugged"},
    {"rng-period", "{'rng': {'period': 100}}", "/spec/rng/period: a period goes with a rate"},
    {"shares",
     "{'share0': {'source': '/a'}, 'share1': {'source': '/a', 'tag': 'share0'},"
     " 'share2': {'source': '/a', 'model': 'virtiofs', 'readonly': true}}",
     "/spec/share1/tag: share0 has the same tag\n"
     "/spec/share2/readonly: virtiofsd cannot share read-only; use model=virtio-9p"},
    {"names-taken",
     "{'agent': {'kind': 'nic'}, 'rp3': {'kind': 'nic'}, 'cpu2': {'kind': 'nic'}, 'cpus': {'kind': 'nic'},"
     " 'qmp': {'kind': 'serial'}}",
     "/spec/agent: every VM has a device of its own that is called agent\n"
     "/spec/cpu2: every VM has a device of its own that is called cpu2\n"
     "/spec/rp3: every VM has a device of its own that is called rp3\n"
     "/spec/qmp: every VM has a device of its own that is called qmp"},
    {"ring-sizes",
     "{'serial0': {'memory': 3000}, 'serial1': {'backend': 'socket', 'memory': 4096}, 'serial2': {'memory': 1},"
     " 'lpt0': {'memory': 4096}, 'parallel0': {'backend': 'null', 'memory': 4096}}",
     "/spec/lpt0/memory: it has no ring: its backend is log\n"
     "/spec/parallel0/memory: it has no ring: its backend is null\n"
     "/spec/serial0/memory: the size of a ring is a power of two: 64k, 128k, …\n"
     "/spec/serial1/memory: it has no ring: its backend is socket"},
    {"log-sizes", "{'serial0': {'limit': '1M'}, 'serial1': {'backend': 'log', 'limit': '8k'}}",
     "/spec/serial0/limit: it has no log: its backend is ring"},
    {"labels",
     "{'serial0': {'label': 'x'}, 'serial1': {'model': 'virtconsole', 'label': 'serial2'},"
     " 'serial2': {'model': 'virtserialport'}, 'serial3': {'model': 'virtserialport', 'label':"
     " 'org.qemu.guest_agent.0'}}",
     "/spec/serial0/label: only virtio ports have a name in the guest; it is isa-serial\n"
     "/spec/serial2/label: serial1 is called serial2 in the guest too\n"
     "/spec/serial3/label: the guest agent's channel, which every VM has, is called so"},
    {"null-channel",
     "{'serial0': {'model': 'virtserialport', 'backend': 'null'}, 'serial1': {'model': 'virtconsole', 'backend':"
     " 'null'}}",
     "/spec/serial0/backend: a virtio channel to nobody would hold its guest up; ring drops what is old"},
    {"legacy-places",
     "{'serial0': {}, 'serial1': {}, 'serial2': {}, 'serial3': {}, 'serial4': {'model': 'pci-serial'},"
     " 'lpt0': {}, 'lpt1': {}, 'parallel0': {}, 'parallel1': {}}",
     "/spec/parallel1: the 3 places on isa-parallel are taken\n/spec/serial3: the 3 places on isa-serial are taken"},
    {"audio-values",
     "{'audio0': {'memory': 65536}, 'audio1': {'model': 'wav', 'memory': 65532, 'device': 'null'}, 'audio2': {'model':"
     " 'alsa', 'memory': 1920004, 'server': '/run/pulse'}, 'none': {'kind': 'audio'}}",
     "/spec/audio0/memory: what goes nowhere is not held anywhere\n"
     "/spec/audio1/memory: a recording has at least 65536 bytes\n"
     "/spec/audio1/device: only `alsa` and `pulse` play on a device\n"
     "/spec/audio2/memory: a player's buffer has at most 1920000 bytes: ten seconds\n"
     "/spec/audio2/server: only `pulse` has a server\n"
     "/spec/none: a card's `audio=none` means silence"},
    {"audio-of-cards",
     "{'audio0': {}, 'dsp0': {'audio': 'audio0'}, 'sound0': {'audio': 'audio0'}, 'sound1': {'audio': 'dsp0'},"
     " 'sound2': {'audio': 'audio7'}}",
     "/spec/sound0/audio: dsp0 plays into audio0 already, and each is for one card\n"
     "/spec/sound1/audio: dsp0 is no audio part\n"
     "/spec/sound2: it needs audio7, and there is no such part"},
    {"sound-values", "{'sound0': {'codec': 'micro'}, 'sound1': {'model': 'intel-hda', 'memory': 19200}}",
     "/spec/sound0/codec: only HD Audio has one to choose\n"
     "/spec/sound1/memory: intel-hda plays out of the guest's memory; the buffer on the host is its audio part's"},
    {"dsp-values",
     "{'dsp0': {'irq': 6, 'dma': 5, 'iobase': '0x230', 'freq': 44100, 'memory': 1}, 'dsp1': {'model': 'gus', 'irq': 2, "
     "'dma': 0, 'dma16': 5, 'iobase': '0x270', 'memory': '1M'}, 'dsp2': {'model': 'adlib', 'irq': 5, 'dma': 1, "
     "'iobase':"
     " '0x388'}, 'dsp3': {'model': 'cs4231a', 'irq': 12, 'dma': 7}}",
     "/spec/dsp0/iobase: sb16 can be at 0x220, 0x240, 0x260, 0x280\n"
     "/spec/dsp0/irq: sb16 can have 5, 7, 9, 10\n"
     "/spec/dsp0/dma: sb16 can have 1, 0, 3\n"
     "/spec/dsp0/freq: sb16 plays at the rate that the guest sets\n"
     "/spec/dsp0/memory: sb16 has no memory: it plays out of the guest's\n"
     "/spec/dsp1/iobase: gus can be at 0x240, 0x210, 0x220, 0x230, 0x250, 0x260\n"
     "/spec/dsp1/irq: gus can have 7, 3, 5, 9, 11, 12, 15\n"
     "/spec/dsp1/dma: gus can have 3, 1, 5, 6, 7\n"
     "/spec/dsp1/dma16: gus has none\n"
     "/spec/dsp1/memory: an Ultrasound has 1 MiB of its own, no more and no less\n"
     "/spec/dsp2/iobase: adlib can be at 0x220, 0x240, 0x260, 0x280\n"
     "/spec/dsp2/irq: adlib has none\n"
     "/spec/dsp2/dma: adlib has none\n"
     "/spec/dsp3/irq: cs4231a can have 9, 7, 10, 11\n"
     "/spec/dsp3/dma: cs4231a can have 3, 0, 1"},
    {"dsp-twice",
     "{'dsp0': {}, 'dsp1': {'irq': 7}, 'dsp2': {'model': 'adlib'}, 'dsp3': {'model': 'adlib', 'iobase': '0x240'},"
     " 'dsp4': {'model': 'gus', 'dma': 5}}",
     "/spec/dsp1: dsp0 is at 0x220 already: choose another iobase\n"
     "/spec/dsp1: dsp0 has DMA channel 1 already: choose another dma\n"
     "/spec/dsp1: dsp0 has DMA channel 5 already: choose another dma16\n"
     "/spec/dsp3: a VM has one adlib, and dsp2 is it\n"
     "/spec/dsp4: dsp0 has DMA channel 5 already: choose another dma\n"
     "/spec/dsp4: dsp1 has interrupt 7 already: choose another irq\n"
     "/spec/dsp4: dsp1 has DMA channel 5 already: choose another dma\n"
     "/spec/dsp4: dsp3 is at 0x240 already: choose another iobase"},
};

static char *faults_text(const DeviceContext *context)
{
        g_autoptr(GPtrArray) faults = faults_new();
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
        device_check_spec(context, faults);
        for (guint i = 0; i < faults->len; i++) {
                const Fault *fault = faults->pdata[i];
                g_ptr_array_add(lines, g_strdup_printf("%s: %s", fault->pointer, fault->detail));
        }
        g_ptr_array_add(lines, NULL);
        return g_strjoinv("\n", (char **)lines->pdata);
}

static void test_faults(gconstpointer data)
{
        const char *const *row = data;
        g_autofree char *text = g_strdelimit(g_strdup(row[1]), "'", '"');
        json_auto_t *json = json_loads(text, 0, NULL);
        g_auto(SpecPlan) plan;
        spec_plan_read(&plan, json, VM_DIR, IMAGE_DIR);
        g_autofree char *faults = faults_text(&plan.context);
        g_assert_cmpstr(faults, ==, row[2]);
}

/* Sixteen parts fill the ports; plugged memory is one more. */
static void test_too_many_parts(void)
{
        json_auto_t *json = json_pack("{s:{s:s, s:s}}", "memory", "size", "512M", "boot", "256M");
        for (int i = 0; i < DEVICE_PORTS; i++) {
                g_autofree char *name = g_strdup_printf("%s%d", i % 2 ? "disk" : "nic", i);
                json_object_set_new(json, name, i % 2 ? json_pack("{s:s}", "size", "1G") : json_object());
        }
        g_auto(SpecPlan) plan;
        spec_plan_read(&plan, json, VM_DIR, IMAGE_DIR);
        g_autofree char *faults = faults_text(&plan.context);
        g_assert_cmpstr(faults, ==, "/spec/nic14: the 16 hot-plug ports of the VM are taken");
        json_object_del(json, "memory");
        g_auto(SpecPlan) fewer;
        spec_plan_read(&fewer, json, VM_DIR, IMAGE_DIR);
        g_autofree char *none = faults_text(&fewer.context);
        g_assert_cmpstr(none, ==, "");
}

/* The console's log is one of as many as a keeper keeps. */
static void test_too_many_logs(void)
{
        json_auto_t *json = json_object();
        for (int i = 0; i < KEEPER_LOGS_MAX; i++) {
                g_autofree char *name = g_strdup_printf("serial%03d", i);
                json_object_set_new(json, name,
                                    json_pack("{s:s, s:s, s:s}", "kind", "serial", "model",
                                              i % 2 ? "virtconsole" : "usb-serial", "backend",
                                              i == 7 ? "ring" : "log"));
        }
        for (int i = 0; i < 3; i++) {
                g_autofree char *name = g_strdup_printf("usb%d", i);
                json_object_set_new(json, name, json_object());
        }
        g_auto(SpecPlan) plan;
        spec_plan_read(&plan, json, VM_DIR, IMAGE_DIR);
        const HostlerPart *last = spec_part(&plan.spec, "serial063");
        g_assert_cmpint(device_log_set(&plan.context, spec_part(&plan.spec, "serial000")), ==, 2);
        g_assert_cmpint(device_log_set(&plan.context, spec_part(&plan.spec, "serial006")), ==, 8);
        g_assert_cmpint(device_log_set(&plan.context, spec_part(&plan.spec, "serial008")), ==, 9);
        g_assert_cmpint(device_log_set(&plan.context, last), ==, KEEPER_LOGS_MAX);
        ((HostlerSerialProps *)spec_part(&plan.spec, "serial007")->props)->backend = HOSTLER_PORT_BACKEND_LOG;
        g_autofree char *faults = faults_text(&plan.context);
        g_assert_nonnull(
            strstr(faults, "/spec/serial063/backend: a VM has no more than 63 logs besides its console's"));
        g_assert_null(strstr(faults, "/spec/serial062/backend"));
}

/* ---- all of them ---- */

/* "sound es1370" of every part of every spec. */
static GHashTable *models_of_specs(char *const *names)
{
        GHashTable *found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        for (; *names; names++) {
                g_auto(SpecPlan) spec = {0};
                spec_plan_load(&spec, *names, VM_DIR, IMAGE_DIR);
                for (size_t i = 0; i < spec.spec.count; i++) {
                        const HostlerPart *part = &spec.spec.items[i];
                        const ModelDecl *model = part_model(part);
                        g_hash_table_add(found, g_strdup_printf("%s %s", part->kind, model ? model->name : ""));
                }
        }
        return found;
}

static void test_every_model(void)
{
        g_auto(GStrv) names = spec_plan_names();
        g_autoptr(GHashTable) found = models_of_specs(names);
        bool whole = true;
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++)
                for (const ModelDecl *model = kind->models ? kind->models + 1 : NULL; model && model->name; model++) {
                        g_autofree char *wanted = g_strdup_printf("%s %s", kind->kind, model->name);
                        if (g_hash_table_contains(found, wanted))
                                continue;
                        g_test_message("no spec in specs/ has a %s", wanted);
                        whole = false;
                }
        g_assert_true(whole);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_auto(GStrv) names = spec_plan_names();
        for (char **name = names; *name; name++) {
                g_autofree char *path = g_strdup_printf("/plans/%s", *name);
                g_autofree char *early = g_strdup_printf("/plans-early/%s", *name);
                g_test_add_data_func(path, *name, test_plan);
                g_test_add_data_func(early, *name, test_early);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *path = g_strdup_printf("/plan-faults/%s", bad[i].name);
                g_test_add_data_func(path, &bad[i], test_faults);
        }
        g_test_add_func("/plan-faults/too-many-parts", test_too_many_parts);
        g_test_add_func("/plan-faults/too-many-logs", test_too_many_logs);
        g_test_add_func("/plans-of-every-model", test_every_model);
        return g_test_run();
}
