/*
 * Counters of an adapter over the ends of daemons and of Open vSwitch. Called by test-switch.c.
 */
#include "base/clock.h"
#include "switch/rig.h"

static AdapterCounts counts_now(Rig *rig)
{
        g_autoptr(GError) error = NULL;
        AdapterCounts counts;
        network_counts(rig->network, "rig", "nic1", &counts, &error);
        g_assert_no_error(error);
        return counts;
}

static void wait_for_forged(Rig *rig, uint64_t wanted)
{
        gint64 end_ms = clock_monotonic_ms() + 30000;
        while (counts_now(rig).forged < wanted && clock_monotonic_ms() < end_ms)
                g_usleep(50000);
        g_assert_cmpuint(counts_now(rig).forged, ==, wanted);
}

static void come_back(Rig *rig)
{
        rig_return(rig);
        rig_group(rig, "web", "{'vlan': '10'}");
        rig_group(rig, "db", "{'vlan': '20'}");
        rig_adapter(rig, 1, "web", "{'forged_transmits': 'reject'}");
        for (int i = 2; i <= 4; i++)
                rig_adapter(rig, i, "web", "{}");
        network_recovered(rig->network);
        rig_apply(rig);
}

/* What an earlier daemon has counted, and set back, and what was dropped while there was none: to the packet. */
void statistics_go_on(Rig *rig)
{
        enum { SENT = 30 };
        g_autoptr(GError) error = NULL;
        RigFrame forged = {.from = {{2, 9, 9, 9, 9, 9}}, .to = rig_mac(2), .kind = RIG_PLAIN},
                 own = {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_UDP, .address = 1};
        rig_adapter(rig, 1, "web", "{'forged_transmits': 'reject'}");
        rig_flood(rig, 1, 2, &own, SENT);
        network_counts_reset(rig->network, "rig", "nic1", &error);
        g_assert_no_error(error);
        rig_flood(rig, 1, 2, &own, SENT);
        rig_flood(rig, 1, 2, &forged, SENT);
        wait_for_forged(rig, SENT);
        rig_leave(rig);
        rig_flood(rig, 1, 2, &forged, SENT);
        rig_flood(rig, 1, 2, &own, SENT);
        come_back(rig);
        wait_for_forged(rig, 2 * SENT);
        g_assert_cmpuint(counts_now(rig).tx_packets, ==, 4 * SENT);
        rig_flood(rig, 1, 2, &forged, SENT);
        wait_for_forged(rig, 3 * SENT);
        rig_leave(rig);
        kill_switch(rig);
        come_back(rig);
        g_assert_cmpuint(counts_now(rig).forged, ==, 3 * SENT);
        g_assert_cmpuint(counts_now(rig).tx_packets, ==, 5 * SENT);
}
