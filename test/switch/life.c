/*
 * Open vSwitch killed under traffic, and two hundred ports that come and go. Called by test-switch.c.
 *
 * While its processes die at random moments, one thread sends what policies allow and what they forbid, and reads
 * everything that arrives anywhere: a single forbidden frame is a failure, whenever it came.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "switch/rig.h"
#include "wire/openflow.h"
#include "wire/ovsdb.h"

/* ---- what there is ---- */

static ProcessId process_of(const Rig *rig, const char *keeper)
{
        ProcessId process = {0};
        g_autofree char *folder = g_build_filename(rig->folder, "network", keeper, NULL);
        return keeper_read(folder, NULL, &process, NULL) && process_id_alive(&process) ? process : (ProcessId){0};
}

static int by_cookie(gconstpointer a, gconstpointer b)
{
        uint64_t one = ((const FlowCount *)a)->cookie, other = ((const FlowCount *)b)->cookie;
        return (one > other) - (one < other);
}

/* Of FlowCount: the flows of the one bridge. */
static GArray *flows_of(const Rig *rig)
{
        g_autofree char *run = g_build_filename(rig->folder, "network", "switch", "run", NULL);
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) files = g_dir_open(run, 0, NULL);
        GArray *flows = g_array_new(FALSE, FALSE, sizeof(FlowCount));
        const char *name;
        while ((name = g_dir_read_name(files))) {
                if (!g_str_has_suffix(name, ".mgmt"))
                        continue;
                g_autofree char *path = g_build_filename(run, name, NULL);
                g_autoptr(OpenFlow) openflow = openflow_connect(path, 20000, &error);
                g_assert_no_error(error);
                openflow_flow_counts(openflow, 0, 0, flows, &error);
                g_assert_no_error(error);
        }
        g_array_sort(flows, by_cookie);
        return flows;
}

/* Devices of ours in the switch's network namespace. */
static int count_devices(const Rig *rig)
{
        g_autofree char *path = g_strdup_printf("/proc/%d/net/dev", (int)process_of(rig, "switch").pid), *text = NULL;
        int count = 0;
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                count += g_str_has_prefix(g_strchug(*line), "hst");
        return count;
}

/* Rows of its database. */
static int count_rows(const Rig *rig)
{
        static const char *const tables[] = {"Bridge", "Port", "Interface", "Mirror", "QoS", "Queue"};
        g_autofree char *path = g_build_filename(rig->folder, "network", "db", "run", "db.sock", NULL);
        g_autoptr(GError) error = NULL;
        json_auto_t *results = NULL;
        json_t *operations = json_array(), *result;
        size_t i, count = 0;
        for (gsize table = 0; table < G_N_ELEMENTS(tables); table++)
                json_array_append_new(operations, json_pack("{s:s, s:s, s:[], s:[s]}", "op", "select", "table",
                                                            tables[table], "where", "columns", "_uuid"));
        ovsdb_transact(path, operations, 20000, &results, &error);
        g_assert_no_error(error);
        json_array_foreach (results, i, result)
                count += json_array_size(json_object_get(result, "rows"));
        return (int)count;
}

static int count_files(const char *folder)
{
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        int count = 0;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                count += 1 + count_files(path);
        }
        return count;
}

/* ---- traffic ---- */

typedef struct {
        Rig *rig;
        gint stopping, allowed, forbidden; /* atomic: what arrived */
        guint32 first;                     /* the first serial; each fourth is of an allowed frame */
} Traffic;

#define KINDS 4

static void send_lot(Traffic *traffic)
{
        Mac stranger = {{2, 9, 9, 9, 9, 9}};
        const RigFrame frames[KINDS] = {
            {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_UDP, .address = 1},
            {.from = stranger, .to = rig_mac(2), .kind = RIG_UDP, .address = 1},       /* forged */
            {.from = rig_mac(3), .to = rig_mac(2), .kind = RIG_UDP, .address = 3},     /* of another VLAN */
            {.from = rig_mac(4), .to = RIG_BROADCAST, .kind = RIG_UDP, .address = 4}}; /* of a blocked port */
        static const int senders[KINDS] = {1, 1, 3, 4};
        for (int i = 0; i < KINDS; i++) {
                guint32 serial = rig_put(traffic->rig, senders[i], &frames[i]);
                traffic->first = traffic->first ? traffic->first : serial;
        }
}

static void receive_all(Traffic *traffic)
{
        guint32 serial;
        int tag;
        for (int n = 1; n <= 4; n++)
                while (rig_get(traffic->rig, n, &serial, &tag)) {
                        bool allowed = n == 2 && (serial - traffic->first) % KINDS == 0;
                        g_atomic_int_inc(allowed ? &traffic->allowed : &traffic->forbidden);
                }
}

static gpointer run_traffic(gpointer data)
{
        Traffic *traffic = data;
        while (!g_atomic_int_get(&traffic->stopping)) {
                send_lot(traffic);
                g_usleep(1000);
                receive_all(traffic);
        }
        return NULL;
}

static void wait_for_traffic(Traffic *traffic)
{
        gint seen = g_atomic_int_get(&traffic->allowed);
        gint64 end_ms = clock_monotonic_ms() + 30000;
        while (g_atomic_int_get(&traffic->allowed) - seen < 20) {
                g_assert_cmpint(clock_monotonic_ms(), <, end_ms);
                g_usleep(1000);
        }
}

