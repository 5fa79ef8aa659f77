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
#include "device/early.h"
#include "host/qemu.h"
#include "vm/launch.h"
#include "vm/parts.h"
#include "vm/warm/warm.h"

#define ADOPT_TIMEOUT_MS 20000

char **launch_argv(Vm *vm, const HostlerVmRuntime *run, bool early, bool incoming, GError **error)
{
        g_auto(VmContext) context = {0};
        g_autofree char *qemu = qemu_find(error);
        if (!qemu)
                return NULL;
        vm_context_init(&context, vm_manager(vm), vm, &run->launched, run);
        g_autoptr(Plan) plan = plan_new();
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(argv, g_steal_pointer(&qemu));
        early ? early_plan(&context.context, plan) : device_plan_all(&context.context, plan);
        plan_to_argv(plan, argv);
        if (incoming) {
                g_ptr_array_add(argv, g_strdup("-incoming"));
                g_ptr_array_add(argv, g_strdup("defer"));
        }
        g_ptr_array_add(argv, NULL);
        return (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
}

/* QEMU's whole command line for the run that is recorded. g_strfreev. */
static char **build_argv(Vm *vm, bool incoming, GError **error)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        char **argv = launch_argv(vm, &runtime, false, incoming, error);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return argv;
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
        g_free(runtime->boot);
        runtime->boot = g_strdup(host_boot_id());
}

/* ---- helpers ---- */

/* What a helper is given: its program's words, the descriptor it listens on (-1: none), and all its descriptors. */
typedef struct {
        char **argv;
        int socket;
        GArray *fds; /* of int; folders are borrowed */
} Helper;

static void helper_clear(gpointer data)
{
        Helper *helper = data;
        g_strfreev(helper->argv);
        fd_close(&helper->socket);
        g_array_unref(helper->fds);
}

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

/* Puts @text where the program's words have @mark; false when none has it. */
static bool fill_in(char **argv, const char *mark, const char *text)
{
        bool found = false;
        for (char **word = argv; *word; word++) {
                if (!strstr(*word, mark))
                        continue;
                g_auto(GStrv) pieces = g_strsplit(*word, mark, -1);
                g_free(*word);
                *word = g_strjoinv(text, pieces);
                found = true;
        }
        return found;
}

/* Names the open folders to a program that asks for them. @fds: what it gets, appended to. */
static void fill_in_folders(char **argv, const GArray *folders, GArray *fds)
{
        for (guint i = 0; i < folders->len; i++) {
                const SharedFolder *folder = &g_array_index(folders, SharedFolder, i);
                /* With the dot it is a folder, and not a link, to whoever looks. */
                g_autofree char *path = g_strdup_printf(folder->is_port ? "%d" : "/proc/self/fd/%d/.", folder->fd);
                if (fill_in(argv, folder->word, path))
                        g_array_append_val(fds, folder->fd);
        }
}

/* Of Helper. */
static GArray *helpers_open(Vm *vm, const GArray *folders, GError **error)
{
        g_autoptr(GArray) wanted = vm_helpers(vm), helpers = g_array_new(FALSE, FALSE, sizeof(Helper));
        g_array_set_clear_func(helpers, helper_clear);
        for (guint i = 0; i < wanted->len; i++) {
                DeviceHelper *one = &g_array_index(wanted, DeviceHelper, i);
                Helper helper = {.argv = g_strdupv(one->argv),
                                 .socket = one->socket ? listen_for(vm, one->socket, error) : -1,
                                 .fds = g_array_new(FALSE, FALSE, sizeof(int))};
                g_autofree char *number = g_strdup_printf("%d", helper.socket);
                fill_in(helper.argv, "@FD@", number);
                fill_in_folders(helper.argv, folders, helper.fds);
                if (helper.socket >= 0)
                        g_array_append_val(helper.fds, helper.socket);
                g_array_append_val(helpers, helper);
                if (one->socket && helper.socket < 0)
                        return NULL;
        }
        return g_steal_pointer(&helpers);
}

/* As the keeper takes them; borrowed from @helpers. g_free. */
static KeeperHelper *for_keeper(const GArray *helpers)
{
        KeeperHelper *items = g_new0(KeeperHelper, helpers->len);
        for (guint i = 0; i < helpers->len; i++) {
                const Helper *helper = &g_array_index(helpers, Helper, i);
                items[i] = (KeeperHelper){.argv = (const char *const *)helper->argv,
                                          .fds = (const int *)helper->fds->data,
                                          .n_fds = helper->fds->len};
        }
        return items;
}

