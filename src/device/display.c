/*
 * Cards and screens: the true ranges of each model, its device for QEMU, the sockets of its heads. Called by video.c,
 * output.c and src/vm.
 *
 * QEMU rounds and clamps most of these numbers without a word, so they are refused here.
 */
#include "device/display.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/units.h"
#include "wire/rfb.h"

#define MIB (1024LL * 1024)
#define RESIZE_MS 10000
/* What viewers can be shown; QEMU cuts off the rest (VNC_MAX_WIDTH, VNC_MAX_HEIGHT). */
#define WIDTH_MAX 5120
#define HEIGHT_MAX 2160
/* Below, the timings that QEMU makes up have pulses of no length, and Linux ignores such a mode. */
#define WIDTH_MIN 320
#define HEIGHT_MIN 200
/* Room for cards beside the windows of ports below 4 GiB, where all of these are; beyond, SeaBIOS stops dead. */
#define WINDOW_BYTES (512 * MIB)

typedef struct {
        const char *driver;
        const char *memory; /* QEMU's property for its memory; NULL: it has none */
        int64_t min, max, preset;
        int pictures;   /* how many of the preferred resolution have to fit: drivers keep two; 0: it is not told one */
        bool mebibytes; /* the property counts these, and not bytes */
        bool of_host;   /* its memory is a limit on the host's: of any size, and more than the picture */
        bool edid;
        int heads;
} DisplayModel;

static const DisplayModel display_models[] = {
    {"virtio-vga", "max_hostmem", MIB, 4096 * MIB, 256 * MIB, 1, false, true, true, 16},
    {"virtio-gpu-pci", "max_hostmem", MIB, 4096 * MIB, 256 * MIB, 1, false, true, true, 16},
    {"VGA", "vgamem_mb", MIB, 512 * MIB, 16 * MIB, 2, true, false, true, 1},
    {"secondary-vga", "vgamem_mb", MIB, 512 * MIB, 16 * MIB, 2, true, false, true, 1},
    {"bochs-display", "vgamem", 4 * MIB, 256 * MIB, 16 * MIB, 2, false, false, true, 1},
    /* Its window is twice that, and one for surfaces: 256M would leave the guest without room for anything else. */
    {"qxl-vga", "vgamem_mb", 8 * MIB, 128 * MIB, 16 * MIB, 1, true, false, false, 1},
    {"qxl", "vgamem_mb", 8 * MIB, 128 * MIB, 16 * MIB, 1, true, false, false, 1},
    {"cirrus-vga", "vgamem_mb", 4 * MIB, 16 * MIB, 4 * MIB, 0, true, false, false, 1},
    {"vmware-svga", "vgamem_mb", MIB, 512 * MIB, 16 * MIB, 0, true, false, false, 1},
    {"ati-vga", "vgamem_mb", MIB, 512 * MIB, 16 * MIB, 0, true, false, false, 1},
    /* It is seen at 3.5 GiB, wherever PCI cards are: more would hide them. */
    {"isa-vga", "vgamem_mb", MIB, 16 * MIB, 8 * MIB, 0, true, false, false, 1},
    {"ramfb", NULL, 0, 0, 0, 0, false, false, false, 1},
};

/* NULL for a part that is no card. */
static const DisplayModel *model_of(const HostlerPart *part)
{
        const ModelDecl *decl = part_model(part);
        bool shows = strcmp(part->kind, "video") == 0 || strcmp(part->kind, "output") == 0;
        for (size_t i = 0; shows && i < G_N_ELEMENTS(display_models); i++)
                if (strcmp(display_models[i].driver, decl->driver) == 0)
                        return &display_models[i];
        return NULL;
}

/* What both kinds have. */
typedef struct {
        int64_t memory, heads;
        const char *resolution;
        bool edid;
} Props;

static Props props_of(const HostlerPart *part)
{
        const HostlerVideoProps *video = part->props;
        const HostlerOutputProps *output = part->props;
        if (strcmp(part->kind, "video") == 0)
                return (Props){video->memory, video->heads, video->resolution, video->edid};
        return (Props){output->memory, 1, output->resolution, true};
}

/* ---- heads ---- */

int display_heads_max(const HostlerPart *card)
{
        const DisplayModel *model = model_of(card);
        return model && model->heads > 1 ? model->heads : 0;
}

const HostlerPart *display_first(const HostlerSpec *spec)
{
        const HostlerPart *output = NULL;
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                if (strcmp(part->kind, "video") == 0)
                        return part;
                if (!output && strcmp(part->kind, "output") == 0)
                        output = part;
        }
        return output;
}

