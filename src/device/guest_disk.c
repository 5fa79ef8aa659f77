/*
 * Disks and drives in the guest. See guest_disk.h. The scripts run in the guest's own shell, as its agent's user; their
 * words are those of DeviceType.guest: $0 name, $1 PCI address, $2 model, $3 PCI address of its controller, $4 place on
 * that, $5 serial number.
 */
#include "device/guest_disk.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "device/address.h"

#define APPEAR_MS 20000
#define APPEAR_POLL_US 200000

/*
 * Leaves in $b the name of the block device, or ends. A disk is found where it sits, because not all guests show serial
 * numbers of all buses; on USB by the adapter's serial number, on SAS by its port. AHCI has six ports, each with its
 * own bus, the old controllers two with two drives each. Quoted where they are tested: a pattern that nothing matched
 * when the loop began would match again there, and a disk that came between be taken for one called "*", which is all.
 */
#define FIND                                                                                                           \
        "a=/sys/bus/pci/devices/$1; c=/sys/bus/pci/devices/$3; s=$4; n=$5; b=; d=/none\n"                              \
        "case $2 in\n"                                                                                                 \
        "usb) for f in /sys/bus/usb/devices/*/serial; do [ \"$(cat $f)\" = \"$n\" ] && d=${f%/serial}; done\n"         \
        "  set -- $d/*/host*/target*/*/block/*;;\n"                                                                    \
        "ide) t=0; [ $(ls -d $c/ata*/ata_port/* | wc -l) -gt 2 ] || { t=$((s % 2)); s=$((s / 2)); }\n"                 \
        "  for f in $(ls -d $c/ata*/ata_port/* | sort -V); do [ $s = 0 ] && d=${f%/ata_port/*}; s=$((s - 1)); done\n"  \
        "  set -- $d/host*/target*:*:$t/*/block/*;;\n"                                                                 \
        "scsi) set -- $c/host*/target*:*:$s/*/block/* $c/*/host*/target*:*:$s/*/block/*\n"                             \
        "  for f in $c/host*/port-*/end_device-*; do\n"                                                                \
        "    [ \"$(cat $f/sas_device/*/phy_identifier)\" = $s ] && set -- \"$@\" $f/target*/*/block/*; done;;\n"       \
        "*) set -- $a/virtio*/block/* $a/nvme/nvme*/nvme*n*;;\n"                                                       \
        "esac 2>/dev/null\n"                                                                                           \
        "for f in \"$@\"; do [ -e \"$f\" ] && b=${f##*/}; done\n"                                                      \
        "[ -n \"$b\" ] || exit 0\n"

const char guest_disk_line[] =
    FIND "case $b in sr*) echo /dev/$b;; *) echo /dev/$b $(($(cat /sys/block/$b/size) / 2048))M;; esac";

static const char size_script[] = FIND "cat /sys/block/$b/size";

static const char rescan_script[] = "for h in /sys/bus/pci/devices/$3/host*/scsi_host/host*/scan"
                                    " /sys/bus/pci/devices/$3/*/host*/scsi_host/host*/scan; do"
                                    " [ -e \"$h\" ] && echo '- - -' > $h; done";

/* Mounts and swap by device numbers and names of the disk and its partitions; then who else has it open. */
static const char used_script[] =
    FIND "for d in /sys/block/$b /sys/block/$b/$b*; do\n"
         "  [ -e \"$d/dev\" ] || continue\n"
         "  n=$(cat $d/dev); f=/dev/${d##*/}\n"
         "  while read -r i p v r m x; do [ $v = $n ] && echo \"mounted on $m\" && exit; done < /proc/self/mountinfo\n"
         "  while read -r v m x; do [ $v = $f ] && echo \"mounted on $m\" && exit; done < /proc/mounts\n"
         "  while read -r v x; do [ $v = $f ] && echo swap && exit; done < /proc/swaps\n"
         "  for h in $d/holders/*; do [ -e \"$h\" ] && echo \"part of ${h##*/}\" && exit; done\n"
         "done";

