/*
 * Floppy drives on the board's one controller, which the first of them brings along. What is in them is medium.c's;
 * here are the drives, and the formats that both QEMU and a guest's driver know: QEMU would silently take another
 * geometry for a file of any other size.
 */
#include <string.h>

#include "base/units.h"
#include "device/guest_disk.h"
#include "device/medium.h"

#define CONTROLLER "floppy.isa" /* no part has a dot in its name */
#define DRIVES 2
#define KIB 1024

static bool is_floppy(const HostlerPart *part)
{
        return strcmp(part->kind, "floppy") == 0;
}

static bool floppy_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        *ret_seats = (Seats){"floppy", 0, DRIVES};
        return true;
}

/* ---- formats ---- */

/* KiB, ends with 0. */
static const int *formats_of(const HostlerPart *part)
{
        static const int formats_144[] = {1440, 720, 0}, formats_288[] = {2880, 1440, 720, 0},
                         formats_120[] = {1200, 0};
        switch (((const HostlerFloppyProps *)part->props)->model) {
        case HOSTLER_FLOPPY_MODEL_288:
                return formats_288;
        case HOSTLER_FLOPPY_MODEL_120:
                return formats_120;
        case HOSTLER_FLOPPY_MODEL_144:
        case HOSTLER_FLOPPY_MODEL_ABSENT:
                break;
        }
        return formats_144;
}

static void check_format(const HostlerPart *part, int64_t bytes, const char *pointer, GPtrArray *faults)
{
        GString *names = g_string_new(NULL);
        bool known = false;
        for (const int *format = formats_of(part); *format; format++) {
                known = known || bytes == (int64_t)*format * KIB;
                g_string_append_printf(names, "%s%d", names->len > 0 ? ", " : "", *format);
        }
        if (!known)
                faults_add(faults, pointer, "it has %" G_GINT64_FORMAT " bytes; media of this drive have (KiB): %s",
                           bytes, names->str);
        g_string_free(names, TRUE);
}

static void floppy_check_host(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/medium", part->name);
        g_autoptr(GError) error = NULL;
        int64_t bytes;
        if (!medium_inspect(context, part, &bytes, &error))
                faults_add(faults, pointer, "%s", error->message);
        else if (bytes >= 0)
                check_format(part, bytes, pointer, faults);
}

/* ---- the drives ---- */

static bool is_first(const DeviceContext *context, const HostlerPart *part)
{
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (is_floppy(other))
                        return false;
        return true;
}

/* Firmware is told of its drives by the controller. */
static json_t *controller(const DeviceContext *context)
{
        json_t *args = json_pack("{s:s, s:s}", "driver", "isa-fdc", "id", CONTROLLER);
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i];
                if (is_floppy(part))
                        json_object_set_new(args,
                                            seats_find(context->slots, part->name) == 0 ? "bootindexA" : "bootindexB",
                                            json_integer(device_boot_index(context, part)));
        }
        return args;
}

static void floppy_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        medium_plan(context, part, plan);
        if (is_first(context, part))
                plan_add(plan, STEP_DEVICE, controller(context));
        json_t *args =
            json_pack("{s:s, s:s, s:s, s:i, s:s}", "driver", "floppy", "id", part->name, "bus", CONTROLLER ".0", "unit",
                      seats_find(context->slots, part->name), "drive-type", part_model(part)->name);
        if (medium_of(context, part).path)
                json_object_set_new(args, "drive", json_string(part->name));
        plan_add(plan, STEP_DEVICE, args);
}

/*
 * Linux learns of another medium when it next opens the drive, and fails that once if the format is another too: so it
 * is opened here, before people do.
 */
static bool floppy_set_medium(const DeviceChange *change, GError **error)
{
        static const char look[] = "for i in 1 2 3; do dd if=/dev/fd$4 of=/dev/null bs=512 count=1 2>/dev/null &&"
                                   " echo $(($(cat /sys/block/fd$4/size) / 2)) && break; done";
        if (!medium_set(change, error))
                return false;
        if (!medium_of(change->context, change->new_part).path)
                return true;
        g_autofree char *text = guest_disk_ask(change, look);
        if (text && g_ascii_isdigit(text[0]))
                change->change->guest = size_format(g_ascii_strtoll(text, NULL, 10) * KIB);
        return true;
}

static const DeviceSetter floppy_setters[] = {{"medium", floppy_set_medium},
                                              {"format", floppy_set_medium},
                                              {"readonly", floppy_set_medium},
                                              {"memory", medium_set_memory},
                                              {NULL, NULL}};

const DeviceType floppy_device = {
    .kind = "floppy",
    .seats = floppy_seats,
    .check = medium_check,
    .check_host = floppy_check_host,
    .acquire = medium_acquire,
    .plan = floppy_plan,
    .setters = floppy_setters,
    .guest = "[ -e /sys/block/fd$4 ] && echo /dev/fd$4",
};