/* ---- killed ---- */

void kill_switch(Rig *rig)
{
        ProcessId process = process_of(rig, "switch");
        g_assert_true(process_id_kill(&process, SIGKILL));
}

/* Kills it; the time from when it runs again until traffic does. */
static gint64 kill_and_wait(Traffic *traffic, const char *keeper)
{
        ProcessId old = process_of(traffic->rig, keeper), now = old;
        gint64 end_ms = clock_monotonic_ms() + 30000;
        g_assert_true(process_id_kill(&old, SIGKILL));
        while (now.pid == old.pid || !now.pid) {
                g_assert_cmpint(clock_monotonic_ms(), <, end_ms);
                g_usleep(1000);
                now = process_of(traffic->rig, keeper);
        }
        gint64 back_ms = clock_monotonic_ms();
        wait_for_traffic(traffic);
        return clock_monotonic_ms() - back_ms;
}

/* The switch every time, its database now and then, at any moment: also while it is being told its flows. */
void kill_under_traffic(Rig *rig)
{
        enum { KILLS = 5 };
        gint64 best_ms = G_MAXINT64;
        rig_group(rig, "web", "{'vlan': '10', 'forged_transmits': 'reject'}");
        rig_adapter(rig, 3, "db", "{}");
        rig_adapter(rig, 4, "web", "{'traffic': 'reject'}");
        rig_apply(rig);
        g_autoptr(GArray) before = flows_of(rig);
        int devices = count_devices(rig);
        Traffic traffic = {.rig = rig};
        GThread *thread = g_thread_new("traffic", run_traffic, &traffic);
        wait_for_traffic(&traffic);
        for (int i = 0; i < KILLS; i++) {
                g_usleep((gulong)g_test_rand_int_range(0, 300000));
                if (i % 2 == 1)
                        kill_and_wait(&traffic, "db");
                gint64 took_ms = kill_and_wait(&traffic, "switch");
                best_ms = MIN(best_ms, took_ms);
                g_test_message("traffic is back %" G_GINT64_FORMAT " ms after the switch", took_ms);
        }
        g_atomic_int_set(&traffic.stopping, 1);
        g_thread_join(thread);
        rig_apply(rig);
        g_autoptr(GArray) after = flows_of(rig);
        g_assert_cmpint(traffic.forbidden, ==, 0);
        g_assert_cmpint(best_ms, <, 1000);
        g_assert_cmpint(count_devices(rig), ==, devices);
        g_assert_cmpuint(after->len, ==, before->len);
        for (guint i = 0; i < after->len; i++)
                g_assert_cmphex(g_array_index(after, FlowCount, i).cookie, ==,
                                g_array_index(before, FlowCount, i).cookie);
}

/* ---- two hundred ---- */

#define MANY 200
#define AT_ONCE 20

static int many_fds[MANY + 1];

static void plug(gpointer number, gpointer network)
{
        guint n = GPOINTER_TO_UINT(number);
        g_autofree char *part = g_strdup_printf("nic%u", n);
        g_autoptr(GError) error = NULL;
        json_auto_t *policy = json_pack("{s:s, s:i}", "forged_transmits", "reject", "rate_from_vm", 1000);
        Adapter adapter = {.vm_id = "many",
                           .part = part,
                           .switch_name = "lan",
                           .group = "web",
                           .mac = {{2, 1, 0, 0, 0, (guint8)n}},
                           .policy = policy,
                           .mtu = HOSTLER_UNSET,
                           .has_filter = true};
        network_attach(network, &adapter, true, &error);
        g_assert_no_error(error);
        many_fds[n] = network_take_device(network, "many", part);
        g_assert_cmpint(many_fds[n], >=, 0);
}

void two_hundred_ports(Rig *rig)
{
        g_autoptr(GArray) flows = flows_of(rig);
        int devices = count_devices(rig), rows = count_rows(rig), files = count_files(rig->folder);
        gint64 begin_ms = clock_monotonic_ms();
        GThreadPool *pool = g_thread_pool_new(plug, rig->network, AT_ONCE, TRUE, NULL);
        for (guint n = 1; n <= MANY; n++)
                g_thread_pool_push(pool, GUINT_TO_POINTER(n), NULL);
        g_thread_pool_free(pool, FALSE, TRUE);
        gint64 made_ms = clock_monotonic_ms();
        g_assert_cmpint(count_rows(rig), ==, rows + 2 * MANY);
        g_assert_cmpint(count_devices(rig), ==, devices + MANY);
        for (guint n = 1; n <= MANY; n++) {
                g_autofree char *part = g_strdup_printf("nic%u", n);
                network_detach(rig->network, "many", part);
                fd_close(&many_fds[n]);
        }
        rig_apply(rig);
        gint64 gone_ms = clock_monotonic_ms();
        g_test_message("%d ports: made in %" G_GINT64_FORMAT " ms, gone in %" G_GINT64_FORMAT " ms", MANY,
                       made_ms - begin_ms, gone_ms - made_ms);
        g_autoptr(GArray) left = flows_of(rig);
        g_assert_cmpint(count_rows(rig), ==, rows);
        g_assert_cmpint(count_devices(rig), ==, devices);
        g_assert_cmpint(count_files(rig->folder), ==, files);
        g_assert_cmpuint(left->len, ==, flows->len);
}