/* Written out, and on SCSI given up: its driver would complain of a disk that vanishes. */
static const char leave_script[] = FIND "blockdev --flushbufs /dev/$b 2>/dev/null || sync\n"
                                        "[ ! -e /sys/block/$b/device/delete ] || echo 1 > /sys/block/$b/device/delete";

/* What @script prints in the guest; NULL when it cannot be asked. Caller frees. */
char *guest_disk_ask(const DeviceChange *change, const char *script)
{
        const HostlerPart *part = change->new_part ? change->new_part : change->old_part;
        const char *argv[DEVICE_GUEST_WORDS];
        char seat[DEVICE_SEAT_TEXT];
        if (!change->agent)
                return NULL;
        g_autoptr(GHashTable) addresses = device_addresses(change->qmp);
        GuestPlace place = device_guest_place(change->context, part, addresses, seat);
        if (!device_guest_argv(part, &place, argv))
                return NULL;
        argv[2] = script;
        char *text = device_ask_guest(change, argv);
        return text ? g_strstrip(text) : NULL;
}

char *guest_disk_size(const DeviceChange *change)
{
        g_autofree char *text = guest_disk_ask(change, size_script);
        return text && g_ascii_isdigit(text[0]) ? size_format(g_ascii_strtoll(text, NULL, 10) * 512) : NULL;
}

/* ---- coming ---- */

/* What it prints once the guest has found the disk, or nothing when the time is up. */
static char *wait_for_guest(const DeviceChange *change)
{
        int64_t end = clock_monotonic_ms() + APPEAR_MS;
        for (;;) {
                char *text = guest_disk_ask(change, guest_disk_line);
                if (!text || *text || clock_monotonic_ms() >= end || g_cancellable_is_cancelled(change->cancellable))
                        return text;
                g_free(text);
                g_usleep(APPEAR_POLL_US);
        }
}

bool guest_disk_find(const DeviceChange *change, GError **error)
{
        const HostlerPart *controller = device_controller(change->context, change->new_part);
        if (!controller || strcmp(controller->kind, "scsi") != 0 || scsi_tells_guest(controller))
                return true;
        g_autofree char *asked = guest_disk_ask(change, rescan_script), *found = asked ? wait_for_guest(change) : NULL;
        if (found && *found)
                change->change->guest = g_steal_pointer(&found);
        else
                change->change->detail =
                    g_strdup_printf("a guest does not notice new targets of %s by itself; have it look for them anew",
                                    part_model(controller)->name);
        return true;
}

/* ---- going ---- */

/* Without a word from the guest, the one that the firmware tried first is taken for the one that the guest needs. QEMU
 * knows: a disk that was plugged live has no place in its order, whatever the spec says of the next start. */
static bool has_booted_from(const DeviceChange *change)
{
        g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", change->old_part->name);
        json_auto_t *place = NULL;
        return strcmp(change->old_part->kind, "disk") == 0 &&
               qmp_call(change->qmp, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "bootindex"), &place,
                        NULL) &&
               json_integer_value(place) == 1;
}

static bool refuse(const DeviceChange *change, const char *why, GError **error)
{
        const char *name = change->old_part->name;
        error_set(error, HOSTLER_ERROR_BUSY, NULL, "the guest uses %s: %s", name, why);
        return error_hint(error, "have the guest give it up first, stop the VM, or take it away with --force");
}

bool guest_disk_leave(const DeviceChange *change, GError **error)
{
        g_autofree char *used = change->force ? NULL : guest_disk_ask(change, used_script);
        if (used && *used)
                return refuse(change, used, error);
        if (!change->force && !used && has_booted_from(change))
                return refuse(change, "it has booted from it, and no agent says otherwise", error);
        g_free(guest_disk_ask(change, leave_script));
        return true;
}