char *display_socket(const DisplayHead *head)
{
        return g_strdup_printf("vnc.%s.%d", head->card, head->head);
}

static char *socket_path(const DeviceContext *context, const DisplayHead *head)
{
        g_autofree char *name = display_socket(head);
        return g_build_filename(context->vm_dir, "run", name, NULL);
}

void display_release(const DeviceContext *context, const HostlerPart *part)
{
        DisplayHead head = {part->name, 0};
        g_autofree char *path = socket_path(context, &head);
        if (model_of(part))
                unlink(path);
}

/* ---- resolutions ---- */

/* The declaration's pattern has made sure of the shape. */
static void parse_resolution(const char *text, int *ret_width, int *ret_height)
{
        if (!text || sscanf(text, "%4dx%4d", ret_width, ret_height) != 2) {
                *ret_width = DISPLAY_WIDTH;
                *ret_height = DISPLAY_HEIGHT;
        }
}

bool display_resize(const DeviceContext *context, const DisplayHead *head, const char *resolution, GError **error)
{
        g_autofree char *path = socket_path(context, head);
        int width, height;
        parse_resolution(resolution, &width, &height);
        return rfb_set_size(path, width, height, RESIZE_MS, error);
}

bool display_set_pending(const DeviceChange *change)
{
        change->change->state = g_strdup("pending");
        change->change->detail = g_strdup("this model learns it at the next start of the VM");
        return true;
}

/* ---- faults ---- */

void display_fault(const HostlerPart *part, const char *property, GPtrArray *faults, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        g_autofree char *text = g_strdup_vprintf(format, args);
        va_end(args);
        faults_add(faults, pointer, "%s", text);
}

bool display_check_resolution(const HostlerPart *part, const char *resolution, GPtrArray *faults)
{
        int width, height;
        parse_resolution(resolution, &width, &height);
        if (width >= WIDTH_MIN && width <= WIDTH_MAX && height >= HEIGHT_MIN && height <= HEIGHT_MAX)
                return true;
        display_fault(part, "resolution", faults, "a resolution is from %dx%d to %dx%d", WIDTH_MIN, HEIGHT_MIN,
                      WIDTH_MAX, HEIGHT_MAX);
        return false;
}

static bool check_memory(const HostlerPart *part, const DisplayModel *model, int64_t memory, GPtrArray *faults)
{
        const char *name = part_model(part)->name;
        bool in_range = memory >= model->min && memory <= model->max;
        if (memory == HOSTLER_UNSET || (model->memory && in_range && (model->of_host || (memory & (memory - 1)) == 0)))
                return true;
        g_autofree char *min = size_format(model->min), *max = size_format(model->max);
        if (!model->memory)
                display_fault(part, "memory", faults,
                              "%s has no memory that could be set: its picture is in the guest's own", name);
        else
                display_fault(part, "memory", faults, "the memory of %s is %s%s to %s", name,
                              model->of_host ? "" : "a power of two, ", min, max);
        return false;
}

/*
 * bochs-display keeps 256 bytes of EDID, and a mode beyond what its first block can say (4095 pixels, 655 MHz with
 * QEMU's made-up blanking at 75 Hz) is left out of them. VGA keeps 384, with room for a block that can.
 */
static bool fits_first_block(int width, int height)
{
        int64_t clock = 75000LL * (width + width * 35 / 100) * (height + height * 35 / 1000) / 10000000;
        return width < 4096 && height < 4096 && clock < 65536;
}

static void check_picture(const HostlerPart *part, const DisplayModel *model, const Props *props, GPtrArray *faults)
{
        const char *name = part_model(part)->name;
        int width, height;
        parse_resolution(props->resolution, &width, &height);
        int64_t memory = props->memory == HOSTLER_UNSET ? model->preset : props->memory;
        int64_t wanted = (int64_t)model->pictures * width * height * 4;
        g_autofree char *have = size_format(memory);
        if (model->of_host ? memory <= wanted : memory < wanted)
                display_fault(part, "memory", faults, "%s do not hold %s of %dx%d", have,
                              model->pictures > 1 ? "two pictures" : "a picture", width, height);
        if (strcmp(model->driver, "bochs-display") == 0 && !fits_first_block(width, height))
                display_fault(part, "resolution", faults,
                              "%s cannot describe a monitor of %dx%d to the guest; secondary-vga can", name, width,
                              height);
}

