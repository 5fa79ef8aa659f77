/*
 * Rates as measured: far more is offered than may pass, and what arrives is held against the limit at every moment.
 * Called by test-switch.c.
 */
#include "base/clock.h"
#include "switch/rig.h"

#define BITS (120 * 8) /* of a frame of the rig */
#define OFFER_MS 1500
#define LOT 16 /* frames a millisecond: some 15 Mbit/s */

typedef struct {
        double kbps, burst_kbit, peak_kbps; /* as asked for; peak 0: none */
} Limit;

typedef struct {
        int frames;
        gint64 took_ms;
        double fastest; /* of the first 200 ms and more, as a part of what the limit allows by then */
} Measured;

/* What may have passed after this time, in kbit. @slack: for the frames under way. */
static double allowed_kbit(const Limit *limit, gint64 ms, double slack_kbit)
{
        double average = limit->burst_kbit + limit->kbps * (double)ms / 1000;
        double peak = limit->peak_kbps * (double)ms / 1000;
        return (limit->peak_kbps > 0 ? MIN(average, peak) : average) + slack_kbit;
}

static int count_arrived(Rig *rig, guint32 first)
{
        guint32 serial;
        int count = 0, tag;
        while (rig_get(rig, 2, &serial, &tag))
                count += serial >= first;
        return count;
}

/* Adapter 1 sends to adapter 2 as fast as it can. */
static Measured offer(Rig *rig, const Limit *limit)
{
        const RigFrame frame = {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_UDP, .address = 1};
        gint64 begin_ms = clock_monotonic_ms();
        guint32 first = rig_put(rig, 1, &frame);
        Measured measured = {0};
        while ((measured.took_ms = clock_monotonic_ms() - begin_ms) < OFFER_MS) {
                for (int i = 0; i < LOT; i++)
                        rig_put(rig, 1, &frame);
                g_usleep(1000);
                measured.frames += count_arrived(rig, first);
                gint64 now_ms = clock_monotonic_ms() - begin_ms;
                double part = measured.frames * BITS / 1000.0 / allowed_kbit(limit, now_ms, 100);
                measured.fastest = MAX(measured.fastest, part);
        }
        return measured;
}

/* Never faster than it may be, and about as fast when somebody wants that: this machine may be busy elsewhere. */
static void check_limit(Rig *rig, const char *side, const Limit *limit)
{
        Measured measured = offer(rig, limit);
        double got_kbit = measured.frames * BITS / 1000.0, may_kbit = allowed_kbit(limit, measured.took_ms, 0);
        g_test_message("%s %.0f, burst %.0f, peak %.0f: %.0f of %.0f kbit in %" G_GINT64_FORMAT " ms", side,
                       limit->kbps, limit->burst_kbit, limit->peak_kbps, got_kbit, may_kbit, measured.took_ms);
        g_assert_cmpfloat(measured.fastest, <, 1.1);
        g_assert_cmpfloat(got_kbit, >, 0.6 * may_kbit);
}

/* What waits from the last measurement, and a full bucket for the next one. */
static void let_rest(Rig *rig)
{
        g_autoptr(GError) error = NULL;
        rig_adapter(rig, 1, "web", "{}");
        rig_adapter(rig, 2, "web", "{}");
        network_apply(rig->network, &error);
        g_assert_no_error(error);
}

void measure_rates(Rig *rig)
{
        const Limit plain = {.kbps = 1000, .burst_kbit = 100},
                    peak = {.kbps = 500, .burst_kbit = 1500, .peak_kbps = 2000};
        rig_adapter(rig, 1, "web", "{'rate_from_vm': 1000}");
        check_limit(rig, "from", &plain);
        let_rest(rig);
        rig_adapter(rig, 1, "web", "{'rate_from_vm': 500, 'burst_from_vm': 1500, 'peak_from_vm': 2000}");
        check_limit(rig, "from", &peak);
        let_rest(rig);
        rig_adapter(rig, 2, "web", "{'rate_to_vm': 1000}");
        check_limit(rig, "to", &plain);
        let_rest(rig);
        rig_adapter(rig, 2, "web", "{'rate_to_vm': 500, 'burst_to_vm': 1500, 'peak_to_vm': 2000}");
        rig_adapter(rig, 5, "web", "{}"); /* Open vSwitch looks at all its ports */
        check_limit(rig, "to", &peak);
        rig_unplug(rig, 5);
        let_rest(rig);
}
