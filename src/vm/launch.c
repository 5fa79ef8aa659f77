/*
 * Launch: spec → plan → argv → keeper → QEMU stopped before its first instruction → adopted.
 *
 * Starting a VM is spawning plus the very adoption that a restarted daemon does, so recovery runs at every start.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "base/units.h"
#include "host/qemu.h"
#include "vm/manager.h"
#include "vm/parts.h"

#define ADOPT_TIMEOUT_MS 20000

/* QEMU's whole command line for the run that is recorded. g_strfreev. */
static char **build_argv(Vm *vm, bool incoming, GError **error)
{
        HostlerVmRuntime runtime;
        g_auto(VmContext) context = {0};
        g_autofree char *qemu = qemu_find(error);
        if (!qemu)
                return NULL;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, vm_manager(vm), vm, &runtime.launched, &runtime);
        g_autoptr(Plan) plan = plan_new();
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(argv, g_steal_pointer(&qemu));
        device_plan_all(&context.context, plan);
        plan_to_argv(plan, argv);
        if (incoming) {
                g_ptr_array_add(argv, g_strdup("-incoming"));
                g_ptr_array_add(argv, g_strdup("defer"));
        }
        g_ptr_array_add(argv, NULL);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
}

static bool make_folders(Vm *vm, GError **error)
{
        g_autofree char *run = vm_path(vm, "run");
        g_autofree char *old = vm_path(vm, "exit.json");
        /* An old exit would be taken for this run's. */
        if (unlink(old) < 0 && errno != ENOENT)
                return error_set_errno(error, errno, NULL, "cannot remove %s", old);
        return dir_ensure(run, error);
}

static void note_start(HostlerVmRuntime *runtime, void *data)
{
        g_free(runtime->started);
        runtime->started = time_format(clock_unix_ms());
}

/* ---- helpers ---- */

/* What a helper is given: its program's words, and the one descriptor it listens on. */
typedef struct {
        KeeperHelper *items;
        int *fds;
        gsize count;
} Helpers;

static void helpers_clear(Helpers *helpers)
{
        for (gsize i = 0; i < helpers->count; i++)
                if (helpers->fds[i] >= 0)
                        close(helpers->fds[i]);
        g_free(helpers->items);
        g_free(helpers->fds);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Helpers, helpers_clear)

/* It listens before the helper runs, so that QEMU can connect at once, whichever is faster. -1 on error. */
static int listen_for(Vm *vm, const char *name, GError **error)
{
        g_autofree char *run = vm_path(vm, "run");
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* By way of /proc the name is short, however long the state folder's is. */
        g_snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir, name);
        unlinkat(dir, name, 0);
        bool ok =
            dir >= 0 && fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4) == 0;
        if (!ok)
                error_set_errno(error, errno, NULL, "cannot listen on %s/%s", run, name);
        if (dir >= 0)
                close(dir);
        if (!ok && fd >= 0)
                close(fd);
        return ok ? fd : -1;
}

/* Puts the descriptor's number where the program's words have "@FD@". */
static void fill_in(char **argv, int fd)
{
        g_autofree char *number = g_strdup_printf("%d", fd);
        for (char **word = argv; *word; word++) {
                g_auto(GStrv) pieces = g_strsplit(*word, "@FD@", -1);
                g_free(*word);
                *word = g_strjoinv(number, pieces);
        }
}

static bool helpers_open(Vm *vm, GArray *wanted, Helpers *ret_helpers, GError **error)
{
        *ret_helpers = (Helpers){.items = g_new0(KeeperHelper, wanted->len), .fds = g_new0(int, wanted->len)};
        for (guint i = 0; i < wanted->len; i++) {
                DeviceHelper *helper = &g_array_index(wanted, DeviceHelper, i);
                int fd = helper->socket ? listen_for(vm, helper->socket, error) : -1;
                ret_helpers->fds[ret_helpers->count++] = fd;
                if (helper->socket && fd < 0)
                        return false;
                fill_in(helper->argv, fd);
                ret_helpers->items[i] = (KeeperHelper){
                    .argv = (const char *const *)helper->argv, .fds = &ret_helpers->fds[i], .n_fds = fd >= 0};
        }
        return true;
}

static bool spawn(Vm *vm, bool incoming, GError **error)
{
        g_auto(GStrv) argv = build_argv(vm, incoming, error);
        g_autoptr(GArray) wanted = vm_helpers(vm), logs = vm_logs(vm);
        g_auto(Helpers) helpers = {0};
        ProcessId qemu;
        if (!argv || !make_folders(vm, error) || !vm_update_runtime(vm, note_start, NULL, error) ||
            !vm_acquire_parts(vm, error) || !helpers_open(vm, wanted, &helpers, error))
                return false;
        KeeperLaunch launch = {
            .helpers = helpers.items,
            .n_helpers = helpers.count,
            .vm_dir = vm_dir(vm),
            .argv = (const char *const *)argv,
            .logs = (const KeeperLog *)logs->data,
            .n_logs = logs->len,
        };
        return keeper_launch(&launch, &qemu, error);
}

static void note_failed_start(HostlerVmRuntime *runtime, void *data)
{
        if (!runtime->exit)
                return;
        g_free(runtime->exit->reason);
        runtime->exit->reason = g_strdup("failed-start");
}

/* Of a run that has ended; NULL when it said nothing. Caller frees. */
static char *last_words(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        char *words = runtime.exit ? g_strdup(runtime.exit->detail) : NULL;
        record_clear(&hostler_vm_runtime_type, &runtime);
        return words;
}

bool vm_launch(Vm *vm, bool incoming, GError **error)
{
        g_autoptr(GError) local = NULL;
        vm_set_power(vm, HOSTLER_POWER_STARTING, incoming ? "resuming" : "starting");
        if (spawn(vm, incoming, &local) && vm_adopt(vm, ADOPT_TIMEOUT_MS, &local))
                return true;
        if (!vm_is_live(vm)) {
                vm_update_runtime(vm, note_failed_start, NULL, NULL);
                vm_set_power(vm, vm_power_at_rest(vm), "failed-start");
        }
        /* What QEMU said on its way out says more than a closed socket. */
        g_autofree char *words = vm_is_live(vm) ? NULL : last_words(vm);
        g_autofree char *object = vm_object(vm);
        if (words)
                error_set(error, HOSTLER_ERROR_FAILED, object, "QEMU ended at once: %s", words);
        else
                g_propagate_error(error, g_steal_pointer(&local));
        return false;
}
