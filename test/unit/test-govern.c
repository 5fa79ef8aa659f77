/*
 * Whole rounds of measuring and allocating on a manager whose VMs are processes that do nothing: what their disks and
 * adapters have done the test says. With --bench it prints what a round over 1,000 VMs costs.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "network/network_private.h"
#include "vm/manager_internal.h"
#include "vm/vm_internal.h"

#define CAPACITY_KBIT 10000000
#define CAPACITY_BYTES 1000000000

typedef struct {
        char *folder;
        Store *store;
        Manager *manager;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
        fixture->folder = g_dir_make_tmp("hostler-test-XXXXXX", NULL);
        g_autofree char *database = g_build_filename(fixture->folder, "db", NULL);
        fixture->store = store_open(database, NULL);
        store_set(fixture->store, "pool-capacities",
                  "[{\"pool\":\"default\",\"bandwidth\":" G_STRINGIFY(CAPACITY_BYTES) ",\"iops\":1000000}]", NULL);
        fixture->manager =
            manager_new(&(ManagerConfig){.state_dir = fixture->folder, .store = fixture->store, .system = false}, NULL);
        g_assert_nonnull(fixture->manager);
        network_declare_switch(manager_network(fixture->manager), "lan", json_pack("{s:i}", "capacity", CAPACITY_KBIT));
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
        manager_free(fixture->manager);
        store_close(fixture->store);
        dir_remove(fixture->folder, NULL);
        g_free(fixture->folder);
}

static Attached *attach(Network *network, const char *vm_id)
{
        Attached *adapter = g_new0(Attached, 1);
        adapter->key = g_strdup_printf("%s/nic0", vm_id);
        adapter->switch_name = g_strdup("lan");
        adapter->group = g_strdup("all");
        adapter->guard = g_array_new(FALSE, FALSE, sizeof(IpAddress));
        adapter->groups = g_array_new(FALSE, FALSE, sizeof(Mac));
        adapter->fd = -1;
        g_hash_table_insert(network->attached, adapter->key, adapter);
        return adapter;
}

/* One that runs as @process. */
static Vm *add_vm(Fixture *fixture, const char *name, int shares, ProcessId process)
{
        HostlerSpec spec;
        g_autoptr(GError) error = NULL;
        json_auto_t *json =
            json_pack("{s:{s:i}, s:{s:s, s:o}, s:{s:s, s:o}}", "cpu", "count", 2, "disk0", "size", "1G", "shares",
                      json_sprintf("%d", shares), "nic0", "network", "lan/all", "shares", json_sprintf("%d", shares));
        record_from_json(&hostler_spec_type, json, "", &spec, &error);
        g_assert_no_error(error);
        Vm *vm = vm_new(fixture->manager, name, name, spec_new(&spec), 1, 0);
        vm->process = process;
        vm->power = HOSTLER_POWER_RUNNING;
        g_assert_true(manager_add(fixture->manager, vm, NULL));
        attach(manager_network(fixture->manager), name);
        vm_unref(vm);
        return vm;
}

/* More than there is, of everything. */
static void work(Fixture *fixture, Vm *vm, int round)
{
        Network *network = manager_network(fixture->manager);
        g_autofree char *key = g_strdup_printf("%s/nic0", vm_id(vm));
        ((Attached *)g_hash_table_lookup(network->attached, key))->counted.last.tx_bytes = (uint64_t)round << 40;
        counters_note_disk(vm, "disk0", 1000.0 * round, 1e12 * round);
}

static const HostlerAllocation *row_of(const HostlerAllocationList *list, const char *resource)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i].resource, resource) == 0)
                        return &list->items[i];
        g_assert_not_reached();
}

static void check_vm(Vm *vm, double part, const char *reason)
{
        HostlerAllocationList list;
        g_assert_true(govern_explain(vm, &list, NULL));
        const HostlerAllocation *sent = row_of(&list, "nic0.rate_from_vm"), *bytes = row_of(&list, "disk0.bandwidth");
        g_assert_cmpfloat(fabs(sent->granted - part * CAPACITY_KBIT), <=, 1);
        g_assert_cmpfloat(fabs(sent->ceiling - part * CAPACITY_KBIT), <=, 1);
        g_assert_cmpfloat(fabs(bytes->ceiling - part * CAPACITY_BYTES), <=, 1);
        g_assert_nonnull(strstr(sent->reason, reason));
        g_assert_nonnull(strstr(bytes->reason, reason));
        g_assert_true(isnan(row_of(&list, "disk0.iops")->ceiling));
        row_of(&list, "cpu");
        record_list_clear(&hostler_allocation_type, &list);
}

