/*
 * Starts and ends QEMU for tests of src/wire and src/device. See machine.h.
 */
#include "machine.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"

#define QEMU "qemu-system-x86_64"

static void on_event(Qmp *qmp, const char *event, const json_t *data, int64_t unix_ms, void *user_data)
{
        Machine *machine = user_data;
        g_assert_cmpint(ABS(clock_unix_ms() - unix_ms), <, 60000);
        if (strcmp(event, "SHUTDOWN") == 0)
                g_atomic_int_inc(&machine->events);
}

static void on_closed(Qmp *qmp, const GError *reason, void *user_data)
{
        Machine *machine = user_data;
        g_atomic_int_inc(&machine->closed);
}

void machine_init(Machine *machine, LoopThread *loop)
{
        g_autoptr(GError) error = NULL;
        *machine = (Machine){.folder = g_dir_make_tmp("hostler-XXXXXX", &error), .loop = loop};
        g_assert_no_error(error);
}

void machine_start(Machine *machine, const char *const *arguments, const char *socket)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(machine->folder, socket, NULL);
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_strv_builder_add(builder, QEMU);
        g_strv_builder_addv(builder, (const char **)arguments);
        g_auto(GStrv) argv = g_strv_builder_end(builder);
        autoclose int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
        const int target = MACHINE_SINK_FD;
        g_spawn_async_with_pipes_and_fds(machine->folder, (const char *const *)argv, NULL,
                                         G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1, &sink,
                                         &target, 1, &machine->pid, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        machine->qmp = qmp_connect(path, true, MACHINE_TIMEOUT_MS, loop_thread_context(machine->loop), on_event,
                                   on_closed, machine, &error);
        g_assert_no_error(error);
}

bool machine_call(Machine *machine, const char *command, json_t *arguments_taken, json_t **ret_result, GError **error)
{
        return qmp_call_full(machine->qmp, command, arguments_taken, MACHINE_TIMEOUT_MS, NULL, ret_result, error);
}

json_t *machine_ask(Machine *machine, const char *command, json_t *arguments_taken)
{
        g_autoptr(GError) error = NULL;
        json_t *result = NULL;
        machine_call(machine, command, arguments_taken, &result, &error);
        g_assert_no_error(error);
        return result;
}

static void close_qmp(void *data)
{
        qmp_close(data);
}

void machine_clear(Machine *machine)
{
        if (machine->qmp) {
                loop_thread_run(machine->loop, close_qmp, machine->qmp);
                qmp_unref(machine->qmp);
        }
        if (machine->pid > 0) {
                kill(machine->pid, SIGKILL);
                waitpid(machine->pid, NULL, 0);
        }
        g_assert_true(dir_remove(machine->folder, NULL));
        g_free(machine->folder);
        *machine = (Machine){0};
}
