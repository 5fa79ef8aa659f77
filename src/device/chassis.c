/*
 * The chassis: what every VM has, whatever its parts. Machine type, root ports, QMP, serial console, agent channel,
 * generation id.
 *
 * The numbers of PCI slots are written down here and nowhere else, so that a VM comes back from disk with every device
 * where it was.
 */
#include "device/audio.h"

/* Pinned, so that a saved state and a guest's view of its board outlive an upgrade of QEMU. */
#define MACHINE "pc-q35-7.2"
/* What stock guests do not need; SATA is the one disk bus that cannot be hot-plugged. Saves start time and memory. */
#define MACHINE_OPTIONS ",usb=off,smbus=off,sata=off,vmport=%s,i8042=%s,graphics=%s,dump-guest-core=off"

#define SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=%s,resourcecontrol=deny"

#define MIB (1LL << 20)
#define CODE_BYTES (32 * MIB)
#define CLONE_CODE_BYTES (16 * MIB)
#define CODE_MAX_BYTES (1024 * MIB)

#define FIRST_PORT_SLOT 2
#define PORTS_PER_SLOT 8

/*
 * Emulation keeps the code that it has made: by itself as much as an eighth of the host. An eighth of the guest's
 * memory is enough to boot from (with 32 MiB a guest of 256 took hardly longer), and half of that for a clone that has
 * booted.
 */
static void plan_accel(const DeviceContext *context, Plan *plan)
{
        const HostlerMemoryProps *memory = spec_part(context->spec, "memory")->props;
        bool clone = context->memory_file && !context->memory_is_kept;
        int64_t code = MAX(memory->size / (clone ? 16 : 8), clone ? CLONE_CODE_BYTES : CODE_BYTES);
        g_autofree char *value =
            g_strdup_printf("tcg,tb-size=%" G_GINT64_FORMAT, (gint64)(MIN(code, CODE_MAX_BYTES) / MIB));
        plan_argument(plan, "-accel", context->kvm ? "kvm" : value);
}

static void plan_machine(const DeviceContext *context, Plan *plan)
{
        InputOfBoard input = input_of_board(context->spec);
        g_autofree char *name = g_strdup_printf("guest=%s,debug-threads=on", context->vm_name);
        /* VMware's port brings its mouse where there is a keyboard controller. */
        g_autofree char *options =
            g_strdup_printf(MACHINE_OPTIONS, input == INPUT_VMMOUSE ? "on" : "off", input != INPUT_NONE ? "on" : "off",
                            video_has_card(context->spec) ? "on" : "off");
        /* SeaBIOS would hang in management mode, reading a VGA card of the ISA bus instead of its own code. */
        g_autofree char *machine =
            g_strconcat(MACHINE, options, video_hides_smram(context->spec) ? ",smm=off" : "", NULL);
        g_autofree char *sandbox = g_strdup_printf(SANDBOX, audio_forks(context->spec) ? "allow" : "deny");
        plan_argument(plan, "-nodefaults", NULL);
        plan_argument(plan, "-no-user-config", NULL);
        plan_argument(plan, "-name", name);
        plan_argument(plan, "-uuid", context->vm_id);
        plan_argument(plan, "-machine", machine);
        plan_accel(context, plan);
        plan_argument(plan, "-display", "none");
        plan_argument(plan, "-S", NULL);
        plan_argument(plan, "-sandbox", sandbox);
        /* S3 is on by default in q35; S4 hangs under TCG and would lose the guest. */
        plan_argument(plan, "-global", "ICH9-LPC.disable_s4=1");
}

/* Firmware gives an empty port 2 MiB, and Linux leaves it at that when something larger is plugged. */
static void plan_ports(const DeviceContext *context, Plan *plan)
{
        for (int i = 0; i < DEVICE_PORTS; i++) {
                g_autofree char *id = g_strdup_printf("rp%d", i);
                g_autofree char *slot =
                    g_strdup_printf("%d.%d", FIRST_PORT_SLOT + i / PORTS_PER_SLOT, i % PORTS_PER_SLOT);
                json_t *args =
                    json_pack("{s:s, s:s, s:i, s:s, s:s, s:b}", "driver", "pcie-root-port", "id", id, "chassis", i + 1,
                              "bus", "pcie.0", "addr", slot, "multifunction", i % PORTS_PER_SLOT == 0);
                if (context->wide_ports && i >= DEVICE_PORTS - WIDE_PORTS)
                        json_object_set_new(args, "mem-reserve", json_integer(WIDE_PORT_BYTES));
                plan_add(plan, STEP_DEVICE, args);
        }
}

static void plan_channels(Plan *plan)
{
        plan_chardev_listen(plan, "qmp", CHASSIS_QMP_SOCKET, 0);
        plan_argument(plan, "-mon", "chardev=qmp,mode=control");
        plan_chardev_listen(plan, "console", CHASSIS_CONSOLE_SOCKET, CHASSIS_CONSOLE_FDSET);
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s}", "driver", "isa-serial", "id", "console", "chardev", "console"));
        plan_chardev_listen(plan, "agent", CHASSIS_AGENT_SOCKET, 0);
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtio-serial-pci", "id", "channels", "bus", "pcie.0",
                           "addr", CHASSIS_SLOT_CHANNELS));
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id", "agent", "bus", "channels.0",
                           "chardev", "agent", "name", CHASSIS_AGENT_LABEL));
}

json_t *chassis_device(const HostlerPart *part, const char *driver, const char *slot)
{
        return json_pack("{s:s, s:s, s:s, s:s}", "driver", driver, "id", part->name, "bus", "pcie.0", "addr", slot);
}

void chassis_plan(const DeviceContext *context, Plan *plan)
{
        plan_machine(context, plan);
        plan_ports(context, plan);
        plan_channels(plan);
        plan_add(plan, STEP_DEVICE,
                 json_pack("{s:s, s:s, s:s}", "driver", "vmgenid", "id", "generation", "guid", "auto"));
        audio_plan_silence(plan);
}
