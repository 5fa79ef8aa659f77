/*
 * wire/ against a real QEMU: what the scripted one cannot promise about the real one. Small machines that never run;
 * and one QEMU that stands still must not hold up another.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "machine.h"
#include "wire/guest_agent.h"
#include "wire/qmp.h"

#define STILL_MS 2000
#define COMMON "-nodefaults", "-display", "none", "-S", "-qmp", "unix:qmp,server=on,wait=off"

static LoopThread *loop;

static void start(Machine *machine, const char *const *options)
{
        machine_init(machine, loop);
        machine_start(machine, options, "qmp");
}

static void start_bare(Machine *machine)
{
        static const char *const options[] = {COMMON, "-machine", "none", NULL};
        start(machine, options);
}

static void test_calls(void)
{
        Machine machine;
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        start_bare(&machine);
        g_assert_true(machine_call(&machine, "query-version", NULL, &result, &error));
        g_assert_cmpint(json_integer_value(json_object_get(json_object_get(result, "qemu"), "major")), >=, 7);
        json_decref(result);
        g_assert_true(
            machine_call(&machine, "query-qmp-schema", NULL, &result, &error)); /* the largest answer there is */
        g_assert_cmpint(json_array_size(result), >, 500);
        json_decref(result);
        g_assert_false(machine_call(&machine, "device_del", json_pack("{s:s}", "id", "nobody"), NULL, &error));
        g_assert_cmpstr(qmp_error_class(error), ==, "DeviceNotFound");
        g_clear_error(&error);
        g_assert_false(machine_call(&machine, "no-such-command", NULL, NULL, &error));
        g_assert_cmpstr(qmp_error_class(error), ==, "CommandNotFound");
        machine_clear(&machine);
}

static void test_descriptor(void)
{
        Machine machine;
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        start_bare(&machine);
        int ends[2];
        g_assert_no_errno(pipe(ends));
        g_assert_true(
            qmp_call_with_fd(machine.qmp, "add-fd", json_pack("{s:i}", "fdset-id", 7), ends[1], &result, &error));
        g_assert_no_error(error);
        g_autofree char *path = g_strdup_printf("/proc/%d/fd/%lld", machine.pid,
                                                (long long)json_integer_value(json_object_get(result, "fd")));
        g_autofree char *target = g_file_read_link(path, NULL);
        g_autofree char *ours = g_strdup_printf("/proc/self/fd/%d", ends[1]);
        g_autofree char *our_target = g_file_read_link(ours, NULL);
        g_assert_cmpstr(target, ==, our_target);
        json_decref(result);
        g_assert_false(
            machine_call(&machine, "add-fd", json_pack("{s:i}", "fdset-id", 7), NULL, &error)); /* none is left over */
        close(ends[0]);
        close(ends[1]);
        machine_clear(&machine);
}

static void test_quit(void)
{
        Machine machine;
        start_bare(&machine);
        g_assert_true(machine_call(&machine, "quit", NULL, NULL, NULL));
        for (int i = 0; i < 1000 && !g_atomic_int_get(&machine.closed); i++)
                g_usleep(10000);
        g_assert_cmpint(g_atomic_int_get(&machine.closed), ==, 1);
        g_assert_cmpint(g_atomic_int_get(&machine.events), ==, 1);
        machine_clear(&machine);
}

static void count_late(Qmp *qmp, const json_t *result, const GError *error, void *user_data)
{
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNRESPONSIVE);
        g_atomic_int_inc((gint *)user_data);
}

