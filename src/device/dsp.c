/*
 * Sound chips on the ISA bus. A chip answers only at the ports, interrupts and channels that its kind had; QEMU takes
 * any number for them and then aborts, or makes a chip that no guest can find. So they are listed here.
 */
#include <string.h>

#include "device/audio.h"

#define NONE (-1)

/* What a chip can be set to, the default first; ends with NULL or NONE, empty: it has no such thing. */
typedef struct {
        const char *const *iobases;
        const int *irqs, *dmas, *dma16s;
        bool freq;
} Chip;

static const Chip chips[] =
    {
        [HOSTLER_DSP_MODEL_SB16] =
            {
                .iobases = (const char *const[]){"0x220", "0x240", "0x260", "0x280", NULL},
                .irqs = (const int[]){5, 7, 9, 10, NONE},
                .dmas = (const int[]){1, 0, 3, NONE},
                .dma16s = (const int[]){5, 6, 7, NONE},
            },
        [HOSTLER_DSP_MODEL_GUS] =
            {
                .iobases = (const char *const[]){"0x240", "0x210", "0x220", "0x230", "0x250", "0x260", NULL},
                .irqs = (const int[]){7, 3, 5, 9, 11, 12, 15, NONE},
                .dmas = (const int[]){3, 1, 5, 6, 7, NONE},
                .dma16s = (const int[]){NONE},
                .freq = true,
            },
        [HOSTLER_DSP_MODEL_ADLIB] =
            {
                .iobases = (const char *const[]){"0x220", "0x240", "0x260", "0x280", NULL},
                .irqs = (const int[]){NONE},
                .dmas = (const int[]){NONE},
                .dma16s = (const int[]){NONE},
                .freq = true,
            },
        [HOSTLER_DSP_MODEL_CS4231A] =
            {
                .iobases = (const char *const[]){"0x534", "0x608", "0xe84", "0xf44", NULL},
                .irqs = (const int[]){9, 7, 10, 11, NONE},
                .dmas = (const int[]){3, 0, 1, NONE},
                .dma16s = (const int[]){NONE},
            },
};

static const HostlerDspProps *props_of(const HostlerPart *part)
{
        return part->props;
}

static const Chip *chip_of(const HostlerPart *part)
{
        return &chips[props_of(part)->model];
}

/* ---- where it is ---- */

/* The number given, else the first of the chip's; NONE: it has no such thing. */
static int chosen(int64_t given, const int *numbers)
{
        return given == HOSTLER_UNSET || numbers[0] == NONE ? numbers[0] : (int)given;
}

static const char *iobase_of(const HostlerPart *part)
{
        return props_of(part)->iobase ? props_of(part)->iobase : chip_of(part)->iobases[0];
}

static int irq_of(const HostlerPart *part)
{
        return chosen(props_of(part)->irq, chip_of(part)->irqs);
}

static int dma_of(const HostlerPart *part)
{
        return chosen(props_of(part)->dma, chip_of(part)->dmas);
}

static int dma16_of(const HostlerPart *part)
{
        return chosen(props_of(part)->dma16, chip_of(part)->dma16s);
}

/* ---- faults ---- */

static bool has(const int *numbers, int64_t number)
{
        while (*numbers != NONE && *numbers != number)
                numbers++;
        return *numbers != NONE;
}

static char *list_of(const int *numbers)
{
        GString *text = g_string_new(NULL);
        for (; *numbers != NONE; numbers++)
                g_string_append_printf(text, "%s%d", text->len ? ", " : "", *numbers);
        return g_string_free(text, FALSE);
}

static void check_number(const HostlerPart *part, const char *property, int64_t given, const int *numbers,
                         GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        g_autofree char *all = list_of(numbers);
        if (given == HOSTLER_UNSET || has(numbers, given))
                return;
        if (*all)
                faults_add(faults, pointer, "%s can have %s", part_model(part)->name, all);
        else
                faults_add(faults, pointer, "%s has none", part_model(part)->name);
}