static void check_resolution(const HostlerPart *part, const DisplayModel *model, const Props *props, GPtrArray *faults)
{
        const char *name = part_model(part)->name;
        if (!props->edid && !model->edid)
                display_fault(part, "edid", faults, "the monitor of %s never describes itself", name);
        if (!props->resolution)
                return;
        if (model->pictures == 0)
                display_fault(part, "resolution", faults, "%s tells the guest nothing of a resolution", name);
        else if (!props->edid)
                display_fault(part, "resolution", faults, "without edid the guest is told nothing of a resolution");
        else if (display_check_resolution(part, props->resolution, faults))
                check_picture(part, model, props, faults);
}

/* What the card takes of the addresses below 4 GiB. */
static int64_t window_bytes(const HostlerPart *part)
{
        const DisplayModel *model = model_of(part);
        int64_t memory = model ? props_of(part).memory : 0;
        if (!model || part_model(part)->bus != BUS_PCI)
                return 0;
        if (model->of_host)
                return 8 * MIB;
        if (strcmp(model->driver, "cirrus-vga") == 0)
                return 32 * MIB;
        memory = memory == HOSTLER_UNSET ? model->preset : memory;
        return g_str_has_prefix(model->driver, "qxl") ? MAX(2 * memory, 64 * MIB) + 64 * MIB : memory;
}

bool display_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats)
{
        const ModelDecl *decl = part_model(part);
        /* Beside its picture memory a card has registers, and the window is of whole megabytes. */
        bool has_room = context->wide_ports && window_bytes(part) < WIDE_PORT_BYTES;
        if (decl->bus != BUS_PCI)
                return false;
        if (!decl->hot_plug)
                *ret_seats = (Seats){BUS_BOARD, BOARD_FIRST, BOARD_COUNT};
        else if (!context->hot)
                *ret_seats = (Seats){BUS_PORTS, 0, DEVICE_PORTS};
        else
                *ret_seats = (Seats){BUS_PORTS, DEVICE_PORTS - WIDE_PORTS, has_room ? WIDE_PORTS : 0};
        return true;
}

static void check_window(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        int64_t before = 0;
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                before += window_bytes(other);
        if (before <= WINDOW_BYTES && before + window_bytes(part) > WINDOW_BYTES)
                display_fault(part, "memory", faults, "the memory of all cards together is at most %lld MiB",
                              WINDOW_BYTES / MIB);
}

static void check_heads(const HostlerPart *part, const DisplayModel *model, const Props *props, GPtrArray *faults)
{
        if (props->heads > model->heads)
                display_fault(part, "heads", faults, "%s has one head", part_model(part)->name);
}

void display_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const DisplayModel *model = model_of(part);
        Props props = props_of(part);
        check_heads(part, model, &props, faults);
        if (!check_memory(part, model, props.memory, faults))
                return;
        check_resolution(part, model, &props, faults);
        check_window(context, part, faults);
}

/* ---- the plan ---- */

/*
 * -vnc takes no JSON; a part's name has neither commas nor dots. Everybody who gets at the socket may look and type, so
 * it is in a folder that only its owner opens; a viewer that wants to be alone does not put out the others.
 */
static void plan_viewers(const HostlerPart *part, int heads, Plan *plan)
{
        for (int i = 0; i < heads; i++) {
                DisplayHead head = {part->name, i};
                g_autofree char *socket = display_socket(&head);
                g_autofree char *value =
                    g_strdup_printf("unix:%s,share=ignore,display=%s,head=%d", socket, part->name, i);
                plan_argument(plan, "-vnc", value);
        }
}

static void add_resolution(json_t *args, const char *resolution)
{
        int width, height;
        parse_resolution(resolution, &width, &height);
        json_object_set_new(args, "xres", json_integer(width));
        json_object_set_new(args, "yres", json_integer(height));
}

void display_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const DisplayModel *model = model_of(part);
        Props props = props_of(part);
        json_t *args = device_args(context, part);
        if (props.memory != HOSTLER_UNSET)
                json_object_set_new(args, model->memory, json_integer(props.memory / (model->mebibytes ? MIB : 1)));
        if (props.heads > 1)
                json_object_set_new(args, "max_outputs", json_integer(props.heads));
        if (!props.edid)
                json_object_set_new(args, "edid", json_false());
        if (props.resolution)
                add_resolution(args, props.resolution);
        plan_add(plan, STEP_DEVICE, args);
        /* QEMU makes viewers' sockets only when it starts. */
        if (!context->hot)
                plan_viewers(part, (int)props.heads, plan);
}