static gpointer call_stopped(gpointer data)
{
        g_autoptr(GError) error = NULL;
        g_assert_false(qmp_call_full(data, "query-status", NULL, STILL_MS, NULL, NULL, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_UNRESPONSIVE);
        return NULL;
}

/* While one stands still: its calls end in their time, the other's calls are as quick as ever. It answers again
 * afterwards. */
static void test_stopped(void)
{
        Machine still, well;
        gint late = 0;
        start_bare(&still);
        start_bare(&well);
        kill(still.pid, SIGSTOP);
        GThread *thread = g_thread_new("stopped", call_stopped, still.qmp);
        qmp_send(still.qmp, "query-status", NULL, STILL_MS, count_late, &late);
        for (int i = 0; i < 20; i++)
                g_assert_true(machine_call(&well, "query-status", NULL, NULL, NULL));
        g_assert_cmpint(g_atomic_int_get(&late), ==, 0); /* all twenty were answered while the one still waits */
        g_thread_join(thread);
        g_assert_cmpint(qmp_idle_ms(still.qmp), >=, STILL_MS);
        for (int i = 0; i < 500 && !g_atomic_int_get(&late); i++)
                g_usleep(10000);
        g_assert_cmpint(g_atomic_int_get(&late), ==, 1);
        kill(still.pid, SIGCONT);
        g_assert_true(machine_call(&still, "query-status", NULL, NULL, NULL));
        machine_clear(&still);
        machine_clear(&well);
}

static void ignore_reply(Qmp *qmp, const json_t *result, const GError *error, void *user_data)
{
}

/* What is sent to a QEMU that reads nothing piles up to a limit; then the connection is given up. */
static void test_stopped_overflow(void)
{
        Machine machine;
        g_autofree char *text = g_strnfill(100000, 'x');
        start_bare(&machine);
        kill(machine.pid, SIGSTOP);
        for (int i = 0; i < 60; i++)
                qmp_send(machine.qmp, "query-name", json_pack("{s:s}", "text", text), 60000, ignore_reply, NULL);
        for (int i = 0; i < 500 && !g_atomic_int_get(&machine.closed); i++)
                g_usleep(10000);
        g_assert_cmpint(g_atomic_int_get(&machine.closed), ==, 1);
        machine_clear(&machine);
}

static void close_agent(void *data)
{
        guest_agent_close(data);
}

/* A port that no agent has opened: each call says so in its time, over connections that QEMU gives anew. */
static void test_absent_agent(void)
{
        static const char *const options[] = {
            COMMON,
            "-machine",
            "q35,accel=tcg",
            "-m",
            "64",
            "-chardev",
            "socket,id=agent,path=agent,server=on,wait=off",
            "-device",
            "{\"driver\":\"virtio-serial-pci\"}",
            "-device",
            "{\"driver\":\"virtserialport\",\"chardev\":\"agent\",\"name\":\"org.qemu.guest_agent.0\"}",
            NULL};
        Machine machine;
        g_autoptr(GError) error = NULL;
        start(&machine, options);
        g_autofree char *path = g_build_filename(machine.folder, "agent", NULL);
        GuestAgent *agent = guest_agent_connect(path, loop_thread_context(loop), &error);
        g_assert_no_error(error);
        for (int i = 0; i < 4; i++) {
                int64_t began_ms = clock_monotonic_ms();
                g_assert_false(guest_agent_call(agent, "guest-ping", NULL, 150, NULL, NULL, &error));
                g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NO_AGENT);
                g_assert_nonnull(strstr(error->message, "no guest agent answers"));
                g_clear_error(&error);
                g_assert_cmpint(clock_monotonic_ms() - began_ms, >=, 150);
        }
        loop_thread_run(loop, close_agent, agent);
        guest_agent_unref(agent);
        machine_clear(&machine);
}

int main(int argc, char **argv)
{
        g_unsetenv("LD_PRELOAD"); /* the sanitizer's, not for the programs we start */
        g_test_init(&argc, &argv, NULL);
        loop = loop_thread_new();
        g_test_add_func("/qmp-qemu/calls", test_calls);
        g_test_add_func("/qmp-qemu/descriptor", test_descriptor);
        g_test_add_func("/qmp-qemu/quit", test_quit);
        g_test_add_func("/qmp-qemu/stopped", test_stopped);
        g_test_add_func("/qmp-qemu/stopped-overflow", test_stopped_overflow);
        g_test_add_func("/qmp-qemu/absent-agent", test_absent_agent);
        int failed = g_test_run();
        loop_thread_free(loop);
        return failed;
}