static void test_shared_by_shares(Fixture *fixture, gconstpointer data)
{
        ProcessId self;
        g_assert_true(process_id_of(getpid(), &self));
        Vm *one = add_vm(fixture, "one", 3000, self), *two = add_vm(fixture, "two", 1000, self);
        for (int round = 1; round <= 4; round++) {
                work(fixture, one, round);
                work(fixture, two, round);
                observe_round(fixture->manager);
                g_usleep(5000);
        }
        check_vm(one, 0.75, "3000 of 4000 shares");
        check_vm(two, 0.25, "1000 of 4000 shares");
        /* Alone, it may have all that there is. */
        two->power = HOSTLER_POWER_PAUSED;
        work(fixture, one, 5);
        observe_round(fixture->manager);
        check_vm(one, 1, "3000 of 3000 shares");
}

/* ---- what it costs: --bench ---- */

#define BENCH_VMS 1000
#define BENCH_ROUNDS 20

static gpointer sleep_as_processor(gpointer name)
{
        prctl(PR_SET_NAME, name);
        for (;;)
                pause();
        return NULL;
}

/* A process with two processors' threads and another, as QEMU has them. */
static pid_t fake_qemu(void)
{
        pid_t child = fork();
        if (child != 0)
                return child;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        g_thread_new("CPU 0/TCG", sleep_as_processor, (gpointer) "CPU 0/TCG");
        g_thread_new("CPU 1/TCG", sleep_as_processor, (gpointer) "CPU 1/TCG");
        g_thread_new("worker", sleep_as_processor, (gpointer) "worker");
        for (;;)
                pause();
}

static double cpu_seconds(void)
{
        struct timespec now;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Rounds of nothing but measuring. */
static double bench_measuring(Fixture *fixture, Vm **vms)
{
        Monitor *monitor = manager_monitor(fixture->manager);
        double before = cpu_seconds();
        for (int round = 0; round < BENCH_ROUNDS; round++) {
                int64_t at_ms = clock_monotonic_ms(), unix_ms = clock_unix_ms();
                monitor_round_begin(monitor);
                monitor_add_host(monitor, at_ms, unix_ms);
                for (int i = 0; i < BENCH_VMS; i++) {
                        Reading reading;
                        reading_init(&reading, at_ms);
                        monitor_add_vm(monitor, vm_id(vms[i]), vms[i]->process, &reading, at_ms, unix_ms);
                }
                monitor_round_end(monitor, unix_ms);
        }
        return (cpu_seconds() - before) / BENCH_ROUNDS * 1000;
}

static double bench_rounds(Fixture *fixture, Vm **vms, bool busy)
{
        double spent = 0;
        for (int round = 1; round <= BENCH_ROUNDS; round++) {
                for (int i = 0; busy && i < BENCH_VMS; i++)
                        work(fixture, vms[i], round);
                double before = cpu_seconds();
                observe_round(fixture->manager);
                spent += round > 3 ? cpu_seconds() - before : 0; /* the first ones tell everybody something */
        }
        return spent / (BENCH_ROUNDS - 3) * 1000;
}

static void bench_say(const char *what, double each_ms)
{
        printf("%d VMs, %s: %.1f ms of processor, %.2f %% of a core\n", BENCH_VMS, what, each_ms,
               each_ms / MONITOR_PERIOD_MS * 100);
}

static void bench(void)
{
        Fixture fixture;
        static Vm *vms[BENCH_VMS];
        static ProcessId processes[BENCH_VMS];
        for (int i = 0; i < BENCH_VMS; i++)
                g_assert_true(process_id_of(fake_qemu(), &processes[i]));
        set_up(&fixture, NULL);
        for (int i = 0; i < BENCH_VMS; i++) {
                g_autofree char *name = g_strdup_printf("vm%d", i);
                vms[i] = add_vm(&fixture, name, 1000, processes[i]);
        }
        observe_round(fixture.manager);
        bench_say("measuring alone", bench_measuring(&fixture, vms));
        bench_say("a round, idle", bench_rounds(&fixture, vms, false));
        bench_say("a round, disks and adapters short", bench_rounds(&fixture, vms, true));
        for (int i = 0; i < BENCH_VMS; i++)
                kill(processes[i].pid, SIGKILL);
        tear_down(&fixture, NULL);
}

int main(int argc, char **argv)
{
        g_setenv("HOSTLER_NO_CGROUPS", "1", TRUE);
        if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
                bench();
                return 0;
        }
        g_test_init(&argc, &argv, NULL);
        g_test_add("/govern/shared-by-shares", Fixture, NULL, set_up, test_shared_by_shares, tear_down);
        return g_test_run();
}