static void check_values(const HostlerPart *part, GPtrArray *faults)
{
        const HostlerDspProps *props = part->props;
        const Chip *chip = chip_of(part);
        g_autofree char *iobase = g_strdup_printf("/spec/%s/iobase", part->name);
        g_autofree char *freq = g_strdup_printf("/spec/%s/freq", part->name);
        g_autofree char *bases = g_strjoinv(", ", (char **)chip->iobases);
        if (props->iobase && !g_strv_contains(chip->iobases, props->iobase))
                faults_add(faults, iobase, "%s can be at %s", part_model(part)->name, bases);
        check_number(part, "irq", props->irq, chip->irqs, faults);
        check_number(part, "dma", props->dma, chip->dmas, faults);
        check_number(part, "dma16", props->dma16, chip->dma16s, faults);
        if (props->freq != HOSTLER_UNSET && !chip->freq)
                faults_add(faults, freq, "%s plays at the rate that the guest sets", part_model(part)->name);
}

static void check_memory(const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/memory", part->name);
        if (props_of(part)->memory == HOSTLER_UNSET)
                return;
        if (props_of(part)->model == HOSTLER_DSP_MODEL_GUS)
                faults_add(faults, pointer, "an Ultrasound has 1 MiB of its own, no more and no less");
        else
                faults_add(faults, pointer, "%s has no memory: it plays out of the guest's", part_model(part)->name);
}

/* A Sound Blaster leaves the ports of its synthesizer to an adlib; no others share theirs. */
static bool share_ports(const HostlerPart *a, const HostlerPart *b)
{
        HostlerDspModel one = props_of(a)->model, other = props_of(b)->model;
        return (one == HOSTLER_DSP_MODEL_SB16 && other == HOSTLER_DSP_MODEL_ADLIB) ||
               (one == HOSTLER_DSP_MODEL_ADLIB && other == HOSTLER_DSP_MODEL_SB16);
}

static bool same(int a, int b)
{
        return a != NONE && a == b;
}

/* What @other, which comes first in the spec, has already. */
static void check_pair(const HostlerPart *part, const HostlerPart *other, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        if (props_of(part)->model == HOSTLER_DSP_MODEL_ADLIB && props_of(other)->model == HOSTLER_DSP_MODEL_ADLIB)
                faults_add(faults, pointer, "a VM has one adlib, and %s is it", other->name);
        else if (strcmp(iobase_of(part), iobase_of(other)) == 0 && !share_ports(part, other))
                faults_add(faults, pointer, "%s is at %s already: choose another iobase", other->name,
                           iobase_of(other));
        if (same(irq_of(part), irq_of(other)))
                faults_add(faults, pointer, "%s has interrupt %d already: choose another irq", other->name,
                           irq_of(other));
        if (same(dma_of(part), dma_of(other)) || same(dma_of(part), dma16_of(other)))
                faults_add(faults, pointer, "%s has DMA channel %d already: choose another dma", other->name,
                           dma_of(part));
        if (same(dma16_of(part), dma_of(other)) || same(dma16_of(part), dma16_of(other)))
                faults_add(faults, pointer, "%s has DMA channel %d already: choose another dma16", other->name,
                           dma16_of(part));
}

static void dsp_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        audio_check_card(context, part, faults);
        check_values(part, faults);
        check_memory(part, faults);
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (strcmp(other->kind, "dsp") == 0)
                        check_pair(part, other, faults);
}

/* ---- the plan ---- */

static void set_number(json_t *args, const char *name, int number)
{
        if (number != NONE)
                json_object_set_new(args, name, json_integer(number));
}

static void dsp_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        json_t *args = device_args(context, part);
        json_object_set_new(args, "audiodev", json_string(audio_backend(part)));
        set_number(args, "iobase", (int)g_ascii_strtoull(iobase_of(part), NULL, 16));
        set_number(args, "irq", irq_of(part));
        set_number(args, "dma", dma_of(part));
        set_number(args, "dma16", dma16_of(part));
        if (props_of(part)->freq != HOSTLER_UNSET)
                set_number(args, "freq", (int)props_of(part)->freq);
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType dsp_device = {
    .kind = "dsp",
    .settle = audio_settle,
    .needs = audio_needs,
    .check = dsp_check,
    .plan = dsp_plan,
};
