/*
 * Queues of devices by tc(8). See shape.h.
 *
 * What an earlier daemon has set is not known and not asked for: at first every device that is wanted is told anew.
 * Called by the network's thread.
 */
#include "network/shape.h"

#include <net/if.h>

#include "base/error.h"
#include "base/process.h"

#define TC_MS 10000
#define QUEUE_PART 20 /* of a second's worth waits */
#define QUEUE_FRAMES 4
#define HEADER_BYTES 22 /* of Ethernet, with two tags */
#define BYTES_PER_KBIT 125

struct Shapes {
        GHashTable *told;   /* device → its words, "": none */
        GHashTable *wanted; /* the same, of this round */
};

static GHashTable *table_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

Shapes *shapes_new(void)
{
        Shapes *shapes = g_new0(Shapes, 1);
        shapes->told = table_new();
        shapes->wanted = table_new();
        return shapes;
}

void shapes_free(Shapes *shapes)
{
        g_hash_table_unref(shapes->told);
        g_hash_table_unref(shapes->wanted);
        g_free(shapes);
}

/* Each bucket holds at least one frame, else none would ever pass; that of the peak a millisecond's worth. */
char *shape_text(const Rate *rate, int mtu)
{
        uint64_t frame = (uint64_t)mtu + HEADER_BYTES, bytes_per_s = (uint64_t)rate->kbps * BYTES_PER_KBIT;
        uint64_t burst = MAX((uint64_t)rate->burst_kbit * BYTES_PER_KBIT, frame);
        uint64_t limit = MAX(bytes_per_s / QUEUE_PART, QUEUE_FRAMES * frame);
        GString *text = g_string_new(NULL);
        if (rate->kbps)
                g_string_printf(text, "tbf rate %ukbit burst %" G_GUINT64_FORMAT " limit %" G_GUINT64_FORMAT,
                                rate->kbps, MIN(burst, G_MAXUINT32), MIN(limit, G_MAXUINT32));
        if (rate->kbps && rate->peak_kbps)
                g_string_append_printf(text, " peakrate %ukbit mtu %" G_GUINT64_FORMAT, rate->peak_kbps,
                                       MAX((uint64_t)rate->peak_kbps * BYTES_PER_KBIT / 1000, frame));
        return g_string_free(text, FALSE);
}

void shapes_want(Shapes *shapes, const char *device, const Rate *rate, int mtu, bool is_new)
{
        if (is_new)
                g_hash_table_insert(shapes->told, g_strdup(device), g_strdup(""));
        g_hash_table_insert(shapes->wanted, g_strdup(device), shape_text(rate, mtu));
}

/* A queue can be replaced whatever it is, and removed only where there is one of ours: pfifo is as good as none. */
static void add_line(GString *lines, const char *device, const char *words)
{
        if (if_nametoindex(device) != 0) /* else its QEMU has just ended */
                g_string_append_printf(lines, "qdisc replace dev %s root %s\n", device, *words ? words : "pfifo");
}

bool shapes_apply(Shapes *shapes, GError **error)
{
        static const char *const argv[] = {"tc", "-force", "-batch", "-", NULL};
        g_autoptr(GString) lines = g_string_new(NULL);
        GHashTableIter iter;
        gpointer device, words;
        g_hash_table_iter_init(&iter, shapes->wanted);
        while (g_hash_table_iter_next(&iter, &device, &words))
                if (g_strcmp0(g_hash_table_lookup(shapes->told, device), words) != 0)
                        add_line(lines, device, words);
        ProcessOptions options = {.argv = argv, .input = lines->str, .timeout_ms = TC_MS};
        bool ok = lines->len == 0 || process_run(&options, NULL, error);
        GHashTable *told = shapes->told;
        shapes->told = shapes->wanted;
        shapes->wanted = told;
        g_hash_table_remove_all(shapes->wanted);
        if (!ok)
                g_hash_table_remove_all(shapes->told);
        return ok || error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "rates of what guests receive cannot be set");
}