static bool spawn(Vm *vm, bool incoming, GError **error)
{
        g_auto(GStrv) argv = build_argv(vm, incoming, error);
        g_autoptr(GArray) logs = vm_logs(vm, NULL);
        g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
        ProcessId qemu;
        if (!argv || !make_folders(vm, error) || !vm_update_runtime(vm, note_start, NULL, error) ||
            !vm_acquire_parts(vm, error))
                return false;
        g_autoptr(GArray) folders = vm_open_folders(vm, error);
        g_autoptr(GArray) helpers = folders ? helpers_open(vm, folders, error) : NULL;
        if (!helpers)
                return false;
        g_autofree KeeperHelper *keeper_helpers = for_keeper(helpers);
        fill_in_folders(argv, folders, fds);
        KeeperLaunch launch = {
            .helpers = keeper_helpers,
            .n_helpers = helpers->len,
            .fds = (const int *)fds->data,
            .n_fds = fds->len,
            .vm_dir = vm_dir(vm),
            .argv = (const char *const *)argv,
            .logs = (const KeeperLog *)logs->data,
            .n_logs = logs->len,
        };
        return keeper_launch(&launch, &qemu, error);
}

bool launch_waiting(Vm *vm, const HostlerVmRuntime *run, char *const *argv, int tie_fd, ProcessId *ret_qemu,
                    GError **error)
{
        g_autoptr(GArray) logs = vm_logs(vm, run);
        KeeperLaunch launch = {
            .vm_dir = vm_dir(vm),
            .argv = (const char *const *)argv,
            .logs = (const KeeperLog *)logs->data,
            .n_logs = logs->len,
            .tie_fd = tie_fd,
        };
        return make_folders(vm, error) && keeper_launch(&launch, ret_qemu, error);
}

/* ---- a QEMU that has waited for this ---- */

/*
 * As on a command line: plugged and reset, the machine shows its guest no trace of how it came to be. A state that is
 * loaded says all of that itself.
 */
static bool plug(const VmContext *context, Qmp *qmp, bool incoming, GError **error)
{
        g_autoptr(GPtrArray) parts = early_left(&context->context);
        g_autoptr(Plan) plan = plan_new();
        for (guint i = 0; i < parts->len; i++) {
                const HostlerPart *part = parts->pdata[i];
                const DeviceType *type = device_type(part->kind);
                if (type->acquire && !type->acquire(&context->context, part, error))
                        return false;
                type->plan(&context->context, part, plan);
        }
        return plan_run_at_once(plan, qmp, error) && (incoming || qmp_call(qmp, "system_reset", NULL, NULL, error));
}

static bool complete(Vm *vm, bool incoming, GError **error)
{
        HostlerVmRuntime runtime;
        VmContext context;
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        if (!qmp)
                return false;
        vm_runtime(vm, &runtime);
        vm_context_init_hot(&context, vm, &runtime.launched, &runtime);
        context.context.fresh = true;
        bool ok = plug(&context, qmp, incoming, error);
        vm_context_clear(&context);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

/* False: there is none, or nothing came of it, and a new one is to be started. */
static bool launch_warm(Vm *vm, bool incoming)
{
        if (!warm_take(vm, incoming))
                return false;
        if (vm_update_runtime(vm, note_start, NULL, NULL) && vm_adopt(vm, ADOPT_TIMEOUT_MS, NULL) &&
            complete(vm, incoming, NULL))
                return true;
        vm_kill(vm, "failed-start", NULL);
        vm_set_power(vm, HOSTLER_POWER_STARTING, incoming ? "resuming" : "starting");
        return false;
}

/* ---- a new one ---- */

static void note_no_start(HostlerVmRuntime *runtime, void *data)
{
        g_clear_pointer(&runtime->started, g_free);
}

/* There is no QEMU: what was made for it goes. Where one may run after all, it is left to what finds it. */
static void abandon(Vm *vm, const GError *reason)
{
        g_autofree char *run = vm_path(vm, "run");
        if (error_is(reason, HOSTLER_ERROR_TIMEOUT) || error_is(reason, HOSTLER_ERROR_BUSY))
                return;
        vm_release_parts(vm);
        dir_remove(run, NULL);
        vm_update_runtime(vm, note_no_start, NULL, NULL);
        vm_set_power(vm, vm_power_at_rest(vm), "failed-start");
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
        if (launch_warm(vm, incoming))
                return true;
        warm_end(vm);
        if (!spawn(vm, incoming, &local)) {
                abandon(vm, local);
                g_propagate_error(error, g_steal_pointer(&local));
                return false;
        }
        if (vm_adopt(vm, ADOPT_TIMEOUT_MS, &local))
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
